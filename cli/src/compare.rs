//! `byos compare`: the replica's entitlements beside those of another Edge API, such as Stigg's own.

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

Exit codes: 0 no differences; 1 failed, or a scope could not be compared; 2 bad usage; 3 differences.")]
pub struct Compare {
    #[command(flatten)]
    pub target: Target,

    /// The Edge API to compare with; its key is in the variable STIGG_API_KEY
    #[arg(long, env = "STIGG_EDGE_URL", value_name = "URL", default_value = "https://edge.api.stigg.io")]
    pub reference: Url,

    /// The replica's token for checks; with --stack it is read from Secrets Manager
    #[arg(long, env = "API_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,

    /// A file with a customer's id on each line, or the id, a tab and a resource's id; - is standard input
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
    #[error("the replica's customers can't be listed: {0}")]
    Store(#[from] StoreError),
    #[error("{what}: {source}")]
    File { what: String, source: io::Error },
    #[error("line {line} of the file: an id {problem}")]
    Line { line: usize, problem: IdError },
    #[error("the HTTP client can't be set up: {0}")]
    Client(#[from] reqwest::Error),
    #[error("{side} rejects the key ({status})")]
    Rejected { side: &'static str, status: StatusCode },
    #[error("the replica's address is not known: give --url or --stack")]
    NoAddress,
    #[error("the replica's token holds characters that a header can't hold")]
    Token,
}

/// The customer level, or a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
struct Scope {
    customer_id: Id,
    resource_id: Option<Id>,
}

/// One of the two sides.
struct Side {
    name: &'static str,
    client: Client,
    url: Url,
    key: HeaderValue,
}

/// A scope's entitlements by feature.
type Entitlements = BTreeMap<String, Entitlement>;

/// The members that decide, and the usage. Members that Stigg leaves out count as null or false.
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

/// A member of an entitlement that differs, or with `entitlement` the whole of it.
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
    /// Usage that differs, which does not count.
    usage: usize,
    failed: usize,
}

impl Side {
    fn new(name: &'static str, url: Url, mut key: HeaderValue) -> Result<Self, CompareError> {
        key.set_sensitive(true);
        Ok(Self { name, client: http::builder().timeout(TIMEOUT).build()?, url, key })
    }

    /// A scope's entitlements. The inner error is this scope's alone.
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
                return Err(CompareError::Rejected { side: self.name, status });
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
                let by_feature = |one: Entitlement| Some((one.feature.clone()?.ref_id, one));
                Ok(Ok(data.entitlements.into_iter().filter_map(by_feature).collect()))
            }
            Err(error) => failed(format!("its answer can't be read: {}", in_one_line(&error.without_url()))),
        }
    }
}

/// What differs between the two sides' entitlements.
fn differences(reference: &Entitlements, replica: &Entitlements) -> Vec<Difference> {
    let features: BTreeSet<_> = reference.keys().chain(replica.keys()).collect();
    let mut differences = Vec::new();
    for feature_id in features {
        let (left, right) = (reference.get(feature_id), replica.get(feature_id));
        let mut hold = |field, left: Value, right: Value| {
            if left != right {
                differences.push(Difference { feature_id: feature_id.clone(), field, reference: left, replica: right });
            }
        };
        let (Some(left), Some(right)) = (left, right) else {
            // A feature that is absent is denied, as one that is listed as not granted.
            if left.or(right).is_some_and(|one| one.is_granted) {
                hold("entitlement", json!(left), json!(right));
            }
            continue;
        };
        hold("isGranted", json!(left.is_granted), json!(right.is_granted));
        hold("hasUnlimitedUsage", json!(left.has_unlimited_usage == Some(true)), json!(right.has_unlimited_usage == Some(true)));
        hold("hasSoftLimit", json!(left.has_soft_limit == Some(true)), json!(right.has_soft_limit == Some(true)));
        hold("usageLimit", json!(left.usage_limit), json!(right.usage_limit));
        hold("enumValues", json!(left.enum_values), json!(right.enum_values));
        hold("resetPeriod", json!(left.reset_period), json!(right.reset_period));
        hold("currentUsage", json!(left.current_usage.unwrap_or(0.0)), json!(right.current_usage.unwrap_or(0.0)));
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
    let sides =
        [Side::new("the reference", options.reference.clone(), key.header().clone())?, Side::new("the replica", api, token)?];
    let scopes = match &options.customers {
        Some(file) => of_file(file)?,
        None => first(&deployment.store().await?, options.first).await?,
    };
    let concurrency = usize::from(options.concurrency);
    let mut found = look(&sides, scopes, concurrency).await?;
    let differs = |looked: &Looked| looked.as_ref().is_ok_and(|(all, _)| all.iter().any(|one| !one.is_usage()));
    let again: Vec<_> = found.iter().filter(|(_, looked)| differs(looked)).map(|(scope, _)| scope.clone()).collect();
    if !again.is_empty() {
        tokio::time::sleep(Duration::from_secs(options.settle.into())).await;
        found.extend(look(&sides, again, concurrency).await?);
    }
    print(&found, options.json).map_err(|source| CompareError::File { what: "results can't be written".to_owned(), source })
}

/// What differs in a scope and how many features were compared, or why it could not be compared.
type Looked = Result<(Vec<Difference>, usize), String>;

/// Asks both sides for each scope.
async fn look(sides: &[Side; 2], scopes: Vec<Scope>, concurrency: usize) -> Result<BTreeMap<Scope, Looked>, CompareError> {
    let [reference, replica] = sides;
    let one = async |scope: Scope| {
        let (left, right) = futures_util::future::try_join(reference.entitlements(&scope), replica.entitlements(&scope)).await?;
        let looked = left.and_then(|left| right.map(|right| (differences(&left, &right), left.len().max(right.len()))));
        Ok::<_, CompareError>((scope, looked))
    };
    let mut looks = stream::iter(scopes.into_iter().map(one)).buffer_unordered(concurrency);
    let mut found = BTreeMap::new();
    while let Some(looked) = looks.next().await {
        let (scope, looked) = looked?;
        found.insert(scope, looked);
    }
    Ok(found)
}

fn print(found: &BTreeMap<Scope, Looked>, is_json: bool) -> io::Result<ExitStatus> {
    let mut out = io::stdout().lock();
    let mut summary = Summary { scopes: found.len(), ..Summary::default() };
    for (scope, looked) in found {
        let name = scope.resource_id.as_ref().map_or_else(String::new, |id| format!(", resource {id}"));
        let name = format!("{}{name}", scope.customer_id);
        match looked {
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

/// The replica's token: as given, the stack's, or the local stack's.
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

fn of_file(file: &PathBuf) -> Result<Vec<Scope>, CompareError> {
    let read = || {
        if file.as_os_str() == "-" {
            let mut text = String::new();
            return io::stdin().read_to_string(&mut text).map(|_| text);
        }
        std::fs::read_to_string(file)
    };
    let what = || format!("{} can't be read", file.display());
    let text = read().map_err(|source| CompareError::File { what: what(), source })?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
    let scope = |(number, line): (usize, &str)| {
        let (customer_id, resource_id) = line.split_once('\t').map_or((line, None), |(id, resource)| (id, Some(resource)));
        let id = |text: &str| Id::try_from(text).map_err(|problem| CompareError::Line { line: number + 1, problem });
        Ok(Scope { customer_id: id(customer_id)?, resource_id: resource_id.map(id).transpose()? })
    };
    lines.map(scope).collect()
}

/// The first customers by id, with their resources.
async fn first(store: &Store, count: usize) -> Result<Vec<Scope>, StoreError> {
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
    fn members_that_decide_are_compared_whatever_their_form() {
        let read = |json: Value| -> Entitlements {
            let all: Vec<Entitlement> = serde_json::from_value(json).unwrap();
            all.into_iter().map(|one| (one.feature.clone().unwrap().ref_id, one)).collect()
        };
        let reference = read(json!([
            {"feature": {"refId": "same"}, "isGranted": true, "usageLimit": 5, "enumValues": ["a", "b"], "hasSoftLimit": null},
            {"feature": {"refId": "limit"}, "isGranted": true, "usageLimit": 5},
            {"feature": {"refId": "denied here"}, "isGranted": true, "currentUsage": 1},
            {"feature": {"refId": "only there"}, "isGranted": true},
            {"feature": {"refId": "denied there"}, "isGranted": false},
        ]));
        let replica = read(json!([
            {"feature": {"refId": "same"}, "isGranted": true, "usageLimit": 5.0, "enumValues": ["b", "a"], "hasSoftLimit": false},
            {"feature": {"refId": "limit"}, "isGranted": true, "usageLimit": 6},
            {"feature": {"refId": "denied here"}, "isGranted": false, "currentUsage": 2},
            {"feature": {"refId": "only here"}, "isGranted": true},
        ]));
        let found = differences(&reference, &replica);
        let found: Vec<_> = found.iter().map(|one| (one.feature_id.as_str(), one.field, one.is_usage())).collect();
        let expected = [
            ("denied here", "isGranted", false),
            ("denied here", "currentUsage", true),
            ("limit", "usageLimit", false),
            ("only here", "entitlement", false),
            ("only there", "entitlement", false),
        ];
        assert_eq!(found, expected);
        assert_eq!(differences(&reference, &reference), []);
    }
}
