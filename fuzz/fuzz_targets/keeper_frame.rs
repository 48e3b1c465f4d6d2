//! What is said over the control socket of a kept sandbox: frames, and the messages in them.

#![no_main]

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use libfuzzer_sys::fuzz_target;

#[expect(dead_code, reason = "what the program uses and this does not")]
#[path = "../../crates/cofferdam/src/commands/sandbox/wire.rs"]
mod wire;

/// The output of a future that has all that it needs.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("everything is there"),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut from = bytes;
    while let Ok(Some(frame)) = now(wire::read(&mut from)) {
        if let Ok(request) = frame.message::<wire::Request>() {
            assert_eq!(again::<wire::Request>(&request), request);
        }
        if let Ok(answer) = frame.message::<wire::Answer>() {
            assert_eq!(again::<wire::Answer>(&answer), answer);
        }
        drop(frame.message::<wire::Meanwhile>());
    }
});

/// A message that was sent and read.
fn again<M: serde::Serialize + serde::de::DeserializeOwned>(message: &M) -> M {
    let mut line = Vec::new();
    now(wire::send(&mut line, message)).expect("a message that was read can be sent");
    let frame = now(wire::read(&mut line.as_slice())).expect("what was sent is a frame").expect("one");
    frame.message().expect("what was sent is the message")
}
