//! Ways to store a list of entitlements: bytes, and the CPU time of a check and of a write. Figures for
//! docs/performance.md; nothing is asserted. The lists are synthetic; real ones compress less if their features have long
//! descriptions.
//!
//!     cargo bench --workspace --bench list
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    hint::black_box,
    io::{Read as _, Write as _},
    time::{Duration, Instant},
};

use domain::{
    entitlement::{EntitlementList, Grant},
    id::Id,
};
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use serde_json::{Value, json};

const ROUNDS: usize = 200;

/// Each entitlement has other words, so that features don't compress to copies of each other.
fn entitlement(n: usize) -> (Id, String) {
    const WORDS: [&str; 16] = [
        "seats",
        "reports",
        "exports",
        "projects",
        "storage",
        "requests",
        "workflows",
        "environments",
        "audit",
        "retention",
        "dashboards",
        "integrations",
        "support",
        "backups",
        "regions",
        "domains",
    ];
    let word = |k: usize| WORDS[(n * 7 + k * 5 + n / 3) % WORDS.len()];
    let id = format!("feature-{}-{}-{n}", word(0), word(1));
    let json = json!({
        "feature": {"id": id, "name": format!("{} per {}", word(0), word(1)),
                    "description": format!("How many {} a customer may use with {}, {} and {}", word(0), word(1), word(2), word(3)),
                    "featureType": "NUMBER", "meterType": "FLUCTUATING", "unit": word(0), "units": word(0), "status": "ACTIVE"},
        "usageLimit": 100 + n * 37 % 900, "hasUnlimitedUsage": false, "hasSoftLimit": n.is_multiple_of(3), "currentUsage": n * 13 % 100,
        "usagePeriodAnchor": "2026-01-01T00:00:00.000Z", "usagePeriodStart": "2026-11-01T00:00:00.000Z",
        "usagePeriodEnd": "2026-12-01T00:00:00.000Z", "resetPeriod": "MONTH",
        "resetPeriodConfiguration": {"accordingTo": "SubscriptionStart"},
    });
    (Id::try_from(id).unwrap(), json.to_string())
}

fn median(mut call: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            call();
            started.elapsed()
        })
        .collect();
    times.sort();
    times[ROUNDS / 2]
}

fn main() {
    println!("{:>8} {:<22} {:>8} {:>12} {:>12}", "features", "form", "bytes", "a check", "a write");
    for count in [20, 100, 500] {
        let entries: Vec<(Id, String)> = (0..count).map(entitlement).collect();
        let wanted = entries[count / 2].0.clone();
        let all = format!("[{}]", entries.iter().map(|(_, json)| json.as_str()).collect::<Vec<_>>().join(","));
        let row = |form: &str, bytes: usize, check: Duration, write: Duration| {
            println!("{count:>8} {form:<22} {bytes:>8} {check:>12.1?} {write:>12.1?}");
        };
        let parse_all = |json: &str| {
            let list: Vec<Value> = serde_json::from_str(json).unwrap();
            let found = list.into_iter().find(|one| one["feature"]["id"] == wanted.as_str()).unwrap();
            black_box(serde_json::from_value::<Grant>(found).unwrap());
        };
        row("JSON", all.len(), median(|| parse_all(black_box(&all))), Duration::ZERO);

        let deflate = || {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(all.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let deflated = deflate();
        let check = median(|| {
            let mut json = String::new();
            DeflateDecoder::new(black_box(deflated.as_slice())).read_to_string(&mut json).unwrap();
            parse_all(&json);
        });
        row("JSON, deflated", deflated.len(), check, median(|| drop(black_box(deflate()))));

        let stored = EntitlementList::new(&entries).to_bytes();
        let check = median(|| {
            let list = EntitlementList::from_bytes(black_box(&stored)).unwrap();
            black_box(serde_json::from_str::<Grant>(list.get(wanted.as_str()).unwrap()).unwrap());
        });
        let write = median(|| drop(black_box(EntitlementList::new(&entries).to_bytes())));
        row("LZ4 behind an index", stored.len(), check, write);
    }
}
