//! Deliveries of forges: what one says is the same each time it is read, and comes back whole from where it is kept. The first two bytes of the input
//! say whose it is and of what.

#![no_main]

use cofferdam_forge::hook::{Delivery, ForgeKind, Occasion};
use libfuzzer_sys::fuzz_target;

const GITHUB: [&str; 8] = [
    "issues",
    "issue_comment",
    "pull_request",
    "pull_request_review",
    "push",
    "status",
    "check_run",
    "repository",
];
const GITLAB: [&str; 6] =
    ["Issue Hook", "Note Hook", "Merge Request Hook", "Pipeline Hook", "Push Hook", "Emoji Hook"];
const GITEA: [&str; 7] = [
    "issues",
    "issue_comment",
    "pull_request",
    "pull_request_approved",
    "pull_request_comment",
    "push",
    "repository",
];

fuzz_target!(|bytes: &[u8]| {
    let Some(([forge, event], body)) = bytes.split_first_chunk() else { return };
    let (forge, events): (_, &[&str]) = match forge % 3 {
        0 => (ForgeKind::GitHub, &GITHUB),
        1 => (ForgeKind::GitLab, &GITLAB),
        _ => (ForgeKind::Gitea, &GITEA),
    };
    let event = events[usize::from(*event) % events.len()];
    let delivery = Delivery::kept(forge, "1".to_owned(), event.to_owned());
    let Ok(occasion) = delivery.read(body) else { return };
    assert_eq!(delivery.read(body).ok().as_ref(), Some(&occasion));
    let kept = serde_json::to_string(&occasion).expect("it is made of texts and numbers");
    assert_eq!(serde_json::from_str::<Occasion>(&kept).ok(), Some(occasion));
});
