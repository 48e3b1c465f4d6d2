//! Programs that are told.

use std::fs;

use serde_json::Value;

use crate::scene::{Scene, done};

fn program(script: &str, seconds: u32) -> String {
    format!(
        "[[tell]]\nname = 'here'\ncommand = {{ argv = ['sh', '-c', '''{script}'''], seconds = {seconds} }}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_has_the_message_on_its_input_and_nothing_secret() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display();
    let scene = Scene::new(&program(&format!("cat > {place}/message; env > {place}/environment"), 30)).await;
    scene.ask("Which?").await;
    assert!(scene.until(done).await[0].told);
    let message: Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("message")).unwrap()).unwrap();
    assert_eq!(message["type"], "session.question");
    let environment = fs::read_to_string(folder.path().join("environment")).unwrap();
    assert!(environment.contains("PATH=") && !environment.contains("CARGO"), "{environment}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_is_run_again_and_one_that_hangs_is_ended_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display();
    let script = format!(
        "echo x >> {place}/tries; case $(wc -l < {place}/tries) in 1) exit 3;; 2) sleep 600 & echo $! > {place}/left; wait;; esac"
    );
    let scene = Scene::new(&program(&script, 1)).await;
    scene.ask("Which?").await;
    let letters = scene.until(done).await;
    assert!(letters[0].told && letters[0].tries == 3, "{letters:?}");
    let left = fs::read_to_string(folder.path().join("left")).unwrap();
    let state = fs::read_to_string(format!("/proc/{}/stat", left.trim())).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z"), "{state}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_does_not_want_to_know_is_told_all_the_same() {
    let scene = Scene::new(&program("exec <&-; exit 0", 30)).await;
    scene.ask(&"x".repeat(500)).await;
    assert!(scene.until(done).await[0].told);
    scene.end().await;
}
