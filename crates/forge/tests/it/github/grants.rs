//! Tokens of apps: each for one repository and one purpose, made once, thrown away when they are not accepted.

use cofferdam_domain::{Secret, Subject};
use cofferdam_forge::remote::{At, OpenError, SiteCredential, TalkError, open};
use cofferdam_testkit::{Exchange, GitHub};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use super::{As, Scene, mark, owner, site, talk};

fn made(scene: &Scene) -> Vec<Exchange> {
    let all = scene.github.exchanges();
    all.into_iter().filter(|one| one.method == "POST" && one.path.ends_with("/access_tokens")).collect()
}

#[tokio::test]
async fn a_token_is_for_one_repository_and_made_once() {
    let Some(scene) = Scene::new(As::App).await else { return };
    let number = scene.issue().await;
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let (talk, at) = (scene.talk.clone(), scene.at.clone());
            tokio::spawn(async move { talk.issue(&at, number).await.map(|issue| issue.number) })
        })
        .collect();
    for answered in asked {
        assert_eq!(answered.await.unwrap().unwrap(), number);
    }
    let bodies: Vec<Value> =
        made(&scene).iter().map(|one| serde_json::from_slice(&one.body).unwrap()).collect();
    let talking = json!({
        "actions": "read",
        "checks": "write",
        "issues": "write",
        "metadata": "read",
        "pull_requests": "write",
    });
    assert_eq!(bodies, [json!({ "repository_ids": [scene.at.id], "permissions": talking })]);

    // With the one for this repository, another cannot be seen.
    let token = scene.github.app_tokens().remove(0);
    let other = owner(&scene.github, Method::GET, "/repos/octocat/another", Value::Null).await;
    let other = At { id: other["id"].as_u64().unwrap(), path: "octocat/another".into() };
    scene.talk.comments(&other, Subject::Issue(1), None, 1).await.unwrap_err();
    let used = |one: &Exchange, token: &str| {
        one.headers.get("authorization").is_some_and(|value| value == &format!("Bearer {token}"))
    };
    let exchanges = scene.github.exchanges();
    let of_first: Vec<_> = exchanges.iter().filter(|one| used(one, &token)).collect();
    assert!(
        !of_first.is_empty() && of_first.iter().all(|one| one.path.starts_with("/repos/octocat/hello-world"))
    );
    assert_eq!(made(&scene).len(), 2);
}

#[tokio::test]
async fn a_token_that_is_revoked_is_replaced_once() {
    let Some(scene) = Scene::new(As::App).await else { return };
    let number = scene.issue().await;
    let subject = Subject::Issue(number);
    let said = scene.talk.say(&scene.at, subject, &mark("task"), "At work.").await.unwrap();
    let before = made(&scene).len();
    for token in scene.github.app_tokens() {
        scene.github.revoke(&token);
    }
    assert_eq!(scene.talk.say(&scene.at, subject, &mark("task"), "Done.").await.unwrap(), said);
    assert_eq!(made(&scene).len(), before + 1);
    let refused = json!({ "message": "Bad credentials" });
    for _ in 0..2 {
        let begins = "GET /repos/octocat/hello-world/issues/";
        scene.github.inject(begins, StatusCode::UNAUTHORIZED, HeaderMap::new(), &refused);
    }
    let (asked, tokens) = (scene.github.exchanges().len(), made(&scene).len());
    let error = scene.talk.issue(&scene.at, number).await.unwrap_err();
    assert!(matches!(&error, TalkError::Forbidden { reason, .. } if reason.contains("401")), "{error}");
    assert_eq!((scene.github.exchanges().len() - asked, made(&scene).len() - tokens), (4, 1));
    // The next has a new one again.
    scene.talk.issue(&scene.at, number).await.unwrap();
}

#[tokio::test]
async fn a_token_of_an_account_that_is_revoked_says_so() {
    let Some(scene) = Scene::new(As::Account).await else { return };
    let number = scene.issue().await;
    scene.talk.issue(&scene.at, number).await.unwrap();
    scene.github.revoke(GitHub::ACCOUNT.1);
    let asked = scene.github.exchanges().len();
    let error = scene.talk.issue(&scene.at, number).await.unwrap_err();
    assert!(matches!(&error, TalkError::Forbidden { reason, .. } if reason.contains("401")), "{error}");
    assert_eq!(scene.github.exchanges().len(), asked + 1);
}

#[tokio::test]
async fn an_app_says_what_it_lacks() {
    let Some(scene) = Scene::new(As::App).await else { return };
    let nowhere = At { id: 4711, path: "octocat/nowhere".into() };
    let error = scene.talk.issue(&nowhere, 1).await.unwrap_err();
    assert!(
        matches!(&error, TalkError::Forbidden { reason, .. } if reason.contains("not installed")),
        "{error}"
    );

    let other_app = |id: &str, key: &str| {
        open(&site(&scene.github, SiteCredential::App { id: id.into(), key: Secret::new(key) }))
    };
    let unknown = other_app("999", scene.github.app_keys().0).unwrap();
    let error = unknown.me().await.unwrap_err();
    assert!(matches!(&error, TalkError::Forbidden { reason, .. } if reason.contains("clock")), "{error}");
    let error = other_app("1", "no key").err().unwrap();
    assert!(matches!(&error, OpenError::Key { reason, .. } if reason.contains("PEM")), "{error}");

    let suspended = json!({ "id": 100, "permissions": {}, "suspended_at": "2026-01-01T00:00:00Z" });
    let begins = "GET /repos/octocat/hello-world/installation";
    scene.github.inject(begins, StatusCode::OK, HeaderMap::new(), &suspended);
    let error = scene.talk.issue(&scene.at, 1).await.unwrap_err();
    assert!(matches!(&error, TalkError::Forbidden { reason, .. } if reason.contains("suspended")), "{error}");
}

#[tokio::test]
async fn both_forms_of_a_key_are_taken() {
    let Some(scene) = Scene::new(As::App).await else { return };
    let (one, other) = scene.github.app_keys();
    for key in [one, other, &one.replace('\n', "\\n")] {
        let app = SiteCredential::App { id: GitHub::APP.to_string(), key: Secret::new(key) };
        let me = open(&site(&scene.github, app)).unwrap().me().await.unwrap();
        assert_eq!(me, talk(&scene.github, As::App).me().await.unwrap());
    }
}
