//! Where an encoder gets the bytes of a picture from.

use async_trait::async_trait;
use cofferdam_domain::Digest;

/// Content by its digest.
#[async_trait]
pub trait BlobSource: Send + Sync {
    /// The content, or `None` where it is not there or cannot be read: the model is then told that the
    /// picture is missing.
    async fn get(&self, digest: Digest) -> Option<Vec<u8>>;
}

/// A source with nothing in it, for conversations without pictures.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBlobs;

#[async_trait]
impl BlobSource for NoBlobs {
    async fn get(&self, _digest: Digest) -> Option<Vec<u8>> {
        None
    }
}
