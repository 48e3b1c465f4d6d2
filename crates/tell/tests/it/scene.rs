//! A store with a session in it, and somebody who tells of it.

use std::{path::Path, sync::Arc, time::Duration};

use cofferdam_domain::{CallId, EventBody, Owner, SessionId, Source, Task, Timestamp};
use cofferdam_store::{Everything, Placement, Posted, Ticket, Writer};
use cofferdam_tell::{Patience, TellSettings, Teller};
use serde::Deserialize;
use tokio::{sync::watch, task::JoinHandle};

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Quick enough for a test.
pub(crate) const PATIENCE: Patience = Patience {
    request: Duration::from_secs(2),
    lease: Duration::from_secs(3),
    first: Duration::from_millis(20),
    give_up: Duration::from_secs(3600),
};

pub(crate) struct Scene {
    pub(crate) store: Arc<dyn Everything>,
    pub(crate) session: SessionId,
    stop: watch::Sender<bool>,
    telling: Option<JoinHandle<()>>,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp(u64::try_from(since.as_millis()).unwrap())
}

/// A channel to this receiver.
pub(crate) fn webhook(name: &str, url: &str) -> String {
    format!("[[tell]]\nname = '{name}'\nwebhook = {{ url = '{url}', secret = {{ env = 'SECRET' }} }}\n")
}

pub(crate) async fn teller(store: Arc<dyn Everything>, tables: &str, patience: Patience) -> Teller {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        tell: Vec<TellSettings>,
    }
    let file: File = toml::from_str(tables).unwrap();
    let environment = |name: &str| (name == "SECRET").then(|| SECRET.to_owned());
    let routes = TellSettings::routes(&file.tell, patience, &environment).unwrap();
    Teller::new(store, routes, Some("https://c.example".into()), patience)
}

pub(crate) async fn queued(store: &dyn Everything) -> SessionId {
    let session = SessionId::generate();
    let task = Task::new("Fix it".into(), "/r".into(), None, "ann".into(), Source::Cli).unwrap();
    let ticket = Ticket { owner: Owner::LOCAL, placement: Placement::Queued { priority: 0 } };
    store.enqueue(ticket, session, now(), EventBody::TaskAccepted { task }, Vec::new()).await.unwrap();
    session
}

pub(crate) async fn ask(store: &dyn Everything, session: SessionId, question: &str) {
    let call = CallId { step: 1, index: 0 };
    let asked = EventBody::QuestionAsked { call, question: question.to_owned() };
    store.append(session, Writer::Anybody, now(), vec![asked]).await.unwrap();
}

pub(crate) async fn open(folder: &Path) -> Arc<dyn Everything> {
    cofferdam_store::open(folder.to_str().unwrap()).await.unwrap()
}

impl Scene {
    pub(crate) async fn new(tables: &str) -> Self {
        Self::with(tables, PATIENCE).await
    }

    pub(crate) async fn with(tables: &str, patience: Patience) -> Self {
        let mut scene = Self::silent().await;
        let (stop, stopped) = watch::channel(false);
        let teller = teller(scene.store.clone(), tables, patience).await;
        scene.stop = stop;
        scene.telling = Some(tokio::spawn(teller.run(stopped)));
        scene
    }

    /// One in which nobody tells anything.
    pub(crate) async fn silent() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        let session = queued(&*store).await;
        Self { store, session, stop: watch::Sender::new(false), telling: None, folder }
    }

    pub(crate) async fn ask(&self, question: &str) {
        ask(&*self.store, self.session, question).await;
    }

    pub(crate) async fn letters(&self) -> Vec<Posted> {
        self.store.letters(Owner::LOCAL.org, None, 100).await.unwrap()
    }

    /// Waits until the outbox is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&[Posted]) -> bool) -> Vec<Posted> {
        let waited = async {
            loop {
                let letters = self.letters().await;
                if wanted(&letters) {
                    return letters;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waited).await.unwrap()
    }

    pub(crate) async fn end(mut self) {
        self.stop.send_replace(true);
        if let Some(telling) = self.telling.take() {
            telling.await.unwrap();
        }
    }
}

/// All letters are dealt with.
pub(crate) fn done(letters: &[Posted]) -> bool {
    !letters.is_empty() && letters.iter().all(|letter| letter.done.is_some())
}
