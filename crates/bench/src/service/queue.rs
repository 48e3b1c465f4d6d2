//! The queue and the lists when many sessions wait: none of it may grow with their number.

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use cofferdam_domain::{EventBody, Owner, SessionId, Source, Task, Timestamp, UserId};
use cofferdam_store::{Everything, Placement, Release, Shares, Ticket};
use futures_util::future::try_join_all;

use super::{
    accept::prompt,
    ask::Client,
    place::{Ground, Settings},
};
use crate::figures::{Samples, head, row_p99, say};

/// Tasks that are put into the store at once.
const AT_ONCE: usize = 64;
const OWNERS: u128 = 1000;
const ROUNDS: usize = 100;
/// Sessions that run meanwhile: whose turn it is depends on them.
const RUNNING: usize = 20;

/// What is looked at while so many wait.
const LOOKS: [&str; 5] = [
    "/api/v1/sessions",
    "/api/v1/sessions?state=queued&limit=200",
    "/api/v1/sessions?text=no+such+text",
    "/",
    "/metrics",
];

/// On each database, with more and more that wait.
pub(crate) async fn measure(ground: &Ground, waiting: &[usize]) -> Result<()> {
    for kind in ground.kinds() {
        let place = ground.place(kind, &Settings::idle())?;
        let token = place.token("local")?;
        let server = place.serve("server")?;
        let store = place.store().await?;
        let task = place.task(&prompt(), 0);
        let mut there = 2 * RUNNING;
        fill(&store, there).await?;
        let mut first: Option<Vec<Samples>> = None;
        for depth in [0].into_iter().chain(waiting.iter().copied()) {
            let missing = depth.saturating_sub(there);
            let started = Instant::now();
            fill(&store, missing).await?;
            let rate = missing as f64 / started.elapsed().as_secs_f64();
            there += missing;
            head(&format!("{}: {there} sessions wait", kind.name()), "few");
            if missing > 0 {
                say(&format!("  {missing} put into the store, {AT_ONCE} at once: {rate:.0} a second"));
            }
            // Not before: the server lets go of whoever says nothing for as long as it takes to fill the queue.
            let mut client = Client::connect(&server.address, &token).await?;
            let times = look(&store, &mut client, &task).await?;
            there += ROUNDS;
            let floors = first.get_or_insert_with(|| times.clone());
            for ((name, samples), floor) in names().zip(&times).zip(&*floors) {
                row_p99(&name, samples, floor);
            }
        }
        hog(&store).await?;
        server.end()?;
    }
    Ok(())
}

fn names() -> impl Iterator<Item = String> {
    let own = ["the next taken from the queue", "given back", "a task accepted over HTTP"];
    own.map(str::to_owned).into_iter().chain(LOOKS.map(|path| format!("GET {path}")))
}

/// Takes and gives back, accepts, and looks at lists, in turns.
async fn look(store: &Arc<dyn Everything>, client: &mut Client, task: &str) -> Result<Vec<Samples>> {
    let presence = store.enter("bench", Duration::from_secs(3600)).await?;
    let mut running = Vec::new();
    for _ in 0..RUNNING {
        running.extend(store.next(&presence, shares(99)).await?);
    }
    let mut times = vec![Samples::default(); names().count()];
    for _ in 0..ROUNDS {
        let mut measured = times.iter_mut();
        let mut note = |started: Instant| {
            if let Some(samples) = measured.next() {
                samples.push(started.elapsed());
            }
        };
        let started = Instant::now();
        let taken = store.next(&presence, shares(99)).await?.context("nothing waits")?;
        note(started);
        let started = Instant::now();
        store.release(taken, Release::HandOver).await?;
        note(started);
        let started = Instant::now();
        client.accept(task, None).await?;
        note(started);
        for path in LOOKS {
            let started = Instant::now();
            client.get(path).await?;
            note(started);
        }
    }
    for taken in running {
        store.release(taken, Release::HandOver).await?;
    }
    store.leave(presence).await?;
    Ok(times)
}

/// Those who wait longest belong to somebody who has their share: others' turns come first.
async fn hog(store: &Arc<dyn Everything>) -> Result<()> {
    for _ in 0..2 * AT_ONCE {
        enqueue(store, 0, 9).await?;
    }
    let presence = store.enter("bench", Duration::from_secs(3600)).await?;
    let first = store.next(&presence, shares(1)).await?;
    let mut times = Samples::default();
    for _ in 0..ROUNDS / 2 {
        let started = Instant::now();
        let taken = store.next(&presence, shares(1)).await?.context("nothing waits")?;
        times.push(started.elapsed());
        store.release(taken, Release::HandOver).await?;
    }
    drop(first);
    row_p99("the next taken, past an owner who has their share", &times, &times);
    store.leave(presence).await?;
    Ok(())
}

/// Puts so many more into the queue, of many owners of one organisation.
pub(crate) async fn fill(store: &Arc<dyn Everything>, more: usize) -> Result<()> {
    let workers = (0..AT_ONCE.min(more)).map(|worker| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for number in (worker..more).step_by(AT_ONCE) {
                enqueue(&store, number as u128 % OWNERS, 0).await?;
            }
            anyhow::Ok(())
        })
    });
    for done in try_join_all(workers).await? {
        done?;
    }
    Ok(())
}

fn shares(per_user: u32) -> Shares {
    let many = NonZeroU32::MAX;
    Shares { per_user: NonZeroU32::new(per_user).unwrap_or(many), per_org: many, per_repository: many }
}

async fn enqueue(store: &Arc<dyn Everything>, user: u128, priority: i16) -> Result<()> {
    let owner = Owner { user: UserId::from_u128(user + 1), ..Owner::LOCAL };
    let ticket = Ticket { owner, placement: Placement::Queued { priority } };
    let task = Task::new(prompt(), "/srv/r".into(), None, "ann".into(), Source::Api)?;
    let first = EventBody::TaskAccepted { task };
    store.enqueue(ticket, SessionId::generate(), Timestamp(1), first, Vec::new()).await?;
    Ok(())
}
