//! The ways in: those that are configured, opened once with everything that hangs on them, and the forges whose apps come and go.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use cofferdam_domain::{OrgId, Timestamp};
use cofferdam_forge::{RemoteForge, remote::Site};
use cofferdam_intake::{
    Answer, Door, ForgeSettings, ForgeWay, HookSettings, HookWay, OpenForge, OpenSlack, Place, Processor,
    Refused, ScheduleSettings, ScheduleWay, SlackSettings, SlackWay, SystemClock, Timekeeper, Way, now,
};
use cofferdam_server::{Hooks, Posted, Threads};
use cofferdam_store::Everything;
use cofferdam_tell::{ForgeChannel, Patience, Route, SlackChannel, Teller};
use cofferdam_worker::StopSignal;
use futures_util::future::join_all;
use tokio::sync::watch;

use crate::{
    apps::{KeptForge, KeptForges},
    compose::{App, environment},
};

/// The ways in.
pub(crate) struct Ways {
    store: Arc<dyn Everything>,
    model: Option<String>,
    /// Where repositories may be.
    repositories: Vec<String>,
    /// Which of them may be worked on beside those that more people may read.
    beside_public: Vec<String>,
    configured: Open,
    kept: Arc<KeptForges>,
    porter: Arc<Porter>,
}

/// Ways in that are open.
#[derive(Clone, Default)]
struct Open {
    /// Forges, each with whose it is.
    forges: Vec<(OrgId, OpenForge)>,
    /// The same as ways in, which are also asked.
    asked: Vec<Arc<ForgeWay>>,
    /// Those by which something is posted.
    posted: Vec<Arc<dyn Way>>,
    schedules: Vec<Arc<ScheduleWay>>,
    chats: Vec<(OpenSlack, Arc<SlackWay>)>,
}

impl Ways {
    /// Opens them. `model` is what sessions are worked on with that begin there.
    pub(crate) async fn open(
        app: &App,
        store: &Arc<dyn Everything>,
        model: Option<String>,
        kept: Arc<KeptForges>,
    ) -> Result<Self> {
        let mut configured = Open::default();
        for forge in app.open_forges()? {
            let place = place(&**store, &forge).await?;
            let way = forge.way(store.clone(), place, model.clone(), &environment)?;
            let way = way.within(&app.config.server.repositories);
            let way = way.beside_public(&app.config.repositories.beside_public);
            configured.add(place.org, forge, Arc::new(way));
        }
        let hooks = HookSettings::hooks(&app.config.hooks, &environment)?;
        for (hook, table) in hooks.into_iter().zip(&app.config.hooks) {
            let place = Place::find(&**store, &table.organisation, table.project.as_deref()).await;
            let place = place.with_context(|| format!("[[hook]] {:?}", table.name))?;
            configured.posted.push(Arc::new(HookWay::new(store.clone(), hook, place, model.clone())));
        }
        for slack in app.open_slacks()? {
            let SlackSettings { name, organisation, project, .. } = &slack.settings;
            let place = Place::find(&**store, organisation, project.as_deref()).await;
            let place = place.with_context(|| format!("[[slack]] {name:?}"))?;
            let way = Arc::new(slack.way(store.clone(), place, model.clone()));
            configured.posted.push(way.clone());
            configured.chats.push((slack, way));
        }
        let schedules = ScheduleSettings::schedules(&app.config.schedules, now())?;
        for (schedule, table) in schedules.into_iter().zip(&app.config.schedules) {
            let place = Place::find(&**store, &table.organisation, table.project.as_deref()).await;
            let place = place.with_context(|| format!("[[schedule]] {:?}", table.name))?;
            let way = ScheduleWay::new(store.clone(), schedule, place, model.clone());
            configured.schedules.push(Arc::new(way));
        }
        let mut names: Vec<&str> = configured.posted.iter().map(|way| way.source()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!("two tables are named {:?}: what is posted to /hooks/ needs a name of its own", twice[0]);
        }
        let ways = Self {
            store: store.clone(),
            model,
            repositories: app.config.server.repositories.clone(),
            beside_public: app.config.repositories.beside_public.clone(),
            configured,
            kept,
            porter: Arc::default(),
        };
        let now = ways.kept.now().borrow().clone();
        ways.with(&now).await;
        Ok(ways)
    }

    /// All that are open with these apps. What is posted goes there from now on.
    async fn with(&self, kept: &[KeptForge]) -> Open {
        let mut open = self.configured.clone();
        for forge in kept {
            match self.way_of(forge).await {
                Ok(Some((opened, way))) => open.add(forge.app.org, opened, way),
                Ok(None) => {}
                Err(error) => {
                    let name = &forge.app.name;
                    tracing::error!(name, error = %format_args!("{error:#}"), "nothing is taken from this forge");
                }
            }
        }
        self.porter.now_by(Door::new(self.store.clone(), open.posted.clone()), open.sites());
        open
    }

    /// The way in by an app's forge; none where that cannot be worked with, which was said.
    async fn way_of(&self, kept: &KeptForge) -> Result<Option<(OpenForge, Arc<ForgeWay>)>> {
        let Ok(forge) = &kept.open else { return Ok(None) };
        let place = place(&*self.store, forge).await?;
        let read = |name: &str| kept.secret(name);
        let way = forge.way(self.store.clone(), place, self.model.clone(), &read)?;
        let way = way.within(&self.repositories).beside_public(&self.beside_public);
        Ok(Some((forge.clone(), Arc::new(way))))
    }

    /// Takes what is posted.
    pub(crate) fn hooks(&self) -> Box<dyn Hooks> {
        Box::new(Posts(self.porter.clone()))
    }

    /// Takes it, and remembers what was refused.
    pub(crate) const fn porter(&self) -> &Arc<Porter> {
        &self.porter
    }

    /// The forges of the configuration, each with whose it is.
    pub(crate) fn configured_forges(&self) -> Vec<(OrgId, OpenForge)> {
        self.configured.forges.clone()
    }

    /// Deals with what arrives, sees to it that what is due arrives, and tells people of sessions: by `routes`, and where they asked for them.
    /// `origin` is where the pages are. When an app comes or goes all of it begins anew, as it does after a crash.
    pub(crate) async fn run(self, routes: Vec<Route>, origin: String, mut stop: StopSignal) {
        let mut kept = self.kept.now();
        loop {
            let now = kept.borrow_and_update().clone();
            let open = self.with(&now).await;
            let (halt, halted) = watch::channel(false);
            let routes = routes.iter().cloned().chain(open.routes(&self.store)).collect();
            let teller = Teller::new(self.store.clone(), routes, Some(origin.clone()), Patience::default());
            let work = async { tokio::join!(open.run(&self.store, halted.clone()), teller.run(halted)) };
            let mut work = std::pin::pin!(work);
            let over = tokio::select! {
                _ = &mut work => return,
                // Nobody can ask any more where that fails.
                _ = stop.wait_for(|stop| *stop) => true,
                changed = kept.changed() => changed.is_err(),
            };
            if over {
                stop.wait_for(|stop| *stop).await.map(drop).ok();
            }
            halt.send_replace(true);
            work.await;
            if over {
                return;
            }
        }
    }

    /// Finds the pages of what people have asked on.
    pub(crate) fn threads(&self) -> Threads {
        let porter = self.porter.clone();
        Threads::new(move |thread| {
            let site = porter.site(&thread.forge)?;
            Some(site.page(&thread.path, thread.subject).to_string())
        })
    }

    /// What is posted where, for whoever sets the senders up.
    pub(crate) fn posted(&self) -> Vec<String> {
        let fetched = |name: &str| {
            let chats = &self.configured.chats;
            chats.iter().any(|(slack, _)| !slack.is_posted() && slack.settings.name == name)
        };
        let configured = self.configured.posted.iter().map(|way| way.source().to_owned());
        let kept = self.kept.now().borrow().iter().map(|kept| kept.app.name.clone()).collect::<Vec<_>>();
        configured.filter(|name| !fetched(name)).chain(kept).collect()
    }

    /// The workspaces of Slack that are listened to.
    pub(crate) fn heard(&self) -> impl Iterator<Item = &str> {
        let fetched = self.configured.chats.iter().filter(|(slack, _)| !slack.is_posted());
        fetched.map(|(slack, _)| slack.settings.name.as_str())
    }
}

impl Open {
    fn add(&mut self, org: OrgId, forge: OpenForge, way: Arc<ForgeWay>) {
        self.forges.push((org, forge));
        self.asked.push(way.clone());
        self.posted.push(way);
    }

    /// Deals with what arrives, and sees to it that what is due arrives.
    fn run(&self, store: &Arc<dyn Everything>, stop: StopSignal) -> impl Future<Output = ()> + use<> {
        let mut ways = self.posted.clone();
        ways.extend(self.schedules.iter().map(|way| Arc::<ScheduleWay>::clone(way) as Arc<dyn Way>));
        let processor = Processor::new(store.clone(), ways);
        let timekeeper = Timekeeper::new(store.clone(), self.schedules.clone(), Arc::new(SystemClock));
        let asked: Vec<_> = self.asked.iter().map(|way| watched(Arc::clone(way), stop.clone())).collect();
        let listeners =
            self.chats.iter().filter_map(|(slack, way)| slack.listener(store.clone(), way.clone()));
        let heard: Vec<_> = listeners.map(|listener| listener.run(stop.clone())).collect();
        async move {
            tokio::join!(processor.run(stop.clone()), timekeeper.run(stop), join_all(asked), join_all(heard));
        }
    }

    /// How people hear of sessions where they asked for them.
    fn routes(&self, store: &Arc<dyn Everything>) -> Vec<Route> {
        let route = |(_, forge): &(OrgId, OpenForge)| {
            ForgeChannel::route(&forge.site, forge.talk.clone(), store.clone())
        };
        let slack = |(slack, _): &(OpenSlack, _)| SlackChannel::route(&slack.slack, store.clone());
        self.forges.iter().map(route).chain(self.chats.iter().map(slack)).collect()
    }

    fn sites(&self) -> Vec<Site> {
        self.forges.iter().map(|(_, forge)| forge.site.clone()).collect()
    }
}

impl App {
    /// The forges that are configured. Nothing is asked of them yet.
    pub(crate) fn open_forges(&self) -> Result<Vec<OpenForge>> {
        Ok(ForgeSettings::open(&self.config.forges, &environment)?)
    }

    /// The workspaces of Slack that are configured. Nothing is asked of them yet.
    pub(crate) fn open_slacks(&self) -> Result<Vec<OpenSlack>> {
        Ok(SlackSettings::open(&self.config.slacks, &environment)?)
    }

    /// The forges that are configured, as workers use them.
    pub(crate) async fn remote_forges(
        &self,
        git: &cofferdam_forge::Git,
        store: &dyn Everything,
    ) -> Result<Vec<RemoteForge>> {
        let mut forges = Vec::new();
        for OpenForge { settings, site, talk } in self.open_forges()? {
            let org = Place::find(store, &settings.organisation, None).await;
            let org = org.with_context(|| format!("[[forge]] {:?}", settings.name))?.org;
            forges.push(RemoteForge::new(git.clone(), org, site, talk));
        }
        Ok(forges)
    }
}

async fn place(store: &dyn Everything, forge: &OpenForge) -> Result<Place> {
    let settings = &forge.settings;
    let place = Place::find(store, &settings.organisation, settings.project.as_deref()).await;
    place.with_context(|| format!("[[forge]] {:?}", settings.name))
}

/// Asks a forge what has happened there, until told to stop.
async fn watched(way: Arc<ForgeWay>, stop: StopSignal) {
    way.watch(stop).await;
}

/// The door as it is now, and what it did not let in.
#[derive(Default)]
pub(crate) struct Porter {
    now: RwLock<Option<(Arc<Door>, Vec<Site>)>>,
    /// What was refused last under each name that there is, and when.
    refused: Mutex<HashMap<String, (Timestamp, String)>>,
}

impl Porter {
    fn now_by(&self, door: Door, sites: Vec<Site>) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Some((Arc::new(door), sites));
    }

    fn door(&self) -> Option<Arc<Door>> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.as_ref().map(|(door, _)| door.clone())
    }

    fn site(&self, name: &str) -> Option<Site> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.as_ref()?.1.iter().find(|site| site.name() == name).cloned()
    }

    /// What was refused last under a name in this process, and why.
    pub(crate) fn refused(&self, name: &str) -> Option<(Timestamp, String)> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Only names that there are get so far.
    fn note(&self, name: &str, why: &str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.insert(name.to_owned(), (now(), why.to_owned()));
    }
}

/// The same, as the server knows it.
struct Posts(Arc<Porter>);

#[async_trait]
impl Hooks for Posts {
    async fn take(&self, name: &str, headers: &http::HeaderMap, body: Vec<u8>) -> Posted {
        let Some(door) = self.0.door() else { return Posted::Unknown };
        let posted = match door.take(name, headers, body).await {
            Answer::Kept => Posted::Kept,
            Answer::Said { content_type, body } => Posted::Said { content_type, body },
            Answer::Unknown => Posted::Unknown,
            Answer::Refused(Refused::Unproved(why)) => Posted::Unproved(why),
            Answer::Refused(Refused::Malformed(why)) => Posted::Malformed(why),
            Answer::Refused(Refused::TooLarge(why)) => Posted::TooLarge(why),
            Answer::Refused(Refused::MediaType(why)) => Posted::MediaType(why),
            Answer::Away(error) => Posted::Away(Box::new(error)),
        };
        match &posted {
            Posted::Unproved(why)
            | Posted::Malformed(why)
            | Posted::TooLarge(why)
            | Posted::MediaType(why) => self.0.note(name, why),
            Posted::Kept | Posted::Said { .. } | Posted::Unknown | Posted::Away(_) => {}
        }
        posted
    }
}
