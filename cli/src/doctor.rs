//! `byos doctor`: checks a deployment, and reports what to fix.

mod functions;
mod parameters;
mod storage;
mod test_events;

use std::path::PathBuf;

use clap::{ArgAction, Args};
use console::{Finding, Verdict};
use serde::Serialize;

use crate::{
    consent::announce_writes,
    outcome::ExitStatus,
    show::plain,
    target::{Deployment, DeploymentKind, Target, TargetError},
};

/// Check a deployment, and report what to fix
///
/// It checks the tables and their safeguards, the stack's parameters against samconfig.toml, the secrets (which it never
/// prints), the queues, the responses to requests without valid credentials, and the clock. It then creates a test
/// customer through the webhook, reads it and deletes it. The customer's tombstone stays for 30 days; readers don't see
/// it.
///
/// Exit codes: 0 if all checks pass, 3 if there are warnings, 1 if a check fails.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  byos doctor                            the local stack
  byos doctor --stack replica
  byos doctor --stack replica --read-only --json")]
pub struct Doctor {
    /// Send no test events
    #[arg(long, action = ArgAction::SetTrue)]
    pub read_only: bool,

    /// Value of the header Stigg-Webhooks-Secret [stack: its secret; local stack: local-secret]
    #[arg(long, env = "STIGG_WEBHOOK_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub secret: Option<String>,

    /// Key that signs the test events [stack: its signing key, if it has one]
    #[arg(long, env = "WEBHOOK_SIGNING_KEY", value_name = "whsec_KEY", hide_env_values = true)]
    pub signing_key: Option<String>,

    /// Bearer token of /check-access [stack: its token; local stack: local-token]
    #[arg(long, env = "API_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,

    /// Configuration of the next `sam deploy`, compared with the stack
    #[arg(long, value_name = "FILE", default_value = "samconfig.toml")]
    pub samconfig: PathBuf,

    /// Print a JSON object
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub target: Target,
}

/// The results, in the order of the checks.
#[derive(Debug, Default, Serialize)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, name: impl Into<String>, found: impl Into<String>) {
        self.0.push(Finding { name: name.into(), verdict: Verdict::Ok, found: found.into(), fix: None });
    }

    fn warn(&mut self, name: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) {
        self.0.push(Finding { name: name.into(), verdict: Verdict::Warn, found: found.into(), fix: Some(fix.into()) });
    }

    fn fail(&mut self, name: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) {
        self.0.push(Finding { name: name.into(), verdict: Verdict::Fail, found: found.into(), fix: Some(fix.into()) });
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.0.iter().filter(|finding| finding.verdict == verdict).count()
    }
}

#[derive(Serialize)]
struct Report<'a> {
    deployment: String,
    checks: &'a Findings,
    ok: usize,
    warnings: usize,
    failures: usize,
}

pub async fn doctor(options: Doctor) -> Result<ExitStatus, TargetError> {
    let deployment = options.target.find().await?;
    if !options.read_only && deployment.kind != DeploymentKind::Local {
        // No confirmation is needed: it writes only its own test customer, and deletes it.
        announce_writes(&deployment);
    }
    let mut findings = Findings::default();
    run_checks(&options, &deployment, &mut findings).await;
    let (ok, warnings, failures) = (findings.count(Verdict::Ok), findings.count(Verdict::Warn), findings.count(Verdict::Fail));
    if options.json {
        let report = Report { deployment: deployment.name(), checks: &findings, ok, warnings, failures };
        println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
    } else {
        print!("{}", text(&deployment, &findings));
        println!("{ok} ok, {warnings} warnings, {failures} failures.");
    }
    Ok(match (failures, warnings) {
        (0, 0) => ExitStatus::Success,
        (0, _) => ExitStatus::Findings,
        _ => ExitStatus::Failure,
    })
}

/// The checks of `byos doctor --read-only`.
pub(crate) async fn read_only_checks(deployment: &Deployment) -> Vec<Finding> {
    let options = Doctor {
        read_only: true,
        secret: None,
        signing_key: None,
        token: None,
        samconfig: "samconfig.toml".into(),
        json: false,
        target: Target::default(),
    };
    let mut findings = Findings::default();
    run_checks(&options, deployment, &mut findings).await;
    findings.0
}

async fn run_checks(options: &Doctor, deployment: &Deployment, findings: &mut Findings) {
    let store = match deployment.store().await {
        Ok(store) => {
            storage::tables(deployment, &store, findings).await;
            Some(store)
        }
        Err(error) => {
            findings.warn("tables", error.to_string(), "give --stack, or all three tables");
            None
        }
    };
    parameters::compare(deployment, &options.samconfig, findings).await;
    let token = storage::secrets(options, deployment, findings).await;
    storage::queues(deployment, findings).await;
    let can_send_events = functions::webhook(deployment, findings).await;
    functions::readers(deployment, findings).await;
    if !options.read_only && can_send_events {
        test_events::send_and_verify(options, deployment, store.as_ref(), token.as_ref(), findings).await;
    }
}

fn text(deployment: &Deployment, findings: &Findings) -> String {
    let mut text = format!("Checking {}\n\n", plain(&deployment.name()));
    for Finding { name, verdict, found, fix } in &findings.0 {
        let label = match verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        text.push_str(&format!("{label:4}  {}: {}\n", plain(name), plain(found)));
        if let Some(fix) = fix {
            text.push_str(&format!("      → {}\n", plain(fix)));
        }
    }
    text.push('\n');
    text
}
