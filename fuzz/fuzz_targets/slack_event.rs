//! What Slack posts: read or refused, and what is read fits where it goes.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/intake/src/slack/event.rs"]
mod event;

fuzz_target!(|body: &[u8]| {
    let Ok(event::Delivered::Uttered(said)) = event::Delivered::read(body) else { return };
    for id in [&said.user, &said.channel, &said.team] {
        assert!(event::is_id(id));
    }
    assert!(said.event.len() <= 128 && said.event.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(said.root().bytes().all(|byte| byte == b'.' || byte.is_ascii_digit()));
    assert!(!said.kind.name().is_empty());
    // By a connection it is the same.
    assert_eq!(event::Delivered::of_json(body), Ok(event::Delivered::Uttered(said)));
});
