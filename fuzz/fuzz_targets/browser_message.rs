//! What a browser, or whoever poses as one, sends: messages, in pieces of the length that the first byte says.

#![no_main]

use cofferdam_browser::{Inbound, Messages};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, bytes)) = bytes.split_first() else { return };
    let whole = read(bytes, usize::MAX);
    // Pieces make no difference.
    assert_eq!(read(bytes, usize::from(*length).max(1)), whole);
});

fn read(bytes: &[u8], length: usize) -> (Vec<Inbound>, bool) {
    let (mut messages, mut found) = (Messages::bounded(256), Vec::new());
    let fine = bytes.chunks(length).all(|piece| messages.push(piece, |message| found.push(message)).is_ok());
    (found, fine)
}
