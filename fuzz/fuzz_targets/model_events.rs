//! Streams of providers' events: however one is cut, it says the same. The first byte of the input says how it is cut.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/model/src/sse.rs"]
mod sse;

use sse::{SseEvent, SseParser};

fn parse(bytes: &[u8], piece: usize) -> Vec<SseEvent> {
    let (mut parser, mut events) = (SseParser::default(), Vec::new());
    for piece in bytes.chunks(piece) {
        parser.push(piece, &mut events).expect("no event is too large");
    }
    events.extend(parser.finish().expect("nor is the last"));
    events
}

fuzz_target!(|bytes: &[u8]| {
    let Some((piece, bytes)) = bytes.split_first() else { return };
    let events = parse(bytes, usize::from(*piece).max(1));
    assert_eq!(events, parse(bytes, bytes.len().max(1)));
    // A replacement for what is not text has three bytes.
    let length: usize = events.iter().map(|event| event.name.len() + event.data.len()).sum();
    assert!(length <= 3 * bytes.len());
});
