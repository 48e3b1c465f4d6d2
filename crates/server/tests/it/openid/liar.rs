//! A provider that does what a test says: it signs what it is told to, or something else, slowly, or too much of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use cofferdam_domain::Rank;
use cofferdam_server::{Admit, OpenIdSettings, Who};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{Jar, location, settings};
use crate::harness::World;

/// A provider.
pub(super) struct Liar {
    pub(super) issuer: String,
    pub(super) state: Arc<Mutex<Told>>,
    serving: JoinHandle<()>,
}

/// What it has been told, and what it was asked.
pub(super) struct Told {
    /// Changes to its description.
    pub(super) description: BTreeMap<&'static str, Value>,
    /// The next id token; `None` when it never answers.
    pub(super) token: Option<String>,
    /// Its keys, as they are sent.
    pub(super) keys: String,
    /// How often it was asked for them.
    pub(super) keys_asked: usize,
    /// What it says of somebody beside the id token.
    pub(super) userinfo: Option<Value>,
    /// The last request for tokens: what identified the client, and the form.
    pub(super) exchanged: Option<(String, BTreeMap<String, String>)>,
}

type Shared = (String, Arc<Mutex<Told>>);

/// A key of its own, by number.
pub(super) fn pair(number: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap()
}

pub(super) fn encode(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

/// The set with this key, which is called after its number.
pub(super) fn key_set(number: u8) -> String {
    let x = BASE64_URL_SAFE_NO_PAD.encode(pair(number).public_key());
    json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": number.to_string(), "x": x, "use": "sig" }] })
        .to_string()
}

/// A token with this header, signed by this key.
pub(super) fn signed(header: &Value, claims: &Value, number: u8) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(pair(number).sign(message.as_bytes())))
}

/// As it is when nothing is wrong.
pub(super) fn header(number: u8) -> Value {
    json!({ "alg": "EdDSA", "kid": number.to_string(), "typ": "JWT" })
}

impl Liar {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let told = Told {
            description: BTreeMap::new(),
            token: None,
            keys: key_set(1),
            keys_asked: 0,
            userinfo: None,
            exchanged: None,
        };
        let state = Arc::new(Mutex::new(told));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(description))
            .route("/token", post(token))
            .route("/keys", get(keys))
            .route("/userinfo", get(userinfo))
            .with_state((issuer.clone(), state.clone()));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { issuer, state, serving }
    }

    /// Settings of a server that asks it and lets in whoever has an address at example.com.
    pub(super) fn settings(&self) -> OpenIdSettings {
        let everybody = Admit { who: Who::Domain("example.com".to_owned()), rank: Rank::Member };
        settings(&self.issuer, vec![everybody])
    }

    pub(super) fn tell(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.state.lock().unwrap());
    }

    /// What a good id token for this sign-in says.
    pub(super) fn claims(&self, world: &World, nonce: &str) -> Value {
        let now = world.now().0 / 1000;
        json!({
            "iss": self.issuer, "aud": "cofferdam", "sub": "1", "nonce": nonce, "iat": now, "exp": now + 300,
            "email": "ann@example.com", "email_verified": true, "name": "Ann",
        })
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn description(State((issuer, state)): State<Shared>) -> Json<Value> {
    let mut description = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize?of=cofferdam"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
    });
    for (name, value) in &state.lock().unwrap().description {
        description[name] = value.clone();
    }
    Json(description)
}

async fn token(State((_, state)): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let form = url::form_urlencoded::parse(&body).into_owned().collect();
    let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let token = {
        let mut told = state.lock().unwrap();
        told.exchanged = Some((authorization.unwrap_or_default(), form));
        told.token.clone()
    };
    match token.as_deref() {
        None => std::future::pending().await,
        Some("invalid_grant") => {
            (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response()
        }
        Some(token) => {
            Json(json!({ "id_token": token, "access_token": "a", "token_type": "Bearer" })).into_response()
        }
    }
}

async fn keys(State((_, state)): State<Shared>) -> String {
    let mut told = state.lock().unwrap();
    told.keys_asked += 1;
    told.keys.clone()
}

/// Whom a token is about.
fn subject(token: &str) -> Value {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&payload).unwrap()["sub"].clone()
}

async fn userinfo(State((_, state)): State<Shared>, headers: HeaderMap) -> Response {
    assert_eq!(headers["authorization"], "Bearer a");
    let told = state.lock().unwrap();
    match &told.userinfo {
        Some(claims) => Json(claims.clone()).into_response(),
        None => Json(json!({ "sub": subject(told.token.as_deref().unwrap()) })).into_response(),
    }
}

/// A browser that has been sent to the provider.
pub(super) struct Sent {
    pub(super) jar: Jar,
    /// What the provider was asked.
    pub(super) asked: BTreeMap<String, String>,
}

impl Sent {
    pub(super) async fn off(world: &World) -> Self {
        let mut jar = Jar::new();
        let response = jar.get(&format!("http://{}/sign-in/openid", world.address)).await;
        assert_eq!(response.status(), 303);
        let asked = location(&response).query_pairs().into_owned().collect();
        Self { jar, asked }
    }

    /// Lets the provider send it back with a code.
    pub(super) async fn back(&mut self, world: &World) -> (u16, String) {
        let state = self.asked["state"].clone();
        self.back_with(world, &format!("state={state}&code=c")).await
    }

    /// The same with this query. Gives the status and the text of the page.
    pub(super) async fn back_with(&mut self, world: &World, query: &str) -> (u16, String) {
        let response = self.jar.get(&format!("http://{}/sign-in/openid/return?{query}", world.address)).await;
        (response.status().as_u16(), response.text().await.unwrap())
    }
}
