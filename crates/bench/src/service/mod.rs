//! The service: the real program as people run it, asked over HTTP by many, with PostgreSQL beside SQLite.
//!
//! Everything runs in one process each, as it is released; this program is the clients, the model where one is timed, and the reader of `/proc`.

mod accept;
mod acknowledge;
mod ask;
mod begin;
mod deliveries;
mod floor;
mod live;
mod memory;
mod page;
mod place;
mod queue;
mod recordings;
mod work;

use anyhow::{Result, ensure};

pub(crate) use self::deliveries::{SERVE, serve};
use self::place::Ground;
use crate::{figures::say, options::Options, session::program};

/// What there is to measure, in this order.
const PARTS: [&str; 9] =
    ["accept", "deliveries", "acknowledge", "queue", "work", "begin", "memory", "live", "page"];

/// Measures the parts that are wanted.
pub(crate) fn measure(arguments: impl Iterator<Item = String>) -> Result<()> {
    let known = ["only", "rounds", "waiting", "sessions", "running", "watchers", "program", "dir"];
    let options = Options::parse(arguments, &known)?;
    let only = options.text("only");
    ensure!(only.is_none_or(|part| PARTS.contains(&part)), "--only must be one of {}", PARTS.join(", "));
    let rounds = options.count("rounds", 400)?;
    let waiting = options.counts("waiting", &[1000, 100_000])?;
    let (sessions, running) = (options.count("sessions", 24)?, options.counts("running", &[1, 4, 16, 64])?);
    let watchers = options.count("watchers", 1000)?;
    let program = program(options.path("program"))?;
    let parent = options.path("dir").unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::tempdir_in(parent)?;
    let ground = Ground::new(folder.path(), program)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        for part in PARTS.into_iter().filter(|part| only.is_none_or(|only| only == *part)) {
            match part {
                "accept" => accept::measure(&ground, rounds).await?,
                "deliveries" => deliveries::measure(&ground, rounds).await?,
                "acknowledge" => acknowledge::measure(&ground, rounds).await?,
                "queue" => queue::measure(&ground, &waiting).await?,
                "work" => work::measure(&ground, sessions).await?,
                "begin" => begin::measure(&ground, sessions).await?,
                "memory" => memory::measure(&ground, &running).await?,
                "live" => live::measure(&ground, watchers).await?,
                _ => page::measure(&ground).await?,
            }
        }
        Ok(())
    })
}

/// A title over the lines of one part.
fn title(text: &str) {
    say("");
    say(text);
}
