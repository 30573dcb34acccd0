//! What a customer may use: the effective list, in Stigg's JSON and with types.

use std::sync::Arc;

use async_graphql::{Context, Object, Result, SimpleObject};
use jiff::Timestamp;
use serde_json::{Map, Value};
use shared::{
    customer::Register,
    entitlement::{Entitlement as Merged, Usage, is_granted, write_stigg_json},
    id::Id,
    store::{FeatureRow, StoreError},
    time::to_fixed_width,
    version::Version,
};

use super::{query::loaders, scalar::Datetime, subscription::word};
use crate::{
    error::ApiError,
    json::separate,
    load::{FeaturesOf, Loaders, Scope},
    row::CustomerRow,
};

/// A feature that the newest list grants.
pub(super) struct Granted<'a> {
    feature_id: &'a Id,
    /// What the list said, in JSON without nulls.
    grant: &'a Register<String>,
    usage: Option<&'a Register<Usage>>,
}

impl<'a> Granted<'a> {
    /// The feature as the newest list has it; None if it does not grant it.
    fn of(row: &'a FeatureRow, customer: &CustomerRow, list: &Version) -> Option<Self> {
        let grant = customer.registers.seen(&row.grant).filter(|grant| is_granted(&grant.version, list))?;
        Some(Self { feature_id: &row.feature_id, grant, usage: customer.registers.seen(&row.usage) })
    }

    fn merged(&self) -> Result<Merged, StoreError> {
        let Register { version, value } = self.grant;
        let grant = Register { version: version.clone(), value: serde_json::from_str(value).map_err(unreadable)? };
        Ok(Merged::new(grant, self.usage))
    }
}

/// All of them in Stigg's own JSON. What nobody has measured is as the list said it, and need not be read.
pub(super) fn to_stigg_json(all: &[Granted<'_>]) -> Result<Vec<u8>, StoreError> {
    /// For what is not stored: nulls.
    const BESIDE: usize = 256;
    let mut json = Vec::with_capacity(all.iter().map(|granted| granted.grant.value.len() + BESIDE).sum());
    json.push(b'[');
    for (index, granted) in all.iter().enumerate() {
        separate(index, &mut json);
        let merged = granted.usage.map(|_| granted.merged()).transpose()?;
        let measured = merged.as_ref().filter(|merged| merged.is_measured);
        write_stigg_json(&granted.grant.value, measured, &mut json).map_err(unreadable)?;
    }
    json.push(b']');
    Ok(json)
}

fn unreadable(_: serde_json::Error) -> StoreError {
    StoreError::Unreadable { attribute: "grant" }
}

/// What `answer` makes of what the newest list of the scope grants, in the order of the features' ids.
pub(super) async fn effective<T>(
    loaders: &Loaders,
    customer: &CustomerRow,
    scope: Scope,
    answer: impl FnOnce(&[Granted<'_>]) -> Result<T, StoreError>,
) -> Result<T, ApiError> {
    let list = match &scope {
        Scope::Customer => customer.registers.seen(&customer.registers.list).cloned(),
        Scope::Resource(id) => {
            let resources = loaders.resources.load_one(customer.id.clone()).await?;
            let resource = resources.iter().flat_map(|resources| resources.iter()).find(|resource| resource.resource_id == *id);
            resource.and_then(|resource| customer.registers.seen(&resource.list).cloned())
        }
    };
    let Some(list) = list.filter(|list| list.value > 0) else {
        return Ok(answer(&[])?);
    };
    let resource_id = scope.resource_id().cloned();
    let features = loaders.features.load_one(FeaturesOf { customer_id: customer.id.clone(), scope }).await?;
    let granted = granted(features.iter().flat_map(|rows| rows.iter()), customer, &list.version);
    // The list is durable only after all of its grants: fewer were read before they arrived there.
    if u64::try_from(granted.len()).is_ok_and(|length| length >= list.value) {
        return Ok(answer(&granted)?);
    }
    let features = loaders.store.features_consistently(&customer.id, Some(resource_id.as_ref())).await?;
    Ok(answer(&self::granted(&features, customer, &list.version))?)
}

fn granted<'a>(features: impl IntoIterator<Item = &'a FeatureRow>, customer: &CustomerRow, list: &Version) -> Vec<Granted<'a>> {
    let mut granted: Vec<_> = features.into_iter().filter_map(|row| Granted::of(row, customer, list)).collect();
    granted.sort_by_key(|granted| granted.feature_id);
    granted
}

/// What a customer, or one of its resources, may use of a feature.
pub(crate) struct Entitlement {
    feature_id: Id,
    merged: Merged,
    /// What the list said.
    json: Map<String, Value>,
    now: Timestamp,
}

impl Entitlement {
    fn new(granted: &Granted<'_>, now: Timestamp) -> Result<Self, StoreError> {
        let json = serde_json::from_str(&granted.grant.value).map_err(unreadable)?;
        Ok(Self { feature_id: granted.feature_id.clone(), merged: granted.merged()?, json, now })
    }

    /// What the newest list of the scope grants, in the order of the features' ids.
    pub(super) async fn all(loaders: &Loaders, customer: &CustomerRow, scope: Scope) -> Result<Vec<Self>, ApiError> {
        let typed = |granted: &[Granted<'_>]| granted.iter().map(|granted| Self::new(granted, loaders.now)).collect();
        effective(loaders, customer, scope, typed).await
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
        self.merged.usage_limit
    }

    /// Whether usage has no limit.
    async fn has_unlimited_usage(&self) -> bool {
        self.merged.has_unlimited_usage
    }

    /// Whether the limit may be passed.
    async fn has_soft_limit(&self) -> bool {
        self.merged.grant.has_soft_limit.unwrap_or(false)
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
        let json = self.json.get("creditBalance")?;
        let number = |name: &str| json.get(name).and_then(Value::as_f64);
        let currency = |name: &str| word(json.get("creditCurrency").and_then(|currency| currency.get(name)));
        Some(CreditBalance {
            currency_id: currency("id"),
            currency_name: currency("name"),
            total_granted: number("totalGranted"),
            remaining_balance: number("remainingBalance"),
            remaining_balance_percentage: number("remainingBalancePercentage"),
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

/// The credits behind an entitlement, as fresh as the list of entitlements.
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
}

impl Resource {
    /// A customer's resources.
    pub(super) async fn of(loaders: &Loaders, customer: &Arc<CustomerRow>) -> Result<Vec<Self>> {
        let resources = loaders.resources.load_one(customer.id.clone()).await?.unwrap_or_default();
        let known = resources.iter().filter(|resource| customer.registers.seen(&resource.list).is_some());
        let resource = |resource_id: &Id| Self { customer: Arc::clone(customer), resource_id: resource_id.clone() };
        let mut resources: Vec<Self> = known.map(|row| resource(&row.resource_id)).collect();
        resources.sort_by(|a, b| a.resource_id.cmp(&b.resource_id));
        Ok(resources)
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
        let loaders = loaders(ctx)?;
        let scope = Scope::Resource(self.resource_id.clone());
        Ok(Entitlement::all(loaders, &self.customer, scope).await?)
    }
}
