//! `cofferdam audit`: logs that leave the store, signed ends of them, and what somebody with the whole store could do to hide something.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use cofferdam_domain::{EventBody, Label, Outcome, SessionId, Source, Task, Timestamp};
use cofferdam_store::Writer;

use crate::harness::{Output, World};

/// The store of a world, as another process has it.
async fn store(world: &World) -> std::sync::Arc<dyn cofferdam_store::Everything> {
    cofferdam_store::open(world.data().to_str().unwrap()).await.unwrap()
}

/// A session that has ended at a time, written by nobody's worker.
pub(crate) async fn ended(world: &World, prompt: &str, at: Timestamp) -> SessionId {
    accepted(world, prompt, at, vec![EventBody::SessionEnded { outcome: Outcome::NothingToDo }]).await
}

/// A session with these events, which no worker has ever taken.
pub(crate) async fn accepted(world: &World, prompt: &str, at: Timestamp, more: Vec<EventBody>) -> SessionId {
    let (store, session) = (store(world).await, SessionId::generate());
    let task = Task::new(prompt.into(), "/srv/repository".into(), None, "ann".into(), Source::Cli).unwrap();
    store.create(session, at, EventBody::TaskAccepted { task }, more).await.unwrap();
    session
}

async fn write(world: &World, session: SessionId, text: &str) {
    let (from, text) = ("ann".to_owned(), text.to_owned());
    let message = EventBody::MessageReceived { from, text, label: Label::REQUESTER, about: None };
    let store = store(world).await;
    store.append(session, Writer::Anybody, Timestamp(2000), vec![message]).await.unwrap();
}

fn fails(output: Output, because: &str) {
    assert_eq!(output.status, 1, "{output}");
    assert!(output.stderr.contains(because), "{output}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_log_is_checked_without_its_store() {
    let world = World::new();
    let session = ended(&world, "Fix the parser", Timestamp(1000)).await.to_string();
    let file = world.path("log.jsonl").to_str().unwrap().to_owned();
    world.ok(&["audit", "export", &session, "--output", &file]);
    let printed = world.ok(&["audit", "export", &session]).stdout;
    assert_eq!(printed, fs::read_to_string(&file).unwrap());
    // On a machine that has no store.
    let away = World::new();
    let said = away.ok(&["audit", "check", &file]).stdout;
    assert!(said.contains(&format!("{session}: 2 events are as they were written")), "{said}");
    assert!(said.contains("only a checkpoint"), "{said}");
    assert!(!away.data().join("cofferdam.db").exists());

    let pin = world.path("pin").to_str().unwrap().to_owned();
    let signed = world.ok(&["audit", "checkpoint", "--output", &pin]).stdout;
    let key = signed.trim().rsplit(' ').next().unwrap();
    assert_eq!(fs::read_to_string(world.data().join("audit.pub")).unwrap().trim(), key);
    let mode = fs::metadata(world.data().join("audit.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let said = away.ok(&["audit", "check", &file, "--checkpoint", &pin, "--key", key]).stdout;
    assert!(said.contains("vouches for all up to number 2"), "{said}");

    let changed = away.file("changed", &printed.replace("Fix the parser", "Fix the lexer!"));
    fails(away.run(&["audit", "check", changed.to_str().unwrap()]), "the export was changed");
    let cut = away
        .file("cut", printed.lines().take(2).map(|line| format!("{line}\n")).collect::<String>().as_str());
    away.ok(&["audit", "check", cut.to_str().unwrap()]);
    let cut = ["audit", "check", cut.to_str().unwrap(), "--checkpoint", &pin, "--key", key];
    fails(away.run(&cut), "no longer is as it was at the checkpoint");
    let other = "0".repeat(64);
    let another = ["audit", "check", &file, "--checkpoint", &pin, "--key", &other];
    fails(away.run(&another), "was not signed with this key");
    let none = away.file("none", "{}\n");
    fails(away.run(&["audit", "check", none.to_str().unwrap()]), "this is no export");
    assert_eq!(away.run(&["audit", "check", &file, "--checkpoint", &pin]).status, 2, "the key is missing");
}

#[tokio::test]
async fn an_audit_log_leaves_and_is_checked_as_a_log_is() {
    let world = World::new();
    world.ok(&["admin", "user", "Ann", "--rank", "viewer"]);
    world.ok(&["admin", "org", "elsewhere", "--admin", "Dora"]);
    let (file, pin) = (world.path("audit.jsonl"), world.path("pin"));
    let (file, pin) = (file.to_str().unwrap(), pin.to_str().unwrap());
    world.ok(&["audit", "export", "--org", "local", "--output", file]);
    let signed = world.ok(&["audit", "checkpoint", "--org", "local", "--output", pin]).stdout;
    let key = signed.trim().rsplit(' ').next().unwrap();
    assert!(!fs::read_to_string(pin).unwrap().contains("session"), "of this log alone");
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains("member.added") && text.lines().count() == 3, "of this organisation alone: {text}");
    let said = world.ok(&["audit", "check", file, "--checkpoint", pin, "--key", key]).stdout;
    assert!(
        said.contains("the audit log of org_") && said.contains("the checkpoint vouches for all"),
        "{said}"
    );
    let changed = world.file("changed", &text.replace("viewer", "admin!"));
    fails(world.run(&["audit", "check", changed.to_str().unwrap()]), "the export was changed");
    // What came later is in a later export, which holds what was signed before.
    world.ok(&["admin", "user", "Bob", "--rank", "viewer"]);
    world.ok(&["audit", "export", "--org", "local", "--output", file]);
    world.ok(&["audit", "check", file, "--checkpoint", pin, "--key", key]);
    world.ok(&["audit", "verify", "--checkpoint", pin, "--key", key]);
    fails(world.run(&["audit", "export", "--org", "nowhere"]), "there is no organisation nowhere");
    assert_eq!(world.run(&["audit", "export"]).status, 2);
}

#[tokio::test]
async fn the_whole_store_is_checked_and_an_older_copy_is_known_for_one() {
    let world = World::new();
    let kept = ended(&world, "Fix the parser", Timestamp(1000)).await;
    let deleted = ended(&world, "Fix the lexer", Timestamp(1000)).await;
    let copied = world.path("copy");
    copy(&world.data(), &copied);
    write(&world, kept, "and the tests").await;
    let pin = world.path("pin");
    let pin = pin.to_str().unwrap();
    world.ok(&["audit", "checkpoint", "--output", pin]);
    let public = world.path("audit.pub");
    fs::copy(world.data().join("audit.pub"), &public).unwrap();
    let verify = ["audit", "verify", "--checkpoint", pin, "--key", public.to_str().unwrap()];
    let said = world.ok(&verify).stdout;
    assert!(said.contains("2 sessions, 5 events and 0 contents are as they were written"), "{said}");
    assert!(said.contains("2 sessions with 5 events") && said.contains("0 sessions deleted since"), "{said}");
    store(&world).await.forget(deleted).await.unwrap();
    let said = world.ok(&verify).stdout;
    assert!(said.contains("1 session with 3 events") && said.contains("1 session deleted since"), "{said}");

    // Whoever has the whole store puts back what it was before somebody wrote: every chain holds, and the checkpoint does not.
    fs::remove_dir_all(world.data()).unwrap();
    copy(&copied, &world.data());
    world.ok(&["audit", "verify"]);
    fails(world.run(&verify), "no longer is as it was at the checkpoint");
}
