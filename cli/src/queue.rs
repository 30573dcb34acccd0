//! Numbers of messages in SQS queues.

use std::fmt;

use aws_sdk_sqs::{Client, types::QueueAttributeName};

use crate::outcome;

/// Approximate numbers of messages in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueSize {
    /// Can be received.
    pub(crate) visible: u64,
    /// Received, and neither deleted nor visible again: a reader works on them.
    pub(crate) in_flight: u64,
}

impl QueueSize {
    pub(crate) async fn of(sqs: &Client, url: &str) -> Result<Self, String> {
        let names = [QueueAttributeName::ApproximateNumberOfMessages, QueueAttributeName::ApproximateNumberOfMessagesNotVisible];
        let request = sqs.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.to_vec()));
        let response = request.send().await.map_err(|error| outcome::aws_error(&error))?;
        let count = |name| response.attributes()?.get(&name)?.parse().ok();
        let [visible, in_flight] = names.map(count);
        let size = visible.zip(in_flight).map(|(visible, in_flight)| Self { visible, in_flight });
        size.ok_or_else(|| "SQS did not return the number of messages".to_owned())
    }

    pub(crate) fn total(self) -> u64 {
        self.visible + self.in_flight
    }
}

impl fmt::Display for QueueSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        write!(f, "about {total} {}", if total == 1 { "event waits" } else { "events wait" })?;
        if self.in_flight > 0 { write!(f, ", {} of them in flight", self.in_flight) } else { Ok(()) }
    }
}
