//! `byos doctor`: checks a deployment, and reports what to fix.

mod functions;
mod journey;
mod parameters;
mod storage;

use std::path::PathBuf;

use clap::{ArgAction, Args};
use console::{Finding, Verdict};
use serde::Serialize;

pub(crate) use storage::waiting;

use crate::{
    consent::announce_writes,
    outcome::ExitStatus,
    show::plain,
    target::{Deployment, Place, Target, TargetError},
};

/// Check a deployment, and report what to fix
///
/// It looks at the tables and their safeguards, at the stack's parameters beside those of samconfig.toml, at the secrets
/// (which it never prints), at the queues, at what the functions answer to strangers, at the clock, and sends a
/// customer of its own through the webhook, asks for it, and deletes it again. That leaves the customer's deletion for
/// 30 days, which no list and no check shows.
///
/// Exits with 0 if all is well, with 3 if there are warnings, and with 1 if something does not work.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  byos doctor                            the local stack
  byos doctor --stack replica
  byos doctor --stack replica --read-only --json")]
pub struct Doctor {
    /// Send no events: look only
    #[arg(long, action = ArgAction::SetTrue)]
    pub read_only: bool,

    /// What the webhook takes in the header Stigg-Webhooks-Secret [stack: its secret; local stack: local-secret]
    #[arg(long, env = "STIGG_WEBHOOK_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub secret: Option<String>,

    /// What the webhook's signatures are made with [stack: its signing key, if it has one]
    #[arg(long, env = "WEBHOOK_SIGNING_KEY", value_name = "whsec_KEY", hide_env_values = true)]
    pub signing_key: Option<String>,

    /// The bearer token of /check-access [stack: its token; local stack: local-token]
    #[arg(long, env = "API_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,

    /// What the next `sam deploy` of the stack reads, to be compared with the stack
    #[arg(long, value_name = "FILE", default_value = "samconfig.toml")]
    pub samconfig: PathBuf,

    /// Print a JSON object
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub target: Target,
}

/// All that was looked at, in order.
#[derive(Debug, Default, Serialize)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, name: impl Into<String>, found: impl Into<String>) {
        self.0.push(Finding { name: name.into(), verdict: Verdict::Ok, found: found.into(), mend: None });
    }

    fn warn(&mut self, name: impl Into<String>, found: impl Into<String>, mend: impl Into<String>) {
        self.0.push(Finding { name: name.into(), verdict: Verdict::Warn, found: found.into(), mend: Some(mend.into()) });
    }

    fn fail(&mut self, name: impl Into<String>, found: impl Into<String>, mend: impl Into<String>) {
        self.0.push(Finding { name: name.into(), verdict: Verdict::Fail, found: found.into(), mend: Some(mend.into()) });
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

///
/// # Errors
/// If the deployment is not found: then there is nothing to look at.
pub async fn doctor(options: Doctor) -> Result<ExitStatus, TargetError> {
    let deployment = options.target.find().await?;
    if !options.read_only && deployment.place != Place::Local {
        // It asks for no consent: its test customer is its own, and is deleted.
        announce_writes(&deployment);
    }
    let mut findings = Findings::default();
    look(&options, &deployment, &mut findings).await;
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

/// Looks without sending events, as `--read-only` does.
pub(crate) async fn look_only(deployment: &Deployment) -> Vec<Finding> {
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
    look(&options, deployment, &mut findings).await;
    findings.0
}

async fn look(options: &Doctor, deployment: &Deployment, findings: &mut Findings) {
    let store = match deployment.store().await {
        Ok(store) => {
            storage::tables(deployment, &store, findings).await;
            Some(store)
        }
        Err(error) => {
            findings.warn("tables", error.to_string(), "name them, or the stack, to have them looked at");
            None
        }
    };
    parameters::compare(deployment, &options.samconfig, findings).await;
    let tokens = storage::secrets(options, deployment, findings).await;
    storage::queues(deployment, findings).await;
    let is_reached = functions::webhook(deployment, findings).await;
    functions::readers(deployment, findings).await;
    if !options.read_only && is_reached {
        journey::take(options, deployment, store.as_ref(), tokens.as_ref(), findings).await;
    }
}

fn text(deployment: &Deployment, findings: &Findings) -> String {
    let mut text = format!("Looking at {}\n\n", plain(&deployment.name()));
    for Finding { name, verdict, found, mend } in &findings.0 {
        let word = match verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        text.push_str(&format!("{word:4}  {}: {}\n", plain(name), plain(found)));
        if let Some(mend) = mend {
            text.push_str(&format!("      → {}\n", plain(mend)));
        }
    }
    text.push('\n');
    text
}
