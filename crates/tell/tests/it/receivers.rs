//! What receivers may do: be slow, fail, redirect, go away, send too much.

use std::time::Duration;

use cofferdam_domain::{
    EventBody, Owner, SessionId, Side, Source, Task,
    attempt::{Attempt, Choose},
    evidence::Exit,
};
use cofferdam_store::{Everything, Placement, Ticket, Writer};
use cofferdam_tell::Patience;
use serde_json::Value;

use crate::{
    chronicle::run,
    receiver::{Receiver, Reply},
    scene::{PATIENCE, Scene, done, now, teller, webhook},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_told_with_a_link_and_once() {
    let receiver = Receiver::start(Vec::new()).await;
    let scene = Scene::new(&webhook("ops", &receiver.url())).await;
    scene.ask("Which\u{202e}?").await;
    let received = receiver.next().await;
    assert_eq!(received.line, "POST /hook?key=1 HTTP/1.1");
    assert_eq!(received.header("content-type"), "application/json");
    let body: Value = serde_json::from_str(&received.body).unwrap();
    assert_eq!(body["type"], "session.question");
    assert_eq!(body["data"]["link"], format!("https://c.example/sessions/{}", scene.session));
    assert_eq!(body["data"]["organisation"]["name"], "local");
    assert_eq!(body["data"]["untrusted"]["text"], "Which\\u{202e}?");
    let letters = scene.until(done).await;
    assert_eq!(letters.len(), 1);
    assert!(letters[0].told && letters[0].tries == 1);
    assert_eq!(received.header("webhook-id"), letters[0].letter.id.to_string());
    assert!(receiver.is_quiet().await);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_receiver_does_it_is_tried_again_with_the_same_letter() {
    let replies = vec![
        Reply::Status(500, ""),
        Reply::Status(302, "location: http://169.254.169.254/\r\n"),
        Reply::Giant,
        Reply::Noise,
        Reply::Silence,
        Reply::Status(404, ""),
    ];
    let tries = replies.len() + 1;
    let receiver = Receiver::start(replies).await;
    let scene = Scene::new(&webhook("ops", &receiver.url())).await;
    scene.ask("Which?").await;
    let first = receiver.next().await;
    for _ in 1..tries {
        let again = receiver.next().await;
        assert_eq!((again.header("webhook-id"), &again.body), (first.header("webhook-id"), &first.body));
    }
    let letters = scene.until(done).await;
    assert!(letters[0].told && letters[0].tries as usize == tries, "{letters:?}");
    assert!(receiver.is_quiet().await);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_gone_is_given_up_and_so_is_who_never_answers_well() {
    let gone = Receiver::start(vec![Reply::Status(410, "")]).await;
    let bad = Receiver::start(vec![Reply::Status(500, ""); 50]).await;
    let patience = Patience { give_up: Duration::from_millis(500), ..PATIENCE };
    let tables = webhook("gone", &gone.url()) + &webhook("bad", &bad.url());
    let scene = Scene::with(&tables, patience).await;
    scene.ask("Which?").await;
    let letters = scene.until(|letters| letters.len() == 2 && done(letters)).await;
    assert!(letters.iter().all(|letter| !letter.told), "{letters:?}");
    assert!(
        letters.iter().any(|letter| letter.tries == 1 && letter.reason.as_ref().unwrap().contains("410"))
    );
    assert!(letters.iter().any(|letter| letter.tries > 1 && letter.reason.as_ref().unwrap().contains("500")));
    let audited = scene.store.audited(Owner::LOCAL.org, None, 10).await.unwrap();
    assert_eq!(audited.iter().filter(|entry| entry.action == "letter.given_up").count(), 2);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_slow_keeps_nobody_else_waiting() {
    let slow = Receiver::start(vec![Reply::Silence; 50]).await;
    let quick = Receiver::start(Vec::new()).await;
    let patience = Patience { request: Duration::from_secs(30), lease: Duration::from_secs(60), ..PATIENCE };
    let scene =
        Scene::with(&(webhook("slow", &slow.url()) + &webhook("quick", &quick.url())), patience).await;
    for _ in 0..12 {
        scene.ask("Which?").await;
    }
    for _ in 0..12 {
        quick.next().await;
    }
    let told =
        |letters: &[cofferdam_store::Posted]| letters.iter().filter(|letter| letter.told).count() == 12;
    assert_eq!(scene.until(told).await.len(), 24);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_is_to_be_told_is() {
    let receiver = Receiver::start(Vec::new()).await;
    let other =
        webhook("other", &receiver.url()).replace("webhook =", "organisations = ['other']\nwebhook =");
    let frozen = webhook("frozen", &receiver.url()).replace("webhook =", "kinds = ['frozen']\nwebhook =");
    let mine = webhook("mine", &receiver.url())
        .replace("webhook =", "kinds = ['question']\nprojects = ['default']\nwebhook =");
    let scene = Scene::new(&(other + &frozen + &mine)).await;
    scene.ask("Which?").await;
    let letters = scene.until(done).await;
    let channels: Vec<_> = letters.iter().map(|letter| letter.channel.as_deref().unwrap()).collect();
    assert_eq!(channels, ["mine"]);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_leads_to_no_address_that_was_not_permitted() {
    let receiver = Receiver::start(Vec::new()).await;
    let url = format!("https://localhost:{}/", receiver.address.port());
    let near =
        webhook("near", &url.replace("https", "http")).replace("secret =", "addresses = 'private', secret =");
    let at = webhook("at", "http://hooks.example.com/")
        .replace("secret =", &format!("addresses = {{ at = '{}' }}, secret =", receiver.address));
    let scene = Scene::new(&(webhook("public", &url) + &near + &at)).await;
    scene.ask("Which?").await;
    // Only the one whose address is written down gets through, under its name.
    assert_eq!(receiver.next().await.header("host"), "hooks.example.com");
    let failed = |letters: &[cofferdam_store::Posted]| {
        letters
            .iter()
            .filter(|letter| letter.reason.as_ref().is_some_and(|reason| reason.contains("address")))
            .count()
            == 2
    };
    scene.until(failed).await;
    assert!(receiver.is_quiet().await);
    scene.end().await;
}

/// An attempt that is ready to be chosen, with which the tests pass or fail.
async fn ready(store: &dyn Everything, choose: Choose, head: Exit) -> SessionId {
    let attempt = Attempt { group: SessionId::generate(), number: 1, of: 2, choose };
    let task = Task::new("Fix it".into(), "/r".into(), None, "ann".into(), Source::Api).unwrap();
    let ticket = Ticket { owner: Owner::LOCAL, placement: Placement::Queued { priority: 0 } };
    let first = EventBody::TaskAccepted { task: task.attempted(attempt) };
    let finished = serde_json::json!({
        "event": "work_finished",
        "finish": { "outcome": "done", "title": "t", "summary": "Choose me." },
    });
    let finished = serde_json::from_value(finished).unwrap();
    let received = serde_json::json!({
        "bundle": format!("sha256:{}", "0".repeat(64)),
        "head": "c1",
        "tree": "0".repeat(40),
        "stat": { "files": 1, "added": 1, "removed": 0 },
    });
    let rest = vec![
        finished,
        EventBody::ObjectsReceived(serde_json::from_value(received).unwrap()),
        run(Side::Base, Exit::Code(0)),
        run(Side::Head, head),
        EventBody::AttemptReady { commit: "c1".into() },
    ];
    store.enqueue(ticket, attempt.session(), now(), first, rest).await.unwrap();
    attempt.session()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_told_of_an_attempt_that_they_are_to_choose() {
    let receiver = Receiver::start(Vec::new()).await;
    let scene = Scene::new(&webhook("ops", &receiver.url())).await;
    // Where the rule chooses, there is nothing to do for anybody, but where it chooses none.
    ready(&*scene.store, Choose::Best, Exit::Code(0)).await;
    for (choose, head) in [(Choose::Ask, Exit::Code(0)), (Choose::Best, Exit::Code(1))] {
        let asked = ready(&*scene.store, choose, head).await;
        let received = receiver.next().await;
        let body: Value = serde_json::from_str(&received.body).unwrap();
        assert_eq!(body["type"], "session.choice");
        assert_eq!(body["data"]["link"], format!("https://c.example/sessions/{asked}"));
        assert!(!received.body.contains("Choose me."), "{}", received.body);
    }
    scene.until(done).await;
    assert!(receiver.is_quiet().await);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_of_a_choice_that_was_made_before() {
    let receiver = Receiver::start(Vec::new()).await;
    let scene = Scene::silent().await;
    let chosen = ready(&*scene.store, Choose::Ask, Exit::Code(0)).await;
    let choice = EventBody::AttemptChosen { by: "ann".into(), commit: "c1".into() };
    scene.store.append(chosen, Writer::Anybody, now(), vec![choice]).await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let telling = teller(scene.store.clone(), &webhook("ops", &receiver.url()), PATIENCE).await;
    let telling = tokio::spawn(telling.run(stopped));
    scene.ask("Which?").await;
    let received = receiver.next().await;
    assert!(received.body.contains("session.question"), "{}", received.body);
    scene.until(done).await;
    assert!(receiver.is_quiet().await);
    stop.send_replace(true);
    telling.await.unwrap();
}
