//! Checking all that is stored of a session.

use std::collections::HashMap;

use async_trait::async_trait;
use cofferdam_domain::{BlobRef, Digest, Event, EventBody, Seq, SessionId, Timestamp};

use super::{line::Line, listing, pages::Pages};
use crate::{
    StoreError, Verified,
    sql::Readers,
    summary::{Effect, Summary},
};

/// Events read at once.
const PAGE: u32 = 64;

/// Looks whether content is what its name says.
#[async_trait]
pub(crate) trait Check: Sync {
    /// [`StoreError::UnknownBlob`] or [`StoreError::Corrupt`] when it is not.
    async fn check(&self, blob: BlobRef) -> Result<(), StoreError>;
}

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
pub(crate) async fn verify(
    readers: &Readers,
    blobs: &dyn Check,
    session: SessionId,
) -> Result<Verified, StoreError> {
    // The row first: events that are appended meanwhile are checked too, but it need not know them.
    let row = listing::find(readers, session).await?;
    let mut pages = Pages::after(session, Seq::START);
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
            if event.seq == row.head.seq {
                agrees = folded.agrees(&row)
                    && (row.head.at, row.head.id, row.head.hash) == (event.at, event.id, event.hash);
            }
        }
    }
    if !agrees {
        let last = row.head.seq.0;
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
        if let EventBody::Forked { .. } = &event.body {
            // Those before it were another session's claims.
            self.fence = 0;
        }
        if event.body.is_passing() {
            // It may have expired, and says nothing that the log does not.
            return Vec::new();
        }
        let mut blobs = event.body.blobs();
        blobs.retain(|blob| self.blobs.insert(blob.digest, blob.size) != Some(blob.size));
        blobs
    }

    fn agrees(&self, row: &Line) -> bool {
        self.summary == row.summary && self.created == Some(row.created) && self.fence <= row.fence
    }
}

async fn check_blob(blobs: &dyn Check, event: &Event, blob: BlobRef) -> Result<(), StoreError> {
    let (seq, session) = (event.seq.0, event.session);
    match blobs.check(blob).await {
        Err(error @ (StoreError::UnknownBlob(_) | StoreError::Corrupt { .. })) => {
            Err(StoreError::Corrupt { what: format!("event {seq} of {session} refers to content: {error}") })
        }
        checked => checked,
    }
}
