//! The store as its callers and the machine's failures meet it. One binary; a file for each behaviour.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in the functions that it calls too")]

mod child; // what runs in a process of its own
mod contract; // what every store must do, whatever it is made of
mod crash; // processes killed at any instant
mod events; // events and sessions to test with
mod full; // a full disk
mod processes; // several processes on one store
mod sqlite; // the contract and what is special to SQLite
mod tampering; // random histories, and every way to falsify one
