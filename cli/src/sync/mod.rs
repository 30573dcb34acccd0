//! The replica beside Stigg's API: compares record by record, and writes what an import or a
//! reconciliation may write, as the events that Stigg would have sent.
//!
//! **Versions.** What was read is written with a version that is never later than the state it shows
//! (see [`crate::stigg::Stigg`]). So an event that happened after that moment has a higher version and
//! wins, whether it comes before the import's write or after; an event from before has a lower one,
//! and what it did is in what was read. A later version would hide an event that happened in between;
//! an earlier one costs nothing but that the next run mends what changed within the lag. Stigg's own
//! `updatedAt` is not used: a subscription has none, and it can lie below what the replica wrongly
//! holds, such as the receipt of an event that says no time, which then could never be mended.
//!
//! **What differs is written, and nothing else.** So a second run writes nothing, and what only
//! events tell (a billing period, an add-on's name) stays.
//!
//! **Nobody is brought back by what hangs on him.** Only a customer's own record shows it alive:
//! Stigg keeps subscriptions of archived customers.

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
};
use serde_json::{Map, Value};
use store::{Outcome, Store, StoreError, apply::apply};

pub use difference::{Comparison, Difference, DifferenceKind, FixStatus, Skipped, Subject};
pub use inspect::extra_customer;
pub use pages::{InspectedCustomer, Progress};

use crate::stigg::{BadRecord, Stigg, StiggError};
use compare::Field;
use not_found::Confirmations;

/// How often a write is tried that met another writer at every turn.
const MAX_ATTEMPTS: usize = 3;

/// How many resources are remembered as compared a moment ago.
const MAX_RECENT_RESOURCES: usize = 10_000;

/// What is done about differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything that differs is written, usage too; what the replica has beside it is not looked for.
    Import,
    /// They are told.
    Compare,
    /// They are told and mended.
    Fix,
}

/// What ends a run.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    #[error(transparent)]
    Stigg(StiggError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a record, or a part of it, is passed over; or all.
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
            // One item that some other program wrote.
            StoreError::Unreadable { .. } => Self::Skip(error.to_string()),
            error => Self::Fatal(error.into()),
        }
    }
}

impl From<BadRecord> for SyncError {
    fn from(error: BadRecord) -> Self {
        Self::Skip(error.to_string())
    }
}

/// The replica's store beside Stigg's API.
#[derive(Debug)]
pub struct Synchronizer {
    /// Stigg's API.
    pub stigg: Arc<Stigg>,
    /// The replica.
    pub store: Store,
    mode: Mode,
    plans: Arc<tokio::sync::Mutex<Plans>>,
    compared: Mutex<Recent>,
    confirmations: Arc<Confirmations>,
}

/// Plans as events carry them; None is one that Stigg did not tell of.
type Plans = HashMap<Id, Option<Map<String, Value>>>;

/// The resources whose lists were compared last.
#[derive(Debug, Default)]
struct Recent {
    order: VecDeque<(Id, Id)>,
    members: HashSet<(Id, Id)>,
}

impl Recent {
    /// Whether this is new; remembers it.
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
    /// The two beside one another.
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

    /// The same for another look, which may do other things about differences.
    pub fn with_mode(&self, mode: Mode) -> Self {
        let Self { stigg, store, plans, confirmations, .. } = self;
        let (stigg, store, plans, confirmations) = (stigg.clone(), store.clone(), plans.clone(), confirmations.clone());
        Self { stigg, store, mode, plans, compared: Mutex::default(), confirmations }
    }

    fn writes(&self) -> bool {
        self.mode != Mode::Compare
    }

    /// Whether what the replica has beside what Stigg lists is compared too.
    fn is_thorough(&self) -> bool {
        self.mode != Mode::Import
    }

    /// Writes an event as the webhook would, had Stigg sent it; only that a subscription does not
    /// show its customer alive.
    async fn write(&self, event: &Value) -> Result<Outcome, SyncError> {
        let body = event.to_string();
        let handled = match event::parse(body.as_bytes()) {
            Ok(Received::Handled(handled)) => handled,
            Ok(Received::Ignored { kind }) => return Err(SyncError::Skip(format!("{kind} is not handled"))),
            Err(error) => return Err(SyncError::Skip(error.to_string())),
        };
        let mut event = handled.event;
        if let Event::Subscription { live_customer, .. } = &mut event {
            *live_customer = None;
        }
        let mut attempts = 0;
        loop {
            attempts += 1;
            match apply(&self.store, &handled.envelope, &event, self.stigg.now().into()).await {
                Err(StoreError::Contended) if attempts < MAX_ATTEMPTS => {}
                written => return Ok(written?.0),
            }
        }
    }

    /// What a plan is called, and what events say of it beside that. Asked for once.
    async fn plan(&self, plan_id: &Id) -> Result<Option<Map<String, Value>>, SyncError> {
        let mut plans = self.plans.lock().await;
        if let Some(plan) = plans.get(plan_id) {
            return Ok(plan.clone());
        }
        let plan = match self.stigg.plan_record(plan_id).await {
            Ok((record, _)) => record.map(|record| crate::stigg::plan(&record)),
            Err(error) if error.is_fatal() => return Err(error.into()),
            Err(_) => None,
        };
        plans.insert(plan_id.clone(), plan.clone());
        Ok(plan)
    }
}

/// The differences that fields make.
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

/// What a write made of the differences that it was for.
fn fix_status(outcome: Outcome) -> FixStatus {
    match outcome {
        Outcome::Applied => FixStatus::Yes,
        Outcome::Stale => FixStatus::Newer,
    }
}

/// Takes what a part of a record came to: passes it over where that is all there is to do.
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
