//! Many sandboxes at once: memory of idle ones, how fast they are made, and what neighbours feel while one attacks.

use std::{fs, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use cofferdam_domain::{SandboxId, policy::Limits};
use cofferdam_sandbox::{Command, Driver as _, Sandbox, SandboxSpec, remove_layer};

use super::{Place, run};
use crate::figures::{Samples, head, row, say};

/// How many are made by each of several tasks at once.
const MAKERS: usize = 4;
const COMMANDS: usize = 100;
/// What one sandbox does while another one works.
const ATTACKS: [(&str, &str); 4] = [
    ("a fork bomb", "bomb() { bomb | bomb & }; bomb; sleep 1000"),
    ("all of its memory", "while :; do head -c 2000000000 /dev/zero | tail; done"),
    ("a full disk", "while :; do head -c 100000000 /dev/zero > big; rm big; done"),
    ("a flood of output", "yes $(head -c 1000 /dev/zero | tr '\\0' x)"),
];

/// Makes `count` sandboxes, several at a time, and leaves them idle.
pub(super) async fn idle(place: &Arc<Place>, folder: &Path, count: usize) -> Result<()> {
    place.sandbox().await?.destroy().await?;
    let (available, started) = (available_kib()?, std::time::Instant::now());
    let mut makers = tokio::task::JoinSet::new();
    for maker in 0..MAKERS {
        let (place, folder) = (Arc::clone(place), folder.to_owned());
        makers.spawn(async move {
            let mut made: Vec<Box<dyn Sandbox>> = Vec::new();
            for number in (maker..count).step_by(MAKERS) {
                made.push(place.over(&folder.join(format!("idle-{number}"))).await?);
            }
            anyhow::Ok(made)
        });
    }
    let mut sandboxes = Vec::new();
    while let Some(made) = makers.join_next().await {
        sandboxes.extend(made??);
    }
    let elapsed = started.elapsed();
    // What is freed or flushed a moment later should not count.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let each = available.saturating_sub(available_kib()?) / count as u64;
    let processors = std::thread::available_parallelism()?.get();
    let rate = count as f64 / elapsed.as_secs_f64();
    say("");
    say(&format!(
        "{count} sandboxes in {:.2} s: {rate:.0}/s, {:.0}/s for each processor",
        elapsed.as_secs_f64(),
        rate / processors as f64
    ));
    match (1_u64 << 20).checked_div(each) {
        Some(most) => say(&format!("each idle one takes {each} KiB of what was available: {most} in a GiB")),
        None => say("their memory cannot be told: other programs have freed more meanwhile"),
    }
    for sandbox in sandboxes {
        sandbox.destroy().await?;
    }
    (0..count).try_for_each(|number| Ok(remove_layer(&folder.join(format!("idle-{number}")))?))
}

fn available_kib() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).context("no MemAvailable")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// `true` in one sandbox, alone and while another one attacks.
pub(super) async fn neighbours(place: &Place, folder: &Path) -> Result<()> {
    let (good, bad) = (folder.join("neighbour"), folder.join("attacker"));
    let neighbour = place.over(&good).await?;
    let alone = commands(&*neighbour).await?;
    head("`true` in a sandbox while another one attacks", "alone");
    row("alone", &alone, &alone);
    for (what, script) in ATTACKS {
        let limits = Limits { memory: 256 << 20, processes: 200, cpu_milli: 500, ..Limits::default() };
        let mut spec = SandboxSpec::new(SandboxId::generate(), bad.clone(), limits);
        spec.lower.push(place.base.clone());
        let attacker = place.driver.create(spec).await?;
        let attack = attacker.start(command(script)).await?;
        row(what, &commands(&*neighbour).await?, &alone);
        drop(attack);
        attacker.destroy().await?;
        remove_layer(&bad)?;
    }
    neighbour.destroy().await?;
    Ok(remove_layer(&good)?)
}

async fn commands(sandbox: &dyn Sandbox) -> Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..COMMANDS {
        samples.push(run(sandbox, &["/bin/true"]).await?);
    }
    Ok(samples)
}

fn command(script: &str) -> Command {
    Command { timeout: Duration::from_secs(600), ..super::command(&["sh", "-c", script]) }
}
