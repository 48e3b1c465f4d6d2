//! From the request that gives a task to the first request that reaches the model.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use cofferdam_domain::message::Family;
use cofferdam_model::Transcript;
use cofferdam_testkit::FakeProvider;

use super::{
    ask::Client,
    place::{Ground, Place, Settings, Started},
    recordings::{busy, quick},
    work::{give, until},
};
use crate::figures::{Samples, head, row_p99};

/// Sessions that a worker has at once.
const SLOTS: usize = 4;

/// On each database: a worker with nothing to do, then one that has one slot left.
pub(crate) async fn measure(ground: &Ground, rounds: usize) -> Result<()> {
    for kind in ground.kinds() {
        let provider =
            FakeProvider::start(Family::Anthropic, Transcript::parse(&quick(Duration::ZERO)?)?).await?;
        let settings = Settings {
            slots: SLOTS,
            recordings: vec![busy()?],
            asked: Some(provider.base_url()),
            ..Settings::idle()
        };
        let place = ground.place(kind, &settings)?;
        let token = place.token("local")?;
        let up = place.serve("up")?;
        let mut client = Client::connect(&up.address, &token).await?;
        // The first one makes the mirror and the base tree.
        begin(&place, &up, &provider, &mut client, 0).await?;
        let mut idle = Samples::default();
        for round in 1..=rounds {
            idle.push(begin(&place, &up, &provider, &mut client, round).await?);
        }
        let occupying = give(&up.address, &token, &place.task("Think.", 1), SLOTS - 1).await?;
        until(&mut client, &occupying, |row| Ok(row["steps"] == 1)).await?;
        let mut occupied = Samples::default();
        for round in rounds + 1..=2 * rounds {
            occupied.push(begin(&place, &up, &provider, &mut client, round).await?);
        }
        head(&format!("{}: from a task's request to its first model request", kind.name()), "idle");
        row_p99("nothing else runs", &idle, &idle);
        row_p99(&format!("{} of {SLOTS} sessions run, and their models think", SLOTS - 1), &occupied, &idle);
    }
    Ok(())
}

/// Gives one task, waits until its session has ended, and says how long it was until the model was asked.
async fn begin(
    place: &Place,
    up: &Started,
    provider: &FakeProvider,
    client: &mut Client,
    round: usize,
) -> Result<Duration> {
    let mark = format!("This is task number {round}.");
    let task = place.task(&mark, 0);
    let begun = Instant::now();
    let id = client.accept(&task, None).await.with_context(|| format!("asking {}", up.address))?;
    until(client, &[id], |row| Ok(row["state"] == "ended")).await?;
    let requests = provider.requests();
    let first = requests.iter().find(|request| {
        let text = String::from_utf8_lossy(&request.body);
        text.contains(&mark)
    });
    Ok(first.context("the model was never asked")?.at - begun)
}
