//! What has come together in a session: words that anybody may have written, and what not everybody may see.
//!
//! Where both are there, whoever wrote the words may speak through the agent, and whatever acts on the world outside can carry out what the
//! session holds. [`Holdings`] is folded from labels and from what the door let through, never from anything that a model says, so whoever has the
//! log comes to the same: the agent, which asks a person then, and the pages, which say since when and why.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    CallId, Event, EventBody, Label, Memory, MemorySource, Part, SandboxId, Seq, Task, Timestamp,
    effective::effective,
    egress::{Addresses, EgressRule, Passed},
    event::{Fixed, Giver, Instructions},
    label::{Audience, Integrity},
    policy::Mixed,
};

/// What anybody may have written, and not everybody may see.
const PRIVATE: Label = Label { integrity: Integrity::Untrusted, audience: Audience::Requester };
/// Characters of a name that somebody else has chosen.
const LONGEST_NAME: usize = 80;
/// The first version of the loop's rules by which a person has to decide.
const SINCE_RULES: u16 = 2;
/// The first version by which what tests were answered counts for what a fresh look says of them.
const SINCE_TESTS_COUNT: u16 = 3;
/// The first version by which the egress door asks a person too, and not only calls of other programs' tools.
const SINCE_DOOR: u16 = 4;

/// When something came into a session for the first time, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    /// When.
    pub at: Timestamp,
    /// With what, in the platform's words. Names in it are quoted, and what cannot be seen in them is written out.
    pub what: Arc<str>,
}

/// Both have come together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mixture {
    /// The first of what anybody may have written.
    pub untrusted: Since,
    /// The first of what not everybody may see.
    pub private: Since,
    /// Whether policy says that nobody need decide for that reason.
    pub let_be: bool,
    /// Whether the egress door holds back what can change the world outside, until a person permits it.
    pub door: bool,
}

impl Mixture {
    /// What follows, for people.
    #[must_use]
    pub const fn consequence(&self) -> &'static str {
        match (self.let_be, self.door) {
            (true, _) => "policy lets tools act on the world outside all the same",
            (false, false) => "a person decides about each call that acts on the world outside",
            (false, true) => {
                "a person decides about each call that acts on the world outside, and about access by which a program could"
            }
        }
    }

    /// Why that matters, for whoever has to decide about a call.
    #[must_use]
    pub fn in_words(&self) -> String {
        format!(
            "the session has read what anybody may have written (first: {}) and holds what not everybody may see (first: {}), so that whoever \
             wrote the one may be after the other",
            self.untrusted.what, self.private.what
        )
    }
}

/// What has come together in a session with this log, and with which of its events it had.
#[must_use]
pub fn mixed_since(events: &[Event]) -> Option<(Mixture, Seq)> {
    let mut holdings = Holdings::default();
    let mut since = None;
    for event in effective(events) {
        holdings.apply(event.at, &event.body);
        if since.is_none() && holdings.mixture().is_some() {
            since = Some(event.seq);
        }
    }
    Some((holdings.mixture()?, since?))
}

/// What has come into a session, folded from those of its events that count, in order.
#[derive(Debug, Clone, Default)]
pub struct Holdings {
    began: Option<Timestamp>,
    untrusted: Option<Since>,
    /// What is not for all who may read the repository, or is not of the repository at all.
    private: Option<Since>,
    /// How many repositories it has, and which of them everybody may read.
    repositories: usize,
    public: BTreeSet<Part>,
    /// Whether another session has handed it its work.
    delegated: bool,
    /// What is being called.
    calls: BTreeMap<CallId, String>,
    /// The agent's own sandbox.
    sandbox: Option<SandboxId>,
    /// The names of the rules that lead into a private network.
    inward: Arc<BTreeSet<String>>,
    /// Whether a sandbox that is not the agent's own, such as that of the tests, was answered with something that not everybody gets.
    tests_answered: bool,
    /// Whether that counts.
    tests_count: bool,
    /// Whether the door minds what has come together.
    door_minds: bool,
    minds: Minds,
}

/// What the session's policy makes of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Minds {
    /// It began before there was such a rule.
    #[default]
    No,
    Yes(Mixed),
}

impl Holdings {
    /// Takes note of what an event brings in.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most events change nothing here")]
    pub fn apply(&mut self, at: Timestamp, body: &EventBody) {
        self.began.get_or_insert(at);
        let (part, body) = body.in_part();
        if let Some((label, what)) = self.brought(body) {
            self.take(at, label, &what);
        }
        match body {
            EventBody::TaskAccepted { task } => self.accept(task),
            EventBody::PolicyFixed(fixed) => self.fix(fixed),
            EventBody::RepositoryReady(repository) if repository.public => {
                self.public.insert(part);
            }
            EventBody::SandboxReady { sandbox, .. } => self.sandbox = Some(*sandbox),
            EventBody::ToolStarted { call, tool } => {
                self.calls.insert(*call, tool.chars().take(LONGEST_NAME).collect());
            }
            EventBody::ToolFinished { call, .. } | EventBody::ToolLost { call } => {
                self.calls.remove(call);
            }
            EventBody::AccessAsked(ask) if leads_inward(&ask.rule) => {
                Arc::make_mut(&mut self.inward).insert(ask.rule.name.clone());
            }
            EventBody::EgressAllowed(passed) => {
                self.tests_answered |= !self.is_own(passed.sandbox) && self.not_for_all(passed).is_some();
            }
            _ => {}
        }
    }

    /// What has come together, where a rule holds for that. `None` while only one of both is there, and in sessions that began before there was
    /// such a rule.
    #[must_use]
    pub fn mixture(&self) -> Option<Mixture> {
        let Minds::Yes(mixed) = self.minds else { return None };
        let (untrusted, private) = (self.untrusted.clone()?, self.private()?);
        Some(Mixture { untrusted, private, let_be: mixed == Mixed::Allow, door: self.door_minds })
    }

    /// The first of what anybody may have written, if anything of that kind was read.
    #[must_use]
    pub const fn untrusted(&self) -> Option<&Since> {
        self.untrusted.as_ref()
    }

    /// The first of what not everybody may see, if anything of that kind is held.
    #[must_use]
    pub fn private(&self) -> Option<Since> {
        let from_the_start = |what: &str| Some(Since { at: self.began?, what: what.into() });
        if self.delegated {
            from_the_start("what the session that it works for has handed it")
        } else if self.public.len() < self.repositories {
            from_the_start("its repository, of which nothing says that everybody may read it")
        } else {
            self.private.clone()
        }
    }

    /// Whether something is held that not everybody may see who may read the task's own repository: what is written down for others who may read that
    /// could be of it.
    #[must_use]
    pub fn exceeds_repository(&self) -> bool {
        let beside = (1..self.repositories).any(|place| !self.public.contains(&Part::at(place - 1)));
        self.delegated || beside || self.private.is_some()
    }

    /// The label of whatever is made from all that the session has read itself.
    #[must_use]
    pub fn label(&self) -> Label {
        let untrusted = self.untrusted.as_ref().map(|_| Integrity::Untrusted);
        let private = self.private.as_ref().map(|_| Audience::Requester);
        Label {
            integrity: untrusted.unwrap_or(Integrity::Member),
            audience: private.unwrap_or(Audience::Repository),
        }
    }

    fn take(&mut self, at: Timestamp, label: Label, what: &str) {
        let since = || Since { at, what: what.into() };
        if label.integrity == Integrity::Untrusted {
            self.untrusted.get_or_insert_with(since);
        }
        if label.audience == Audience::Requester {
            self.private.get_or_insert_with(since);
        }
    }

    fn accept(&mut self, task: &Task) {
        self.repositories = task.also.len() + 1;
        self.delegated = task.parent.is_some();
    }

    fn fix(&mut self, fixed: &Fixed) {
        self.minds = if fixed.rules < SINCE_RULES { Minds::No } else { Minds::Yes(fixed.policy.mixed) };
        self.tests_count = fixed.rules >= SINCE_TESTS_COUNT;
        self.door_minds = fixed.rules >= SINCE_DOOR;
        let inward = fixed.policy.egress.rules.iter().filter(|rule| leads_inward(rule));
        Arc::make_mut(&mut self.inward).extend(inward.map(|rule| rule.name.clone()));
    }

    /// The label of what an event brings in, and what that is.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most events bring nothing in")]
    fn brought(&self, body: &EventBody) -> Option<(Label, String)> {
        Some(match body {
            EventBody::TaskAccepted { task } if task.parent.is_some() => {
                (Label::SANDBOX, "its task, which a model wrote".to_owned())
            }
            EventBody::TaskAccepted { task } if task.review.is_some() => {
                (Label::SANDBOX, "the change that it reviews".to_owned())
            }
            EventBody::MessageReceived { from, label, .. } => {
                (*label, format!("a message from {}", quoted(from)))
            }
            EventBody::InstructionsFound(found) => (of_advice(found), "texts that advise agents".to_owned()),
            EventBody::MemoriesRecalled(recalled) => {
                let label = recalled.memories.iter().map(of_memory).reduce(Label::join)?;
                (label, "what was noted in earlier sessions".to_owned())
            }
            EventBody::SelfReviewed(_) if self.tests_count && self.tests_answered => {
                let what = "what a fresh session said of the change and of tests that were answered with what not everybody gets";
                (PRIVATE, what.to_owned())
            }
            EventBody::SelfReviewed(_) => {
                (Label::SANDBOX, "what a fresh session said of the change".to_owned())
            }
            EventBody::ToolFinished { call, outcome, .. } => {
                let name = self.calls.get(call).map_or("", String::as_str);
                (outcome.label, format!("the result of {call}, {}", quoted(name)))
            }
            EventBody::EgressAllowed(passed) => self.let_in(passed)?,
            _ => return None,
        })
    }

    /// What was let through for the agent's own sandbox may have been answered with something that not everybody gets: by a credential, or in a
    /// network that not everybody reaches. What other programs (MCP) are answered comes in with their results, and has their label; what tests are
    /// answered comes in with what a fresh look says of them.
    fn let_in(&self, passed: &Passed) -> Option<(Label, String)> {
        if !self.is_own(passed.sandbox) {
            return None;
        }
        Some((PRIVATE, self.not_for_all(passed)?))
    }

    fn is_own(&self, sandbox: SandboxId) -> bool {
        self.sandbox.is_none_or(|own| own == sandbox)
    }

    /// What was answered, where that is something that not everybody gets.
    fn not_for_all(&self, passed: &Passed) -> Option<String> {
        if let Some(credential) = &passed.credential {
            Some(format!("an answer got with the credential {}", quoted(credential)))
        } else if self.inward.contains(&passed.rule) {
            Some(format!("an answer from a private network, by the rule {}", quoted(&passed.rule)))
        } else {
            None
        }
    }
}

fn leads_inward(rule: &EgressRule) -> bool {
    rule.addresses != Addresses::Public
}

fn quoted(name: &str) -> String {
    format!("{:?}", name.chars().take(LONGEST_NAME).collect::<String>())
}

/// What stands in the repository was written by whoever could get it there. What the organisation gives was approved by its admins, and is for its
/// sessions.
fn of_advice(found: &Instructions) -> Label {
    let of = |giver: Giver| match giver {
        Giver::Repository => Label::SANDBOX,
        Giver::Organisation => Label { integrity: Integrity::Trusted, audience: Audience::Requester },
    };
    found.files.iter().map(|file| of(file.giver)).reduce(Label::join).unwrap_or(Label::PLATFORM)
}

/// What a model put forward stays its words, whoever approved them. What is about no repository is for the organisation's own sessions, and so is what
/// may be of something that a session held besides its repository.
fn of_memory(memory: &Memory) -> Label {
    let of_repository = memory.repository.is_some() && !memory.private;
    Label {
        integrity: match memory.source {
            MemorySource::Person { .. } => Integrity::Member,
            MemorySource::Session { .. } => Integrity::Untrusted,
        },
        audience: if of_repository { Audience::Repository } else { Audience::Requester },
    }
}

#[cfg(test)]
mod tests;
