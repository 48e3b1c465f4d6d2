//! What administrators write: rules and credentials are read strictly, and what is wrong is said, with where it is.

#![no_main]

use cofferdam_domain::Policy;
use cofferdam_egress::{Credential, problems};
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;

#[path = "../../crates/cofferdam/src/toml_file.rs"]
mod toml_file;

/// The parts of a configuration that decide what may leave.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    policy: Policy,
    credentials: Vec<Credential>,
}

fuzz_target!(|text: &str| {
    let file: File = match toml_file::parse(text) {
        Ok(file) => file,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let names = file.credentials.iter().map(|credential| credential.name.clone()).collect();
    for problem in problems(&file.policy.egress, &names) {
        let line = toml_file::line_of(text, &["policy", "egress", "rules"], problem.number, problem.key);
        assert!(line.is_none_or(|line| line <= text.matches('\n').count() + 1));
    }
});
