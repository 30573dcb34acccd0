//! The replica belongs to one Stigg environment: events of another one are set aside, without a request more for its own.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use domain::{id::Id, time::to_fixed_width};
use jiff::{SignedDuration, Timestamp};
use lambda_http::{Body, http};
use local::embedded::Embedded;
use runtime::{clock::Clock, parked::Parked, secret::Secret};
use serde_json::{Value, json};
use store::{Environment, Store};
use testkit::fake_aws::Sqs;
use webhook::{Batch, Message, Queue, Webhook, WebhookSecrets};

const SECRET: &str = "secret";

struct Place {
    embedded: Embedded,
    sqs: Sqs,
}

impl Place {
    async fn start() -> Self {
        Self { embedded: Embedded::in_memory().await.unwrap(), sqs: Sqs::start().await.unwrap() }
    }

    /// A process of the function.
    async fn process(&self) -> Webhook {
        self.process_at(Clock::system()).await
    }

    async fn process_at(&self, clock: Clock) -> Webhook {
        let environment = self.embedded.store.warm_up_for_writes().await;
        assert!(environment.is_some());
        self.unread_at(clock).with_environment(environment)
    }

    /// One that could not read the environment while it started.
    fn unread(&self) -> Webhook {
        self.unread_at(Clock::system())
    }

    fn unread_at(&self, clock: Clock) -> Webhook {
        let aside = Queue::new(self.sqs.client(), self.sqs.url_of("set-aside"));
        webhook(self.embedded.store.clone(), clock).with_set_aside_queue(Some(aside))
    }

    fn set_aside(&self) -> usize {
        self.sqs.messages_of("set-aside").len()
    }
}

fn webhook(store: Store, clock: Clock) -> Webhook {
    Webhook::new(store, WebhookSecrets::from(Secret::new(SECRET, None).unwrap()), clock)
}

/// A way to the store on which requests are counted.
async fn count(embedded: &Embedded) -> (Arc<AtomicUsize>, testkit::store::Proxied) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let count = move |_: &str, _: &Value, answer: Value| {
        counted.fetch_add(1, Ordering::SeqCst);
        answer
    };
    let proxied = testkit::store::proxied_with_rewrite(embedded, usize::MAX, Arc::new(count)).await;
    (requests, proxied)
}

fn event(customer: &str, environment: Option<&str>, age: SignedDuration) -> Value {
    let mut event = json!({"type": "customer.updated", "id": customer, "messageId": customer,
                           "timestamp": to_fixed_width(Timestamp::now() - age)});
    if let Some(environment) = environment {
        event["environmentId"] = environment.into();
    }
    event
}

fn recent(customer: &str, environment: &str) -> Value {
    event(customer, Some(environment), SignedDuration::from_secs(2))
}

async fn deliver(webhook: &Webhook, event: &Value) -> (u16, String) {
    let request = http::Request::post("/webhook").header("stigg-webhooks-secret", SECRET);
    let answer = webhook.handle(request.body(Body::from(event.to_string())).unwrap()).await;
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    (answer.status().as_u16(), body["outcome"].as_str().unwrap_or_default().to_owned())
}

fn applied() -> (u16, String) {
    (200, "applied".to_owned())
}

fn set_aside() -> (u16, String) {
    (202, "set_aside".to_owned())
}

#[tokio::test]
async fn the_first_recent_event_decides_and_events_of_another_environment_are_set_aside() {
    let place = Place::start().await;
    let [first, other] = [place.process().await, place.process().await];
    // Sample data and the test events of Stigg's app are old: they decide nothing.
    assert_eq!(deliver(&first, &event("sample", Some("canned"), SignedDuration::from_hours(2))).await, applied());
    assert_eq!(place.embedded.store.environment().await.unwrap().environment_id, None);
    assert_eq!(deliver(&first, &recent("a", "production")).await, applied());
    assert_eq!(deliver(&first, &recent("b", "staging")).await, set_aside());
    // A process that started before that learns it, and so does one that could not read it.
    assert_eq!(deliver(&other, &recent("c", "staging")).await, set_aside());
    assert_eq!(deliver(&place.unread(), &event("d", Some("staging"), SignedDuration::from_hours(2))).await, set_aside());
    assert_eq!(deliver(&place.unread(), &recent("e", "production")).await, applied());
    // The field is optional.
    assert_eq!(deliver(&other, &event("f", None, SignedDuration::from_secs(1))).await, applied());
    assert_eq!(place.set_aside(), 3);
    for customer in ["b", "c", "d"] {
        assert!(place.embedded.store.stored_customer(&Id::try_from(customer).unwrap()).await.unwrap().is_none(), "{customer}");
    }
}

#[tokio::test]
async fn a_process_that_read_no_environment_reads_again_after_a_minute() {
    let place = Place::start().await;
    let seconds = Arc::new(AtomicUsize::new(0));
    let later = seconds.clone();
    let clock = Clock::of(move || Timestamp::now() + SignedDuration::from_secs(later.load(Ordering::SeqCst) as i64));
    let other = place.process_at(clock).await;
    assert_eq!(deliver(&place.process().await, &recent("a", "production")).await, applied());
    seconds.store(61, Ordering::SeqCst);
    assert_eq!(deliver(&other, &event("b", Some("staging"), SignedDuration::from_hours(2))).await, set_aside());
}

#[tokio::test]
async fn a_parked_event_of_another_environment_is_set_aside_too() {
    let place = Place::start().await;
    let process = place.process().await;
    assert_eq!(deliver(&process, &recent("a", "production")).await, applied());
    let body = recent("b", "staging").to_string().into_bytes();
    let parked = Parked { received_at: Timestamp::now(), kind: "customer.updated".to_owned(), message_id: None, body };
    let messages = vec![Message { message_id: "m".to_owned(), body: parked.to_message().unwrap() }];
    assert_eq!(process.drain(Batch { messages }, None).await.batch_item_failures, []);
    assert_eq!(place.set_aside(), 1);
}

#[tokio::test]
async fn an_operator_can_replace_the_environment_and_running_processes_follow() {
    let place = Place::start().await;
    let process = place.process().await;
    assert_eq!(deliver(&process, &recent("a", "wrong")).await, applied());
    assert_eq!(deliver(&process, &recent("b", "right")).await, set_aside());
    place.embedded.store.replace_environment_id(Id::try_from("right").ok().as_ref()).await.unwrap();
    assert_eq!(deliver(&process, &recent("b", "right")).await, applied());
    assert_eq!(deliver(&process, &recent("c", "wrong")).await, set_aside());
}

#[tokio::test]
async fn an_event_of_the_replicas_own_environment_is_one_request() {
    let place = Place::start().await;
    let (requests, proxied) = count(&place.embedded).await;
    assert_eq!(deliver(&place.process().await, &event("a", Some("production"), SignedDuration::from_secs(9))).await, applied());
    let environment = proxied.store.warm_up_for_writes().await;
    assert_eq!(requests.load(Ordering::SeqCst), 1, "the start reads the environment by the request that it makes anyway");
    let process = webhook(proxied.store.clone(), Clock::system()).with_environment(environment);
    for age in (1..=5).rev() {
        let event = event("a", Some("production"), SignedDuration::from_secs(age));
        assert_eq!(deliver(&process, &event).await, applied());
    }
    assert_eq!(requests.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn old_events_take_no_request_more_while_no_environment_is_decided() {
    let place = Place::start().await;
    let process = place.process().await;
    let aged = |hours: i64| event("a", Some("canned"), SignedDuration::from_hours(hours));
    assert_eq!(deliver(&process, &aged(9)).await, applied());
    let (requests, counted) = count(&place.embedded).await;
    let process = webhook(counted.store.clone(), Clock::system()).with_environment(Some(Environment::default()));
    assert_eq!(deliver(&process, &aged(8)).await, applied());
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn without_a_queue_an_event_of_another_environment_is_refused() {
    let place = Place::start().await;
    let process = place.process().await.with_set_aside_queue(None);
    assert_eq!(deliver(&process, &recent("a", "production")).await, applied());
    assert_eq!(deliver(&process, &recent("b", "staging")).await.0, 400);
}
