//! Confirmation before a command writes.

use std::io::{self, BufRead, IsTerminal as _, Write as _};

use clap::Args;
use store::{Store, Tables};

use crate::{
    outcome,
    target::{Deployment, DeploymentKind},
};

#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Consent {
    /// Write without confirmation; required without a terminal, except for the local stack
    #[arg(long, short)]
    pub yes: bool,
}

impl Consent {
    /// Prints where the command writes, and asks for confirmation on a terminal. Returns false if the command must not
    /// write. The local stack needs no confirmation; without a terminal `--yes` is required.
    pub async fn ask(self, deployment: &Deployment, store: &Store) -> bool {
        let arn = match (&deployment.arn, &deployment.kind) {
            (None, DeploymentKind::Explicit) => table_arn(store).await,
            (arn, _) => Ok(arn.clone()),
        };
        announce(deployment, &arn, Some(store.tables()), None);
        self.confirm(deployment)
    }

    /// Like [`Self::ask`], for a command that writes through the webhook.
    pub fn ask_to_send(self, deployment: &Deployment, url: &str) -> bool {
        announce(deployment, &Ok(deployment.arn.clone()), deployment.tables(), Some(url));
        self.confirm(deployment)
    }

    fn confirm(self, deployment: &Deployment) -> bool {
        if self.yes || deployment.kind == DeploymentKind::Local {
            return true;
        }
        if !io::stdin().is_terminal() {
            eprintln!("byos: nothing was done: without a terminal, confirm with --yes");
            return false;
        }
        eprint!("Write there? [y/N] ");
        let _ = io::stderr().flush();
        let is_confirmed = is_yes(&mut io::stdin().lock());
        if !is_confirmed {
            eprintln!("byos: nothing was done: not confirmed");
        }
        is_confirmed
    }
}

/// Prints the target of a command that needs no confirmation.
pub fn announce_writes(deployment: &Deployment) {
    announce(deployment, &Ok(deployment.arn.clone()), deployment.tables(), None);
}

/// Prints the target of writes to standard error. `arn` is that of the stack or of a table, or the error of reading it.
fn announce(deployment: &Deployment, arn: &Result<Option<String>, String>, tables: Option<&Tables>, url: Option<&str>) {
    let mut lines = vec![format!("This command writes to {}", deployment.name())];
    match arn {
        Ok(arn) => {
            // arn:aws:<service>:<region>:<account>:…
            let parts: Vec<&str> = arn.iter().flat_map(|arn| arn.splitn(6, ':')).collect();
            if let [_, _, _, region, account, _] = parts[..] {
                lines.push(format!("  account  {account}\n  region   {region}"));
            }
        }
        Err(reason) => lines.push(format!("  account  unknown: {reason}")),
    }
    if let Some(Tables { customers, subscriptions, receipts }) = tables {
        lines.push(format!("  tables   {customers}, {subscriptions}, {receipts}"));
    }
    lines.extend(url.map(|url| format!("  through  {url}")));
    eprintln!("{}", lines.join("\n"));
}

/// The ARN of the customers table, which contains account and region.
async fn table_arn(store: &Store) -> Result<Option<String>, String> {
    let described = store.client().describe_table().table_name(&store.tables().customers).send().await;
    let described = described.map_err(|error| outcome::aws_error(&error))?;
    Ok(described.table.and_then(|table| table.table_arn))
}

fn is_yes(input: &mut impl BufRead) -> bool {
    let mut line = String::new();
    input.read_line(&mut line).is_ok() && matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_y_or_yes_confirms() {
        for (typed, is_confirmed) in
            [("y\n", true), (" YES \n", true), ("\n", false), ("", false), ("yess\n", false), ("n\ny\n", false)]
        {
            assert_eq!(is_yes(&mut typed.as_bytes()), is_confirmed, "{typed:?}");
        }
    }
}
