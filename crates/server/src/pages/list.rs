//! The first page: what waits for you, what is ready to review, what runs, what is queued, what was.

use cofferdam_domain::{Cost, PullRequestState, SessionState, Timestamp};
use maud::{Markup, html};

use super::{
    session::{self, Row},
    text::{line, plain},
    timeline::Tone,
    words::ago,
};

/// A session in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) row: Row,
    /// How it ended, in one word.
    pub(crate) outcome: Option<String>,
    /// Requests for access that wait for a decision.
    pub(crate) accesses: u32,
    /// The number of its pull request, and where that stands.
    pub(crate) pull_request: Option<(u64, PullRequestState)>,
    pub(crate) cost: Cost,
    pub(crate) steps: u32,
    pub(crate) updated: Timestamp,
}

/// Where a session is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// It waits for a person.
    Yours,
    /// Its change is to be reviewed.
    Review,
    Running,
    Queued,
    Over,
}

const GROUPS: [(Group, &str); 5] = [
    (Group::Yours, "Waits for you"),
    (Group::Review, "Ready to review"),
    (Group::Running, "Running"),
    (Group::Queued, "Queued"),
    (Group::Over, "Earlier"),
];

impl Group {
    const fn name(self) -> &'static str {
        match self {
            Self::Yours => "yours",
            Self::Review => "review",
            Self::Running => "running",
            Self::Queued => "queued",
            Self::Over => "over",
        }
    }
}

impl Listed {
    fn group(&self) -> Group {
        match self.row.state {
            SessionState::Waiting => Group::Yours,
            SessionState::Queued | SessionState::Working | SessionState::Delivering if self.accesses > 0 => {
                Group::Yours
            }
            SessionState::Queued => Group::Queued,
            SessionState::Working | SessionState::Delivering => Group::Running,
            SessionState::Ended if self.row.archived => Group::Over,
            SessionState::Ended if self.outcome.as_deref() == Some("held") => Group::Yours,
            SessionState::Ended if matches!(self.pull_request, Some((_, PullRequestState::Open))) => {
                Group::Review
            }
            SessionState::Ended => Group::Over,
        }
    }

    /// How it stands, in a word and a colour.
    pub(crate) fn pill(&self) -> (Tone, &'static str) {
        match (self.row.state, &self.pull_request) {
            (SessionState::Queued | SessionState::Working | SessionState::Delivering, _)
                if self.accesses > 0 =>
            {
                (Tone::Warn, "Asks for access")
            }
            (SessionState::Queued, _) => (Tone::Quiet, "Queued"),
            (SessionState::Working, _) => (Tone::Live, "Working"),
            (SessionState::Delivering, _) => (Tone::Live, "Delivering"),
            (SessionState::Waiting, _) => (Tone::Warn, session::waiting(self.row.waiting)),
            (SessionState::Ended, Some((_, PullRequestState::Merged { .. }))) => (Tone::Good, "Merged"),
            (SessionState::Ended, Some((_, PullRequestState::Closed))) => (Tone::Quiet, "Closed"),
            (SessionState::Ended, _) => match self.outcome.as_deref() {
                Some("succeeded") => (Tone::Good, "Ready to review"),
                Some("nothing_to_do") => (Tone::Good, "Nothing to do"),
                Some("failed") => (Tone::Bad, "Failed"),
                Some("stopped") => (Tone::Warn, "Stopped by a limit"),
                Some("held") => (Tone::Warn, "Held for a person"),
                Some(_) | None => (Tone::Quiet, "Cancelled"),
            },
        }
    }
}

/// What the list was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) text: String,
    pub(crate) state: String,
    pub(crate) archived: bool,
    /// Whether this is a later page of the list.
    pub(crate) later: bool,
    /// Where the next page begins.
    pub(crate) next: Option<String>,
}

/// The page.
pub(crate) fn page(listed: &[Listed], asked: &Asked, now: Timestamp) -> Markup {
    let searched = !asked.text.is_empty() || !asked.state.is_empty() || asked.archived || asked.later;
    html! {
        div data-live=[(!searched).then_some("/live")] {
            header.section {
                h1 { @if asked.archived { "Archived sessions" } @else { "Sessions" } }
                p.quiet #live-state role="status" hidden { "Not connected. Trying again." }
                (search(asked))
            }
            @if listed.is_empty() && !searched { (welcome()) }
            @else if listed.is_empty() && asked.next.is_some() { p.empty { "None of those that were looked through fits." } }
            @else if listed.is_empty() { p.empty { "No session fits. " a href="/" { "All sessions" } } }
            @if searched {
                ul.sessions data-rows="always" { @for one in listed { (item(one, now)) } }
            } @else {
                @for (group, title) in GROUPS { (section(group, title, listed, now)) }
            }
            @if let Some(next) = &asked.next {
                p.row { a.button href=(more(asked, next)) { "Older sessions" } }
            }
            @if !asked.archived { p.row.quiet { a href="/?archived=true" { "Archived sessions" } } }
        }
    }
}

fn more(asked: &Asked, next: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::from("/?"));
    for (name, value) in [("text", &asked.text), ("state", &asked.state)] {
        if !value.is_empty() {
            query.append_pair(name, value);
        }
    }
    if asked.archived {
        query.append_pair("archived", "true");
    }
    query.append_pair("before", next);
    query.finish()
}

fn search(asked: &Asked) -> Markup {
    const STATES: [(&str, &str); 6] = [
        ("", "Any state"),
        ("waiting", "Waiting"),
        ("working", "Working"),
        ("delivering", "Delivering"),
        ("queued", "Queued"),
        ("ended", "Ended"),
    ];
    html! {
        form.search role="search" method="get" action="/" {
            input #filter type="search" name="text" value=(plain(&asked.text)) placeholder="Title or repository" aria-label="Search sessions" autocomplete="off" maxlength="200";
            select name="state" aria-label="State" {
                @for (value, name) in STATES { option value=(value) selected[value == asked.state] { (name) } }
            }
            @if asked.archived { input type="hidden" name="archived" value="true"; }
            button type="submit" { "Search" }
        }
    }
}

fn welcome() -> Markup {
    html! {
        section.card.welcome {
            h2 { "Nothing here yet" }
            p { "Give it a task: it works alone in a sealed sandbox, and you review a pull request." }
            p.act { a.button.primary href="/new" { "New task" } }
        }
    }
}

fn section(group: Group, title: &str, listed: &[Listed], now: Timestamp) -> Markup {
    let members: Vec<&Listed> = listed.iter().filter(|one| one.group() == group).collect();
    html! {
        section.group.(group.name()) data-rows="some" hidden[members.is_empty()] aria-labelledby=(format!("title-{}", group.name())) {
            h2 #(format!("title-{}", group.name())) { (title) " " span.count.quiet { (members.len()) } }
            ul.sessions #(format!("group-{}", group.name())) { @for one in members { (item(one, now)) } }
        }
    }
}

/// One session. Also what is sent when it has changed.
pub(crate) fn item(listed: &Listed, now: Timestamp) -> Markup {
    let row = &listed.row;
    let (tone, word) = listed.pill();
    html! {
        li #(row.id) data-group=(listed.group().name()) {
            a.session-row href=(format!("/sessions/{}", row.id)) {
                span.title { (line(&row.title, 160)) }
                span.where { (line(&row.repository, 120)) }
                span.state { span.pill.(tone.class()) { (word) } @if let Some((number, _)) = &listed.pull_request { " " span.count.quiet { "#" (number) } } }
                span.steps.quiet { @if listed.steps > 0 { (listed.steps) " steps · " (listed.cost) } }
                span.updated.quiet { (ago(listed.updated, now)) }
            }
        }
    }
}
