//! What a worker, its zygote and process 1 say to each other while sandboxes are made.

#![no_main]

use cofferdam_hand::protocol::{
    frame::{self, Message},
    zygote::{Order, Reply, Request, Status},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let kinds = [check::<Request>, check::<Reply>, check::<Status>, check::<Order>].map(|check| check(bytes));
    assert!(kinds.into_iter().filter(|taken| *taken).count() <= 1, "a frame of two kinds");
});

/// Whether it is a message of this kind.
fn check<M: Message>(bytes: &[u8]) -> bool {
    let Ok(message) = frame::decode::<M>(bytes) else { return false };
    assert_eq!(frame::encode(&message).expect("a decoded message fits"), bytes);
    true
}
