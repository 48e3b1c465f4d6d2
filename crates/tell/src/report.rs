//! How a session stands, in words for those who asked for it: a line that says it, what the platform knows, and what others say. What is
//! marked up how is the place's business where it is said.

use std::time::Duration;

use cofferdam_domain::{
    Finding, Outcome, PullRequestState, Severity, WaitingFor,
    amount::{counted, duration},
};

use crate::story::{Seen, Story};

/// Questions and requests that are shown.
const MOST_ASKED: usize = 5;

/// How a place has its text marked up.
pub(crate) trait Markup: Sync {
    /// Words that are only that.
    fn plain(&self, words: &str) -> String;
    /// Words that stand out.
    fn strong(&self, words: &str) -> String;
    /// Words that lead to an address.
    fn link(&self, words: &str, address: &str) -> String;
    /// A name as it is written in code.
    fn code(&self, name: &str) -> String;
}

/// What is said of a session.
pub(crate) struct Report<'a> {
    /// The session.
    pub(crate) story: &'a Story,
    /// How the text is marked up.
    pub(crate) markup: &'a dyn Markup,
    /// The session's page.
    pub(crate) page: Option<&'a str>,
    /// The page of its pull request.
    pub(crate) pull_page: Option<String>,
}

impl Report<'_> {
    /// How it stands, and what is to be done about it.
    pub(crate) fn opening(&self) -> String {
        let agent = &self.story.agent;
        match agent.pull_request_closed() {
            Some(PullRequestState::Merged { .. }) => {
                return format!(
                    "{} {} is merged.",
                    self.strong("Merged."),
                    self.pull_request("Pull request")
                );
            }
            Some(PullRequestState::Closed) => {
                let pull = self.pull_request("Pull request");
                return format!("{} {pull} was closed without merging.", self.strong("Closed."));
            }
            Some(PullRequestState::Open) | None => {}
        }
        match self.story.outcome() {
            Some(outcome) => self.ended(outcome),
            None => self.goes_on(),
        }
    }

    fn ended(&self, outcome: &Outcome) -> String {
        let pull_request = self.story.agent.pull_request();
        let there = if pull_request.is_some() {
            format!(" What there is of it is in {}.", self.pull_request("pull request"))
        } else {
            String::new()
        };
        let again = format!(
            "{} shows how far it came. Write there, or ask here again, to have it go on.",
            self.linked("Its page")
        );
        match outcome {
            Outcome::Succeeded if pull_request.is_some_and(|pull| pull.draft) => {
                format!("{} {}.", self.strong("A draft to look at:"), self.pull_request("pull request"))
            }
            Outcome::Succeeded => {
                format!("{} {}.", self.strong("Ready to review:"), self.pull_request("pull request"))
            }
            Outcome::Reviewed => {
                format!(
                    "{} what there is to say stands in one review of the pull request. {} shows how it came to that.",
                    self.strong("Reviewed:"),
                    self.linked("Its page")
                )
            }
            Outcome::Answered => format!("{}.", self.strong("Answered")),
            Outcome::NothingToDo => {
                format!("{} the agent found nothing to do.", self.strong("Nothing was changed:"))
            }
            Outcome::Stopped { limit } => {
                format!("{} {}.{there} {again}", self.strong("Stopped:"), self.markup.plain(limit))
            }
            Outcome::Held { .. } => format!(
                "{} somebody has to look at {} before anything more of it is published.",
                self.strong("Held for a person:"),
                self.linked("its page")
            ),
            Outcome::Failed { .. } => format!("{}{there} {again}", self.strong("Failed.")),
            Outcome::PassedOver { .. } => {
                format!("{} another attempt at the same task.", self.strong("Chosen was"))
            }
            Outcome::Cancelled => format!("{} by a person.", self.strong("Cancelled")),
        }
    }

    fn goes_on(&self) -> String {
        let page = self.linked("its page");
        match self.story.agent.waiting() {
            Some(WaitingFor::Answer) => {
                format!("{} Answer it on {page}.", self.strong("Waits for an answer."))
            }
            Some(WaitingFor::Plan) => {
                format!("{} Decide about it on {page}.", self.strong("Waits for its plan to be approved."))
            }
            Some(WaitingFor::Budget) => format!("{} a budget is used up.", self.strong("Waits:")),
            Some(WaitingFor::Choice) => {
                format!("{} Compare the attempts on {page}.", self.strong("Waits to be chosen."))
            }
            Some(WaitingFor::Pause) => {
                format!("{} by a person. It goes on from {page}.", self.strong("Paused"))
            }
            None if self.accesses().next().is_some() => format!(
                "{} and asks to be let out of its sandbox. Decide about it on {page}.",
                self.strong("At work,")
            ),
            None => format!("{} Follow it on {page}.", self.strong("At work.")),
        }
    }

    /// What the platform knows, a line each.
    pub(crate) fn facts(&self) -> Vec<String> {
        let agent = &self.story.agent;
        let session = self.markup.code(&self.story.session().to_string());
        let mut facts = vec![format!("Session {}", self.linked(&session))];
        if let Some((branch, commit)) = agent.pushed() {
            facts.push(format!("Branch {} at {commit}", self.markup.code(branch)));
        }
        if let Some(pull) = agent.pull_request() {
            let draft = if pull.draft { ", a draft" } else { "" };
            facts.push(format!("{}{draft}", self.pull_request("Pull request")));
        }
        if let Some(seen) = self.seen() {
            facts.push(seen.evidence().headline.sentence().to_owned());
            facts.push(found(&seen.findings));
        }
        if let Some((left, asked)) = self.story.unanswered().filter(|_| self.story.outcome().is_some()) {
            facts.push(format!("{left} of {} left without an answer", counted(asked as u64, "remark")));
        }
        let spent = agent.spent();
        if spent.steps > 0 {
            facts.push(format!(
                "Spent: {}, {} tokens, {}, {}",
                counted(spent.steps.into(), "step"),
                spent.usage.total(),
                spent.cost,
                duration(Duration::from_millis(spent.wall_ms))
            ));
        }
        facts
    }

    /// What was seen of what is spoken of: the change that is held, else that which is published.
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
    pub(crate) fn quotations(&self) -> Vec<(&'static str, String)> {
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
            Some(
                Outcome::Succeeded
                | Outcome::Reviewed
                | Outcome::Answered
                | Outcome::Stopped { .. }
                | Outcome::PassedOver { .. }
                | Outcome::Cancelled,
            ) => {
                return Vec::new();
            }
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

    /// The pull request, by its number.
    fn pull_request(&self, words: &str) -> String {
        let Some(pull) = self.story.agent.pull_request() else { return words.to_owned() };
        let number = format!("#{}", pull.number);
        match &self.pull_page {
            Some(address) => format!("{words} {}", self.markup.link(&number, address)),
            None => format!("{words} {number}"),
        }
    }

    fn linked(&self, words: &str) -> String {
        self.page.map_or_else(|| words.to_owned(), |page| self.markup.link(words, page))
    }

    fn strong(&self, words: &str) -> String {
        self.markup.strong(words)
    }
}

/// How many findings there are.
pub(crate) fn found(findings: &[Finding]) -> String {
    let blocking = findings.iter().filter(|finding| finding.severity == Severity::Blocking).count();
    match (findings.len(), blocking) {
        (0, _) => "No findings".to_owned(),
        (all, 0) => format!("{}, none blocking", counted(all as u64, "finding")),
        (all, blocking) => format!("{}, {blocking} blocking", counted(all as u64, "finding")),
    }
}
