//! What is wrong with a provider's word is found, said, and in the server's log; and nobody is signed in.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::http::header::COOKIE;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use cofferdam_domain::{Owner, Timestamp};
use cofferdam_server::Limits;
use ring::{hmac, signature::KeyPair as _};
use serde_json::{Value, json};
use tracing::subscriber::DefaultGuard;

use super::liar::{Liar, Sent, Told, encode, header, key_set, pair, signed};
use crate::harness::{Kind, Setup, World};

/// What the server writes into its log, on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn begin() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writes = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_writer(move || writes.clone())
            .with_max_level(tracing::Level::WARN);
        (log, tracing::subscriber::set_default(subscriber.finish()))
    }

    /// What was written since it was last asked.
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn world(liar: &Liar, limits: Limits) -> World {
    let openid = Some(liar.settings());
    World::of(Setup { limits, openid, ..Setup::on(Kind::Sqlite) }).await.unwrap()
}

/// That nobody came in, with a page that says why, and a line in the log.
async fn refused(world: &World, log: &Log, sent: &mut Sent, status: u16, words: &str) {
    let (answered, page) = sent.back(world).await;
    assert_eq!(answered, status, "{words}: {page}");
    assert!(page.contains(words), "{words}: {page}");
    assert!(sent.jar.cookies.is_empty(), "{words}: {:?}", sent.jar.cookies);
    let logged = log.take();
    assert!(logged.contains("OpenID") && logged.contains(words), "{words}: {logged}");
    assert!(!logged.contains("ann@example.com"), "no content: {logged}");
}

#[tokio::test]
async fn a_good_word_is_taken_and_the_questions_are_as_they_must_be() {
    let liar = Liar::start().await;
    let world = world(&liar, Limits::default()).await;
    let mut sent = Sent::off(&world).await;
    let asked = sent.asked.clone();
    let back = format!("http://{}/sign-in/openid/return", world.address);
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "cofferdam"),
        ("redirect_uri", &back),
        ("scope", "openid email profile"),
        ("code_challenge_method", "S256"),
        ("of", "cofferdam"),
    ] {
        assert_eq!(asked[name], value);
    }
    let claims = liar.claims(&world, &asked["nonce"]);
    liar.tell(|told| told.token = Some(signed(&header(1), &claims, 1)));
    let (status, page) = sent.back(&world).await;
    assert_eq!(status, 200, "{page}");
    assert_eq!(sent.jar.whoami(&world).await.1["name"], "Ann");
    let (client, form) = liar.state.lock().unwrap().exchanged.clone().unwrap();
    let expected = format!("cofferdam:{}", "a+secret%3A+%25%26%2B%2F");
    assert_eq!(client, format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(expected)));
    assert_eq!(
        (&*form["grant_type"], &*form["code"], &*form["redirect_uri"]),
        ("authorization_code", "c", &*back)
    );
    let digest = ring::digest::digest(&ring::digest::SHA256, form["code_verifier"].as_bytes());
    assert_eq!(asked["code_challenge"], BASE64_URL_SAFE_NO_PAD.encode(digest), "RFC 7636");
    // The same answer once more: the attempt is used up.
    assert_eq!(sent.back(&world).await.0, 403);
    world.end().await;
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let (log, _guard) = Log::begin();
    let liar = Liar::start().await;
    let world = world(&liar, Limits::default()).await;
    let now = world.now().0 / 1000;
    for (name, value, words) in [
        ("aud", json!("another"), "it is for somebody else"),
        ("aud", json!(["cofferdam", "another"]), "it was made for another client"),
        ("azp", json!("another"), "it was made for another client"),
        ("iss", json!("https://other.example"), "it is from another issuer"),
        ("nonce", json!("another"), "it belongs to another sign-in"),
        ("exp", json!(now - 3600), "it has expired"),
        ("iat", json!(now + 3600), "it is from the future"),
        ("iat", json!(now - 3600), "it is older than this sign-in"),
        ("sub", Value::Null, "it does not say whom it is about"),
    ] {
        let mut sent = Sent::off(&world).await;
        let mut claims = liar.claims(&world, &sent.asked["nonce"]);
        claims[name] = value;
        liar.tell(|told| told.token = Some(signed(&header(1), &claims, 1)));
        refused(&world, &log, &mut sent, 403, words).await;
    }
    for (forge, words) in [
        (unsigned as fn(&Value) -> String, "not signed as RS256, ES256 or EdDSA"),
        (with_the_public_key, "not signed as RS256, ES256 or EdDSA"),
        (by_another, "its signature is wrong"),
        (by_an_unknown_key, "signed by a key that the provider does not have"),
        (|claims| signed(&header(1), claims, 1).replace('.', ".."), "it has not the form of one"),
        (|claims| format!("{}.", signed(&header(1), claims, 1)), "it has not the form of one"),
        (|_| "x".repeat(200_000), "it has not the form of one"),
    ] {
        let mut sent = Sent::off(&world).await;
        let claims = liar.claims(&world, &sent.asked["nonce"]);
        liar.tell(|told| told.token = Some(forge(&claims)));
        refused(&world, &log, &mut sent, 403, words).await;
    }
    world.end().await;
}

fn unsigned(claims: &Value) -> String {
    format!("{}.{}.", encode(&json!({ "alg": "none" })), encode(claims))
}

/// The key that everybody can have, taken for a shared secret.
fn with_the_public_key(claims: &Value) -> String {
    let message = format!("{}.{}", encode(&json!({ "alg": "HS256", "kid": "1" })), encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, pair(1).public_key().as_ref());
    format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
}

fn by_another(claims: &Value) -> String {
    signed(&header(1), claims, 2)
}

fn by_an_unknown_key(claims: &Value) -> String {
    signed(&header(9), claims, 9)
}

#[tokio::test]
async fn new_keys_are_asked_for_once_a_minute() {
    let (log, _guard) = Log::begin();
    let liar = Liar::start().await;
    let world = world(&liar, Limits::default()).await;
    let sign_in = async |number: u8| {
        let sent = Sent::off(&world).await;
        let claims = liar.claims(&world, &sent.asked["nonce"]);
        liar.tell(|told| told.token = Some(signed(&header(number), &claims, number)));
        sent
    };
    assert_eq!(sign_in(1).await.back(&world).await.0, 200);
    liar.tell(|told| told.keys = key_set(2));
    assert_eq!(sign_in(2).await.back(&world).await.0, 200, "the provider has a new key");
    for _ in 0..5 {
        refused(&world, &log, &mut sign_in(9).await, 403, "a key that the provider does not have").await;
    }
    assert_eq!(sign_in(2).await.back(&world).await.0, 200);
    refused(&world, &log, &mut sign_in(1).await, 403, "a key that the provider does not have").await;
    assert_eq!(liar.state.lock().unwrap().keys_asked, 2);
    world.end().await;
}

#[tokio::test]
async fn what_is_too_much_too_slow_or_nonsense_is_refused() {
    let (log, _guard) = Log::begin();
    let short = Limits { provider_time: Duration::from_millis(400), ..Limits::default() };
    for (change, status, words) in [
        ((|told: &mut Told| told.token = None) as fn(&mut Told), 503, "it takes too long"),
        (|told| told.token = Some("invalid_grant".to_owned()), 403, "status 400 (invalid_grant)"),
        (
            |told| told.keys = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(300_000)),
            503,
            "has more than",
        ),
        (|told| told.keys = "<html>".to_owned(), 503, "no set of keys"),
        (|told| told.userinfo = Some(json!({ "sub": "2" })), 403, "it does not say whom it is about"),
    ] {
        let liar = Liar::start().await;
        let world = world(&liar, short).await;
        let mut sent = Sent::off(&world).await;
        let claims = liar.claims(&world, &sent.asked["nonce"]);
        liar.tell(|told| told.token = Some(signed(&header(1), &claims, 1)));
        liar.tell(change);
        refused(&world, &log, &mut sent, status, words).await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_description_that_leads_elsewhere_is_refused() {
    for (name, value) in [
        ("issuer", json!("https://other.example")),
        ("token_endpoint", json!("http://other.example/token")),
        ("jwks_uri", json!("ftp://other.example/")),
        ("authorization_endpoint", json!("javascript:alert(1)")),
        ("authorization_endpoint", Value::Null),
        ("issuer", json!("x".repeat(300_000))),
    ] {
        let (log, _guard) = Log::begin();
        let liar = Liar::start().await;
        let world = world(&liar, Limits::default()).await;
        liar.tell(|told| drop(told.description.insert(name, value.clone())));
        let mut jar = super::Jar::new();
        let response = jar.get(&format!("http://{}/sign-in/openid", world.address)).await;
        assert_eq!(response.status(), 503, "{name}");
        assert!(response.text().await.unwrap().contains("sign-in service"));
        assert!(log.take().contains("a sign-in by OpenID Connect failed"));
        world.end().await;
    }
    // Nobody there at all.
    let liar = Liar::start().await;
    let world = world(&liar, Limits::default()).await;
    drop(liar);
    let response = super::Jar::new().get(&format!("http://{}/sign-in/openid", world.address)).await;
    assert_eq!(response.status(), 503);
    world.end().await;
}

#[tokio::test]
async fn nobody_is_signed_in_by_somebody_else() {
    let (log, _guard) = Log::begin();
    let liar = Liar::start().await;
    let world = world(&liar, Limits::default()).await;
    let mut attacker = Sent::off(&world).await;
    let claims = liar.claims(&world, &attacker.asked["nonce"]);
    liar.tell(|told| told.token = Some(signed(&header(1), &claims, 1)));
    let query = format!("state={}&code=c", attacker.asked["state"]);
    // A browser that has begun nothing, and one that has begun something else.
    let mut bystander = Sent::off(&world).await;
    let begun = std::mem::take(&mut bystander.jar.cookies);
    for cookies in [begun.clone(), std::collections::BTreeMap::new()] {
        bystander.jar.cookies = cookies;
        let (status, page) = bystander.back_with(&world, &query).await;
        assert_eq!(status, 403);
        assert!(page.contains("was not begun in this browser"), "{page}");
        assert!(!bystander.jar.cookies.contains_key("cofferdam"));
        assert!(log.take().contains("that this browser has not begun"));
    }
    assert!(liar.state.lock().unwrap().exchanged.is_none(), "the code is not even given back");
    for query in ["", "code=c", "state=&code=c", "state=a&state=b&code=c"] {
        bystander.jar.cookies.clone_from(&begun);
        let (status, _) = bystander.back_with(&world, query).await;
        assert!(matches!(status, 400 | 403), "{query}: {status}");
    }
    // Two cookies of that name: somebody has put one there.
    let twice =
        format!("cofferdam-openid={0}; cofferdam-openid={0}", attacker.jar.cookies["cofferdam-openid"]);
    let path = format!("/sign-in/openid/return?{query}");
    let response = world.plain(reqwest::Method::GET, &path).header(COOKIE, twice).send().await.unwrap();
    assert_eq!(response.status(), 403);
    // Whoever comes back too late begins again.
    world.pass(Duration::from_secs(11 * 60));
    assert_eq!(attacker.back(&world).await.0, 403);
    world.end().await;
}

#[tokio::test]
async fn answers_of_another_provider_are_refused() {
    let (log, _guard) = Log::begin();
    let liar = Liar::start().await;
    let world = world(&liar, Limits::default()).await;
    let from = async |issuer: Option<&str>| {
        let mut sent = Sent::off(&world).await;
        let claims = liar.claims(&world, &sent.asked["nonce"]);
        liar.tell(|told| told.token = Some(signed(&header(1), &claims, 1)));
        let issuer = issuer.map(|issuer| format!("&iss={issuer}")).unwrap_or_default();
        let query = format!("state={}&code=c&session_state=x{issuer}", sent.asked["state"]);
        sent.back_with(&world, &query).await
    };
    assert_eq!(from(Some(&liar.issuer)).await.0, 200);
    assert_eq!(from(None).await.0, 200);
    let (status, page) = from(Some("https://other.example")).await;
    assert_eq!(status, 403);
    assert!(
        page.contains("another sign-in service") && log.take().contains("another sign-in service"),
        "{page}"
    );
    // What the provider says went wrong is said, if it has the form of a code.
    for (error, words) in [("access_denied", "access_denied"), ("%3Cscript%3E", "no error code")] {
        let mut sent = Sent::off(&world).await;
        let query = format!("state={}&error={error}&error_description=%3Cb%3E", sent.asked["state"]);
        let (status, page) = sent.back_with(&world, &query).await;
        assert_eq!(status, 403);
        assert!(page.contains(words) && !page.contains("<b>") && !page.contains("<script>"), "{page}");
    }
    world.end().await;
    // One that says that it always names itself does.
    let liar = Liar::start().await;
    liar.tell(|told| {
        drop(told.description.insert("authorization_response_iss_parameter_supported", json!(true)));
    });
    let world = self::world(&liar, Limits::default()).await;
    let mut sent = Sent::off(&world).await;
    refused(&world, &log, &mut sent, 403, "another sign-in service").await;
    world.end().await;
}

#[tokio::test]
async fn without_a_provider_there_is_nothing() {
    let world = World::new().await;
    for path in ["/sign-in/openid", "/sign-in/openid/return?state=a&code=b"] {
        let response = world.plain(reqwest::Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), 404, "{path}");
    }
    let page = world.plain(reqwest::Method::GET, "/sign-in").send().await.unwrap().text().await.unwrap();
    assert!(!page.contains("/sign-in/openid"));
    let entries = world.store.audited(Owner::LOCAL.org, None, 10).await.unwrap();
    assert!(entries.iter().all(|entry| entry.at > Timestamp(0) && entry.action != "signed_in"));
    world.end().await;
}
