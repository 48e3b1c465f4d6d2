//! Whole requests and answers: against servers that speak the real wire formats, recorded streams, and (if
//! there is one) a real model.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests fail by panicking and say aloud what they skip"
)]

// What a request body looks like over a session, for each format.
mod sessions;
// What happens when a provider fails.
mod faults;
// From a name to a model.
mod opening;
// Playing transcripts.
mod scripted;
// Recorded streams of real providers.
mod streams;
// A real model, where one is served.
mod llama;
// What the tests share.
mod support;
