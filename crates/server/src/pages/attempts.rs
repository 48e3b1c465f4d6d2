//! The page on which attempts at one task are compared.

use cofferdam_domain::{Cost, SessionId};
use cofferdam_gate::attempts::{AttemptFacts, Group, ranked};
use maud::{Markup, html};

use super::{
    session::{Facts, Row, Tab, head, headline_tone},
    text::{cut, line, number},
    timeline::Tone,
    words::millis,
};

/// The page. Nothing on it was said by an agent.
pub(crate) fn page(row: &Row, facts: &Facts, group: &Group) -> Markup {
    html! {
        (head(row, facts, Tab::Attempts))
        section.card aria-labelledby="attempts-title" {
            h2 #attempts-title { "Attempts" }
            p.quiet { (explained(group)) }
            div.table tabindex="0" {
                table {
                    thead { tr {
                        th { "Attempt" } th { "Stands" } th { "Tests" } th { "Findings" } th { "Change" }
                        th { "Steps" } th { "Tokens" } th { "Cost" } th { "Time" } th { "Model" } th {}
                    } }
                    tbody { @for facts in ranked(group) { (one(row.id, group, facts)) } }
                }
            }
            p.quiet {
                "Ranked by what the platform saw: tests that were red before and are green now, nothing that the gate holds back, work that came to its own end, "
                "fewer warnings, a smaller change, a lower cost. What the agents say does not count."
            }
        }
    }
}

/// How far it is, in a sentence.
fn explained(group: &Group) -> Markup {
    let through = group.attempts().iter().filter(|facts| facts.is_through()).count();
    let all = group.attempts().len();
    match group.decided() {
        Some(decided) => html! { "Chosen by " (line(&decided.by, 100)) ": only that one is delivered." },
        None if group.is_complete() => html! { "All are through. Choose the one that is to be delivered." },
        None => {
            html! { (through) " of " (all) " are through. One that is ready can be chosen already; the others are stopped then." }
        }
    }
}

fn one(shown: SessionId, group: &Group, facts: &AttemptFacts) -> Markup {
    let id = facts.session;
    let tone = if facts.is_chosen() { Tone::Good } else { Tone::Plain };
    html! {
        tr #(format!("attempt-{}", facts.attempt.number)) aria-current=[(id == shown).then_some("true")] {
            th scope="row" { a href=(format!("/sessions/{id}")) { (facts.attempt.number) } }
            td.(tone.class()) { (facts.in_words()) @if facts.cut_short { ", cut short" } }
            td.(headline_tone(facts.tests.headline).class()) { (facts.tests_in_words()) }
            td { (facts.findings_in_words()) }
            td { a href=(format!("/sessions/{id}/diff")) { (facts.size_in_words()) } }
            td { (facts.steps) }
            td { (number(facts.tokens)) }
            td { (Cost(facts.cost)) }
            td { (millis(facts.millis)) }
            td { (line(facts.model.as_deref().unwrap_or_default(), 100)) }
            td.act { @if let Some(commit) = facts.choosable().filter(|_| group.decided().is_none() || facts.is_chosen()) { (choose(id, facts.attempt.number, commit)) } }
        }
    }
}

/// A button that is bound to what is shown.
fn choose(id: SessionId, number: u16, commit: &str) -> Markup {
    html! {
        form method="post" action=(format!("/sessions/{id}/choose")) {
            input type="hidden" name="commit" value=(commit);
            button type="submit" title=(format!("at {}", cut(commit, 10))) { "Choose " (number) }
        }
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::{
        Attempt, Digest, Event, EventBody, EventId, Seq, Source, Task, Timestamp, attempt::Choose,
    };

    use super::*;
    use crate::pages::parsed::Parsed;

    const ATTACK: &str = "<img src=x onerror=alert(1)>\"'><script>alert(1)</script>\u{202e}";

    fn facts(number: u16, rest: Vec<EventBody>) -> AttemptFacts {
        let attempt = Attempt { group: SessionId::from_u128(7 << 76), number, of: 2, choose: Choose::Ask };
        let task = Task::new(ATTACK.into(), "/r".into(), None, ATTACK.into(), Source::Api).unwrap();
        let first = EventBody::TaskAccepted { task: task.attempted(attempt) };
        let event = |(seq, body)| Event {
            seq: Seq(seq),
            id: EventId::from_u128(u128::from(seq)),
            session: attempt.session(),
            at: Timestamp(seq),
            body,
            previous: Digest::ZERO,
            hash: Digest::ZERO,
        };
        let log: Vec<Event> = (1..).zip(std::iter::once(first).chain(rest)).map(event).collect();
        AttemptFacts { model: Some(ATTACK.to_owned()), ..AttemptFacts::of(&log).unwrap() }
    }

    #[test]
    fn nothing_that_others_wrote_becomes_markup_or_a_choice() {
        let ready = |number| facts(number, vec![EventBody::AttemptReady { commit: ATTACK.into() }]);
        let by = EventBody::AttemptPassedOver {
            by: ATTACK.into(),
            chosen: ready(2).session,
            commit: ATTACK.into(),
        };
        let open = Group::new(vec![ready(1), ready(2)], false);
        let decided = Group::new(vec![facts(1, vec![by]), ready(2)], false);
        for (group, choices) in [(open, 2), (decided, 0)] {
            let rows = html! { (explained(&group)) table { @for facts in ranked(&group) { (one(facts.session, &group, facts)) } } };
            let markup = rows.into_string();
            let parsed = Parsed::piece(&markup);
            assert!(
                !parsed.elements.iter().any(|element| ["img", "script"].contains(&&*element.name)),
                "{markup}"
            );
            let handlers = parsed.elements.iter().flat_map(|element| &element.attributes);
            assert_eq!(handlers.filter(|(name, _)| name.starts_with("on")).count(), 0, "{markup}");
            // Each button says what it is about, and there is none once it is decided.
            let forms = parsed.elements.iter().filter(|element| element.name == "form").count();
            assert_eq!(forms, choices, "{markup}");
        }
    }
}
