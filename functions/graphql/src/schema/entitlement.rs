//! What a customer may use: the effective list, in Stigg's JSON and with types.

use std::sync::Arc;

use async_graphql::{Context, Object, Result, SimpleObject};
use domain::{
    entitlement::{Entitlement as Merged, ScopeRegisters, UnreadableEntitlement, write_stigg_json},
    id::Id,
    time::to_fixed_width,
    version::Version,
};
use jiff::Timestamp;
use serde_json::{Map, Value};
use store::StoreError;

use super::{query::loaders, scalar::Datetime, subscription::word};
use crate::{
    error::ApiError,
    json::separate,
    load::{Loaders, ResourceOf},
    row::CustomerRow,
};

/// The entitlements of a scope in Stigg's own JSON. What no register beside the list can change is copied unread.
pub(super) fn to_stigg_json(scope: &ScopeRegisters, tombstone: Option<&Version>) -> Result<Vec<u8>, StoreError> {
    let Some(list) = scope.visible_list(tombstone) else { return Ok(b"[]".to_vec()) };
    let mut json = Vec::with_capacity(list.value.json_length() + list.value.len() + 2);
    json.push(b'[');
    for (index, (feature_id, stored)) in list.value.iter().enumerate() {
        separate(index, &mut json);
        let feature = Id::try_from(feature_id).ok().filter(|_| scope.may_override(feature_id));
        let merged = feature.map(|feature| scope.entitlement(&feature, tombstone)).transpose()?.flatten();
        write_stigg_json(stored, merged.as_ref(), &mut json).map_err(|_| UNREADABLE)?;
    }
    json.push(b']');
    Ok(json)
}

const UNREADABLE: StoreError = StoreError::Unreadable { attribute: "list" };

/// What a customer, or one of its resources, may use of a feature.
pub(crate) struct Entitlement {
    feature_id: Id,
    merged: Merged,
    /// The list's entry.
    json: Map<String, Value>,
    now: Timestamp,
}

impl Entitlement {
    /// The entitlements of a scope, in the order of the features' ids.
    pub(super) fn all(scope: &ScopeRegisters, tombstone: Option<&Version>, now: Timestamp) -> Result<Vec<Self>, StoreError> {
        let typed = |(feature_id, merged, stored): (Id, Merged, &str)| {
            let json = serde_json::from_str(stored).map_err(|_| UnreadableEntitlement { feature_id: feature_id.to_string() })?;
            Ok(Self { feature_id, merged, json, now })
        };
        scope.entitlements(tombstone)?.into_iter().map(typed).collect()
    }

    /// The entitlements of a customer's resource.
    pub(super) async fn of_resource(loaders: &Loaders, customer: &CustomerRow, resource_id: Id) -> Result<Vec<Self>, ApiError> {
        let scope = loaders.scopes.load_one(ResourceOf { customer_id: customer.id.clone(), resource_id }).await?;
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
    /// The feature.
    async fn feature(&self) -> Feature {
        let json = self.json.get("feature");
        let member = |name: &str| word(json.and_then(|feature| feature.get(name)));
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

    /// How much may be used in a usage period; of a NUMBER feature without a meter, its value.
    async fn usage_limit(&self) -> Option<f64> {
        self.merged.grant.usage_limit
    }

    /// Whether usage has no limit.
    async fn has_unlimited_usage(&self) -> bool {
        self.merged.has_unlimited_usage()
    }

    /// Whether the limit may be passed.
    async fn has_soft_limit(&self) -> bool {
        self.merged.has_soft_limit()
    }

    /// How much was used in the present usage period: 0 once the last known one is over; null where
    /// nobody has counted.
    async fn current_usage(&self) -> Option<f64> {
        let merged = &self.merged;
        merged.current_usage.map(|_| merged.usage_at(self.now))
    }

    /// When the present usage period began.
    async fn usage_period_start(&self) -> Option<Datetime> {
        datetime(self.merged.bounds_at(self.now).start)
    }

    /// When the present usage period ends; null where it never does, or it is not known.
    async fn usage_period_end(&self) -> Option<Datetime> {
        datetime(self.merged.bounds_at(self.now).end)
    }

    /// What usage periods are counted from.
    async fn usage_period_anchor(&self) -> Option<Datetime> {
        datetime(self.merged.period.usage_period_anchor)
    }

    /// How often usage starts anew: HOUR, DAY, WEEK, MONTH or YEAR.
    async fn reset_period(&self) -> Option<&str> {
        self.merged.period.reset_period.as_deref()
    }

    /// The values of an ENUM feature that may be used.
    async fn enum_values(&self) -> Option<&[String]> {
        self.merged.grant.enum_values.as_deref()
    }

    /// The credits that pay for it, where it is paid with credits.
    async fn credit_balance(&self) -> Option<CreditBalance> {
        let json = self.json.get("creditBalance").filter(|json| json.is_object())?;
        let balance = self.merged.balance.as_ref();
        let number = |name: &str| json.get(name).and_then(Value::as_f64);
        let currency = |name: &str| word(json.get("creditCurrency").and_then(|currency| currency.get(name)));
        let (granted, left, percentage) = match balance.filter(|_| self.merged.is_balance_newer) {
            None => (number("totalGranted"), number("remainingBalance"), number("remainingBalancePercentage")),
            Some(balance) => {
                let granted = balance.total_granted.or_else(|| number("totalGranted"));
                let percentage = granted.filter(|granted| *granted > 0.0);
                let left = balance.remaining_balance;
                (granted, Some(left), percentage.map(|granted| left / granted * 100.0))
            }
        };
        Some(CreditBalance {
            currency_id: currency("id"),
            currency_name: currency("name"),
            total_granted: granted,
            remaining_balance: left,
            remaining_balance_percentage: percentage,
        })
    }
}

/// Something that can be granted: a switch, a value, a choice, or a quantity that is used up.
#[derive(SimpleObject)]
pub(crate) struct Feature {
    /// Its id.
    feature_id: String,
    /// Its name.
    name: Option<String>,
    /// What it is.
    description: Option<String>,
    /// BOOLEAN, NUMBER or ENUM.
    feature_type: Option<String>,
    /// How usage is counted: INCREMENTAL, FLUCTUATING or None; Stigg varies the case.
    meter_type: Option<String>,
    /// What one of it is called.
    unit: Option<String>,
    /// What several of it are called.
    units: Option<String>,
    /// NEW, ACTIVE or SUSPENDED; it decides nothing.
    status: Option<String>,
}

/// The credits behind an entitlement: the newer of its list and the last credit_balance event.
#[derive(SimpleObject)]
pub(crate) struct CreditBalance {
    /// The id of the kind of credits.
    currency_id: Option<String>,
    /// Its name.
    currency_name: Option<String>,
    /// How many were granted.
    total_granted: Option<f64>,
    /// How many are left.
    remaining_balance: Option<f64>,
    /// How many are left, in percent.
    remaining_balance_percentage: Option<f64>,
}

/// Something of a customer's that has entitlements of its own: a site, a project, a device.
pub(crate) struct Resource {
    customer: Arc<CustomerRow>,
    resource_id: Id,
    scope: Arc<ScopeRegisters>,
}

impl Resource {
    /// A customer's resources with a visible list, in the order of their ids.
    pub(super) async fn of(loaders: &Loaders, customer: &Arc<CustomerRow>) -> Result<Vec<Self>> {
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

/// Something of a customer's that has entitlements of its own: a site, a project, a device.
#[Object]
impl Resource {
    /// Its id.
    async fn resource_id(&self) -> &str {
        self.resource_id.as_str()
    }

    /// What it may use, in the order of the features' ids; never merged with the customer's own.
    async fn entitlement_list(&self, ctx: &Context<'_>) -> Result<Vec<Entitlement>> {
        let now = loaders(ctx)?.now;
        Ok(Entitlement::all(&self.scope, self.customer.registers.tombstone.as_ref(), now).map_err(ApiError::from)?)
    }
}
