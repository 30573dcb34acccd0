//! Where events wait that the store did not take.

use aws_sdk_sqs::Client;
use shared::{
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

    /// The queue that `QUEUE_URL` names, if it names one; `SQS_ENDPOINT` names another SQS than AWS's.
    pub fn of_function(environment: &FunctionEnvironment) -> Option<Self> {
        let url = optional("QUEUE_URL")?;
        Some(Self::new(Client::new(&environment.service("SQS_ENDPOINT", Budget::QUEUE)), url))
    }

    /// Parks an event: it is durable when this comes back.
    pub(crate) async fn park(&self, parked: &Parked) -> Result<(), ParkError> {
        let request = self.client.send_message().queue_url(&self.url).message_body(parked.to_message()?);
        request.send().await.map_err(|error| ParkError::Queue(aws::problem(&error)))?;
        Ok(())
    }
}
