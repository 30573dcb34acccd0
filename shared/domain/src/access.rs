//! Who may use what: the decision, as Stigg's own SDK would take it.
//!
//! Source: the order of conditions in Stigg's published SDKs. The first that applies decides.

mod steps;
#[cfg(test)]
mod tests;

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::{
    customer::{CustomerRegisters, Standing},
    entitlement::{Entitlement, ScopeRegisters, Unreadable, to_number},
    id::Id,
    time,
};
use steps::Steps;

pub use steps::{Row, Step};

/// What a check asks.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessRequest {
    /// The customer.
    pub customer_id: Id,
    /// The feature.
    pub feature_id: Id,
    /// The resource; None asks at customer level, never at both.
    pub resource_id: Option<Id>,
    /// How much more of a metered feature is about to be used: finite, not negative.
    pub requested_usage: f64,
    /// The values of an ENUM feature that are about to be used.
    pub requested_values: Vec<String>,
}

/// The visible state that a check depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessView {
    /// Whether there is such a customer.
    pub standing: Standing,
    /// Number of features in the scope's newest list. None if no list is known.
    pub list: Option<usize>,
    /// The feature's entitlement, if the newest list holds it.
    pub entitlement: Option<Entitlement>,
}

impl AccessView {
    /// The view of one feature in a scope of the customer's. Registers at or below the customer's tombstone count
    /// as absent.
    ///
    /// # Errors
    /// If the stored entitlement is not readable.
    pub fn of<P, E>(customer: &CustomerRegisters<P, E>, scope: &ScopeRegisters, feature_id: &Id) -> Result<Self, Unreadable> {
        let tombstone = customer.tombstone.as_ref();
        Ok(Self {
            standing: customer.standing(),
            list: scope.visible_list(tombstone).map(|list| list.value.len()),
            entitlement: scope.entitlement(feature_id, tombstone)?,
        })
    }
}

/// Why access is denied, as Stigg's SDKs name it. They know more reasons; these are the ones that a
/// replica can come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum AccessDeniedReason {
    /// No such customer.
    CustomerNotFound,
    /// The customer was deleted.
    CustomerIsArchived,
    /// No list is known for that resource.
    CustomerResourceNotFound,
    /// No list is known, or an empty one.
    NoActiveSubscription,
    /// The list has no such feature.
    NoFeatureEntitlementInSubscription,
    /// The usage that is requested passes the limit.
    RequestedUsageExceedingLimit,
    /// A value that is requested is not among those granted.
    RequestedValuesMismatch,
    /// The credits behind it are used up.
    InsufficientCredits,
    /// The feature is of a type that this replica does not know.
    Unknown,
}

impl AccessDeniedReason {
    /// The reason as it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CustomerNotFound => "CustomerNotFound",
            Self::CustomerIsArchived => "CustomerIsArchived",
            Self::CustomerResourceNotFound => "CustomerResourceNotFound",
            Self::NoActiveSubscription => "NoActiveSubscription",
            Self::NoFeatureEntitlementInSubscription => "NoFeatureEntitlementInSubscription",
            Self::RequestedUsageExceedingLimit => "RequestedUsageExceedingLimit",
            Self::RequestedValuesMismatch => "RequestedValuesMismatch",
            Self::InsufficientCredits => "InsufficientCredits",
            Self::Unknown => "Unknown",
        }
    }
}

/// The numbers a decision was taken on, as far as the feature has such.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DecidedOn {
    /// Usage in the present period.
    pub current_usage: Option<Value>,
    /// The limit, or the value of a feature without a meter.
    pub usage_limit: Option<Value>,
    /// Usage has no limit.
    pub has_unlimited_usage: bool,
    /// The limit may be passed.
    pub has_soft_limit: bool,
    /// When the present usage period began.
    pub usage_period_start: Option<String>,
    /// When it ends.
    pub usage_period_end: Option<String>,
    /// The values that may be used.
    pub enum_values: Option<Vec<String>>,
    /// What is left of the credits behind it.
    pub remaining_balance: Option<Value>,
}

/// The answer to a check.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// None grants.
    pub denied: Option<AccessDeniedReason>,
    /// For people.
    pub reason: String,
    /// What it was decided on.
    pub decided_on: DecidedOn,
}

impl Decision {
    /// Whether access is granted.
    pub fn has_access(&self) -> bool {
        self.denied.is_none()
    }
}

/// A decision with the way to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The rows that were come to, in their order. The last one decides.
    pub steps: Vec<Step>,
    /// What it comes to.
    pub decision: Decision,
}

/// Decides. Pure: the same view, request and moment always give the same answer.
pub fn decide(view: &AccessView, request: &AccessRequest, now: Timestamp) -> Decision {
    walk(view, request, now, &mut Steps::dropped())
}

/// Decides, and tells the way: what each row was held against, up to the one that decides.
pub fn explain(view: &AccessView, request: &AccessRequest, now: Timestamp) -> Explanation {
    let mut steps = Steps::kept();
    let decision = walk(view, request, now, &mut steps);
    Explanation { steps: steps.into_steps(), decision }
}

/// Why a scope is denied whatever the feature (rows 1 to 3a), as [`decide`] would deny it. None if the decision depends
/// on the feature. `list` is the number of features in its newest list.
pub fn denies_scope(standing: Standing, list: Option<usize>, is_resource: bool) -> Option<AccessDeniedReason> {
    use AccessDeniedReason as Reason;
    match (standing, list) {
        (Standing::Unknown, _) => Some(Reason::CustomerNotFound),
        (Standing::Archived, _) => Some(Reason::CustomerIsArchived),
        (Standing::Live, None) if is_resource => Some(Reason::CustomerResourceNotFound),
        (Standing::Live, None | Some(0)) => Some(Reason::NoActiveSubscription),
        (Standing::Live, Some(_)) => None,
    }
}

/// Goes through the rows in their order until one decides.
fn walk(view: &AccessView, request: &AccessRequest, now: Timestamp, steps: &mut Steps) -> Decision {
    match before_the_feature(view, request, steps) {
        Err((denied, reason)) => Decision { denied: Some(denied), reason, decided_on: DecidedOn::default() },
        Ok(entitlement) => {
            let (denied, reason) = match by_the_feature(entitlement, request, now, steps) {
                Ok(reason) => (None, reason),
                Err((denied, reason)) => (Some(denied), reason),
            };
            Decision { denied, reason, decided_on: decided_on(entitlement, now) }
        }
    }
}

type Denial = (AccessDeniedReason, String);

/// Rows 1 to 4: whether there is anything to decide by.
fn before_the_feature<'a>(view: &'a AccessView, request: &AccessRequest, steps: &mut Steps) -> Result<&'a Entitlement, Denial> {
    use AccessDeniedReason as Reason;
    let AccessRequest { customer_id, feature_id, resource_id, .. } = request;
    let standing = match view.standing {
        Standing::Unknown => "nothing is known of it",
        Standing::Archived => "it was deleted, and nothing since shows it alive",
        Standing::Live => "it is live",
    };
    if steps.decides(Row::Unknown, view.standing == Standing::Unknown, format_args!("{standing}")) {
        return Err((Reason::CustomerNotFound, format!("There is no customer {customer_id}.")));
    }
    if steps.decides(Row::Archived, view.standing == Standing::Archived, format_args!("{standing}")) {
        return Err((Reason::CustomerIsArchived, format!("The customer {customer_id} was deleted (archived) in Stigg.")));
    }
    let scope = match resource_id {
        Some(resource_id) => format!("The resource {resource_id} of the customer {customer_id}"),
        None => format!("The customer {customer_id}"),
    };
    let list = Words::List(view.list);
    match resource_id {
        Some(resource_id) => {
            if steps.decides(Row::NoResource, view.list.is_none(), format_args!("{list} for the resource {resource_id}")) {
                let reason = format!("The customer {customer_id} has no resource {resource_id} with entitlements of its own.");
                return Err((Reason::CustomerResourceNotFound, reason));
            }
        }
        None => {
            steps.decides(Row::NoResource, false, format_args!("no resource is asked for"));
        }
    }
    if steps.decides(Row::NoList, view.list.unwrap_or(0) == 0, format_args!("{list}")) {
        let reason = match view.list {
            None => format!("No list of entitlements has come for the customer {customer_id}, so it has no active subscription."),
            Some(_) => format!("{scope} has no active subscription: its list of entitlements is empty."),
        };
        return Err((Reason::NoActiveSubscription, reason));
    }
    let found = if view.entitlement.is_some() { "the newest list grants it" } else { "the newest list does not hold it" };
    steps.decides(Row::NotInList, view.entitlement.is_none(), format_args!("{found}"));
    view.entitlement.as_ref().ok_or_else(|| {
        let reason = format!("{scope} has no entitlement to the feature {feature_id} in its subscriptions.");
        (Reason::NoFeatureEntitlementInSubscription, reason)
    })
}

/// Rows 5 to 11: what the entitlement says. Ok grants; both hold a reason for people.
fn by_the_feature(
    entitlement: &Entitlement,
    request: &AccessRequest,
    now: Timestamp,
    steps: &mut Steps,
) -> Result<String, Denial> {
    use AccessDeniedReason as Reason;
    let grant = &entitlement.grant;
    let feature_id = &request.feature_id;
    match &entitlement.balance {
        None => {
            steps.decides(Row::CreditsUsedUp, false, format_args!("it is not paid with credits"));
        }
        Some(balance) => {
            let has_soft_limit = entitlement.has_soft_limit();
            let soft = if has_soft_limit { "a" } else { "no" };
            let left = to_number(balance.remaining_balance);
            let are_used_up = balance.remaining_balance <= 0.0 && !has_soft_limit;
            if steps.decides(Row::CreditsUsedUp, are_used_up, format_args!("{left} credits left, {soft} soft limit")) {
                return Err((Reason::InsufficientCredits, format!("The credits for the feature {feature_id} are used up.")));
            }
            let limit = Words::Limit(grant.usage_limit);
            let are_the_limit = grant.usage_limit.is_none();
            if steps.decides(Row::CreditsLeft, are_the_limit, format_args!("{left} credits left, {limit}")) {
                return Ok(format!("The feature {feature_id} is paid with credits, and {left} are left."));
            }
        }
    }
    let of_type = FeatureType::of(entitlement);
    let type_name = grant.feature.feature_type.as_deref().unwrap_or("none");
    if steps.decides(Row::Boolean, matches!(of_type, FeatureType::Boolean), format_args!("its type is {type_name}")) {
        return Ok(format!("The feature {feature_id} is included."));
    }
    if matches!(of_type, FeatureType::Enum) {
        let granted = grant.enum_values.as_deref().unwrap_or_default();
        let requested = request.requested_values.as_slice();
        steps.decides(
            Row::Enum,
            true,
            format_args!("requested {}; granted {}", Words::Values(requested), Words::Values(granted)),
        );
        return match requested.iter().find(|value| !granted.contains(value)) {
            None => Ok(format!("The feature {feature_id} includes every requested value.")),
            Some(value) => {
                Err((Reason::RequestedValuesMismatch, format!("The feature {feature_id} does not include the value {value}.")))
            }
        };
    }
    steps.decides(Row::Enum, false, format_args!("its type is {type_name}"));
    if steps.decides(Row::UnknownType, matches!(of_type, FeatureType::Unknown), format_args!("its type is {type_name}")) {
        return Err((Reason::Unknown, format!("The feature {feature_id} is of a type that this replica does not know.")));
    }
    let meter = grant.feature.meter_type.as_deref().unwrap_or("none");
    if steps.decides(Row::Unmetered, matches!(of_type, FeatureType::Unmetered), format_args!("its meter is {meter}")) {
        return Ok(format!("The feature {feature_id} is included; its limit is a value, not enforced."));
    }
    metered(entitlement, request, now, steps)
}

/// Rows 9 to 11.
fn metered(entitlement: &Entitlement, request: &AccessRequest, now: Timestamp, steps: &mut Steps) -> Result<String, Denial> {
    let feature_id = &request.feature_id;
    let (is_unlimited, is_soft) = (entitlement.has_unlimited_usage(), entitlement.has_soft_limit());
    let found = match (is_unlimited, is_soft) {
        (true, _) => "its usage is unlimited",
        (false, true) => "its limit is soft",
        (false, false) => "its limit is a hard one",
    };
    if steps.decides(Row::Unlimited, is_unlimited || is_soft, format_args!("{found}")) {
        return Ok(if is_unlimited {
            format!("The feature {feature_id} has no limit.")
        } else {
            format!("The feature {feature_id} has a soft limit, which may be passed.")
        });
    }
    let (usage, requested) = (entitlement.usage_at(now), request.requested_usage);
    let limit = entitlement.grant.usage_limit.unwrap_or(0.0);
    let numbers = format!("{} used, {} requested, {} allowed", to_number(usage), to_number(requested), to_number(limit));
    let found = Found { numbers: &numbers, entitlement, now };
    if steps.decides(Row::WithinLimit, usage + requested <= limit, format_args!("{found}")) {
        return Ok(format!("The feature {feature_id} is within its limit: {numbers}."));
    }
    steps.decides(Row::BeyondLimit, true, format_args!("{found}"));
    let reason = format!("The feature {feature_id} would pass its limit: {numbers}.");
    Err((AccessDeniedReason::RequestedUsageExceedingLimit, reason))
}

/// What a row was held against, put into words only where somebody reads them.
enum Words<'a> {
    List(Option<usize>),
    Limit(Option<f64>),
    Values(&'a [String]),
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(None) => f.write_str("no list has come"),
            Self::List(Some(length)) => write!(f, "the newest list holds {length}"),
            Self::Limit(None) => f.write_str("no usage limit"),
            Self::Limit(Some(limit)) => write!(f, "a usage limit of {}", to_number(*limit)),
            Self::Values([]) => f.write_str("nothing"),
            Self::Values(values) => f.write_str(&values.join(", ")),
        }
    }
}

/// The numbers of a metered feature, and why what was used counts as nothing where it does.
struct Found<'a> {
    numbers: &'a str,
    entitlement: &'a Entitlement,
    now: Timestamp,
}

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entitlement { grant, period, current_usage, .. } = self.entitlement;
        f.write_str(self.numbers)?;
        if let (true, Some(end), Some(usage)) = (period.is_over(self.now), period.usage_period_end, current_usage) {
            write!(f, "; the period in which {} were used ended at {}", to_number(*usage), time::to_fixed_width(end))?;
        }
        if grant.usage_limit.is_none() {
            f.write_str("; no limit is said, which counts as 0")?;
        }
        Ok(())
    }
}

enum FeatureType {
    Boolean,
    Enum,
    Unmetered,
    Metered,
    Unknown,
}

impl FeatureType {
    /// Case varies between Stigg's interfaces.
    fn of(entitlement: &Entitlement) -> Self {
        let feature = &entitlement.grant.feature;
        let is_type = |name: &str| feature.feature_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case(name));
        let has_meter = feature.meter_type.as_deref().is_some_and(|meter| !meter.eq_ignore_ascii_case("none"));
        if is_type("BOOLEAN") {
            Self::Boolean
        } else if is_type("ENUM") {
            Self::Enum
        } else if !is_type("NUMBER") {
            Self::Unknown
        } else if has_meter {
            Self::Metered
        } else {
            Self::Unmetered
        }
    }
}

fn decided_on(entitlement: &Entitlement, now: Timestamp) -> DecidedOn {
    let metered = matches!(FeatureType::of(entitlement), FeatureType::Metered);
    let bounds = entitlement.bounds_at(now);
    let grant = &entitlement.grant;
    DecidedOn {
        current_usage: metered.then(|| to_number(entitlement.usage_at(now))),
        usage_limit: grant.usage_limit.map(to_number),
        has_unlimited_usage: entitlement.has_unlimited_usage(),
        has_soft_limit: entitlement.has_soft_limit(),
        usage_period_start: bounds.start.map(time::to_fixed_width),
        usage_period_end: bounds.end.map(time::to_fixed_width),
        enum_values: grant.enum_values.clone(),
        remaining_balance: entitlement.balance.as_ref().map(|balance| to_number(balance.remaining_balance)),
    }
}
