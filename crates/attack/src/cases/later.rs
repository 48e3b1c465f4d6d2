//! Cases of the catalogue that the suite cannot carry out on a user's machine yet, and what each waits for. They are listed, and never counted as passed.

use crate::case::Case;

const EYES: &str =
    "a rule that whoever asked for a change is not who lets it in, which forges have and the product has not";
const SUM: &str = "a look at several pull requests of one origin together, which the product has not";
const MACHINES: &str = "drivers with a kernel of their own";

pub(super) fn cases() -> Vec<Case> {
    [
        ("PR-09", "api", EYES, "Approving one's own request"),
        ("HF-06", "pr", SUM, "An attack in five pull requests"),
        ("SB-34", "kernel", MACHINES, "Faults of processors and of the page cache"),
    ]
    .into_iter()
    .map(|(id, channel, waits_for, title)| Case::later(id, channel, waits_for, title))
    .collect()
}
