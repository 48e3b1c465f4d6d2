//! Sign-in by OpenID Connect: with a certified provider, and with one that lies.

mod admission;
mod certified;
mod hostile;
mod liar;

use std::collections::BTreeMap;

use cofferdam_domain::{Owner, Secret};
use cofferdam_server::{Admit, OpenIdSettings};
use reqwest::{Client, Method, Response, Url, header};

use crate::harness::{LONG, World};

/// Settings for this issuer.
fn settings(issuer: &str, admit: Vec<Admit>) -> OpenIdSettings {
    OpenIdSettings {
        issuer: issuer.to_owned(),
        client: "cofferdam".to_owned(),
        secret: Some(Secret::new("a secret: %&+/")),
        org: Owner::LOCAL.org,
        name_claim: "name".to_owned(),
        groups_claim: "groups".to_owned(),
        scopes: vec!["email".to_owned(), "profile".to_owned()],
        admit,
        only: false,
    }
}

/// A browser as far as it matters here: it keeps cookies, and says of each redirect where it leads.
struct Jar {
    http: Client,
    cookies: BTreeMap<String, String>,
}

impl Jar {
    fn new() -> Self {
        let http =
            Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(LONG).build();
        Self { http: http.unwrap(), cookies: BTreeMap::new() }
    }

    async fn get(&mut self, address: &str) -> Response {
        self.send(self.http.get(address)).await
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Response {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = request.header(header::COOKIE, cookies.join("; ")).send().await.unwrap();
        for field in response.headers().get_all(header::SET_COOKIE) {
            let field = field.to_str().unwrap();
            let (name, value) = field.split(';').next().unwrap().split_once('=').unwrap();
            let is_over = field.contains("Max-Age=0") || field.contains("expires=Thu, 01 Jan 1970");
            if is_over || value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        response
    }

    /// The API's answer to who one is.
    async fn whoami(&self, world: &World) -> (u16, serde_json::Value) {
        let cookie = self.cookies.get("cofferdam").map(|value| format!("cofferdam={value}"));
        let request = world.plain(Method::GET, "/api/v1/whoami");
        let response = request.header(header::COOKIE, cookie.unwrap_or_default()).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
    }
}

/// Where a redirect leads.
fn location(response: &Response) -> Url {
    let place = response.headers()[header::LOCATION].to_str().unwrap();
    response.url().join(place).unwrap()
}
