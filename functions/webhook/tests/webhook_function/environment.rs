//! The replica belongs to one Stigg environment. Events of other environments are set aside, and events of its own cost no
//! additional request.

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

/// The resources that several processes of the function share.
struct Deployment {
    embedded: Embedded,
    sqs: Sqs,
}

impl Deployment {
    async fn start() -> Self {
        Self { embedded: Embedded::in_memory().await.unwrap(), sqs: Sqs::start().await.unwrap() }
    }

    async fn process(&self) -> Webhook {
        self.process_at(Clock::system()).await
    }

    async fn process_at(&self, clock: Clock) -> Webhook {
        let environment = self.embedded.store.warm_up_for_writes().await;
        assert!(environment.is_some());
        self.process_without_environment_at(clock).with_environment(environment)
    }

    /// A process whose read of the environment failed at start.
    fn process_without_environment(&self) -> Webhook {
        self.process_without_environment_at(Clock::system())
    }

    fn process_without_environment_at(&self, clock: Clock) -> Webhook {
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

/// A store that counts its requests.
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
async fn the_first_recent_event_decides_the_environment_and_events_of_others_are_set_aside() {
    let deployment = Deployment::start().await;
    let [first, other] = [deployment.process().await, deployment.process().await];
    // Old events, such as sample data and the test events of Stigg's app, don't decide the environment.
    assert_eq!(deliver(&first, &event("sample", Some("canned"), SignedDuration::from_hours(2))).await, applied());
    assert_eq!(deployment.embedded.store.environment().await.unwrap().environment_id, None);
    assert_eq!(deliver(&first, &recent("a", "production")).await, applied());
    assert_eq!(deliver(&first, &recent("b", "staging")).await, set_aside());
    // Processes that started earlier, or without reading the environment, read it later.
    assert_eq!(deliver(&other, &recent("c", "staging")).await, set_aside());
    assert_eq!(
        deliver(&deployment.process_without_environment(), &event("d", Some("staging"), SignedDuration::from_hours(2))).await,
        set_aside()
    );
    assert_eq!(deliver(&deployment.process_without_environment(), &recent("e", "production")).await, applied());
    // `environmentId` is optional.
    assert_eq!(deliver(&other, &event("f", None, SignedDuration::from_secs(1))).await, applied());
    assert_eq!(deployment.set_aside(), 3);
    for customer in ["b", "c", "d"] {
        assert!(
            deployment.embedded.store.stored_customer(&Id::try_from(customer).unwrap()).await.unwrap().is_none(),
            "{customer}"
        );
    }
}

#[tokio::test]
async fn a_process_that_found_no_environment_reads_it_again_after_a_minute() {
    let deployment = Deployment::start().await;
    let seconds = Arc::new(AtomicUsize::new(0));
    let later = seconds.clone();
    let clock = Clock::of(move || Timestamp::now() + SignedDuration::from_secs(later.load(Ordering::SeqCst) as i64));
    let other = deployment.process_at(clock).await;
    assert_eq!(deliver(&deployment.process().await, &recent("a", "production")).await, applied());
    seconds.store(61, Ordering::SeqCst);
    assert_eq!(deliver(&other, &event("b", Some("staging"), SignedDuration::from_hours(2))).await, set_aside());
}

#[tokio::test]
async fn parked_events_of_another_environment_are_set_aside() {
    let deployment = Deployment::start().await;
    let process = deployment.process().await;
    assert_eq!(deliver(&process, &recent("a", "production")).await, applied());
    let body = recent("b", "staging").to_string().into_bytes();
    let parked = Parked { received_at: Timestamp::now(), kind: "customer.updated".to_owned(), message_id: None, body };
    let messages = vec![Message { message_id: "m".to_owned(), body: parked.to_message().unwrap() }];
    assert_eq!(process.drain(Batch { messages }, None).await.batch_item_failures, []);
    assert_eq!(deployment.set_aside(), 1);
}

#[tokio::test]
async fn running_processes_notice_a_replaced_environment() {
    let deployment = Deployment::start().await;
    let process = deployment.process().await;
    assert_eq!(deliver(&process, &recent("a", "wrong")).await, applied());
    assert_eq!(deliver(&process, &recent("b", "right")).await, set_aside());
    deployment.embedded.store.replace_environment_id(Id::try_from("right").ok().as_ref()).await.unwrap();
    assert_eq!(deliver(&process, &recent("b", "right")).await, applied());
    assert_eq!(deliver(&process, &recent("c", "wrong")).await, set_aside());
}

#[tokio::test]
async fn an_event_of_the_replicas_environment_is_one_request() {
    let deployment = Deployment::start().await;
    let (requests, proxied) = count(&deployment.embedded).await;
    assert_eq!(
        deliver(&deployment.process().await, &event("a", Some("production"), SignedDuration::from_secs(9))).await,
        applied()
    );
    let environment = proxied.store.warm_up_for_writes().await;
    assert_eq!(requests.load(Ordering::SeqCst), 1, "reading the environment costs the start no additional request");
    let process = webhook(proxied.store.clone(), Clock::system()).with_environment(environment);
    for age in (1..=5).rev() {
        let event = event("a", Some("production"), SignedDuration::from_secs(age));
        assert_eq!(deliver(&process, &event).await, applied());
    }
    assert_eq!(requests.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn old_events_cost_no_additional_request_while_no_environment_is_decided() {
    let deployment = Deployment::start().await;
    let process = deployment.process().await;
    let aged = |hours: i64| event("a", Some("canned"), SignedDuration::from_hours(hours));
    assert_eq!(deliver(&process, &aged(9)).await, applied());
    let (requests, counted) = count(&deployment.embedded).await;
    let process = webhook(counted.store.clone(), Clock::system()).with_environment(Some(Environment::default()));
    assert_eq!(deliver(&process, &aged(8)).await, applied());
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn without_a_queue_events_of_another_environment_are_rejected() {
    let deployment = Deployment::start().await;
    let process = deployment.process().await.with_set_aside_queue(None);
    assert_eq!(deliver(&process, &recent("a", "production")).await, applied());
    assert_eq!(deliver(&process, &recent("b", "staging")).await.0, 400);
}
