//! Spans on their way to a collector: one that works, and all that do not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in the functions that it calls too")]

mod collector;
mod delivery;
mod labels;
