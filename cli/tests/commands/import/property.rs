//! Property tests with random histories: an import at any time, concurrent with events, converges to the state of the
//! complete history; after lost events, `reconcile --fix` does too.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use byos::{
    guard::Guards,
    import::{self, Checkpoint},
    reconcile::{self, Settings, Totals},
    report::Report,
    stigg::{Key, Options, Stigg},
    sync::{Mode, Synchronizer},
};
use jiff::{Timestamp, fmt::rfc2822};
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use runtime::clock::Clock;
use serde_json::Value;

use super::{
    fake_stigg::{FakeStigg, PageFormat, RecordedRequest},
    history::{STEP, data_at, moment, realistic},
};
use testkit::{
    histories::{Replica, model_view},
    model::{self, BASE, CUSTOMERS, Event, FEATURES, Kind, RESOURCES, SUBSCRIPTIONS, Time},
};

/// Maximum age in seconds of the fake's responses, and the lag that the import assumes.
const LAG: u32 = 15;

/// A history, and the timing of an import during it.
#[derive(Clone, Debug)]
struct Case {
    events: Vec<Event>,
    /// The webhook is connected after this number of events, which it never sends.
    connected: usize,
    /// For each event, the request of the import during which it is delivered, if it has happened by then.
    delivered_at: Vec<usize>,
    /// Events that are redelivered at the end.
    repeated: Vec<usize>,
    /// The order of events that are delivered at the same time.
    order: Vec<usize>,
    /// For each request, its duration and the age of its response, in milliseconds.
    requests: Vec<(i64, i64)>,
    concurrency: u16,
    /// Events that are lost before the reconciliation.
    lost: Vec<bool>,
}

fn event() -> impl Strategy<Value = Event> {
    let kind = prop_oneof![
        1 => Just(Kind::CustomerCreated),
        3 => Just(Kind::CustomerUpdated),
        2 => Just(Kind::CustomerDeleted),
        5 => Just(Kind::EntitlementsUpdated),
        4 => Just(Kind::MeasurementReported),
        3 => Just(Kind::SubscriptionCreated),
        2 => Just(Kind::SubscriptionUpdated),
        2 => Just(Kind::SubscriptionCanceled),
        1 => Just(Kind::SubscriptionExpired),
        1 => Just(Kind::SubscriptionTrialExpired),
    ];
    let time = prop_oneof![6 => Just(Time::Own(0)), 1 => Just(Time::None), 1 => Just(Time::TooFarAhead)];
    let list = prop::collection::vec(prop::option::weighted(0.7, any::<bool>()), FEATURES.len());
    (
        (kind, time, Just(0), Just(0), 0..CUSTOMERS.len(), 0..SUBSCRIPTIONS.len()),
        (0..RESOURCES.len(), 0..FEATURES.len(), list),
        (any::<bool>(), any::<bool>(), any::<bool>(), Just(None), Just(false), prop::bool::weighted(0.2)),
    )
        .prop_map(|(who, what, carries)| Event::random(who, what, carries))
}

fn case() -> impl Strategy<Value = Case> {
    prop::collection::vec(event(), 2..14).prop_flat_map(|events| {
        let events = realistic(events);
        let count = events.len();
        let late = prop_oneof![Just(0), 0..2 * STEP];
        let age = prop_oneof![Just(0), 0..=i64::from(LAG) * 1_000];
        (
            (Just(events), 0..=count, prop::collection::vec(0..10_usize, count), prop::collection::vec(0..count, 0..3)),
            (
                Just((0..count).collect::<Vec<_>>()).prop_shuffle(),
                prop::collection::vec((late, age), 12),
                1..4_u16,
                prop::collection::vec(any::<bool>(), count),
            ),
        )
            .prop_map(|((events, connected, delivered_at, repeated), (order, requests, concurrency, lost))| Case {
                events,
                connected,
                delivered_at,
                repeated,
                order,
                requests,
                concurrency,
                lost,
            })
    })
}

/// A case with its fake of Stigg, its clock and its replica.
struct CaseRun {
    case: Case,
    replica: Arc<Replica>,
    now: Arc<AtomicI64>,
    delivered: Arc<Mutex<BTreeSet<usize>>>,
}

impl CaseRun {
    async fn of(case: &Case) -> Self {
        // The events before the connection are older than the oldest response of the import.
        let now = STEP * i64::try_from(case.connected).unwrap() + i64::from(LAG) * 1_000;
        Self {
            case: case.clone(),
            replica: Arc::new(Replica::empty().await),
            now: Arc::new(AtomicI64::new(now)),
            delivered: Arc::default(),
        }
    }

    /// Stigg's API. Each request advances the clock, and delivers due events before it is answered.
    async fn api(&self) -> FakeStigg {
        let (to_deliver, deliveries) = mpsc::channel::<(Vec<Event>, mpsc::Sender<()>)>();
        let replica = self.replica.clone();
        let runtime = tokio::runtime::Handle::current();
        std::thread::spawn(move || {
            for (events, done) in deliveries {
                runtime.block_on(async {
                    for event in &events {
                        replica.deliver(event, false).await;
                    }
                });
                done.send(()).unwrap();
            }
        });
        let (case, now, delivered) = (self.case.clone(), self.now.clone(), self.delivered.clone());
        let (requests, to_deliver) = (AtomicUsize::new(0), Mutex::new(to_deliver));
        FakeStigg::start(move |request: &RecordedRequest| {
            let number = requests.fetch_add(1, Ordering::SeqCst);
            let (duration, age) = case.requests[number % case.requests.len()];
            let now = now.fetch_add(duration, Ordering::SeqCst) + duration;
            let due: Vec<Event> = {
                let mut delivered = delivered.lock().unwrap();
                let is_due =
                    |index: &usize| *index >= case.connected && case.delivered_at[*index] <= number && moment(*index) <= now;
                let due: Vec<usize> =
                    case.order.iter().copied().filter(|index| is_due(index) && delivered.insert(*index)).collect();
                due.into_iter().map(|index| case.events[index].clone()).collect()
            };
            let (done, wait) = mpsc::channel();
            to_deliver.lock().unwrap().send((due, done)).unwrap();
            wait.recv().unwrap();
            let data = data_at(&case.events, now - age);
            let size = if request.path.last().is_some_and(|last| last == "customers") { 1 } else { 100 };
            let date = Timestamp::from_millisecond(BASE + now).unwrap();
            let date = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap();
            data.answer(request, PageFormat::Pagination, size).insert_header("date", date)
        })
        .await
    }

    fn synchronizer(&self, options: &Options, mode: Mode) -> Synchronizer {
        let now = self.now.clone();
        let clock = Clock::of(move || Timestamp::from_millisecond(BASE + now.load(Ordering::SeqCst)).unwrap());
        let stigg = Stigg::new(options, Key::new("key").unwrap(), clock).unwrap();
        Synchronizer::new(stigg, self.replica.embedded.store.clone(), mode)
    }

    async fn import(&self) {
        let api = self.api().await;
        let options = Options { lag: LAG, concurrency: self.case.concurrency, ..api.options() };
        let synchronizer = self.synchronizer(&options, Mode::Import);
        let folder = tempfile::tempdir().unwrap();
        let mut checkpoint = Checkpoint::open(&folder.path().join("state"), false, "stigg", "table").unwrap();
        let mut report = Report::to(Box::new(std::io::sink()), true, false);
        import::run(&synchronizer, &mut checkpoint, options.concurrency.into(), None, &mut report).await.unwrap();
    }

    /// Delivers all events that are not delivered yet, and redelivers some, except lost ones.
    async fn deliver_the_rest(&self, is_lost: impl Fn(usize) -> bool) {
        let delivered = self.delivered.lock().unwrap().clone();
        let undelivered = self.case.order.iter().filter(|index| !delivered.contains(index));
        for index in undelivered.chain(&self.case.repeated).filter(|index| **index >= self.case.connected && !is_lost(**index)) {
            self.replica.deliver(&self.case.events[*index], delivered.contains(index)).await;
        }
    }

    async fn reconcile(&self, fix: bool) -> Totals {
        self.now.store(moment(self.case.events.len()) + 3_600_000, Ordering::SeqCst);
        let api = self.api().await;
        let options = Options { lag: LAG, ..api.options() };
        let guards = Guards { max_deletions: Some(100), ..Guards::default() };
        let settings = Settings { concurrency: 4, settle: Duration::ZERO, guards };
        let report = Report::to(Box::new(std::io::sink()), true, true);
        reconcile::run(self.synchronizer(&options, Mode::Compare), fix, settings, None, report).await.unwrap()
    }

    async fn answers(&self) -> Value {
        without_archived(model_view(&self.replica.answers().await))
    }
}

/// Treats unknown customers as archived ones: their tombstones expire, and both are denied.
fn without_archived(answers: Value) -> Value {
    serde_json::from_str(&answers.to_string().replace("CustomerNotFound", "CustomerIsArchived")).unwrap()
}

fn expected(case: &Case) -> Value {
    without_archived(model::answers(&case.events))
}

/// Runs `count` cases, the same ones each time; with BYOS_HISTORIES, that number of new ones.
fn for_each_case(count: u32, check: impl AsyncFn(Case) -> Result<(), TestCaseError>) {
    let histories = std::env::var("BYOS_HISTORIES").ok().and_then(|count| count.parse().ok());
    let config = ProptestConfig {
        cases: histories.unwrap_or_else(|| testkit::histories::count(count)),
        failure_persistence: None,
        max_shrink_iters: 300,
        ..ProptestConfig::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = match histories {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    if let Err(error) = runner.run(&case(), |case| runtime.block_on(check(case))) {
        panic!("{error}");
    }
}

#[test]
fn an_import_at_any_time_converges_to_the_state_of_the_complete_history() {
    for_each_case(80, async |case| {
        let run = CaseRun::of(&case).await;
        run.import().await;
        run.deliver_the_rest(|_| false).await;
        prop_assert_eq!(run.answers().await, expected(&case), "after the import and all events");
        let totals = run.reconcile(false).await;
        prop_assert_eq!((totals.left(), totals.usage_drift), (0, 0), "reconcile after the import: {:?}", totals);
        Ok(())
    });
}

#[test]
fn reconcile_fix_restores_the_state_of_the_complete_history_after_lost_events() {
    for_each_case(80, async |case| {
        let run = CaseRun::of(&Case { delivered_at: vec![usize::MAX; case.events.len()], ..case.clone() }).await;
        // If the deletion of a customer that is created again is lost, data from before it can't be recognized as deleted.
        let precedes_recreation = |index: usize| {
            let event = &case.events[index];
            event.kind == Kind::CustomerDeleted
                && case.events[index..]
                    .iter()
                    .any(|later| later.customer == event.customer && later.kind == Kind::CustomerCreated)
        };
        run.deliver_the_rest(|index| case.lost[index] && !precedes_recreation(index)).await;
        let first = run.reconcile(true).await;
        prop_assert_eq!(first.left(), 0, "{:?}", first);
        prop_assert_eq!(run.answers().await, expected(&case), "after {:?}", first);
        let second = run.reconcile(false).await;
        prop_assert_eq!((second.missing, second.extra, second.differing), (0, 0, 0), "second reconcile: {:?}", second);
        Ok(())
    });
}
