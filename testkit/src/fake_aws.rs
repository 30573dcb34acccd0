//! Fake Secrets Manager and SQS, served over HTTP on loopback. They implement only the operations that the functions and
//! commands use; tests call them through the SDK's clients.
//!
//! Source: the services' API references (AWS JSON 1.1 and 1.0). .ci/run tests the functions against an independent
//! implementation too.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use runtime::aws::{Budget, any_credentials, http_client, sdk_config};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// A running fake. Dropping it stops the server.
#[derive(Debug)]
struct FakeServer<S> {
    endpoint: String,
    state: Arc<Mutex<S>>,
    server: JoinHandle<()>,
}

/// The operations of a service.
trait Service: Send + 'static {
    /// Returns the output, or the name of an error.
    fn answer(&mut self, operation: &str, input: &Value) -> Result<Value, &'static str>;
}

impl<S: Service> FakeServer<S> {
    async fn start(service: S) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(Mutex::new(service));
        let router = Router::new().fallback(serve::<S>).with_state(state.clone());
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "a fake service stopped");
            }
        });
        Ok(Self { endpoint, state, server })
    }

    fn state(&self) -> MutexGuard<'_, S> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Drop for FakeServer<S> {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve<S: Service>(State(state): State<Arc<Mutex<S>>>, headers: HeaderMap, body: String) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default();
    let input = serde_json::from_str(&body).unwrap_or_default();
    let answer = state.lock().unwrap_or_else(PoisonError::into_inner).answer(operation, &input);
    match answer {
        Ok(output) => output.to_string().into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, json!({ "__type": error }).to_string()).into_response(),
    }
}

/// Secrets Manager with one secret, which every secret id refers to.
#[derive(Debug)]
pub struct SecretsManager(FakeServer<Secret>);

#[derive(Debug)]
struct Secret {
    value: Option<String>,
    denied_id: Option<String>,
    reads: usize,
}

impl Service for Secret {
    fn answer(&mut self, operation: &str, input: &Value) -> Result<Value, &'static str> {
        if operation != "GetSecretValue" {
            return Err("UnknownOperationException");
        }
        self.reads += 1;
        if self.denied_id.is_some() && self.denied_id.as_deref() == input["SecretId"].as_str() {
            return Err("AccessDeniedException");
        }
        let value = self.value.as_ref().ok_or("ResourceNotFoundException")?;
        Ok(json!({ "ARN": input.get("SecretId"), "SecretString": value }))
    }
}

impl SecretsManager {
    /// Fails if no port is available.
    pub async fn start(value: &Value) -> std::io::Result<Self> {
        Ok(Self(FakeServer::start(Secret { value: Some(value.to_string()), denied_id: None, reads: 0 }).await?))
    }

    pub fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    /// A client with the functions' time-outs.
    pub fn client(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&local_config(&self.0.endpoint, Budget::SECRET))
    }

    /// Replaces the secret's value. None deletes the secret.
    pub fn put(&self, value: Option<&Value>) {
        self.0.state().value = value.map(ToString::to_string);
    }

    /// Denies access to the secret with this id.
    pub fn deny(&self, id: &str) {
        self.0.state().denied_id = Some(id.to_owned());
    }

    /// Number of GetSecretValue calls.
    pub fn reads(&self) -> usize {
        self.0.state().reads
    }
}

/// SQS. A queue exists as soon as a request names it.
#[derive(Debug)]
pub struct Sqs(FakeServer<Queues>);

#[derive(Debug)]
struct Queues {
    is_available: bool,
    messages: VecDeque<Message>,
    /// Received and not deleted. They return to their queues by [`Sqs::expire_visibility_timeouts`].
    in_flight: Vec<Message>,
    /// Number of messages ever sent, for their ids.
    count: usize,
}

#[derive(Clone, Debug)]
struct Message {
    /// The last part of its queue's URL.
    queue: String,
    id: String,
    body: String,
}

impl Queues {
    fn put(&mut self, queue: &str, body: String) -> String {
        self.count += 1;
        let id = format!("message-{}", self.count);
        self.messages.push_back(Message { queue: queue.to_owned(), id: id.clone(), body });
        id
    }
}

impl Service for Queues {
    fn answer(&mut self, operation: &str, input: &Value) -> Result<Value, &'static str> {
        let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let url = text("QueueUrl");
        let queue = url.rsplit('/').next().unwrap_or_default();
        match operation {
            "SendMessage" if !self.is_available => Err("InternalError"),
            "SendMessage" => Ok(json!({ "MessageId": self.put(queue, text("MessageBody")) })),
            "ReceiveMessage" => {
                let max = input.get("MaxNumberOfMessages").and_then(Value::as_u64).unwrap_or(1);
                // With a visibility timeout of 0, a message stays visible.
                let is_peek = input.get("VisibilityTimeout").and_then(Value::as_u64) == Some(0);
                let (mut received, mut visible) = (Vec::new(), Vec::new());
                for _ in 0..max {
                    let next = self.messages.iter().position(|message| message.queue == queue);
                    let Some(message) = next.and_then(|next| self.messages.remove(next)) else { break };
                    received.push(json!({ "MessageId": message.id, "ReceiptHandle": message.id, "Body": message.body }));
                    if is_peek { visible.push(message) } else { self.in_flight.push(message) }
                }
                self.messages.extend(visible);
                Ok(json!({ "Messages": received }))
            }
            "GetQueueAttributes" => {
                let in_queue = |message: &&Message| message.queue == queue;
                let (visible, in_flight) = (self.messages.iter().filter(in_queue), self.in_flight.iter().filter(in_queue));
                Ok(json!({ "Attributes": { "ApproximateNumberOfMessages": visible.count().to_string(),
                                           "ApproximateNumberOfMessagesNotVisible": in_flight.count().to_string() } }))
            }
            "ChangeMessageVisibility" => {
                let handle = text("ReceiptHandle");
                if let Some(index) = self.in_flight.iter().position(|message| message.id == handle) {
                    self.messages.push_back(self.in_flight.remove(index));
                }
                Ok(json!({}))
            }
            "DeleteMessage" => {
                let handle = text("ReceiptHandle");
                self.in_flight.retain(|message| message.id != handle);
                Ok(json!({}))
            }
            _ => Err("UnknownOperationException"),
        }
    }
}

impl Sqs {
    /// Starts with empty queues. Fails if no port is available.
    pub async fn start() -> std::io::Result<Self> {
        let queues = Queues { is_available: true, messages: VecDeque::new(), in_flight: Vec::new(), count: 0 };
        Ok(Self(FakeServer::start(queues).await?))
    }

    pub fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    /// The event queue's URL.
    pub fn queue_url(&self) -> String {
        self.url_of("events")
    }

    pub fn url_of(&self, queue: &str) -> String {
        format!("{}/000000000000/{queue}", self.0.endpoint)
    }

    /// A client with the functions' time-outs.
    pub fn client(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&local_config(&self.0.endpoint, Budget::QUEUE))
    }

    /// While it is not available, SendMessage fails with an InternalError.
    pub fn set_available(&self, is_available: bool) {
        self.0.state().is_available = is_available;
    }

    /// Puts a message into the event queue.
    pub fn put(&self, body: impl Into<String>) {
        self.put_into("events", body);
    }

    pub fn put_into(&self, queue: &str, body: impl Into<String>) {
        self.0.state().put(queue, body.into());
    }

    /// Ids and bodies of the visible messages in the event queue. Does not receive them.
    pub fn messages(&self) -> Vec<(String, String)> {
        self.messages_of("events")
    }

    /// Like [`Self::messages`], for another queue.
    pub fn messages_of(&self, queue: &str) -> Vec<(String, String)> {
        let queues = self.0.state();
        let messages = queues.messages.iter().filter(|message| message.queue == queue);
        messages.map(|message| (message.id.clone(), message.body.clone())).collect()
    }

    /// Makes messages that were received and not deleted visible again.
    pub fn expire_visibility_timeouts(&self) {
        let queues = &mut *self.0.state();
        queues.messages.extend(queues.in_flight.drain(..));
    }

    /// Deletes all messages of the event queue except the failed ones, as Lambda's poller does after a batch.
    pub fn delete_all_but(&self, failures: &[&str]) {
        self.0.state().messages.retain(|message| message.queue != "events" || failures.contains(&message.id.as_str()));
    }
}

fn local_config(endpoint: &str, budget: Budget) -> aws_config::SdkConfig {
    sdk_config(Some("us-east-1".to_owned()), any_credentials(), http_client(), Some(endpoint.to_owned()), budget)
}
