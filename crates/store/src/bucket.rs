//! A bucket of an S3-compatible object store.
//!
//! Objects are written in parts of [`PART`] bytes, one after the other, and read as they come: no more is ever held in memory. Requests are signed over their content (AWS Signature Version 4), so that what is damaged on the way there
//! is refused by the store; what comes from there is checked by whoever asked for it.

mod failure;
mod options;

use std::{fmt, io, time::Duration};

use bytes::Bytes;
use cofferdam_domain::{Digest, EventId};
use futures_util::{Stream, TryStreamExt as _};
use object_store::{
    BackoffConfig, ClientOptions, MultipartUpload, ObjectStoreExt as _, PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    client::{HttpClient, HttpConnector},
    path::Path,
};
use ring::digest::{Context, SHA256};

pub use self::options::BucketOptions;
use crate::StoreError;

/// The length of a part, in bytes. No part but the last may be shorter than 5 MiB
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>).
const PART: u64 = 8 << 20;

/// How long it may take to be connected, and until anything more is heard of an answer.
const CONNECTING: Duration = Duration::from_secs(5);
const REQUEST: Duration = Duration::from_secs(60);

/// How often a request is tried again, and until when.
const RETRIES: usize = 4;
const RETRYING: Duration = Duration::from_secs(90);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// A bucket, and what in it is ours.
pub(crate) struct Bucket {
    client: AmazonS3,
    prefix: String,
    address: String,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.address).finish()
    }
}

/// A stretch of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) from: u64,
    pub(crate) length: usize,
}

impl Part {
    /// Those of an object of this length.
    pub(crate) fn all(size: u64) -> impl Iterator<Item = Self> {
        (0..size.div_ceil(PART)).map(move |number| {
            let from = number * PART;
            let length = (size - from).min(PART);
            Self { from, length: usize::try_from(length).unwrap_or(usize::MAX) }
        })
    }
}

impl Bucket {
    /// The bucket that is configured. Nothing is asked of it yet.
    pub(crate) fn new(options: &BucketOptions) -> Result<Self, StoreError> {
        let address = options.address();
        let backoff = BackoffConfig { max_backoff: LONGEST_PAUSE, ..BackoffConfig::default() };
        let retry = RetryConfig { backoff, max_retries: RETRIES, retry_timeout: RETRYING };
        let connector = Connector(client(options.is_plain()).map_err(|source| StoreError::BucketAway {
            address: address.clone(),
            source: Box::new(object_store::Error::Generic { store: "S3", source: source.into() }),
        })?);
        let builder = AmazonS3Builder::new()
            .with_http_connector(connector)
            .with_allow_http(options.is_plain())
            .with_retry(retry)
            .with_disable_tagging(true);
        let client = options.build(builder).map_err(|error| failure::meaning(&address, error))?;
        Ok(Self { client, prefix: options.prefix().to_owned(), address })
    }

    /// A key that was never used, for this content.
    pub(crate) fn new_key(&self, digest: Digest) -> String {
        format!("{}blobs/{}-{:032x}", self.prefix, digest.hex(), EventId::generate().as_u128())
    }

    /// An object's name for people.
    pub(crate) fn shown(&self, key: &str) -> String {
        format!("{key} in {}", self.address)
    }

    /// Writes, reads and removes an object, so that what is wrong is heard at the start.
    pub(crate) async fn try_out(&self) -> Result<(), StoreError> {
        let content = b"Cofferdam wrote this to see whether it can.\n".to_vec();
        let key = format!("{}trial-{:032x}", self.prefix, EventId::generate().as_u128());
        let mut upload = self.begin(&key, content.len() as u64).await?;
        upload.part(content.clone()).await?;
        upload.finish().await?;
        let read: Result<Vec<Bytes>, StoreError> = match self.read(&key, content.len() as u64).await {
            Ok(chunks) => chunks.try_collect().await,
            Err(error) => Err(error),
        };
        self.remove(&key).await?;
        if read?.concat() == content {
            Ok(())
        } else {
            Err(StoreError::Corrupt { what: format!("{} is not what was stored", self.shown(&key)) })
        }
    }

    /// Begins to write an object of this length.
    pub(crate) async fn begin(&self, key: &str, size: u64) -> Result<Upload<'_>, StoreError> {
        let key = Path::from(key);
        let parts = if size > PART {
            let begun = self.client.put_multipart(&key).await;
            Some(begun.map_err(|error| failure::meaning(&self.address, error))?)
        } else {
            None
        };
        Ok(Upload { bucket: self, key, parts, whole: Vec::new() })
    }

    /// Reads an object that has so many bytes, chunk by chunk.
    pub(crate) async fn read(
        &self,
        key: &str,
        size: u64,
    ) -> Result<impl Stream<Item = Result<Bytes, StoreError>> + use<'_>, StoreError> {
        let shown = self.shown(key);
        match self.client.get(&Path::from(key)).await {
            Ok(object) if object.meta.size == size => {
                let failed = move |error| failure::meaning_of_reading(&self.address, &shown, error);
                Ok(object.into_stream().map_err(failed))
            }
            Ok(_) => Err(StoreError::Corrupt {
                what: format!("{shown} is longer or shorter than what was stored"),
            }),
            Err(error) => Err(failure::meaning_of_reading(&self.address, &shown, error)),
        }
    }

    /// Removes an object, if it is there.
    pub(crate) async fn remove(&self, key: &str) -> Result<(), StoreError> {
        match self.client.delete(&Path::from(key)).await {
            Err(object_store::Error::NotFound { source, .. }) if !failure::is_no_bucket(&*source) => Ok(()),
            removed => removed.map_err(|error| failure::meaning(&self.address, error)),
        }
    }
}

/// Gives out the client that all requests go through.
#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

/// A client that follows no redirect: where a bucket is, is configured.
fn client(plain: bool) -> reqwest::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECTING)
        .read_timeout(REQUEST)
        .tcp_nodelay(true)
        .user_agent(concat!("cofferdam/", env!("CARGO_PKG_VERSION")));
    if plain {
        // Nothing is encrypted, and what is not is near: no proxy's business.
        builder = builder.no_proxy();
    }
    // Fails where it is installed already, which is as well.
    rustls::crypto::ring::default_provider().install_default().ok();
    builder.build()
}

/// An object that is being written. It is there when it is finished, and not before.
pub(crate) struct Upload<'b> {
    bucket: &'b Bucket,
    key: Path,
    parts: Option<Box<dyn MultipartUpload>>,
    whole: Vec<u8>,
}

impl Upload<'_> {
    /// Writes the next part; each but the last has [`PART`] bytes.
    pub(crate) async fn part(&mut self, bytes: Vec<u8>) -> Result<(), StoreError> {
        match &mut self.parts {
            Some(parts) => {
                let sent = parts.put_part(PutPayload::from(bytes)).await;
                sent.map_err(|error| failure::meaning(&self.bucket.address, error))
            }
            None => {
                self.whole = bytes;
                Ok(())
            }
        }
    }

    /// All parts are there.
    pub(crate) async fn finish(self) -> Result<(), StoreError> {
        let Self { bucket, key, parts, whole } = self;
        let done = match parts {
            Some(mut parts) => {
                let done = parts.complete().await.map(drop);
                if done.is_err() {
                    parts.abort().await.ok();
                }
                done
            }
            None => bucket.client.put(&key, PutPayload::from(whole)).await.map(drop),
        };
        done.map_err(|error| failure::meaning(&bucket.address, error))
    }

    /// It is not finished. The store keeps what it has of it if it cannot be told, until its own rule for that removes it.
    pub(crate) async fn abort(self) {
        if let Some(mut parts) = self.parts {
            parts.abort().await.ok();
        }
    }
}

/// A digest of what comes in parts.
pub(crate) struct Sha256(Context);

impl Sha256 {
    pub(crate) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> Digest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.finish().as_ref());
        Digest::from_bytes(bytes)
    }
}

impl io::Write for Sha256 {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_an_object_without_gaps() {
        for size in [0, 1, PART - 1, PART, PART + 1, 3 * PART, 3 * PART + 7] {
            let mut next = 0;
            for part in Part::all(size) {
                assert_eq!(part.from, next);
                assert!(part.length > 0 && part.length as u64 <= PART);
                next += part.length as u64;
            }
            assert_eq!(next, size);
        }
    }

    #[test]
    fn what_comes_in_parts_has_the_digest_of_the_whole() {
        let mut digest = Sha256::new();
        digest.add(b"who");
        digest.add(b"le");
        assert_eq!(digest.finish(), Digest::of(b"whole"));
    }
}
