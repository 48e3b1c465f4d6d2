//! Patches as models write them, and files that they are for. The input is a patch, a zero byte, and a file's text.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/tools/src/patch/apply.rs"]
mod apply;
#[expect(dead_code, reason = "what other tools use and this does not")]
#[path = "../../crates/tools/src/text/bounded.rs"]
mod bounded;
#[path = "../../crates/tools/src/text/comparison.rs"]
mod comparison;
#[expect(dead_code, reason = "what other tools use and this does not")]
#[path = "../../crates/tools/src/text/nearest.rs"]
mod nearest;
#[path = "../../crates/tools/src/patch/parse.rs"]
mod parse;

/// Where `apply` looks for what it needs.
mod text {
    pub(crate) use crate::comparison::{line_numbers, nearest_difference};
}

use bounded::shorten;
use nearest::nearest_lines;
use parse::Operation;

fuzz_target!(|input: &str| {
    let (patch, file) = input.split_once('\0').unwrap_or((input, ""));
    let Ok(operations) = parse::parse(patch) else { return };
    for operation in operations {
        match operation {
            Operation::Add { path, content } => {
                assert!(!path.is_empty() && (content.is_empty() || content.ends_with('\n')));
            }
            Operation::Delete { path } => assert!(!path.is_empty()),
            Operation::Update { path, to, hunks } => {
                assert!(!path.is_empty() && (to.is_some() || !hunks.is_empty()));
                if let Ok(applied) = apply::apply(file, &hunks) {
                    // Nothing comes from nowhere.
                    assert!(applied.text.len() <= file.len() + 2 * patch.len() + 8);
                }
            }
        }
    }
});
