//! The entitlement state of a customer or a resource, from the Edge API: the only endpoint that returns everything that
//! decisions depend on. Its fields are named as in Stigg's GraphQL API, and are converted to those of events.

use domain::{entitlement::ENTITLEMENT_FIELDS, id::Id, time::parse};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{BadRecord, Stigg, StiggError, client::StiggResponse};

/// A feature's fields: the name in events, and the names in the state.
const FEATURE_FIELDS: [(&str, &[&str]); 7] = [
    ("name", &["displayName", "name"]),
    ("description", &["description"]),
    ("featureType", &["featureType"]),
    ("meterType", &["meterType"]),
    ("unit", &["featureUnits", "unit"]),
    ("units", &["featureUnitsPlural", "units"]),
    ("status", &["featureStatus", "status"]),
];

/// An entry with one of these reasons denies the feature completely, so it is not an entitlement.
const NOT_ENTITLED: [&str; 4] = ["NoFeatureEntitlementInSubscription", "EntitlementNotFound", "FeatureNotFound", "Revoked"];

/// The entitlements of a customer or a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct EntitlementState {
    /// Empty for a customer without a subscription.
    pub granted: Vec<GrantedEntitlement>,
    /// The customer or resource is unknown to Stigg, or the customer is archived.
    pub is_gone: bool,
    /// See [`StiggResponse::read_at`].
    pub read_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GrantedEntitlement {
    /// In the format of events.
    pub entitlement: Value,
    /// When usage last changed, or for a feature paid with credits, their balance. None if the state does not have it.
    pub usage_updated_at: Option<Timestamp>,
}

impl Stigg {
    /// The state of a customer, or of one of its resources.
    ///
    /// # Errors
    /// [`BadRecord`] if the state does not have the documented format.
    pub async fn entitlement_state(
        &self,
        customer_id: &Id,
        resource_id: Option<&Id>,
    ) -> Result<Result<EntitlementState, BadRecord>, StiggError> {
        let parts = ["c", customer_id.as_str(), "entitlements-state.json"];
        let mut url = self.edge_url(&parts).ok_or(StiggError::Unreadable("the id can't be part of a URL"))?;
        if let Some(resource_id) = resource_id {
            url.query_pairs_mut().append_pair("resourceId", resource_id.as_str());
        }
        let StiggResponse { body, read_at } = self.get(url).await?;
        Ok(match body {
            Some(body) => EntitlementState::read(&body, read_at),
            None => Ok(EntitlementState { granted: Vec::new(), is_gone: true, read_at }),
        })
    }
}

impl EntitlementState {
    fn read(body: &Value, read_at: Timestamp) -> Result<Self, BadRecord> {
        // The state may be wrapped like a GraphQL response.
        let state = body.get("data").unwrap_or(body);
        let state = ["entitlementsState", "cachedEntitlements"].iter().find_map(|name| state.get(name)).unwrap_or(state);
        let reason = state.get("accessDeniedReason").and_then(Value::as_str);
        let is_gone = reason.is_some_and(|reason| matches!(reason, "CustomerNotFound" | "CustomerIsArchived"));
        // The newer list `entitlementsV2` is the only one with credit wallets. `entitlements` has the features.
        let wallets = state.get("entitlementsV2").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let entries = match (state, state.get("entitlements")) {
            (Value::Array(entries), _) | (_, Some(Value::Array(entries))) => entries.as_slice(),
            (_, None | Some(Value::Null)) if reason.is_some() => &[],
            _ => return Err(BadRecord::new("the state has no list `entitlements`")),
        };
        let mut granted = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            let reason = entry.get("accessDeniedReason").and_then(Value::as_str);
            let has_feature = entry.get("feature").is_some_and(|feature| !feature.is_null());
            if reason.is_some_and(|reason| NOT_ENTITLED.contains(&reason)) || !has_feature {
                continue;
            }
            let currency = entry.get("creditRate").and_then(currency_of);
            let wallet = currency.and_then(|currency| wallets.iter().find(|wallet| currency_of(wallet) == Some(currency)));
            let entitlement =
                entitlement(entry, wallet).map_err(|problem| BadRecord::new(format!("entitlements[{index}]{problem}")))?;
            let updated_at = |value: &Value| value.get("usageUpdatedAt")?.as_str().and_then(|time| parse(time).ok());
            granted
                .push(GrantedEntitlement { entitlement, usage_updated_at: wallet.map_or_else(|| updated_at(entry), updated_at) });
        }
        Ok(Self { granted, is_gone, read_at })
    }
}

/// An `entitlements.updated` event.
pub fn list_event(customer_id: &Id, resource_id: Option<&Id>, entitlements: Vec<Value>) -> Value {
    json!({
        "type": "entitlements.updated",
        "customer": {"id": customer_id},
        "resource": resource_id.map(|id| json!({ "id": id })),
        "entitlements": entitlements,
    })
}

/// Converts an entry to the format of events, with the balance of the wallet that pays for it. Fails with the name of a
/// missing field if decisions depend on it.
fn entitlement(entry: &Value, wallet: Option<&Value>) -> Result<Value, String> {
    let source = entry.get("feature").unwrap_or(&Value::Null);
    let id = ["refId", "id"].iter().find_map(|name| source.get(name).filter(|id| id.is_string()));
    let mut feature = Map::from_iter([("id".to_owned(), id.ok_or(".feature.refId is missing")?.clone())]);
    for (name, sources) in FEATURE_FIELDS {
        if let Some(value) = sources.iter().find_map(|source_name| source.get(source_name)) {
            feature.insert(name.to_owned(), value.clone());
        }
    }
    // These have the same names in events.
    let mut converted: Map<String, Value> =
        ENTITLEMENT_FIELDS.iter().filter_map(|name| Some(((*name).to_owned(), entry.get(name)?.clone()))).collect();
    if converted.get("usagePeriodEnd").is_none_or(Value::is_null)
        && let Some(end) = entry.get("nextResetDate").filter(|end| !end.is_null())
    {
        converted.insert("usagePeriodEnd".to_owned(), end.clone());
    }
    match feature.get("featureType").and_then(Value::as_str) {
        Some("NUMBER") if !feature.contains_key("meterType") => return Err(".feature.meterType is missing".to_owned()),
        Some("ENUM") if !converted.contains_key("enumValues") => return Err(".enumValues is missing".to_owned()),
        Some(_) => {}
        None => return Err(".feature.featureType is missing".to_owned()),
    }
    if let Some(currency) = entry.get("creditRate").and_then(currency_of)
        && converted.get("creditBalance").is_none_or(Value::is_null)
    {
        converted.insert("creditBalance".to_owned(), credit_balance(currency, wallet));
    }
    converted.insert("feature".to_owned(), feature.into());
    Ok(converted.into())
}

/// The currency id of a `creditRate` or a wallet.
fn currency_of(value: &Value) -> Option<&str> {
    value.get("currencyId").or_else(|| value.get("currency")?.get("currencyId"))?.as_str()
}

/// A credit balance in the format of events. Without a wallet, no credits were ever granted.
fn credit_balance(currency: &str, wallet: Option<&Value>) -> Value {
    let number = |name: &str| wallet.and_then(|wallet| wallet.get(name)?.as_f64()).unwrap_or(0.0);
    let (granted, used) = (number("usageLimit"), number("currentUsage"));
    json!({"creditCurrency": {"id": currency}, "totalGranted": granted, "remainingBalance": granted - used})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: Value) -> Result<EntitlementState, BadRecord> {
        EntitlementState::read(&body, "2026-01-02T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn graphql_names_are_converted_to_event_names() {
        let entry = json!({
            "__typename": "Entitlement", "isGranted": true, "accessDeniedReason": null, "requestedUsage": 0,
            "feature": {"__typename": "EntitlementFeature", "refId": "f", "displayName": "Seats", "description": null,
                        "featureType": "NUMBER", "meterType": "Fluctuating", "featureUnits": "seat", "featureUnitsPlural": "seats",
                        "featureStatus": "ACTIVE", "additionalMetaData": {}},
            "usageLimit": 5, "hasUnlimitedUsage": false, "hasSoftLimit": false, "currentUsage": 2, "resetPeriod": null,
            "nextResetDate": "2026-02-01T00:00:00Z", "enumValues": null, "usageUpdatedAt": "2026-01-01T00:00:00Z",
        });
        for body in [
            json!({ "entitlements": [entry] }),
            json!([entry]),
            json!({"data": {"entitlementsState": {"entitlements": [entry], "accessDeniedReason": null}}}),
        ] {
            let state = read(body).unwrap();
            assert_eq!(
                state.granted[0].entitlement,
                json!({"feature": {"id": "f", "name": "Seats", "description": null, "featureType": "NUMBER", "meterType": "Fluctuating",
                                   "unit": "seat", "units": "seats", "status": "ACTIVE"},
                       "usageLimit": 5, "hasUnlimitedUsage": false, "hasSoftLimit": false, "currentUsage": 2, "resetPeriod": null,
                       "usagePeriodEnd": "2026-02-01T00:00:00Z", "enumValues": null})
            );
            assert_eq!(state.granted[0].usage_updated_at, "2026-01-01T00:00:00Z".parse().ok());
        }
    }

    #[test]
    fn errors_name_a_missing_field_that_decisions_depend_on() {
        let without_meter = json!({"feature": {"refId": "f", "featureType": "NUMBER"}});
        let without_values = json!({"feature": {"refId": "f", "featureType": "ENUM"}});
        for (body, message) in [
            (json!({}), "the state has no list `entitlements`"),
            (json!({"entitlements": {}}), "the state has no list `entitlements`"),
            (json!({"entitlements": [{"feature": {}}]}), "entitlements[0].feature.refId is missing"),
            (json!({"entitlements": [{"feature": {"refId": "f"}}]}), "entitlements[0].feature.featureType is missing"),
            (json!({ "entitlements": [without_meter] }), "entitlements[0].feature.meterType is missing"),
            (json!({ "entitlements": [without_values] }), "entitlements[0].enumValues is missing"),
        ] {
            assert_eq!(read(body).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_credit_balance_comes_from_the_wallet_of_its_currency_and_is_0_without_one() {
        let paid = |feature: &str, currency: &str| {
            json!({"feature": {"refId": feature, "featureType": "NUMBER", "meterType": null}, "usageUpdatedAt": "2026-01-03T00:00:00Z",
                   "creditRate": {"amount": 2, "currencyId": currency}})
        };
        let free = json!({"feature": {"refId": "h", "featureType": "BOOLEAN"}, "creditRate": null});
        let wallet = |id: &str, used: f64| {
            json!({"__typename": "CreditEntitlement", "currency": {"currencyId": id, "displayName": id}, "usageLimit": 100,
                   "currentUsage": used, "usageUpdatedAt": "2026-01-01T00:00:00Z"})
        };
        let features =
            json!({"__typename": "FeatureEntitlement", "feature": {"refId": "f"}, "creditRate": {"currencyId": "tokens"}});
        let state = read(json!({
            "entitlements": [paid("f", "tokens"), paid("g", "none"), free],
            "entitlementsV2": [features, wallet("other", 1.0), wallet("tokens", 30.0)],
        }))
        .unwrap();
        let balance = |n: usize| state.granted[n].entitlement.get("creditBalance");
        assert_eq!(
            balance(0),
            Some(&json!({"creditCurrency": {"id": "tokens"}, "totalGranted": 100.0, "remainingBalance": 70.0}))
        );
        assert_eq!(state.granted[0].usage_updated_at, "2026-01-01T00:00:00Z".parse().ok());
        assert_eq!(balance(1), Some(&json!({"creditCurrency": {"id": "none"}, "totalGranted": 0.0, "remainingBalance": 0.0})));
        assert_eq!((state.granted.len(), balance(2)), (3, None));
    }

    #[test]
    fn a_customer_without_a_subscription_has_no_entitlements_and_revoked_ones_are_skipped() {
        let state = read(json!({"entitlements": [], "accessDeniedReason": "NoActiveSubscription"})).unwrap();
        assert_eq!((state.granted.len(), state.is_gone), (0, false));
        assert!(read(json!({"accessDeniedReason": "CustomerIsArchived"})).unwrap().is_gone);
        let revoked = json!({"feature": {"refId": "f", "featureType": "BOOLEAN"}, "accessDeniedReason": "Revoked"});
        let at_its_limit =
            json!({"feature": {"refId": "g", "featureType": "BOOLEAN"}, "accessDeniedReason": "RequestedUsageExceedingLimit"});
        let state = read(json!({"entitlements": [revoked, at_its_limit]})).unwrap();
        assert_eq!(state.granted.iter().map(|one| one.entitlement["feature"]["id"].clone()).collect::<Vec<_>>(), ["g"]);
    }
}
