//! The gate as its callers see it, through its public interface only.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod blocking;
mod changes;
mod properties;
mod pull_request;
mod reports;
mod rules;
mod scan;
mod secrets;
