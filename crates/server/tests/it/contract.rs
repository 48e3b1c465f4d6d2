//! The server does what its description says: schemathesis, from the Python package index, asks it all that the description permits and much
//! that it does not, and no answer may be a fault of the server's or one that is not described.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use cofferdam_domain::Rank;
use tokio::{process::Command, time::timeout};

use crate::harness::{Kind, World, question};

const VERSION: &str = "4.32.5";
/// Installing takes a network, asking takes some thousand requests.
const PATIENCE: Duration = Duration::from_secs(600);

/// What is looked at in each answer.
const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

async fn succeeds(command: &mut Command) -> bool {
    let run =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).status();
    matches!(timeout(PATIENCE, run).await, Ok(Ok(status)) if status.success())
}

/// The program, kept from one run to the next.
async fn schemathesis() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))?;
    let place = cache.join("cofferdam-test").join(format!("schemathesis-{VERSION}"));
    let program = place.join("bin/schemathesis");
    if succeeds(Command::new(&program).arg("--version")).await {
        return Some(program);
    }
    let made = succeeds(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&place)).await
        && succeeds(Command::new(place.join("bin/pip")).args([
            "install",
            "--quiet",
            &format!("schemathesis=={VERSION}"),
        ]))
        .await;
    made.then_some(program)
}

/// What would take away the rights that everything is asked with; asked last.
const RIGHTS: &str = "/(members/\\{user\\}|tokens/\\{token\\})$";
/// Streams do not end by themselves; they have tests of their own.
const STREAMS: &str = "/live$";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_described_on_sqlite() {
    every_answer_is_described(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_described_on_postgres() {
    every_answer_is_described(Kind::Postgres).await;
}

async fn every_answer_is_described(kind: Kind) {
    let Some(program) = schemathesis().await else {
        eprintln!("SKIPPED: schemathesis {VERSION} is not there, and python3 with pip cannot install it");
        return;
    };
    let Some(world) = World::on(kind).await else { return };
    let who = world.local(Rank::Admin).await;
    let (session, _) = world.finished(&who).await;
    let other = world.session(&who, vec![question()]).await;
    let folder = tempfile::tempdir().unwrap();
    let known = format!("[parameters]\n\"path.id\" = [\"{session}\", \"{other}\"]\n");
    std::fs::write(folder.path().join("schemathesis.toml"), known).unwrap();
    let others = format!("{STREAMS}|{RIGHTS}");
    for selection in [["--exclude-path-regex", &others], ["--include-path-regex", RIGHTS]] {
        let mut command = Command::new(&program);
        command
            .args(["run", &format!("http://{}/openapi.json", world.address)])
            .args(["--header", &format!("Authorization: Bearer {}", who.token)])
            .args(["--checks", CHECKS])
            .args(selection)
            .args(["--max-examples", "15", "--seed", "1", "--no-color", "--suppress-health-check", "all"])
            .current_dir(folder.path())
            .env("NO_PROXY", "127.0.0.1")
            .kill_on_drop(true);
        let output = timeout(PATIENCE, command.output()).await.expect("it takes too long").unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains(" generated, "), "nothing was asked: {said}");
        let locked_out = selection[0] == "--exclude-path-regex" && said.contains("Authentication failed");
        assert!(!locked_out, "{said}");
    }
    world.end().await;
}
