//! How fast deliveries are accepted for good, beside a handler that only proves them, and beside the database's own inserts.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    body::Bytes,
    extract::DefaultBodyLimit,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use cofferdam_domain::SessionId;
use futures_util::future::try_join_all;
use ring::hmac;
use serde_json::json;
use tokio::net::TcpListener;

use super::{
    ask::Client,
    floor::Floor,
    place::{Ground, Settings},
};
use crate::figures::{Samples, head, row_p99, say};

/// The name of the hidden benchmark that is the bare handler.
pub(crate) const SERVE: &str = "serve-hooks";
/// What deliveries are proved with.
pub(super) const SECRET: &str = "a-secret-that-nothing-depends-on";
const SIGNATURE: &str = "x-gitea-signature";
/// Senders at once, and rounds of so many.
const AT_ONCE: usize = 64;
const ROUNDS: usize = 15;
/// Repositories that things happen in: what happens in one is dealt with in order.
const REPOSITORIES: usize = 50;
/// About as long as what forges send for a push: 8 kB.
const LONG: usize = 7_500;

/// On each database: one after the other, then many at once.
pub(crate) async fn measure(ground: &Ground, rounds: usize) -> Result<()> {
    let bare = Bare::start()?;
    for kind in ground.kinds() {
        let place = ground.place(kind, &Settings { forge: Some(SECRET), ..Settings::idle() })?;
        let server = place.serve("server")?;
        let mut floor = Floor::open(kind, &place, Delivery::number(0).body, AT_ONCE).await?;
        let mut ours = senders(&server.address).await?;
        let mut theirs = senders(&bare.address).await?;
        let mut number = 0..;
        let mut times: [Samples; 3] = Default::default();
        for delivery in number.by_ref().map(Delivery::number).take(rounds) {
            let [floors, proved, accepted] = &mut times;
            let started = Instant::now();
            floor.one().await?;
            floors.push(started.elapsed());
            proved.push(delivery.send(&mut theirs[0]).await?);
            accepted.push(delivery.send(&mut ours[0]).await?);
        }
        let [floors, proved, accepted] = &times;
        head(&format!("{}: one delivery after the other, 8 kB", kind.name()), "bare");
        row_p99("a bare handler that only proves it", proved, proved);
        row_p99("the database's own insert of as many bytes", floors, proved);
        row_p99("accepted, durable when answered", accepted, proved);
        at_once(&mut floor, (&mut theirs, &mut ours), &mut number).await?;
        server.end()?;
    }
    Ok(())
}

async fn senders(address: &str) -> Result<Vec<Client>> {
    try_join_all((0..AT_ONCE).map(|_| Client::connect(address, ""))).await
}

async fn at_once(
    floor: &mut Floor,
    (bare, ours): (&mut [Client], &mut [Client]),
    number: &mut impl Iterator<Item = usize>,
) -> Result<()> {
    let (mut inserts, mut all) = (Duration::ZERO, [Duration::ZERO; 2]);
    let mut times: [Samples; 2] = Default::default();
    for _ in 0..ROUNDS {
        let deliveries: Vec<Delivery> = number.by_ref().map(Delivery::number).take(AT_ONCE).collect();
        let started = Instant::now();
        floor.many(AT_ONCE).await?;
        inserts += started.elapsed();
        for (who, clients) in [&mut *bare, &mut *ours].into_iter().enumerate() {
            let started = Instant::now();
            let sent = clients.iter_mut().zip(&deliveries).map(|(client, delivery)| delivery.send(client));
            for time in try_join_all(sent).await? {
                times[who].push(time);
            }
            all[who] += started.elapsed();
        }
    }
    let rate = |all: Duration| (ROUNDS * AT_ONCE) as f64 / all.as_secs_f64();
    let [proved, accepted] = &times;
    row_p99(&format!("the bare handler, {AT_ONCE} at once"), proved, proved);
    row_p99(&format!("accepted, {AT_ONCE} at once"), accepted, proved);
    say(&format!(
        "{AT_ONCE} at once: {:.0} proved a second, {:.0} inserts a second, {:.0} accepted a second, ratio {:.2}",
        rate(all[0]),
        rate(inserts),
        rate(all[1]),
        rate(all[1]) / rate(all[0])
    ));
    Ok(())
}

/// A push, as Gitea tells of it.
struct Delivery {
    headers: String,
    body: String,
}

impl Delivery {
    fn number(number: usize) -> Self {
        let repository = number % REPOSITORIES + 1;
        let path = format!("acme/repository-{repository}");
        let owner = json!({ "id": 1, "login": "acme" });
        let body = json!({
            // To a session's branch: others are not kept.
            "ref": format!("refs/heads/cofferdam/{}", SessionId::generate()),
            "before": "83baae61804e65cc73a7201a7252750c76066a30",
            "after": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
            "repository": { "id": repository, "full_name": path, "name": path, "owner": owner },
            "sender": { "id": 7, "login": "ann" },
            "commits": [{ "message": "x".repeat(LONG) }],
        })
        .to_string();
        let headers = proof(&body, "push", &format!("delivery-{number}"));
        Self { headers, body }
    }

    async fn send(&self, client: &mut Client) -> Result<Duration> {
        let started = Instant::now();
        client.post("/hooks/work", &self.headers, &self.body).await?;
        Ok(started.elapsed())
    }
}

/// The headers with which Gitea posts a body.
pub(super) fn proof(body: &str, event: &str, delivery: &str) -> String {
    let tag = hex::encode(hmac::sign(&key(), body.as_bytes()));
    format!("{SIGNATURE}: {tag}\r\nx-gitea-event: {event}\r\nx-gitea-delivery: {delivery}\r\n")
}

fn key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes())
}

/// The bare handler, in a process of its own as ours is.
struct Bare {
    child: Child,
    address: String,
}

impl Bare {
    fn start() -> Result<Self> {
        let ourselves = std::env::current_exe().context("failed to find this program")?;
        let mut child = Command::new(ourselves)
            .arg(SERVE)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start the bare handler")?;
        let mut address = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut address)?;
        }
        Ok(Self { child, address: address.trim().to_owned() })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Serves the bare handler until it is killed: what is posted is proved, and forgotten.
pub(crate) fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
        let router = Router::new().route("/hooks/work", post(prove)).layer(DefaultBodyLimit::max(25 << 20));
        Ok(axum::serve(listener, router).await?)
    })
}

async fn prove(headers: HeaderMap, body: Bytes) -> StatusCode {
    let proof = headers.get(SIGNATURE).and_then(|proof| hex::decode(proof).ok());
    match proof.is_some_and(|proof| hmac::verify(&key(), &body, &proof).is_ok()) {
        true => StatusCode::ACCEPTED,
        false => StatusCode::UNAUTHORIZED,
    }
}
