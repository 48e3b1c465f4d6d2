//! Answers of a collector: whatever it sends, reading it ends, and what it says it did not take can be said again.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/telemetry/src/answer.rs"]
mod answer;

fuzz_target!(|bytes: &[u8]| {
    let rejected = answer::rejected(bytes);
    // The same number, written as the specification has it.
    let (mut number, mut rest) = (vec![0x08], rejected);
    while rest >= 0x80 {
        number.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    number.push(rest as u8);
    let mut again = vec![0x0a, number.len() as u8];
    again.extend(number);
    assert_eq!(answer::rejected(&again), rejected);
});
