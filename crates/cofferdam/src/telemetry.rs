//! What this process counts and tells of its sessions, put together.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use cofferdam_domain::{
    Answer, Event, ModelRequest, Seq, SessionId,
    event::{EditFormat, ModelInfo},
};
use cofferdam_model::{Model, ModelError, Progress};
use cofferdam_server::Numbers;
use cofferdam_store::{Store, StoreError};
use cofferdam_telemetry::{
    Exporter, GivenBack, Logs, Page, Parts, Settings, SpanCounts, Table, Tally, Told, Unread,
};
use cofferdam_tools::Toolbox;
use cofferdam_worker::{Ended, Live, ServiceNews, Watch};
use tokio::time::Instant;

use crate::{compose::environment, terminal::complain};

/// What is counted in this process.
#[derive(Clone)]
pub(crate) struct Counted {
    pub(crate) tally: Arc<Tally>,
    spans: Arc<SpanCounts>,
}

impl Counted {
    /// From zero.
    pub(crate) fn new() -> Self {
        let tools =
            [EditFormat::Replace, EditFormat::ApplyPatch].map(|edits| Toolbox::standard(edits).specs());
        let names = tools.into_iter().flatten().map(|tool| tool.name);
        Self { tally: Arc::new(Tally::new(names)), spans: Arc::default() }
    }

    /// All of it as text, whenever somebody asks.
    pub(crate) fn numbers(&self) -> Numbers {
        let counted = self.clone();
        Arc::new(move || counted.text())
    }

    fn text(&self) -> String {
        let mut page = Page::default();
        if let Some(bytes) = resident() {
            let (name, help) = ("process_resident_memory_bytes", "Memory of this process");
            page.single(name, "gauge", help, bytes);
        }
        self.tally.write(&mut page);
        self.spans.write(&mut page);
        page.into_text()
    }
}

/// Bytes of memory that this process has: proc_pid_statm(5).
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Counts what happens to a worker.
pub(crate) fn count(tally: &Tally, news: ServiceNews<'_>) {
    match news {
        ServiceNews::Taken(session, _) => tally.taken(session),
        ServiceNews::Released(session, Ended::Interrupted) | ServiceNews::TakenBack(session) => {
            tally.given_back(session, GivenBack::HandedOver);
        }
        ServiceNews::Released(session, _) => tally.given_back(session, GivenBack::Done),
        ServiceNews::Failed(session) => tally.given_back(session, GivenBack::Failed),
        ServiceNews::Overtaken(session) => tally.given_back(session, GivenBack::Overtaken),
        ServiceNews::Deleted(session) => tally.given_back(session, GivenBack::Deleted),
        ServiceNews::Lost => tally.lost(),
        ServiceNews::StoreFailed(_) => tally.store_failed(),
        ServiceNews::Entered(_) | ServiceNews::Because(..) | ServiceNews::Draining(_) => {}
    }
}

/// Who listens to what an exporter has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ear {
    /// The log of a service.
    Log,
    /// Nobody, until the end.
    Nobody,
}

/// Watches sessions: counts what happens, and has spans made of it.
pub(crate) struct Telling {
    tally: Arc<Tally>,
    exporter: Option<Exporter>,
}

impl Telling {
    /// As configured. Mistakes in the file are errors; those in the environment, which is not for this program alone, are said, and nothing is sent.
    pub(crate) fn start(
        table: &Table,
        counted: &Counted,
        store: Arc<dyn Store>,
        data: &Path,
        instance: &str,
        ear: Ear,
    ) -> Result<Arc<Self>> {
        Settings::resolve(table, instance, &|_| None)?;
        let settings = Settings::resolve(table, instance, &environment).unwrap_or_else(|error| {
            complain(&format!("no traces are sent: {error}"));
            None
        });
        let exporter = settings.map(|settings| exporter(settings, counted, store, data, ear)).transpose()?;
        Ok(Arc::new(Self { tally: counted.tally.clone(), exporter }))
    }

    /// Whether spans are sent anywhere.
    pub(crate) const fn has_collector(&self) -> bool {
        self.exporter.is_some()
    }

    /// Delivers what there is. What is lost or late by then is said.
    pub(crate) async fn finish(&self) {
        let Some(exporter) = &self.exporter else { return };
        let left = exporter.finish(PATIENCE).await;
        if left.dropped > 0 {
            complain(&format!(
                "{} spans of the trace are lost: the collector did not take them",
                left.dropped
            ));
        }
        if left.sessions > 0 {
            complain(
                "the collector did not take the whole trace; the next run on this data directory goes on with it",
            );
        }
    }
}

/// How long the end of a process may take because of a collector.
const PATIENCE: Duration = Duration::from_secs(3);

fn exporter(
    settings: Settings,
    counted: &Counted,
    store: Arc<dyn Store>,
    data: &Path,
    ear: Ear,
) -> Result<Exporter> {
    let client = cofferdam_model::http_client(settings.address()).context("the collector")?;
    Ok(Exporter::start(Parts {
        logs: Arc::new(Stored(store)),
        settings,
        client,
        journal: Some(data.join(JOURNAL)),
        counts: counted.spans.clone(),
        told: match ear {
            Ear::Log => Arc::new(tell),
            Ear::Nobody => Arc::new(|_| ()),
        },
    }))
}

/// Where in the data directory is noted whose spans are not delivered.
pub(crate) const JOURNAL: &str = "telemetry";

/// Writes down what happens to spans.
fn tell(told: Told<'_>) {
    match told {
        Told::Away(why) => tracing::warn!(why, "the collector takes no spans; they wait"),
        Told::Back => tracing::info!("the collector takes spans again"),
        Told::Refused(spans, status) => {
            tracing::warn!(spans, status, "the collector refused spans: they are lost")
        }
        Told::Rejected(spans) => tracing::warn!(spans, "the collector rejected spans: they are lost"),
        Told::Behind(spans) => {
            tracing::warn!(spans, "too many sessions while the collector was away: their spans are lost");
        }
        Told::Unread(error) => tracing::warn!(%error, "a log cannot be read for its spans"),
    }
}

/// Logs come from the store.
struct Stored(Arc<dyn Store>);

#[async_trait]
impl Logs for Stored {
    async fn read(&self, session: SessionId, after: Seq, limit: u32) -> Result<Vec<Event>, Unread> {
        self.0.read(session, after, limit).await.map_err(|error| {
            if matches!(error, StoreError::UnknownSession(_)) {
                Unread::Gone
            } else {
                Unread::Later(Box::new(error))
            }
        })
    }
}

impl Watch for Telling {
    fn event(&self, event: &Event) {
        self.tally.event(event);
        if let Some(exporter) = &self.exporter {
            exporter.heard(event.session, event.seq);
        }
    }

    fn below(&self, event: &Event) {
        self.event(event);
    }

    fn live(&self, _: Live<'_>) {}

    fn written(&self, took: Duration) {
        self.tally.appended(took);
    }
}

/// Two who watch the same.
pub(crate) struct Both(pub(crate) Arc<dyn Watch>, pub(crate) Arc<Telling>);

impl Watch for Both {
    fn event(&self, event: &Event) {
        self.0.event(event);
        self.1.event(event);
    }

    fn below(&self, event: &Event) {
        self.0.below(event);
        self.1.below(event);
    }

    fn live(&self, live: Live<'_>) {
        self.0.live(live);
    }

    fn written(&self, took: Duration) {
        self.1.written(took);
    }
}

/// A model whose calls are counted.
pub(crate) struct CountedModel {
    pub(crate) model: Box<dyn Model>,
    pub(crate) tally: Arc<Tally>,
}

#[async_trait]
impl Model for CountedModel {
    fn info(&self) -> &ModelInfo {
        self.model.info()
    }

    async fn ask(
        &mut self,
        request: &ModelRequest,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Answer, ModelError> {
        let begun = Instant::now();
        let result = self.model.ask(request, progress).await;
        let seen = result.as_ref().map_err(|error| error.kind);
        self.tally.model_called(self.model.info(), seen, begun.elapsed());
        result
    }
}
