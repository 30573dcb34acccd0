//! A function's secrets from Secrets Manager: number of reads, rotation, and outages.
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

/// A keyring with a fake Secrets Manager and a test clock.
struct TestKeyring {
    manager: SecretsManager,
    keyring: Keyring<Token>,
    seconds: Arc<AtomicI64>,
}

impl TestKeyring {
    async fn start() -> Self {
        let manager = SecretsManager::start(&json!({"token": "one"})).await.unwrap();
        let seconds = Arc::new(AtomicI64::new(1_000_000));
        let clock = seconds.clone();
        let clock = Clock::of(move || Timestamp::from_second(clock.load(Ordering::SeqCst)).unwrap());
        let keyring = Keyring::in_secrets_manager(manager.client(), "secret", clock);
        Self { manager, keyring, seconds }
    }

    fn advance(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn accepts(&self, presented: &str) -> Result<bool, Unreadable> {
        let check = |Token(secret): &Token| secret.accepts(presented.as_bytes()).then_some(()).ok_or(());
        Ok(self.keyring.check(check).await?.is_ok())
    }
}

#[tokio::test]
async fn a_secret_is_read_once_every_five_minutes() {
    let keyring = TestKeyring::start().await;
    for _ in 0..10 {
        assert_eq!(keyring.accepts("one").await, Ok(true));
    }
    keyring.advance(299);
    assert_eq!((keyring.accepts("one").await, keyring.manager.reads()), (Ok(true), 1));
    keyring.advance(1);
    assert_eq!((keyring.accepts("one").await, keyring.manager.reads()), (Ok(true), 2));
}

#[tokio::test]
async fn a_new_value_is_accepted_30_seconds_after_the_last_read() {
    let keyring = TestKeyring::start().await;
    assert_eq!(keyring.accepts("one").await, Ok(true));
    keyring.manager.put(Some(&json!({"token": "two", "previous": "one"})));
    keyring.advance(29);
    assert_eq!((keyring.accepts("two").await, keyring.manager.reads()), (Ok(false), 1));
    keyring.advance(1);
    assert_eq!((keyring.accepts("two").await, keyring.manager.reads()), (Ok(true), 2));
    assert_eq!(keyring.accepts("one").await, Ok(true));
}

#[tokio::test]
async fn a_removed_value_is_rejected_after_five_minutes() {
    let keyring = TestKeyring::start().await;
    assert_eq!(keyring.accepts("one").await, Ok(true));
    keyring.manager.put(Some(&json!({"token": "two"})));
    assert_eq!(keyring.accepts("one").await, Ok(true));
    keyring.advance(300);
    assert_eq!(keyring.accepts("one").await, Ok(false));
}

#[tokio::test]
async fn wrong_secrets_cause_at_most_one_read_in_30_seconds() {
    let keyring = TestKeyring::start().await;
    for second in 0..60 {
        for _ in 0..20 {
            assert_eq!(keyring.accepts("guess").await, Ok(false), "second {second}");
        }
        keyring.advance(1);
    }
    assert_eq!(keyring.manager.reads(), 2);
}

#[tokio::test]
async fn cached_secrets_are_used_while_secrets_manager_fails() {
    let keyring = TestKeyring::start().await;
    assert_eq!(keyring.accepts("one").await, Ok(true));
    keyring.manager.put(None);
    for _ in 0..10 {
        keyring.advance(300);
        assert_eq!((keyring.accepts("one").await, keyring.accepts("guess").await), (Ok(true), Ok(false)));
    }
    keyring.manager.put(Some(&json!("not an object")));
    keyring.advance(300);
    assert_eq!(keyring.accepts("one").await, Ok(true));
}

#[tokio::test]
async fn callers_are_rejected_until_the_first_read_succeeds_and_it_is_retried_after_a_second() {
    let keyring = TestKeyring::start().await;
    keyring.manager.put(None);
    assert_eq!((keyring.accepts("one").await, keyring.accepts("one").await), (Err(Unreadable), Err(Unreadable)));
    assert_eq!(keyring.manager.reads(), 1);
    keyring.manager.put(Some(&json!({"token": "one"})));
    keyring.advance(1);
    assert_eq!((keyring.accepts("one").await, keyring.manager.reads()), (Ok(true), 2));
}
