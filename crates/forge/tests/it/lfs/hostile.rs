//! Servers that lie, lead elsewhere, or do not come to an end: every content is here whole or not at all, and nobody is asked who should not be.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use cofferdam_domain::{Secret, egress::Addresses};
use cofferdam_forge::{
    Brought, Forges, LfsError, RemoteForge,
    hook::ForgeKind,
    remote::{Site, SiteCredential},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::*;
use crate::{
    desk::Desk,
    remote_forge::{ORG, PASSWORD},
};

const CONTENT: &[u8] = b"the content itself";
const BATCH: &str = "POST /acme/site.git/info/lfs/objects/batch ";

/// What a server does with a request: bytes as they go over the wire, then the end of the connection.
type Answer = dyn Fn(&str, &str) -> Vec<u8> + Send + Sync;

/// A server, with the heads of what it was asked.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// `answer` has the head of a request and the server's own address; where it gives nothing, there is no answer.
    async fn start(answer: impl Fn(&str, &str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, record, own): (Arc<Answer>, _, _) = (Arc::new(answer), asked.clone(), url.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer.clone(), record.clone(), own.clone()));
            }
        });
        Self { url, asked, task }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, answer: Arc<Answer>, asked: Arc<Mutex<Vec<String>>>, own: String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    asked.lock().unwrap().push(head.clone());
    let bytes = answer(&head, &own);
    if bytes.is_empty() {
        return std::future::pending().await;
    }
    // Whoever asked may have had enough.
    stream.write_all(&bytes).await.ok();
    stream.shutdown().await.ok();
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn found(body: &[u8]) -> Vec<u8> {
    answer("200 OK", "", body)
}

/// What the batch API answers about the content.
fn batch(action: &str, href: &str, more: &Value) -> Vec<u8> {
    let mut link = json!({ "href": href });
    if let (Some(link), Some(more)) = (link.as_object_mut(), more.as_object()) {
        link.extend(more.clone());
    }
    let object =
        json!({ "oid": Digest::of(CONTENT).hex(), "size": CONTENT.len(), "actions": { action: link } });
    found(json!({ "transfer": "basic", "objects": [object] }).to_string().as_bytes())
}

fn rules() -> LfsRules {
    LfsRules { patience: Duration::from_secs(2), ..LfsRules::default() }
}

async fn bring(server: &Server, rules: LfsRules) -> Result<Brought, LfsError> {
    let world = world();
    let url = format!("{}/acme/site.git", server.url);
    let address = RepositoryAddress::parse(&world.git, &url, Path::new("/")).await.unwrap();
    let contents = world.mirrors().lfs(rules).contents(&address, None);
    let lent = LfsShelf::new(world.path("lent"));
    let brought = contents.bring(&[pointer(CONTENT)], None, &lent).await?;
    assert_eq!(brought.here.contains(&pointer(CONTENT)), lent.has(&pointer(CONTENT)));
    assert_eq!(brought.here.len() + brought.lacking.len(), 1);
    Ok(brought)
}

/// Why the content is not here, where the server answers the batch like this and everything else like that.
async fn lacking(first: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static, then: Vec<u8>) -> String {
    let server =
        Server::start(move |head, own| if head.starts_with(BATCH) { first(own) } else { then.clone() }).await;
    let brought = bring(&server, rules()).await.unwrap();
    brought.lacking.into_values().next().unwrap_or_else(|| "it is here".to_owned())
}

fn own(own: &str) -> Vec<u8> {
    batch("download", &format!("{own}/objects/1"), &json!({}))
}

#[tokio::test]
async fn what_comes_is_what_the_pointer_names_or_nothing() {
    assert_eq!(lacking(own, found(CONTENT)).await, "it is here");
    let mut other = CONTENT.to_vec();
    other[0] ^= 1;
    let longer = [CONTENT, b"x"].concat();
    let cut = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\nthe con", CONTENT.len());
    let endless = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &b"x".repeat(8 << 20)].concat();
    for (then, why) in [
        (found(&other), "something else than its pointer names"),
        (found(&CONTENT[1..]), "only 17 bytes of it came"),
        (found(b""), "only 0 bytes of it came"),
        (found(&longer), "longer than its pointer says"),
        (endless, "longer than its pointer says"),
        (cut.into_bytes(), "the connection broke"),
        (answer("404 Not Found", "", b""), "answered 404"),
        (answer("206 Partial Content", "", CONTENT), "answered 206"),
        (Vec::new(), "no answer in time"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n".to_vec(), "the connection broke"),
    ] {
        let said = lacking(own, then).await;
        assert!(said.contains(why), "{said:?} is not {why:?}");
    }
}

#[tokio::test]
async fn nobody_is_asked_who_should_not_be() {
    let other = Server::start(|_, _| found(CONTENT)).await;
    let elsewhere = other.url.clone();
    for href in [
        format!("{elsewhere}/objects/1"),
        "http://169.254.169.254/latest".to_owned(),
        "http://10.0.0.1/x".to_owned(),
        "http://localhost:1/x".to_owned(),
        "file:///etc/passwd".to_owned(),
        "/objects/1".to_owned(),
        format!("http://user:password@{}/x", elsewhere.trim_start_matches("http://")),
        "x".repeat(20_000),
    ] {
        let link = href.clone();
        let said = lacking(move |_| batch("download", &link, &json!({})), found(CONTENT)).await;
        assert!(said.contains("nothing is asked for") || said.contains("no address"), "{href}: {said}");
    }
    for (to, why) in [
        (format!("{elsewhere}/objects/1"), "nothing is asked for"),
        ("http://127.0.0.1:1/".to_owned(), "nothing is asked for"),
        ("/again".to_owned(), "elsewhere again and again"),
    ] {
        let moved = answer("302 Found", &format!("location: {to}\r\n"), b"");
        let said = lacking(own, moved).await;
        assert!(said.contains(why), "{to}: {said}");
    }
    let bad = json!({ "header": { "Authorization": "a\r\nb: c" } });
    let said = lacking(move |own| batch("download", &format!("{own}/1"), &bad), found(CONTENT)).await;
    assert!(said.contains("headers that are none"), "{said}");
    assert_eq!(other.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_does_not_say_where_contents_are() {
    let refused = json!({ "objects": [{ "oid": Digest::of(CONTENT).hex(), "error": { "code": 404, "message": "Gone\u{202e}" } }] });
    for (first, why) in [
        (found(refused.to_string().as_bytes()), "its server does not give it (404)"),
        (found(br#"{"objects":[]}"#), "does not have it"),
        (answer("404 Not Found", "", b"no"), "has no LFS server"),
        (answer("501 Not Implemented", "", b"no"), "has no LFS server"),
        (answer("403 Forbidden", "", b"no"), "does not let the configured account in"),
        (answer("422 Unprocessable", "", br#"{"message":"Not like this"}"#), "its server answered 422"),
        (found(b"<html>"), "none of the batch API"),
        (found(br#"{"transfer":"ssh","objects":[]}"#), "another transfer"),
        (answer("302 Found", "location: http://127.0.0.1:1/\r\n", b""), "302"),
    ] {
        let said = lacking(move |_| first.clone(), found(CONTENT)).await;
        assert!(said.contains(why), "{said:?} is not {why:?}");
    }
    let giant = [&b"{\"objects\":["[..], &b" ".repeat(9 << 20), b"]}"].concat();
    for (first, why) in [
        (answer("500 Oh", "", b""), "it answered 500"),
        (answer("429 Slowly", "", b""), "it answered 429"),
        (found(&giant), "larger than 8 MiB"),
        (Vec::new(), "no answer in time"),
    ] {
        let server = Server::start(move |_, _| first.clone()).await;
        let error = bring(&server, rules()).await.unwrap_err();
        assert!(matches!(error, LfsError::ForNow { .. }) && error.to_string().contains(why), "{error}");
        assert!(!error.needs_a_person());
    }
    let server = Server::start(|_, own_url| own(own_url)).await;
    let brought = bring(&server, LfsRules { largest: 10, ..rules() }).await.unwrap();
    assert!(brought.lacking.values().all(|why| why.contains("`largest` is 10")), "{brought:?}");
    assert_eq!(server.asked(), Vec::<String>::new());
}

/// A forge at the server, as whose account it is asked.
async fn forge(world: &World, server: &Server, rules: LfsRules) -> Contents {
    let desk = Arc::new(Desk::new(world.path("bare"), 12, "acme/site", &[PASSWORD]));
    let token = SiteCredential::Token(Secret::new(PASSWORD));
    let site = Site::new("works", ForgeKind::Gitea, &server.url, None, token, true).unwrap();
    let remote = RemoteForge::new(world.git.clone(), ORG, site, desk);
    let forges = Forges::new(Arc::new(world.forge()), vec![remote]);
    let url = format!("{}/acme/site.git", server.url);
    let address = RepositoryAddress::parse(&world.git, &url, Path::new("/")).await.unwrap();
    let access = forges.access(ORG, &address).await.unwrap();
    world.mirrors().lfs(rules).contents(&address, access)
}

fn presents(head: &str) -> bool {
    head.to_ascii_lowercase().contains("authorization: basic ")
}

#[tokio::test]
async fn the_credential_goes_to_the_forge_alone() {
    let world = world();
    let other = Server::start(|_, _| found(CONTENT)).await;
    let at: std::net::SocketAddr = other.url.trim_start_matches("http://").parse().unwrap();
    let elsewhere = other.url.clone();
    let server = Server::start(move |_, _| {
        batch("download", &format!("{elsewhere}/objects/1"), &json!({ "header": { "X-Signed": "yes" } }))
    })
    .await;
    let contents = forge(&world, &server, LfsRules { addresses: Addresses::At(at), ..rules() }).await;
    let brought =
        contents.bring(&[pointer(CONTENT)], None, &LfsShelf::new(world.path("lent"))).await.unwrap();
    assert_eq!(brought.here.len(), 1, "{brought:?}");
    assert!(server.asked().iter().all(|head| presents(head)));
    let [asked] = &other.asked()[..] else { panic!() };
    assert!(!presents(asked) && asked.contains("x-signed: yes"), "{asked}");

    // A redirection takes nothing with it.
    let world = self::world();
    let elsewhere = other.url.clone();
    let server = Server::start(move |head, own_url| match head.starts_with(BATCH) {
        true => own(own_url),
        false => answer("302 Found", &format!("location: {elsewhere}/moved\r\n"), b""),
    })
    .await;
    let contents = forge(&world, &server, LfsRules { addresses: Addresses::At(at), ..rules() }).await;
    let brought =
        contents.bring(&[pointer(CONTENT)], None, &LfsShelf::new(world.path("again"))).await.unwrap();
    assert_eq!(brought.here.len(), 1, "{brought:?}");
    assert!(server.asked().iter().all(|head| presents(head)));
    let asked = other.asked();
    assert!(asked.len() == 2 && !asked.iter().any(|head| presents(head)), "{asked:?}");
}

#[tokio::test]
async fn what_a_server_does_not_take_is_told() {
    let world = world();
    let shelf = LfsShelf::new(world.path("made"));
    assert!(shelf.put(pointer(CONTENT), CONTENT).unwrap());
    let refused = json!({ "objects": [{ "oid": Digest::of(CONTENT).hex(), "error": { "code": 422, "message": "Too many" } }] });
    for (first, then, why) in [
        (Some(found(refused.to_string().as_bytes())), Vec::new(), Err("Too many (422)")),
        (None, answer("507 Full", "", b""), Err("507")),
        (
            None,
            answer("413 Large", "", br#"{"message":"The quota is used up"}"#),
            Err("The quota is used up"),
        ),
        (None, answer("302 Found", "location: http://127.0.0.1:1/\r\n", b""), Err("302")),
        (None, answer("503 Later", "", b""), Err("it answered 503")),
        (Some(found(br#"{"objects":[]}"#)), Vec::new(), Err("says nothing about")),
        (Some(batch("upload", "http://127.0.0.1:1/x", &json!({}))), Vec::new(), Err("nothing is asked for")),
        (Some(batch("verify", "http://127.0.0.1:1/x", &json!({}))), Vec::new(), Ok(())),
        (None, answer("200 OK", "", b""), Ok(())),
    ] {
        let server = Server::start(move |head, own| match (head.starts_with(BATCH), &first) {
            (true, Some(first)) => first.clone(),
            (true, None) => batch("upload", &format!("{own}/put"), &json!({})),
            (false, _) => then.clone(),
        })
        .await;
        let contents = forge(&world, &server, rules()).await;
        let sent = contents.send(&[pointer(CONTENT)], &shelf, "branch").await;
        match (sent, why) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(why)) => assert!(error.to_string().contains(why), "{error} is not {why}"),
            (sent, why) => panic!("{sent:?} is not {why:?}"),
        }
    }
}
