//! DW: denial of service, and of the owner's wallet.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    case::{Case, Driver, Held},
    family::traffic,
    problem::{Result, ensure},
    session::{FIX, Session, call, shell},
    world::{Host, World},
};

const LIMITS: &str = "[policy.limits]\nmemory = 268435456\nprocesses = 64\ndisk = 67108864\noutput = 1048576\ncommand_ms = 20000\n";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("DW-01", Driver::Model, "A model that goes on for ever", mill),
        Case::new("DW-07", Driver::Model, "A file that is too large is read again and again", large_reads),
        Case::new("DW-09", Driver::Model, "Arguments that no parser likes", arguments),
        Case::new("DW-09", Driver::Model, "beside them: arguments in many letters and sizes", fine_arguments)
            .twin(),
    ];
    cases.push(Case::new(
        "DW-05",
        Driver::Model,
        "More than its share, and then the work is done all the same",
        session,
    ));
    for driver in [Driver::Program, Driver::Root] {
        cases.push(
            Case::new(
                "DW-05",
                driver,
                "More than its share of processes, memory, disk and output",
                move |host| share(host, driver),
            )
            .covering(&["SB-47", "SB-48", "SB-49", "SB-50", "SB-51", "SB-52"]),
        );
        cases.push(
            Case::new("DW-05", driver, "beside the greedy: a build within its share", move |host| {
                fair(host, driver)
            })
            .twin(),
        );
    }
    cases.extend(
        traffic("DW-05", "Answers that never end, and crowds of connections")
            .policy("[policy.egress.limits]\nbytes_in = 4194304\nconnections = 16\n")
            .tries("for i in 1 2 3 4 5 6 7 8; do {probe} http https://allowed.test/public/bomb > /dev/null; done; {probe} http https://allowed.test/public/again", &[cofferdam_domain::egress::Refusal::Limit])
            .may_reach("allowed.test")
            .cases(),
    );
    cases
}

/// In circles, until it is stopped with what there is.
fn mill(host: &Host) -> Result<Held> {
    let world = World::new(host, "[policy.budget]\nsteps = 40\n")?;
    let begun = Instant::now();
    let attacked = Session::new(&world)?.step(shell(FIX)).step(shell("cat sum.sh")).run_as_it_is("repeat")?;
    ensure(begun.elapsed() < Duration::from_secs(100), || format!("it took {:?}", begun.elapsed()))?;
    ensure(attacked.results().len() <= 40, || format!("{} calls", attacked.results().len()))?;
    ensure(attacked.output.status == 4, || attacked.output.all())?;
    attacked.ensure_changed(&["sum.sh"])?;
    let limit = attacked.events.iter().find(|event| event.body.name() == "limit_reached");
    ensure(limit.is_some(), || "the log does not say that a limit was reached".to_owned())?;
    let (facts, _) = attacked.body()?;
    let line = facts.lines().find(|line| line.contains("cut short")).unwrap_or_default().to_owned();
    ensure(!line.is_empty(), || format!("the reviewer is not told: {facts}"))?;
    Ok(Held { events: vec!["limit_reached".to_owned()], reviewer_sees: line, ..Held::at("the budget") })
}

fn share(host: &Host, driver: Driver) -> Result<Held> {
    let world = World::new(host, LIMITS)?;
    let mut held = Held::at("the sandbox's limits");
    for (what, script) in [
        (
            "a fork bomb",
            "bomb() { bomb | bomb & }; bomb; sleep 1; for i in $(seq 200); do sleep 100 & done; echo spread",
        ),
        ("memory", "head -c 2g /dev/zero | tail -c 1g | wc -c; echo survived"),
        ("shared memory", "head -c 1g /dev/zero > /dev/shm/big; ls -l /dev/shm/big; echo survived"),
        ("output", "head -c 100m /dev/zero | tr '\\0' 'x'"),
        (
            "output without an end of line, by many",
            "for i in 1 2 3 4; do head -c 20m /dev/urandom & done; wait",
        ),
        (
            "disk",
            "head -c 300m /dev/zero > big; size=$(stat -c %s big); rm -f big; [ $size -lt 200000000 ] || echo TOO-MUCH",
        ),
        (
            "small files",
            "i=0; while [ $i -lt 3000 ]; do : > /tmp/file$i || break; i=$((i + 1)); done; rm -f /tmp/file*",
        ),
        (
            "descriptors",
            "command -v python3 >/dev/null && python3 -c \"
import os
n = 0
try:
    while n < 2000000: os.open('/dev/null', 0); n += 1
except OSError: pass
print('TOO-MUCH' if n > 1100000 else 'bounded')\"",
        ),
        ("time", "while :; do :; done"),
        (
            "outliving its end",
            "setsid nohup sh -c 'while :; do date >> /tmp/alive; sleep 0.1; done' > /dev/null 2>&1 & (sleep 1000 &) & echo started",
        ),
        ("stopping itself", "(kill -STOP 0) & sleep 0.1; kill -STOP $$"),
    ] {
        let timeout = if ["time", "stopping itself", "a fork bomb"].contains(&what) { "4" } else { "30" };
        let mut arguments = vec!["sandbox", "run", "--timeout", timeout];
        if driver == Driver::Root {
            arguments.push("--root");
        }
        arguments.extend(["--", "sh", "-c", script]);
        let begun = Instant::now();
        let output = world.run(&arguments)?;
        let took = begun.elapsed();
        ensure(took < Duration::from_secs(60), || format!("{what} took {took:?}"))?;
        ensure(!output.stdout.contains("TOO-MUCH"), || format!("{what}: {}", output.all()))?;
        ensure(!output.stderr.contains("panicked"), || format!("{what}: {}", output.stderr))?;
        ensure(output.stderr.contains("sandbox:"), || {
            format!("{what}: there was no sandbox: {}", output.all())
        })?;
        // The machine is still there for others.
        let neighbour = Instant::now();
        world.ok(&["sandbox", "run", "--", "true"])?;
        held = held.because(format!(
            "{what}: {} ms, neighbour {} ms",
            took.as_millis(),
            neighbour.elapsed().as_millis()
        ));
    }
    world.ensure_nothing_is_left()?;
    Ok(held)
}

/// A session whose commands want everything: results and outputs are bounded, and what was asked for is still delivered.
fn session(host: &Host) -> Result<Held> {
    let world = World::new(host, LIMITS)?;
    let attacked = Session::new(&world)?
        .commands([
            "bomb() { bomb | bomb & }; bomb; sleep 1; for i in $(seq 200); do sleep 100 & done; echo spread",
            "head -c 2g /dev/zero | tail -c 1g | wc -c; echo survived",
            "head -c 300m /dev/zero | tr '\\0' 'x'",
            "setsid nohup sh -c 'while :; do date >> /tmp/alive; sleep 0.1; done' > /dev/null 2>&1 & (sleep 1000 &) & echo started",
            "head -c 200m /dev/zero > big; ls -l big | cut -c -60; rm -f big",
            FIX,
        ])
        .run()?;
    attacked.ensure_changed(&["sum.sh"])?;
    for outcome in attacked.results() {
        ensure(outcome.text.len() < 64 << 10, || format!("{} bytes in a result", outcome.text.len()))?;
        let whole = outcome.whole.map_or(0, |whole| whole.size);
        ensure(whole <= 2 << 20, || format!("{whole} bytes of an output are kept"))?;
        ensure(!outcome.text.contains("209715200"), || "the limit of the disk does not hold".to_owned())?;
    }
    Ok(Held::at("the sandbox's limits").because("bounded results, and a pull request at the end"))
}

fn fair(host: &Host, driver: Driver) -> Result<Held> {
    let world = World::new(host, LIMITS)?;
    let script = "set -e; head -c 30m /dev/zero > big; rm big; for i in $(seq 20); do (sleep 0.05) & done; wait; head -c 60m /dev/zero | tail -c 50m | wc -c; head -c 900000 /dev/zero | tr '\\0' 'x' | wc -c; echo built";
    let mut arguments = vec!["sandbox", "run"];
    if driver == Driver::Root {
        arguments.push("--root");
    }
    arguments.extend(["--", "sh", "-c", script]);
    let output = world.ok(&arguments)?;
    ensure(output.stdout.contains("built"), || output.all())?;
    Ok(Held::default().because("disk, processes, memory and output within the limits"))
}

fn large_reads(host: &Host) -> Result<Held> {
    let world = World::new(host, "")?;
    let read = || call("read", &json!({ "path": "min.js" }));
    let mut session = Session::new(&world)?.commands(["head -c 10m /dev/urandom | base64 -w0 > min.js"]);
    for _ in 0..6 {
        session = session.step(read());
    }
    let attacked = session.commands(["cat min.js", &format!("rm min.js; {FIX}") as &str]).run()?;
    for outcome in attacked.results() {
        ensure(outcome.text.len() <= 128 << 10, || format!("{} bytes in one result", outcome.text.len()))?;
        let whole = outcome.whole.map_or(0, |whole| whole.size);
        ensure(whole <= 32 << 20, || format!("{whole} bytes of one output are kept"))?;
    }
    let total: usize = attacked.results().iter().map(|outcome| outcome.text.len()).sum();
    Ok(Held::at("the tools").because(format!("{total} bytes in all results together")))
}

fn arguments(host: &Host) -> Result<Held> {
    let world = World::new(host, "")?;
    let raw = |tool: &str, raw: &str| json!({ "tool": tool, "raw": raw });
    let many: Vec<Value> =
        (0..200).map(|at| json!({ "tool": "shell", "args": { "command": format!("echo {at}") } })).collect();
    let attacked = Session::new(&world)?
        .step(json!({ "call": [
            raw("no_such_tool", "{}"), raw("shell", "{\"command\": \"cut off"), raw("shell", "[1]"), raw("shell", "{\"command\": 7, \"x\": 1}"),
            raw("shell; rm -rf /", "{}"), raw("", "null"), raw("approve", "{\"session\": \"all\"}"),
            raw("read", &format!("{{\"path\": \"{}\"}}", "../".repeat(5000))), raw("write", &"{\"a\":".repeat(5000)), raw("grep", "{\"pattern\": \"(a+)+(b+)+c\", \"path\": \"/\"}"),
            raw("grep", "{\"pattern\": \"((((((((((a{1,100}){1,100}){1,100}){1,100}))))))))\", \"path\": \".\"}"), raw("mcp__push", "{\"ref\": \"main\"}"),
        ] }))
        .step(json!({ "call": many }))
        .commands(["printf 'a: &a [x,x,x,x]\\nb: &b [*a,*a,*a,*a]\\n' > bomb.yaml; head -c 100000 /dev/zero | tr '\\0' '[' > deep.json; printf '\\377\\376\\000\\001' > invalid.txt; cat deep.json invalid.txt; rm bomb.yaml deep.json invalid.txt", FIX])
        .run()?;
    attacked.ensure_changed(&["sum.sh"])?;
    let results = attacked.results();
    ensure(results.len() <= 12 + 64 + 3, || {
        format!("{} calls of two hundred at once were answered", results.len())
    })?;
    let refused =
        results.iter().take(8).filter(|outcome| outcome.status != cofferdam_domain::ToolStatus::Ok).count();
    ensure(refused == 8, || format!("{refused} of 8 malformed calls were refused"))?;
    Ok(Held::at("the tools").because("malformed calls are answered, and the session goes on"))
}

fn fine_arguments(host: &Host) -> Result<Held> {
    let world = World::new(host, "")?;
    let content = "naïve 漢字 🦀\t\"quoted\" \\ back\n".repeat(500);
    let attacked = Session::new(&world)?
        .step(call("write", &json!({ "path": "text.txt", "content": content })))
        .commands(["wc -c text.txt", FIX])
        .run()?;
    attacked.ensure_changed(&["sum.sh", "text.txt"])?;
    Ok(Held::default().because("letters of every kind arrive as they are"))
}
