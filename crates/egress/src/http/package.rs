//! Packages on their way through: judged by name and age, taken from the cache where they are kept, and written down.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use cofferdam_domain::{
    Digest,
    egress::{Fetched, Refusal},
};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead as _, ReadBuf};

use super::request::Wanted;
use crate::{
    cache::{CacheKey, Cached, Claim, Filling, PackageCache},
    clock::now,
    decide::Denied,
    door::Shared,
    refuse::denied,
    registry::{Listings, PackageRefusal, PackageRules, Reading},
};

/// Bytes of a kept package that are read at once.
const PIECE: usize = 128 << 10;

/// What one door knows of packages.
pub(crate) struct Packages {
    pub(crate) rules: PackageRules,
    pub(crate) listings: Listings,
    pub(crate) cache: Option<PackageCache>,
}

/// What is to become of a request that reads from a registry.
pub(super) enum Course {
    /// The package is here.
    Kept(Response<KeptPackage>),
    /// It passes, and is written down when it has come.
    Fetch(Option<Arriving>),
}

/// Judges what a request reads from a registry.
pub(super) async fn course(
    door: &Shared,
    wanted: &Wanted,
    reading: &Reading,
    headers: &HeaderMap,
) -> Result<Course, Denied> {
    let packages = &door.packages;
    packages.rules.judge(&wanted.site.host, reading).map_err(refused)?;
    let Reading::Artefact { kind, name, version, whole: true } = reading else {
        return Ok(Course::Fetch(None));
    };
    let rules = door.rules();
    let registry = rules.registries_at(&wanted.site.host, wanted.site.port).find(|registry| {
        registry.scheme == wanted.site.scheme
            && registry.read(&wanted.method, &wanted.path, None).as_ref() == Some(reading)
    });
    // A piece of a package is neither kept nor taken from what is kept.
    let whole = wanted.method.as_str() == "GET" && !headers.contains_key(header::RANGE);
    let key = registry.filter(|_| whole).and_then(|registry| CacheKey::of(registry, &wanted.path, reading));
    let claim = match (&packages.cache, key) {
        // Where nothing can be kept, it passes all the same.
        (Some(cache), Some(key)) => cache.claim(key).await.ok(),
        _ => None,
    };
    let mut published = match &claim {
        Some(Claim::Here(cached)) => cached.published,
        Some(Claim::Missing(_)) | None => None,
    };
    if published.is_none()
        && packages.rules.asks_age(reading)
        && let Some(registry) = registry
    {
        let known = packages.listings.published(registry, &wanted.path, reading).await;
        published = known.map_err(|problem| denied(Refusal::CoolDown, &problem.to_string()))?;
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
    };
    Ok(match claim {
        Some(Claim::Here(cached)) => {
            door.ledger.fetched(fetched(cached.digest, cached.size, true));
            Course::Kept(answer(cached))
        }
        claim if whole => {
            let filling = claim.and_then(|claim| match claim {
                Claim::Missing(filling) => Some(filling),
                Claim::Here(_) => None,
            });
            let keeping = filling.map_or_else(|| Keeping::Hash(Sha256::new()), Keeping::Cache);
            let fetched = fetched(Digest::of(b""), 0, false);
            Course::Fetch(Some(Arriving { keeping, content_type: None, fetched }))
        }
        _ => Course::Fetch(None),
    })
}

fn refused(refusal: PackageRefusal) -> Denied {
    denied(refusal.code, &refusal.reason)
}

/// A package that is on its way.
pub(super) struct Arriving {
    keeping: Keeping,
    content_type: Option<String>,
    fetched: Fetched,
}

/// What becomes of its bytes besides.
enum Keeping {
    /// They go to the cache.
    Cache(Filling),
    /// They were to go to the cache, which could not take them.
    Failed(Filling),
    /// They are only hashed.
    Hash(Sha256),
}

impl Arriving {
    /// The head of the answer has come; whether it brings the package.
    pub(super) fn begins<B>(&mut self, response: &Response<B>) -> bool {
        let headers = response.headers();
        self.content_type =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        response.status() == StatusCode::OK && !headers.contains_key(header::CONTENT_ENCODING)
    }

    /// More of it has come.
    pub(super) fn take(mut self, bytes: &[u8]) -> Self {
        self.fetched.size += bytes.len() as u64;
        self.keeping = match self.keeping {
            Keeping::Cache(mut filling) => match filling.write(bytes) {
                Ok(()) => Keeping::Cache(filling),
                // A full disk is no reason to stop.
                Err(_) => Keeping::Failed(filling),
            },
            Keeping::Failed(mut filling) => {
                // For the digest alone.
                filling.write(bytes).ok();
                Keeping::Failed(filling)
            }
            Keeping::Hash(mut hash) => {
                hash.update(bytes);
                Keeping::Hash(hash)
            }
        };
        self
    }

    /// All of it has come.
    pub(super) async fn arrived(self) -> Fetched {
        let Self { keeping, content_type, fetched } = self;
        let digest = match keeping {
            Keeping::Hash(hash) => Digest::from_bytes(hash.finalize().into()),
            Keeping::Failed(filling) => filling.give_up().digest,
            Keeping::Cache(filling) => {
                let digest = filling.digest();
                // What could not be kept has come all the same.
                filling.finish(content_type.as_deref(), fetched.published).await.ok();
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
}

fn answer(cached: Cached) -> Response<KeptPackage> {
    let Cached { file, size, content_type, .. } = cached;
    let body = KeptPackage { file: tokio::fs::File::from_std(file), left: size, buffer: BytesMut::new() };
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
