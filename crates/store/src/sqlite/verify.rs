//! Checking all that is stored of a session.

use std::{collections::HashMap, sync::Arc};

use cofferdam_domain::{BlobRef, Digest, Event, EventBody, SessionId, Timestamp};
use sqlx::SqlitePool;

use super::{listing, pages::Pages};
use crate::{
    StoreError, Verified,
    blobs::Blobs,
    summary::{Effect, Summary},
};

/// Events read at once.
const PAGE: u32 = 64;

/// What the events say that the session's row must say too.
#[derive(Default)]
struct Folded {
    summary: Summary,
    created: Option<Timestamp>,
    fence: u64,
    events: u64,
    blobs: HashMap<Digest, u64>,
}

/// Checks the chain, the blobs, and the session's row.
pub(super) async fn verify(
    readers: &SqlitePool,
    blobs: &Arc<Blobs>,
    session: SessionId,
) -> Result<Verified, StoreError> {
    // The row first: events that are appended meanwhile are checked too, but it need not know them.
    let row = listing::find(readers, session).await?;
    let mut pages = Pages::after(session, cofferdam_domain::Seq::START);
    let mut folded = Folded::default();
    let mut agrees = false;
    loop {
        let events = pages.next(readers, PAGE).await?;
        if events.is_empty() {
            break;
        }
        for event in &events {
            for blob in folded.fold(event) {
                check_blob(blobs, event, blob).await?;
            }
            if event.seq == row.last {
                agrees = folded.agrees(&row) && row.updated == event.at;
            }
        }
    }
    if !agrees {
        let last = row.last.0;
        return Err(StoreError::Corrupt {
            what: format!("the row of session {session} does not follow from its events up to {last}"),
        });
    }
    Ok(Verified { events: folded.events, blobs: folded.blobs.len() as u64, head: pages.head().hash })
}

impl Folded {
    /// Folds an event in. Returns its references to content that no event before it referred to in the same
    /// way.
    fn fold(&mut self, event: &Event) -> Vec<BlobRef> {
        self.summary.apply(&Effect::of(&event.body));
        self.created.get_or_insert(event.at);
        self.events += 1;
        if let EventBody::Claimed { fence, .. } = &event.body {
            self.fence = self.fence.max(*fence);
        }
        let mut blobs = event.body.blobs();
        blobs.retain(|blob| self.blobs.insert(blob.digest, blob.size) != Some(blob.size));
        blobs
    }

    fn agrees(&self, row: &listing::Listed) -> bool {
        let listing::Listed { id: _, summary, created, updated: _, last: _, fence } = row;
        self.summary == *summary && self.created == Some(*created) && self.fence <= *fence
    }
}

async fn check_blob(blobs: &Arc<Blobs>, event: &Event, blob: BlobRef) -> Result<(), StoreError> {
    let (seq, session) = (event.seq.0, event.session);
    let checked = super::blocking({
        let blobs = Arc::clone(blobs);
        move || blobs.check(blob)
    });
    match checked.await {
        Err(error @ (StoreError::UnknownBlob(_) | StoreError::Corrupt { .. })) => {
            Err(StoreError::Corrupt { what: format!("event {seq} of {session} refers to content: {error}") })
        }
        checked => checked,
    }
}
