//! Content by its digest, in parts.

use std::time::Duration;

use async_trait::async_trait;
use cofferdam_domain::{BlobRef, Digest, Timestamp};
use sqlx::AssertSqlSafe;

use super::PostgresBase;
use crate::{
    StoreError,
    blobs::{MAX_BLOB, damaged},
    content::Local,
    records::contents::{self, Removal},
    sql::{self, Database as _, Origin, Readers, Sql, values},
};

/// The length of a part, in bytes: what is handled in one piece on the way.
const PART: usize = 4 << 20;

/// Content in the database itself.
#[derive(Debug, Clone)]
pub(super) struct Parts(pub(super) PostgresBase);

#[async_trait]
impl Local for Parts {
    async fn put(&self, content: &[u8]) -> Result<BlobRef, StoreError> {
        if content.len() > MAX_BLOB {
            return Err(StoreError::TooLarge { what: "content", size: content.len(), limit: MAX_BLOB });
        }
        let blob = BlobRef { digest: Digest::of(content), size: content.len() as u64 };
        let parts: Vec<Vec<u8>> = content.chunks(PART).map(<[u8]>::to_vec).collect();
        self.0
            .transact(sql::work(move |sql| Box::pin(async move { put_in(sql, blob, parts).await })))
            .await?;
        Ok(blob)
    }

    async fn get(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        get(&self.0.readers, digest).await
    }

    async fn remove(&self, _: Digest, _: Timestamp, _: Duration) -> Result<Removal, StoreError> {
        // It goes with its row.
        Ok(Removal::Needless)
    }

    async fn untabled(&self, _: Timestamp) -> Result<Vec<Digest>, StoreError> {
        Ok(Vec::new())
    }
}

async fn put_in(sql: &mut Sql<'_>, blob: BlobRef, parts: Vec<Vec<u8>>) -> Result<(), StoreError> {
    let again =
        format!("UPDATE blobs SET at = {}, again = 1 WHERE digest = $1 AND place IS NULL", sql.clock());
    if sql.run(AssertSqlSafe(again), values![blob.digest]).await? > 0 {
        return Ok(());
    }
    for (number, part) in (0_u64..).zip(parts) {
        sql.run(
            "INSERT INTO blob_parts (digest, part, bytes) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            values![blob.digest, number, part],
        )
        .await?;
    }
    // From here on the object that there may be is not used any more.
    let object = "SELECT place FROM blobs WHERE digest = $1 AND place IS NOT NULL FOR UPDATE";
    if let Some(row) = sql.first(object, values![blob.digest]).await? {
        let now = sql.now().await?;
        contents::unwant(sql, &row.text("place").map_err(Origin::unreadable)?, now).await?;
    }
    let new = format!(
        "INSERT INTO blobs (digest, size, at) VALUES ($1, $2, {}) ON CONFLICT (digest) DO UPDATE
             SET at = excluded.at, place = NULL, damaged = 0, again = 1",
        sql.clock()
    );
    sql.run(AssertSqlSafe(new), values![blob.digest, blob.size]).await.map(drop)
}

/// The content, if it is what its name says.
async fn get(readers: &Readers, digest: Digest) -> Result<Vec<u8>, StoreError> {
    let mut content = Vec::new();
    for number in 0_u64.. {
        let text = "SELECT bytes FROM blob_parts WHERE digest = $1 AND part = $2";
        let Some(row) = readers.first(text, values![digest, number]).await? else { break };
        content.extend(row.bytes("bytes").map_err(Origin::unreadable)?);
        if content.len() > MAX_BLOB {
            return Err(damaged(digest));
        }
    }
    if content.is_empty()
        && readers
            .first("SELECT digest FROM blobs WHERE digest = $1 AND place IS NULL", values![digest])
            .await?
            .is_none()
    {
        return Err(StoreError::UnknownBlob(digest));
    }
    if Digest::of(&content) == digest { Ok(content) } else { Err(damaged(digest)) }
}
