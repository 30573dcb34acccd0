//! The secrets of a function, read from Secrets Manager: how often, and what a rotation or an outage
//! does to those who present them.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::Timestamp;
use runtime::{
    clock::Clock,
    keyring::{Keyring, Secrets, Unreadable},
    secret::Secret,
};
use serde_json::json;
use testkit::fake_aws::SecretsManager;

struct Token(Secret);

impl Secrets for Token {
    fn of_json(json: &str) -> Result<Self, String> {
        let stored: serde_json::Value = serde_json::from_str(json).map_err(|_| "not JSON")?;
        Ok(Self(Secret::new(stored["token"].as_str().ok_or("no token")?, stored["previous"].as_str()).map_err(|_| "empty")?))
    }
}

struct Watched {
    manager: SecretsManager,
    keyring: Keyring<Token>,
    seconds: Arc<AtomicI64>,
}

impl Watched {
    async fn start() -> Self {
        let manager = SecretsManager::start(&json!({"token": "one"})).await.unwrap();
        let seconds = Arc::new(AtomicI64::new(1_000_000));
        let clock = seconds.clone();
        let clock = Clock::of(move || Timestamp::from_second(clock.load(Ordering::SeqCst)).unwrap());
        let keyring = Keyring::in_secrets_manager(manager.client(), "secret", clock);
        Self { manager, keyring, seconds }
    }

    fn pass(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn accepts(&self, presented: &str) -> Result<bool, Unreadable> {
        let check = |Token(secret): &Token| secret.accepts(presented.as_bytes()).then_some(()).ok_or(());
        Ok(self.keyring.check(check).await?.is_ok())
    }
}

#[tokio::test]
async fn a_secret_is_read_once_in_five_minutes() {
    let watched = Watched::start().await;
    for _ in 0..10 {
        assert_eq!(watched.accepts("one").await, Ok(true));
    }
    watched.pass(299);
    assert_eq!((watched.accepts("one").await, watched.manager.reads()), (Ok(true), 1));
    watched.pass(1);
    assert_eq!((watched.accepts("one").await, watched.manager.reads()), (Ok(true), 2));
}

#[tokio::test]
async fn a_new_value_is_accepted_half_a_minute_after_the_last_reading() {
    let watched = Watched::start().await;
    assert_eq!(watched.accepts("one").await, Ok(true));
    watched.manager.put(Some(&json!({"token": "two", "previous": "one"})));
    watched.pass(29);
    assert_eq!((watched.accepts("two").await, watched.manager.reads()), (Ok(false), 1));
    watched.pass(1);
    assert_eq!((watched.accepts("two").await, watched.manager.reads()), (Ok(true), 2));
    assert_eq!(watched.accepts("one").await, Ok(true));
}

#[tokio::test]
async fn a_value_that_was_taken_away_is_refused_five_minutes_later() {
    let watched = Watched::start().await;
    assert_eq!(watched.accepts("one").await, Ok(true));
    watched.manager.put(Some(&json!({"token": "two"})));
    assert_eq!(watched.accepts("one").await, Ok(true));
    watched.pass(300);
    assert_eq!(watched.accepts("one").await, Ok(false));
}

#[tokio::test]
async fn strangers_run_up_no_calls() {
    let watched = Watched::start().await;
    for second in 0..60 {
        for _ in 0..20 {
            assert_eq!(watched.accepts("guess").await, Ok(false), "second {second}");
        }
        watched.pass(1);
    }
    assert_eq!(watched.manager.reads(), 2);
}

#[tokio::test]
async fn what_was_read_holds_while_secrets_manager_fails() {
    let watched = Watched::start().await;
    assert_eq!(watched.accepts("one").await, Ok(true));
    watched.manager.put(None);
    for _ in 0..10 {
        watched.pass(300);
        assert_eq!((watched.accepts("one").await, watched.accepts("guess").await), (Ok(true), Ok(false)));
    }
    watched.manager.put(Some(&json!("not what it should be")));
    watched.pass(300);
    assert_eq!(watched.accepts("one").await, Ok(true));
}

#[tokio::test]
async fn nobody_is_let_in_before_the_first_reading_and_it_is_tried_again_soon() {
    let watched = Watched::start().await;
    watched.manager.put(None);
    assert_eq!((watched.accepts("one").await, watched.accepts("one").await), (Err(Unreadable), Err(Unreadable)));
    assert_eq!(watched.manager.reads(), 1);
    watched.manager.put(Some(&json!({"token": "one"})));
    watched.pass(1);
    assert_eq!((watched.accepts("one").await, watched.manager.reads()), (Ok(true), 2));
}
