//! Runs of the repository's own tests as facts: which command, what its report says, what the two sides show
//! together.

mod detect;
mod judge;
mod report;

pub use detect::{RootEntry, TestCommand, WANTED_ROOT_FILES, detect_test_command};
pub use judge::{EvidenceSummary, Headline, judge};
pub use report::parse_report;
