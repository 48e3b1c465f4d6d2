//! A forge as a way in: what is kept of a delivery, and how it is dealt with.

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_domain::{OrgId, Subject, Thread};
use cofferdam_forge::{
    hook::{self, Account, Delivery, HookSecrets, Occasion},
    remote::{At, Site, Talk, TalkError},
};
use cofferdam_store::{Dealt, Everything, StoreError, TakenArrival};
use http::HeaderMap;
use tokio::sync::OnceCell;

use super::{
    decide::decide,
    reading::{Reading, Rules, may_matter, reading},
    settings::Wanted,
};
use crate::{Accepted, Kept, Place, Refused, Way, again};

/// How often something is tried that a forge has answered strangely.
const STRANGE_ANSWERS: u32 = 6;

/// A forge.
pub struct ForgeWay {
    pub(super) store: Arc<dyn Everything>,
    pub(super) site: Site,
    pub(super) talk: Arc<dyn Talk>,
    pub(super) place: Place,
    /// The model that sessions are worked on with, unless workers know better.
    pub(super) model: Option<String>,
    secrets: HookSecrets,
    wanted: Wanted,
    /// Asked for once: an account does not change under a token.
    me: OnceCell<Account>,
}

/// Why something cannot be dealt with.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Talk(#[from] TalkError),
}

/// One delivery, and what it may mean.
pub(super) struct Case<'a> {
    pub(super) way: &'a ForgeWay,
    pub(super) taken: &'a TakenArrival,
    pub(super) occasion: &'a Occasion,
    pub(super) at: At,
    pub(super) rules: &'a Rules,
    pub(super) reading: &'a Reading,
}

impl ForgeWay {
    pub(super) fn new(
        store: Arc<dyn Everything>,
        (site, talk): (Site, Arc<dyn Talk>),
        place: Place,
        model: Option<String>,
        secrets: HookSecrets,
        wanted: Wanted,
    ) -> Self {
        Self { store, site, talk, place, model, secrets, wanted, me: OnceCell::new() }
    }

    async fn rules(&self) -> Result<Rules, TalkError> {
        let me = self.me.get_or_try_init(|| self.talk.me()).await?.clone();
        let Wanted { label, mention, least, fixes, bots } = self.wanted.clone();
        // An app is called by its name, which its account has with an end of its own.
        let called = || me.login.strip_suffix("[bot]").unwrap_or(&me.login).to_owned();
        let mention = mention.unwrap_or_else(called);
        Ok(Rules { me, label, mention, least, fixes, bots })
    }

    async fn dealt_with(&self, taken: &TakenArrival) -> Result<Dealt, Trouble> {
        let arrival = &taken.arrival;
        let delivery = Delivery::kept(self.site.kind(), arrival.id.clone(), arrival.event.clone());
        let occasion = match delivery.read(&arrival.body) {
            Ok(occasion) => occasion,
            // It could be read when it arrived: another version of this program took it.
            Err(refused) => return Ok(Dealt::GivenUp { reason: refused.to_string() }),
        };
        let rules = self.rules().await?;
        let reading = reading(&occasion, &rules);
        let nothing = |why: &str| Ok(Dealt::Done { session: None, what: why.to_owned() });
        let repository = match (&reading, &occasion.repository) {
            (Reading::Nothing(why), _) => return nothing(why),
            (_, None) => return nothing("it concerns no single repository"),
            (_, Some(repository)) => repository,
        };
        let at = At { id: repository.id, path: repository.path.clone() };
        let (occasion, rules, reading) = (&occasion, &rules, &reading);
        let case = Case { way: self, taken, occasion, at, rules, reading };
        if *reading == Reading::RepositoryGone {
            return case.repository_gone().await;
        }
        let facts = case.facts().await?;
        let decision = decide(reading, &occasion.actor, &facts, rules);
        case.act(decision, facts).await
    }
}

#[async_trait]
impl Way for ForgeWay {
    fn source(&self) -> &str {
        self.site.name()
    }

    fn org(&self) -> OrgId {
        self.place.org
    }

    fn accept(&self, headers: &HeaderMap, body: &[u8]) -> Result<Accepted, Refused> {
        let delivery = Delivery::accept(self.site.kind(), &self.secrets, headers, body).map_err(refused)?;
        let occasion = delivery.read(body).map_err(refused)?;
        if !may_matter(&occasion.what) {
            let body = "Nothing of interest here.\n".to_owned();
            return Ok(Accepted::Say { content_type: "text/plain; charset=utf-8", body });
        }
        // What happens in one repository is dealt with in order.
        let line = occasion.repository.map_or_else(|| "-".to_owned(), |repository| repository.id.to_string());
        let (id, event) = (delivery.id().as_str().to_owned(), delivery.event().to_owned());
        Ok(Accepted::Keep(Kept { id, event, line }))
    }

    async fn deal(&self, taken: &TakenArrival) -> Result<Dealt, StoreError> {
        match self.dealt_with(taken).await {
            Ok(dealt) => Ok(dealt),
            Err(Trouble::Store(error)) => Err(error),
            Err(Trouble::Talk(error)) => Ok(after(taken, &error)),
        }
    }
}

/// What becomes of a delivery that a forge's answer stands in the way of: one that is away delays, and loses nothing.
fn after(taken: &TakenArrival, error: &TalkError) -> Dealt {
    let reason = error.to_string();
    match error {
        TalkError::ForNow { again: at, .. } => again(taken, reason, *at),
        TalkError::Forbidden { .. } | TalkError::Missing { .. } => Dealt::GivenUp { reason },
        _ if taken.tries < STRANGE_ANSWERS => again(taken, reason, None),
        TalkError::Refused { .. } | TalkError::Malformed { .. } | _ => Dealt::GivenUp { reason },
    }
}

fn refused(refused: hook::Refused) -> Refused {
    let text = refused.to_string();
    match refused {
        hook::Refused::Unproved(_) | hook::Refused::Forged(_) => Refused::Unproved(text),
        hook::Refused::TooLarge => Refused::TooLarge(text),
        hook::Refused::NotJson => Refused::MediaType(text),
        hook::Refused::Header(..) | hook::Refused::Malformed { .. } => Refused::Malformed(text),
    }
}

impl Case<'_> {
    /// A thread of the repository.
    pub(super) fn thread(&self, subject: Subject) -> Thread {
        Thread {
            forge: self.way.site.name().to_owned(),
            repository: self.at.id,
            path: self.at.path.clone(),
            subject,
        }
    }
}
