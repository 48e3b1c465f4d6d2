//! What becomes of what an occasion may mean, given what was looked up about it: pure.

use cofferdam_domain::{PullRequestState, SessionId, SessionState};
use cofferdam_forge::{
    hook::{Account, Check, Issue, Pull, PullState},
    remote::{LineComment, Right},
};

use super::{
    reading::{How, Reading, Rules},
    standing::Standing,
};

/// What was looked up, as it is now. What is not needed is not there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Facts {
    /// What whoever did it may do in the repository.
    pub(crate) actor: Right,
    /// What we may do there.
    pub(crate) own: Right,
    /// The issue.
    pub(crate) issue: Option<Issue>,
    /// The pull request.
    pub(crate) pull: Option<Pull>,
    /// Which session it is about, if there was ever one.
    pub(crate) bound: Option<SessionId>,
    /// How that stands; `None` also where it never came to be.
    pub(crate) session: Option<Standing>,
    /// Whether the pull request is the session's own, and not only what it was asked about.
    pub(crate) ours: bool,
    /// What whoever did it says about lines of the pull request that the session has not heard.
    pub(crate) unheard: Vec<LineComment>,
    /// Whether it has heard what the review says beside that.
    pub(crate) body_heard: bool,
    /// Whether this was dealt with before, by somebody who did not live to say so.
    pub(crate) done: bool,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            actor: Right::None,
            own: Right::None,
            issue: None,
            pull: None,
            bound: None,
            session: None,
            ours: false,
            unheard: Vec::new(),
            body_heard: false,
            done: false,
        }
    }
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing, and why, in words for people.
    Nothing(&'static str),
    /// Nothing: whoever did it may not ask.
    NoRight,
    /// Nothing can be done: we may not push there.
    Powerless,
    /// Nothing: somebody else may have changed what was asked. Whoever asked is told.
    Changed,
    /// It was done before.
    Done(SessionId),
    /// A session begins, in the place of one that is over.
    Begin {
        /// The one that is over.
        instead_of: Option<SessionId>,
    },
    /// A session begins in the place of one that is at work and is cancelled.
    BeginAnew {
        /// The one that is cancelled.
        instead_of: SessionId,
    },
    /// A session hears it.
    Tell(SessionId),
    /// A session has tried often enough to mend checks. People are told.
    EnoughFixes(SessionId),
    /// People hear what to do about a pull request that conflicts.
    Conflicts(SessionId),
    /// A session hears what became of its pull request.
    PullIs(SessionId, PullRequestState),
    /// A session is cancelled.
    Cancel(SessionId),
}

/// Decides. `actor` is who did it.
pub(crate) fn decide(reading: &Reading, actor: &Account, facts: &Facts, rules: &Rules) -> Decision {
    if let (true, Some(session)) = (facts.done, facts.bound) {
        return Decision::Done(session);
    }
    match reading {
        Reading::Nothing(why) => Decision::Nothing(why),
        Reading::Asked(issue, how) => {
            may_ask(facts, rules).unwrap_or_else(|| asked(issue, how, actor, facts))
        }
        Reading::Commented { mentions: false, .. } if !facts.ours => {
            Decision::Nothing("the pull request is not ours")
        }
        Reading::Commented { on_line, .. } => {
            may_ask(facts, rules).unwrap_or_else(|| commented(*on_line, facts))
        }
        Reading::ReviewAsked { by, .. } => {
            may_ask(facts, rules).unwrap_or_else(|| review_asked(by.insists(), facts))
        }
        Reading::Reviewed(_, review) => may_ask(facts, rules).unwrap_or_else(|| match live(facts) {
            Ok(_) if (facts.body_heard || review.body.trim().is_empty()) && facts.unheard.is_empty() => {
                Decision::Nothing("the review says nothing that was not heard")
            }
            Ok(session) => Decision::Tell(session.session),
            Err(why) => Decision::Nothing(why),
        }),
        Reading::Failed(check) => failed(check, facts, rules),
        Reading::PullChanged(_) => pull_changed(facts),
        Reading::Conflicts(_) => conflicts(facts),
        Reading::IssueOver { gone, .. } => issue_over(*gone, actor, facts, rules),
        Reading::RepositoryGone => Decision::Nothing("each session is looked at"),
    }
}

/// The least of what the actor may do and what we may do counts; to push is the least that we need.
fn may_ask(facts: &Facts, rules: &Rules) -> Option<Decision> {
    if facts.actor < rules.least {
        return Some(Decision::NoRight);
    }
    (facts.own < Right::Write.max(rules.least)).then_some(Decision::Powerless)
}

fn asked(then: &Issue, how: &How, actor: &Account, facts: &Facts) -> Decision {
    let Some(now) = &facts.issue else { return Decision::Nothing("the issue is not there any more") };
    if !now.open {
        return Decision::Nothing("the issue is closed");
    }
    // Its author may say what they mean in other words; others may not put words into the mouth of whoever asked.
    if !says_the_same(then, now) && then.author.id != actor.id {
        return Decision::Changed;
    }
    begin_or_tell(then, how, actor, facts)
}

fn says_the_same(then: &Issue, now: &Issue) -> bool {
    let lines = |text: &str| text.replace("\r\n", "\n").trim().to_owned();
    lines(&then.title) == lines(&now.title) && lines(&then.body) == lines(&now.body)
}

fn begin_or_tell(then: &Issue, how: &How, actor: &Account, facts: &Facts) -> Decision {
    let Some(session) = &facts.session else { return Decision::Begin { instead_of: facts.bound } };
    let by_word = matches!(how, How::Mention(_));
    // A label or an assignment asks for the whole thing: once more where there is nothing of it.
    if session.is_over() || !by_word && session.ended() && session.pull.is_none() {
        if !by_word && session.was_found_as(then.updated) {
            // A webhook that comes after the forge was asked tells of nothing new.
            return Decision::Nothing("it was asked for already");
        }
        return Decision::Begin { instead_of: Some(session.session) };
    }
    if by_word || session.asker() != Some(actor.id) {
        return Decision::Tell(session.session);
    }
    Decision::Nothing("a session works on it already")
}

fn commented(on_line: bool, facts: &Facts) -> Decision {
    let Some(pull) = &facts.pull else { return Decision::Nothing("the pull request is not there any more") };
    if facts.ours {
        return match live(facts) {
            Ok(_) if on_line && facts.unheard.is_empty() => Decision::Nothing("it was heard"),
            Ok(session) => Decision::Tell(session.session),
            Err(why) => Decision::Nothing(why),
        };
    }
    match pull.state {
        PullState::Closed | PullState::Merged => Decision::Nothing("the pull request is merged or closed"),
        PullState::Open => match &facts.session {
            Some(session) if !session.is_over() => Decision::Tell(session.session),
            Some(_) | None => Decision::Begin { instead_of: facts.bound },
        },
    }
}

fn review_asked(insists: bool, facts: &Facts) -> Decision {
    let Some(pull) = &facts.pull else { return Decision::Nothing("the pull request is not there any more") };
    if facts.ours {
        return match live(facts) {
            Ok(session) if insists => Decision::Tell(session.session),
            Ok(_) => Decision::Nothing("nobody reviews their own"),
            Err(why) => Decision::Nothing(why),
        };
    }
    if pull.state != PullState::Open {
        return Decision::Nothing("the pull request is merged or closed");
    }
    let Some(session) = &facts.session else { return Decision::Begin { instead_of: facts.bound } };
    let same = session.task.review.as_ref().is_some_and(|review| review.head == pull.commit);
    match (same, session.ended() || session.is_over()) {
        (true, false) => Decision::Nothing("it is being reviewed"),
        (true, true) if !insists => Decision::Nothing("it was reviewed as it is"),
        (_, true) => Decision::Begin { instead_of: Some(session.session) },
        // What it looks at has been replaced: nobody wants that review any more.
        (false, false) => Decision::BeginAnew { instead_of: session.session },
    }
}

/// The session whose pull request it is, as long as it can go on.
fn live(facts: &Facts) -> Result<&Standing, &'static str> {
    let session = facts.session.as_ref().ok_or("there is no such session")?;
    let closed = facts.pull.as_ref().is_some_and(|pull| pull.state != PullState::Open);
    if closed || session.closed.is_some() {
        return Err("the pull request is merged or closed");
    }
    if session.cancelled { Err("the session was cancelled") } else { Ok(session) }
}

fn failed(check: &Check, facts: &Facts, rules: &Rules) -> Decision {
    let session = match live(facts) {
        Ok(session) => session,
        Err(why) => return Decision::Nothing(why),
    };
    if session.head.as_deref() != Some(&*check.commit) {
        return Decision::Nothing("the check is of an earlier commit");
    }
    if session.has_heard_check(&check.name, &check.commit) {
        return Decision::Nothing("it was heard");
    }
    match session.state {
        // It is about to end, with this commit; or waits to be taken up.
        SessionState::Queued | SessionState::Ended => {}
        SessionState::Delivering if session.published => {}
        SessionState::Delivering | SessionState::Working | SessionState::Waiting => {
            return Decision::Nothing("the session is at work, and what it makes is checked anew");
        }
    }
    let tried = session.checked.len();
    let same = session.checked.contains(&check.commit);
    if !same && tried >= usize::try_from(rules.fixes).unwrap_or(usize::MAX) {
        return Decision::EnoughFixes(session.session);
    }
    Decision::Tell(session.session)
}

fn pull_changed(facts: &Facts) -> Decision {
    let (Some(session), Some(pull)) = (&facts.session, &facts.pull) else {
        return Decision::Nothing("there is no such session");
    };
    let state = match pull.state {
        PullState::Open => PullRequestState::Open,
        PullState::Closed => PullRequestState::Closed,
        PullState::Merged => {
            PullRequestState::Merged { commit: pull.merged_as.clone().unwrap_or_else(|| pull.commit.clone()) }
        }
    };
    match (&session.closed, &state) {
        // Whoever has it says how that ended.
        _ if session.closing => Decision::Nothing("a worker does this"),
        (None, PullRequestState::Open) => Decision::Nothing("the pull request is open"),
        (Some(PullRequestState::Merged { .. }), _) => Decision::Nothing("it is merged"),
        (Some(known), state) if known == state => Decision::Nothing("it was heard"),
        (_, _) => Decision::PullIs(session.session, state),
    }
}

fn conflicts(facts: &Facts) -> Decision {
    let (Ok(session), Some(pull)) = (live(facts), &facts.pull) else {
        return Decision::Nothing("the pull request is merged or closed");
    };
    if !session.ended() {
        return Decision::Nothing("the session is at work");
    }
    if !pull.conflicts {
        return Decision::Nothing("it can be merged");
    }
    Decision::Conflicts(session.session)
}

fn issue_over(gone: bool, actor: &Account, facts: &Facts, rules: &Rules) -> Decision {
    let Some(session) = &facts.session else { return Decision::Nothing("no session is about it") };
    if session.ended() || session.is_over() || session.pull.is_some() {
        return Decision::Nothing("the session has nothing left to do for it");
    }
    let may = gone || session.asker() == Some(actor.id) || facts.actor >= rules.least;
    if may { Decision::Cancel(session.session) } else { Decision::NoRight }
}

#[cfg(test)]
mod tests;
