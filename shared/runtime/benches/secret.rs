//! Duration of a secret's comparison, by the presented value. Prints figures for docs/security.md and asserts nothing.
//!
//!     cargo bench --bench secret
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::{hint::black_box, time::Instant};

use runtime::secret::Secret;

const SECRET: &str = "whs_0123456789abcdef0123456789abcdef0123456789abcdef";
const ROUNDS: usize = 400;
const COMPARISONS_PER_ROUND: u32 = 1_000;

fn main() {
    let secret = Secret::new(SECRET, Some("previous-0123456789abcdef0123456789abcdef0123456")).unwrap();
    let wrong_at = |index: usize| {
        let mut presented = SECRET.as_bytes().to_vec();
        presented[index] ^= 1;
        presented
    };
    let presented: Vec<(&str, Vec<u8>)> = vec![
        ("right", SECRET.as_bytes().to_vec()),
        ("wrong in the first byte", wrong_at(0)),
        ("wrong in the middle", wrong_at(SECRET.len() / 2)),
        ("wrong in the last byte", wrong_at(SECRET.len() - 1)),
        ("wrong in all bytes", vec![b'x'; SECRET.len()]),
        ("one byte short", SECRET.as_bytes()[..SECRET.len() - 1].to_vec()),
        ("one byte", vec![b'w']),
        ("1,000 bytes", vec![b'w'; 1_000]),
    ];
    // Alternates between the values, so other load on the machine affects all of them.
    let mut nanoseconds = vec![Vec::with_capacity(ROUNDS); presented.len()];
    for _ in 0..ROUNDS {
        for (times, (_, presented)) in nanoseconds.iter_mut().zip(&presented) {
            let started = Instant::now();
            for _ in 0..COMPARISONS_PER_ROUND {
                black_box(secret.accepts(black_box(presented)));
            }
            times.push(started.elapsed() / COMPARISONS_PER_ROUND);
        }
    }
    println!("{:<28} {:>10} {:>10} {:>10}", "presented", "minimum", "median", "p90");
    for (mut times, (name, _)) in nanoseconds.into_iter().zip(presented) {
        times.sort();
        println!("{name:<28} {:>10?} {:>10?} {:>10?}", times[0], times[ROUNDS / 2], times[ROUNDS * 9 / 10]);
    }
}
