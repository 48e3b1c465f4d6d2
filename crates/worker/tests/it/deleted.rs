//! Sessions that somebody deletes while a worker has them, while none does, and while their files are on the way elsewhere.

use std::{sync::Arc, time::Duration};

use cofferdam_domain::{EventBody, Seq, SessionId, Wishes, policy::Questions};
use cofferdam_store::{SqliteStore, Store as _, StoreError, Upkeep as _};
use cofferdam_testkit::Objects;
use cofferdam_worker::erase_forgotten;

use crate::service::{BACK, Hall, bucket};

/// A command that would go on for long.
const LONG: &str = r#"
name = "takes long"

[[step]]
call = [{ tool = "shell", args = { command = "echo begun > begun; sleep 1000" } }]
"#;

fn left(hall: &Hall, session: SessionId) -> std::path::PathBuf {
    hall.scene.data().join("sessions").join(session.to_string())
}

async fn is_gone(hall: &Hall, session: SessionId) {
    assert!(matches!(hall.store.read(session, Seq::START, 1).await, Err(StoreError::UnknownSession(_))));
    assert!(hall.store.was_forgotten(session).await.unwrap());
    let left = left(hall, session);
    assert!(
        !left.exists(),
        "{:?}",
        std::fs::read_dir(&left).map(|entries| entries.flatten().collect::<Vec<_>>())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_deleted_at_work_stops_and_leaves_nothing() {
    let hall = Hall::open(Some(LONG)).await;
    let Some(parts) = hall.parts().await else { return };
    let session = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    let mut running = hall.start(parts);
    hall.until(session, |body| matches!(body, EventBody::ToolStarted { .. })).await;
    hall.store.forget(session).await.unwrap();
    // At once, not when the command has ended.
    let heard = tokio::time::timeout(Duration::from_secs(60), running.hear("Deleted")).await;
    heard.expect("the worker hears of it");
    is_gone(&hall, session).await;
    // The worker goes on with others.
    let other = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    hall.until(other, |body| matches!(body, EventBody::ToolStarted { .. })).await;
    hall.store.forget(other).await.unwrap();
    running.hear("Deleted").await;
    running.stop().await;
    is_gone(&hall, other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_deleted_while_no_worker_is_there_is_never_taken() {
    let hall = Hall::open(Some(BACK)).await;
    let Some(mut parts) = hall.parts().await else { return };
    parts.policy.questions = Questions::Wait;
    let (queued, waiting) = (
        hall.scene.enqueue(&*hall.store, Wishes::default()).await,
        hall.scene.enqueue(&*hall.store, Wishes::default()).await,
    );
    hall.store.forget(queued).await.unwrap();
    let mut running = hall.start(parts);
    let taken = running.hear("Taken").await;
    assert!(taken.contains(&waiting.to_string()), "{taken}");
    running.hear("Waiting(Answer)").await;
    running.stop().await;
    assert!(left(&hall, waiting).exists(), "it could go on");
    hall.store.forget(waiting).await.unwrap();
    erase_forgotten(&*hall.store, &hall.scene.data()).await.unwrap();
    is_gone(&hall, waiting).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_deleted_while_its_files_are_stored_leaves_none_of_them() {
    let Some(objects) = Objects::start() else { return };
    let mut hall = Hall::open(Some(BACK)).await;
    let store = SqliteStore::open_with(&hall.scene.data(), Some(&bucket(&objects))).await.unwrap();
    hall.store = Arc::new(store);
    let Some(mut parts) = hall.parts().await else { return };
    parts.policy.questions = Questions::Wait;
    let session = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    let mut running = hall.start(parts);
    // From here on archives are on their way, and do not arrive.
    hall.until(session, |body| matches!(body, EventBody::Checkpointed { .. })).await;
    objects.freeze();
    hall.until(session, |body| matches!(body, EventBody::QuestionAsked { .. })).await;
    hall.store.forget(session).await.unwrap();
    objects.thaw();
    running.hear("Deleted").await;
    running.stop().await;
    is_gone(&hall, session).await;
    // What arrived all the same is nobody's, and goes as such: at once what was finished, later what was cut off on its way.
    hall.store.sweep(Duration::ZERO).await.unwrap();
    let due = hall.store.clear().await.unwrap();
    let objects: Vec<_> = files(&objects.files("files"));
    assert!(objects.is_empty() || due.is_some(), "nobody knows of {objects:?}");
}

/// All files below a directory.
fn files(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
