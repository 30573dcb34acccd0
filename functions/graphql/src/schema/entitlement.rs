//! Effective entitlements, in Stigg's JSON and typed.

use std::sync::Arc;

use async_graphql::{Context, Object, Result, SimpleObject};
use domain::{
    entitlement::{Entitlement as Effective, ScopeRegisters, UnreadableEntitlement, write_stigg_json},
    id::Id,
    time::to_fixed_width,
    version::Version,
};
use jiff::Timestamp;
use serde_json::{Map, Value};
use store::StoreError;

use super::scalar::Datetime;
use crate::{
    error::ApiError,
    json::{self, write_comma},
    load::{Loaders, ResourceKey},
    row::CustomerRow,
};

/// The entitlements of a scope in Stigg's JSON. Entries that usage and balance registers can't change are copied unparsed.
pub(super) fn to_stigg_json(scope: &ScopeRegisters, tombstone: Option<&Version>) -> Result<Vec<u8>, StoreError> {
    let Some(list) = scope.visible_list(tombstone) else { return Ok(b"[]".to_vec()) };
    let mut json = Vec::with_capacity(list.value.json_length() + list.value.len() + 2);
    json.push(b'[');
    for (index, (feature_id, stored)) in list.value.iter().enumerate() {
        write_comma(index, &mut json);
        let feature = Id::try_from(feature_id).ok().filter(|_| scope.may_override(feature_id));
        let merged = feature.map(|feature| scope.entitlement(&feature, tombstone)).transpose()?.flatten();
        write_stigg_json(stored, merged.as_ref(), &mut json).map_err(|_| UNREADABLE)?;
    }
    json.push(b']');
    Ok(json)
}

const UNREADABLE: StoreError = StoreError::Unreadable { attribute: "list" };

pub(crate) struct Entitlement {
    feature_id: Id,
    effective: Effective,
    /// The entry of the list, as Stigg sent it.
    json: Map<String, Value>,
    now: Timestamp,
}

impl Entitlement {
    /// The entitlements of a scope, sorted by feature id.
    pub(super) fn all(scope: &ScopeRegisters, tombstone: Option<&Version>, now: Timestamp) -> Result<Vec<Self>, StoreError> {
        let typed = |(feature_id, effective, stored): (Id, Effective, &str)| {
            let json = serde_json::from_str(stored).map_err(|_| UnreadableEntitlement { feature_id: feature_id.to_string() })?;
            Ok(Self { feature_id, effective, json, now })
        };
        scope.entitlements(tombstone)?.into_iter().map(typed).collect()
    }

    pub(super) async fn of_resource(loaders: &Loaders, customer: &CustomerRow, resource_id: Id) -> Result<Vec<Self>, ApiError> {
        let scope = loaders.resource_scopes.load_one(ResourceKey { customer_id: customer.id.clone(), resource_id }).await?;
        let scope = scope.unwrap_or_default();
        Ok(Self::all(&scope, customer.registers.tombstone.as_ref(), loaders.now)?)
    }
}

fn datetime(time: Option<Timestamp>) -> Option<Datetime> {
    time.map(|time| Datetime(to_fixed_width(time)))
}

/// What a customer, or one of its resources, may use of a feature.
#[Object]
impl Entitlement {
    /// The entitled feature.
    async fn feature(&self) -> Feature {
        let feature = self.json.get("feature");
        let member = |name: &str| json::to_string(feature.and_then(|feature| feature.get(name)));
        Feature {
            feature_id: self.feature_id.to_string(),
            name: member("name"),
            description: member("description"),
            feature_type: member("featureType"),
            meter_type: member("meterType"),
            unit: member("unit"),
            units: member("units"),
            status: member("status"),
        }
    }

    /// The limit per usage period; the value of a NUMBER feature without a meter.
    async fn usage_limit(&self) -> Option<f64> {
        self.effective.grant.usage_limit
    }

    /// Whether usage is unlimited.
    async fn has_unlimited_usage(&self) -> bool {
        self.effective.has_unlimited_usage()
    }

    /// Whether usage may exceed the limit.
    async fn has_soft_limit(&self) -> bool {
        self.effective.has_soft_limit()
    }

    /// Usage in the current usage period; 0 if the last reported period has ended, null if no usage was reported.
    async fn current_usage(&self) -> Option<f64> {
        let effective = &self.effective;
        effective.current_usage.map(|_| effective.usage_at(self.now))
    }

    /// Start of the current usage period.
    async fn usage_period_start(&self) -> Option<Datetime> {
        datetime(self.effective.bounds_at(self.now).start)
    }

    /// End of the current usage period; null if it has no end or is unknown.
    async fn usage_period_end(&self) -> Option<Datetime> {
        datetime(self.effective.bounds_at(self.now).end)
    }

    /// The date-time that usage periods are counted from.
    async fn usage_period_anchor(&self) -> Option<Datetime> {
        datetime(self.effective.period.usage_period_anchor)
    }

    /// The reset period: HOUR, DAY, WEEK, MONTH or YEAR.
    async fn reset_period(&self) -> Option<&str> {
        self.effective.period.reset_period.as_deref()
    }

    /// The granted values of an ENUM feature.
    async fn enum_values(&self) -> Option<&[String]> {
        self.effective.grant.enum_values.as_deref()
    }

    /// The credits of a credit-based feature; null for others.
    async fn credit_balance(&self) -> Option<CreditBalance> {
        let credit = self.json.get("creditBalance").filter(|credit| credit.is_object())?;
        let balance = self.effective.balance.as_ref();
        let number = |name: &str| credit.get(name).and_then(Value::as_f64);
        let currency = |name: &str| json::to_string(credit.get("creditCurrency").and_then(|currency| currency.get(name)));
        let (granted, remaining, percentage) = match balance.filter(|_| self.effective.is_balance_newer) {
            None => (number("totalGranted"), number("remainingBalance"), number("remainingBalancePercentage")),
            Some(balance) => {
                let granted = balance.total_granted.or_else(|| number("totalGranted"));
                let percentage = granted.filter(|granted| *granted > 0.0);
                let remaining = balance.remaining_balance;
                (granted, Some(remaining), percentage.map(|granted| remaining / granted * 100.0))
            }
        };
        Some(CreditBalance {
            currency_id: currency("id"),
            currency_name: currency("name"),
            total_granted: granted,
            remaining_balance: remaining,
            remaining_balance_percentage: percentage,
        })
    }
}

/// A feature of the product catalog.
#[derive(SimpleObject)]
pub(crate) struct Feature {
    /// The feature id.
    feature_id: String,
    /// The name.
    name: Option<String>,
    /// The description.
    description: Option<String>,
    /// BOOLEAN, NUMBER or ENUM.
    feature_type: Option<String>,
    /// The meter: INCREMENTAL, FLUCTUATING or None. The case varies, as in Stigg's events.
    meter_type: Option<String>,
    /// The unit, singular.
    unit: Option<String>,
    /// The unit, plural.
    units: Option<String>,
    /// NEW, ACTIVE or SUSPENDED. Does not affect access.
    status: Option<String>,
}

/// The credits of an entitlement, from the list or from the last credit_balance event, whichever is newer.
#[derive(SimpleObject)]
pub(crate) struct CreditBalance {
    /// The id of the credit currency.
    currency_id: Option<String>,
    /// The name of the credit currency.
    currency_name: Option<String>,
    /// Number of credits granted.
    total_granted: Option<f64>,
    /// Number of credits left.
    remaining_balance: Option<f64>,
    /// Credits left, in percent of those granted.
    remaining_balance_percentage: Option<f64>,
}

pub(crate) struct Resource {
    customer: Arc<CustomerRow>,
    resource_id: Id,
    scope: Arc<ScopeRegisters>,
}

impl Resource {
    /// The resources of a customer that have a visible list, sorted by id.
    pub(super) async fn all(loaders: &Loaders, customer: &Arc<CustomerRow>) -> Result<Vec<Self>> {
        let resources = loaders.resources.load_one(customer.id.clone()).await?.unwrap_or_default();
        let tombstone = customer.registers.tombstone.as_ref();
        let known = resources.iter().filter(|(_, scope)| scope.visible_list(tombstone).is_some());
        let resource = |(resource_id, scope): (&Id, &Arc<ScopeRegisters>)| Self {
            customer: Arc::clone(customer),
            resource_id: resource_id.clone(),
            scope: Arc::clone(scope),
        };
        Ok(known.map(resource).collect())
    }
}

/// A resource of a customer, such as a site or a project, with its own entitlements.
#[Object]
impl Resource {
    /// The resource id.
    async fn resource_id(&self) -> &str {
        self.resource_id.as_str()
    }

    /// Entitlements of the resource, sorted by feature id. Never merged with the customer level.
    async fn entitlement_list(&self, ctx: &Context<'_>) -> Result<Vec<Entitlement>> {
        let now = Loaders::from_context(ctx)?.now;
        Ok(Entitlement::all(&self.scope, self.customer.registers.tombstone.as_ref(), now).map_err(ApiError::from)?)
    }
}
