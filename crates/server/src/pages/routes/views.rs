//! Sessions as they were folded last, so that a page of a long session does not read its log anew each time.
//!
//! A view is brought up to date before it is shown, by reading what was appended since. It is given only to who may see the session: that is asked of the
//! store each time, before anything else.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError},
};

use cofferdam_domain::SessionId;
use cofferdam_store::{SessionFilter, SessionRow};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::sessions::listed;
use crate::{
    access::Signed,
    actions::events,
    pages::{
        list::Listed,
        session::{ResultPage, Row, View},
    },
    problem::Problem,
    tail::Tails,
};

/// Views that are kept. Each is bounded: see [`crate::pages::timeline`].
const MOST: usize = 32;
/// Events that are read at once.
const PAGE: u32 = 500;

/// What of a session somebody looks at: what changes on it is the same for all who do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Looked {
    /// The timeline.
    Timeline,
    /// A page of results that shows this: see [`ResultPage::showing`].
    Results(ResultPage, String),
}

type Held = Arc<Mutex<Option<View>>>;

/// The views, those used last at the back, and what is sent of them to those who look at them.
#[derive(Clone, Default)]
pub(super) struct Views(Arc<std::sync::Mutex<VecDeque<(SessionId, Held)>>>, Arc<Tails<(SessionId, Looked)>>);

/// A view that is up to date, for as long as it is held.
pub(super) struct Current {
    pub(super) row: Row,
    view: OwnedMutexGuard<Option<View>>,
}

impl Views {
    /// The session as it is now.
    ///
    /// # Errors
    /// When there is none, or none for whoever asks.
    pub(super) async fn current(&self, signed: &Signed, session: SessionId) -> Result<Current, Problem> {
        // Before the log is read, so that the row is never ahead of what is shown below it for longer than a moment.
        let listed = match signed.tenant.session(session).await {
            Ok(listed) => listed,
            Err(error) => {
                // Deleted, perhaps: then nothing of it stays here either.
                self.forget(session);
                return Err(error.into());
            }
        };
        let mut view = self.held(session).lock_owned().await;
        let known = view.take();
        *view = Some(up_to_date(signed, session, known).await?);
        let models = signed.shared.choices().models.as_slice().into();
        let task = view.as_ref().and_then(|view| view.facts.standing.task.as_ref());
        let asked = task.and_then(|task| task.origin.as_ref()?.on_forge());
        let thread = asked.and_then(|asked| signed.shared.choices().threads.page(&asked.thread));
        let delegated = view.as_ref().is_some_and(|view| view.facts.delegated > 0);
        let subagents = if delegated { subagents(signed, session).await? } else { [].into() };
        Ok(Current { row: Row { models, thread, subagents, ..row(listed) }, view })
    }

    /// What is sent of them.
    pub(super) fn tails(&self) -> &Tails<(SessionId, Looked)> {
        &self.1
    }

    fn forget(&self, session: SessionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| *known != session);
    }

    fn held(&self, session: SessionId) -> Held {
        let mut views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = views.iter().position(|(known, _)| *known == session);
        let entry = place.and_then(|place| views.remove(place)).unwrap_or_else(|| (session, Held::default()));
        let held = entry.1.clone();
        views.push_back(entry);
        if views.len() > MOST {
            views.pop_front();
        }
        held
    }
}

impl Current {
    /// The view.
    pub(super) fn view(&self) -> Result<&View, Problem> {
        self.view.as_ref().ok_or_else(|| Problem::not_found("session"))
    }
}

async fn up_to_date(signed: &Signed, session: SessionId, known: Option<View>) -> Result<View, Problem> {
    let Some(mut view) = known else { return Ok(View::of(&events(signed, session).await?)) };
    loop {
        let page = signed.tenant.read(session, view.facts.end(), PAGE).await?;
        if page.is_empty() {
            return Ok(view);
        }
        if !view.add(&page) {
            return Ok(View::of(&events(signed, session).await?));
        }
    }
}

/// The sessions that work for this one, the first one first.
async fn subagents(signed: &Signed, session: SessionId) -> Result<Arc<[Listed]>, Problem> {
    /// More than a session can have.
    const MOST: u32 = 64;
    let theirs =
        SessionFilter { parent: Some(session), subagents: true, limit: MOST, ..SessionFilter::default() };
    let rows = signed.tenant.sessions(theirs).await?;
    Ok(rows.into_iter().rev().map(listed).collect())
}

/// What pages show of a row of the store.
pub(super) fn row(listed: SessionRow) -> Row {
    let SessionRow { id, title, repository, state, waiting, archived, created, parent, .. } = listed;
    Row {
        id,
        title,
        repository,
        state,
        waiting,
        archived,
        created,
        models: [].into(),
        thread: None,
        parent,
        subagents: [].into(),
    }
}
