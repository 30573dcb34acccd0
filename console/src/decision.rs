//! Explains a decision by its registers: the event that wrote each one, its effect on the decision, and the version
//! that the next event must exceed.

use domain::{
    access::{AccessRequest, AccessView, Explanation, explain},
    customer::{CustomerRegisters, CustomerState},
    entitlement::{Entitlement, ScopeRegisters},
    version::Version,
};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use store::{Store, StoreError};

use crate::{
    layout::{Tone, badge},
    report::StoredRegister,
};

pub(crate) struct ExplainedDecision {
    pub(crate) customer_state: CustomerState,
    pub(crate) explanation: Explanation,
    pub(crate) registers: Vec<DecisionRegister>,
    /// The features of the scope's newest list.
    pub(crate) features: Vec<String>,
}

/// A register that a decision depends on, stored or not.
pub(crate) struct DecisionRegister {
    pub(crate) name: String,
    /// The events that write it.
    pub(crate) written_by: &'static str,
    /// None if no such event was received.
    pub(crate) stored: Option<StoredRegister<()>>,
    /// Its effect on the decision.
    pub(crate) role: &'static str,
    /// Whether the decision uses it.
    pub(crate) counts: bool,
    /// The next event counts only if its version is higher than this. None if every version counts.
    pub(crate) floor: Option<Version>,
}

/// Decides with the same read and the same code as a check, and explains the decision.
pub(crate) async fn explain_check(
    store: &Store,
    request: &AccessRequest,
    now: Timestamp,
) -> Result<ExplainedDecision, StoreError> {
    let (customer, scope) = store.scope(&request.customer_id, request.resource_id.as_ref()).await?;
    let view = AccessView::of(&customer, &scope, &request.feature_id)?;
    let features = scope.visible_list(customer.tombstone.as_ref()).into_iter().flat_map(|list| list.value.iter());
    Ok(ExplainedDecision {
        customer_state: customer.state(),
        features: features.map(|(id, _)| id.to_owned()).collect(),
        registers: registers(&customer, &scope, request, view.entitlement.as_ref()),
        explanation: explain(&view, request, now),
    })
}

fn registers(
    customer: &CustomerRegisters<(), ()>,
    scope: &ScopeRegisters,
    request: &AccessRequest,
    entitlement: Option<&Entitlement>,
) -> Vec<DecisionRegister> {
    let tombstone = customer.tombstone.as_ref();
    let stored = |version: Option<&Version>| version.map(|version| StoredRegister::new(version, (), tombstone));
    let highest = |versions: &[Option<&Version>]| versions.iter().copied().flatten().max().cloned();
    let profile = customer.profile.as_ref().map(|register| &register.version);
    let embedded = customer.embedded.as_ref().map(|register| &register.version);
    let list = scope.list.as_ref().map(|register| &register.version);
    let usage = scope.usage.get(&request.feature_id).map(|register| &register.version);
    let shows_live = |version: Option<&Version>| match version {
        None => ("would show that the customer is live", false),
        Some(version) if customer.is_visible(version) => ("shows that the customer is live", true),
        Some(_) => ("not newer than the deletion, so it is ignored", false),
    };
    let register = |name: &str, written_by, version, (role, counts), floor| DecisionRegister {
        name: name.to_owned(),
        written_by,
        stored: stored(version),
        role,
        counts,
        floor,
    };
    let mut registers = vec![
        register("Profile", "customer.created, customer.updated", profile, shows_live(profile), highest(&[profile, tombstone])),
        register(
            "Embedded customer",
            "live subscriptions, lists with entitlements",
            embedded,
            shows_live(embedded),
            highest(&[embedded, tombstone]),
        ),
        DecisionRegister {
            // The tombstone is not above itself, but it counts.
            stored: stored(tombstone).map(|stored| StoredRegister { exists: true, ..stored }),
            ..register(
                "Tombstone",
                "customer.deleted",
                tombstone,
                match (tombstone, customer.state()) {
                    (None, _) => ("would hide older data", false),
                    (Some(_), CustomerState::Archived) => ("deletes the customer", true),
                    (Some(_), _) => ("hides older data; newer data shows that the customer is live", true),
                },
                highest(&[tombstone]),
            )
        },
    ];
    let is_measured = entitlement.is_some_and(|entitlement| entitlement.is_measured);
    let role_of_list = match (list, entitlement) {
        (None, _) => ("would define the granted features and their limits", false),
        (Some(version), _) if !customer.is_visible(version) => ("not newer than the deletion, so it grants nothing", false),
        (Some(_), None) => ("does not contain the feature", true),
        (Some(_), Some(_)) if is_measured => ("grants the feature, with its limit", true),
        (Some(_), Some(_)) => ("grants the feature, with its limit and usage", true),
    };
    registers.push(register("List of entitlements", "entitlements.updated", list, role_of_list, highest(&[list, tombstone])));
    let list_has_usage = entitlement.is_some_and(|entitlement| entitlement.grant.current_usage.is_some());
    let role_of_usage = match (usage, entitlement) {
        (None, _) => ("would set the usage", false),
        (Some(version), _) if !customer.is_visible(version) => ("not newer than the deletion, so it does not count", false),
        (Some(_), None) => ("usage alone grants nothing", false),
        (Some(_), Some(_)) if is_measured => ("sets the usage and its period", true),
        (Some(_), Some(_)) => ("older than the list, whose usage counts", false),
    };
    let list_with_usage = list.filter(|_| list_has_usage);
    registers.push(register(
        "Usage",
        "measurement.reported, entitlement.usage_exceeded",
        usage,
        role_of_usage,
        highest(&[usage, list_with_usage, tombstone]),
    ));
    if let Some(currency) = entitlement.and_then(|entitlement| entitlement.grant.currency_id()) {
        let balance = scope.balances.get(currency).map(|register| &register.version);
        let role = match balance {
            None => ("would set the credits left", false),
            Some(version) if !customer.is_visible(version) => ("not newer than the deletion, so it does not count", false),
            Some(_) if entitlement.is_some_and(|entitlement| entitlement.is_balance_newer) => ("sets the credits left", true),
            Some(_) => ("older than the list, whose balance counts", false),
        };
        let name = format!("Balance of {currency}");
        registers.push(register(
            &name,
            "credit_balance.low, credit_balance.depleted",
            balance,
            role,
            highest(&[balance, list, tombstone]),
        ));
    }
    registers
}

impl ExplainedDecision {
    /// The time of the newest event behind the decision.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.registers.iter().filter_map(|register| register.stored.as_ref()).map(|stored| stored.version.time()).max()
    }
}

/// How much older a register is than the newest one. None for the newest.
pub(crate) fn behind(stored: &StoredRegister<()>, newest: Option<Timestamp>) -> Option<SignedDuration> {
    newest.map(|newest| newest.duration_since(stored.version.time())).filter(|behind| !behind.is_zero())
}

pub(crate) fn counts_badge(register: &DecisionRegister) -> Markup {
    html! {
        @match (register.counts, &register.stored) {
            (true, _) => (badge(Tone::Good, "Counts")),
            (false, Some(_)) => (badge(Tone::Neutral, "Does not count")),
            (false, None) => (badge(Tone::Neutral, "Not stored")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use domain::{
        entitlement::{Balance, EntitlementList, Usage},
        id::Id,
        register::Register,
    };

    use super::*;

    fn id(text: &str) -> Id {
        Id::try_from(text).unwrap()
    }

    fn version(day: u8) -> Version {
        Version::new(format!("2026-01-{day:02}T00:00:00Z").parse().unwrap(), "m")
    }

    fn request() -> AccessRequest {
        AccessRequest {
            customer_id: id("c"),
            feature_id: id("f"),
            resource_id: None,
            requested_usage: 0.0,
            requested_values: Vec::new(),
        }
    }

    /// A list of day 3 with this usage, and a measurement and a balance of the given days.
    fn scope(list_usage: &str, measurement_day: u8, balance_day: u8) -> ScopeRegisters {
        let json = format!(
            r#"{{"feature":{{"id":"f","featureType":"NUMBER","meterType":"INCREMENTAL"}},"usageLimit":10{list_usage},
                "creditBalance":{{"creditCurrency":{{"id":"gold"}},"remainingBalance":1}}}}"#
        );
        let usage: Usage = serde_json::from_str(r#"{"currentUsage":7}"#).unwrap();
        ScopeRegisters {
            list: Some(Register { version: version(3), value: EntitlementList::new(&[(id("f"), json)]) }),
            usage: BTreeMap::from([(id("f"), Register { version: version(measurement_day), value: usage })]),
            balances: BTreeMap::from([(
                "gold".to_owned(),
                Register { version: version(balance_day), value: Balance { total_granted: None, remaining_balance: 5.0 } },
            )]),
        }
    }

    /// By the register's name: whether it counts, and its floor.
    fn effects(customer: &CustomerRegisters<(), ()>, scope: &ScopeRegisters) -> BTreeMap<String, (bool, Option<Version>)> {
        let entitlement = AccessView::of(customer, scope, &id("f")).unwrap().entitlement;
        let registers = registers(customer, scope, &request(), entitlement.as_ref());
        registers.into_iter().map(|register| (register.name, (register.counts, register.floor))).collect()
    }

    fn live(tombstone: Option<Version>) -> CustomerRegisters<(), ()> {
        CustomerRegisters {
            profile: Some(Register { version: version(2), value: () }),
            tombstone,
            ..CustomerRegisters::default()
        }
    }

    #[test]
    fn a_measurement_must_be_newer_than_a_list_that_carries_usage() {
        let registers = effects(&live(None), &scope(r#","currentUsage":1"#, 2, 2));
        assert_eq!(registers["Usage"], (false, Some(version(3))));
        let registers = effects(&live(None), &scope(r#","currentUsage":1"#, 4, 2));
        assert_eq!(registers["Usage"], (true, Some(version(4))));
        let registers = effects(&live(None), &scope("", 2, 2));
        assert_eq!(registers["Usage"], (true, Some(version(2))), "a list without usage does not replace the measured usage");
    }

    #[test]
    fn a_balance_event_must_be_newer_than_the_list() {
        assert_eq!(effects(&live(None), &scope("", 2, 2))["Balance of gold"], (false, Some(version(3))));
        assert_eq!(effects(&live(None), &scope("", 2, 4))["Balance of gold"], (true, Some(version(4))));
    }

    #[test]
    fn registers_at_or_below_the_tombstone_do_not_count_and_the_next_event_must_be_above_it() {
        let registers = effects(&live(Some(version(5))), &scope(r#","currentUsage":1"#, 4, 4));
        for register in ["Profile", "List of entitlements", "Usage"] {
            assert_eq!(registers[register], (false, Some(version(5))), "{register}");
        }
        assert_eq!(registers["Tombstone"], (true, Some(version(5))));
        assert_eq!(registers["Embedded customer"], (false, Some(version(5))));
    }

    #[test]
    fn every_event_changes_a_missing_register() {
        let registers = effects(&CustomerRegisters::default(), &ScopeRegisters::default());
        assert!(registers.values().all(|(counts, floor)| !counts && floor.is_none()), "{registers:?}");
    }
}
