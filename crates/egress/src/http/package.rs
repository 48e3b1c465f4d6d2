//! Packages on their way through: judged by name and age, taken from the cache where they are kept, and written down.

use std::{
    io::Seek as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use cofferdam_domain::{
    Digest,
    egress::{Fetched, Refusal},
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, header};
use http_body::Frame;
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncRead as _, ReadBuf},
    sync::OwnedSemaphorePermit,
};

use super::request::Wanted;
use crate::{
    cache::{CacheKey, Cached, Checked, Claim, Filling, PackageCache},
    clock::now,
    decide::Denied,
    door::Shared,
    refuse::denied,
    registry::{
        ArrivingList, Checksum, Comparison, Listings, PackageRefusal, PackageRules, Reading, Registry,
        RegistryKind,
    },
};

/// Bytes of a kept package that are read at once.
const PIECE: usize = 128 << 10;

/// All that a program may say to a registry besides what it reads: what is kept for all is not for one of them to shape,
/// and who reads nothing but packages needs no more.
const SAID: [HeaderName; 5] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::USER_AGENT,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
];

/// What an answer may differ by and be the same for everybody: the door asks for one encoding, and sends none of the others.
const SAME: [&str; 4] =
    ["accept-encoding", "origin", "access-control-request-headers", "access-control-request-method"];

/// What one door knows of packages.
pub(crate) struct Packages {
    pub(crate) rules: PackageRules,
    pub(crate) listings: Listings,
    pub(crate) cache: Option<PackageCache>,
}

/// What is to become of a request that reads from a registry.
pub(super) enum Course {
    /// The package is here.
    Kept(Cached),
    /// It passes, and is written down when it has come.
    Fetch(Option<Arriving>),
}

/// Judges what a request reads from a registry, and takes away what it need not say for that.
pub(super) async fn course(
    door: &Shared,
    wanted: &Wanted,
    reading: &Reading,
    headers: &mut HeaderMap,
) -> Result<Course, Denied> {
    let anew = wants_it_anew(headers);
    say_no_more(headers);
    let packages = &door.packages;
    packages.rules.judge(&wanted.site.host, reading).map_err(refused)?;
    let rules = door.rules();
    let registry = rules.registries_at(&wanted.site.host, wanted.site.port).find(|registry| {
        registry.scheme == wanted.site.scheme
            && registry.read(&wanted.method, &wanted.path, None).as_ref() == Some(reading)
    });
    let whole = wanted.method.as_str() == "GET";
    let Reading::Artefact { kind, name, version, whole: true } = reading else {
        let list = list(packages, (wanted, reading), registry.filter(|_| whole), headers);
        return Ok(Course::Fetch(list.map(|list| Arriving::List(Box::new(list)))));
    };
    // It is kept, and its digest told, as it is.
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let key = registry.filter(|_| whole).and_then(|registry| CacheKey::of(registry, &wanted.path, reading));
    let mut claim = match (&packages.cache, key) {
        (Some(cache), Some(key)) if anew => Some(Claim::Missing(cache.replace(key))),
        // Where nothing can be kept, it passes all the same.
        (Some(cache), Some(key)) => cache.claim(key).await.ok(),
        _ => None,
    };
    let (mut published, checked) = match &claim {
        Some(Claim::Here(cached)) => (cached.published, cached.checked),
        Some(Claim::Missing(_)) | None => (None, Checked::Not),
    };
    // Nothing leaves for what is here and known to be right.
    let unsure = match checked {
        Checked::Not => true,
        // This session may have read a list that the one before it had not.
        Checked::Nothing => *kind == RegistryKind::Apt,
        Checked::Compared => false,
    };
    let mut checksum = None;
    if (unsure || published.is_none() && packages.rules.asks_age(reading))
        && let Some(registry) = registry
    {
        let known = packages.listings.listed(registry, &wanted.path, reading).await;
        let listed = known.map_err(|problem| denied(problem.code(), &problem.to_string()))?;
        published = published.or(listed.published);
        checksum = listed.checksum;
    }
    if let (Some(Claim::Here(cached)), Some(checksum)) = (&claim, checksum)
        && !is_right(cached, checksum).await
    {
        // It comes anew, and is compared on the way.
        claim = packages.cache.as_ref().zip(key).map(|(cache, key)| Claim::Missing(cache.replace(key)));
    }
    packages.rules.judge_age(reading, published, now()).map_err(refused)?;
    let fetched = |digest, size, cached| Fetched {
        registry: kind.as_str().to_owned(),
        host: wanted.site.host.clone(),
        name: name.clone(),
        version: version.clone(),
        digest,
        size,
        published,
        cached,
        compared: checksum.is_some() || checked == Checked::Compared,
    };
    Ok(match claim {
        Some(Claim::Here(cached)) => {
            door.ledger.fetched(fetched(cached.digest, cached.size, true));
            Course::Kept(cached)
        }
        claim if whole => {
            let filling = claim.and_then(|claim| match claim {
                Claim::Missing(filling) => Some(filling),
                Claim::Here(_) => None,
            });
            let keeping = filling.map_or_else(|| Keeping::Hash(Sha256::new()), Keeping::Cache);
            let fetched = fetched(Digest::of(b""), 0, false);
            let comparison = checksum.map(Checksum::begin);
            let package = Package { keeping, comparison, content_type: None, fetched };
            Course::Fetch(Some(Arriving::Package(Box::new(package))))
        }
        _ => Course::Fetch(None),
    })
}

/// A list that packages are compared with later, if it is one.
fn list(
    packages: &Packages,
    (wanted, reading): (&Wanted, &Reading),
    registry: Option<&Registry>,
    headers: &mut HeaderMap,
) -> Option<ArrivingList> {
    let Reading::Index { kind: RegistryKind::Apt, .. } = reading else { return None };
    let list = packages.listings.debian().begin(registry?, &wanted.path)?;
    // It is read as it is.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Some(list)
}

/// Whether what was kept is what the index names.
async fn is_right(cached: &Cached, checksum: Checksum) -> bool {
    let Ok(mut file) = cached.file.try_clone() else { return false };
    let compared = tokio::task::spawn_blocking(move || {
        // The two share a place in the file.
        let agrees = checksum.is_of(&mut file)?;
        file.rewind().map(|()| agrees)
    });
    matches!(compared.await, Ok(Ok(true)))
}

fn refused(refusal: PackageRefusal) -> Denied {
    denied(refusal.code, &refusal.reason)
}

/// Whether a program does not trust what somebody may have kept (RFC 9111, sections 5.2.1.4 and 5.4).
fn wants_it_anew(headers: &HeaderMap) -> bool {
    [header::CACHE_CONTROL, header::PRAGMA]
        .iter()
        .any(|name| listed(headers, name).any(|directive| directive == "no-cache"))
}

/// Leaves of a request's fields those that all who read from a registry may say. What the door itself says comes later.
fn say_no_more(headers: &mut HeaderMap) {
    let said = std::mem::take(headers);
    for name in &SAID {
        for value in said.get_all(name) {
            headers.append(name, value.clone());
        }
    }
}

/// What is listed in a field, in small letters.
fn listed(headers: &HeaderMap, name: &HeaderName) -> impl Iterator<Item = String> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|part| String::from_utf8_lossy(part.trim_ascii()).to_ascii_lowercase())
}

/// Whether an answer can be what everybody gets who asks the same.
fn is_for_all<B>(response: &Response<B>) -> bool {
    let headers = response.headers();
    let varies = listed(headers, &header::VARY).any(|field| !SAME.contains(&field.as_str()));
    let withheld = listed(headers, &header::CACHE_CONTROL).any(|directive| {
        let name = directive.split('=').next().unwrap_or_default().trim_ascii();
        matches!(name, "private" | "no-store")
    });
    // No package is a page: this says that there is none, that somebody must log in, or that nothing works today.
    let page = listed(headers, &header::CONTENT_TYPE).any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim_ascii();
        matches!(kind, "text/html" | "application/xhtml+xml")
    });
    !varies && !withheld && !page
}

/// Whether a body that breaks off cannot be taken for a whole one: one that ends with its connection can (RFC 9112,
/// section 8).
fn ends_visibly<B>(response: &Response<B>) -> bool {
    let headers = response.headers();
    match response.version() {
        Version::HTTP_2 => true,
        Version::HTTP_11 if headers.contains_key(header::TRANSFER_ENCODING) => {
            listed(headers, &header::TRANSFER_ENCODING).last().as_deref() == Some("chunked")
        }
        _ => headers.contains_key(header::CONTENT_LENGTH),
    }
}

/// What is on its way and is held against an index, or is one.
pub(super) enum Arriving {
    /// A package.
    Package(Box<Package>),
    /// A list of packages.
    List(Box<ArrivingList>),
}

/// A package that is on its way.
pub(super) struct Package {
    keeping: Keeping,
    /// With what its index says, if that says anything.
    comparison: Option<Comparison>,
    content_type: Option<String>,
    fetched: Fetched,
}

/// What becomes of its bytes besides.
enum Keeping {
    /// They go to the cache.
    Cache(Filling),
    /// They are only hashed.
    Hash(Sha256),
}

impl Arriving {
    /// The head of the answer has come; whether it brings what was asked for.
    ///
    /// # Errors
    /// When a program may take what it brings for that, and it cannot be compared with its index.
    pub(super) fn begins<B>(&mut self, response: &Response<B>) -> Result<bool, Denied> {
        let headers = response.headers();
        if let Self::Package(package) = self {
            package.content_type =
                headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
            if !(is_for_all(response) && ends_visibly(response)) {
                package.keeping = Keeping::Hash(Sha256::new());
            }
        }
        let whole = response.status() == StatusCode::OK && !headers.contains_key(header::CONTENT_ENCODING);
        if !whole && self.is_compared() && response.status().is_success() {
            let reason = "the registry answered with something else than the whole artefact as it is, so it cannot be compared with the digest in its index";
            return Err(denied(Refusal::Digest, reason));
        }
        Ok(whole)
    }

    /// More of it has come.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        match self {
            Self::Package(package) => package.take(bytes),
            Self::List(list) => list.take(bytes),
        }
    }

    /// Whether its last bytes may not be passed on before it was compared with its index.
    pub(super) const fn is_compared(&self) -> bool {
        match self {
            Self::Package(package) => package.comparison.is_some(),
            Self::List(list) => list.is_compared(),
        }
    }

    /// Whether what has come is what the index names.
    pub(super) fn compare(&self) -> Result<(), Denied> {
        let reason = match self {
            Self::Package(package) if !package.comparison.as_ref().is_none_or(Comparison::agrees) => {
                let Fetched { name, version, .. } = &package.fetched;
                format!(
                    "what came for {name} {version} is not what the registry's index names, by its digest, so it was cut off"
                )
            }
            Self::List(list) if !list.agrees() => format!(
                "what came for {} is not what the repository's list of lists names, by its digest, so it was cut off",
                list.name()
            ),
            Self::Package(_) | Self::List(_) => return Ok(()),
        };
        Err(denied(Refusal::Digest, &reason))
    }

    /// All of it has come. What comes later knows of it from now on; what is to be written down of it takes a while.
    pub(super) fn arrived(self) -> Pin<Box<dyn Future<Output = Option<Fetched>> + Send>> {
        match self {
            Self::Package(package) => Box::pin(async move { Some(package.arrived().await) }),
            Self::List(list) => {
                let landed = list.landed();
                Box::pin(async move {
                    landed.await;
                    None
                })
            }
        }
    }
}

impl Package {
    fn take(&mut self, bytes: &[u8]) {
        self.fetched.size += bytes.len() as u64;
        if let Some(comparison) = &mut self.comparison {
            comparison.take(bytes);
        }
        match &mut self.keeping {
            Keeping::Cache(filling) => {
                // A full disk is no reason to stop; what comes now is only hashed.
                filling.write(bytes).ok();
            }
            Keeping::Hash(hash) => hash.update(bytes),
        }
    }

    async fn arrived(self) -> Fetched {
        let Self { keeping, content_type, fetched, .. } = self;
        let digest = match keeping {
            Keeping::Hash(hash) => Digest::from_bytes(hash.finalize().into()),
            Keeping::Cache(filling) => {
                let digest = filling.digest();
                // What could not be kept has come all the same.
                let checked = if fetched.compared { Checked::Compared } else { Checked::Nothing };
                filling.finish(content_type.as_deref(), fetched.published, checked).await.ok();
                digest
            }
        };
        Fetched { digest, ..fetched }
    }
}

/// The bytes of a package that was kept.
pub(crate) struct KeptPackage {
    file: tokio::fs::File,
    left: u64,
    buffer: BytesMut,
    /// The request is under way until all of it has been read.
    _permit: OwnedSemaphorePermit,
}

/// What is answered with a package that was kept.
pub(super) fn answer(cached: Cached, permit: OwnedSemaphorePermit) -> Response<KeptPackage> {
    let Cached { file, size, content_type, .. } = cached;
    let file = tokio::fs::File::from_std(file);
    let body = KeptPackage { file, left: size, buffer: BytesMut::new(), _permit: permit };
    let mut response = Response::new(body);
    let content_type = content_type.and_then(|text| HeaderValue::try_from(text).ok());
    let content_type = content_type.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    response
}

impl KeptPackage {
    pub(super) const fn left(&self) -> u64 {
        self.left
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.buffer.resize(PIECE, 0);
        let mut into = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(&mut self.file).poll_read(cx, &mut into))?;
        let length = into.filled().len();
        if length == 0 {
            return Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into())));
        }
        self.left = self.left.saturating_sub(length as u64);
        Poll::Ready(Some(Ok(Frame::data(self.buffer.split_to(length).freeze()))))
    }
}
