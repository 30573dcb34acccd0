//! Synchronizes the replica with Stigg's API: compares record by record, and writes the registers of records that differ.
//! Used by import and reconcile.
//!
//! **One parser.** Each record becomes the event that Stigg would have sent, which is parsed like a webhook's event. The
//! registers of a customer (profile, creation, list) are written in one request, as are those of a subscription.
//!
//! **Versions.** A record is written with a version that is never later than the state it shows (see
//! [`crate::stigg::Stigg`]). Later events have a higher version and win, whether they arrive before or after the write.
//! Earlier events have a lower version, and their effect is in the record. A version that is too late would hide an
//! event; one that is too early only leaves changes within the lag to the next run. Stigg's `updatedAt` is not used:
//! subscriptions have none, and it can be lower than a wrong version in the replica (such as the receipt time of an event
//! without a timestamp), which could then never be fixed.
//!
//! **Only differences are written.** A second run writes nothing, and fields that only events carry (a billing period, an
//! add-on's name) stay.
//!
//! **Dependents never resurrect a customer.** Only a customer's own record shows that it is live: Stigg keeps
//! subscriptions of archived customers.

mod compare;
mod customer;
mod difference;
mod entitlements;
mod inspect;
mod not_found;
mod pages;
mod subscription;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex},
};

use domain::{
    event::{self, Event, Received},
    id::Id,
    version::Version,
};
use jiff::Timestamp;
use serde_json::{Map, Value};
use store::{Outcome, Store, StoreError};

pub use difference::{Comparison, Difference, DifferenceKind, FixStatus, Skipped, Subject};
pub use inspect::extra_customer;
pub use pages::{InspectedCustomer, Progress};

use crate::stigg::{BadRecord, Stigg, StiggError, version_at};
use compare::Field;
use not_found::Confirmations;

/// Attempts of a write that conflicts with concurrent writers.
const MAX_ATTEMPTS: usize = 3;

/// Capacity of [`Recent`].
const MAX_RECENT_RESOURCES: usize = 10_000;

/// What to do about differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Write all differences, including usage. Does not look for extra data in the replica.
    Import,
    /// Report only.
    Compare,
    /// Report and fix.
    Fix,
}

/// An error that ends a run.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    #[error(transparent)]
    Stigg(StiggError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Skip this record or part, or end the run.
enum SyncError {
    Skip(String),
    Fatal(Fatal),
}

impl From<StiggError> for SyncError {
    fn from(error: StiggError) -> Self {
        if error.is_fatal() { Self::Fatal(Fatal::Stigg(error)) } else { Self::Skip(error.to_string()) }
    }
}

impl From<StoreError> for SyncError {
    fn from(error: StoreError) -> Self {
        match error {
            // A single item, written by another program or too large.
            StoreError::Unreadable { .. } | StoreError::TooLarge => Self::Skip(error.to_string()),
            error => Self::Fatal(error.into()),
        }
    }
}

impl From<BadRecord> for SyncError {
    fn from(error: BadRecord) -> Self {
        Self::Skip(error.to_string())
    }
}

#[derive(Debug)]
pub struct Synchronizer {
    pub stigg: Arc<Stigg>,
    pub store: Store,
    mode: Mode,
    plans: Arc<tokio::sync::Mutex<Plans>>,
    compared: Mutex<Recent>,
    confirmations: Arc<Confirmations>,
}

/// Plans as events carry them; None if Stigg has no record of the plan.
type Plans = HashMap<Id, Option<Map<String, Value>>>;

/// The last resources whose lists were compared.
#[derive(Debug, Default)]
struct Recent {
    order: VecDeque<(Id, Id)>,
    members: HashSet<(Id, Id)>,
}

impl Recent {
    /// Returns false if the resource was already there.
    fn insert(&mut self, customer_id: &Id, resource_id: &Id) -> bool {
        let resource = (customer_id.clone(), resource_id.clone());
        if !self.members.insert(resource.clone()) {
            return false;
        }
        self.order.push_back(resource);
        if self.order.len() > MAX_RECENT_RESOURCES
            && let Some(oldest) = self.order.pop_front()
        {
            self.members.remove(&oldest);
        }
        true
    }
}

impl Synchronizer {
    pub fn new(stigg: Stigg, store: Store, mode: Mode) -> Self {
        Self {
            stigg: Arc::new(stigg),
            store,
            mode,
            plans: Arc::default(),
            compared: Mutex::default(),
            confirmations: Arc::default(),
        }
    }

    /// A second pass in another mode, with the same client and caches.
    pub fn with_mode(&self, mode: Mode) -> Self {
        let Self { stigg, store, plans, confirmations, .. } = self;
        let (stigg, store, plans, confirmations) = (stigg.clone(), store.clone(), plans.clone(), confirmations.clone());
        Self { stigg, store, mode, plans, compared: Mutex::default(), confirmations }
    }

    fn writes(&self) -> bool {
        self.mode != Mode::Compare
    }

    /// Whether data that only the replica has is compared too.
    fn is_thorough(&self) -> bool {
        self.mode != Mode::Import
    }

    /// Sends a write, again if other writers interfere.
    async fn write(
        &self,
        comparison: &mut Comparison,
        write: impl AsyncFn() -> Result<Outcome, StoreError>,
    ) -> Result<Outcome, SyncError> {
        let mut attempts = 1;
        let outcome = loop {
            match write().await {
                Err(StoreError::Contended) if attempts < MAX_ATTEMPTS => attempts += 1,
                written => break written?,
            }
        };
        comparison.writes += 1;
        Ok(outcome)
    }

    /// A plan's fields in events. Requested once per plan and run.
    async fn plan(&self, plan_id: &Id) -> Result<Option<Map<String, Value>>, SyncError> {
        let mut plans = self.plans.lock().await;
        if let Some(plan) = plans.get(plan_id) {
            return Ok(plan.clone());
        }
        let plan = match self.stigg.plan_record(plan_id).await {
            Ok((record, _)) => record.map(|record| crate::stigg::plan_fields(&record)),
            Err(error) if error.is_fatal() => return Err(error.into()),
            Err(_) => None,
        };
        plans.insert(plan_id.clone(), plan.clone());
        Ok(plan)
    }
}

/// Parses the event of a record like the webhook. `take` selects the registers to write.
fn parse_event<T>(event: &Value, take: impl FnOnce(Event) -> Option<T>) -> Result<T, SyncError> {
    let event = match event::parse(event.to_string().as_bytes()) {
        Ok(Received::Handled(handled)) => take(handled.event),
        Ok(Received::Ignored { .. }) => None,
        Err(error) => return Err(SyncError::Skip(error.to_string())),
    };
    event.ok_or_else(|| SyncError::Skip("the record can't be converted to an event".to_owned()))
}

/// The creation to write, if the record's is not `known`. It must be above the tombstone, and not in the future.
fn missing_creation(
    created_at: Option<Timestamp>,
    known: Option<&str>,
    tombstone: Option<&Version>,
    now: Timestamp,
) -> Option<Version> {
    let created_at = created_at.filter(|created_at| known.is_none() && *created_at <= now)?;
    tombstone.is_none_or(|tombstone| created_at > tombstone.time()).then(|| version_at(created_at))
}

/// A creation's time as a differing field.
fn creation_field(creation: &Version) -> Field {
    Field { name: "createdAt".to_owned(), stigg: creation.time_text().into(), replica: Value::Null }
}

fn field_differences(customer_id: &Id, subject: &Subject, fields: Vec<Field>) -> impl Iterator<Item = Difference> {
    fields.into_iter().map(move |Field { name, stigg, replica }| Difference {
        field: Some(name),
        stigg: Some(stigg),
        replica: Some(replica),
        ..difference(customer_id, DifferenceKind::Differs, subject.clone())
    })
}

fn difference(customer_id: &Id, kind: DifferenceKind, subject: Subject) -> Difference {
    Difference { customer_id: customer_id.clone(), kind, subject, field: None, stigg: None, replica: None, fixed: FixStatus::No }
}

fn fix_status(outcome: Outcome) -> FixStatus {
    match outcome {
        Outcome::Applied => FixStatus::Yes,
        Outcome::Stale => FixStatus::Newer,
    }
}

/// Records [`SyncError::Skip`] as a skipped record, and returns fatal errors.
fn skip_on_error<T>(
    result: Result<T, SyncError>,
    comparison: &mut Comparison,
    record: &'static str,
    id: &Id,
) -> Result<Option<T>, Fatal> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(SyncError::Skip(reason)) => {
            comparison.skip(record, id, reason);
            Ok(None)
        }
        Err(SyncError::Fatal(fatal)) => Err(fatal),
    }
}
