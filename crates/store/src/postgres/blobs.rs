//! Content by its digest, in parts.

use cofferdam_domain::{BlobRef, Digest, Timestamp};
use sqlx::AssertSqlSafe;

use super::PostgresBase;
use crate::{
    StoreError,
    blobs::{MAX_BLOB, damaged},
    sql::{self, Database as _, Origin, Readers, Sql, values},
};

/// The length of a part, in bytes: what is handled in one piece on the way.
const PART: usize = 4 << 20;

/// Stores content; it is on the disk when this returns.
pub(super) async fn put(base: &PostgresBase, content: &[u8]) -> Result<BlobRef, StoreError> {
    if content.len() > MAX_BLOB {
        return Err(StoreError::TooLarge { what: "content", size: content.len(), limit: MAX_BLOB });
    }
    let blob = BlobRef { digest: Digest::of(content), size: content.len() as u64 };
    let parts: Vec<Vec<u8>> = content.chunks(PART).map(<[u8]>::to_vec).collect();
    base.transact(sql::work(move |sql| Box::pin(async move { put_in(sql, blob, parts).await }))).await?;
    Ok(blob)
}

async fn put_in(sql: &mut Sql<'_>, blob: BlobRef, parts: Vec<Vec<u8>>) -> Result<(), StoreError> {
    let again = format!("UPDATE blobs SET at = {} WHERE digest = $1", sql.clock());
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
    let new = format!(
        "INSERT INTO blobs (digest, size, at) VALUES ($1, $2, {}) ON CONFLICT (digest) DO UPDATE SET at = excluded.at",
        sql.clock()
    );
    sql.run(AssertSqlSafe(new), values![blob.digest, blob.size]).await.map(drop)
}

/// The content, if it is what its name says.
pub(super) async fn get(readers: &Readers, digest: Digest) -> Result<Vec<u8>, StoreError> {
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
        && readers.first("SELECT digest FROM blobs WHERE digest = $1", values![digest]).await?.is_none()
    {
        return Err(StoreError::UnknownBlob(digest));
    }
    if Digest::of(&content) == digest { Ok(content) } else { Err(damaged(digest)) }
}

/// Removes content that nobody refers to. It stays if somebody has stored it again since it was last referred to, and may be about to refer
/// to it.
pub(super) async fn remove(
    base: &PostgresBase,
    digest: Digest,
    referred: Timestamp,
) -> Result<(), StoreError> {
    base.transact(sql::work(move |sql| {
        Box::pin(async move {
            let removed = sql
                .run(
                    "DELETE FROM blobs WHERE digest = $1 AND at <= $2
                         AND NOT EXISTS (SELECT 1 FROM session_blobs WHERE digest = $1)",
                    values![digest, referred],
                )
                .await?;
            if removed > 0 {
                sql.run("DELETE FROM blob_parts WHERE digest = $1", values![digest]).await?;
            }
            Ok(())
        })
    }))
    .await
}
