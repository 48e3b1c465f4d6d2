//! Answers in which a secret may be hidden: what comes out of the scan is what went in, and never the secret.

#![no_main]

use bytes::Bytes;
use cofferdam_domain::Secret;
use cofferdam_egress::{ReflectionPatterns, ReflectionScan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, Vec<&[u8]>)| {
    let (secret, chunks) = input;
    let Some(patterns) = ReflectionPatterns::new(&[Secret::new(secret)]) else { return };
    let mut scan = ReflectionScan::new(patterns.into());
    let (mut went_in, mut came_out) = (Vec::new(), Vec::new());
    let mut found = false;
    for chunk in chunks {
        went_in.extend_from_slice(chunk);
        match scan.pass(Bytes::copy_from_slice(chunk)) {
            Ok(ready) => came_out.extend_from_slice(&ready),
            Err(_) => {
                found = true;
                break;
            }
        }
    }
    if !found {
        came_out.extend_from_slice(&scan.finish());
        assert_eq!(came_out, went_in);
    }
    let has = |text: &[u8]| secret.len() >= 8 && text.windows(secret.len()).any(|window| window == secret.as_bytes());
    assert!(!has(&came_out));
    assert!(found || !has(&went_in));
});
