//! Looking versions up in registries' indexes: that they exist, and when they were published.
//!
//! A version that is not in its index is not asked for: what a name could carry out does not leave. Where the index says
//! no time, the artefact's `Last-Modified` is the nearest thing to it.
//!
//! Indexes are long, and sandboxes choose which are read. So each is read once at a time, few are for all sessions of a
//! worker, none is in memory as a whole, and their bytes count as the session's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant, UNIX_EPOCH},
};

use cofferdam_domain::{
    Timestamp,
    egress::{Refusal, RequestPath, Scheme},
};
use http::{Method, StatusCode, header};
use tokio::sync::Semaphore;

use super::{
    Checksum, DebianLists, Listed, Listing, Part, Reading, Registry, RegistryKind,
    ask::Asker,
    grammar,
    index::{read, read_sums},
};
use crate::meter::Meter;

/// The most bytes of an index. The packuments of packages with thousands of versions have tens of megabytes.
const MAX_INDEX: usize = 96 << 20;
/// How long an index is taken to be as it was.
const KEPT: Duration = Duration::from_secs(300);
/// The same where it could not be read, so that not everyone who waits for it tries again.
const FAILED: Duration = Duration::from_secs(3);
/// How many are kept, and how many versions they have together.
const MAX_KEPT: usize = 256;
const MAX_VERSIONS: usize = 200_000;
/// Bytes of a file with one checksum in it at most.
const LONGEST_CHECKSUM: usize = 1024;
/// How many are read at the same time. Each takes one or two mebibytes while it is.
const AT_ONCE: usize = 8;

/// Looks versions up in the indexes of registries.
pub struct Listings {
    registries: Vec<Registry>,
    asker: Asker,
    /// Whether ages are wanted, and not only that a version exists.
    ages: bool,
    turns: Arc<Semaphore>,
    meter: Option<Arc<Meter>>,
    kept: Mutex<HashMap<String, Kept>>,
    reading: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    /// Checksum databases, and Maven repositories with their checksums, that did not answer, and since when.
    silent: Mutex<HashMap<String, Instant>>,
    /// The lists of Debian packages that came through.
    debian: DebianLists,
}

/// What is known of an index, and since when.
struct Kept {
    since: Instant,
    known: Result<Arc<Listing>, String>,
}

impl Kept {
    fn is_fresh(&self) -> bool {
        self.since.elapsed() < if self.known.is_ok() { KEPT } else { FAILED }
    }
}

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
    #[error("the registry's index of {name} cannot be read, so nothing is known of its versions: {reason}")]
    Unreadable {
        /// The package.
        name: String,
        /// Why.
        reason: String,
    },
}

impl ListingProblem {
    /// What a request for it is refused as.
    #[must_use]
    pub const fn code(&self) -> Refusal {
        match self {
            Self::NotListed { .. } => Refusal::Package,
            Self::Unreadable { .. } => Refusal::Index,
        }
    }
}

impl Listings {
    /// In these registries.
    pub(crate) fn new(registries: Vec<Registry>, asker: Asker, ages: bool, turns: Arc<Semaphore>) -> Self {
        let (kept, reading, silent) = (Mutex::default(), Mutex::default(), Mutex::default());
        let debian = DebianLists::new(turns.clone());
        Self { registries, asker, ages, turns, meter: None, kept, reading, silent, debian }
    }

    /// The lists of Debian packages that come through.
    pub(crate) const fn debian(&self) -> &DebianLists {
        &self.debian
    }

    /// For the indexes that all sessions read.
    pub(crate) fn turns() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(AT_ONCE))
    }

    /// Counts from now on what is read.
    pub(crate) fn count_with(&mut self, meter: Arc<Meter>) {
        self.meter = Some(meter);
    }

    /// What the registry says of the version that a request to it reads: when it was published, and what it hashes to.
    ///
    /// # Errors
    /// When the index does not have the version, or cannot be read.
    pub async fn listed(
        &self,
        registry: &Registry,
        path: &RequestPath,
        reading: &Reading,
    ) -> Result<Listed, ListingProblem> {
        let Reading::Artefact { kind, name, version, .. } = reading else { return Ok(Listed::default()) };
        let key = match kind {
            RegistryKind::Pip => target("", path.as_str()),
            RegistryKind::Cargo | RegistryKind::Npm | RegistryKind::Go => version.clone(),
            RegistryKind::Apt | RegistryKind::Maven => {
                let published =
                    if self.ages { self.last_modified(registry, path, name).await? } else { None };
                let checksum = if *kind == RegistryKind::Apt {
                    self.debian.checksum(registry, path).await
                } else {
                    self.beside(registry, path).await
                };
                return Ok(Listed { published, checksum });
            }
        };
        let mut problem = ListingProblem::NotListed { name: name.clone(), version: version.clone() };
        for index in self.indexes(*kind, registry) {
            match self.look_up(index, name, version, &key).await {
                Ok(Some(mut listed)) => {
                    if *kind == RegistryKind::Go {
                        listed.checksum = self.sum(registry, name, version).await;
                    }
                    if self.ages && listed.published.is_none() {
                        listed.published = self.last_modified(registry, path, name).await?;
                    }
                    return Ok(listed);
                }
                Ok(None) => {}
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }

    /// What one index says about a version, if it has it.
    async fn look_up(
        &self,
        index: &Registry,
        name: &str,
        version: &str,
        key: &str,
    ) -> Result<Option<Listed>, ListingProblem> {
        if index.kind == RegistryKind::Go {
            let list = self.listing(index, name, "").await?;
            // Versions that stand for commits are in no list, nor are those of toolchains everywhere.
            let known = list.contains_key(key);
            if !known && !version.contains('-') {
                return Ok(None);
            }
            if known && !self.ages {
                return Ok(Some(Listed::default()));
            }
        }
        Ok(self.listing(index, name, version).await?.get(key).copied())
    }

    /// What a checksum database says of a Go module's version, if there is one that may be asked: one that is where the proxy is, on the
    /// internet or in a company's network. What somebody needs a credential for, or has from within, is not for the public to hear of. Where
    /// it does not answer, the proxy may pass it on (go.dev/ref/mod#checksum-database); where that does not either, there is Go's own
    /// comparison, and the record says that there was none here.
    async fn sum(&self, registry: &Registry, name: &str, version: &str) -> Option<Checksum> {
        let sums = self.registries.iter().find(|other| {
            other.kind == RegistryKind::Go
                && other.part == Part::Sums
                && other.addresses == registry.addresses
                && registry.credential.is_none()
        })?;
        let by_proxy = Registry {
            part: Part::Sums,
            base: format!("{}/sumdb/{}", registry.base, sums.host),
            ..registry.clone()
        };
        for place in [sums, &by_proxy] {
            let url = place.url();
            if self.is_silent(&url) {
                continue;
            }
            match self.listing(place, name, version).await {
                Ok(listing) => return listing.get(version)?.checksum,
                Err(_) => self.silent().insert(url, Instant::now()).map_or((), drop),
            }
        }
        None
    }

    /// What a Maven repository has in a file beside an artefact: a checksum, in most of them by SHA-1 only. Where it has none, or does not
    /// answer, the artefact comes all the same, and the record says that it was not compared.
    async fn beside(&self, registry: &Registry, path: &RequestPath) -> Option<Checksum> {
        let url = registry.url();
        if path.as_str().contains("-SNAPSHOT.") || self.is_silent(&url) {
            // Such a file is another one tomorrow, and what is beside it may be about the one of before.
            return None;
        }
        let ask = async |ending: &str| {
            let path = format!("{}{ending}", path.as_str()).parse().ok()?;
            let answer = self.asker.ask(registry, Method::GET, &path, "*/*", LONGEST_CHECKSUM).await;
            let Ok(answer) = answer else {
                self.silent().insert(url.clone(), Instant::now());
                return None;
            };
            let text = std::str::from_utf8(&answer.body).ok().filter(|_| answer.status == StatusCode::OK)?;
            Checksum::in_file(text)
        };
        let (good, old) = tokio::join!(ask(".sha256"), ask(".sha1"));
        good.or(old)
    }

    /// Whether a checksum database did not answer a short while ago, and need not be waited for again.
    fn is_silent(&self, url: &str) -> bool {
        self.silent().get(url).is_some_and(|since| since.elapsed() < KEPT)
    }

    fn silent(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// What an index says; of Go's the list if there is no version.
    async fn listing(
        &self,
        index: &Registry,
        name: &str,
        version: &str,
    ) -> Result<Arc<Listing>, ListingProblem> {
        let unreadable = |reason: String| ListingProblem::Unreadable { name: name.to_owned(), reason };
        let below = match index.part {
            Part::Sums => format!("lookup/{}@{}", grammar::go_escaped(name), grammar::go_escaped(version)),
            Part::Whole | Part::Index | Part::Files | Part::Crates(_) => below(index.kind, name, version),
        };
        let key = format!("{} {}", index.url(), below);
        let turn = self.turn(&key);
        let _turn = turn.lock().await;
        if let Some(known) = self.kept(&key) {
            return known.map_err(unreadable);
        }
        let path: RequestPath = format!("{}/{below}", index.base)
            .parse()
            .map_err(|_| unreadable("its path is not in canonical form".to_owned()))?;
        let known = self.ask(index, path, (name, version)).await.map(Arc::new);
        self.keep(key, known.clone());
        known.map_err(unreadable)
    }

    async fn ask(
        &self,
        index: &Registry,
        path: RequestPath,
        (name, version): (&str, &str),
    ) -> Result<Listing, String> {
        let accept = match index.kind {
            RegistryKind::Pip => "application/vnd.pypi.simple.v1+json, text/html;q=0.1",
            // Without times it is a tenth as long.
            RegistryKind::Npm if !self.ages => {
                "application/vnd.npm.install-v1+json, application/json;q=0.8, */*;q=0.1"
            }
            RegistryKind::Npm => "application/json",
            RegistryKind::Go | RegistryKind::Cargo | RegistryKind::Apt | RegistryKind::Maven => "*/*",
        };
        let _turn = self.turns.acquire().await.map_err(|_| "the door is closed".to_owned())?;
        let (kind, version, page) = (index.kind, version.to_owned(), path.as_str().to_owned());
        let module = (index.part == Part::Sums).then(|| name.to_owned());
        let answer = self.asker.read(index, (&path, accept, MAX_INDEX), self.meter.clone(), move |body| {
            if let Some(module) = module {
                return read_sums(&module, &version, body);
            }
            let listing = read(kind, &version, body)?;
            if kind != RegistryKind::Pip {
                return Ok(listing);
            }
            Ok(listing.into_iter().map(|(link, time)| (target(&page, &link), time)).collect())
        });
        let (status, listing): (_, Option<Result<Listing, &'static str>>) =
            answer.await.map_err(|problem| problem.to_string())?;
        match (listing, status) {
            (Some(listing), _) => listing.map_err(str::to_owned),
            (None, StatusCode::NOT_FOUND | StatusCode::GONE) => Ok(Listing::new()),
            (None, other) => Err(format!("it answered {other}")),
        }
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

    /// Whose turn it is to read an index; whoever comes meanwhile finds it read.
    fn turn(&self, key: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = reading.get(key).and_then(Weak::upgrade) {
            return turn;
        }
        reading.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        reading.insert(key.to_owned(), Arc::downgrade(&turn));
        turn
    }

    fn kept(&self, key: &str) -> Option<Result<Arc<Listing>, String>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).filter(|kept| kept.is_fresh()).map(|kept| kept.known.clone())
    }

    fn keep(&self, key: String, known: Result<Arc<Listing>, String>) {
        let length = |known: &Result<Arc<Listing>, String>| known.as_ref().map_or(0, |listing| listing.len());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |kept: &HashMap<String, Kept>| {
            let versions: usize = kept.values().map(|kept| length(&kept.known)).sum();
            kept.len() >= MAX_KEPT || versions + length(&known) > MAX_VERSIONS
        };
        if full(&kept) {
            kept.retain(|_, kept| kept.is_fresh());
        }
        if full(&kept) {
            kept.clear();
        }
        kept.insert(key, Kept { since: Instant::now(), known });
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
        RegistryKind::Go if version.is_empty() => format!("{}/@v/list", grammar::go_escaped(name)),
        RegistryKind::Go => format!("{}/@v/{}.info", grammar::go_escaped(name), grammar::go_escaped(version)),
        RegistryKind::Apt | RegistryKind::Maven => String::new(),
    }
}

/// Where a link of a page leads on its host: a path, with a plus written plainly.
fn target(page: &str, link: &str) -> String {
    let path = match link.split_once("://") {
        Some((_, rest)) => {
            rest.find('/').map_or("/", |slash| rest.get(slash..).unwrap_or_default()).to_owned()
        }
        None if link.starts_with('/') => link.to_owned(),
        None => {
            let mut folders: Vec<&str> = page.split('/').collect();
            folders.pop();
            for part in link.split('/') {
                match part {
                    "." => {}
                    ".." => folders.truncate(folders.len().saturating_sub(1).max(1)),
                    part => folders.push(part),
                }
            }
            folders.join("/")
        }
    };
    path.replace("%2B", "+").replace("%2b", "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_links_lead() {
        for (link, expected) in [
            ("https://files.example/p/a%2Bb-1.zip", "/p/a+b-1.zip"),
            ("https://files.example", "/"),
            ("../../packages/ab/a-1.zip", "/root/packages/ab/a-1.zip"),
            ("../../../../a-1.zip", "/a-1.zip"),
            ("./a-1.zip", "/root/simple/a/a-1.zip"),
            ("/a-1.zip", "/a-1.zip"),
        ] {
            assert_eq!(target("/root/simple/a/", link), expected, "{link}");
        }
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
}
