//! The queues in SQS: one for events that are parked because the store failed, one for events that are set aside because
//! they can't be applied.

use aws_sdk_sqs::Client;
use runtime::{
    aws::{self, Budget, FunctionEnvironment},
    config::optional,
    parked::{Parked, TooLarge},
};

/// A queue in SQS.
#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    url: String,
}

/// Why an event could not be put into a queue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParkError {
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    #[error("the queue did not accept the event: {0}")]
    Queue(String),
}

impl Queue {
    /// The queue with this URL.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }

    /// The queues of `QUEUE_URL` (parked events) and `SET_ASIDE_QUEUE_URL` (events set aside). None if a variable is not set.
    /// `SQS_ENDPOINT` overrides AWS's endpoint.
    pub fn of_function(environment: &FunctionEnvironment) -> [Option<Self>; 2] {
        let urls = ["QUEUE_URL", "SET_ASIDE_QUEUE_URL"].map(optional);
        if urls.iter().all(Option::is_none) {
            return [None, None];
        }
        let client = Client::new(&environment.service("SQS_ENDPOINT", Budget::QUEUE));
        urls.map(|url| url.map(|url| Self::new(client.clone(), url)))
    }

    /// Sends an event to the queue. It is durable once this returns.
    pub(crate) async fn park(&self, parked: &Parked) -> Result<(), ParkError> {
        let request = self.client.send_message().queue_url(&self.url).message_body(parked.to_message()?);
        request.send().await.map_err(|error| ParkError::Queue(aws::problem(&error)))?;
        Ok(())
    }
}
