//! The one comment that says how a session stands: first in a line, then what the platform knows, then what others say of it, quoted.

use std::{fmt::Write as _, time::Duration};

use cofferdam_domain::{
    Outcome, PullRequestState, Subject, WaitingFor,
    amount::{counted, duration},
};
use cofferdam_forge::remote::Site;
use cofferdam_gate::sanitise_prose;

use super::{
    status::found,
    story::{Seen, Story},
};

/// Bytes of one quotation.
const LONGEST: usize = 3_000;
/// Questions and requests that are shown.
const MOST_ASKED: usize = 5;

/// The comment.
pub(super) fn comment(story: &Story, site: &Site, path: &str, page: Option<&str>) -> String {
    let comment = Comment { story, site, path, page };
    let mut text = format!("{}\n\n{}", comment.opening(), comment.facts());
    for (who, words) in comment.quotations() {
        _ = write!(text, "\n{who}\n\n{}", quoted(&words, LONGEST));
    }
    text
}

/// Somebody's words as an inert quotation of bounded length.
pub(super) fn quoted(words: &str, most: usize) -> String {
    let words = words.trim();
    if words.len() <= most {
        return sanitise_prose(words);
    }
    sanitise_prose(&format!("{}…", &words[..words.floor_char_boundary(most)]))
}

struct Comment<'a> {
    story: &'a Story,
    site: &'a Site,
    path: &'a str,
    page: Option<&'a str>,
}

impl Comment<'_> {
    /// How it stands, and what is to be done about it.
    fn opening(&self) -> String {
        let agent = &self.story.agent;
        let page = self.linked("its page");
        match agent.pull_request_closed() {
            Some(PullRequestState::Merged { .. }) => {
                return format!("**Merged.** {} is merged.", capitalised(&self.pull_request()));
            }
            Some(PullRequestState::Closed) => {
                return format!(
                    "**Closed.** {} was closed without merging.",
                    capitalised(&self.pull_request())
                );
            }
            Some(PullRequestState::Open) | None => {}
        }
        let there = if agent.pull_request().is_some() {
            format!(" What there is of it is in {}.", self.pull_request())
        } else {
            String::new()
        };
        let again =
            format!("{page} shows how far it came. Write there, or ask here again, to have it go on.");
        let again = capitalised(&again);
        match (self.story.outcome(), agent.waiting()) {
            (Some(Outcome::Succeeded), _) if agent.pull_request().is_some_and(|pull| pull.draft) => {
                format!("**A draft to look at:** {}.", self.pull_request())
            }
            (Some(Outcome::Succeeded), _) => format!("**Ready to review:** {}.", self.pull_request()),
            (Some(Outcome::NothingToDo), _) => {
                "**Nothing was changed:** the agent found nothing to do.".to_owned()
            }
            (Some(Outcome::Stopped { limit }), _) => format!("**Stopped:** {limit}.{there} {again}"),
            (Some(Outcome::Held { .. }), _) => {
                format!(
                    "**Held for a person:** somebody has to look at {page} before anything more of it is published."
                )
            }
            (Some(Outcome::Failed { .. }), _) => format!("**Failed.**{there} {again}"),
            (Some(Outcome::Cancelled), _) => "**Cancelled** by a person.".to_owned(),
            (None, Some(WaitingFor::Answer)) => format!("**Waits for an answer.** Answer it on {page}."),
            (None, Some(WaitingFor::Plan)) => {
                format!("**Waits for its plan to be approved.** Decide about it on {page}.")
            }
            (None, Some(WaitingFor::Budget)) => "**Waits:** a budget is used up.".to_owned(),
            (None, Some(WaitingFor::Pause)) => format!("**Paused** by a person. It goes on from {page}."),
            (None, None) if self.accesses().next().is_some() => {
                format!("**At work,** and asks to be let out of its sandbox. Decide about it on {page}.")
            }
            (None, None) => format!("**At work.** Follow it on {page}."),
        }
    }

    /// What the platform knows.
    fn facts(&self) -> String {
        let agent = &self.story.agent;
        let mut facts = format!("- Session {}\n", self.linked(&format!("`{}`", self.story.session())));
        if let Some((branch, commit)) = agent.pushed() {
            _ = writeln!(facts, "- Branch `{branch}` at {commit}");
        }
        if let Some(pull) = agent.pull_request() {
            let draft = if pull.draft { ", a draft" } else { "" };
            _ = writeln!(facts, "- {}{draft}", capitalised(&self.pull_request()));
        }
        if let Some(seen) = self.seen() {
            _ = writeln!(facts, "- {}\n- {}", seen.evidence().headline.sentence(), found(&seen.findings));
        }
        if let Some((left, asked)) = self.story.unanswered().filter(|_| self.story.outcome().is_some()) {
            _ = writeln!(facts, "- {left} of {} left without an answer", counted(asked as u64, "remark"));
        }
        let spent = agent.spent();
        if spent.steps > 0 {
            _ = writeln!(
                facts,
                "- Spent: {}, {} tokens, {}, {}",
                counted(spent.steps.into(), "step"),
                spent.usage.total(),
                spent.cost,
                duration(Duration::from_millis(spent.wall_ms))
            );
        }
        facts
    }

    /// What was seen of what the comment speaks of: the change that is held, else that which is published.
    fn seen(&self) -> Option<&Seen> {
        if let Some(Outcome::Held { .. }) = self.story.outcome() {
            return Some(&self.story.seen);
        }
        self.story.published.as_ref().map(|published| &published.seen)
    }

    fn accesses(&self) -> impl Iterator<Item = &str> {
        let open = self.story.agent.accesses().filter(|request| request.decided.is_none());
        open.map(|request| request.ask.reason.as_str())
    }

    /// What others say, and whose words they are.
    fn quotations(&self) -> Vec<(&'static str, String)> {
        let agent = &self.story.agent;
        let said = |words: &str| words.to_owned();
        match self.story.outcome() {
            Some(Outcome::Failed { reason } | Outcome::Held { reason }) => {
                return vec![("Why:", said(reason))];
            }
            Some(Outcome::NothingToDo) => {
                let summary = agent.finish().map(|finish| finish.summary.clone());
                return summary.map(|summary| ("The agent says:", summary)).into_iter().collect();
            }
            Some(Outcome::Succeeded | Outcome::Stopped { .. } | Outcome::Cancelled) => return Vec::new(),
            None => {}
        }
        let mut words: Vec<(&str, String)> = Vec::new();
        if agent.waiting() == Some(WaitingFor::Budget) {
            words.extend(self.story.budget.iter().map(|budget| ("Which budget:", budget.clone())));
        }
        words.extend(agent.questions().take(MOST_ASKED).map(|question| ("The agent asks:", said(question))));
        words.extend(agent.proposal().map(|plan| ("The agent's plan:", said(plan))));
        words.extend(
            self.accesses().take(MOST_ASKED).map(|why| ("Why the agent asks to be let out:", said(why))),
        );
        words
    }

    fn pull_request(&self) -> String {
        let Some(pull) = self.story.agent.pull_request() else { return "the pull request".to_owned() };
        let address = self.site.page(self.path, Subject::Pull(pull.number));
        format!("pull request [#{}](<{address}>)", pull.number)
    }

    fn linked(&self, words: &str) -> String {
        self.page.map_or_else(|| words.to_owned(), |page| format!("[{words}](<{page}>)"))
    }
}

/// The words with a capital at the beginning of the first, also where that is a link.
fn capitalised(words: &str) -> String {
    let mut capital = true;
    let raise = |letter: char| {
        if capital && letter.is_alphabetic() {
            capital = false;
            return letter.to_ascii_uppercase();
        }
        letter
    };
    words.chars().map(raise).collect()
}
