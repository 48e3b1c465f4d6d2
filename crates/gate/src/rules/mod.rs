//! The rules, one a file. Each says what it sees, why it matters, and how severe it is.

pub(crate) mod binary;
pub(crate) mod dependency;
mod encoded;
pub(crate) mod gitlink;
pub(crate) mod hidden_unicode;
mod languages;
pub(crate) mod mode;
pub(crate) mod oversize;
pub(crate) mod path;
pub(crate) mod protected_path;
pub(crate) mod removed_tests;
pub(crate) mod secret;
pub(crate) mod symlink;
pub(crate) mod workflow_danger;

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

/// A pattern that is part of the program, compiled once.
pub(crate) type Pattern = LazyLock<Regex>;

/// Compiles a pattern that is part of the program. Classes such as `\w` mean ASCII: programs are written in
/// it, and the tables of all scripts would make the patterns large and slow.
#[expect(clippy::expect_used, reason = "a constant of the program; every pattern is forced by a test")]
pub(crate) fn pattern(source: &str) -> Regex {
    RegexBuilder::new(source).unicode(false).build().expect("a pattern of the program must compile")
}
