//! Forges that answer badly: everything that is asked of one comes to an end, with a word for it, and a credential goes nowhere else.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cofferdam_domain::{Secret, Subject};
use cofferdam_forge::{
    hook::{ForgeKind, Repository},
    remote::{At, Reacted, Reaction, Site, SiteCredential, Talk, TalkError, open},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

const TOKEN: &str = "a-token-of-the-tests";
const REPOSITORY: &str = r#"{"id":1,"full_name":"acme/site","clone_url":"http://x/acme/site.git"}"#;

/// A server that answers each request with what a function makes of it: bytes as they go over the wire, none for no answer at all.
struct Hostile {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Hostile {
    async fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, record) = (Arc::new(answer), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answer), Arc::clone(&record)));
            }
        });
        Self { url, asked, task }
    }

    /// The heads of all requests so far.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn talk(&self) -> Arc<dyn Talk> {
        let credential = SiteCredential::Token(Secret::new(TOKEN));
        let site = Site::new("acme", ForgeKind::Gitea, &self.url, None, credential, true).unwrap();
        open(&site.with_patience(Duration::from_secs(5))).unwrap()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: Arc<impl Fn(&str) -> Vec<u8> + Send + Sync>,
    asked: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    asked.lock().unwrap().push(head.clone());
    let answer = answer(&head);
    if answer.is_empty() {
        return std::future::pending().await;
    }
    // Whoever asked may have had enough.
    stream.write_all(&answer).await.ok();
    stream.shutdown().await.ok();
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// What looking at a repository comes to when it is answered like this.
async fn looked(given: Vec<u8>) -> (Result<Repository, TalkError>, Hostile) {
    let hostile = Hostile::start(move |_| given.clone()).await;
    (hostile.talk().repository("acme/site").await, hostile)
}

async fn error(status: &str, headers: &str, body: &str) -> TalkError {
    looked(answer(status, headers, body)).await.0.unwrap_err()
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// In how many seconds it may be asked again.
fn rest(error: &TalkError) -> Option<u64> {
    let TalkError::ForNow { again, .. } = error else { panic!("{error:?}") };
    again.map(|again| again.0.saturating_sub(now()).div_ceil(1000))
}

#[tokio::test]
async fn a_broken_forge_is_asked_again_later() {
    for status in ["500 Internal Server Error", "502 Bad Gateway", "408 Request Timeout", "599 Odd"] {
        let error = error(status, "", "<html>").await;
        assert_eq!(rest(&error), None);
        assert!(error.to_string().contains(&status[..3]), "{error}");
    }
    let error = error("503 Service Unavailable", "retry-after: 120\r\n", "").await;
    assert!(matches!(rest(&error), Some(118..=120)), "{error:?}");
}

#[tokio::test]
async fn a_forge_that_wants_rest_gets_it() {
    let reset = now() / 1000 + 300;
    let used_up = format!("x-ratelimit-remaining: 0\r\nx-ratelimit-reset: {reset}\r\n");
    let second = r#"{"message":"You have exceeded a secondary rate limit"}"#;
    for (status, headers, body, rests) in [
        ("429 Too Many Requests", "retry-after: 30\r\n", "", 27..=30),
        ("429 Too Many Requests", "", "", 57..=60),
        ("403 Forbidden", "retry-after: 60\r\n", "", 57..=60),
        ("403 Forbidden", used_up.as_str(), "", 296..=300),
        ("403 Forbidden", "", second, 57..=60),
    ] {
        let hostile = Hostile::start({
            let given = answer(status, headers, body);
            move |_| given.clone()
        })
        .await;
        let talk = hostile.talk();
        for _ in 0..3 {
            let error = talk.repository("acme/site").await.unwrap_err();
            assert!(rest(&error).is_some_and(|rest| rests.contains(&rest)), "{headers} {error:?}");
        }
        assert_eq!(hostile.asked().len(), 1, "it was not left alone");
    }
}

#[tokio::test]
async fn what_a_forge_forbids_comes_with_what_to_do() {
    let unknown =
        error("401 Unauthorized", "", &format!(r#"{{"message":"token {TOKEN} is expired"}}"#)).await;
    assert!(matches!(unknown, TalkError::Forbidden { .. }), "{unknown:?}");
    let said = unknown.to_string();
    assert!(
        said.contains("make a new one") && said.contains("is expired") && !said.contains(TOKEN),
        "{said}"
    );
    let scope = r#"{"message":"token does not have [read:repository]"}"#;
    let said = error("403 Forbidden", "", scope).await.to_string();
    assert!(said.contains("repository acme/site") && said.contains("read:repository"), "{said}");
    let missing = error("404 Not Found", "", "{}").await;
    assert_eq!(missing.to_string(), "acme has no repository acme/site");
    let words = r#"{"message":"bad \u202e\u0007 title\n\n again"}"#;
    let refused = error("422 Unprocessable Entity", "", words).await;
    assert!(matches!(refused, TalkError::Refused { .. }), "{refused:?}");
    assert!(refused.to_string().contains("bad \\u{202e}\\u{7} title again"), "{refused}");
    let long = error("409 Conflict", "", &format!(r#"{{"message":"{}"}}"#, "x".repeat(1 << 20))).await;
    assert!(long.to_string().len() < 1_000, "{}", long.to_string().len());
}

#[tokio::test]
async fn an_answer_that_is_none_is_not_taken_for_one() {
    for body in ["", "<html></html>", "[]", r#"{"id":"1"}"#, r#"{"id":1}"#, "{\"id\":1,", "null"] {
        let error = error("200 OK", "", body).await;
        assert!(matches!(error, TalkError::Malformed { .. }), "{body}: {error:?}");
        assert!(error.to_string().len() < 1_000);
    }
}

#[tokio::test]
async fn a_forge_that_is_slow_or_gone_is_waited_for_so_long_only() {
    let hostile = Hostile::start(|_| Vec::new()).await;
    let credential = SiteCredential::Token(Secret::new(TOKEN));
    let site = Site::new("acme", ForgeKind::Gitea, &hostile.url, None, credential, true).unwrap();
    let talk = open(&site.with_patience(Duration::from_millis(200))).unwrap();
    let error = talk.repository("acme/site").await.unwrap_err();
    assert!(error.to_string().contains("in time") && rest(&error).is_none(), "{error}");

    let mut cut = answer("200 OK", "", REPOSITORY);
    cut.truncate(cut.len() - 10);
    let error = looked(cut).await.0.unwrap_err();
    assert!(error.to_string().contains("cut off") && rest(&error).is_none(), "{error}");

    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let credential = SiteCredential::Token(Secret::new(TOKEN));
    let site =
        Site::new("acme", ForgeKind::Gitea, &format!("http://{free}"), None, credential, true).unwrap();
    let error = open(&site).unwrap().repository("acme/site").await.unwrap_err();
    assert!(error.to_string().contains("cannot be reached") && rest(&error).is_none(), "{error}");
}

#[tokio::test]
async fn a_giant_answer_is_not_read_to_its_end() {
    let giant = format!("{{\"id\":1,\"full_name\":\"{}\"}}", "x".repeat(9 << 20));
    let error = error("200 OK", "", &giant).await;
    assert!(error.to_string().contains("larger than 8 MiB"), "{error}");
    // As is one whose length is not told.
    let endless = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{giant}").into_bytes();
    let error = looked(endless).await.0.unwrap_err();
    assert!(error.to_string().contains("larger than 8 MiB"), "{error}");
}

#[tokio::test]
async fn a_credential_is_not_led_elsewhere() {
    let other = Hostile::start(|_| answer("200 OK", "", REPOSITORY)).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("location: {}/api/v1/repos/acme/site\r\n", other.url);
        let error = error(status, &location, "").await;
        assert!(error.to_string().contains("leads elsewhere"), "{error}");
        // Out of the API, too.
        let error = crate::wire::error(status, "location: /login\r\n", "").await;
        assert!(error.to_string().contains("leads elsewhere"), "{error}");
    }
    assert_eq!(other.asked(), [""; 0]);
    // Round and round.
    let (looked, hostile) = looked(answer("302 Found", "location: /api/v1/next\r\n", "")).await;
    assert!(looked.is_err() && hostile.asked().len() == 2);
}

#[tokio::test]
async fn a_repository_that_was_renamed_is_followed() {
    let hostile = Hostile::start(|head| match head {
        _ if head.starts_with("GET /api/v1/repositories/1 ") => answer("200 OK", "", REPOSITORY),
        _ if head.contains("/acme/moved") => answer("200 OK", "", REPOSITORY),
        _ => {
            let place = head.split(' ').nth(1).unwrap().replace("/acme/site", "/acme/moved");
            answer("307 Temporary Redirect", &format!("location: {place}\r\n"), "")
        }
    })
    .await;
    let talk = hostile.talk();
    assert_eq!(talk.repository("acme/site").await.unwrap().id, 1);
    let at = At { id: 1, path: "acme/site".into() };
    talk.react(&at, Reacted::Subject(Subject::Issue(7)), Reaction::Eyes).await.unwrap();
    let asked = hostile.asked();
    let last = asked.last().unwrap();
    assert!(last.starts_with("POST /api/v1/repos/acme/moved/issues/7/reactions "), "{last}");
    assert!(asked.iter().all(|head| head.contains(&format!("authorization: Bearer {TOKEN}\r\n"))));
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let hostile = Hostile::start(|head| match head.contains("if-none-match: \"one\"\r\n") {
        true => answer("304 Not Modified", "etag: \"one\"\r\n", ""),
        false => answer("200 OK", "etag: \"one\"\r\n", REPOSITORY),
    })
    .await;
    let talk = hostile.talk();
    let first = talk.repository("acme/site").await.unwrap();
    for _ in 0..3 {
        assert_eq!(talk.repository("acme/site").await.unwrap(), first);
    }
    let asked = hostile.asked();
    assert_eq!(asked.iter().filter(|head| head.contains("if-none-match")).count(), 3, "{asked:?}");
    // Nothing was kept of it: it cannot have been changed since.
    assert!(looked(answer("304 Not Modified", "", "")).await.0.is_err());
}

#[tokio::test]
async fn pages_have_an_end() {
    let at = At { id: 1, path: "acme/site".into() };
    // Each page leads to a next one, on another host.
    let hostile = Hostile::start(|head| match head.starts_with("GET /api/v1/repositories/1 ") {
        true => answer("200 OK", "", REPOSITORY),
        false => answer("200 OK", "link: <https://evil.example/api/v1/x?page=2>; rel=\"next\"\r\n", "[]"),
    })
    .await;
    let error = hostile.talk().find_pull(&at, "a-branch").await.unwrap_err();
    assert!(error.to_string().contains("more than 200 pages"), "{error}");
    let asked = hostile.asked();
    assert_eq!(asked.len(), 201);
    assert!(asked[2..].iter().all(|head| head.starts_with("GET /api/v1/repos/acme/site/pulls?page=2 ")));
}

#[tokio::test]
async fn no_name_leads_to_another_place() {
    let hostile = Hostile::start(|_| answer("200 OK", "", REPOSITORY)).await;
    let talk = hostile.talk();
    for none in
        ["acme/..", "../acme", "acme/.", "/acme", "acme/", "acme", "acme/.\t.", "acme/.\n.", "\r/acme"]
    {
        let answer = talk.repository(none).await;
        assert!(matches!(answer, Err(TalkError::Missing { .. })), "{none:?}: {answer:?}");
    }
    assert_eq!(hostile.asked(), [""; 0]);
    for (odd, path) in [
        ("acme/a?b=c#d", "acme/a%3Fb=c%23d"),
        ("acme/a/../b", "acme/a%2F..%2Fb"),
        ("a b/%2e%2e", "a%20b/%252e%252e"),
        ("acme/a\\..\\b", "acme/a%5C..%5Cb"),
    ] {
        talk.repository(odd).await.unwrap();
        let head = hostile.asked().pop().unwrap();
        assert!(head.starts_with(&format!("GET /api/v1/repos/{path} ")), "{odd:?}: {head}");
    }
}
