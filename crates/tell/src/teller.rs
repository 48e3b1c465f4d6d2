//! Who is told of what, and when again.
//!
//! Each channel has a task of its own, so that one that is slow keeps nobody else waiting. Any of them addresses what is new; several
//! processes may do all of this at once.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cofferdam_domain::{NoticeKind, Timestamp};
use cofferdam_store::{Delivery, Everything, Letter, Sent, StoreError, while_held};
use futures_util::{StreamExt as _, stream::BoxStream};
use tokio::{sync::watch, task::JoinSet, time::sleep};

use crate::{Channel, Failed, Message, Names, Patience, choice};

/// Letters of one channel that are told at the same time.
const AT_ONCE: usize = 4;
/// How long a store is left alone that does not answer, at first and at most.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often it is tried to write down what became of a letter.
const NOTES: u32 = 5;

/// A channel and what it is told of.
#[derive(Clone)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Of what; where the list is empty, of everything but [`NoticeKind::Moved`].
    pub kinds: Vec<NoticeKind>,
    /// Of sessions of these organisations only, unless the list is empty.
    pub organisations: Vec<String>,
    /// Of sessions in these projects only, unless the list is empty.
    pub projects: Vec<String>,
    /// How it is told.
    pub channel: Arc<dyn Channel>,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Route {
    /// Whether a letter goes this way.
    fn takes(&self, letter: &Letter, names: &Names) -> bool {
        let among = |list: &[String], name: Option<&String>| {
            list.is_empty() || name.is_some_and(|name| list.contains(name))
        };
        let usual = self.kinds.is_empty() && letter.kind != NoticeKind::Moved;
        (usual || self.kinds.contains(&letter.kind))
            && among(&self.organisations, names.organisation.as_ref())
            && among(&self.projects, names.project.as_ref())
    }
}

/// Takes letters from the outbox and has them told.
pub struct Teller {
    store: Arc<dyn Everything>,
    routes: Vec<Route>,
    origin: Option<String>,
    patience: Patience,
    /// Names this process in the outbox.
    holder: String,
}

impl Teller {
    /// One that tells by these routes. `origin` is where the pages are.
    #[must_use]
    pub fn new(
        store: Arc<dyn Everything>,
        routes: Vec<Route>,
        origin: Option<String>,
        patience: Patience,
    ) -> Self {
        let holder = cofferdam_domain::WorkerId::generate().to_string();
        Self { store, routes, origin, patience, holder }
    }

    /// Tells until it is asked to stop. What is under way then is told again by somebody else, unless it ends in time.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let teller = Arc::new(self);
        let mut channels = JoinSet::new();
        for route in teller.routes.clone() {
            channels.spawn(Arc::clone(&teller).attend(Some(route)));
        }
        if teller.routes.is_empty() {
            // What nobody is to be told of is not kept.
            channels.spawn(Arc::clone(&teller).attend(None));
        }
        // Nobody can ask any more where that fails.
        stop.wait_for(|stop| *stop).await.ok();
        channels.shutdown().await;
    }

    /// Tells by one channel, for ever.
    async fn attend(self: Arc<Self>, route: Option<Route>) {
        let names: Vec<String> = route.iter().map(|route| route.name.clone()).collect();
        let mut pause = PAUSE;
        loop {
            let posted = self.store.posted(&names).await;
            let ended = match posted {
                Ok(posted) => self.serve(route.as_ref(), &names, posted, &mut pause).await,
                Err(error) => error,
            };
            tracing::warn!(error = %ended, "the outbox cannot be read");
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Tells what there is each time that there may be something. Gives back what went wrong with the store.
    async fn serve(
        self: &Arc<Self>,
        route: Option<&Route>,
        names: &[String],
        mut posted: BoxStream<'static, ()>,
        pause: &mut Duration,
    ) -> StoreError {
        let lease = millis(self.patience.lease);
        let mut under_way = JoinSet::new();
        let mut look = true;
        loop {
            if look && under_way.len() < AT_ONCE {
                match self.store.take(&self.holder, names, lease).await {
                    Ok(Some(delivery)) => {
                        *pause = PAUSE;
                        under_way.spawn(Arc::clone(self).deal_with(delivery, route.cloned()));
                    }
                    Ok(None) => look = false,
                    Err(error) => return error,
                }
                continue;
            }
            tokio::select! {
                Some(_) = under_way.join_next(), if !under_way.is_empty() => look = true,
                // While there is no room it does not matter what waits.
                news = posted.next(), if under_way.len() < AT_ONCE => match news {
                    Some(()) => look = true,
                    None => return StoreError::Deaf,
                },
            }
        }
    }

    async fn deal_with(self: Arc<Self>, delivery: Delivery, route: Option<Route>) {
        let names = match self.names(&delivery.letter).await {
            Ok(names) => names,
            // It is taken again when the lease is over.
            Err(error) => return tracing::warn!(%error, "the outbox's letters cannot be addressed"),
        };
        let result = match (&delivery.channel, route) {
            (None, _) => self.address(&delivery, &names).await,
            (Some(_), Some(route)) => {
                let message = Message::new(&delivery.letter, &names, self.origin.as_deref());
                let lease = self.patience.lease;
                let renew = || self.store.hold(&delivery, millis(lease));
                match while_held(route.channel.tell(&message), lease, renew).await {
                    Some(told) => self.note(&delivery, self.outcome(&delivery, told)).await,
                    None => {
                        tracing::warn!(letter = %delivery.letter.id, "somebody else tells it meanwhile");
                        Ok(())
                    }
                }
            }
            (Some(_), None) => Ok(()),
        };
        if let Err(error) = result {
            tracing::warn!(%error, letter = %delivery.letter.id, "what became of a letter could not be written down");
        }
    }

    async fn names(&self, letter: &Letter) -> Result<Names, StoreError> {
        let org = letter.owner.org;
        let organisation = self.store.orgs().await?.into_iter().find(|known| known.id == org);
        let projects = self.store.projects(org).await?;
        let project = projects.into_iter().find(|known| known.id == letter.owner.project);
        Ok(Names {
            organisation: organisation.map(|organisation| organisation.name),
            project: project.map(|project| project.name),
        })
    }

    async fn address(&self, delivery: &Delivery, names: &Names) -> Result<(), StoreError> {
        let takes = self.routes.iter().filter(|route| route.takes(&delivery.letter, names));
        let mut channels: Vec<String> = takes.map(|route| route.name.clone()).collect();
        if delivery.letter.kind == NoticeKind::Choice
            && !choice::is_for_people(&*self.store, &delivery.letter).await?
        {
            channels.clear();
        }
        self.store.address(delivery, &channels).await
    }

    /// What is to be written down of a try.
    fn outcome(&self, delivery: &Delivery, told: Result<(), Failed>) -> Sent {
        let (reason, rest) = match told {
            Ok(()) => return Sent::Told,
            Err(Failed::ForGood { reason }) => return Sent::GivenUp { reason },
            Err(Failed::ForNow { reason, rest }) => (reason, rest),
        };
        let now = now();
        let wait = self.patience.wait(delivery.letter.id, delivery.tries).max(rest.unwrap_or_default());
        let at = Timestamp(now.0.saturating_add(millis(wait)));
        if at.millis_since(delivery.letter.at) >= millis(self.patience.give_up) {
            return Sent::GivenUp { reason: format!("{reason}; tried {} times", delivery.tries) };
        }
        Sent::Again { at, reason }
    }

    /// Writes it down, also where the store is away for a moment: what is not written down is told again.
    async fn note(&self, delivery: &Delivery, sent: Sent) -> Result<(), StoreError> {
        let mut pause = PAUSE;
        for _ in 1..NOTES {
            if self.store.sent(delivery, sent.clone()).await.is_ok() {
                return Ok(());
            }
            sleep(pause).await;
            pause *= 2;
        }
        self.store.sent(delivery, sent).await
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn now() -> Timestamp {
    Timestamp(millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
}
