//! The measured binaries.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A function, a reference function, or the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    Webhook,
    CheckAccess,
    Graphql,
    /// An empty handler.
    Empty,
    /// Only the requests to DynamoDB.
    Bare,
    /// Parts of the functions without I/O.
    Parts,
}

impl Binary {
    pub const FUNCTIONS: [Self; 3] = [Self::CheckAccess, Self::Graphql, Self::Webhook];

    pub fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::CheckAccess => "check-access",
            Self::Graphql => "graphql",
            Self::Empty => "floor-empty",
            Self::Bare => "floor-dynamodb",
            Self::Parts => "parts",
        }
    }

    pub fn path(self) -> PathBuf {
        let executable = std::env::current_exe().unwrap();
        executable.ancestors().nth(2).unwrap().join(self.name())
    }

    /// The environment variables of a deployment. `plan` is the file for [`Self::Bare`].
    pub fn variables(self, endpoint: &str, plan: &Path) -> Vec<(&'static str, String)> {
        let tables = template::tables::local_names();
        let mut variables = vec![
            ("DYNAMODB_ENDPOINT", endpoint.to_owned()),
            ("CUSTOMERS_TABLE", tables.customers),
            ("SUBSCRIPTIONS_TABLE", tables.subscriptions),
            ("RECEIPTS_TABLE", tables.receipts),
            ("METRICS_NAMESPACE", "byos".to_owned()),
        ];
        match self {
            Self::Webhook => variables.push(("STIGG_WEBHOOK_SECRET", "local-secret".to_owned())),
            Self::CheckAccess => variables.push(("CHECK_ACCESS_API_TOKEN", "local-token".to_owned())),
            Self::Graphql => variables.push(("GRAPHQL_API_TOKEN", "local-token".to_owned())),
            Self::Bare => variables.push(("PLAN", plan.display().to_string())),
            Self::Empty | Self::Parts => {}
        }
        variables
    }
}

/// Builds the binaries for release in one command, so with the union of their features. Deployed binaries are not larger.
pub fn build() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--bins"]);
    for package in ["webhook", "check-access", "graphql", "benchmark"] {
        command.args(["--package", package]);
    }
    assert!(command.status().unwrap().success(), "the functions could not be built");
}
