//! What the pages of a session's results have around them: they say live where the session stands, and when there is something else to show.

use cofferdam_domain::{PullRequestState, Side};
use maud::{Markup, html};
use serde::Deserialize;

use super::{Facts, Row, Tab, head};

/// A page that shows what came of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ResultPage {
    Diff,
    Evidence,
    PullRequest,
}

impl ResultPage {
    const fn name(self) -> &'static str {
        match self {
            Self::Diff => "diff",
            Self::Evidence => "evidence",
            Self::PullRequest => "pull-request",
        }
    }

    const fn tab(self) -> Tab {
        match self {
            Self::Diff => Tab::Diff,
            Self::Evidence => Tab::Evidence,
            Self::PullRequest => Tab::PullRequest,
        }
    }

    /// What it shows now, as a name that changes with it; empty while there is nothing to show.
    pub(crate) fn showing(self, facts: &Facts) -> String {
        match self {
            Self::Diff => facts.received.as_ref().map(|received| received.head.clone()).unwrap_or_default(),
            Self::Evidence => {
                let runs = [Side::Base, Side::Head].map(|side| facts.run(side));
                let runs: Vec<String> = runs.iter().flatten().map(|run| run.output.digest.short()).collect();
                match &facts.standing.evidence_missing {
                    Some(_) if runs.is_empty() => "missing".to_owned(),
                    Some(_) | None => runs.join("-"),
                }
            }
            Self::PullRequest => facts.standing.pull_request.as_ref().map_or_else(String::new, |opened| {
                let state = match opened.state {
                    PullRequestState::Open => "open",
                    PullRequestState::Merged { .. } => "merged",
                    PullRequestState::Closed => "closed",
                };
                format!("{}-{state}", opened.head_commit)
            }),
        }
    }

    /// The page around its content.
    pub(crate) fn around(self, row: &Row, facts: &Facts, content: &Markup) -> Markup {
        let (id, name, after) = (row.id, self.name(), facts.end().0);
        let live = format!("/sessions/{id}/live?after={after}&page={name}&showing={}", self.showing(facts));
        html! {
            div.session data-session=(id) data-live=(live) {
                (self.news(row, facts, false))
                (content)
            }
        }
    }

    /// The parts of it that change while somebody looks at it. What they are reading stays.
    pub(crate) fn news(self, row: &Row, facts: &Facts, is_stale: bool) -> Markup {
        html! {
            (head(row, facts, self.tab()))
            p.banner #newer role="status" hidden[!is_stale] {
                @if is_stale { "This is not the latest any more. " a href=(format!("/sessions/{}/{}", row.id, self.name())) { "Show the latest" } }
            }
        }
    }
}
