//! What a fresh look at the change has found: prose of a model's, apart from the facts.

use std::fmt::Write as _;

use cofferdam_domain::{SelfReview, amount::counted};

use super::{
    inline::{code, words},
    prose::sanitise_prose,
};
use crate::view::bounded;

/// Bytes of one remark, and of a path.
const MAX_REMARK: usize = 800;
const MAX_PATH: usize = 200;
/// Bytes of what is said of the change as a whole.
const MAX_SUMMARY: usize = 4_000;
/// Remarks that are shown.
const MAX_REMARKS: usize = 12;

/// The section, or nothing where nobody looked.
pub(super) fn fresh_look(review: Option<&SelfReview>) -> String {
    let Some(review) = review else { return String::new() };
    let mut text = "---\n\n## A fresh look (unverified)\n".to_owned();
    if review.failed.is_some() {
        text.push_str("\nA model was to look at the change before it was delivered, and could not. The session says why.\n");
        return text;
    }
    _ = write!(
        text,
        "\nBefore this was delivered, a model that was shown only the task, the change and the test runs looked at it ({}). What it says is \
         advice, which may be wrong or misled; links, mentions and markup are switched off.\n",
        counted(review.round.into(), "time")
    );
    if review.refuted {
        text.push_str("\nA fresh look by a model found:\n\n");
        text.push_str(&sanitise_prose(&bounded(review.summary.clone(), MAX_SUMMARY)));
    } else {
        text.push_str("\nIt found nothing for which the change should go back.\n");
    }
    if !review.remarks.is_empty() {
        text.push_str("\nOn lines:\n\n");
    }
    for remark in review.remarks.iter().take(MAX_REMARKS) {
        let place = code(&format!("{}:{}", bounded(remark.path.clone(), MAX_PATH), remark.line));
        // One line of a list: what would be a line of its own could be a heading.
        let said: Vec<&str> = remark.text.split_whitespace().collect();
        _ = writeln!(text, "- {place}: {}", words(&bounded(said.join(" "), MAX_REMARK)));
    }
    text
}
