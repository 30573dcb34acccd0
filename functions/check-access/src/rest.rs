//! The entitlement reads of Stigg's REST API, which its newest family of SDKs uses.
//!
//! Source: the requests and models of PyPI's `stigg` 0.1.0b53. The replica is read only: clients send all other requests of
//! the API to Stigg.

use domain::{access::AccessDeniedReason, id::Id};
use lambda_http::aws_lambda_events::query_map::QueryMap;
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::{
    edge::{self, CreditJson, DisplayName, EntitlementJson},
    query::{id, usage},
    request::RequestError,
    scope::{Feature, Scope},
};

/// Parameters that reserve credits. A replica can't change Stigg's state.
const RESERVATIONS: [&str; 5] =
    ["reserveAmount", "reservationId", "reservationExpiresAt", "reservationTtlSeconds", "reservationMetadata"];

/// The query parameters of `…/entitlements/check`.
#[derive(Debug, PartialEq)]
pub(crate) struct CheckQuery {
    pub(crate) resource_id: Option<Id>,
    pub(crate) subject: Subject,
    pub(crate) requested_usage: f64,
    pub(crate) requested_values: Vec<String>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Subject {
    Feature(Id),
    /// The credits of a currency.
    Currency(Id),
}

impl CheckQuery {
    pub(crate) fn of(query: &QueryMap) -> Result<Self, RequestError> {
        let field = |field: &str, problem: &str| RequestError::Field { field: field.to_owned(), problem: problem.to_owned() };
        if let Some(parameter) = RESERVATIONS.into_iter().find(|parameter| query.first(parameter).is_some()) {
            return Err(field(parameter, "is not supported: this replica is read only. Reserve credits at Stigg's own host"));
        }
        let subject = match (id(query, "featureId")?, id(query, "currencyId")?) {
            (Some(feature_id), None) => Subject::Feature(feature_id),
            (None, Some(currency_id)) => Subject::Currency(currency_id),
            (None, None) => return Err(field("featureId", "is missing: one of `featureId` and `currencyId` is required")),
            (Some(_), Some(_)) => return Err(field("featureId", "can't be combined with `currencyId`")),
        };
        // The SDK joins values with commas.
        let values = query.all("requestedValues").unwrap_or_default().into_iter().flat_map(|list| list.split(','));
        Ok(Self {
            resource_id: id(query, "resourceId")?,
            subject,
            requested_usage: usage(query)?,
            requested_values: values.filter(|value| !value.is_empty()).map(str::to_owned).collect(),
        })
    }
}

/// The response of `…/entitlements`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entitlements<'a> {
    access_denied_reason: Option<AccessDeniedReason>,
    entitlements: Vec<Entitlement<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Entitlement<'a> {
    Feature(FeatureEntitlement<'a>),
    Credit(CreditEntitlement<'a>),
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FeatureEntitlement<'a> {
    r#type: &'static str,
    is_granted: bool,
    access_denied_reason: Option<AccessDeniedReason>,
    has_unlimited_usage: bool,
    usage_limit: Option<Value>,
    current_usage: Option<Value>,
    entitlement_updated_at: Option<&'a str>,
    reset_period: Option<&'static str>,
    usage_period_anchor: Option<String>,
    usage_period_start: Option<String>,
    usage_period_end: Option<String>,
    /// Always null: events do not carry it.
    valid_until: Option<()>,
    feature: Option<FeatureJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FeatureJson<'a> {
    id: Id,
    display_name: DisplayName<'a>,
    feature_status: &'static str,
    feature_type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreditEntitlement<'a> {
    r#type: &'static str,
    is_granted: bool,
    access_denied_reason: Option<AccessDeniedReason>,
    currency: CurrencyJson<'a>,
    usage_limit: Value,
    current_usage: Value,
    usage_updated_at: String,
    entitlement_updated_at: Option<&'a str>,
    usage_period_end: Option<()>,
    valid_until: Option<()>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CurrencyJson<'a> {
    currency_id: String,
    display_name: DisplayName<'a>,
}

impl<'a> Entitlements<'a> {
    /// The entitlements of a scope and the credits that pay for them.
    pub(crate) fn of(scope: &'a Scope, features: &[Feature<'a>]) -> Self {
        let credits = edge::credits(scope, features).into_iter().map(|credit| CreditEntitlement::of(scope, credit));
        let entitlements = features.iter().map(|feature| Entitlement::Feature(FeatureEntitlement::of(scope, feature)));
        Self {
            access_denied_reason: edge::scope_denial(scope),
            entitlements: entitlements.chain(credits.map(Entitlement::Credit)).collect(),
        }
    }
}

impl<'a> FeatureEntitlement<'a> {
    pub(crate) fn of(scope: &'a Scope, feature: &Feature<'a>) -> Self {
        let EntitlementJson {
            is_granted,
            access_denied_reason,
            has_unlimited_usage,
            usage_limit,
            current_usage,
            entitlement_updated_at,
            reset_period,
            usage_period_anchor,
            usage_period_start,
            usage_period_end,
            feature: edge_feature,
            ..
        } = edge::entitlement(scope, feature, "");
        Self {
            r#type: "FEATURE",
            is_granted,
            access_denied_reason,
            has_unlimited_usage,
            usage_limit,
            current_usage,
            entitlement_updated_at,
            reset_period,
            usage_period_anchor,
            usage_period_start,
            usage_period_end,
            valid_until: None,
            feature: edge_feature.map(|edge_feature| FeatureJson {
                id: edge_feature.ref_id,
                display_name: edge_feature.display_name,
                feature_status: status(feature.stored),
                feature_type: edge_feature.feature_type,
            }),
        }
    }

    /// The denial of a feature that is not in the scope's list.
    pub(crate) fn denied(access_denied_reason: Option<AccessDeniedReason>) -> Self {
        Self { r#type: "FEATURE", access_denied_reason, ..Self::default() }
    }
}

/// The feature's status, ACTIVE if it is unknown. No decision depends on it.
fn status(stored: &str) -> &'static str {
    #[derive(serde::Deserialize)]
    struct Stored<'a> {
        #[serde(borrow)]
        feature: &'a RawValue,
    }
    #[derive(serde::Deserialize)]
    struct Feature {
        status: String,
    }
    let feature = serde_json::from_str(stored).ok().and_then(|Stored { feature }| serde_json::from_str(feature.get()).ok());
    let is_status = |name: &&str| feature.as_ref().is_some_and(|Feature { status }| status.eq_ignore_ascii_case(name));
    ["NEW", "SUSPENDED"].into_iter().find(is_status).unwrap_or("ACTIVE")
}

impl<'a> CreditEntitlement<'a> {
    fn of(scope: &Scope, credit: CreditJson<'a>) -> Self {
        let CreditJson { is_granted, access_denied_reason, currency, remaining, usage_limit, current_usage, .. } = credit;
        Self {
            r#type: "CREDIT",
            is_granted,
            access_denied_reason,
            currency: CurrencyJson { currency_id: currency.currency_id, display_name: currency.display_name },
            // If the total is unknown, limit minus usage still equals the balance.
            usage_limit: usage_limit.unwrap_or_else(|| domain::entitlement::to_number(remaining)),
            current_usage: current_usage.unwrap_or_else(|| 0.into()),
            usage_updated_at: credit.usage_updated_at.map_or_else(|| scope.now_text(), str::to_owned),
            entitlement_updated_at: credit.entitlement_updated_at,
            usage_period_end: None,
            valid_until: None,
        }
    }

    /// The credits of a currency. Denied if the requested usage exceeds the credits left.
    pub(crate) fn check(scope: &'a Scope, features: &[Feature<'a>], currency_id: Id, requested_usage: f64) -> Self {
        let found = edge::credits(scope, features).into_iter().find(|credit| credit.currency.currency_id == currency_id.as_str());
        let mut credit = found.unwrap_or_else(|| {
            let mut none = CreditJson::none(currency_id);
            none.access_denied_reason = scope.denial().or(Some(AccessDeniedReason::NoFeatureEntitlementInSubscription));
            none
        });
        if credit.is_granted && !credit.has_soft_limit && requested_usage > credit.remaining {
            (credit.is_granted, credit.access_denied_reason) = (false, Some(AccessDeniedReason::InsufficientCredits));
        }
        Self::of(scope, credit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_has_one_feature_or_one_currency_and_no_reservation() {
        let read = |query: &str| CheckQuery::of(&query.parse().unwrap()).map_err(|error| error.to_string());
        let check = read("featureId=f&resourceId=r&requestedUsage=2&requestedValues=a,b&requestedValues=c").unwrap();
        assert_eq!(check.subject, Subject::Feature(Id::try_from("f").unwrap()));
        assert_eq!((check.requested_usage, check.requested_values), (2.0, ["a", "b", "c"].map(str::to_owned).into()));
        assert_eq!(read("currencyId=c").unwrap().subject, Subject::Currency(Id::try_from("c").unwrap()));
        for (query, error) in [
            ("", "`featureId` is missing: one of `featureId` and `currencyId` is required"),
            ("featureId=f&currencyId=c", "`featureId` can't be combined with `currencyId`"),
            ("featureId=", "`featureId` must not be empty"),
            ("featureId=f&requestedUsage=-1", "`requestedUsage` must be a finite number, not below 0"),
            (
                "currencyId=c&reserveAmount=1",
                "`reserveAmount` is not supported: this replica is read only. Reserve credits at Stigg's own host",
            ),
        ] {
            assert_eq!(read(query), Err(error.to_owned()), "{query}");
        }
    }
}
