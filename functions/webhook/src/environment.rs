//! Rejects events of other Stigg environments: a staging webhook that points at a production replica must change nothing.
//!
//! The replica remembers the environment of the first recent event ([`Store::remember_environment_id`]). A process reads it
//! at start, with the request that opens the connection, and caches it. So an event of that environment costs no request. An
//! event of another environment reads it again, in case an operator has replaced it.
//!
//! An event without an `environmentId` is applied, since the field is optional.

use std::sync::{Mutex, PoisonError};

use domain::{event::Envelope, id::Id};
use jiff::{SignedDuration, Timestamp};
use store::{Environment, Store, StoreError, apply::Timing};

/// Maximum age of an event, by its own time, that decides the replica's environment. The test events of Stigg's app and the
/// sample data are years old.
const MAX_DECIDING_AGE: SignedDuration = SignedDuration::from_hours(1);

/// How long a process caches that no environment is decided. Another process may decide one in the meantime.
const UNDECIDED_CACHE_TIME: SignedDuration = SignedDuration::from_secs(60);

/// The stored environment id as the process last read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum CachedId {
    #[default]
    Unread,
    /// No id was stored at this time.
    Undecided(Timestamp),
    Decided(Id),
}

impl CachedId {
    fn new(environment: Environment, read_at: Timestamp) -> Self {
        environment.environment_id.map_or(Self::Undecided(read_at), Self::Decided)
    }

    /// Whether no environment is decided, as far as the cache is still valid.
    fn is_undecided(&self, now: Timestamp) -> bool {
        matches!(self, Self::Undecided(read_at) if now.duration_since(*read_at).abs() < UNDECIDED_CACHE_TIME)
    }
}

/// The environment that the replica belongs to.
#[derive(Debug, Default)]
pub(crate) struct OwnEnvironment(Mutex<CachedId>);

impl OwnEnvironment {
    /// `environment` was read at `now`. None if it was not read.
    pub(crate) fn new(environment: Option<Environment>, now: Timestamp) -> Self {
        Self(Mutex::new(environment.map(|environment| CachedId::new(environment, now)).unwrap_or_default()))
    }

    /// Whether the event belongs to the replica's environment. A recent event decides the environment if none is decided.
    pub(crate) async fn contains(
        &self,
        store: &Store,
        envelope: &Envelope,
        Timing { received, now }: Timing,
    ) -> Result<bool, StoreError> {
        let Some(environment_id) = &envelope.environment_id else { return Ok(true) };
        let mut cached = self.cached();
        if cached == CachedId::Decided(environment_id.clone()) {
            return Ok(true);
        }
        if !cached.is_undecided(now) {
            cached = CachedId::new(store.environment().await?, now);
        }
        if cached.is_undecided(now) && is_recent(envelope, received) {
            cached = CachedId::Decided(store.remember_environment_id(environment_id).await?);
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = cached.clone();
        Ok(match cached {
            CachedId::Decided(own_id) => own_id == *environment_id,
            CachedId::Unread | CachedId::Undecided(_) => true,
        })
    }

    fn cached(&self) -> CachedId {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn is_recent(envelope: &Envelope, received: Timestamp) -> bool {
    envelope.time().is_some_and(|time| received.duration_since(time).abs() <= MAX_DECIDING_AGE)
}
