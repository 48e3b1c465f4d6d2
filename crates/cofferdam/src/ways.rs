//! The ways in, as configured: opened once, with everything that hangs on them.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use cofferdam_forge::{RemoteForge, remote::Site};
use cofferdam_intake::{
    Answer, Door, ForgeSettings, HookSettings, HookWay, OpenForge, Place, Processor, Refused,
    ScheduleSettings, ScheduleWay, SystemClock, Timekeeper, Way, now,
};
use cofferdam_server::{Hooks, Posted, Threads};
use cofferdam_store::Everything;
use cofferdam_tell::{ForgeChannel, Route};
use cofferdam_worker::StopSignal;

use crate::compose::{App, environment};

/// The ways in.
pub(crate) struct Ways {
    forges: Vec<OpenForge>,
    /// Those by which something is posted.
    posted: Vec<Arc<dyn Way>>,
    schedules: Vec<Arc<ScheduleWay>>,
}

impl Ways {
    /// Opens them. `model` is what sessions are worked on with that begin there.
    pub(crate) async fn open(app: &App, store: &Arc<dyn Everything>, model: Option<String>) -> Result<Self> {
        let forges = app.open_forges()?;
        let mut posted: Vec<Arc<dyn Way>> = Vec::new();
        for forge in &forges {
            let place = place(&**store, forge).await?;
            posted.push(Arc::new(forge.way(store.clone(), place, model.clone(), &environment)?));
        }
        let hooks = HookSettings::hooks(&app.config.hooks, &environment)?;
        for (hook, table) in hooks.into_iter().zip(&app.config.hooks) {
            let place = Place::find(&**store, &table.organisation, table.project.as_deref()).await;
            let place = place.with_context(|| format!("[[hook]] {:?}", table.name))?;
            posted.push(Arc::new(HookWay::new(store.clone(), hook, place, model.clone())));
        }
        let mut schedules = Vec::new();
        let kept = ScheduleSettings::schedules(&app.config.schedules, now())?;
        for (schedule, table) in kept.into_iter().zip(&app.config.schedules) {
            let place = Place::find(&**store, &table.organisation, table.project.as_deref()).await;
            let place = place.with_context(|| format!("[[schedule]] {:?}", table.name))?;
            schedules.push(Arc::new(ScheduleWay::new(store.clone(), schedule, place, model.clone())));
        }
        let mut names: Vec<&str> = posted.iter().map(|way| way.source()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!("two tables are named {:?}: what is posted to /hooks/ needs a name of its own", twice[0]);
        }
        Ok(Self { forges, posted, schedules })
    }

    /// Takes what is posted; nothing where nothing is.
    pub(crate) fn hooks(&self, store: &Arc<dyn Everything>) -> Option<Box<dyn Hooks>> {
        if self.posted.is_empty() {
            return None;
        }
        Some(Box::new(Porter(Door::new(store.clone(), self.posted.clone()))))
    }

    /// Deals with what arrives, and sees to it that what is due arrives.
    pub(crate) fn run(
        &self,
        store: &Arc<dyn Everything>,
        stop: StopSignal,
    ) -> impl Future<Output = ()> + use<> {
        let mut ways = self.posted.clone();
        ways.extend(self.schedules.iter().map(|way| Arc::<ScheduleWay>::clone(way) as Arc<dyn Way>));
        let processor = Processor::new(store.clone(), ways);
        let timekeeper = Timekeeper::new(store.clone(), self.schedules.clone(), Arc::new(SystemClock));
        async move {
            tokio::join!(processor.run(stop.clone()), timekeeper.run(stop));
        }
    }

    /// How people hear of sessions where they asked for them.
    pub(crate) fn routes(&self, store: &Arc<dyn Everything>) -> Vec<Route> {
        let route = |forge: &OpenForge| ForgeChannel::route(&forge.site, forge.talk.clone(), store.clone());
        self.forges.iter().map(route).collect()
    }

    /// Finds the pages of what people have asked on.
    pub(crate) fn threads(&self) -> Threads {
        let sites: Vec<Site> = self.forges.iter().map(|forge| forge.site.clone()).collect();
        Threads::new(move |thread| {
            let site = sites.iter().find(|site| site.name() == thread.forge)?;
            Some(site.page(&thread.path, thread.subject).to_string())
        })
    }

    /// What is posted where, for whoever sets the senders up.
    pub(crate) fn posted(&self) -> impl Iterator<Item = &str> {
        self.posted.iter().map(|way| way.source())
    }
}

impl App {
    /// The forges that are configured. Nothing is asked of them yet.
    pub(crate) fn open_forges(&self) -> Result<Vec<OpenForge>> {
        Ok(ForgeSettings::open(&self.config.forges, &environment)?)
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

/// The door, as the server knows it.
struct Porter(Door);

#[async_trait]
impl Hooks for Porter {
    async fn take(&self, name: &str, headers: &http::HeaderMap, body: Vec<u8>) -> Posted {
        match self.0.take(name, headers, body).await {
            Answer::Kept => Posted::Kept,
            Answer::Said { content_type, body } => Posted::Said { content_type, body },
            Answer::Unknown => Posted::Unknown,
            Answer::Refused(Refused::Unproved(why)) => Posted::Unproved(why),
            Answer::Refused(Refused::Malformed(why)) => Posted::Malformed(why),
            Answer::Refused(Refused::TooLarge(why)) => Posted::TooLarge(why),
            Answer::Refused(Refused::MediaType(why)) => Posted::MediaType(why),
            Answer::Away(error) => Posted::Away(Box::new(error)),
        }
    }
}
