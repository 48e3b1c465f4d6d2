//! What the egress door reads of a program's TLS: a name in the clear, or nothing.

#![no_main]

use cofferdam_egress::{Hello, read_hello};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Hello::For(host) | Hello::Hiding(host)) = read_hello(bytes) {
        let name = host.as_str().as_bytes();
        // In one piece or over the borders of records, it was all there.
        assert!(name.iter().all(|byte| bytes.contains(byte)));
        for end in 0..bytes.len() {
            match read_hello(&bytes[..end]) {
                Ok(Hello::For(other) | Hello::Hiding(other)) => assert_eq!(other, host),
                Ok(Hello::Incomplete) => {}
                Err(problem) => panic!("a beginning of what is good is bad: {problem}"),
            }
        }
    }
});
