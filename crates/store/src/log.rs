//! Logs as they are kept in either database: reading, following, checking, and what an append does to a session's row.

pub(crate) mod follow;
pub(crate) mod line;
pub(crate) mod listing;
pub(crate) mod pages;
pub(crate) mod refold;
pub(crate) mod rings;
pub(crate) mod verify;
