//! What the console shows beside the tables: the queues, the checks of `byos doctor`, and what the local stack did.

use std::collections::HashSet;

use console::{Activity, Finding, Queue, QueueContent, Source, WaitingEvent};
use domain::event::{self, Received};
use futures_util::future::{BoxFuture, join_all};

use crate::{
    delivery::Label,
    doctor,
    outcome::aws_error,
    recorded::{self, Recorded},
    target::Deployment,
};

/// SQS gives at most ten messages at once, of some of its servers. So often it is asked.
const LOOKS: usize = 5;

/// A deployment, for the console.
pub(crate) struct Operator {
    deployment: Deployment,
}

impl Operator {
    pub(crate) fn new(deployment: Deployment) -> Self {
        Self { deployment }
    }

    async fn queue(&self, name: &'static str, purpose: &'static str, url: &str, is_looked_into: bool) -> Queue {
        let content = async {
            let count = doctor::waiting(&self.deployment, url).await?;
            let events = if is_looked_into && count > 0 { Some(self.sample(url).await?) } else { None };
            Ok(QueueContent { count, events })
        };
        Queue { name, purpose, content: content.await }
    }

    /// Some of a queue's events. A message that is received with no visibility timeout stays where it is, for
    /// `byos replay` too; its count of receives grows, which nothing reads in a queue without a redrive policy.
    async fn sample(&self, url: &str) -> Result<Vec<WaitingEvent>, String> {
        let sqs = self.deployment.sdk.sqs().await.map_err(|error| error.to_string())?;
        let (mut seen, mut events) = (HashSet::new(), Vec::new());
        for _ in 0..LOOKS {
            let request = sqs.receive_message().queue_url(url).max_number_of_messages(10).visibility_timeout(0);
            let messages = request.send().await.map_err(|error| aws_error(&error))?.messages.unwrap_or_default();
            let new: Vec<_> = messages.into_iter().filter(|message| seen.insert(message.message_id.clone())).collect();
            if new.is_empty() {
                break;
            }
            for message in new {
                events.extend(waiting(message.body().unwrap_or_default()));
            }
        }
        events.sort_by_key(|event| event.received);
        Ok(events)
    }
}

/// The events in a message, with what keeps this version from applying them.
fn waiting(message: &str) -> Vec<WaitingEvent> {
    match recorded::from_json("the message", message.as_bytes()) {
        Ok(events) => events.iter().map(waiting_event).collect(),
        Err(error) => {
            vec![WaitingEvent { kind: None, message_id: None, received: None, problem: Some(error.to_string()) }]
        }
    }
}

fn waiting_event(Recorded { body, received, .. }: &Recorded) -> WaitingEvent {
    let Label { r#type: kind, message_id } = Label::of(body);
    let problem = match event::parse(body) {
        Ok(Received::Handled(_)) => None,
        Ok(Received::Ignored { .. }) => Some("its type is not handled: `byos replay` removes it".to_owned()),
        Err(error) => Some(error.to_string()),
    };
    WaitingEvent { kind, message_id, received: *received, problem }
}

impl Source for Operator {
    fn deployment(&self) -> String {
        self.deployment.name()
    }

    fn doctor(&self) -> BoxFuture<'_, Vec<Finding>> {
        Box::pin(doctor::look_only(&self.deployment))
    }

    fn queues(&self) -> BoxFuture<'_, Vec<Queue>> {
        let resources = &self.deployment.resources;
        let queues = [
            (
                "Event queue",
                "Parked: the store did not take them. The webhook writes them by itself once it does.",
                &resources.event_queue,
                // Its receives are counted: after 50 of them a message goes to the dead-letter queue.
                false,
            ),
            (
                "Dead-letter queue",
                "Parked events that failed 50 times. `byos replay` writes them.",
                &resources.dead_letter_queue,
                true,
            ),
            (
                "Set-aside queue",
                "Authentic events that could not be applied. `byos replay` writes them once a version can.",
                &resources.set_aside_queue,
                true,
            ),
        ];
        let there = queues.into_iter().filter_map(|(name, purpose, url, looked)| Some((name, purpose, url.as_ref()?, looked)));
        Box::pin(join_all(there.map(|(name, purpose, url, looked)| self.queue(name, purpose, url, looked))))
    }

    fn activity(&self) -> Option<Activity> {
        None
    }
}

#[cfg(test)]
mod tests {
    use runtime::parked::Parked;

    use super::*;

    fn parked(body: &str) -> String {
        let parked = Parked {
            received_at: "2026-11-24T08:00:00Z".parse().unwrap(),
            kind: "customer.created".to_owned(),
            message_id: Some("m-1".to_owned()),
            body: body.as_bytes().to_vec(),
        };
        parked.to_message().unwrap()
    }

    #[test]
    fn a_waiting_event_tells_its_type_its_id_and_why_it_can_not_be_applied() {
        let event = |body: &str| waiting(&parked(body)).remove(0);
        let set_aside = event(r#"{"type":"customer.created","messageId":"m-1","name":"Ann Example"}"#);
        assert_eq!((set_aside.kind.as_deref(), set_aside.message_id.as_deref()), (Some("customer.created"), Some("m-1")));
        assert_eq!(set_aside.received, Some("2026-11-24T08:00:00Z".parse().unwrap()));
        let problem = set_aside.problem.unwrap();
        assert!(problem.starts_with("customer.created: `id` ") && !problem.contains("Ann"), "{problem}");
        let dead = event(r#"{"type":"customer.created","messageId":"m-1","id":"c","timestamp":"2026-11-24T08:00:00Z"}"#);
        assert_eq!(dead.problem, None);
        assert!(event(r#"{"type":"coupon.created"}"#).problem.unwrap().contains("not handled"));
    }

    #[test]
    fn a_message_without_an_event_is_reported() {
        let told = waiting("hello").remove(0);
        assert!(told.kind.is_none() && told.problem.unwrap().contains("not JSON"));
    }
}
