//! The hand's wire protocol: what the host and the hand say to each other, and how.
//!
//! What this crate is for: the binary `cofferdam-hand` is process 1 of every sandbox and carries out what the
//! host asks (run a command, read, write, list, search); before that, in its other role, it makes the
//! sandbox. This library is the part that both sides share: the messages, their strict encoding, and the
//! socket that carries them together with descriptors.
//!
//! What it never does: trust. Everything from inside a sandbox is bounded in size and count here, and
//! rejected rather than repaired. There is no content in messages: files, output and results travel on
//! descriptors that the host made.
//!
//! Where to start reading: [`protocol::message`], then [`protocol::frame`]; the program begins in `main.rs`.

#![forbid(unsafe_code)]

pub mod protocol;
