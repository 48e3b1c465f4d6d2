//! A process that is killed between telling and writing it down.

use std::process::{Command, Stdio};

use tokio::sync::watch;

use crate::{
    receiver::{Receiver, Reply},
    scene::{PATIENCE, Scene, done, open, teller, webhook},
};

const FOLDER: &str = "TELL_TEST_FOLDER";
const URL: &str = "TELL_TEST_URL";

/// Tells until it is killed; run in a process of its own only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a role, not a test"]
async fn role() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open(folder.as_ref()).await;
    let teller = teller(store, &webhook("ops", &std::env::var(URL).unwrap()), PATIENCE).await;
    let (_stop, stopped) = watch::channel(false);
    teller.run(stopped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_and_not_written_down_is_told_again_under_the_same_id() {
    // The first request is heard, and its sender dies before it has an answer.
    let receiver = Receiver::start(vec![Reply::Silence]).await;
    let scene = Scene::silent().await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::role", "--ignored"])
        .env(FOLDER, scene.folder.path())
        .env(URL, receiver.url())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    scene.ask("Which?").await;
    let first = receiver.next().await;
    child.kill().unwrap();
    child.wait().unwrap();
    let (stop, stopped) = watch::channel(false);
    let another = teller(scene.store.clone(), &webhook("ops", &receiver.url()), PATIENCE).await;
    let telling = tokio::spawn(another.run(stopped));
    let second = receiver.next().await;
    assert_eq!((second.header("webhook-id"), &second.body), (first.header("webhook-id"), &first.body));
    let letters = scene.until(done).await;
    assert!(letters.len() == 1 && letters[0].told && letters[0].tries == 2, "{letters:?}");
    assert!(receiver.is_quiet().await);
    stop.send_replace(true);
    telling.await.unwrap();
}
