//! Which Stigg environment's events are applied. A staging webhook that is pointed at production must change nothing.
//!
//! The replica remembers the environment of the first recent event ([`Store::remember_environment_id`]). The process
//! reads it while it starts, by the request that opens the connection anyway, and keeps it: an event of that
//! environment takes no request more. An event of another one reads it again, in case an operator has replaced it.
//!
//! An event without an `environmentId` is applied, since the field is optional.

use std::sync::{Mutex, PoisonError};

use domain::{event::Envelope, id::Id};
use jiff::{SignedDuration, Timestamp};
use store::{Environment, Store, StoreError, apply::Timing};

/// How old an event may be, by its own time, to decide the replica's environment. The test events of Stigg's app are
/// canned and years old, and so are sample data.
const RECENT: SignedDuration = SignedDuration::from_hours(1);

/// How long a process believes that no environment is decided: another process may have decided one since.
const UNDECIDED_FOR: SignedDuration = SignedDuration::from_secs(60);

/// What the process knows of the replica's environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Known {
    /// It was not read yet.
    #[default]
    Unread,
    /// None was stored when it was read, at this time.
    Undecided(Timestamp),
    /// Its id.
    Decided(Id),
}

impl Known {
    fn new(environment: Environment, read_at: Timestamp) -> Self {
        environment.environment_id.map_or(Self::Undecided(read_at), Self::Decided)
    }

    /// Whether nothing needs to be read to know that no environment is decided.
    fn is_undecided(&self, now: Timestamp) -> bool {
        matches!(self, Self::Undecided(read_at) if now.duration_since(*read_at).abs() < UNDECIDED_FOR)
    }
}

/// The replica's environment.
#[derive(Debug, Default)]
pub(crate) struct OwnEnvironment(Mutex<Known>);

impl OwnEnvironment {
    /// The environment as it was read at `now`; None if it could not be read yet.
    pub(crate) fn new(environment: Option<Environment>, now: Timestamp) -> Self {
        Self(Mutex::new(environment.map(|environment| Known::new(environment, now)).unwrap_or_default()))
    }

    /// Whether an event is of the replica's environment. If none is decided yet, a recent event decides it.
    pub(crate) async fn has(
        &self,
        store: &Store,
        envelope: &Envelope,
        Timing { received, now }: Timing,
    ) -> Result<bool, StoreError> {
        let Some(named) = &envelope.environment_id else { return Ok(true) };
        let mut known = self.known();
        if known == Known::Decided(named.clone()) {
            return Ok(true);
        }
        if !known.is_undecided(now) {
            known = Known::new(store.environment().await?, now);
        }
        if known.is_undecided(now) && is_recent(envelope, received) {
            known = Known::Decided(store.remember_environment_id(named).await?);
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = known.clone();
        Ok(match known {
            Known::Decided(own) => own == *named,
            Known::Unread | Known::Undecided(_) => true,
        })
    }

    fn known(&self) -> Known {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn is_recent(envelope: &Envelope, received: Timestamp) -> bool {
    envelope.time().is_some_and(|time| received.duration_since(time).abs() <= RECENT)
}
