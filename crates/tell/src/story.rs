//! What a session's log says that people are told of where they asked for it: folded whole at each letter. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_agent::Agent;
use cofferdam_domain::{
    About, Event, EventBody, EvidenceRun, Finding, Outcome, Part, Seq, SessionId, Side, Spoken, Thread,
    effective::effective, event::NudgeReason, tool::Finish,
};
use cofferdam_gate::{EvidenceSummary, judge};

use crate::forge::{Answer, Remark, Replied};

/// A session as people are told of it.
pub(crate) struct Story {
    /// How it stands.
    pub(crate) agent: Agent,
    /// What was seen of the latest change.
    pub(crate) seen: Seen,
    /// What stands on the branch.
    pub(crate) published: Option<Published>,
    /// The same of the session's other repositories.
    others: BTreeMap<Part, (Seen, Option<Published>)>,
    /// How many reviews it has ended with.
    pub(crate) reviews: usize,
    /// Why it waits for a budget.
    pub(crate) budget: Option<String>,
    /// All that was remarked, by the comment's number.
    remarks: BTreeMap<u64, Remark>,
    /// All messages that came in from forges and chats.
    abouts: BTreeMap<Seq, About>,
    /// What was answered between one end of the session and the next, by where that end is.
    ended: Vec<(Seq, BTreeMap<u64, Replied>)>,
    /// The same since the last end.
    answered: BTreeMap<u64, Replied>,
    /// Of these those of the turn under way.
    open: BTreeSet<u64>,
    /// Others have pushed before its change could be.
    behind: bool,
}

/// What was seen of a change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// What the gate found.
    pub(crate) findings: Vec<Finding>,
    base: Option<EvidenceRun>,
    head: Option<EvidenceRun>,
}

impl Seen {
    /// Whether the event was about this.
    fn take(&mut self, body: &EventBody) -> bool {
        if let EventBody::ObjectsReceived(_) = body {
            *self = Self::default();
        } else if let EventBody::Examined { findings, .. } = body {
            self.findings.clone_from(findings);
        } else if let EventBody::EvidenceRun(run) = body {
            let side = match run.side {
                Side::Base => &mut self.base,
                Side::Head => &mut self.head,
            };
            *side = Some(run.clone());
        } else {
            return false;
        }
        true
    }

    /// The tests before the change.
    pub(crate) const fn base(&self) -> Option<&EvidenceRun> {
        self.base.as_ref()
    }

    /// The tests after it.
    pub(crate) const fn head(&self) -> Option<&EvidenceRun> {
        self.head.as_ref()
    }

    /// What the tests show.
    pub(crate) fn evidence(&self) -> EvidenceSummary {
        judge(self.base.as_ref(), self.head.as_ref())
    }
}

/// A commit on the branch, and what was seen of it before it was pushed.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) commit: String,
    pub(crate) seen: Seen,
}

impl Story {
    /// What a whole log says.
    pub(crate) fn of(session: SessionId, events: &[Event]) -> Self {
        let mut story = Self {
            agent: Agent::of(session, events),
            seen: Seen::default(),
            published: None,
            others: BTreeMap::new(),
            reviews: 0,
            budget: None,
            remarks: BTreeMap::new(),
            abouts: BTreeMap::new(),
            ended: Vec::new(),
            answered: BTreeMap::new(),
            open: BTreeSet::new(),
            behind: false,
        };
        for event in effective(events) {
            story.take(event.seq, &event.body);
        }
        story
    }

    fn take(&mut self, seq: Seq, body: &EventBody) {
        if self.seen.take(body) {
            return;
        }
        if let EventBody::MessageReceived { about: Some(about), .. } = body {
            self.heard(seq, about);
        } else if let EventBody::BudgetExceeded { what } = body {
            self.budget = Some(what.clone());
        } else if let EventBody::WorkFinished { finish, .. } = body {
            self.replied(finish);
        } else if let EventBody::Beside { part, body } = body {
            let (seen, published) = self.others.entry(*part).or_default();
            seen.take(body);
            if let EventBody::Pushed { commit, .. } = &**body {
                *published = Some(Published { commit: commit.clone(), seen: seen.clone() });
            }
        } else if let EventBody::Pushed { commit, .. } = body {
            self.pushed(commit);
        } else if let EventBody::Overtaken { .. } = body {
            self.behind = true;
        } else if let EventBody::Nudged { reason: NudgeReason::FollowUp, .. } = body {
            // What was answered before others pushed is answered still.
            if !std::mem::take(&mut self.behind) {
                self.open.clear();
            }
        } else if let EventBody::SessionEnded { outcome } = body {
            self.reviews += usize::from(*outcome == Outcome::Reviewed);
            self.open.clear();
            self.ended.push((seq, std::mem::take(&mut self.answered)));
        }
    }

    fn heard(&mut self, seq: Seq, about: &About) {
        self.abouts.insert(seq, about.clone());
        for remark in about.remarks() {
            let Some(thread) = about.thread() else { continue };
            let known = Remark { thread: thread.clone(), discussion: remark.discussion.clone() };
            self.remarks.insert(remark.comment, known);
        }
    }

    /// The agent says it again where the gate has sent its change back: the last word counts.
    fn replied(&mut self, finish: &Finish) {
        for reply in &finish.replies {
            self.answered.insert(reply.to, Replied::new(reply));
            self.open.insert(reply.to);
        }
    }

    fn pushed(&mut self, commit: &str) {
        for number in &self.open {
            if let Some(reply) = self.answered.get_mut(number) {
                reply.commit = Some(commit.to_owned());
            }
        }
        self.published = Some(Published { commit: commit.to_owned(), seen: self.seen.clone() });
    }

    /// What stands on the branch of another one of its repositories, as long as that has a pull request which is open.
    pub(crate) fn published_beside(&self, part: Part) -> Option<&Published> {
        let agent = self.agent.seen_from(part)?;
        let open = agent.pull_request().is_some() && agent.pull_request_closed().is_none();
        self.others.get(&part).and_then(|(_, published)| published.as_ref()).filter(|_| open)
    }

    /// How it ended, unless it goes on.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.agent.outcome().filter(|_| !self.agent.goes_on())
    }

    /// Which session it is.
    pub(crate) const fn session(&self) -> SessionId {
        self.agent.session()
    }

    /// The issue or pull request that the session was asked for in.
    pub(crate) fn asked_in(&self) -> Option<&Thread> {
        let asked = self.agent.task()?.origin.as_ref()?.on_forge()?;
        Some(&asked.thread)
    }

    /// What it was asked for by in a chat.
    pub(crate) fn asked_by(&self) -> Option<&Spoken> {
        self.agent.task()?.origin.as_ref()?.in_chat()
    }

    /// Where on this forge it has its place: where it was asked for, else where somebody has written to it.
    pub(crate) fn place(&self, forge: &str) -> Option<&Thread> {
        let written = self.abouts.values().rev().filter_map(About::thread);
        self.asked_in().into_iter().chain(written).find(|thread| thread.forge == forge)
    }

    /// The threads in which somebody has written to it, each once.
    pub(crate) fn written_in(&self) -> Vec<&Thread> {
        let mut threads: Vec<&Thread> = Vec::new();
        for thread in self.abouts.values().filter_map(About::thread) {
            let is_it = |known: &&Thread| {
                (&known.forge, known.repository, known.subject)
                    == (&thread.forge, thread.repository, thread.subject)
            };
            if !threads.iter().any(is_it) {
                threads.push(thread);
            }
        }
        threads
    }

    /// What the message is about that this event has brought.
    pub(crate) fn about(&self, seq: Seq) -> Option<&About> {
        self.abouts.get(&seq)
    }

    /// The answers that are complete with the session's end at this event; none if that is no end.
    pub(crate) fn answers(&self, seq: Seq) -> impl Iterator<Item = Answer<'_>> {
        let ended = self.ended.iter().filter(move |(end, _)| *end == seq);
        ended.flat_map(|(_, answered)| answered.values()).filter_map(|reply| {
            let remark = self.remarks.get(&reply.to)?;
            Some(Answer { remark, reply })
        })
    }

    /// How many remarks of the last turn the agent has left without an answer, and how many there were.
    pub(crate) fn unanswered(&self) -> Option<(usize, usize)> {
        let (_, answered) = self.ended.last()?;
        let asked = self.agent.remarks();
        let left = asked.iter().filter(|number| !answered.contains_key(number)).count();
        (left > 0).then_some((left, asked.len()))
    }
}
