//! What becomes of a run that is due.

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_domain::{EventBody, OrgId, Origin, PlaybookUse, SessionId, SessionState, Timestamp};
use cofferdam_store::{Dealt, Everything, StoreError, TakenArrival, Writer};
use http::HeaderMap;

use super::{Overlap, Schedule};
use crate::{
    Accepted, Place, Refused, Way, again,
    begin::session_id,
    job::{Job, NotBegun, Wanted},
    now,
    playbook::{Others, Worded},
};

/// The most characters of what a session is called, beside when it was due.
const LONGEST_TITLE: usize = 100;
/// The event of an arrival that is a run.
pub(super) const DUE: &str = "due";
/// The event of an arrival that says since when a schedule is kept.
pub(super) const SINCE: &str = "kept";

/// Deals with what is due.
pub struct ScheduleWay {
    store: Arc<dyn Everything>,
    schedule: Schedule,
    place: Place,
}

impl ScheduleWay {
    /// The way of a schedule whose sessions belong there. `model` is what they are worked on with where the table names none.
    #[must_use]
    pub fn new(
        store: Arc<dyn Everything>,
        mut schedule: Schedule,
        place: Place,
        model: Option<String>,
    ) -> Self {
        match &mut schedule.playbook {
            Some(playbook) => playbook.usual = model,
            None => schedule.job.wishes.model = schedule.job.wishes.model.take().or(model),
        }
        Self { store, schedule, place }
    }

    /// The schedule.
    #[must_use]
    pub const fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    async fn run(&self, taken: &TakenArrival, due: Timestamp) -> Result<Dealt, StoreError> {
        let Schedule { name, source, calendar, .. } = &self.schedule;
        let session = session_id(due, &[source, &taken.arrival.id]);
        let last = self.store.session_of(source).await?;
        // What was begun by a try before this one is only to be bound.
        let begun = self.store.session(Some(self.place.org), session).await?.is_some();
        if !begun
            && let Some(last) = last
            && let Some(dealt) = self.meet(taken, last).await?
        {
            return Ok(dealt);
        }
        let (prompt, job, playbook) = match self.words().await {
            Ok(words) => words,
            Err(NotBegun::Never(reason)) => return Ok(Dealt::GivenUp { reason }),
            Err(NotBegun::Store(error)) => return Err(error),
        };
        let wanted = Wanted {
            session,
            title: Some(title(&prompt, &calendar.shown(due))),
            prompt,
            source,
            account: name,
            name: format!("schedule {name}"),
            origin: Origin::Schedule { schedule: name.clone(), due },
            rest: Vec::new(),
            playbook,
        };
        match job.begin(&*self.store, self.place, wanted).await {
            Ok(()) => {}
            Err(NotBegun::Never(reason)) => return Ok(Dealt::GivenUp { reason }),
            Err(NotBegun::Store(error)) => return Err(error),
        }
        self.store.bind(source, session, last).await?;
        Ok(Dealt::Done { session: Some(session), what: "begins".to_owned() })
    }

    /// What is to be done and on what, and by which playbook, as that is now.
    async fn words(&self) -> Result<(String, Job, Option<PlaybookUse>), NotBegun> {
        let Schedule { prompt, playbook, job, .. } = &self.schedule;
        let Some(playbook) = playbook else { return Ok((prompt.clone(), job.clone(), None)) };
        let Worded { prompt, job, used } =
            playbook.worded(&*self.store, self.place.org, job, Others::new()).await?;
        Ok((prompt, job, Some(used)))
    }

    /// What becomes of the run when the one before is not over; `None` when it is, or makes way.
    async fn meet(&self, taken: &TakenArrival, last: SessionId) -> Result<Option<Dealt>, StoreError> {
        let row = self.store.session(Some(self.place.org), last).await?;
        if row.is_none_or(|row| row.state == SessionState::Ended) {
            return Ok(None);
        }
        match self.schedule.overlap {
            Overlap::Skip => {
                let what = "left out: the session before has not ended".to_owned();
                Ok(Some(Dealt::Done { session: Some(last), what }))
            }
            Overlap::Queue => {
                let reason = format!("waits for the end of {last}");
                Ok(Some(again(taken, reason, None)))
            }
            Overlap::Cancel => {
                let by = format!("schedule {}", self.schedule.name);
                let cancel = vec![EventBody::CancelAsked { by }];
                self.store.append(last, Writer::Anybody, now(), cancel).await?;
                Ok(None)
            }
        }
    }
}

/// What tells a run from the others.
fn title(prompt: &str, due: &str) -> String {
    let line = prompt.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let line: String = line.chars().take(LONGEST_TITLE).collect();
    format!("{line} ({due})")
}

#[async_trait]
impl Way for ScheduleWay {
    fn source(&self) -> &str {
        &self.schedule.source
    }

    fn org(&self) -> OrgId {
        self.place.org
    }

    fn accept(&self, _: &HeaderMap, _: &[u8]) -> Result<Accepted, Refused> {
        Err(Refused::Unproved("nothing is posted to a schedule".to_owned()))
    }

    async fn deal(&self, taken: &TakenArrival) -> Result<Dealt, StoreError> {
        if taken.arrival.event == SINCE {
            return Ok(Dealt::Done { session: None, what: "kept from now on".to_owned() });
        }
        let due = taken.arrival.id.parse::<jiff::Timestamp>().ok();
        match due.and_then(|due| u64::try_from(due.as_millisecond()).ok()) {
            Some(due) => self.run(taken, Timestamp(due)).await,
            None => Ok(Dealt::GivenUp { reason: "its id is no time".to_owned() }),
        }
    }
}
