//! Answers in which a secret may be hidden: what comes out of the scan is what went in, and never the secret. The first line
//! of the input is the secret, and the answer comes in as many pieces as lines.

#![no_main]

use bytes::Bytes;
use cofferdam_domain::Secret;
use cofferdam_egress::{ReflectionPatterns, ReflectionScan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split_inclusive(|byte| *byte == b'\n');
    let Some(Ok(secret)) = lines.next().map(|line| std::str::from_utf8(line.trim_ascii_end())) else {
        return;
    };
    // Making the patterns of a long one takes longer than looking for them.
    if secret.len() > 64 {
        return;
    }
    let Some(patterns) = ReflectionPatterns::new(&[Secret::new(secret)]) else { return };
    let mut scan = ReflectionScan::new(patterns.into());
    let (mut went_in, mut came_out) = (Vec::new(), Vec::new());
    let mut found = false;
    for chunk in lines {
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
    let has = |text: &[u8]| {
        secret.len() >= 8 && text.windows(secret.len()).any(|window| window == secret.as_bytes())
    };
    assert!(!has(&came_out));
    assert!(found || !has(&went_in));
});
