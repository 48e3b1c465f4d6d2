//! What GitHub does when it is asked too much, is broken, or has moved something.

use std::time::{SystemTime, UNIX_EPOCH};

use cofferdam_domain::Subject;
use cofferdam_forge::remote::{At, TalkError};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use serde_json::{Value, json};

use super::{As, Scene, mark, owner, talk};

fn headers(all: &[(&'static str, String)]) -> HeaderMap {
    all.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn whoever_wants_to_be_left_alone_is() {
    let secondary = json!({ "message": "You have exceeded a secondary rate limit." });
    let reset = seconds() + 900;
    for (status, headers, body, least, most) in [
        (403, headers(&[("retry-after", "120".into())]), secondary.clone(), 110, 130),
        (429, headers(&[]), json!({}), 50, 70),
        (403, headers(&[]), secondary, 50, 70),
        (
            403,
            headers(&[("x-ratelimit-remaining", "0".into()), ("x-ratelimit-reset", reset.to_string())]),
            json!({ "message": "API rate limit exceeded" }),
            800,
            910,
        ),
    ] {
        let Some(scene) = Scene::new(As::Account).await else { return };
        let number = scene.issue().await;
        scene.talk.issue(&scene.at, number).await.unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        scene.github.inject("POST /repos/", status, headers, &body);
        let asked = scene.talk.say(&scene.at, Subject::Issue(number), &mark("task"), "Hello.").await;
        let Err(TalkError::ForNow { again: Some(again), .. }) = asked else { panic!("{asked:?}") };
        let rest = again.0 / 1000 - seconds();
        assert!((least..most).contains(&rest), "{rest}");
        let before = scene.github.exchanges().len();
        let again = scene.talk.issue(&scene.at, number).await;
        assert!(matches!(again, Err(TalkError::ForNow { again: Some(_), .. })), "{again:?}");
        assert_eq!(scene.github.exchanges().len(), before, "it is not even asked");
    }
}

#[tokio::test]
async fn what_is_broken_is_asked_again_later_and_nothing_is_doubled() {
    let Some(scene) = Scene::new(As::App).await else { return };
    let number = scene.issue().await;
    let subject = Subject::Issue(number);
    scene.github.inject("POST /repos/", StatusCode::BAD_GATEWAY, HeaderMap::new(), &Value::Null);
    let first = scene.talk.say(&scene.at, subject, &mark("task"), "Hello.").await;
    assert!(matches!(first, Err(TalkError::ForNow { .. })), "{first:?}");
    scene.talk.say(&scene.at, subject, &mark("task"), "Hello.").await.unwrap();
    talk(&scene.github, As::App).say(&scene.at, subject, &mark("task"), "Hello.").await.unwrap();
    assert_eq!(scene.talk.comments(&scene.at, subject, None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let Some(scene) = Scene::new(As::Account).await else { return };
    let number = scene.issue().await;
    let path = format!("/repos/{}/issues/{number}", scene.at.path);
    let one = scene.talk.issue(&scene.at, number).await.unwrap();
    assert_eq!(scene.talk.issue(&scene.at, number).await.unwrap(), one);
    scene.owner(Method::PATCH, &format!("/issues/{number}"), json!({ "title": "Another" })).await;
    assert_eq!(scene.talk.issue(&scene.at, number).await.unwrap().title, "Another");
    let exchanges = scene.github.exchanges();
    let statuses: Vec<_> = exchanges.iter().filter(|one| one.path == path).map(|one| one.status).collect();
    assert_eq!(statuses, [200, 304, 200]);
}

#[tokio::test]
async fn a_repository_is_known_by_its_number() {
    for way in [As::App, As::Account] {
        let Some(scene) = Scene::new(way).await else { return };
        let number = scene.issue().await;
        scene.owner(Method::PATCH, "", json!({ "name": "renamed" })).await;
        // Another one takes its name.
        owner(&scene.github, Method::POST, "/user/repos", json!({ "name": "hello-world" })).await;
        let subject = Subject::Issue(number);
        scene.talk.say(&scene.at, subject, &mark("task"), "Hello.").await.unwrap();
        let renamed = At { path: "octocat/renamed".into(), ..scene.at.clone() };
        let comments = talk(&scene.github, way).comments(&renamed, subject, None, 10).await.unwrap();
        assert_eq!(comments.len(), 1);
        assert_eq!(scene.talk.repository("octocat/renamed").await.unwrap().id, scene.at.id);
        assert_ne!(scene.talk.repository("octocat/hello-world").await.unwrap().id, scene.at.id);
    }
}

#[tokio::test]
async fn an_issue_that_went_to_another_repository_is_gone() {
    let Some(scene) = Scene::new(As::Account).await else { return };
    scene.talk.repository(&scene.at.path).await.unwrap();
    let begins = format!("GET /repos/{}/issues/7", scene.at.path);
    for (place, found) in [("/repositories/999/issues/7", false), ("/repositories/1/issues/1", true)] {
        let number = scene.issue().await;
        assert!(number >= 1);
        let location = headers(&[("location", format!("{}{place}", scene.github.url()))]);
        scene.github.inject(&begins, StatusCode::MOVED_PERMANENTLY, location, &Value::Null);
        let answered = scene.talk.issue(&scene.at, 7).await;
        match found {
            true => assert_eq!(answered.unwrap().number, 1),
            false => assert!(matches!(answered, Err(TalkError::Missing { .. })), "{answered:?}"),
        }
    }
}
