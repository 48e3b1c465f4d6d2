//! From a choice to what stands in the logs.
//!
//! There is no place beside the logs where it is kept which attempt was chosen. It is first said in the log of the first attempt that there is
//! (that it was chosen, or another one), on the condition that nothing was said in it since it was read; then in that of the next, and so on.
//! So of two who choose at once the first one counts, and whoever finds a choice that is not told to all goes on telling it: after a crash,
//! in another process, or a hundred times, the logs say the same.

use cofferdam_domain::{EventBody, Seq, SessionId, attempt::Choose};

use super::{AttemptFacts, Decided, Group, RULE, Standing, chosen_by_rule};

/// An event that is to be appended to an attempt's log, if its last event is still this one.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// In whose log.
    pub session: SessionId,
    /// The last event that is known of it.
    pub after: Seq,
    /// What is to be said.
    pub body: EventBody,
}

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice<'a> {
    /// The attempt that is to be delivered.
    pub session: SessionId,
    /// The head that they looked at.
    pub commit: &'a str,
    /// Who, as text for people.
    pub by: &'a str,
}

/// Why an attempt cannot be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unchoosable {
    /// The session is none of the group.
    #[error("{0} is none of the attempts: `cofferdam compare` lists them")]
    Foreign(SessionId),
    /// Another one was.
    #[error("{chosen} was chosen already, by {by}: only one of the attempts is delivered")]
    Other {
        /// Which.
        chosen: SessionId,
        /// By whom.
        by: String,
    },
    /// It was.
    #[error("{session} was chosen already, by {by}")]
    Already {
        /// Which.
        session: SessionId,
        /// By whom.
        by: String,
    },
    /// There is nothing yet.
    #[error("{0} is still at work: choose it when it is ready, or choose another one")]
    AtWork(SessionId),
    /// There is nothing to deliver.
    #[error(
        "{session} has ended ({how}) and has nothing to deliver: choose another one, or write to it to have it try again"
    )]
    Ended {
        /// Which.
        session: SessionId,
        /// How, in words.
        how: String,
    },
    /// It is not what was looked at.
    #[error("{session} has another head by now ({now}): look at that before you choose it")]
    Moved {
        /// Which.
        session: SessionId,
        /// What is ready now.
        now: String,
    },
}

impl Group {
    /// What is to be said next, now that one is chosen or the rule chooses. `None` where nothing is decided, or all is said.
    #[must_use]
    pub fn next_word(&self) -> Option<Word> {
        let decided = self.decided().cloned().or_else(|| self.by_rule())?;
        match self.attempts().iter().find(|facts| facts.decided.is_none()) {
            Some(untold) => Some(untold.word(&decided)),
            None => self.once_more(&decided),
        }
    }

    /// What the rule says to the attempt that it chose and that was not ready any more when it was told, now that it is ready again.
    fn once_more(&self, decided: &Decided) -> Option<Word> {
        let chosen = self.of(decided.chosen).filter(|_| decided.by == RULE)?;
        let commit = chosen.choosable()?.to_owned();
        Some(chosen.word(&Decided { commit, ..decided.clone() }))
    }

    /// What is to be said first when a person chooses.
    ///
    /// # Errors
    /// When that one cannot be chosen; says why.
    pub fn choose(&self, choice: Choice<'_>) -> Result<Word, Unchoosable> {
        let Choice { session, commit, by } = choice;
        let Some(wanted) = self.of(session) else { return Err(Unchoosable::Foreign(session)) };
        let decided = Decided { by: by.to_owned(), chosen: session, commit: commit.to_owned() };
        let known = self.decided();
        if let Some(Decided { by, chosen, .. }) = known.filter(|known| known.chosen != session) {
            return Err(Unchoosable::Other { chosen: *chosen, by: by.clone() });
        }
        match (&wanted.standing, known) {
            (Standing::Ready(now), _) if now != commit => {
                Err(Unchoosable::Moved { session, now: now.clone() })
            }
            // It had gone on by the time it was told, and is ready once more.
            (Standing::Ready(_), Some(known))
                if known.commit != commit || wanted.decided.is_some() && !wanted.taken =>
            {
                Ok(wanted.word(&decided))
            }
            (Standing::Ready(_), None) => Ok(self.attempts().first().unwrap_or(wanted).word(&decided)),
            (_, Some(known)) => Err(Unchoosable::Already { session, by: known.by.clone() }),
            (Standing::AtWork, None) => Err(Unchoosable::AtWork(session)),
            (Standing::Ended(outcome), None) => {
                Err(Unchoosable::Ended { session, how: outcome.name().replace('_', " ") })
            }
        }
    }

    /// What the rule decides, where it is to.
    fn by_rule(&self) -> Option<Decided> {
        if self.attempts().first()?.attempt.choose != Choose::Best {
            return None;
        }
        let chosen = chosen_by_rule(self)?;
        let commit = chosen.ready()?.to_owned();
        Some(Decided { by: RULE.to_owned(), chosen: chosen.session, commit })
    }
}

impl AttemptFacts {
    /// What this attempt is told of a decision.
    fn word(&self, decided: &Decided) -> Word {
        let Decided { by, chosen, commit } = decided.clone();
        let body = if chosen == self.session {
            EventBody::AttemptChosen { by, commit }
        } else {
            EventBody::AttemptPassedOver { by, chosen, commit }
        };
        Word { session: self.session, after: self.last, body }
    }
}
