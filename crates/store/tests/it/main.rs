//! The store as its callers and the machine's failures meet it. One binary; a file for each behaviour.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in the functions that it calls too")]

mod apps; // apps of forges that were made from the pages
mod attempts; // several attempts at one task
mod bucket; // content in an object store
mod child; // what runs in a process of its own
mod claims; // who may write
mod contents; // content that events refer to, and what goes with a session
mod contract; // what every store must do, whatever it is made of
mod crash; // processes killed at any instant
mod events; // events and sessions to test with
mod following; // those who follow a log miss nothing
mod full; // a full disk
mod intake; // what forges, chats and other programs sent
mod keeping; // what expires, and what is left of what was deleted
mod memories; // what is noted for later sessions
mod old; // a store that an earlier version wrote
mod outbox; // what people outside are told
mod people; // organisations, their people, and what they spend
mod postgres; // the contracts and what is special to PostgreSQL
mod processes; // several processes on one store
mod queue; // who works on what, and in which order
mod rows; // sessions as they are listed
mod sealed; // secrets at rest, and signed checkpoints
mod search; // what a search for a text finds
mod servers; // MCP servers that were approved
mod sqlite; // the contracts and what is special to SQLite
mod subagents; // sessions that work for others
mod tampering; // random histories, and every way to falsify one
mod tenancy; // what is one organisation's is nobody else's
mod writing; // what is written to a log
