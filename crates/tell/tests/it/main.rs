//! People are told, whatever receivers do and whoever dies. One binary; a file for each behaviour.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in the functions that it calls too")]

mod chronicle; // events of a session that a forge is told of
mod forge; // what is said on a forge
mod gitea; // the same on a real one
mod killed; // a process that dies between telling and writing it down
mod oracle; // signatures, as another implementation checks them
mod programs; // commands
mod receiver; // something to send to
mod receivers; // what receivers may do
mod scene; // a store, a session, and somebody who tells
mod slack; // what is said in Slack
mod talk; // a forge that writes down what it is told
