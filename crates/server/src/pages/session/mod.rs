//! The page of one session: what was asked, what was done, what came out, whether it can be trusted, what to do now.

mod asks;
mod facts;
mod head;
mod rail;
mod result;
mod result_page;
mod subagents;

use std::sync::Arc;

use cofferdam_domain::{
    Event, EventBody, Outcome, PullRequestState, SessionId, SessionState, Timestamp, WaitingFor,
};
use maud::{Markup, html};

pub(crate) use facts::Facts;
pub(crate) use head::{Tab, head};
pub(crate) use result::{headline_tone, lights};
pub(crate) use result_page::ResultPage;

use super::{
    list::Listed,
    timeline::{self, Timeline, Tone, WINDOW},
};

/// What the store's list says of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: SessionId,
    /// The first line of what was asked.
    pub(crate) title: String,
    pub(crate) repository: String,
    pub(crate) state: SessionState,
    pub(crate) waiting: Option<WaitingFor>,
    pub(crate) archived: bool,
    pub(crate) created: Timestamp,
    /// Models that a fork of it may have; empty where there is no fork to be made.
    pub(crate) models: Arc<[String]>,
    /// The page of the issue or pull request that it was asked for in, where it is known.
    pub(crate) thread: Option<String>,
    /// The session that it works for.
    pub(crate) parent: Option<SessionId>,
    /// The sessions that work for it.
    pub(crate) subagents: Arc<[Listed]>,
}

/// A session as its pages need it: folded from its log, bounded in size, brought up to date event by event.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) facts: Facts,
    pub(crate) timeline: Timeline,
}

impl View {
    /// The view of a log from its first event on.
    pub(crate) fn of(events: &[Event]) -> Self {
        let mut timeline = Timeline::new(WINDOW);
        for event in events {
            timeline.apply(event);
        }
        Self { facts: Facts::of(events), timeline }
    }

    /// Folds later events in. `false` when the session was taken back meanwhile: then the log must be read anew.
    #[must_use]
    pub(crate) fn add(&mut self, events: &[Event]) -> bool {
        if events.iter().any(|event| matches!(event.body, EventBody::RolledBack { .. })) {
            return false;
        }
        for event in events {
            self.facts.add(event);
            self.timeline.apply(event);
        }
        true
    }
}

/// How a session stands, in a word and a colour.
pub(crate) fn pill(row: &Row, facts: &Facts) -> (Tone, String) {
    match row.state {
        SessionState::Queued => (Tone::Quiet, "Queued".to_owned()),
        SessionState::Working if facts.standing.frozen.is_some() => (Tone::Bad, "Frozen".to_owned()),
        SessionState::Working => (Tone::Live, "Working".to_owned()),
        SessionState::Waiting => (Tone::Warn, waiting(row.waiting).to_owned()),
        SessionState::Delivering => (Tone::Live, "Delivering".to_owned()),
        SessionState::Ended => ended(facts),
    }
}

pub(crate) const fn waiting(waiting: Option<WaitingFor>) -> &'static str {
    match waiting {
        Some(WaitingFor::Pause) => "Paused",
        Some(WaitingFor::Answer) => "Asks a question",
        Some(WaitingFor::Plan) => "Plan to approve",
        Some(WaitingFor::Budget) => "Budget used up",
        Some(WaitingFor::Choice) => "Ready to be chosen",
        None => "Waits for you",
    }
}

fn ended(facts: &Facts) -> (Tone, String) {
    match facts.standing.pull_request.as_ref().map(|pull_request| &pull_request.state) {
        Some(PullRequestState::Merged { .. }) => return (Tone::Good, "Merged".to_owned()),
        Some(PullRequestState::Closed) => return (Tone::Quiet, "Closed".to_owned()),
        Some(PullRequestState::Open) | None => {}
    }
    match &facts.standing.outcome {
        Some(outcome) => {
            let (tone, words, _) = super::words::outcome(outcome);
            let short = match outcome {
                Outcome::Stopped { .. } => "Stopped by a limit",
                Outcome::Held { .. } => "Held for a person",
                Outcome::Failed { .. } => "Failed",
                Outcome::Succeeded
                | Outcome::Reviewed
                | Outcome::Answered
                | Outcome::NothingToDo
                | Outcome::PassedOver { .. }
                | Outcome::Cancelled => words,
            };
            (tone, short.to_owned())
        }
        None => (Tone::Quiet, "Ended".to_owned()),
    }
}

/// The parts of the page that change while the session runs, each with an id of its own.
pub(crate) fn live_parts(row: &Row, facts: &Facts) -> Markup {
    html! {
        (head(row, facts, Tab::Timeline))
        (asks::asks(row, facts))
        (result::result(row, facts))
        (rail::rail(row, facts))
    }
}

/// The session's page. `earlier` is a timeline that ends before the newest entries, when somebody looks at those.
pub(crate) fn page(row: &Row, view: &View, earlier: Option<&Timeline>) -> Markup {
    let id = row.id;
    let shown = earlier.unwrap_or(&view.timeline);
    let live = earlier.is_none().then(|| format!("/sessions/{id}/live?after={}", view.facts.end().0));
    html! {
        div.session data-live=[live] data-session=(id) {
            (head(row, &view.facts, Tab::Timeline))
            div.columns {
                div.main {
                    (asks::asks(row, &view.facts))
                    (result::result(row, &view.facts))
                    section aria-labelledby="timeline-title" {
                        header.section {
                            h2 #timeline-title { "Timeline" }
                            p.quiet #live-state role="status" hidden { "Not connected. Trying again." }
                            div.filter.scripted {
                                input #filter type="search" placeholder="Filter" aria-label="Filter the timeline" autocomplete="off";
                                label { input #problems type="checkbox"; " Problems only" }
                            }
                        }
                        @if earlier.is_some() {
                            p.banner { "These are earlier entries. " a href=(format!("/sessions/{id}")) { "To the newest" } }
                        }
                        ol.timeline #timeline aria-label="Timeline" { (timeline::entries(id, shown)) }
                        p.nothing.scripted #nothing hidden { "Nothing here fits the filter." }
                    }
                    (message(row, &view.facts))
                }
                (rail::rail(row, &view.facts))
            }
        }
    }
}

/// Where a person writes to the agent.
fn message(row: &Row, facts: &Facts) -> Markup {
    let (label, hint) = match row.state {
        SessionState::Ended if facts.standing.pull_request.is_some() => (
            "Ask for another change",
            "The session goes on, on the same branch and in the same pull request.",
        ),
        SessionState::Ended => ("Write to the session", "The session goes on with what you write."),
        SessionState::Queued | SessionState::Working | SessionState::Waiting | SessionState::Delivering => {
            ("Write to the agent", "It reads this before its next step.")
        }
    };
    html! {
        form.card.message.act method="post" action=(format!("/sessions/{}/messages", row.id)) {
            label.unseen for="message" { (label) }
            textarea #message name="text" rows="1" required maxlength="65536" placeholder=(label) aria-describedby="message-hint" {}
            button.primary type="submit" { "Send" }
            span.quiet #message-hint { (hint) " Ctrl and Enter send it." }
        }
    }
}
