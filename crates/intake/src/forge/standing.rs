//! How a session stands for whoever has something to tell it: folded from its log. No I/O.

use cofferdam_domain::{
    About, Event, EventBody, Origin, Part, PullRequestState, Seq, SessionId, SessionState, Task, Timestamp,
    effective::effective, label::Integrity,
};
use cofferdam_forge::remote::Happened;

/// How a session stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Standing {
    pub(crate) session: SessionId,
    pub(crate) state: SessionState,
    pub(crate) task: Task,
    /// From which of its repositories it is seen: pull request and head are those there.
    pub(crate) part: Part,
    /// The number of its pull request.
    pub(crate) pull: Option<u64>,
    /// The commit that was pushed last.
    pub(crate) head: Option<String>,
    /// What became of the pull request, once somebody has merged or closed it.
    pub(crate) closed: Option<PullRequestState>,
    /// Somebody has asked a worker to merge or close it, which is not done yet.
    pub(crate) closing: bool,
    pub(crate) cancelled: bool,
    /// Whether nothing was worked on since the last push.
    pub(crate) published: bool,
    /// Failed checks that it was told of in a row, with nobody saying anything in between: their commits, each once.
    pub(crate) checked: Vec<String>,
    heard: Vec<Heard>,
}

/// A message that it has.
#[derive(Debug, Clone, PartialEq)]
struct Heard {
    at: Timestamp,
    from: String,
    text: String,
    about: Option<About>,
}

impl Standing {
    /// The standing after a whole log, seen from the task's own repository; `None` where that does not begin with a task.
    pub(crate) fn of(session: SessionId, state: SessionState, events: &[Event]) -> Option<Self> {
        Self::seen_from(Part::FIRST, session, state, events)
    }

    /// The same, seen from another one of its repositories.
    pub(crate) fn seen_from(
        part: Part,
        session: SessionId,
        state: SessionState,
        events: &[Event],
    ) -> Option<Self> {
        let mut standing: Option<Self> = None;
        let (mut pushed, mut worked) = (Seq::START, Seq::START);
        for event in effective(events) {
            let (of, body) = event.body.in_part();
            match (body, &mut standing) {
                (EventBody::TaskAccepted { task }, None) => {
                    standing = Some(Self::new(session, state, task.clone(), part));
                }
                (EventBody::Pushed { commit, .. }, Some(standing)) if of == part => {
                    pushed = event.seq;
                    standing.head = Some(commit.clone());
                }
                (EventBody::ModelAsked { .. }, _) => worked = event.seq,
                (_, Some(standing)) => standing.apply(event),
                (_, None) => {}
            }
        }
        let mut standing = standing?;
        standing.published = pushed > worked;
        Some(standing)
    }

    fn new(session: SessionId, state: SessionState, task: Task, part: Part) -> Self {
        Self {
            session,
            state,
            task,
            part,
            pull: None,
            head: None,
            closed: None,
            closing: false,
            cancelled: false,
            published: false,
            checked: Vec::new(),
            heard: Vec::new(),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "no other event says how a session stands towards a forge"
    )]
    fn apply(&mut self, event: &Event) {
        let (of, body) = event.body.in_part();
        match body {
            EventBody::PullRequestOpened(pull) if of == self.part => {
                self.pull = Some(pull.number);
                self.head = Some(pull.head_commit.clone());
            }
            EventBody::PullRequestClosed { state } if of == self.part => {
                self.closed = (*state != PullRequestState::Open).then(|| state.clone());
                self.closing = false;
            }
            EventBody::MergeAsked { .. } | EventBody::CloseAsked { .. } => self.closing = true,
            EventBody::MergeFailed { .. } if of == self.part => self.closing = false,
            EventBody::CancelAsked { .. } => self.cancelled = true,
            EventBody::MessageReceived { from, text, label, about } => {
                match about.as_deref() {
                    Some(About::Check { commit, .. }) if !self.checked.contains(commit) => {
                        self.checked.push(commit.clone());
                    }
                    Some(About::Check { .. }) => {}
                    // Somebody who may has looked at it: the count begins anew.
                    Some(About::Comment { .. } | About::Review { .. } | About::Said { .. }) | None
                        if label.integrity <= Integrity::Member =>
                    {
                        self.checked.clear();
                    }
                    Some(About::Comment { .. } | About::Review { .. } | About::Said { .. }) | None => {}
                }
                let (from, text, about) = (from.clone(), text.clone(), about.as_deref().cloned());
                self.heard.push(Heard { at: event.at, from, text, about });
            }
            _ => {}
        }
    }

    /// Whether it has ended.
    pub(crate) fn ended(&self) -> bool {
        self.state == SessionState::Ended
    }

    /// Whether nothing can come of it any more, whatever it is told.
    pub(crate) const fn is_over(&self) -> bool {
        self.closed.is_some() || self.cancelled
    }

    /// The account that asked for it on a forge.
    pub(crate) fn asker(&self) -> Option<u64> {
        match &self.task.origin {
            Some(Origin::Forge(asked)) => Some(asked.account),
            Some(Origin::Chat { .. } | Origin::Hook { .. } | Origin::Schedule { .. }) | None => None,
        }
    }

    /// Whether it began because the forge was asked what has happened, and the issue had been changed at this time or later then.
    pub(crate) fn was_found_as(&self, changed: Option<Timestamp>) -> bool {
        let asked = self.task.origin.as_ref().and_then(Origin::on_forge);
        let asked = asked.filter(|asked| Happened::is_of_issue(&asked.delivery));
        asked.is_some_and(|asked| changed.is_some() && changed <= asked.changed)
    }

    /// Which of its repositories a repository of a forge is, if it is one.
    pub(crate) fn part_of(&self, forge: &str, repository: u64, clone_url: &str) -> Option<Part> {
        if self.is_own(forge, repository, clone_url) {
            return Some(Part::FIRST);
        }
        let at =
            |part: &Part| self.task.at(*part).is_some_and(|(address, _)| bare(address) == bare(clone_url));
        self.task.parts().skip(1).find(at).filter(|_| !clone_url.is_empty())
    }

    fn is_own(&self, forge: &str, repository: u64, clone_url: &str) -> bool {
        match &self.task.origin {
            Some(Origin::Forge(asked)) => {
                asked.thread.forge == forge && asked.thread.repository == repository
            }
            Some(Origin::Chat { .. } | Origin::Hook { .. } | Origin::Schedule { .. }) | None => {
                !clone_url.is_empty() && bare(&self.task.repository) == bare(clone_url)
            }
        }
    }

    /// Whether it has heard this comment, below its thread or on a line.
    pub(crate) fn has_heard(&self, number: u64) -> bool {
        self.heard.iter().any(|heard| match &heard.about {
            Some(About::Comment { comment, .. }) => *comment == number,
            Some(About::Review { remarks, .. }) => remarks.iter().any(|remark| remark.comment == number),
            Some(About::Check { .. } | About::Said { .. }) | None => false,
        })
    }

    /// Whether it has heard this message of a chat.
    pub(crate) fn has_heard_said(&self, wanted: &About) -> bool {
        self.heard.iter().any(|heard| heard.about.as_ref() == Some(wanted))
    }

    /// Whether it has heard this review: one without a number by what it says, since it arrived.
    pub(crate) fn has_heard_review(&self, number: u64, from: &str, text: &str, since: Timestamp) -> bool {
        self.heard.iter().any(|heard| match &heard.about {
            Some(About::Review { review, .. }) if number != 0 => *review == number,
            Some(About::Review { .. }) => heard.said(from, text, since),
            Some(About::Comment { .. } | About::Check { .. } | About::Said { .. }) | None => false,
        })
    }

    /// Whether it was told of this check of a commit.
    pub(crate) fn has_heard_check(&self, check: &str, of: &str) -> bool {
        self.heard.iter().any(|heard| {
            matches!(&heard.about, Some(About::Check { name, commit, .. }) if name == check && commit == of)
        })
    }

    /// Whether somebody said this since then.
    pub(crate) fn has_heard_words(&self, from: &str, text: &str, since: Timestamp) -> bool {
        self.heard.iter().any(|heard| heard.about.is_none() && heard.said(from, text, since))
    }
}

impl Heard {
    fn said(&self, from: &str, text: &str, since: Timestamp) -> bool {
        self.from == from && self.text == text && self.at >= since
    }
}

/// An address without what may stand at its end or not.
fn bare(url: &str) -> &str {
    let url = url.trim_end_matches('/');
    url.strip_suffix(".git").unwrap_or(url)
}
