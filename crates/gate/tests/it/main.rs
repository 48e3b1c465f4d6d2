//! The gate as its callers see it, through its public interface only.

mod blocking;
mod changes;
mod properties;
mod pull_request;
mod reports;
mod rules;
mod secrets;
