//! People are told, whatever receivers do and whoever dies. One binary; a file for each behaviour.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in the functions that it calls too")]

mod killed; // a process that dies between telling and writing it down
mod oracle; // signatures, as another implementation checks them
mod programs; // commands
mod receiver; // something to send to
mod receivers; // what receivers may do
mod scene; // a store, a session, and somebody who tells
