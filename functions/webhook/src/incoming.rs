//! The events that invoke the function: requests from API Gateway, and batches of messages from the queue.

use runtime::gateway::GatewayEvent;
use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;

/// An event that invokes the function.
#[derive(Debug)]
pub enum Incoming {
    /// A request from API Gateway.
    Request(Box<GatewayEvent>),
    /// Parked events from the queue.
    Batch(Batch),
}

/// A batch of SQS messages, as Lambda's event source mapping delivers it.
#[derive(Debug, Deserialize)]
pub struct Batch {
    /// The messages.
    #[serde(rename = "Records")]
    pub messages: Vec<Message>,
}

/// An SQS message.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// SQS's id of the message.
    pub message_id: String,
    /// A parked event, see [`runtime::parked`].
    pub body: String,
}

/// The messages of a batch that Lambda leaves in the queue, to be redelivered.
///
/// Source: AWS Lambda, "Handling errors for an SQS event source", partial batch responses.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchFailures {
    /// The failed messages.
    pub batch_item_failures: Vec<BatchFailure>,
}

/// A message to redeliver.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchFailure {
    /// SQS's id of the message.
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
        let is_batch = serde_json::from_str(event.get()).is_ok_and(|Envelope { records }| records.is_some());
        if is_batch {
            return serde_json::from_str(event.get()).map(Self::Batch).map_err(serde::de::Error::custom);
        }
        Ok(Self::Request(Box::new(GatewayEvent::read(event.get()))))
    }
}
