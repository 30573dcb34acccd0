//! The console's data from outside the tables: queues and the checks of `byos doctor`.

use std::collections::HashSet;

use console::{Activity, Finding, Queue, QueueContent, Source, WaitingEvent};
use domain::{event::EventSummary, id::Id};
use futures_util::future::{BoxFuture, join_all};
use jiff::Timestamp;

use crate::{
    doctor,
    outcome::{aws_error, in_one_line},
    queue::QueueSize,
    recorded::{self, RecordedEvent},
    replay::{check_age, replayable},
    target::Deployment,
};

/// Maximum number of receive requests per queue. Each returns at most ten messages, from some of SQS's servers.
const MAX_RECEIVES: usize = 5;

pub(crate) struct DeploymentSource {
    deployment: Deployment,
}

impl DeploymentSource {
    pub(crate) fn new(deployment: Deployment) -> Self {
        Self { deployment }
    }

    async fn queue(&self, name: &'static str, purpose: &'static str, url: &str, has_sample: bool) -> Queue {
        let content = async {
            let sqs = self.deployment.sdk.sqs().await.map_err(|error| error.to_string())?;
            let size = QueueSize::of(&sqs, url).await?;
            let events = if has_sample && size.total() > 0 { Some(self.sample(&sqs, url).await?) } else { None };
            Ok(QueueContent { count: size.total(), in_flight: size.in_flight, events })
        };
        Queue { name, purpose, content: content.await }
    }

    /// A sample of a queue's events. A visibility timeout of 0 leaves the messages available, also for `byos replay`. It
    /// increments their receive count, so the queue must not have a redrive policy.
    async fn sample(&self, sqs: &aws_sdk_sqs::Client, url: &str) -> Result<Vec<WaitingEvent>, String> {
        let store = self.deployment.store().await.map_err(|error| error.to_string())?;
        let environment = store.environment().await.map_err(|error| in_one_line(&error))?.environment_id;
        let (mut seen, mut events) = (HashSet::new(), Vec::new());
        for _ in 0..MAX_RECEIVES {
            let request = sqs.receive_message().queue_url(url).max_number_of_messages(10).visibility_timeout(0);
            let messages = request.send().await.map_err(|error| aws_error(&error))?.messages.unwrap_or_default();
            let new: Vec<_> = messages.into_iter().filter(|message| seen.insert(message.message_id.clone())).collect();
            if new.is_empty() {
                break;
            }
            for message in new {
                events.extend(events_in_message(message.body().unwrap_or_default(), environment.as_ref()));
            }
        }
        events.sort_by_key(|event| event.received);
        Ok(events)
    }
}

/// The events in a message, each with the reason why `byos replay` refuses it, if any.
fn events_in_message(message: &str, environment_id: Option<&Id>) -> Vec<WaitingEvent> {
    match recorded::from_json("the message", message.as_bytes()) {
        Ok(events) => events.iter().map(|event| waiting_event(event, environment_id)).collect(),
        Err(error) => vec![WaitingEvent { problem: Some(error.to_string()), ..WaitingEvent::default() }],
    }
}

fn waiting_event(RecordedEvent { body, received_at, .. }: &RecordedEvent, environment_id: Option<&Id>) -> WaitingEvent {
    let EventSummary { event_type: kind, message_id, subject, customer, .. } = EventSummary::of(body);
    let now = Timestamp::now();
    let problem = match replayable(body, environment_id) {
        Ok(Some(handled)) => check_age(&handled.envelope, received_at.unwrap_or(now), now).err().map(|error| error.to_string()),
        Ok(None) => Some("its type is not handled: byos replay removes it".to_owned()),
        Err(error) => Some(error.to_string()),
    };
    let subscription = subject.filter(|subject| customer.as_ref() != Some(subject));
    WaitingEvent { kind, message_id, customer, subscription, received: *received_at, problem }
}

impl Source for DeploymentSource {
    fn deployment(&self) -> String {
        self.deployment.name()
    }

    fn doctor(&self) -> BoxFuture<'_, Vec<Finding>> {
        Box::pin(doctor::read_only_checks(&self.deployment))
    }

    fn queues(&self) -> BoxFuture<'_, Vec<Queue>> {
        let resources = &self.deployment.resources;
        let queues = [
            (
                "Event queue",
                "Parked events: DynamoDB was unavailable. The webhook retries them automatically.",
                &resources.event_queue,
                // No sample: a message goes to the dead-letter queue after 50 receives.
                false,
            ),
            (
                "Dead-letter queue",
                "Parked events that failed 50 times. After the cause is fixed, byos replay writes them.",
                &resources.dead_letter_queue,
                true,
            ),
            (
                "Set-aside queue",
                "Authentic events that this version could not apply. byos reconcile --customer ID --fix corrects a customer \
                 now; byos replay writes the events after an update that can apply them.",
                &resources.set_aside_queue,
                true,
            ),
        ];
        let known = queues.into_iter().filter_map(|(name, purpose, url, sample)| Some((name, purpose, url.as_ref()?, sample)));
        Box::pin(join_all(known.map(|(name, purpose, url, sample)| self.queue(name, purpose, url, sample))))
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
    fn a_waiting_event_has_its_type_its_message_id_and_the_reason_why_it_can_not_be_applied() {
        let environment: Id = "e-1".try_into().unwrap();
        let event = |body: &str| events_in_message(&parked(body), Some(&environment)).remove(0);
        let set_aside = event(r#"{"type":"customer.created","messageId":"m-1","name":"Ann Example"}"#);
        assert_eq!((set_aside.kind.as_deref(), set_aside.message_id.as_deref()), (Some("customer.created"), Some("m-1")));
        assert_eq!(set_aside.received, Some("2026-11-24T08:00:00Z".parse().unwrap()));
        let problem = set_aside.problem.unwrap();
        assert!(problem.starts_with("customer.created: `id` ") && !problem.contains("Ann"), "{problem}");
        let applicable = event(r#"{"type":"customer.created","messageId":"m-1","id":"c","timestamp":"2026-11-24T08:00:00Z"}"#);
        assert_eq!(applicable.problem, None);
        assert_eq!((applicable.customer.as_deref(), applicable.subscription), (Some("c"), None));
        let canceled = event(r#"{"type":"subscription.canceled","id":"s","customer":{"id":"c"}}"#);
        assert_eq!((canceled.customer.as_deref(), canceled.subscription.as_deref()), (Some("c"), Some("s")));
        assert!(event(r#"{"type":"coupon.created"}"#).problem.unwrap().contains("not handled"));
        let foreign = event(r#"{"type":"customer.deleted","id":"c","environmentId":"e-2"}"#).problem.unwrap();
        assert!(foreign.contains("environment"), "{foreign}");
        let old = event(r#"{"type":"customer.deleted","id":"c","timestamp":"2026-01-01T00:00:00Z"}"#).problem.unwrap();
        assert!(old.contains("--force"), "{old}");
    }

    #[test]
    fn a_message_without_an_event_is_reported() {
        let event = events_in_message("hello", None).remove(0);
        assert!(event.kind.is_none() && event.problem.unwrap().contains("not JSON"));
    }
}
