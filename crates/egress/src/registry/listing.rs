//! What registries' indexes say about versions: that they exist, and when they were published.
//!
//! Each kind says it in its own way: npm in the packument's `time`, the simple API in `upload-time` (PEP 700), Go's proxy
//! in `.info`, newer cargo indexes in `pubtime`. Where the index says nothing, the artefact's `Last-Modified` is the nearest
//! thing to it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, UNIX_EPOCH},
};

use cofferdam_domain::{
    Timestamp,
    egress::{RequestPath, Scheme},
};
use http::{Method, StatusCode, header};
use serde::Deserialize;

use super::{Part, Reading, Registry, RegistryKind, ask::Asker, grammar};
use crate::credential::Credentials;

/// The most bytes of an index. The packuments of packages with thousands of versions have tens of megabytes.
const MAX_INDEX: usize = 96 << 20;
/// How long an index is taken to be as it was.
const KEPT: Duration = Duration::from_secs(300);
/// How many are kept.
const MAX_KEPT: usize = 256;

/// Looks versions up in the indexes of registries.
pub struct Listings {
    registries: Vec<Registry>,
    asker: Asker,
    kept: Mutex<HashMap<String, (Instant, Arc<Listing>)>>,
}

/// What one index says: each version, or for the simple API each file, with the time of its publication.
pub type Listing = BTreeMap<String, Option<Timestamp>>;

/// A version cannot be looked up.
#[derive(Debug, thiserror::Error)]
pub enum ListingProblem {
    /// It is not there.
    #[error("the registry's index does not list {name} {version}")]
    NotListed {
        /// The package.
        name: String,
        /// The version.
        version: String,
    },
    /// The index cannot be had.
    #[error("the registry's index of {name} cannot be read, so the age of its versions is unknown: {reason}")]
    Unreadable {
        /// The package.
        name: String,
        /// Why.
        reason: String,
    },
}

impl Listings {
    /// In these registries.
    #[must_use]
    pub fn new(registries: Vec<Registry>, credentials: Credentials, tls: Arc<rustls::ClientConfig>) -> Self {
        Self { registries, asker: Asker::new(credentials, tls), kept: Mutex::new(HashMap::new()) }
    }

    /// When the version was published that a request to this registry reads; nothing where the registry does not say.
    ///
    /// # Errors
    /// When the index does not have the version, or cannot be read.
    pub async fn published(
        &self,
        registry: &Registry,
        path: &RequestPath,
        reading: &Reading,
    ) -> Result<Option<Timestamp>, ListingProblem> {
        let Reading::Artefact { kind, name, version, .. } = reading else { return Ok(None) };
        let (kind, file) = (*kind, path.segments().last().unwrap_or_default());
        let key = match kind {
            RegistryKind::Pip => file.replace("%2B", "+").replace("%2b", "+"),
            RegistryKind::Cargo | RegistryKind::Npm | RegistryKind::Go => version.clone(),
            RegistryKind::Apt | RegistryKind::Maven => return self.last_modified(registry, path, name).await,
        };
        let not_listed = || ListingProblem::NotListed { name: name.clone(), version: version.clone() };
        let mut problem = not_listed();
        for index in self.indexes(kind, registry) {
            match self.listing(index, name, version).await {
                Ok(listing) => match listing.get(&key) {
                    Some(Some(published)) => return Ok(Some(*published)),
                    Some(None) => return self.last_modified(registry, path, name).await,
                    None => {}
                },
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }

    /// The places that have the index for what is read here.
    fn indexes<'a>(
        &'a self,
        kind: RegistryKind,
        registry: &'a Registry,
    ) -> impl Iterator<Item = &'a Registry> {
        let itself = matches!(registry.part, Part::Whole | Part::Index);
        let others = self.registries.iter().filter(move |other| {
            !itself && other.kind == kind && matches!(other.part, Part::Whole | Part::Index)
        });
        itself.then_some(registry).into_iter().chain(others)
    }

    async fn listing(
        &self,
        index: &Registry,
        name: &str,
        version: &str,
    ) -> Result<Arc<Listing>, ListingProblem> {
        let unreadable = |reason: String| ListingProblem::Unreadable { name: name.to_owned(), reason };
        let below = below(index.kind, name, version);
        let key = format!("{} {}", index.url(), below);
        if let Some(kept) = self.kept(&key) {
            return Ok(kept);
        }
        let accept = match index.kind {
            RegistryKind::Pip => "application/vnd.pypi.simple.v1+json, text/html;q=0.1",
            RegistryKind::Npm | RegistryKind::Go => "application/json",
            RegistryKind::Cargo | RegistryKind::Apt | RegistryKind::Maven => "*/*",
        };
        let path: RequestPath = format!("{}/{below}", index.base)
            .parse()
            .map_err(|_| unreadable("its path is not in canonical form".to_owned()))?;
        let answer = self.asker.ask(index, Method::GET, &path, accept, MAX_INDEX).await;
        let answer = answer.map_err(|problem| unreadable(problem.to_string()))?;
        let listing = match answer.status {
            StatusCode::OK => {
                read(index.kind, version, &answer.body).map_err(|reason| unreadable(reason.to_owned()))?
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => Listing::new(),
            other => return Err(unreadable(format!("it answered {other}"))),
        };
        let listing = Arc::new(listing);
        self.keep(key, &listing);
        Ok(listing)
    }

    async fn last_modified(
        &self,
        registry: &Registry,
        path: &RequestPath,
        name: &str,
    ) -> Result<Option<Timestamp>, ListingProblem> {
        let unreadable = |reason: String| ListingProblem::Unreadable { name: name.to_owned(), reason };
        let answer = self.asker.ask(registry, Method::HEAD, path, "*/*", 0).await;
        let answer = answer.map_err(|problem| unreadable(problem.to_string()))?;
        let text = answer.headers.get(header::LAST_MODIFIED).and_then(|value| value.to_str().ok());
        let time =
            text.filter(|_| answer.status.is_success()).and_then(|text| httpdate::parse_http_date(text).ok());
        let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Ok(since.and_then(|since| u64::try_from(since.as_millis()).ok()).map(Timestamp))
    }

    fn kept(&self, key: &str) -> Option<Arc<Listing>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).filter(|(since, _)| since.elapsed() < KEPT).map(|(_, listing)| Arc::clone(listing))
    }

    fn keep(&self, key: String, listing: &Arc<Listing>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT {
            kept.retain(|_, (since, _)| since.elapsed() < KEPT);
        }
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(key, (Instant::now(), Arc::clone(listing)));
    }
}

impl Registry {
    /// Scheme, host and port, as a URL begins.
    #[must_use]
    pub fn origin(&self) -> String {
        let default = match self.scheme {
            Scheme::Https => 443,
            Scheme::Http => 80,
        };
        let port = if self.port == default { String::new() } else { format!(":{}", self.port) };
        format!("{}://{}{port}", self.scheme.as_str(), self.host)
    }

    /// The URL of its base, without a final slash.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}{}", self.origin(), self.base)
    }
}

/// Where an index says something about a package, below the registry's base.
fn below(kind: RegistryKind, name: &str, version: &str) -> String {
    match kind {
        RegistryKind::Cargo => grammar::crate_file(name),
        RegistryKind::Pip => format!("{name}/"),
        RegistryKind::Npm => name.replacen('/', "%2f", 1),
        RegistryKind::Go => format!("{}/@v/{}.info", grammar::go_escaped(name), grammar::go_escaped(version)),
        RegistryKind::Apt | RegistryKind::Maven => String::new(),
    }
}

/// What an index's answer says; `version` is the one that a Go proxy was asked about.
///
/// # Errors
/// When it is not what such an index answers.
pub fn read(kind: RegistryKind, version: &str, body: &[u8]) -> Result<Listing, &'static str> {
    match kind {
        RegistryKind::Cargo => read_crates(body),
        RegistryKind::Pip => read_files(body),
        RegistryKind::Npm => read_packument(body),
        RegistryKind::Go => read_info(version, body),
        RegistryKind::Apt | RegistryKind::Maven => Ok(Listing::new()),
    }
}

/// A time as in RFC 3339.
fn time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok().map(Timestamp)
}

fn read_crates(body: &[u8]) -> Result<Listing, &'static str> {
    #[derive(Deserialize)]
    struct Line {
        vers: String,
        pubtime: Option<String>,
    }
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let line: Line = serde_json::from_slice(line)
                .map_err(|_| "a line of it is not what a crate's line should be")?;
            Ok((line.vers, line.pubtime.as_deref().and_then(time)))
        })
        .collect()
}

fn read_files(body: &[u8]) -> Result<Listing, &'static str> {
    #[derive(Deserialize)]
    struct Project {
        files: Vec<File>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct File {
        filename: String,
        upload_time: Option<String>,
    }
    if let Ok(project) = serde_json::from_slice::<Project>(body) {
        let said = |file: File| (file.filename, file.upload_time.as_deref().and_then(time));
        return Ok(project.files.into_iter().map(said).collect());
    }
    let page = std::str::from_utf8(body).map_err(|_| "it is neither JSON nor a page of links")?;
    let links = super::page::links(page);
    if links.is_empty() && !page.contains("<html") && !page.contains("<!DOCTYPE") {
        return Err("it is neither JSON nor a page of links");
    }
    Ok(links.into_iter().map(|link| (link.file, None)).collect())
}

fn read_packument(body: &[u8]) -> Result<Listing, &'static str> {
    #[derive(Deserialize)]
    struct Packument {
        versions: BTreeMap<String, serde::de::IgnoredAny>,
        #[serde(default)]
        time: BTreeMap<String, serde_json::Value>,
    }
    let packument: Packument =
        serde_json::from_slice(body).map_err(|_| "it is not what npm's registries answer")?;
    let published = |version: &String| packument.time.get(version).and_then(|text| time(text.as_str()?));
    Ok(packument.versions.keys().map(|version| (version.clone(), published(version))).collect())
}

fn read_info(version: &str, body: &[u8]) -> Result<Listing, &'static str> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Info {
        version: String,
        time: Option<String>,
    }
    let info: Info = serde_json::from_slice(body).map_err(|_| "it is not what Go's proxies answer")?;
    if info.version != version {
        return Err("it is about another version");
    }
    Ok(Listing::from([(info.version, info.time.as_deref().and_then(time))]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOMENT: Option<Timestamp> = Some(Timestamp(1_704_067_200_000));

    #[test]
    fn each_kind_says_it_in_its_own_way() {
        for (kind, version, body, key, expected) in [
            (
                RegistryKind::Cargo,
                "",
                "{\"vers\":\"1.0.0\",\"pubtime\":\"2024-01-01T00:00:00Z\"}\n{\"vers\":\"1.1.0\"}\n",
                "1.0.0",
                MOMENT,
            ),
            (RegistryKind::Cargo, "", "{\"vers\":\"1.0.0\"}", "1.0.0", None),
            (
                RegistryKind::Pip,
                "",
                r#"{"files":[{"filename":"a-1.tar.gz","upload-time":"2024-01-01T00:00:00.000000Z","hashes":{}}]}"#,
                "a-1.tar.gz",
                MOMENT,
            ),
            (
                RegistryKind::Pip,
                "",
                r#"<!DOCTYPE html><a href="../../files/a-1.tar.gz#sha256=00">a-1.tar.gz</a>"#,
                "a-1.tar.gz",
                None,
            ),
            (
                RegistryKind::Npm,
                "",
                r#"{"versions":{"1.0.0":{"x":[1]}},"time":{"created":"x","unpublished":{},"1.0.0":"2024-01-01T00:00:00.000Z"}}"#,
                "1.0.0",
                MOMENT,
            ),
            (
                RegistryKind::Go,
                "v1.0.0",
                r#"{"Version":"v1.0.0","Time":"2024-01-01T00:00:00Z"}"#,
                "v1.0.0",
                MOMENT,
            ),
        ] {
            let listing =
                read(kind, version, body.as_bytes()).unwrap_or_else(|reason| panic!("{kind}: {reason}"));
            assert_eq!(listing.get(key), Some(&expected), "{kind}: {listing:?}");
        }
    }

    #[test]
    fn what_is_no_index_is_said_to_be_none() {
        for kind in [RegistryKind::Cargo, RegistryKind::Pip, RegistryKind::Npm, RegistryKind::Go] {
            assert!(read(kind, "v1.0.0", b"\xff").is_err(), "{kind}");
            assert!(read(kind, "v1.0.0", b"busy, come back later").is_err(), "{kind}");
        }
        assert!(read(RegistryKind::Go, "v1.0.0", br#"{"Version":"v1.0.1"}"#).is_err());
    }

    #[test]
    fn where_indexes_are() {
        for (kind, name, expected) in [
            (RegistryKind::Cargo, "serde_json", "se/rd/serde_json"),
            (RegistryKind::Cargo, "Inflector", "in/fl/inflector"),
            (RegistryKind::Pip, "requests", "requests/"),
            (RegistryKind::Npm, "@types/node", "@types%2fnode"),
            (RegistryKind::Go, "example.com/Big", "example.com/!big/@v/v1.0.0.info"),
        ] {
            assert_eq!(below(kind, name, "v1.0.0"), expected);
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_fall_over(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            for kind in RegistryKind::ALL {
                drop(read(kind, "v1", &body));
            }
        }
    }
}
