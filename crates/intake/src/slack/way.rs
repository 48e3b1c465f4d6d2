//! Slack as a way in: what is kept of a delivery.

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_domain::OrgId;
use cofferdam_store::{Dealt, Everything, StoreError, TakenArrival};
use cofferdam_tell::{Me, Slack, SlackError};
use http::HeaderMap;
use tokio::sync::OnceCell;

use super::{
    event::Delivered,
    settings::{Askers, OpenSlack, Proof, SlackSettings},
    signature,
};
use crate::{Accepted, Kept, Place, Refused, Way, again, now};

/// Bytes of a delivery that are taken.
const LARGEST: usize = 1024 * 1024;
/// How often something is tried that Slack has answered strangely.
const STRANGE_ANSWERS: u32 = 6;

/// A workspace of Slack.
pub struct SlackWay {
    pub(super) store: Arc<dyn Everything>,
    pub(super) slack: Slack,
    pub(super) settings: SlackSettings,
    pub(super) place: Place,
    proof: Proof,
    /// Asked for once: an app does not change under a token.
    me: OnceCell<Me>,
}

/// Why something cannot be dealt with.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Slack(#[from] SlackError),
}

impl SlackWay {
    pub(super) fn new(
        store: Arc<dyn Everything>,
        open: OpenSlack,
        place: Place,
        model: Option<String>,
    ) -> Self {
        let OpenSlack { mut settings, slack, proof } = open;
        settings.model = settings.model.or(model);
        Self { store, slack, settings, place, proof, me: OnceCell::new() }
    }

    pub(super) async fn me(&self) -> Result<&Me, SlackError> {
        self.me.get_or_try_init(|| self.slack.me()).await
    }

    pub(super) const fn askers(&self) -> &Askers {
        &self.settings.ask
    }

    /// What is kept of a delivery, if anything.
    pub(super) fn keep(&self, delivered: Delivered) -> Accepted {
        let say = |body: String| Accepted::Say { content_type: "text/plain; charset=utf-8", body };
        match delivered {
            Delivered::Challenge(challenge) => say(challenge),
            Delivered::Nothing(why) => say(format!("Nothing of interest here: {why}.\n")),
            Delivered::Trouble(what) => {
                tracing::warn!(source = self.slack.name(), "{what}");
                say("Noted.\n".to_owned())
            }
            Delivered::Uttered(said) => {
                // What is said in one thread is dealt with in order.
                let line = format!("{}/{}", said.channel, said.root());
                Accepted::Keep(Kept { id: said.event, event: said.kind.name().to_owned(), line })
            }
        }
    }
}

#[async_trait]
impl Way for SlackWay {
    fn source(&self) -> &str {
        self.slack.name()
    }

    fn org(&self) -> OrgId {
        self.place.org
    }

    fn accept(&self, headers: &HeaderMap, body: &[u8]) -> Result<Accepted, Refused> {
        let Proof::Posted(secrets) = &self.proof else {
            let why = "nothing is posted here: this workspace is listened to by Socket Mode";
            return Err(Refused::Unproved(why.to_owned()));
        };
        if body.len() > LARGEST {
            return Err(Refused::TooLarge(format!("the delivery has more than {LARGEST} bytes")));
        }
        signature::check(secrets, headers, body, now())?;
        let delivered = Delivered::read(body).map_err(|error| Refused::Malformed(error.to_string()))?;
        Ok(self.keep(delivered))
    }

    async fn deal(&self, taken: &TakenArrival) -> Result<Dealt, StoreError> {
        let said = match Delivered::of_json(&taken.arrival.body) {
            Ok(Delivered::Uttered(said)) => said,
            // It could be read when it arrived: another version of this program took it.
            Ok(Delivered::Challenge(_) | Delivered::Nothing(_) | Delivered::Trouble(_)) | Err(_) => {
                return Ok(Dealt::GivenUp { reason: "it is no message that could be read".to_owned() });
            }
        };
        match self.deal_with(taken, &said).await {
            Ok(dealt) => Ok(dealt),
            Err(Trouble::Store(error)) => Err(error),
            Err(Trouble::Slack(error)) => Ok(after(taken, &error)),
        }
    }
}

/// What becomes of a delivery that an answer of Slack's stands in the way of: what can be mended delays, and loses nothing.
fn after(taken: &TakenArrival, error: &SlackError) -> Dealt {
    let reason = error.to_string();
    match error {
        SlackError::ForNow { again: at, .. } => again(taken, reason, *at),
        SlackError::Token { .. } | SlackError::Scope { .. } => again(taken, reason, None),
        SlackError::Missing { .. } => Dealt::GivenUp { reason },
        SlackError::Refused { .. } | SlackError::Malformed { .. } if taken.tries < STRANGE_ANSWERS => {
            again(taken, reason, None)
        }
        SlackError::Refused { .. } | SlackError::Malformed { .. } => Dealt::GivenUp { reason },
    }
}
