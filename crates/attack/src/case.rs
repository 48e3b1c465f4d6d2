//! A case of the catalogue, and what came of it.

use std::{panic::AssertUnwindSafe, time::Instant};

use serde::Serialize;

use crate::{
    problem::{Problem, Result},
    world::Host,
};

/// Who attacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Driver {
    /// A model that has been taken over: its tool calls are the attack.
    Model,
    /// A hostile program in the sandbox.
    Program,
    /// The same as root of the sandbox.
    Root,
}

/// What came of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The platform stopped the attack, and said so where it has to.
    Stopped,
    /// What has to work does.
    PassedBenign,
    /// The attack had an effect, or what has to work does not.
    Failed,
    /// This host cannot say.
    Skipped,
    /// What the case is about is not there yet.
    NotYetApplicable,
}

/// What came of a case, for people and programs.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// As in the catalogue: `EX-02`.
    pub id: &'static str,
    /// The catalogue's group: `EX`.
    pub group: &'static str,
    /// Cases of the catalogue that it answers besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub covers: Vec<&'static str>,
    /// Whether it is the benign twin of the case: what must work although the attack must not.
    pub twin: bool,
    /// What is tried.
    pub title: String,
    /// Through what the attacker acts.
    pub channel: &'static str,
    /// Who attacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<Driver>,
    /// What came of it.
    pub verdict: Verdict,
    /// Why it failed, was skipped or does not apply yet.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What stopped it.
    pub stopped_at: String,
    /// The events about it in the session's log.
    pub events: Vec<String>,
    /// What a reviewer is shown about it.
    pub reviewer_sees: String,
    /// What was looked at.
    pub evidence: Vec<String>,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// What a case that holds has to show.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) stopped_at: String,
    pub(crate) events: Vec<String>,
    pub(crate) reviewer_sees: String,
    pub(crate) evidence: Vec<String>,
}

impl Held {
    /// Stopped by this part.
    pub(crate) fn at(part: impl Into<String>) -> Self {
        Self { stopped_at: part.into(), ..Self::default() }
    }

    pub(crate) fn because(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }
}

type CarryOut = Box<dyn Fn(&Host) -> Result<Held> + Send + Sync>;

/// A case.
pub(crate) struct Case {
    pub(crate) id: &'static str,
    pub(crate) title: String,
    pub(crate) channel: &'static str,
    pub(crate) driver: Option<Driver>,
    pub(crate) twin: bool,
    pub(crate) covers: Vec<&'static str>,
    /// `Err`: the part of the product that it waits for.
    carry_out: std::result::Result<CarryOut, &'static str>,
}

impl Case {
    /// An attack that a function carries out.
    pub(crate) fn new(
        id: &'static str,
        driver: Driver,
        title: impl Into<String>,
        carry_out: impl Fn(&Host) -> Result<Held> + Send + Sync + 'static,
    ) -> Self {
        let (title, channel) = (title.into(), channel(driver));
        Self {
            id,
            title,
            channel,
            driver: Some(driver),
            twin: false,
            covers: Vec::new(),
            carry_out: Ok(Box::new(carry_out)),
        }
    }

    /// What must work although the attack of this name must not.
    pub(crate) fn twin(mut self) -> Self {
        self.twin = true;
        self
    }

    /// One that answers other cases of the catalogue as well.
    pub(crate) fn covering(mut self, ids: &[&'static str]) -> Self {
        self.covers.extend_from_slice(ids);
        self
    }

    /// One that comes through something else than its driver usually does.
    pub(crate) const fn by(mut self, channel: &'static str) -> Self {
        self.channel = channel;
        self
    }

    /// One whose mechanism the product does not have yet.
    pub(crate) fn later(
        id: &'static str,
        channel: &'static str,
        waits_for: &'static str,
        title: &str,
    ) -> Self {
        Self {
            id,
            title: title.to_owned(),
            channel,
            driver: None,
            twin: false,
            covers: Vec::new(),
            carry_out: Err(waits_for),
        }
    }

    /// The catalogue's group.
    pub(crate) fn group(&self) -> &'static str {
        self.id.split_once('-').map_or(self.id, |(group, _)| group)
    }

    /// Carries it out. A case that panics has failed.
    pub(crate) fn report(&self, host: &Host) -> Report {
        let begun = Instant::now();
        let (verdict, reason, held) = match &self.carry_out {
            Err(part) => (Verdict::NotYetApplicable, format!("waits for {part}"), Held::default()),
            Ok(carry_out) => match std::panic::catch_unwind(AssertUnwindSafe(|| carry_out(host))) {
                Ok(Ok(held)) if self.twin => (Verdict::PassedBenign, String::new(), held),
                Ok(Ok(held)) => (Verdict::Stopped, String::new(), held),
                Ok(Err(Problem::Skipped(reason))) => (Verdict::Skipped, reason, Held::default()),
                Ok(Err(problem)) => (Verdict::Failed, problem.to_string(), Held::default()),
                Err(_) => (Verdict::Failed, "the case panicked".to_owned(), Held::default()),
            },
        };
        let Held { stopped_at, events, reviewer_sees, evidence } = held;
        Report {
            id: self.id,
            group: self.group(),
            covers: self.covers.clone(),
            twin: self.twin,
            title: self.title.clone(),
            channel: self.channel,
            driver: self.driver,
            verdict,
            reason,
            stopped_at,
            events,
            reviewer_sees,
            evidence,
            millis: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

const fn channel(driver: Driver) -> &'static str {
    match driver {
        Driver::Model => "model",
        Driver::Program | Driver::Root => "sandbox",
    }
}
