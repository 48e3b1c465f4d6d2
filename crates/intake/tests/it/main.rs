//! What arrives from outside, and what becomes of it. One binary; a file for each way in.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in the functions that it calls too")]
#![expect(clippy::wildcard_enum_match_arm, reason = "tests look at the few events that they are about")]

mod desk; // a forge in memory
mod forge; // forges
mod hook; // other programs
mod schedule; // set times
mod slack; // what people say in Slack
mod slack_sdk; // Slack's own client against the stand-in
mod ways; // a store, and a way whose arrivals are dealt with one by one
