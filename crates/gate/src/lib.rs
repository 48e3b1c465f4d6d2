//! The gate: what a finished change contains, what its tests show, and what the pull request may say.
//!
//! What this crate is for: [`examine()`] lists what a reviewer must know about a change before anything is
//! published, and [`verdict`] decides whether it may be; [`detect_test_command`], [`parse_report`] and
//! [`judge`] turn runs of the repository's own tests into facts; [`EgressFacts`] says what left the sandboxes; [`PullRequestText`] and
//! [`evidence_statement`] write those facts down, with the agent's prose apart from them and made inert.
//!
//! What it never does: I/O, processes, clocks, randomness. Everything here is a function from data to data,
//! so a log can be judged again and gives the same answer. It knows no model and no sandbox. All that it
//! examines is hostile: sizes, counts and running time are bounded, regular expressions are linear, no input
//! may panic.
//!
//! Where to start reading: `examine.rs` (the rules in one table), then any file under `rules/`; for the text,
//! `pull_request/prose.rs` says how prose is made inert.

#![forbid(unsafe_code)]

pub mod attempts;
mod egress;
mod evidence;
mod examine;
mod fold;
mod lines;
mod pattern;
mod policy;
mod pull_request;
mod rules;
mod statement;
mod unicode;
mod view;

pub use egress::{EgressFacts, PackageFact, Passage, RefusedFact};
pub use evidence::{
    EvidenceSummary, Headline, RootEntry, TestCommand, WANTED_ROOT_FILES, detect_test_command, judge,
    parse_report,
};
pub use examine::{examine, verdict};
pub use policy::{GatePolicy, InvalidGlob};
pub use pull_request::{
    BesideFact, Facts, ModelFact, PullRequestText, TreeFact, sanitise_prose, sanitise_title, without_passages,
};
pub use rules::secret::secret_form;
pub use statement::evidence_statement;
