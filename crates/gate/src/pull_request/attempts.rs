//! The other attempts at the task, where there were several.

use std::{fmt::Write as _, time::Duration};

use cofferdam_domain::{Cost, SessionId, amount::duration};

use super::inline::cell;
use crate::attempts::{AttemptFacts, Group, ranked};

/// The section about them; nothing where there are none. All of it was computed.
pub(super) fn attempts(session: SessionId, group: Option<&Group>) -> String {
    let Some(group) = group.filter(|group| group.attempts().len() > 1) else { return String::new() };
    let by = group.decided().map(|decided| decided.by.as_str()).unwrap_or_default();
    let mut text = format!(
        "### Attempts\n\nThis is one of {} attempts at the task, chosen by {}. Ranked by what the platform saw of each:\n\n\
         | attempt | tests | findings | change | steps | cost | time | model |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        group.attempts().len(),
        cell(by)
    );
    for facts in ranked(group) {
        let this = if facts.session == session { " (this one)" } else { "" };
        _ = writeln!(text, "| {}{this} {}", facts.attempt.number, row(facts));
    }
    text
}

fn row(facts: &AttemptFacts) -> String {
    format!(
        "| {} | {} | {} | {} | {} | {} | {} |",
        facts.tests_in_words(),
        facts.findings_in_words(),
        facts.size_in_words(),
        facts.steps,
        Cost(facts.cost),
        duration(Duration::from_millis(facts.millis)),
        facts.model.as_deref().map_or_else(|| "–".to_owned(), cell)
    )
}
