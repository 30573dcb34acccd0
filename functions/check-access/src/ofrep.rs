//! The OpenFeature Remote Evaluation Protocol (OFREP), which every OpenFeature SDK can use.
//!
//! Source: open-feature/protocol, `service/openapi.yaml`, version 0.3.0. The `targetingKey` is the customer id. Requests
//! carry no type, so the type of a value depends on the key alone:
//!
//! | key | value |
//! |---|---|
//! | `<feature>` | boolean: whether access is granted |
//! | `<feature>.limit` | number: the limit of a NUMBER feature; [`UNLIMITED`] if its usage is unlimited |
//! | `<feature>.usage` | number: usage of a metered feature in the current period |
//! | `<feature>.values` | list of strings: the granted values of an ENUM feature |
//!
//! Numbers always have a fraction (`5.0`): providers in typed languages parse `5` and `2.5` as different types.
//!
//! If the list has a feature whose id ends in such a suffix, the key means that feature.

use domain::{
    access::{AccessRequest, Decision, EntitlementSnapshot},
    id::Id,
};
use lambda_http::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::StoreError;

use crate::{
    Denial,
    request::{RequestError, object},
    scope::Scope,
};

/// The limit of unlimited usage: 2^53 - 1, the largest whole number that every provider parses exactly. Unlike a missing or
/// negative limit, it is above any usage that a caller compares it with.
pub(crate) const UNLIMITED: f64 = 9_007_199_254_740_991.0;

/// Why an evaluation is rejected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OfrepError {
    #[error("the body is not JSON")]
    NotJson,
    #[error("{0}")]
    Context(RequestError),
    #[error("`context.targetingKey` is missing: set it to the customer id")]
    TargetingKey,
    #[error("the customer has no entitlement with a value for this key")]
    NotFound,
}

impl OfrepError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::NotJson | Self::Context(_) | Self::TargetingKey => StatusCode::BAD_REQUEST,
        }
    }

    /// The body of a rejection. `key` is required for a single evaluation: providers ignore a body without it.
    pub(crate) fn body<'a>(&self, key: Option<&'a str>) -> Failure<'a> {
        let error_code = match self {
            Self::NotJson => "PARSE_ERROR",
            Self::Context(_) => "INVALID_CONTEXT",
            Self::TargetingKey => "TARGETING_KEY_MISSING",
            Self::NotFound => "FLAG_NOT_FOUND",
        };
        Failure { key, error_code, error_details: self.to_string() }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failure<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    error_code: &'static str,
    error_details: String,
}

/// The evaluation context: who requests what.
#[derive(Debug, PartialEq)]
pub(crate) struct Context {
    pub(crate) customer_id: Id,
    pub(crate) resource_id: Option<Id>,
    requested_usage: f64,
    requested_values: Vec<String>,
}

impl Context {
    /// Parses the body of an evaluation. Unknown attributes are ignored: a program shares one context between all its flags.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, OfrepError> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            context: Attributes,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Attributes {
            #[serde(default)]
            targeting_key: Option<String>,
            #[serde(default)]
            resource_id: Option<Id>,
            #[serde(default, deserialize_with = "crate::request::requested_usage")]
            requested_usage: f64,
            #[serde(default)]
            requested_values: Option<Vec<String>>,
        }
        let Body { context } = object(body).map_err(|error| match error {
            RequestError::NotJson => OfrepError::NotJson,
            error => OfrepError::Context(error),
        })?;
        let customer_id = context.targeting_key.filter(|key| !key.is_empty()).ok_or(OfrepError::TargetingKey)?;
        let invalid = |error: domain::id::IdError| {
            OfrepError::Context(RequestError::Field { field: "context.targetingKey".to_owned(), problem: error.to_string() })
        };
        Ok(Self {
            customer_id: Id::try_from(customer_id).map_err(invalid)?,
            resource_id: context.resource_id,
            requested_usage: context.requested_usage,
            requested_values: context.requested_values.unwrap_or_default(),
        })
    }

    fn request(&self, scope: &Scope, feature_id: Id) -> AccessRequest {
        AccessRequest {
            requested_usage: self.requested_usage,
            requested_values: self.requested_values.clone(),
            ..scope.request(feature_id)
        }
    }
}

/// A successful evaluation.
#[derive(Serialize)]
pub(crate) struct Flag {
    key: String,
    value: Value,
    reason: &'static str,
    variant: String,
    metadata: Map<String, Value>,
    /// Present if the value is a decision.
    #[serde(skip)]
    pub(crate) decision: Option<Denial>,
}

/// A successful bulk evaluation.
#[derive(Serialize)]
pub(crate) struct Flags {
    flags: Vec<Flag>,
}

/// The part of an entitlement that a key evaluates to.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Access,
    Limit,
    Usage,
    Values,
}

impl Part {
    const SUFFIXES: [(Self, &str); 3] = [(Self::Limit, ".limit"), (Self::Usage, ".usage"), (Self::Values, ".values")];

    /// None if the entitlement has no such value.
    fn value(self, decision: &Decision) -> Option<Value> {
        let EntitlementSnapshot { current_usage, usage_limit, has_unlimited_usage, enum_values, remaining_balance, .. } =
            &decision.snapshot;
        let number = |number: &Option<Value>| number.as_ref().and_then(Value::as_f64);
        match self {
            Self::Access => Some(decision.has_access().into()),
            Self::Limit if *has_unlimited_usage => Some(UNLIMITED.into()),
            Self::Limit => {
                // The limit of a metered feature is 0 if it is missing, unless credits are the limit.
                let is_zero = current_usage.is_some() && remaining_balance.is_none();
                number(usage_limit).or_else(|| is_zero.then_some(0.0)).map(Value::from)
            }
            Self::Usage => number(current_usage).map(Value::from),
            Self::Values => enum_values.clone().map(Value::from),
        }
    }
}

impl Flag {
    fn new(key: String, part: Part, decision: &Decision) -> Option<Self> {
        let EntitlementSnapshot { current_usage, usage_limit, remaining_balance, .. } = &decision.snapshot;
        let mut metadata = Map::new();
        let numbers = [("currentUsage", current_usage), ("usageLimit", usage_limit), ("remainingBalance", remaining_balance)];
        for (name, number) in numbers {
            if let Some(number) = number {
                metadata.insert(name.to_owned(), number.clone());
            }
        }
        let variant = decision.denied.map_or_else(|| "granted".to_owned(), |reason| format!("{reason:?}"));
        let denial = (part == Part::Access).then_some(decision.denied);
        Some(Self { key, value: part.value(decision)?, reason: "TARGETING_MATCH", variant, metadata, decision: denial })
    }

    /// Evaluates a key. None if the entitlement has no such number or list.
    ///
    /// Without an entitlement the value is false, whether the feature exists or not. The replica does not have Stigg's
    /// product catalog, and after a 404 the caller would use its default, which may be true.
    pub(crate) fn of(scope: &Scope, context: &Context, key: &str) -> Result<Option<Self>, StoreError> {
        let Ok(feature_id) = Id::try_from(key) else { return Ok(None) };
        let suffix = Part::SUFFIXES.into_iter().find_map(|(part, suffix)| Some((part, key.strip_suffix(suffix)?)));
        let (part, feature_id) = match suffix.map(|(part, base)| (part, Id::try_from(base))) {
            Some((part, Ok(base))) if !scope.has_feature(&feature_id) => (part, base),
            _ => (Part::Access, feature_id),
        };
        let decision = scope.decide(&context.request(scope, feature_id))?;
        Ok(Self::new(key.to_owned(), part, &decision))
    }
}

impl Flags {
    pub(crate) fn decisions(&self) -> impl Iterator<Item = Denial> + '_ {
        self.flags.iter().filter_map(|flag| flag.decision)
    }

    /// Evaluates all keys of the scope's features.
    pub(crate) fn of(scope: &Scope, context: &Context) -> Result<Self, StoreError> {
        let mut flags = Vec::new();
        for feature in scope.features()? {
            let feature_id = feature.request.feature_id;
            let decision = scope.decide(&context.request(scope, feature_id.clone()))?;
            flags.extend(Flag::new(feature_id.to_string(), Part::Access, &decision));
            for (part, suffix) in Part::SUFFIXES {
                let key = format!("{feature_id}{suffix}");
                let is_other_feature = Id::try_from(key.as_str()).is_ok_and(|id| scope.has_feature(&id));
                if !is_other_feature {
                    flags.extend(Flag::new(key, part, &decision));
                }
            }
        }
        Ok(Self { flags })
    }
}
