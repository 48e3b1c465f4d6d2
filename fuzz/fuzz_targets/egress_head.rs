//! What the egress door reads of a request's head: what it accepts has one meaning, whatever follows.

#![no_main]

use cofferdam_egress::{Framing, read_head};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(head)) = read_head(bytes) else { return };
    let alone = &bytes[..head.length];
    assert_eq!(read_head(alone), Ok(Some(head)), "what follows changes nothing");
    assert!(alone.ends_with(b"\r\n\r\n"));
    let text = alone.to_ascii_lowercase();
    let count = |field: &[u8]| text.windows(field.len()).filter(|window| *window == field).count();
    assert!(count(b"\ncontent-length:") + count(b"\ntransfer-encoding:") <= 1);
    assert!(count(b"\nhost:") <= 1);
    assert_eq!(head.framing == Framing::Chunked, count(b"\ntransfer-encoding:") == 1);
    assert!(!alone.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r'));
});
