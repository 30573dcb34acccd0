//! How long a secret takes to be compared, by what is presented: figures for docs/security.md, no verdict.
//!
//!     cargo bench --bench secret
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::{hint::black_box, time::Instant};

use runtime::secret::Secret;

const SECRET: &str = "whs_0123456789abcdef0123456789abcdef0123456789abcdef";
const ROUNDS: usize = 400;
const EACH: u32 = 1_000;

fn main() {
    let secret = Secret::new(SECRET, Some("the-one-before-0123456789abcdef0123456789abcdef")).unwrap();
    let wrong_at = |place: usize| {
        let mut presented = SECRET.as_bytes().to_vec();
        presented[place] ^= 1;
        presented
    };
    let presented: Vec<(&str, Vec<u8>)> = vec![
        ("right", SECRET.as_bytes().to_vec()),
        ("wrong in the first byte", wrong_at(0)),
        ("wrong in the middle", wrong_at(SECRET.len() / 2)),
        ("wrong in the last byte", wrong_at(SECRET.len() - 1)),
        ("none of it right, as long", vec![b'x'; SECRET.len()]),
        ("one byte short", SECRET.as_bytes()[..SECRET.len() - 1].to_vec()),
        ("one byte", vec![b'w']),
        ("1,000 bytes", vec![b'w'; 1_000]),
    ];
    // In turns, so that what else the machine does falls on all of them.
    let mut nanoseconds = vec![Vec::with_capacity(ROUNDS); presented.len()];
    for _ in 0..ROUNDS {
        for (times, (_, presented)) in nanoseconds.iter_mut().zip(&presented) {
            let started = Instant::now();
            for _ in 0..EACH {
                black_box(secret.accepts(black_box(presented)));
            }
            times.push(started.elapsed() / EACH);
        }
    }
    println!("{:<28} {:>10} {:>10} {:>10}", "presented", "least", "median", "9 in 10");
    for (mut times, (name, _)) in nanoseconds.into_iter().zip(presented) {
        times.sort();
        println!("{name:<28} {:>10?} {:>10?} {:>10?}", times[0], times[ROUNDS / 2], times[ROUNDS * 9 / 10]);
    }
}
