//! Pictures of the pages for `docs/`. Not part of the suite: `cargo test -p cofferdam-server --test it screenshots -- --ignored` writes them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use cofferdam_domain::{EventBody, Outcome, Rank, Source, Task, ToolStatus};

use crate::{
    browser::Seat,
    harness,
    playbooks::{BUMP, put, put_skill},
    sample::{self, Words},
};

/// The most bytes of one picture.
const MOST: usize = 150_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/screenshots")
}

async fn picture(seat: &Seat, name: &str, path: &str) {
    seat.open(path).await;
    let picture = seat.browser.picture().await;
    assert!(picture.len() < MOST, "{name} has {} bytes", picture.len());
    std::fs::write(folder().join(format!("{name}.png")), picture).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes docs/screenshots"]
async fn screenshots() {
    let seat = Seat::take(Rank::Admin).await.expect("Chromium is needed");
    let words: Words = sample::as_they_are;
    std::fs::create_dir_all(folder()).unwrap();
    let mut running = sample::beginning(words).split_off(1);
    running.extend(sample::work(words));
    let step = |number| {
        let call = ("shell", r#"{"command":"cargo test --offline"}"#.to_owned());
        sample::step(
            words,
            number,
            "Now the tests.",
            call,
            ToolStatus::Ok,
            "exit 0 after 8.2 s\nrunning 16 tests\n\ntest result: ok. 16 passed",
        )
    };
    let mut asking = running.clone();
    asking.push(EventBody::AccessAsked(Box::new(sample::ask(words))));
    asking.push(sample::asked(5));
    let mut ended = running.clone();
    ended.extend(step(5));
    ended.extend(seat.delivery(words).await);
    let titled = async |title: &str, bodies: Vec<EventBody>| {
        let repository = "https://forge.example/ann/durations.git".to_owned();
        let task = Task::new(title.to_owned(), repository, None, "ann".to_owned(), Source::Web).unwrap();
        let session = seat.session_from(vec![EventBody::TaskAccepted { task }]).await;
        for body in bodies {
            seat.world.pass(Duration::from_millis(2_300));
            seat.append(session, vec![body]).await;
        }
        session
    };
    titled(
        "Update the lock file",
        vec![
            EventBody::Claimed { worker: "worker-1".to_owned(), fence: 1 },
            EventBody::SessionEnded { outcome: Outcome::NothingToDo },
        ],
    )
    .await;
    titled("Say in the error which field was wrong", Vec::new()).await;
    let asking = titled("Write prefixes as the standard does", asking).await;
    let mut question = running.clone();
    question.push(harness::question());
    titled("Choose one of the two date formats", question).await;
    let ended = titled("Parse durations with more than one unit", ended).await;

    for scheme in ["light", "dark"] {
        seat.browser.scheme(scheme).await;
        seat.browser.size(1200, 760, false).await;
        picture(&seat, &format!("sessions-{scheme}"), "/").await;
        picture(&seat, &format!("session-{scheme}"), &format!("/sessions/{ended}")).await;
    }
    seat.browser.scheme("light").await;
    picture(&seat, "session-live", &format!("/sessions/{asking}")).await;
    picture(&seat, "diff", &format!("/sessions/{ended}/diff")).await;
    picture(&seat, "evidence", &format!("/sessions/{ended}/evidence")).await;
    picture(&seat, "pull-request", &format!("/sessions/{ended}/pull-request")).await;
    picture(&seat, "new-task", "/new").await;
    put(&seat.world, &seat.who, "bump", BUMP).await;
    picture(&seat, "playbook", "/playbooks/bump").await;
    let skill = put_skill(&seat.world, &seat.who).await;
    picture(&seat, "skill", &format!("/skills/notes/{skill}")).await;
    for name in ["playbooks", "skills", "memory", "mcp", "usage", "audit", "settings", "deliveries"] {
        picture(&seat, name, &format!("/{name}")).await;
    }
    seat.browser.size(390, 844, true).await;
    picture(&seat, "phone", &format!("/sessions/{ended}")).await;
    seat.browser.call("Network.clearBrowserCookies", serde_json::json!({})).await;
    seat.browser.size(1200, 760, false).await;
    picture(&seat, "sign-in", "/sign-in").await;
    seat.leave().await;
}
