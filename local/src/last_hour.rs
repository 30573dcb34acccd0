//! Counts the requests of the last hour, for the console of the local stack. For deployed functions, see CloudWatch.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use console::{Activity, Lag};
use runtime::telemetry::{Decisions, Details, Recorder, RequestRecord};

const HOUR: Duration = Duration::from_secs(3_600);

/// Maximum number of requests in memory.
const MAX_REQUESTS: usize = 100_000;

/// The requests of the last hour. Clones share the same data.
#[derive(Clone, Debug, Default)]
pub struct LastHour(Arc<Mutex<VecDeque<(Instant, CountedRequest)>>>);

#[derive(Debug)]
enum CountedRequest {
    Event { outcome: &'static str, lag_seconds: Option<i64> },
    Decisions(Decisions),
}

impl LastHour {
    /// A recorder that prints to the terminal and adds each request to the counts.
    pub fn recorder(&self) -> Recorder {
        let requests = self.clone();
        Recorder::terminal().with_observer(move |record| requests.observe(record))
    }

    fn observe(&self, record: &RequestRecord<'_>) {
        let request = match record.details {
            Details::Event(event) => CountedRequest::Event { outcome: record.outcome, lag_seconds: event.lag_seconds },
            Details::Check(check) => CountedRequest::Decisions(check.decisions.clone()),
            Details::Query(_) => return,
        };
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while requests.len() >= MAX_REQUESTS || requests.front().is_some_and(|(at, _)| at.elapsed() >= HOUR) {
            requests.pop_front();
        }
        requests.push_back((Instant::now(), request));
    }

    pub fn activity(&self) -> Activity {
        let mut activity = Activity::default();
        let mut lags = Vec::new();
        let requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, request) in requests.iter().filter(|(at, _)| at.elapsed() < HOUR) {
            match request {
                CountedRequest::Event { outcome, lag_seconds } => {
                    *activity.events.entry((*outcome).to_owned()).or_default() += 1;
                    lags.extend(lag_seconds);
                }
                CountedRequest::Decisions(decisions) => {
                    for (reason, count) in decisions.by_reason() {
                        let denial = (reason != Decisions::GRANTED).then(|| reason.to_owned());
                        *activity.decisions.entry(denial).or_default() += count;
                    }
                }
            }
        }
        lags.sort_unstable();
        let median = lags.get(lags.len() / 2).copied();
        activity.lag = median.zip(lags.last().copied()).map(|(median, highest)| Lag { median, highest });
        activity
    }
}

#[cfg(test)]
mod tests {
    use runtime::clock::Clock;
    use template::sample;

    use crate::{embedded::Embedded, serve::Stack};

    #[tokio::test]
    async fn events_are_counted_by_outcome_and_decisions_by_reason() {
        let embedded = Embedded::in_memory().await.unwrap();
        let stack = Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap();
        let delivered = stack.seed("local-secret").await.unwrap() as u64;
        let mut denied = 0;
        for (_, event) in sample::events("check-access") {
            let response = stack.gateway.invoke(event).await.unwrap();
            denied += u64::from(response["statusCode"] == 403);
        }
        let activity = stack.last_hour.activity();
        assert_eq!(activity.events.values().sum::<u64>(), delivered);
        assert!(activity.events["applied"] > 10 && activity.events["ignored"] == 1, "{activity:?}");
        let (granted, by_reason): (Vec<_>, Vec<_>) = activity.decisions.iter().partition(|(reason, _)| reason.is_none());
        assert_eq!(by_reason.iter().map(|(_, count)| **count).sum::<u64>(), denied);
        assert!(denied > 3 && by_reason.len() > 3 && granted.len() == 1, "{activity:?}");
        assert!(activity.lag.unwrap().median > 0);
    }
}
