//! How fast tasks are accepted for good over HTTP, beside the database's own inserts.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::try_join_all;

use super::{
    ask::Client,
    floor::Floor,
    place::{Ground, Settings},
};
use crate::figures::{Samples, head, row_p99, say};

/// Clients that give tasks at once.
const AT_ONCE: usize = 64;
/// Rounds of so many at once.
const ROUNDS: usize = 15;

/// On each database: one after the other, then many at once.
pub(crate) async fn measure(ground: &Ground, rounds: usize) -> Result<()> {
    for kind in ground.kinds() {
        let place = ground.place(kind, &Settings::idle())?;
        let token = place.token("local")?;
        let server = place.serve("server")?;
        let task = place.task(&prompt(), 0);
        let mut floor = Floor::open(kind, &place, task.clone(), AT_ONCE).await?;
        let connections = (0..AT_ONCE).map(|_| Client::connect(&server.address, &token));
        let mut clients = try_join_all(connections).await?;
        let mut times: [Samples; 3] = Default::default();
        for number in 0..rounds {
            let [floors, accepted, keyed] = &mut times;
            let started = Instant::now();
            floor.one().await?;
            floors.push(started.elapsed());
            let started = Instant::now();
            clients[0].accept(&task, None).await?;
            accepted.push(started.elapsed());
            let started = Instant::now();
            clients[0].accept(&task, Some(number)).await?;
            keyed.push(started.elapsed());
        }
        head(
            &format!("{}: one task after the other over HTTP, durable when answered", kind.name()),
            "insert",
        );
        let [floors, accepted, keyed] = &times;
        row_p99("the database's own insert of as many bytes", floors, floors);
        row_p99("a task accepted", accepted, floors);
        row_p99("the same under an idempotency key", keyed, floors);
        at_once(&mut floor, &mut clients, &task).await?;
        server.end()?;
    }
    Ok(())
}

async fn at_once(floor: &mut Floor, clients: &mut [Client], task: &str) -> Result<()> {
    let (mut floors, mut accepted) = (Duration::ZERO, Duration::ZERO);
    let mut times = Samples::default();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        floor.many(clients.len()).await?;
        floors += started.elapsed();
        let started = Instant::now();
        let round = clients.iter_mut().map(|client| async move {
            let started = Instant::now();
            client.accept(task, None).await?;
            anyhow::Ok(started.elapsed())
        });
        for time in try_join_all(round).await? {
            times.push(time);
        }
        accepted += started.elapsed();
    }
    let rate = |all: Duration| (ROUNDS * AT_ONCE) as f64 / all.as_secs_f64();
    row_p99(&format!("a task accepted, {AT_ONCE} at once"), &times, &times);
    say(&format!(
        "{AT_ONCE} at once: {:.0} inserts a second, {:.0} tasks accepted a second, ratio {:.2}",
        rate(floors),
        rate(accepted),
        rate(accepted) / rate(floors)
    ));
    Ok(())
}

/// What people write: some lines.
pub(crate) fn prompt() -> String {
    "Make it fast. ".repeat(40)
}
