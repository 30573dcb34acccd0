//! The registers that a decision stands on: which event wrote each, what of it counts, and what the next event has to be
//! newer than to change it.

use domain::{
    access::{AccessRequest, AccessView, Explanation, explain},
    customer::{CustomerRegisters, CustomerState},
    entitlement::{Entitlement, ScopeRegisters},
    version::Version,
};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use store::{Store, StoreError};

use crate::report::Part;

/// A decision with what it stands on.
pub(crate) struct Decided {
    pub(crate) standing: CustomerState,
    pub(crate) explanation: Explanation,
    pub(crate) registers: Vec<Evidence>,
    /// The features of the scope's newest list.
    pub(crate) features: Vec<String>,
}

/// A register that a decision stands on, or would if it were there.
pub(crate) struct Evidence {
    pub(crate) name: String,
    /// The events that write it.
    pub(crate) written_by: &'static str,
    /// None if no such event has come.
    pub(crate) part: Option<Part<()>>,
    /// What it contributes to the decision.
    pub(crate) role: &'static str,
    /// Whether something of it counts.
    pub(crate) counts: bool,
    /// The version that the next event has to be above to count. None if any will do.
    pub(crate) floor: Option<Version>,
}

/// Decides as a check does, by the same read and the same code, and says what the decision stands on.
pub(crate) async fn decide(store: &Store, request: &AccessRequest, now: Timestamp) -> Result<Decided, StoreError> {
    let (customer, scope) = store.scope(&request.customer_id, request.resource_id.as_ref()).await?;
    let view = AccessView::of(&customer, &scope, &request.feature_id)?;
    let features = scope.visible_list(customer.tombstone.as_ref()).into_iter().flat_map(|list| list.value.iter());
    Ok(Decided {
        standing: customer.state(),
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
) -> Vec<Evidence> {
    let tombstone = customer.tombstone.as_ref();
    let part = |version: Option<&Version>| version.map(|version| Part::new(version, (), tombstone));
    let highest = |versions: &[Option<&Version>]| versions.iter().copied().flatten().max().cloned();
    let profile = customer.profile.as_ref().map(|register| &register.version);
    let embedded = customer.embedded.as_ref().map(|register| &register.version);
    let list = scope.list.as_ref().map(|register| &register.version);
    let usage = scope.usage.get(&request.feature_id).map(|register| &register.version);
    let alive = |version: Option<&Version>| match version {
        None => ("would show the customer live", false),
        Some(version) if customer.is_visible(version) => ("shows the customer live", true),
        Some(_) => ("older than the deletion, so it shows nothing", false),
    };
    let evidence = |name: &str, written_by, version, (role, counts), floor| Evidence {
        name: name.to_owned(),
        written_by,
        part: part(version),
        role,
        counts,
        floor,
    };
    let mut registers = vec![
        evidence("Profile", "customer.created, customer.updated", profile, alive(profile), highest(&[profile, tombstone])),
        evidence(
            "Embedded customer",
            "live subscriptions, lists with entitlements",
            embedded,
            alive(embedded),
            highest(&[embedded, tombstone]),
        ),
        Evidence {
            // It is not below itself.
            part: part(tombstone).map(|part| Part { exists: true, ..part }),
            ..evidence(
                "Tombstone",
                "customer.deleted",
                tombstone,
                match (tombstone, customer.state()) {
                    (None, _) => ("would hide all that is older", false),
                    (Some(_), CustomerState::Archived) => ("deletes the customer", true),
                    (Some(_), _) => ("hides what is older; newer data shows the customer live", true),
                },
                highest(&[tombstone]),
            )
        },
    ];
    let is_measured = entitlement.is_some_and(|entitlement| entitlement.is_measured);
    let role_of_list = match (list, entitlement) {
        (None, _) => ("would say which features are granted, and their limits", false),
        (Some(version), _) if !customer.is_visible(version) => ("older than the deletion, so it grants nothing", false),
        (Some(_), None) => ("does not hold the feature", true),
        (Some(_), Some(_)) if is_measured => ("grants the feature, and says its limit", true),
        (Some(_), Some(_)) => ("grants the feature, and says its limit and usage", true),
    };
    registers.push(evidence("List of entitlements", "entitlements.updated", list, role_of_list, highest(&[list, tombstone])));
    let list_has_usage = entitlement.is_some_and(|entitlement| entitlement.grant.current_usage.is_some());
    let role_of_usage = match (usage, entitlement) {
        (None, _) => ("would say the usage", false),
        (Some(version), _) if !customer.is_visible(version) => ("older than the deletion, so it does not count", false),
        (Some(_), None) => ("usage alone grants nothing", false),
        (Some(_), Some(_)) if is_measured => ("says the usage and its period", true),
        (Some(_), Some(_)) => ("older than the list, whose usage counts", false),
    };
    let list_above = list.filter(|_| list_has_usage);
    registers.push(evidence(
        "Usage",
        "measurement.reported, entitlement.usage_exceeded",
        usage,
        role_of_usage,
        highest(&[usage, list_above, tombstone]),
    ));
    if let Some(currency) = entitlement.and_then(|entitlement| entitlement.grant.currency_id()) {
        let balance = scope.balances.get(currency).map(|register| &register.version);
        let role = match balance {
            None => ("would say the credits left", false),
            Some(version) if !customer.is_visible(version) => ("older than the deletion, so it does not count", false),
            Some(_) if entitlement.is_some_and(|entitlement| entitlement.is_balance_newer) => ("says the credits left", true),
            Some(_) => ("older than the list, whose balance counts", false),
        };
        let name = format!("Balance of {currency}");
        registers.push(evidence(
            &name,
            "credit_balance.low, credit_balance.depleted",
            balance,
            role,
            highest(&[balance, list, tombstone]),
        ));
    }
    registers
}

impl Decided {
    /// The time of the newest event behind the decision.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.registers.iter().filter_map(|evidence| evidence.part.as_ref()).map(|part| part.version.time()).max()
    }
}

/// How much older than the newest register one is. None for the newest itself.
pub(crate) fn behind(part: &Part<()>, newest: Option<Timestamp>) -> Option<SignedDuration> {
    newest.map(|newest| newest.duration_since(part.version.time())).filter(|behind| !behind.is_zero())
}

/// Whether a register counts, in a word.
pub(crate) fn counts(evidence: &Evidence) -> Markup {
    use crate::layout::{Tone, badge};
    html! {
        @match (evidence.counts, &evidence.part) {
            (true, _) => (badge(Tone::Good, "Counts")),
            (false, Some(_)) => (badge(Tone::Neutral, "Does not count")),
            (false, None) => (badge(Tone::Neutral, "Not there")),
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

    /// A list on day 3 with this usage, a measurement and a balance on the days given.
    fn scope(list_usage: &str, measured: u8, balance: u8) -> ScopeRegisters {
        let json = format!(
            r#"{{"feature":{{"id":"f","featureType":"NUMBER","meterType":"INCREMENTAL"}},"usageLimit":10{list_usage},
                "creditBalance":{{"creditCurrency":{{"id":"gold"}},"remainingBalance":1}}}}"#
        );
        let usage: Usage = serde_json::from_str(r#"{"currentUsage":7}"#).unwrap();
        ScopeRegisters {
            list: Some(Register { version: version(3), value: EntitlementList::new(&[(id("f"), json)]) }),
            usage: BTreeMap::from([(id("f"), Register { version: version(measured), value: usage })]),
            balances: BTreeMap::from([(
                "gold".to_owned(),
                Register { version: version(balance), value: Balance { total_granted: None, remaining_balance: 5.0 } },
            )]),
        }
    }

    fn evidence(customer: &CustomerRegisters<(), ()>, scope: &ScopeRegisters) -> BTreeMap<String, (bool, Option<Version>)> {
        let entitlement = AccessView::of(customer, scope, &id("f")).unwrap().entitlement;
        let registers = registers(customer, scope, &request(), entitlement.as_ref());
        registers.into_iter().map(|evidence| (evidence.name, (evidence.counts, evidence.floor))).collect()
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
        let found = evidence(&live(None), &scope(r#","currentUsage":1"#, 2, 2));
        assert_eq!(found["Usage"], (false, Some(version(3))));
        let found = evidence(&live(None), &scope(r#","currentUsage":1"#, 4, 2));
        assert_eq!(found["Usage"], (true, Some(version(4))));
        let found = evidence(&live(None), &scope("", 2, 2));
        assert_eq!(found["Usage"], (true, Some(version(2))), "a list without usage leaves the measured one");
    }

    #[test]
    fn a_balance_event_must_be_newer_than_the_list() {
        assert_eq!(evidence(&live(None), &scope("", 2, 2))["Balance of gold"], (false, Some(version(3))));
        assert_eq!(evidence(&live(None), &scope("", 2, 4))["Balance of gold"], (true, Some(version(4))));
    }

    #[test]
    fn nothing_at_or_below_the_tombstone_counts_and_the_next_event_must_be_above_it() {
        let found = evidence(&live(Some(version(5))), &scope(r#","currentUsage":1"#, 4, 4));
        for register in ["Profile", "List of entitlements", "Usage"] {
            assert_eq!(found[register], (false, Some(version(5))), "{register}");
        }
        assert_eq!(found["Tombstone"], (true, Some(version(5))));
        assert_eq!(found["Embedded customer"], (false, Some(version(5))));
    }

    #[test]
    fn any_event_changes_a_register_that_is_not_there() {
        let found = evidence(&CustomerRegisters::default(), &ScopeRegisters::default());
        assert!(found.values().all(|(counts, floor)| !counts && floor.is_none()), "{found:?}");
    }
}
