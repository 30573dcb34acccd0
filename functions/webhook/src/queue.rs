//! Where events wait that the store did not take, or that can't be applied.

use aws_sdk_sqs::Client;
use runtime::{
    aws::{self, Budget, FunctionEnvironment},
    config::optional,
    parked::{Parked, TooLarge},
};

/// The queue.
#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    url: String,
}

/// An event could not be parked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParkError {
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    #[error("the queue did not take the event: {0}")]
    Queue(String),
}

impl Queue {
    /// The queue with this URL.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }

    /// The queues that `QUEUE_URL` (for what the store does not take) and `SET_ASIDE_QUEUE_URL` (for what can't be
    /// applied) name, as far as they do; `SQS_ENDPOINT` names another SQS than AWS's.
    pub fn of_function(environment: &FunctionEnvironment) -> [Option<Self>; 2] {
        let urls = ["QUEUE_URL", "SET_ASIDE_QUEUE_URL"].map(optional);
        if urls.iter().all(Option::is_none) {
            return [None, None];
        }
        let client = Client::new(&environment.service("SQS_ENDPOINT", Budget::QUEUE));
        urls.map(|url| url.map(|url| Self::new(client.clone(), url)))
    }

    /// Parks an event: it is durable when this comes back.
    pub(crate) async fn park(&self, parked: &Parked) -> Result<(), ParkError> {
        let request = self.client.send_message().queue_url(&self.url).message_body(parked.to_message()?);
        request.send().await.map_err(|error| ParkError::Queue(aws::problem(&error)))?;
        Ok(())
    }
}
