//! The forges whose apps were made from the pages: read from the store, opened with their own secrets, and followed as they come and go, in every
//! process that works with forges.

use std::sync::Arc;

use anyhow::{Result, bail};
use cofferdam_domain::{OrgId, Secret, StoredSecretId, Timestamp};
use cofferdam_forge::{Forges, Git, RemoteForge};
use cofferdam_intake::{ForgeSettings, OpenForge};
use cofferdam_server::{BelongTogether, ForgeWish, sealed_as};
use cofferdam_store::{Everything, KeptApp, Sealed, StoreError};
use cofferdam_worker::StopSignal;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex, watch},
    time::{Duration, sleep},
};

use crate::{compose::App, secrets::Secrets};

/// What settings name that an app's secrets are read by.
const KEY: &str = "key";
const HOOK_SECRET: &str = "hook_secret";
/// How often a forge is asked that does not tell by itself.
const POLL: &str = "1m";
/// How often one may be asked at most whose settings come from the pages: several organisations may share a server.
const SHORTEST_POLL: Duration = Duration::from_secs(10);
/// How long a store is left alone that does not answer.
const PAUSE: Duration = Duration::from_secs(5);

/// What is kept of an app, encrypted.
#[derive(Serialize, Deserialize)]
struct AppSecrets {
    key: String,
    hook_secret: Option<String>,
}

/// How the forge of an app is worked with other than by the defaults, as it is kept: what a table says in the same words.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AppSettings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    poll: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    together: Vec<Together>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Together {
    repository: String,
    also: Vec<String>,
}

/// Changes what is kept of an app, where something new is said, and leaves the rest as it is.
pub(crate) fn changed_settings(
    app: &KeptApp,
    poll: Option<&str>,
    together: Option<Vec<BelongTogether>>,
) -> Result<String, String> {
    let AppSettings { poll: before, together: others } = kept(app).map_err(|error| error.to_string())?;
    let known = |one: Together| BelongTogether { repository: one.repository, also: one.also };
    kept_settings(&ForgeWish {
        every: poll.map_or(before, |poll| Some(poll.trim().to_owned()).filter(|poll| !poll.is_empty())),
        together: together.unwrap_or_else(|| others.into_iter().map(known).collect()),
    })
}

fn kept(app: &KeptApp) -> serde_json::Result<AppSettings> {
    match &*app.settings {
        "" => Ok(AppSettings::default()),
        settings => serde_json::from_str(settings),
    }
}

/// Those settings, as they are to be kept; otherwise what is wrong with them.
pub(crate) fn kept_settings(wish: &ForgeWish) -> Result<String, String> {
    let one = |one: &BelongTogether| Together { repository: one.repository.clone(), also: one.also.clone() };
    let wanted = AppSettings { poll: wish.every.clone(), together: wish.together.iter().map(one).collect() };
    let text = serde_json::to_string(&wanted).map_err(|error| error.to_string())?;
    let any = KeptApp {
        name: "any".to_owned(),
        org: OrgId::generate(),
        web: "https://forge.example".to_owned(),
        number: 1,
        page: String::new(),
        hears: true,
        settings: text.clone(),
        sealed: Vec::new(),
        at: Timestamp(0),
        by: String::new(),
    };
    let table = settings(&any, false).map_err(|error| error.to_string())?;
    table.check().map_err(|why| why.replace("[[forge.together]]: ", ""))?;
    if table.every().is_some_and(|every| every < SHORTEST_POLL) {
        return Err("it is asked every 10s at most".to_owned());
    }
    Ok(text)
}

/// An app's secrets as they are kept.
pub(crate) fn written(key: &Secret, hook_secret: Option<&Secret>) -> Result<Secret, serde_json::Error> {
    let hook_secret = hook_secret.map(|secret| secret.expose().to_owned());
    let secrets = AppSecrets { key: key.expose().to_owned(), hook_secret };
    serde_json::to_string(&secrets).map(Secret::new)
}

/// An app, and the forge that is asked as it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct KeptForge {
    /// As it is kept.
    pub(crate) app: Arc<KeptApp>,
    /// The forge; otherwise why it cannot be worked with here.
    pub(crate) open: Result<OpenForge, String>,
    hook_secret: Option<Secret>,
}

impl KeptForge {
    /// Reads what the settings of the forge name.
    pub(crate) fn secret(&self, name: &str) -> Option<String> {
        let secret = self.hook_secret.as_ref().filter(|_| name == HOOK_SECRET);
        secret.map(|secret| secret.expose().to_owned())
    }
}

/// All of them, as they are now.
pub(crate) struct KeptForges {
    store: Arc<dyn Everything>,
    secrets: Arc<Secrets>,
    /// Names that the configuration has.
    configured: Vec<String>,
    now: watch::Sender<Vec<KeptForge>>,
    /// Held while it is looked.
    looking: Mutex<()>,
}

impl KeptForges {
    /// Reads them. Fails where the configuration has the name of one, so that nobody wonders which of them is meant.
    pub(crate) async fn open(app: &App, store: &Arc<dyn Everything>) -> Result<Arc<Self>> {
        let config = &app.config;
        let forges = config.forges.iter().map(|table| table.name.clone());
        let hooks = config.hooks.iter().map(|table| table.name.clone());
        let configured = forges.chain(hooks).chain(config.slacks.iter().map(|table| table.name.clone()));
        let kept = Self {
            store: store.clone(),
            secrets: app.secrets(store),
            configured: configured.collect(),
            now: watch::Sender::new(Vec::new()),
            looking: Mutex::default(),
        };
        if let Some(both) = kept.store.apps().await?.iter().find(|app| kept.is_configured(&app.name)) {
            bail!(
                "{name:?} is both a table of the configuration and an app that was connected on the page /forges: give the table another name, or \
                 leave it out, start, and remove the app there",
                name = both.name
            );
        }
        kept.look().await?;
        Ok(Arc::new(kept))
    }

    /// Whether the configuration has this name.
    pub(crate) fn is_configured(&self, name: &str) -> bool {
        self.configured.iter().any(|known| known == name)
    }

    /// Hears of each change.
    pub(crate) fn now(&self) -> watch::Receiver<Vec<KeptForge>> {
        self.now.subscribe()
    }

    /// Looks which there are. One that is open already stays so, with what its forge has said.
    pub(crate) async fn look(&self) -> Result<(), StoreError> {
        let _looking = self.looking.lock().await;
        let apps = self.store.apps().await?;
        let before = self.now.borrow().clone();
        let mut now = Vec::with_capacity(apps.len());
        for app in apps {
            let known = before.iter().find(|kept| kept.open.is_ok() && *kept.app == app);
            now.push(match known {
                Some(known) => known.clone(),
                None => self.opened(app).await,
            });
        }
        self.now.send_if_modified(|known| {
            let is_same = known.len() == now.len()
                && known.iter().zip(&now).all(|(one, other)| {
                    one.app == other.app && one.open.as_ref().err() == other.open.as_ref().err()
                });
            if !is_same {
                *known = now;
            }
            !is_same
        });
        Ok(())
    }

    async fn opened(&self, app: KeptApp) -> KeptForge {
        let (open, hook_secret) = if self.is_configured(&app.name) {
            let why = "the configuration has a table of this name, which goes before it: give that another name, or remove the app";
            (Err(why.to_owned()), None)
        } else {
            match self.open_one(&app).await {
                Ok((forge, hook_secret)) => (Ok(forge), hook_secret),
                Err(why) => (Err(why), None),
            }
        };
        if let Err(reason) = &open {
            tracing::error!(name = app.name, reason, "a forge that was connected on the pages is left out");
        }
        KeptForge { app: Arc::new(app), open, hook_secret }
    }

    async fn open_one(&self, app: &KeptApp) -> Result<(OpenForge, Option<Secret>), String> {
        let sealed = Sealed {
            id: StoredSecretId::generate(),
            name: sealed_as(&app.name),
            bytes: app.sealed.clone(),
            at: app.at,
        };
        let text = self.secrets.unsealed(app.org, &sealed).await;
        let text = text.map_err(|why| format!("its key cannot be had: the store {why}"))?;
        let AppSecrets { key, hook_secret } = serde_json::from_str(text.expose()).map_err(|_| {
            "its key is not as this version keeps it: remove it, and connect it anew".to_owned()
        })?;
        let hook_secret = hook_secret.map(Secret::new).filter(|_| app.hears);
        let settings = settings(app, hook_secret.is_some()).map_err(|error| error.to_string())?;
        let read = |name: &str| (name == KEY).then(|| key.clone());
        let mut opened = ForgeSettings::open(&[settings], &read).map_err(|error| error.to_string())?;
        Ok((opened.remove(0), hook_secret))
    }

    /// Looks again whenever something may have changed, until told to stop.
    pub(crate) async fn follow(&self, mut stop: StopSignal) {
        tokio::select! {
            // Nobody can ask any more where that fails.
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.look_on() => {}
        }
    }

    /// For ever.
    async fn look_on(&self) {
        loop {
            match self.store.apps_changed() {
                Ok(mut changes) => {
                    while changes.next().await.is_some() {
                        if let Err(error) = self.look().await {
                            tracing::warn!(%error, "the apps of forges cannot be read");
                            break;
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "nobody hears of apps that are made"),
            }
            sleep(PAUSE).await;
        }
    }

    /// Teaches a worker's forges which there are, now and until told to stop.
    pub(crate) async fn teach(&self, forges: Forges, git: Git, mut stop: StopSignal) {
        let mut now = self.now();
        loop {
            forges.learn(remote(&git, &now.borrow_and_update()));
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                changed = now.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// As workers use them.
pub(crate) fn remote(git: &Git, kept: &[KeptForge]) -> Vec<RemoteForge> {
    let open = kept.iter().filter_map(|kept| Some((kept.app.org, kept.open.as_ref().ok()?)));
    open.map(|(org, forge)| RemoteForge::new(git.clone(), org, forge.site.clone(), forge.talk.clone()))
        .collect()
}

/// The forge of an app, as a table would say it.
fn settings(app: &KeptApp, hears: bool) -> serde_json::Result<ForgeSettings> {
    let mut table = serde_json::json!({
        "name": app.name,
        "kind": "github",
        "url": app.web,
        "app": { "id": app.number.to_string(), "key": { "env": KEY } },
        "organisation": app.org.to_string(),
        // Only where the operator has listed such an address can an app be made there.
        "plain_http": true,
    });
    let AppSettings { poll, together } = kept(app)?;
    if hears {
        table["hook_secret"] = serde_json::json!({ "env": HOOK_SECRET });
    }
    if let Some(poll) = poll.or_else(|| (!hears).then(|| POLL.to_owned())) {
        table["poll"] = poll.into();
    }
    table["together"] = serde_json::to_value(together)?;
    serde_json::from_value(table)
}
