//! The page of a long session: how long the server takes for it, and how large it is.

use std::time::Instant;

use anyhow::Result;
use cofferdam_domain::{Audience, EventBody, Integrity, Label, Timestamp};
use cofferdam_store::Writer;

use super::{
    ask::Client,
    place::{Ground, Settings},
    title,
    work::give,
};
use crate::figures::{Samples, say};

/// Events of the sessions, and how many are put into the store together.
const EVENTS: [usize; 3] = [50, 500, 5_000];
const TOGETHER: usize = 500;
const ROUNDS: usize = 20;

/// On each database, sessions of several lengths.
pub(crate) async fn measure(ground: &Ground) -> Result<()> {
    title("the page of a session over HTTP");
    for kind in ground.kinds() {
        let place = ground.place(kind, &Settings::idle())?;
        let token = place.token("local")?;
        let server = place.serve("server")?;
        let mut client = Client::connect(&server.address, &token).await?;
        let store = place.store().await?;
        for events in EVENTS {
            let given = give(&server.address, &token, &place.task("Wait.", 0), 1).await?;
            let session = given.concat();
            for from in (1..events).step_by(TOGETHER) {
                let bodies = (from..events.min(from + TOGETHER)).map(message).collect();
                store.append(session.parse()?, Writer::Anybody, Timestamp(2), bodies).await?;
            }
            let path = format!("/sessions/{session}");
            let started = Instant::now();
            let bytes = client.get(&path).await?.len();
            let cold = started.elapsed();
            let mut warm = Samples::default();
            for _ in 0..ROUNDS {
                let started = Instant::now();
                client.get(&path).await?;
                warm.push(started.elapsed());
            }
            say(&format!(
                "  {:<10} {events:>5} events: {:>7.1} ms for whoever comes first, then {:>5.1} (p95 {:.1}) ms; {} kB",
                kind.name(),
                cold.as_secs_f64() * 1e3,
                warm.median() / 1e3,
                warm.p95() / 1e3,
                bytes / 1000
            ));
        }
        server.end()?;
    }
    Ok(())
}

fn message(number: usize) -> EventBody {
    let label = Label { integrity: Integrity::Member, audience: Audience::Repository };
    let text = format!("Message {number}. ").repeat(60);
    EventBody::MessageReceived { from: "ann".to_owned(), text, label, about: None }
}
