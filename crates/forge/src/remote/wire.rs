//! The one way in which forges are asked over HTTP, for all of them.
//!
//! Its address is fixed: a credential goes to the forge's own API and nowhere else, whatever the forge says. One redirection is followed, if it
//! stays there, as repositories that were renamed need it. Answers are bounded in size and time, and read into the types that are expected. What
//! has not changed is not sent again, and a forge that wants to be left alone is not asked until it may be.

mod answer;
mod cache;
mod rest;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Display,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cofferdam_domain::{Digest, Secret};
use reqwest::{
    Client, Method, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, LINK, LOCATION},
    redirect::Policy,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync;
use url::Url;

pub(crate) use self::rest::now;
use self::{
    answer::LARGEST_JSON,
    cache::{Answer, Links},
};
use super::{LimitSeen, OpenError, Site, TalkError, site::is_loopback};

/// Pages of one list that are read.
const MOST_PAGES: usize = 200;
/// Credentials that are remembered because they were not accepted.
const MOST_UNACCEPTED: usize = 1000;
/// How long a log may take, which is long.
const LOG_PATIENCE: Duration = Duration::from_secs(120);

/// A forge's API.
#[derive(Debug)]
pub(crate) struct Wire {
    forge: String,
    base: Url,
    client: Client,
    patience: Duration,
    token: Option<Secret>,
    cache: Mutex<cache::Cache>,
    rests: Mutex<rest::Rests>,
    /// How much of each budget is left, as it was said last.
    left: Mutex<BTreeMap<&'static str, LimitSeen>>,
    /// Seconds between two looks at the same, as it wants them (`x-poll-interval`); 0 where it does not say.
    seldom: AtomicU64,
    /// Credentials that it did not accept.
    unaccepted: Mutex<BTreeSet<Digest>>,
    /// "Make requests for a single user or client ID serially" (GitHub's best practices): at least those that change something.
    change: sync::Mutex<()>,
}

impl Wire {
    /// The API of a site. `token` is presented unless a request has another.
    pub(crate) fn new(site: &Site, token: Option<Secret>) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::Client { forge: site.name().to_owned(), source };
        let provider = rustls::crypto::ring::default_provider();
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .tcp_nodelay(true)
            .pool_max_idle_per_host(4)
            .user_agent(concat!("cofferdam/", env!("CARGO_PKG_VERSION")));
        if is_loopback(site.api()) {
            builder = builder.no_proxy();
        }
        if site.api().scheme() == "http" {
            // Without TLS there is no need for the machine's certificates.
            let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
                .with_safe_default_protocol_versions()
                .map_err(|source| OpenError::Tls { forge: site.name().to_owned(), source })?
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
            builder = builder.tls_backend_preconfigured(config);
        } else {
            // Fails where it is installed already, which is as well.
            provider.install_default().ok();
        }
        Ok(Self {
            forge: site.name().to_owned(),
            base: site.api().clone(),
            client: builder.build().map_err(unusable)?,
            patience: site.patience(),
            token,
            cache: Mutex::default(),
            rests: Mutex::default(),
            left: Mutex::default(),
            seldom: AtomicU64::new(0),
            unaccepted: Mutex::default(),
            change: sync::Mutex::default(),
        })
    }

    /// The forge's name in the configuration.
    pub(crate) fn forge(&self) -> &str {
        &self.forge
    }

    /// Asks for what is at a path. `what` names it in errors: "pull request 12".
    pub(crate) fn get(&self, what: impl Into<String>, path: &[&str]) -> Ask<'_> {
        self.ask(Method::GET, what, path)
    }

    /// A request of any other kind. The parts of the path are taken as they are, whatever is in them.
    pub(crate) fn ask(&self, method: Method, what: impl Into<String>, path: &[&str]) -> Ask<'_> {
        let mut url = self.base.clone();
        // Parts like these would lead elsewhere, or nowhere. Tabs and line breaks are left out of URLs wherever they stand.
        let leads_away = |part: &&str| matches!(*part, "" | "." | "..") || part.contains(['\t', '\n', '\r']);
        let good = !path.iter().any(leads_away);
        let whole = good
            && url.path_segments_mut().is_ok_and(|mut all| {
                all.pop_if_empty().extend(path);
                true
            });
        Ask {
            wire: self,
            what: what.into(),
            method,
            url: whole.then_some(url),
            token: self.token.clone(),
            accept: "application/json",
            headers: Vec::new(),
            body: None,
            largest: LARGEST_JSON,
            budget: "core",
            only: None,
        }
    }

    /// A question in GraphQL, whose address is beside that of the REST API where that has a version in its path (`/api/v3`), and below it otherwise.
    pub(crate) fn graphql(&self, what: impl Into<String>) -> Ask<'_> {
        let mut ask = self.ask(Method::POST, what, &["graphql"]);
        let versioned = ask.url.as_mut().filter(|url| url.path().ends_with("/v3/graphql"));
        if let Some(Ok(mut all)) = versioned.map(Url::path_segments_mut) {
            all.pop().pop().push("graphql");
        }
        ask.budget("graphql")
    }

    /// Whether it has accepted a credential so far. One that it did not accept (401) can only be replaced.
    pub(crate) fn accepts(&self, token: &Secret) -> bool {
        let unaccepted = self.unaccepted.lock().unwrap_or_else(PoisonError::into_inner);
        !unaccepted.contains(&Digest::of(token.expose().as_bytes()))
    }

    fn note_unaccepted(&self, token: &Secret) {
        let mut unaccepted = self.unaccepted.lock().unwrap_or_else(PoisonError::into_inner);
        if unaccepted.len() >= MOST_UNACCEPTED {
            unaccepted.clear();
        }
        unaccepted.insert(Digest::of(token.expose().as_bytes()));
    }

    /// How much may still be asked, as it was said last.
    pub(crate) fn limits(&self) -> Vec<LimitSeen> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// How seldom it wants to be asked the same, if it says so.
    pub(crate) fn seldom(&self) -> Option<Duration> {
        let seconds = self.seldom.load(Ordering::Relaxed);
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    /// A URL that the forge has sent, if it is one of its API.
    fn own(&self, url: &Url) -> bool {
        let below = self.base.path().trim_end_matches('/');
        url.origin() == self.base.origin()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path().strip_prefix(below).is_some_and(|rest| rest.starts_with('/'))
    }

    pub(super) fn for_now(&self, reason: impl Into<String>) -> TalkError {
        TalkError::ForNow { forge: self.forge.clone(), reason: reason.into(), again: None }
    }

    /// What a forge answers that contradicts its documentation.
    pub(crate) fn malformed(&self, what: impl Into<String>, reason: impl Into<String>) -> TalkError {
        TalkError::Malformed { forge: self.forge.clone(), what: what.into(), reason: reason.into() }
    }
}

/// A request to a forge.
#[must_use]
#[derive(Debug, Clone)]
pub(crate) struct Ask<'w> {
    wire: &'w Wire,
    what: String,
    method: Method,
    url: Option<Url>,
    token: Option<Secret>,
    accept: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Option<String>,
    largest: usize,
    budget: &'static str,
    only: Option<Url>,
}

impl Ask<'_> {
    /// With a parameter in the query.
    pub(crate) fn query(mut self, name: &str, value: impl Display) -> Self {
        if let Some(url) = &mut self.url {
            url.query_pairs_mut().append_pair(name, &value.to_string());
        }
        self
    }

    /// With a document.
    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string());
        self
    }

    /// With another credential than the usual.
    pub(crate) fn bearer(mut self, token: &Secret) -> Self {
        self.token = Some(token.clone());
        self
    }

    /// With another media type wanted than `application/json`.
    pub(crate) const fn accept(mut self, kind: &'static str) -> Self {
        self.accept = kind;
        self
    }

    /// With a header.
    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With an answer of so many bytes at most, where 8 MiB are too few: a list that does not come in pages.
    pub(crate) const fn largest(mut self, bytes: usize) -> Self {
        self.largest = bytes;
        self
    }

    /// Counted by the forge apart from its other requests (GitHub: `graphql`, `search`).
    pub(crate) const fn budget(mut self, budget: &'static str) -> Self {
        self.budget = budget;
        self
    }

    /// Redirected only to what is below this path of the API: what was moved elsewhere is not there any more.
    pub(crate) fn only_to(mut self, path: &[&str]) -> Self {
        let mut url = self.wire.base.clone();
        if let Ok(mut all) = url.path_segments_mut() {
            all.pop_if_empty().extend(path);
        }
        self.only = Some(url);
        self
    }

    /// The answer.
    pub(crate) async fn read<T: DeserializeOwned>(self) -> Result<T, TalkError> {
        let answer = self.send().await?;
        self.parse(&answer.body)
    }

    /// Only that it was done.
    pub(crate) async fn done(self) -> Result<(), TalkError> {
        let response = self.accepted(self.wire.patience).await?;
        drop(response);
        Ok(())
    }

    /// The first `most` of a list that comes in pages.
    pub(crate) async fn pages<T: DeserializeOwned>(self, most: usize) -> Result<Vec<T>, TalkError> {
        let mut all = self.pages_until(|all: &[T]| all.len() >= most).await?;
        all.truncate(most);
        Ok(all)
    }

    /// The pages of a list (RFC 8288, as all forges use it) until there is enough of it.
    pub(crate) async fn pages_until<T: DeserializeOwned>(
        mut self,
        enough: impl Fn(&[T]) -> bool,
    ) -> Result<Vec<T>, TalkError> {
        let mut all = Vec::new();
        for _ in 0..MOST_PAGES {
            let answer = self.send().await?;
            let page: Vec<T> = self.parse(&answer.body)?;
            all.extend(page);
            match answer.links.next {
                Some(next) if !enough(&all) => self.url = Some(next),
                Some(_) | None => return Ok(all),
            }
        }
        Err(self.too_many_pages())
    }

    /// The last `most` of a list that comes in pages, in its order. A long list is read from its end, where the forge says which page that is.
    pub(crate) async fn latest<T: DeserializeOwned>(mut self, most: usize) -> Result<Vec<T>, TalkError> {
        let answer = self.send().await?;
        let mut all: VecDeque<T> = self.parse::<Vec<T>>(&answer.body)?.into();
        let Links { mut next, prev: _, last } = answer.links;
        let mut before = None;
        // Of two pages the last one is the next one.
        if let Some(last) = last.filter(|last| next.as_ref().is_some_and(|next| next != last)) {
            (before, next) = (Some(last), None);
            all.clear();
        }
        for _ in 0..MOST_PAGES {
            all.drain(..all.len().saturating_sub(most));
            let forwards = next.is_some();
            let Some(url) = next.take().or_else(|| before.take()) else {
                return Ok(all.into_iter().collect());
            };
            self.url = Some(url);
            let answer = self.send().await?;
            let page: Vec<T> = self.parse(&answer.body)?;
            if forwards {
                all.extend(page);
                next = answer.links.next;
            } else {
                page.into_iter().rev().for_each(|item| all.push_front(item));
                before = answer.links.prev.filter(|_| all.len() < most);
            }
        }
        Err(self.too_many_pages())
    }

    fn too_many_pages(&self) -> TalkError {
        self.wire.malformed(&self.what, format!("there are more than {MOST_PAGES} pages"))
    }

    /// The last `most` bytes of a text. It may be elsewhere: then it is asked for there, without the credential.
    pub(crate) async fn tail(self, most: usize) -> Result<String, TalkError> {
        let mut response = self.exchange(LOG_PATIENCE).await?;
        if let Some(place) = moved(&response).map(ToOwned::to_owned) {
            let place = self.elsewhere(&place)?;
            let sent = self.wire.client.get(place).timeout(LOG_PATIENCE).send().await;
            response = sent.map_err(|error| self.wire.unreachable(&error))?;
            if !response.status().is_success() {
                // That says nothing about the credential, which was not sent there.
                let code = response.status().as_u16();
                return Err(self.wire.for_now(format!("where it keeps {} answered {code}", self.what)));
            }
        }
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        self.wire.last(response, most, &self.what).await
    }

    async fn send(&self) -> Result<Answer, TalkError> {
        let known = match self.method {
            Method::GET => self.locked_cache().get(&self.key()),
            _ => None,
        };
        let response = self.exchange_knowing(self.wire.patience, known.as_ref().map(|(tag, _)| tag)).await?;
        match (response.status(), known) {
            // There may be more pages than there were.
            (StatusCode::NOT_MODIFIED, Some((_, answer))) if response.headers().contains_key(LINK) => {
                return Ok(Answer { links: self.links(&response), ..answer });
            }
            (StatusCode::NOT_MODIFIED, Some((_, answer))) => return Ok(answer),
            (status, _) if status.is_success() => {}
            (_, _) => return Err(self.refused(response).await),
        }
        let links = self.links(&response);
        let tag = response.headers().get(ETAG).cloned();
        let body = self.wire.whole(response, self.largest, &self.what).await?;
        let answer = Answer { body: body.into(), links };
        if let Some(tag) = tag.filter(|_| self.method == Method::GET) {
            self.locked_cache().put(self.key(), tag, answer.clone());
        }
        Ok(answer)
    }

    async fn accepted(&self, patience: Duration) -> Result<Response, TalkError> {
        let response = self.exchange(patience).await?;
        if response.status().is_success() { Ok(response) } else { Err(self.refused(response).await) }
    }

    async fn exchange(&self, patience: Duration) -> Result<Response, TalkError> {
        self.exchange_knowing(patience, None).await
    }

    /// Asks, and asks once more where the forge says that it is now, if that is on the forge.
    async fn exchange_knowing(
        &self,
        patience: Duration,
        known: Option<&HeaderValue>,
    ) -> Result<Response, TalkError> {
        let Some(url) = &self.url else {
            return Err(TalkError::Missing { forge: self.wire.forge.clone(), what: self.what.clone() });
        };
        let _turn = match self.method {
            Method::GET => None,
            _ => Some(self.wire.change.lock().await),
        };
        let response = self.once(url.clone(), patience, known).await?;
        let keeps_method = matches!(response.status().as_u16(), 307 | 308) || self.method == Method::GET;
        let place = moved(&response).filter(|_| keeps_method).and_then(|place| url.join(place).ok());
        match place.filter(|place| self.wire.own(place) && place != url) {
            Some(place) if self.is_only(&place) => self.once(place, patience, known).await,
            Some(_) => Err(TalkError::Missing { forge: self.wire.forge.clone(), what: self.what.clone() }),
            None => Ok(response),
        }
    }

    fn is_only(&self, place: &Url) -> bool {
        let below = |only: &Url| place.path().strip_prefix(only.path());
        let Some(only) = &self.only else { return true };
        below(only).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    async fn once(
        &self,
        url: Url,
        patience: Duration,
        known: Option<&HeaderValue>,
    ) -> Result<Response, TalkError> {
        let (budget, now) = (self.counted(), rest::now());
        if let Some(again) = self.locked_rests().of(&budget, now) {
            let reason = "it wants to be left alone for a while".to_owned();
            return Err(TalkError::ForNow { forge: self.wire.forge.clone(), reason, again: Some(again) });
        }
        let mut request =
            self.wire.client.request(self.method.clone(), url).timeout(patience).header(ACCEPT, self.accept);
        if let Some(token) = self.bearer_header() {
            request = request.header(AUTHORIZATION, token);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        if let Some(tag) = known {
            request = request.header(IF_NONE_MATCH, tag);
        }
        if let Some(body) = &self.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let response = request.send().await.map_err(|error| self.wire.unreachable(&error))?;
        let now = rest::now();
        if let Some(seen) = rest::left(self.budget, response.headers()) {
            self.wire.left.lock().unwrap_or_else(PoisonError::into_inner).insert(self.budget, seen);
        }
        if let Some(seconds) = rest::seldom(response.headers()) {
            self.wire.seldom.store(seconds, Ordering::Relaxed);
        }
        if let Some(until) = rest::used_up(response.headers(), now) {
            self.locked_rests().note(budget, until, now);
        }
        Ok(response)
    }

    fn bearer_header(&self) -> Option<HeaderValue> {
        let token = self.token.as_ref()?;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Where a text is that the forge has elsewhere: nothing secret goes there, and nothing that listens without TLS is asked, unless the forge
    /// itself is such a one on this machine.
    fn elsewhere(&self, place: &str) -> Result<Url, TalkError> {
        let plain = self.wire.base.scheme() == "http";
        let url = self.url.as_ref().and_then(|url| url.join(place).ok());
        let good = |url: &Url| url.scheme() == "https" || plain && url.scheme() == "http" && is_loopback(url);
        url.filter(good)
            .ok_or_else(|| self.wire.malformed(&self.what, "it is said to be where nothing is asked for"))
    }

    fn links(&self, response: &Response) -> Links {
        let page = |relation| self.page(response, relation);
        Links { next: page("next"), prev: page("prev"), last: page("last") }
    }

    /// Another page. Behind a proxy a forge may not know its own address: its query is what counts.
    fn page(&self, response: &Response, relation: &str) -> Option<Url> {
        let mut links = response.headers().get_all(LINK).iter().filter_map(|link| link.to_str().ok());
        let target = links.find_map(|links| answer::linked(links, relation))?;
        let asked = self.url.as_ref()?;
        let target = asked.join(target).ok()?;
        if self.wire.own(&target) {
            return Some(target);
        }
        let mut page = asked.clone();
        page.set_query(target.query());
        Some(page)
    }

    /// What an answer depends on.
    fn key(&self) -> Digest {
        let url = self.url.as_ref().map_or("", Url::as_str);
        let token = self.token.as_ref().map_or("", Secret::expose);
        Digest::of(format!("{token}\0{}\0{url}", self.accept).as_bytes())
    }

    /// Which of the credential's budgets it is counted in.
    fn counted(&self) -> Digest {
        let token = self.token.as_ref().map_or("", Secret::expose);
        Digest::of(format!("{token}\0{}", self.budget).as_bytes())
    }

    fn locked_cache(&self) -> std::sync::MutexGuard<'_, cache::Cache> {
        self.wire.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn locked_rests(&self) -> std::sync::MutexGuard<'_, rest::Rests> {
        self.wire.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where it says that it is now.
fn moved(response: &Response) -> Option<&str> {
    let is = matches!(response.status().as_u16(), 301 | 302 | 307 | 308);
    response.headers().get(LOCATION).filter(|_| is)?.to_str().ok()
}

/// What it tells. What it does not, or not to whoever asks, is not known: no error.
pub(crate) fn told<T>(answer: Result<T, TalkError>) -> Result<Option<T>, TalkError> {
    match answer {
        Err(TalkError::Forbidden { .. }) => Ok(None),
        other => there(other),
    }
}

/// What is there, or that it is not.
pub(crate) fn there<T>(answer: Result<T, TalkError>) -> Result<Option<T>, TalkError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(TalkError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hook::ForgeKind, remote::SiteCredential};

    #[test]
    fn graphql_is_beside_the_version_of_the_rest_api() {
        for (web, api, expected) in [
            ("https://github.com", None, "https://api.github.com/graphql"),
            ("https://git.example.org", None, "https://git.example.org/api/graphql"),
            ("https://git.example.org", Some("https://x.example/v3"), "https://x.example/graphql"),
        ] {
            let token = SiteCredential::Token(Secret::new("t"));
            let site = Site::new("hub", ForgeKind::GitHub, web, api, token, false).unwrap();
            let wire = Wire::new(&site, None).unwrap();
            assert_eq!(wire.graphql("a question").url.unwrap().as_str(), expected);
        }
    }
}
