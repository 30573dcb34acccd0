//! `byos compare`: compares the replica's entitlements with those of another Edge API, such as Stigg's.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read as _, Write as _},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use domain::id::{Id, IdError};
use futures_util::{StreamExt as _, stream};
use reqwest::{Client, StatusCode, Url, header::HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Index, SHARDS, SortKeyRange, Store, StoreError};

use crate::{
    http,
    outcome::{ExitStatus, in_one_line},
    secrets::{self, ReaderSecret, SecretError},
    stigg::{Key, KeyError},
    target::{Deployment, DeploymentKind, Target, TargetError},
};

/// Request timeout.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Read the same entitlements from Stigg's Edge API and the replica, and print differences
///
/// A difference is reported if it persists in a second pass, since an event may be in flight. Differences of usage
/// alone do not count: usage changes all the time.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  STIGG_API_KEY=… byos compare --stack my-replica
  STIGG_API_KEY=… byos compare --stack my-replica --customers ids.txt --json

Exit codes: 0 no differences; 1 failed, or something could not be compared; 2 bad usage; 3 differences.")]
pub struct Compare {
    #[command(flatten)]
    pub target: Target,

    /// Edge API to compare with; its key is in the variable STIGG_API_KEY
    #[arg(long, env = "STIGG_EDGE_URL", value_name = "URL", default_value = "https://edge.api.stigg.io")]
    pub reference: Url,

    /// Bearer token of /check-access [stack: its token; local stack: local-token]
    #[arg(long, env = "API_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,

    /// File with a scope per line: a customer's id, or a customer's id, a tab and a resource's id; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "first")]
    pub customers: Option<PathBuf>,

    /// Compare the replica's first N customers by id, with their resources
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub first: usize,

    /// Scopes requested in parallel
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub concurrency: u16,

    /// Seconds before the second pass over differences
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub settle: u16,

    /// Print one JSON object per line, the summary last
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("can't list the replica's customers: {0}")]
    Store(#[from] StoreError),
    #[error("can't read {file}: {source}")]
    File { file: PathBuf, source: io::Error },
    #[error("can't write results: {0}")]
    Output(io::Error),
    #[error("line {line} of the file: an id {problem}")]
    Line { line: usize, problem: IdError },
    #[error("can't create the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    #[error("{api} rejects the key ({status})")]
    Rejected { api: &'static str, status: StatusCode },
    #[error("nothing to compare: the replica has no customers, or the file names none")]
    Nothing,
    #[error("the replica's address is unknown: give --url or --stack")]
    NoAddress,
    #[error("the replica's token contains characters that are not allowed in a header")]
    Token,
}

/// The customer level, or a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
struct Scope {
    customer_id: Id,
    resource_id: Option<Id>,
}

/// An Edge API: the reference or the replica.
struct EdgeApi {
    name: &'static str,
    client: Client,
    url: Url,
    key: HeaderValue,
}

/// A scope's entitlements by feature.
type Entitlements = BTreeMap<String, Entitlement>;

/// The fields that decisions depend on, and usage. Fields that Stigg omits count as null or false.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Entitlement {
    is_granted: bool,
    has_unlimited_usage: Option<bool>,
    has_soft_limit: Option<bool>,
    usage_limit: Option<f64>,
    current_usage: Option<f64>,
    enum_values: Option<BTreeSet<String>>,
    reset_period: Option<String>,
    #[serde(skip_serializing)]
    feature: Option<Feature>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feature {
    ref_id: String,
}

/// A field that differs. The field `entitlement` means that only one side has the feature.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Difference {
    feature_id: String,
    field: &'static str,
    reference: Value,
    replica: Value,
}

impl Difference {
    fn is_usage(&self) -> bool {
        self.field == "currentUsage"
    }
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Summary {
    scopes: usize,
    entitlements: usize,
    differences: usize,
    /// Differences of usage, which don't count as differences.
    usage: usize,
    failed: usize,
}

impl EdgeApi {
    fn new(name: &'static str, url: Url, mut key: HeaderValue) -> Result<Self, CompareError> {
        key.set_sensitive(true);
        Ok(Self { name, client: http::builder().timeout(TIMEOUT).build()?, url, key })
    }

    /// A scope's entitlements. An inner error concerns only this scope.
    async fn entitlements(&self, scope: &Scope) -> Result<Result<Entitlements, String>, CompareError> {
        let mut url = self.url.clone();
        let failed = |reason: String| Ok(Err(format!("{}: {reason}", self.name)));
        match url.path_segments_mut() {
            Ok(mut path) => path.pop_if_empty().extend(["v1", "c", scope.customer_id.as_str(), "entitlements.json"]),
            Err(()) => return failed("its address can't have a path".to_owned()),
        };
        if let Some(resource_id) = &scope.resource_id {
            url.query_pairs_mut().append_pair("resourceId", resource_id.as_str());
        }
        let request = self.client.get(url).header("X-API-KEY", &self.key).header("X-API-VERSION", "1");
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return failed(in_one_line(&error.without_url())),
        };
        match response.status() {
            StatusCode::OK => {}
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(CompareError::Rejected { api: self.name, status });
            }
            status => return failed(format!("it answers {status}")),
        }
        #[derive(Deserialize)]
        struct Document {
            data: Data,
        }
        #[derive(Deserialize)]
        struct Data {
            entitlements: Vec<Entitlement>,
        }
        match response.json::<Document>().await {
            Ok(Document { data }) => {
                let by_feature = |entitlement: Entitlement| Some((entitlement.feature.clone()?.ref_id, entitlement));
                Ok(Ok(data.entitlements.into_iter().filter_map(by_feature).collect()))
            }
            Err(error) => failed(format!("invalid response: {}", in_one_line(&error.without_url()))),
        }
    }
}

fn differences(reference: &Entitlements, replica: &Entitlements) -> Vec<Difference> {
    let features: BTreeSet<_> = reference.keys().chain(replica.keys()).collect();
    let mut differences = Vec::new();
    for feature_id in features {
        let mut compare = |field, reference: Value, replica: Value| {
            if reference != replica {
                differences.push(Difference { feature_id: feature_id.clone(), field, reference, replica });
            }
        };
        let (left, right) = match (reference.get(feature_id), replica.get(feature_id)) {
            (Some(left), Some(right)) => (left, right),
            (left, right) => {
                // An absent feature is denied, like one with `isGranted: false`.
                if left.or(right).is_some_and(|entitlement| entitlement.is_granted) {
                    compare("entitlement", json!(left), json!(right));
                }
                continue;
            }
        };
        compare("isGranted", json!(left.is_granted), json!(right.is_granted));
        let is_true = |flag: Option<bool>| json!(flag == Some(true));
        compare("hasUnlimitedUsage", is_true(left.has_unlimited_usage), is_true(right.has_unlimited_usage));
        compare("hasSoftLimit", is_true(left.has_soft_limit), is_true(right.has_soft_limit));
        compare("usageLimit", json!(left.usage_limit), json!(right.usage_limit));
        compare("enumValues", json!(left.enum_values), json!(right.enum_values));
        compare("resetPeriod", json!(left.reset_period), json!(right.reset_period));
        compare("currentUsage", json!(left.current_usage.unwrap_or(0.0)), json!(right.current_usage.unwrap_or(0.0)));
    }
    differences
}

pub async fn compare(options: Compare) -> Result<ExitStatus, CompareError> {
    let key = Key::from_environment()?;
    let deployment = options.target.find().await?;
    let api = deployment.urls.as_ref().map(|urls| urls.check_access.trim_end_matches("/check-access").to_owned());
    let api = api.and_then(|api| Url::parse(&api).ok()).ok_or(CompareError::NoAddress)?;
    let token = token(&options, &deployment).await?;
    let token = HeaderValue::from_str(&token).map_err(|_| CompareError::Token)?;
    let reference = EdgeApi::new("the reference", options.reference.clone(), key.header().clone())?;
    let replica = EdgeApi::new("the replica", api, token)?;
    let scopes = match &options.customers {
        Some(file) => scopes_in_file(file)?,
        None => first_scopes(&deployment.store().await?, options.first).await?,
    };
    if scopes.is_empty() {
        return Err(CompareError::Nothing);
    }
    let concurrency = usize::from(options.concurrency);
    let mut comparisons = compare_scopes(&reference, &replica, scopes, concurrency).await?;
    let differs = |comparison: &ScopeComparison| {
        comparison.as_ref().is_ok_and(|(differences, _)| differences.iter().any(|difference| !difference.is_usage()))
    };
    let differing: Vec<_> =
        comparisons.iter().filter(|(_, comparison)| differs(comparison)).map(|(scope, _)| scope.clone()).collect();
    if !differing.is_empty() {
        tokio::time::sleep(Duration::from_secs(options.settle.into())).await;
        comparisons.extend(compare_scopes(&reference, &replica, differing, concurrency).await?);
    }
    print(&comparisons, options.json).map_err(CompareError::Output)
}

/// The differences of a scope and the number of compared features, or the reason why it could not be compared.
type ScopeComparison = Result<(Vec<Difference>, usize), String>;

async fn compare_scopes(
    reference: &EdgeApi,
    replica: &EdgeApi,
    scopes: Vec<Scope>,
    concurrency: usize,
) -> Result<BTreeMap<Scope, ScopeComparison>, CompareError> {
    let compare_scope = async |scope: Scope| {
        let (left, right) = futures_util::future::try_join(reference.entitlements(&scope), replica.entitlements(&scope)).await?;
        let comparison = left.and_then(|left| right.map(|right| (differences(&left, &right), left.len().max(right.len()))));
        Ok::<_, CompareError>((scope, comparison))
    };
    let mut pending = stream::iter(scopes.into_iter().map(compare_scope)).buffer_unordered(concurrency);
    let mut comparisons = BTreeMap::new();
    while let Some(compared) = pending.next().await {
        let (scope, comparison) = compared?;
        comparisons.insert(scope, comparison);
    }
    Ok(comparisons)
}

fn print(comparisons: &BTreeMap<Scope, ScopeComparison>, is_json: bool) -> io::Result<ExitStatus> {
    let mut out = io::stdout().lock();
    let mut summary = Summary { scopes: comparisons.len(), ..Summary::default() };
    for (scope, comparison) in comparisons {
        let name = scope.resource_id.as_ref().map_or_else(String::new, |id| format!(", resource {id}"));
        let name = format!("{}{name}", scope.customer_id);
        match comparison {
            Err(reason) => {
                summary.failed += 1;
                if is_json {
                    writeln!(out, "{}", json!({"scope": scope, "failed": reason}))?;
                } else {
                    writeln!(out, "{name}: not compared: {reason}")?;
                }
            }
            Ok((differences, count)) => {
                summary.entitlements += count;
                for difference in differences {
                    *(if difference.is_usage() { &mut summary.usage } else { &mut summary.differences }) += 1;
                    if is_json {
                        writeln!(out, "{}", json!({"scope": scope, "difference": difference}))?;
                    } else {
                        let Difference { feature_id, field, reference, replica } = difference;
                        let line =
                            format!("{name}, {feature_id}: {field} is {reference} at the reference, {replica} in the replica");
                        writeln!(out, "{}", crate::show::plain(&line))?;
                    }
                }
            }
        }
    }
    let Summary { scopes, entitlements, differences, usage, failed } = summary;
    if is_json {
        writeln!(out, "{}", json!({ "summary": summary }))?;
    } else {
        writeln!(
            out,
            "Compared {entitlements} entitlements of {scopes} scopes: {differences} differences, {usage} more of usage alone; \
             {failed} scopes could not be compared."
        )?;
    }
    Ok(match (failed, differences) {
        (0, 0) => ExitStatus::Success,
        (0, _) => ExitStatus::Findings,
        _ => ExitStatus::Failure,
    })
}

/// The replica's token: that of the options, the stack or the local stack.
async fn token(options: &Compare, deployment: &Deployment) -> Result<String, CompareError> {
    if let Some(token) = options.token.as_ref().filter(|token| !token.is_empty()) {
        return Ok(token.clone());
    }
    if let Some(arn) = &deployment.resources.check_access_secret {
        return Ok(secrets::read::<ReaderSecret>(&deployment.sdk, arn).await?.token);
    }
    match deployment.kind {
        DeploymentKind::Local => Ok(template::local::API_TOKEN.to_owned()),
        DeploymentKind::Stack(_) | DeploymentKind::Explicit => {
            Err(SecretError::Unknown { secret: "the replica's token", option: "--token, or API_TOKEN" }.into())
        }
    }
}

fn scopes_in_file(file: &PathBuf) -> Result<Vec<Scope>, CompareError> {
    let read = || {
        if file.as_os_str() == "-" {
            let mut text = String::new();
            return io::stdin().read_to_string(&mut text).map(|_| text);
        }
        std::fs::read_to_string(file)
    };
    let text = read().map_err(|source| CompareError::File { file: file.clone(), source })?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
    let scope = |(number, line): (usize, &str)| {
        let (customer_id, resource_id) = line.split_once('\t').map_or((line, None), |(id, resource)| (id, Some(resource)));
        let id = |text: &str| Id::try_from(text).map_err(|problem| CompareError::Line { line: number + 1, problem });
        Ok(Scope { customer_id: id(customer_id)?, resource_id: resource_id.map(id).transpose()? })
    };
    lines.map(scope).collect()
}

/// The first customers by id, each with its resources.
async fn first_scopes(store: &Store, count: usize) -> Result<Vec<Scope>, StoreError> {
    let mut customers = BTreeSet::new();
    for shard in 0..SHARDS {
        let page = store.query_index(Index::Customers, shard, &SortKeyRange::default(), false, count).await?;
        customers.extend(page.entries.into_iter().map(|entry| entry.id));
    }
    let mut scopes = Vec::new();
    for customer_id in customers.into_iter().take(count) {
        let resources = store.resources(&customer_id).await?.into_keys().map(Some);
        scopes.extend(
            [None].into_iter().chain(resources).map(|resource_id| Scope { customer_id: customer_id.clone(), resource_id }),
        );
    }
    Ok(scopes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_decisions_depend_on_are_compared_in_any_format() {
        let read = |json: Value| -> Entitlements {
            let entitlements: Vec<Entitlement> = serde_json::from_value(json).unwrap();
            entitlements.into_iter().map(|entitlement| (entitlement.feature.clone().unwrap().ref_id, entitlement)).collect()
        };
        let reference = read(json!([
            {"feature": {"refId": "same"}, "isGranted": true, "usageLimit": 5, "enumValues": ["a", "b"], "hasSoftLimit": null},
            {"feature": {"refId": "limit"}, "isGranted": true, "usageLimit": 5},
            {"feature": {"refId": "denied in the replica"}, "isGranted": true, "currentUsage": 1},
            {"feature": {"refId": "only in the reference"}, "isGranted": true},
            {"feature": {"refId": "denied in the reference"}, "isGranted": false},
        ]));
        let replica = read(json!([
            {"feature": {"refId": "same"}, "isGranted": true, "usageLimit": 5.0, "enumValues": ["b", "a"], "hasSoftLimit": false},
            {"feature": {"refId": "limit"}, "isGranted": true, "usageLimit": 6},
            {"feature": {"refId": "denied in the replica"}, "isGranted": false, "currentUsage": 2},
            {"feature": {"refId": "only in the replica"}, "isGranted": true},
        ]));
        let differences_found = differences(&reference, &replica);
        let found: Vec<_> =
            differences_found.iter().map(|found| (found.feature_id.as_str(), found.field, found.is_usage())).collect();
        let expected = [
            ("denied in the replica", "isGranted", false),
            ("denied in the replica", "currentUsage", true),
            ("limit", "usageLimit", false),
            ("only in the reference", "entitlement", false),
            ("only in the replica", "entitlement", false),
        ];
        assert_eq!(found, expected);
        assert_eq!(differences(&reference, &reference), []);
    }
}
