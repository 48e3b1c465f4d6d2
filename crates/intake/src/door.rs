//! Where what is posted is proved and kept.

use std::sync::Arc;

use cofferdam_domain::Secret;
use cofferdam_forge::hook::{Delivery, ForgeKind, HookSecrets};
use cofferdam_store::{Arrival, Everything, StoreError};
use http::{HeaderMap, HeaderValue};

use crate::{Accepted, Refused, Way, processor::now};

/// Takes what is posted to `/hooks/`.
pub struct Door {
    store: Arc<dyn Everything>,
    ways: Vec<Arc<dyn Way>>,
}

/// What is answered to something that was posted.
#[derive(Debug)]
pub enum Answer {
    /// It is here for good. Whether it was here before makes no difference to its sender.
    Kept,
    /// This.
    Said {
        /// The answer's content type.
        content_type: &'static str,
        /// The answer.
        body: String,
    },
    /// Nothing arrives under this name.
    Unknown,
    /// It is not taken.
    Refused(Refused),
    /// It could not be kept: it must be sent again.
    Away(StoreError),
}

impl Door {
    /// A door for these ways.
    #[must_use]
    pub fn new(store: Arc<dyn Everything>, ways: Vec<Arc<dyn Way>>) -> Self {
        Self { store, ways }
    }

    /// Proves and keeps something that was posted under a name.
    pub async fn take(&self, name: &str, headers: &HeaderMap, body: Vec<u8>) -> Answer {
        let Some(way) = self.ways.iter().find(|way| way.source() == name) else {
            work_as_for_a_known_name(&body);
            return Answer::Unknown;
        };
        let kept = match way.accept(headers, &body) {
            Ok(Accepted::Keep(kept)) => kept,
            Ok(Accepted::Say { content_type, body }) => return Answer::Said { content_type, body },
            Err(refused) => {
                tracing::warn!(source = name, reason = %refused, "something posted was refused");
                return Answer::Refused(refused);
            }
        };
        let arrival = Arrival {
            source: name.to_owned(),
            id: kept.id,
            event: kept.event,
            line: kept.line,
            org: way.org(),
            at: now(),
            body,
        };
        match self.store.arrive(arrival).await {
            Ok(new) => {
                tracing::debug!(source = name, new, "something arrived");
                Answer::Kept
            }
            Err(error) => {
                tracing::warn!(source = name, %error, "something that arrived could not be kept");
                Answer::Away(error)
            }
        }
    }
}

/// Takes about the time that a wrong proof under a known name takes: the time of an answer does not tell which names there are.
fn work_as_for_a_known_name(body: &[u8]) {
    let Some(secrets) = HookSecrets::new(Secret::new("nobody has this one"), Vec::new()) else { return };
    let mut headers = HeaderMap::new();
    headers.insert("x-gitea-signature", HeaderValue::from_static("00"));
    // Whatever it is, nobody is told.
    Delivery::accept(ForgeKind::Gitea, &secrets, &headers, body).map(drop).ok();
}
