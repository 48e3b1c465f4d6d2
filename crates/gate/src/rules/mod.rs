//! The rules, one a file. Each says what it sees, why it matters, and how severe it is.

pub(crate) mod binary;
pub(crate) mod dependency;
mod encoded;
pub(crate) mod gitlink;
pub(crate) mod hidden_unicode;
mod languages;
pub(crate) mod lfs;
pub(crate) mod mode;
pub(crate) mod oversize;
pub(crate) mod path;
pub(crate) mod protected_path;
pub(crate) mod removed_tests;
pub(crate) mod secret;
pub(crate) mod symlink;
pub(crate) mod workflow_danger;

pub(crate) use crate::pattern::{Pattern, pattern};
