//! What looking for a secret in an answer costs, beside copying the answer: `cargo bench -p cofferdam-egress --bench scan`.

use std::{error::Error, hint::black_box, sync::Arc, time::Instant};

use bytes::Bytes;
use cofferdam_domain::Secret;
use cofferdam_egress::{ReflectionPatterns, ReflectionScan};

const CHUNK: usize = 16 << 10;
const CHUNKS: usize = 4_096;
const ROUNDS: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let secret = Secret::new("ghs_0123456789abcdefghijklmnopqrstuvwxyzAB");
    let patterns = Arc::new(ReflectionPatterns::new(&[secret]).ok_or("nothing to look for")?);
    let random: Vec<u8> = (0..CHUNK).map(|_| fastrand()).collect();
    let text = b"{\"name\": \"ghs\", \"url\": \"https://api.example.com/repos/a/b\"}\n".repeat(CHUNK / 60);
    for (name, chunk) in [("random bytes", random), ("JSON", text)] {
        let chunk = Bytes::from(chunk);
        let (mut scanned, mut copied) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let mut scan = ReflectionScan::new(Arc::clone(&patterns));
            for _ in 0..CHUNKS {
                black_box(scan.pass(black_box(chunk.clone()))?);
            }
            scanned.push(start.elapsed());
            let start = Instant::now();
            for _ in 0..CHUNKS {
                black_box(Bytes::copy_from_slice(black_box(&chunk)));
            }
            copied.push(start.elapsed());
        }
        let rate = |times: &mut Vec<std::time::Duration>| {
            times.sort();
            let mebibytes = (chunk.len() * CHUNKS) as f64 / f64::from(1 << 20);
            times.get(ROUNDS / 2).map_or(0.0, |median| mebibytes / median.as_secs_f64())
        };
        let (scan, copy) = (rate(&mut scanned), rate(&mut copied));
        #[expect(clippy::print_stdout, reason = "a benchmark says what it measured")]
        {
            println!(
                "{name}: {scan:.0} MiB/s looked through, {copy:.0} MiB/s copied, ratio {:.1}",
                copy / scan
            );
        }
    }
    Ok(())
}

/// A byte of a fixed sequence that has no pattern to speak of (xorshift).
fn fastrand() -> u8 {
    use std::cell::Cell;
    thread_local!(static STATE: Cell<u64> = const { Cell::new(0x9e37_79b9_7f4a_7c15) });
    STATE.with(|state| {
        let mut value = state.get();
        value ^= value << 13;
        value ^= value >> 7;
        value ^= value << 17;
        state.set(value);
        value.to_le_bytes()[3]
    })
}
