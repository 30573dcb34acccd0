//! What Lambda calls the function with: a request from API Gateway, or a batch from the queue.

use runtime::gateway::GatewayEvent;
use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;

/// What the function is called with.
#[derive(Debug)]
pub enum Incoming {
    /// A request, by way of API Gateway.
    Request(Box<GatewayEvent>),
    /// Parked events that are to be written now.
    Batch(Batch),
}

/// A batch of messages, as Lambda's poller of SQS hands them over.
#[derive(Debug, Deserialize)]
pub struct Batch {
    /// The messages.
    #[serde(rename = "Records")]
    pub messages: Vec<Message>,
}

/// A message of SQS.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// SQS's id of it.
    pub message_id: String,
    /// What it says.
    pub body: String,
}

/// Which messages of a batch were not done with: Lambda leaves these in the queue.
///
/// Source: AWS Lambda, "Handling errors for an SQS event source", partial batch responses.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchFailures {
    /// They.
    pub batch_item_failures: Vec<BatchFailure>,
}

/// A message that was not done with.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchFailure {
    /// SQS's id of it.
    pub item_identifier: String,
}

impl<'de> Deserialize<'de> for Incoming {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        /// Only a batch has records.
        #[derive(Deserialize)]
        struct Envelope {
            #[serde(rename = "Records")]
            records: Option<IgnoredAny>,
        }
        let event = Box::<RawValue>::deserialize(input)?;
        // What is no object is no batch either.
        let is_batch = serde_json::from_str(event.get()).is_ok_and(|Envelope { records }| records.is_some());
        if is_batch {
            return serde_json::from_str(event.get()).map(Self::Batch).map_err(serde::de::Error::custom);
        }
        Ok(Self::Request(Box::new(GatewayEvent::read(event.get()))))
    }
}
