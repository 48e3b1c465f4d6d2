//! What becomes of a delivery of another program.

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_domain::{
    Digest, EventBody, Label, OrgId, Origin, Owner, PullRequestState, Seq, SessionId, SessionState,
};
use cofferdam_store::{Dealt, Everything, SessionFilter, SessionRow, StoreError, TakenArrival, Writer};
use http::HeaderMap;
use serde_json::Value;

use super::{Hook, IdSettings, LARGEST_BODY, words::Told};
use crate::{
    Accepted, Kept, Place, Refused, Way,
    begin::{self, session_id},
    job::{NotBegun, Wanted},
    now,
};

/// The longest id of a delivery as its sender writes it; a longer one is known by its digest.
const LONGEST_ID: usize = 128;
/// Among so many of a session's latest events at most so many messages are one hook's: a storm of alerts says nothing new.
const LATEST: u32 = 200;
const MOST_MESSAGES: usize = 20;
/// An hour, in milliseconds.
const HOUR: u64 = 60 * 60 * 1000;

/// Takes what a program posts.
pub struct HookWay {
    store: Arc<dyn Everything>,
    hook: Hook,
    place: Place,
}

impl HookWay {
    /// The way of a hook whose sessions belong there. `model` is what they are worked on with where the table names none.
    #[must_use]
    pub fn new(store: Arc<dyn Everything>, mut hook: Hook, place: Place, model: Option<String>) -> Self {
        hook.words.usually(&mut hook.job, model);
        Self { store, hook, place }
    }

    async fn begin(
        &self,
        taken: &TakenArrival,
        body: &Value,
        instead_of: Option<SessionId>,
    ) -> Result<Dealt, StoreError> {
        let Hook { name, words, job, .. } = &self.hook;
        let id = &taken.arrival.id;
        let session = session_id(taken.arrival.at, &[name, id]);
        if self.has_begun_enough(session).await? {
            let what = format!("left out: {} sessions began within an hour", self.hook.per_hour);
            return Ok(Dealt::Done { session: None, what });
        }
        let told = words.told(&*self.store, self.place.org, job, (name, body)).await;
        let Told { prompt, title, job, playbook } = match told {
            Ok(told) => told,
            Err(NotBegun::Never(reason)) => return Ok(Dealt::GivenUp { reason }),
            Err(NotBegun::Store(error)) => return Err(error),
        };
        let wanted = Wanted {
            session,
            prompt,
            title,
            source: name,
            account: name,
            name: self.sender(),
            origin: Origin::Hook { hook: name.clone(), delivery: id.clone() },
            rest: Vec::new(),
            playbook,
        };
        match job.begin(&*self.store, self.place, wanted).await {
            Ok(()) => {}
            Err(NotBegun::Never(reason)) => return Ok(Dealt::GivenUp { reason }),
            Err(NotBegun::Store(error)) => return Err(error),
        }
        if let Some(same) = self.hook.same(body) {
            self.store.bind(&same, session, instead_of).await?;
        }
        Ok(Dealt::Done { session: Some(session), what: "begins".to_owned() })
    }

    /// Whether as many sessions as may began within the last hour, this one not counted.
    async fn has_begun_enough(&self, session: SessionId) -> Result<bool, StoreError> {
        let Hook { name, per_hour, .. } = &self.hook;
        let Owner { org, user, .. } =
            begin::owner(&*self.store, self.place, name, name, &self.sender()).await?;
        let limit = per_hour.get();
        let filter = SessionFilter { org: Some(org), user: Some(user), limit, ..SessionFilter::default() };
        let latest = self.store.sessions(filter).await?;
        let now = now();
        let recent = latest.iter().filter(|row| now.millis_since(row.created) < HOUR && row.id != session);
        Ok(recent.count() >= usize::try_from(limit).unwrap_or(usize::MAX))
    }

    /// A delivery about what a session works on already. Its words are information for the agent and nothing more.
    async fn tell(&self, taken: &TakenArrival, body: &Value, row: &SessionRow) -> Result<Dealt, StoreError> {
        let done = |what: &str| Dealt::Done { session: Some(row.id), what: what.to_owned() };
        if row.state == SessionState::Ended {
            return Ok(done("its pull request is open"));
        }
        let message = EventBody::MessageReceived {
            from: self.sender(),
            text: self.hook.words.data(&self.hook.name, body),
            label: Label::SANDBOX,
            about: None,
        };
        let after = Seq(row.last.0.saturating_sub(LATEST.into()));
        let latest = self.store.read(row.id, after, LATEST).await?;
        let ours = latest.iter().filter(
            |event| matches!(&event.body, EventBody::MessageReceived { from, .. } if *from == self.sender()),
        );
        if ours.clone().count() >= MOST_MESSAGES {
            return Ok(done("left out: the session has heard enough of this"));
        }
        // A try before this one may not have lived to say that it did.
        if taken.tries == 1 || !ours.clone().any(|event| event.body == message) {
            self.store.append(row.id, Writer::Anybody, now(), vec![message]).await?;
        }
        Ok(done("heard"))
    }

    fn sender(&self) -> String {
        format!("hook {}", self.hook.name)
    }
}

#[async_trait]
impl Way for HookWay {
    fn source(&self) -> &str {
        &self.hook.name
    }

    fn org(&self) -> OrgId {
        self.place.org
    }

    fn accept(&self, headers: &HeaderMap, body: &[u8]) -> Result<Accepted, Refused> {
        if body.len() > LARGEST_BODY {
            return Err(Refused::TooLarge(format!("the delivery has more than {LARGEST_BODY} bytes")));
        }
        self.hook.proof.check(headers, body, now())?;
        let json: Value = serde_json::from_slice(body)
            .map_err(|error| Refused::Malformed(format!("the delivery is no JSON: {error}")))?;
        let id = match &self.hook.id {
            Some(id) => id.find(headers, &json).ok_or_else(|| id.missing())?,
            None => self.hook.proof.id(headers).map_or_else(|| Digest::of(body).to_string(), bounded),
        };
        let event = self.hook.event.as_ref().and_then(|event| event.find(headers, &json));
        let line = self.hook.same(&json).unwrap_or_else(|| id.clone());
        Ok(Accepted::Keep(Kept { id, event: event.unwrap_or_else(|| "delivery".to_owned()), line }))
    }

    async fn deal(&self, taken: &TakenArrival) -> Result<Dealt, StoreError> {
        let Ok(body) = serde_json::from_slice::<Value>(&taken.arrival.body) else {
            return Ok(Dealt::GivenUp { reason: "it is no JSON".to_owned() });
        };
        if let Some(condition) = self.hook.when.iter().find(|condition| !condition.holds(&body)) {
            let what = format!("of no interest: {}", condition.pointer());
            return Ok(Dealt::Done { session: None, what });
        }
        let bound = match self.hook.same(&body) {
            Some(same) => self.store.session_of(&same).await?,
            None => None,
        };
        let row = match bound {
            // What a try before this one has begun is not told of itself.
            Some(bound) if bound != session_id(taken.arrival.at, &[&self.hook.name, &taken.arrival.id]) => {
                self.store.session(Some(self.place.org), bound).await?
            }
            Some(_) | None => None,
        };
        match row.filter(goes_on) {
            Some(row) => self.tell(taken, &body, &row).await,
            None => self.begin(taken, &body, bound).await,
        }
    }
}

/// Whether a session still is about something: it works, or its pull request waits for a person.
fn goes_on(row: &SessionRow) -> bool {
    let is_open = matches!(row.pull_request, Some((_, PullRequestState::Open)));
    row.state != SessionState::Ended || is_open
}

impl IdSettings {
    /// What a delivery says there; nothing where that is empty.
    fn find(&self, headers: &HeaderMap, body: &Value) -> Option<String> {
        let found = match self {
            Self::Header(name) => headers.get(name)?.to_str().ok()?.to_owned(),
            Self::Pointer(pointer) => match body.pointer(pointer)? {
                Value::String(text) => text.clone(),
                number @ Value::Number(_) => number.to_string(),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
            },
        };
        (!found.is_empty()).then(|| bounded(&found))
    }

    fn missing(&self) -> Refused {
        Refused::Malformed(match self {
            Self::Header(name) => format!("the delivery has no usable `{name}` header"),
            Self::Pointer(pointer) => format!("the delivery has no text or number at {pointer}"),
        })
    }
}

/// An id that may be kept and shown: the text itself where it is short and plain.
fn bounded(text: &str) -> String {
    let plain = text.len() <= LONGEST_ID && text.bytes().all(|byte| byte.is_ascii_graphic());
    if plain { text.to_owned() } else { Digest::of(text.as_bytes()).to_string() }
}
