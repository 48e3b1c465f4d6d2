//! A forge as a way in: what is kept of a delivery, and how it is dealt with.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cofferdam_domain::{OrgId, Subject, Thread, task::is_below};
use cofferdam_forge::{
    hook::{self, Account, Delivery, HookSecrets, Occasion},
    remote::{At, Happened, Site, Talk, TalkError},
};
use cofferdam_store::{Arrival, Dealt, Everything, StoreError, TakenArrival};
use http::HeaderMap;
use tokio::sync::OnceCell;

use super::{
    decide::{Decision, decide},
    poll::{self, POLLED},
    reading::{Reading, Rules, may_matter, reading},
    settings::Wanted,
};
use crate::{Accepted, Kept, Place, Refused, Way, again};

/// How often something is tried that a forge has answered strangely.
const STRANGE_ANSWERS: u32 = 6;
/// How often something is tried that the account may not do: a token that was revoked is replaced by a person, who has about a day for that.
const REFUSALS: u32 = 300;

/// A forge.
pub struct ForgeWay {
    pub(super) store: Arc<dyn Everything>,
    pub(super) site: Site,
    pub(super) talk: Arc<dyn Talk>,
    pub(super) place: Place,
    /// The model that sessions are worked on with, unless workers know better.
    pub(super) model: Option<String>,
    /// How often it is asked what has happened, where webhooks are not relied on.
    pub(super) every: Option<Duration>,
    /// What webhooks are proved with; where there is nothing, none are taken.
    secrets: Option<HookSecrets>,
    pub(super) wanted: Wanted,
    /// Where repositories may be on which sessions begin; anywhere on the forge where the list is empty.
    places: Vec<String>,
    /// The repositories that may be worked on beside those which more people may read.
    pub(super) beside_public: Vec<String>,
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
        secrets: Option<HookSecrets>,
        wanted: Wanted,
    ) -> Self {
        Self {
            store,
            site,
            talk,
            place,
            model,
            every: None,
            secrets,
            wanted,
            places: Vec::new(),
            beside_public: Vec::new(),
            me: OnceCell::new(),
        }
    }

    /// The same, asked so often what has happened.
    pub(super) fn asked_every(self, every: Option<Duration>) -> Self {
        Self { every, ..self }
    }

    /// The same, where sessions begin only on repositories whose address is one of these, or below one; on any where there are none.
    #[must_use]
    pub fn within(self, places: &[String]) -> Self {
        Self { places: places.to_vec(), ..self }
    }

    /// The same, where the repositories with these addresses may be worked on beside those which more people may read.
    #[must_use]
    pub fn beside_public(self, named: &[String]) -> Self {
        Self { beside_public: named.to_vec(), ..self }
    }

    /// Whether sessions may begin on a repository.
    pub(super) fn permits(&self, path: &str) -> bool {
        let address = self.site.clone_url(path);
        let address = address.as_str();
        // People leave the end out.
        let names = [address, address.strip_suffix(".git").unwrap_or(address)];
        self.places.is_empty()
            || self.places.iter().any(|place| names.iter().any(|name| is_below(name, place)))
    }

    pub(super) async fn rules(&self) -> Result<Rules, TalkError> {
        let me = self.me.get_or_try_init(|| self.talk.me()).await?.clone();
        let Wanted { label, mention, least, fixes, reviews, bots, together: _ } = self.wanted.clone();
        // An app is called by its name, which its account has with an end of its own.
        let called = || me.login.strip_suffix("[bot]").unwrap_or(&me.login).to_owned();
        let mention = mention.unwrap_or_else(called);
        Ok(Rules { me, label, mention, least, fixes, reviews, bots })
    }

    async fn dealt_with(&self, taken: &TakenArrival) -> Result<Dealt, Trouble> {
        let arrival = &taken.arrival;
        let (occasion, found) = match self.occasion(arrival) {
            Ok(occasion) => occasion,
            // It could be read when it arrived: another version of this program took it.
            Err(reason) => return Ok(Dealt::GivenUp { reason }),
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
        let mut decision = decide(reading, &occasion.actor, &facts, rules);
        if let Some(unsure) = found {
            let when = (arrival.at, unsure);
            decision = poll::found(decision, reading, &occasion.actor, &facts, when);
        }
        if matches!(decision, Decision::Begin { .. } | Decision::BeginAnew { .. })
            && !self.permits(&case.at.path)
        {
            return nothing(
                "the repository is not in a place that this server may work on: [server] repositories lists them",
            );
        }
        case.act(decision, facts).await
    }

    /// What an arrival tells; of what was found by asking, also whether its texts may have been changed since.
    fn occasion(&self, arrival: &Arrival) -> Result<(Occasion, Option<bool>), String> {
        if arrival.event == POLLED {
            let happened: Happened =
                serde_json::from_slice(&arrival.body).map_err(|error| error.to_string())?;
            return Ok((happened.occasion, Some(happened.unsure)));
        }
        let delivery = Delivery::kept(self.site.kind(), arrival.id.clone(), arrival.event.clone());
        let occasion = delivery.read(&arrival.body).map_err(|refused| refused.to_string())?;
        Ok((occasion, None))
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
        let Some(secrets) = &self.secrets else {
            return Err(Refused::Unproved(
                "no webhooks are taken here: set a hook_secret there and here".to_owned(),
            ));
        };
        let delivery = Delivery::accept(self.site.kind(), secrets, headers, body).map_err(refused)?;
        let occasion = delivery.read(body).map_err(refused)?;
        if delivery.event() == POLLED {
            return Err(Refused::Malformed(format!("{POLLED} is no event of a forge's")));
        }
        if !may_matter(&occasion.what) {
            let body = "Nothing of interest here.\n".to_owned();
            return Ok(Accepted::Say { content_type: "text/plain; charset=utf-8", body });
        }
        // What has a name of its own arrives once, whether it is told or found by asking.
        let id = occasion.name().unwrap_or_else(|| delivery.id().as_str().to_owned());
        // What happens in one repository is dealt with in order.
        let line = occasion.repository.map_or_else(|| "-".to_owned(), |repository| repository.id.to_string());
        Ok(Accepted::Keep(Kept { id, event: delivery.event().to_owned(), line }))
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
        TalkError::Forbidden { .. } if taken.tries < REFUSALS => again(taken, reason, None),
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
