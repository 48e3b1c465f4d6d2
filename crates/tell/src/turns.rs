//! One letter of a session at a time: two at once would both find nothing said yet.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use cofferdam_domain::{Event, SessionId};
use cofferdam_store::{Everything, StoreError};
use tokio::sync::Mutex as Turn;

use crate::Failed;

/// Who tells of which session.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<SessionId, Weak<Turn<()>>>>);

impl Turns {
    /// The turn of a session, to be locked.
    pub(crate) fn of(&self, session: SessionId) -> Arc<Turn<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        let known = turns.get(&session).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let turn = Arc::new(Turn::new(()));
            turns.insert(session, Arc::downgrade(&turn));
            turn
        })
    }
}

/// The log of the session whose turn it is; `None` where it was forgotten meanwhile, as somebody wished.
pub(crate) async fn log(store: &dyn Everything, session: SessionId) -> Result<Option<Vec<Event>>, Failed> {
    match store.log(session).await {
        Ok(events) => Ok(Some(events)),
        Err(StoreError::UnknownSession(_)) => Ok(None),
        Err(error) => Err(Failed::for_now(format!("the session's log cannot be read ({error})"))),
    }
}
