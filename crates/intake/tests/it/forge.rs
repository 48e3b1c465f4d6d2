//! Deliveries of a forge from the door to the session's log, on a real store: once each, whatever happens in between.

/// What begins sessions, and what does not.
mod begins;
/// What sessions hear of their pull requests.
mod follows;
/// What was not told is found by asking.
mod found;
/// Crashes, forgeries, forges that are away, and storms.
mod holds;
mod scene;
/// Repositories that belong together.
mod together;
