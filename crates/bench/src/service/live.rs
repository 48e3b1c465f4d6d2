//! Many who watch: how soon each has what was appended, and what it costs the server.

use std::time::Instant;

use anyhow::{Context as _, Result};
use cofferdam_domain::{Audience, EventBody, Integrity, Label, SessionId, Timestamp};
use cofferdam_store::{Everything, Writer};
use futures_util::future::try_join_all;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{
    ask::Client,
    place::{Ground, Place, Settings},
    title,
    work::give,
};
use crate::{
    figures::{Samples, say},
    process::{processor, resident},
};

/// Watchers of one user: not more than a server allows one.
const OF_ONE: usize = 50;
/// Events that are watched for.
const EVENTS: usize = 200;
/// Sessions that the watchers are spread over.
const SESSIONS: usize = 100;
/// Bytes of text in an event: a usual answer of a model.
const TEXT: usize = 1500;

/// What is watched of a session.
#[derive(Clone, Copy)]
enum Watched {
    /// Its events, by a program.
    Events,
    /// Its page, in a browser.
    Page,
}

impl Watched {
    fn path(self, session: &str) -> String {
        match self {
            Self::Events => format!("/api/v1/sessions/{session}/events/live?after=0"),
            Self::Page => format!("/sessions/{session}/live?after=0"),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Page => "pages",
        }
    }
}

/// On each database: all watch one session, then they are spread over many.
pub(crate) async fn measure(ground: &Ground, watchers: usize) -> Result<()> {
    title(&format!(
        "{watchers} watchers; from the begin of an append to each of those who watch its session"
    ));
    say(&format!(
        "  {:<28} {:>10} {:>10} {:>10} {:>12} {:>15} {:>15}",
        "", "p50 µs", "p99 µs", "append µs", "a watcher kB", "CPU µs an event", "CPU µs each"
    ));
    for kind in ground.kinds() {
        for (sessions, what) in
            [(1, Watched::Events), (SESSIONS, Watched::Events), (1, Watched::Page), (SESSIONS, Watched::Page)]
        {
            let place = ground.place(kind, &Settings::idle())?;
            let name = format!("{}, {} of {sessions}", kind.name(), what.name());
            watch(&place, &name, what, sessions, watchers).await?;
        }
    }
    Ok(())
}

async fn watch(place: &Place, name: &str, what: Watched, sessions: usize, watchers: usize) -> Result<()> {
    let users = watchers.div_ceil(OF_ONE);
    let mut tokens = vec![place.token("local")?];
    for number in 1..users {
        let user = format!("watcher-{number}");
        place.run(&["admin", "user", &user, "--rank", "member"])?;
        tokens.push(place.token(&user)?);
    }
    let server = place.serve("server")?;
    let first = tokens.first().context("nobody watches")?;
    let given = give(&server.address, first, &place.task("Wait.", 0), sessions).await?;
    let idle = resident(server.pid());
    let (tell, mut heard) = unbounded_channel();
    let connecting = (0..watchers).map(|number| {
        let (token, session) = (&tokens[number / OF_ONE], &given[number % sessions]);
        let (tell, address) = (tell.clone(), &server.address);
        async move { Client::connect(address, token).await?.watch(what.path(session), tell).await }
    });
    for one in try_join_all(connecting).await? {
        // Each has the first event at once.
        heard.recv().await.context("a stream ended")?;
        let () = one;
    }
    let memory = resident(server.pid()).saturating_sub(idle);
    let store = place.store().await?;
    let each = watchers / sessions;
    let (mut times, mut appends) = (Samples::default(), Samples::default());
    let before = processor(server.pid());
    for event in 0..EVENTS {
        let session = given[event % sessions].parse()?;
        let begun = Instant::now();
        append(&*store, session).await?;
        appends.push(begun.elapsed());
        hear(&mut heard, begun, each, &mut times).await?;
    }
    let spent = (processor(server.pid()) - before) * 1e6 / EVENTS as f64;
    say(&format!(
        "  {name:<28} {:>10.0} {:>10.0} {:>10.0} {:>12.1} {spent:>15.0} {:>15.1}",
        times.median(),
        times.p99(),
        appends.median(),
        memory as f64 / watchers as f64,
        spent / each as f64
    ));
    Ok(())
}

/// Waits until so many have heard.
async fn hear(
    heard: &mut UnboundedReceiver<Instant>,
    begun: Instant,
    watchers: usize,
    times: &mut Samples,
) -> Result<()> {
    for _ in 0..watchers {
        times.push(heard.recv().await.context("a stream ended")? - begun);
    }
    Ok(())
}

async fn append(store: &dyn Everything, session: SessionId) -> Result<()> {
    let label = Label { integrity: Integrity::Member, audience: Audience::Repository };
    let message =
        EventBody::MessageReceived { from: "ann".to_owned(), text: "x".repeat(TEXT), label, about: None };
    store.append(session, Writer::Anybody, Timestamp(2), vec![message]).await?;
    Ok(())
}
