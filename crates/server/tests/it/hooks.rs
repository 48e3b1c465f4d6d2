//! What other programs post: taken from whoever proves it, by whatever address, and never more of it than there is room for.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::http::HeaderMap;
use cofferdam_server::{Hooks, Posted};
use reqwest::{Method, StatusCode};

use crate::harness::{Kind, Setup, World};

/// Knows one name, and takes what has its word in a header. Remembers what it took.
#[derive(Clone, Default)]
struct Porter(Arc<Mutex<Vec<usize>>>);

#[async_trait]
impl Hooks for Porter {
    async fn take(&self, name: &str, headers: &HeaderMap, body: Vec<u8>) -> Posted {
        match (name, headers.get("x-word").and_then(|word| word.to_str().ok())) {
            ("work", Some("sesame")) => {
                self.0.lock().unwrap().push(body.len());
                Posted::Kept
            }
            ("work", Some("hello")) => Posted::Said { content_type: "text/plain", body: "who is it".into() },
            ("work", Some("later")) => Posted::Away("the store is away".into()),
            ("work", Some("form")) => Posted::MediaType("send JSON".into()),
            ("work", Some("odd")) => Posted::Malformed("say what you mean".into()),
            ("work", _) => Posted::Unproved("set the same secret".into()),
            (_, _) => Posted::Unknown,
        }
    }
}

async fn world() -> (World, Porter) {
    let porter = Porter::default();
    let setup = Setup { hooks: Some(Box::new(porter.clone())), ..Setup::on(Kind::Sqlite) };
    (World::of(setup).await.unwrap(), porter)
}

#[tokio::test]
async fn what_is_posted_is_judged_by_its_own_proof() {
    let (world, porter) = world().await;
    for (name, word, status, says) in [
        ("work", "sesame", StatusCode::ACCEPTED, ""),
        ("work", "hello", StatusCode::OK, "who is it"),
        ("work", "wrong", StatusCode::UNAUTHORIZED, "set the same secret"),
        ("work", "form", StatusCode::UNSUPPORTED_MEDIA_TYPE, "send JSON"),
        ("work", "odd", StatusCode::BAD_REQUEST, "say what you mean"),
        ("work", "later", StatusCode::SERVICE_UNAVAILABLE, ""),
        ("play", "sesame", StatusCode::NOT_FOUND, "no such hook"),
    ] {
        let posted = world.plain(Method::POST, &format!("/hooks/{name}")).header("x-word", word).body("{}");
        let answer = posted.send().await.unwrap();
        assert_eq!(answer.status(), status, "{name} {word}");
        assert!(answer.headers().get("set-cookie").is_none());
        let text = answer.text().await.unwrap();
        assert!(text.contains(says) && !text.contains("the store is away"), "{text}");
    }
    assert_eq!(*porter.0.lock().unwrap(), [2]);
    // By another address than browsers know it by, and from a page of somebody else's: neither has anything to do with the proof.
    let odd = world.plain(Method::POST, "/hooks/work").header("x-word", "sesame").header("host", "10.0.0.1");
    let answer = odd.header("origin", "https://evil.example").body("x").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let read = world.plain(Method::GET, "/hooks/work").send().await.unwrap();
    assert_eq!(read.status(), StatusCode::METHOD_NOT_ALLOWED);
    world.end().await;
}

#[tokio::test]
async fn giants_are_refused_and_what_is_as_large_as_may_be_is_not() {
    let (world, porter) = world().await;
    let post = |bytes: usize| {
        world.plain(Method::POST, "/hooks/work").header("x-word", "sesame").body(vec![b'x'; bytes]).send()
    };
    let most = 25 << 20;
    assert_eq!(post(most).await.unwrap().status(), StatusCode::ACCEPTED);
    // The answer may come while the rest is still being sent.
    if let Ok(answer) = post(most + 1).await {
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    // Room is given back: many in a row, and at once.
    for _ in 0..4 {
        assert_eq!(post(most).await.unwrap().status(), StatusCode::ACCEPTED);
    }
    let many = (0..40).map(|_| post(1 << 20));
    for answer in futures_util::future::join_all(many).await {
        assert_eq!(answer.unwrap().status(), StatusCode::ACCEPTED);
    }
    assert_eq!(porter.0.lock().unwrap().len(), 45);
    world.end().await;
}

#[tokio::test]
async fn nothing_is_posted_where_nothing_is_configured() {
    let world = World::new().await;
    let answer = world.plain(Method::POST, "/hooks/work").body("{}").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    world.end().await;
}
