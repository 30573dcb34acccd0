//! The read side of Stigg's Edge API, which Stigg's SDKs use.
//!
//! Source: the requests and models of Stigg's published SDKs.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    access::{AccessDeniedReason, EntitlementSnapshot},
    entitlement::{Entitlement, to_number},
    id::Id,
    opaque::OpaqueJson,
    period::ResetPeriod,
    subscription::Subscription,
    time,
};
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::scope::{Feature, Scope};

/// The body of a 200: `{"data": …}`.
#[derive(Serialize)]
pub(crate) struct Data<T> {
    data: T,
}

impl<T> From<T> for Data<T> {
    fn from(data: T) -> Self {
        Self { data }
    }
}

/// `server-sdk-configuration.json` and `client-sdk-configuration.json`. The SDKs request the document but use nothing in it.
#[derive(Serialize)]
pub(crate) struct Configuration {}

/// `entitlements.json`.
#[derive(Serialize)]
pub(crate) struct Entitlements<'a> {
    entitlements: Vec<EntitlementJson<'a>>,
}

/// `entitlements.json` with a `featureId`.
#[derive(Serialize)]
pub(crate) struct SingleEntitlement<'a> {
    entitlement: EntitlementJson<'a>,
}

/// `entitlements-state.json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State<'a> {
    entitlements_state: EntitlementsState<'a>,
}

#[derive(Serialize)]
struct EntitlementsState<'a> {
    #[serde(rename = "__typename")]
    typename: &'static str,
    entitlements: Vec<EntitlementJson<'a>>,
    #[serde(rename = "entitlementsV2")]
    entitlements_v2: Vec<EntitlementV2<'a>>,
    #[serde(rename = "accessDeniedReason")]
    access_denied_reason: Option<AccessDeniedReason>,
}

#[derive(Serialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "most values are of the large variant")]
enum EntitlementV2<'a> {
    Feature(EntitlementJson<'a>),
    Credit(CreditJson<'a>),
}

/// Stigg's `Entitlement` and `FeatureEntitlement`.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EntitlementJson<'a> {
    #[serde(rename = "__typename")]
    typename: &'static str,
    pub(crate) is_granted: bool,
    pub(crate) access_denied_reason: Option<AccessDeniedReason>,
    pub(crate) has_unlimited_usage: bool,
    has_soft_limit: bool,
    pub(crate) usage_limit: Option<Value>,
    pub(crate) current_usage: Option<Value>,
    enum_values: Option<Vec<String>>,
    pub(crate) entitlement_updated_at: Option<&'a str>,
    usage_updated_at: Option<&'a str>,
    pub(crate) usage_period_anchor: Option<String>,
    pub(crate) usage_period_start: Option<String>,
    pub(crate) usage_period_end: Option<String>,
    pub(crate) reset_period: Option<&'static str>,
    reset_period_configuration: Option<ResetPeriodConfiguration>,
    credit_rate: Option<CreditRate>,
    /// Always null: events do not carry it.
    valid_until: Option<()>,
    pub(crate) feature: Option<FeatureJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FeatureJson<'a> {
    #[serde(rename = "__typename")]
    typename: &'static str,
    pub(crate) ref_id: Id,
    pub(crate) display_name: DisplayName<'a>,
    description: Option<&'a RawValue>,
    pub(crate) feature_type: &'static str,
    meter_type: &'static str,
    feature_units: Option<&'a RawValue>,
    feature_units_plural: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum DisplayName<'a> {
    /// A JSON string, as stored.
    Stored(&'a RawValue),
    /// The id of a feature or currency without a name.
    Id(String),
}

#[derive(Serialize)]
#[serde(tag = "__typename")]
enum ResetPeriodConfiguration {
    #[serde(rename = "MonthlyResetPeriodConfig", rename_all = "camelCase")]
    Monthly { monthly_according_to: &'static str },
    #[serde(rename = "WeeklyResetPeriodConfig", rename_all = "camelCase")]
    Weekly { weekly_according_to: &'static str },
    #[serde(rename = "YearlyResetPeriodConfig", rename_all = "camelCase")]
    Yearly { yearly_according_to: &'static str },
}

#[derive(Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreditRate {
    amount: f64,
    currency_id: String,
}

/// Stigg's `CreditEntitlement`: the credits of one currency.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreditJson<'a> {
    #[serde(rename = "__typename")]
    typename: &'static str,
    pub(crate) is_granted: bool,
    pub(crate) access_denied_reason: Option<AccessDeniedReason>,
    pub(crate) currency: CurrencyJson<'a>,
    #[serde(skip)]
    pub(crate) remaining: f64,
    pub(crate) usage_limit: Option<Value>,
    pub(crate) current_usage: Option<Value>,
    pub(crate) has_soft_limit: bool,
    pub(crate) usage_updated_at: Option<&'a str>,
    pub(crate) entitlement_updated_at: Option<&'a str>,
    usage_period_end: Option<()>,
    valid_until: Option<()>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CurrencyJson<'a> {
    pub(crate) currency_id: String,
    pub(crate) display_name: DisplayName<'a>,
}

/// Members of a stored entitlement that no decision depends on. A member of an unexpected type counts as absent.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StoredEntitlement<'a> {
    #[serde(borrow)]
    feature: Option<&'a RawValue>,
    #[serde(borrow)]
    reset_period_configuration: Option<&'a RawValue>,
    #[serde(borrow)]
    credit_rate: Option<&'a RawValue>,
    #[serde(borrow)]
    credit_balance: Option<&'a RawValue>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct StoredFeature<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    description: Option<&'a RawValue>,
    #[serde(borrow)]
    unit: Option<&'a RawValue>,
    #[serde(borrow)]
    units: Option<&'a RawValue>,
}

impl<'a> Entitlements<'a> {
    pub(crate) fn of(scope: &'a Scope, features: &[Feature<'a>]) -> Self {
        Self { entitlements: entitlements(scope, features, "Entitlement") }
    }
}

impl<'a> SingleEntitlement<'a> {
    pub(crate) fn of(scope: &'a Scope, feature: &Feature<'a>) -> Self {
        Self { entitlement: entitlement(scope, feature, "Entitlement") }
    }

    /// The denial of a feature that is not in the scope's list.
    pub(crate) fn denied(access_denied_reason: Option<AccessDeniedReason>) -> Self {
        Self { entitlement: EntitlementJson { typename: "Entitlement", access_denied_reason, ..EntitlementJson::default() } }
    }
}

impl<'a> State<'a> {
    /// The entitlements of a scope in both forms, the credits that pay for them, and why the whole scope is denied.
    pub(crate) fn of(scope: &'a Scope, features: &[Feature<'a>]) -> Self {
        let v2 = entitlements(scope, features, "FeatureEntitlement").into_iter().map(EntitlementV2::Feature);
        Self {
            entitlements_state: EntitlementsState {
                typename: "EntitlementsState",
                entitlements: entitlements(scope, features, "Entitlement"),
                entitlements_v2: v2.chain(credits(scope, features).into_iter().map(EntitlementV2::Credit)).collect(),
                access_denied_reason: scope_denial(scope),
            },
        }
    }
}

/// Why a whole scope is denied. The SDKs' models have only these three reasons for it.
pub(crate) fn scope_denial(scope: &Scope) -> Option<AccessDeniedReason> {
    use AccessDeniedReason as Reason;
    scope.denial().map(|reason| match reason {
        Reason::CustomerNotFound | Reason::CustomerIsArchived => reason,
        _ => Reason::NoActiveSubscription,
    })
}

fn entitlements<'a>(scope: &'a Scope, features: &[Feature<'a>], typename: &'static str) -> Vec<EntitlementJson<'a>> {
    features.iter().map(|feature| entitlement(scope, feature, typename)).collect()
}

pub(crate) fn entitlement<'a>(scope: &'a Scope, feature: &Feature<'a>, typename: &'static str) -> EntitlementJson<'a> {
    let Feature { request, decision, entitlement, stored } = feature;
    let EntitlementSnapshot {
        current_usage,
        usage_limit,
        has_unlimited_usage,
        has_soft_limit,
        usage_period_start,
        usage_period_end,
        enum_values,
        ..
    } = decision.snapshot.clone();
    let stored: StoredEntitlement<'_> = serde_json::from_str(stored).unwrap_or_default();
    let reset_period = entitlement.period.reset_period.as_deref().and_then(ResetPeriod::parse);
    EntitlementJson {
        typename,
        is_granted: decision.has_access(),
        access_denied_reason: decision.denied,
        // The SDKs treat a missing limit as 0, also if credits are the only limit.
        has_unlimited_usage: has_unlimited_usage
            || (entitlement.balance.is_some() && usage_limit.is_none() && decision.has_access()),
        has_soft_limit,
        feature: Some(feature_json(request.feature_id.clone(), entitlement, stored.feature, current_usage.is_some())),
        usage_limit,
        current_usage,
        enum_values,
        entitlement_updated_at: scope.list_time(),
        usage_updated_at: scope.usage_time(&request.feature_id, entitlement),
        usage_period_anchor: entitlement.period.usage_period_anchor.map(time::to_fixed_width),
        usage_period_start,
        usage_period_end,
        reset_period: reset_period.map(ResetPeriod::as_str),
        reset_period_configuration: reset_period
            .and_then(|period| reset_period_configuration(period, stored.reset_period_configuration?)),
        credit_rate: stored.credit_rate.and_then(|rate| serde_json::from_str(rate.get()).ok()),
        valid_until: None,
    }
}

fn feature_json<'a>(ref_id: Id, entitlement: &Entitlement, stored: Option<&'a RawValue>, is_metered: bool) -> FeatureJson<'a> {
    let feature = &entitlement.grant.feature;
    let is_type = |name: &&str| feature.feature_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case(name));
    // The SDKs reject the whole document if it has a type that their models lack. An unknown type becomes a NUMBER without
    // a meter, to which the SDKs apply no rules of their own.
    let feature_type = ["BOOLEAN", "NUMBER", "ENUM"].into_iter().find(is_type).unwrap_or("NUMBER");
    let is_incremental = feature.meter_type.as_deref().is_some_and(|meter| meter.eq_ignore_ascii_case("INCREMENTAL"));
    let stored: StoredFeature<'_> = stored.and_then(|feature| serde_json::from_str(feature.get()).ok()).unwrap_or_default();
    FeatureJson {
        typename: "EntitlementFeature",
        display_name: if_string(stored.name).map_or_else(|| DisplayName::Id(ref_id.to_string()), DisplayName::Stored),
        ref_id,
        description: if_string(stored.description),
        feature_type,
        meter_type: match (is_metered, is_incremental) {
            (false, _) => "None",
            (true, true) => "Incremental",
            (true, false) => "Fluctuating",
        },
        feature_units: if_string(stored.unit),
        feature_units_plural: if_string(stored.units),
    }
}

/// One entitlement per credit currency. It is granted unless each feature that the currency pays for lacks credits.
pub(crate) fn credits<'a>(scope: &'a Scope, features: &[Feature<'a>]) -> Vec<CreditJson<'a>> {
    let mut credits: BTreeMap<String, CreditJson<'a>> = BTreeMap::new();
    for feature in features {
        let Feature { decision, entitlement, stored, .. } = feature;
        let (Some(balance), Some(currency_id)) = (&entitlement.balance, entitlement.grant.currency_id()) else { continue };
        let is_granted = decision.denied != Some(AccessDeniedReason::InsufficientCredits);
        let credit = credits.entry(currency_id.to_owned()).or_insert_with(|| CreditJson {
            access_denied_reason: Some(AccessDeniedReason::InsufficientCredits),
            currency: CurrencyJson {
                currency_id: currency_id.to_owned(),
                display_name: currency_name(stored).map_or_else(|| DisplayName::Id(currency_id.to_owned()), DisplayName::Stored),
            },
            remaining: balance.remaining_balance,
            usage_limit: balance.total_granted.map(to_number),
            current_usage: balance.total_granted.map(|granted| to_number(granted - balance.remaining_balance)),
            usage_updated_at: scope.balance_time(currency_id, entitlement),
            entitlement_updated_at: scope.list_time(),
            ..CreditJson::none(currency_id)
        });
        credit.has_soft_limit |= entitlement.has_soft_limit();
        if is_granted {
            (credit.is_granted, credit.access_denied_reason) = (true, None);
        }
    }
    credits.into_values().collect()
}

impl CreditJson<'_> {
    /// A currency without credits.
    pub(crate) fn none(currency_id: impl ToString) -> Self {
        Self {
            typename: "CreditEntitlement",
            is_granted: false,
            access_denied_reason: None,
            currency: CurrencyJson {
                currency_id: currency_id.to_string(),
                display_name: DisplayName::Id(currency_id.to_string()),
            },
            remaining: 0.0,
            usage_limit: None,
            current_usage: None,
            has_soft_limit: false,
            usage_updated_at: None,
            entitlement_updated_at: None,
            usage_period_end: None,
            valid_until: None,
        }
    }
}

fn currency_name(stored: &str) -> Option<&RawValue> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Balance<'a> {
        #[serde(borrow)]
        credit_currency: &'a RawValue,
    }
    #[derive(serde::Deserialize)]
    struct Currency<'a> {
        #[serde(borrow)]
        name: Option<&'a RawValue>,
    }
    let StoredEntitlement { credit_balance, .. } = serde_json::from_str(stored).ok()?;
    let Balance { credit_currency } = serde_json::from_str(credit_balance?.get()).ok()?;
    let Currency { name } = serde_json::from_str(credit_currency.get()).ok()?;
    if_string(name)
}

fn if_string(value: Option<&RawValue>) -> Option<&RawValue> {
    value.filter(|value| value.get().starts_with('"'))
}

/// Converts the webhooks' `{accordingTo}` to the Edge API's union. None for a value that the SDKs' models lack.
fn reset_period_configuration(period: ResetPeriod, stored: &RawValue) -> Option<ResetPeriodConfiguration> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Configuration {
        according_to: String,
    }
    const START: &str = "SubscriptionStart";
    const DAYS: [&str; 7] =
        ["EveryMonday", "EveryTuesday", "EveryWednesday", "EveryThursday", "EveryFriday", "EverySaturday", "EverySunday"];
    let Configuration { according_to } = serde_json::from_str(stored.get()).ok()?;
    let one_of = |values: &[&'static str]| values.iter().copied().find(|value| *value == according_to);
    match period {
        ResetPeriod::Month => one_of(&[START, "StartOfTheMonth"])
            .map(|monthly_according_to| ResetPeriodConfiguration::Monthly { monthly_according_to }),
        ResetPeriod::Week => one_of(&[START])
            .or_else(|| one_of(&DAYS))
            .map(|weekly_according_to| ResetPeriodConfiguration::Weekly { weekly_according_to }),
        ResetPeriod::Year => one_of(&[START]).map(|yearly_according_to| ResetPeriodConfiguration::Yearly { yearly_according_to }),
        ResetPeriod::Day | ResetPeriod::Hour => None,
    }
}

/// `subscriptions.json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subscriptions<'a> {
    get_active_subscriptions: Vec<SubscriptionJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SubscriptionJson<'a> {
    subscription_id: &'a Id,
    status: &'a str,
    pricing_type: &'a str,
    start_date: &'a str,
    end_date: Option<&'a str>,
    cancellation_date: Option<&'a str>,
    effective_end_date: Option<&'a str>,
    current_billing_period_start: Option<&'a str>,
    current_billing_period_end: Option<&'a str>,
    billing_period: Option<&'a str>,
    trial_end_date: Option<&'a str>,
    additional_meta_data: Option<&'a OpaqueJson>,
    customer: CustomerJson<'a>,
    resource: Option<ResourceJson<'a>>,
    plan: PlanJson<'a>,
    addons: Vec<AddonJson>,
    prices: [(); 0],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CustomerJson<'a> {
    customer_id: &'a Id,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceJson<'a> {
    resource_id: &'a Id,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanJson<'a> {
    plan_id: &'a Id,
    display_name: &'a str,
    description: Option<String>,
    product: ProductJson,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProductJson {
    ref_id: String,
}

#[derive(Serialize)]
struct AddonJson {
    quantity: f64,
    addon: AddonIdJson,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AddonIdJson {
    addon_id: String,
}

impl<'a> Subscriptions<'a> {
    /// A customer's active subscriptions of these resources, or of the customer level if there are no resources.
    pub(crate) fn of(subscriptions: &'a BTreeMap<Id, Subscription>, resources: &BTreeSet<Id>) -> Self {
        let is_active = |subscription: &Subscription| matches!(subscription.status.as_str(), "ACTIVE" | "IN_TRIAL");
        let is_requested = |subscription: &Subscription| match &subscription.details.resource_id {
            None => resources.is_empty(),
            Some(resource_id) => resources.contains(resource_id),
        };
        let shown = subscriptions.iter().filter(|(_, subscription)| is_active(subscription) && is_requested(subscription));
        Self { get_active_subscriptions: shown.map(|(id, subscription)| SubscriptionJson::of(id, subscription)).collect() }
    }
}

impl<'a> SubscriptionJson<'a> {
    fn of(subscription_id: &'a Id, subscription: &'a Subscription) -> Self {
        let Subscription { customer_id, status, dates, details, .. } = subscription;
        let value = |json: &Option<OpaqueJson>| -> Value {
            json.as_ref().and_then(|json| serde_json::from_str(json.as_str()).ok()).unwrap_or_default()
        };
        let string = |json: &Value, name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
        let one_of = |value: Option<String>, values: &[&'static str]| {
            value.and_then(|value| values.iter().copied().find(|known| known.eq_ignore_ascii_case(&value)))
        };
        let plan = value(&details.plan);
        let addons = value(&details.addons);
        let addons = addons.as_array().into_iter().flatten().filter_map(|addon| {
            let quantity = addon.get("quantity").and_then(Value::as_f64).unwrap_or(1.0);
            Some(AddonJson { quantity, addon: AddonIdJson { addon_id: string(addon, "id")? } })
        });
        Self {
            subscription_id,
            status,
            // A plan without a pricing type may be free or paid.
            pricing_type: one_of(string(&plan, "pricingType"), &["FREE", "PAID", "CUSTOM"]).unwrap_or("CUSTOM"),
            start_date: &dates.start_date,
            end_date: dates.end_date.as_deref(),
            cancellation_date: dates.cancellation_date.as_deref(),
            effective_end_date: dates.end_date.as_deref(),
            current_billing_period_start: dates.current_billing_period_start.as_deref(),
            current_billing_period_end: dates.current_billing_period_end.as_deref(),
            billing_period: one_of(details.billing_period.as_ref().and_then(OpaqueJson::to_text), &["MONTHLY", "ANNUALLY"]),
            trial_end_date: dates.trial_end_date.as_deref(),
            additional_meta_data: details.metadata.as_ref(),
            customer: CustomerJson { customer_id },
            resource: details.resource_id.as_ref().map(|resource_id| ResourceJson { resource_id }),
            plan: PlanJson {
                plan_id: &details.plan_id,
                display_name: &details.plan_name,
                description: string(&plan, "description"),
                // Not a documented member of events.
                product: ProductJson { ref_id: string(&plan, "productId").unwrap_or_default() },
            },
            addons: addons.collect(),
            prices: [],
        }
    }
}
