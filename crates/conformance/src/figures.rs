//! Figures: how long things take. Not part of the suite: a driver's tests have one that is ignored and calls this.

use std::time::{Duration, Instant};

use cofferdam_sandbox::{Network, SandboxSpec};

use crate::{Scene, command, run};

#[expect(clippy::print_stdout, reason = "that is what it is for")]
fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let (least, median, most) = (times[0], times[times.len() / 2], times[times.len() * 95 / 100]);
    println!("{what:<50} min {least:>10.1?}  median {median:>10.1?}  p95 {most:>10.1?}");
}

/// Makes, uses and ends so many sandboxes, and prints what that took. To be run alone, in release.
pub async fn figures(place: &Scene, rounds: usize) {
    place.sandbox("warm").await.destroy().await.unwrap();
    let (mut created, mut first, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    let mut with_door = Vec::new();
    for _ in 0..rounds {
        let spec = SandboxSpec { network: Network::Door, ..place.spec("layer") };
        let started = Instant::now();
        let sandbox = place.create(spec).await;
        with_door.push(started.elapsed());
        sandbox.destroy().await.unwrap();
        let started = Instant::now();
        let sandbox = place.sandbox("layer").await;
        created.push(started.elapsed());
        run(&*sandbox, command(&["/bin/true"])).await;
        first.push(started.elapsed());
        let started = Instant::now();
        sandbox.destroy().await.unwrap();
        gone.push(started.elapsed());
    }
    report("create", created);
    report("create with an egress door", with_door);
    report("create to first `true` ended", first);
    report("destroy", gone);

    let sandbox = place.sandbox("layer").await;
    let (mut inside, mut plain, mut pings) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds * 5 {
        let started = Instant::now();
        run(&*sandbox, command(&["/bin/true"])).await;
        inside.push(started.elapsed());
        let started = Instant::now();
        let mut child = tokio::process::Command::new("/bin/true").spawn().unwrap();
        child.wait().await.unwrap();
        plain.push(started.elapsed());
        let started = Instant::now();
        sandbox.read("README", 0, 100).await.unwrap();
        pings.push(started.elapsed());
    }
    report("`true` in a running sandbox", inside);
    report("`true` spawned by tokio", plain);
    report("read of a small file", pings);
    sandbox.destroy().await.unwrap();
}
