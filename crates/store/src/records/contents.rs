//! Content that is kept in an object store, and objects that are to be removed from there.
//!
//! Nothing is ever removed under a key that somebody may still be writing to, or about to refer to: every upload has a key of its own, which
//! stands in `unwanted` until the upload is finished; whoever removes an object first takes its key out of `blobs`, in a transaction.

use std::time::Duration;

use cofferdam_domain::{BlobRef, Digest, Timestamp};
use sqlx::AssertSqlSafe;

use crate::{
    StoreError,
    sql::{Origin, Readers, Row, Sql, values},
};

/// Objects whose removal is begun at once.
const AT_ONCE: u32 = 64;

/// Whoever has begun to remove an object and has not done it after this time is gone, in milliseconds.
const REMOVAL: u64 = 10 * 60 * 1000;

/// An object that is not what was stored is kept to be looked at for this time after it was replaced, in milliseconds.
const EVIDENCE: u64 = 7 * 24 * 60 * 60 * 1000;

/// For so long content stays that was stored more than once, even if all who are known to have referred to it are gone: whoever else has
/// stored it may be about to refer to it. Longer than that takes, whatever happens to the database meanwhile.
pub(crate) const HELD: Duration = Duration::from_secs(5 * 60);

/// What became of content that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Removal {
    /// It is not there, or somebody needs it.
    Needless,
    /// It is removed.
    Done,
    /// Somebody may be about to refer to it: to be tried again once it has been held for long enough.
    Later,
}

/// Where content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The object's key; `None` where it is in the database.
    pub(crate) key: Option<String>,
    /// Its length.
    pub(crate) size: u64,
    /// The object is not what was stored.
    pub(crate) damaged: bool,
}

/// Where content is, if it is not (or was not) a file.
pub(crate) async fn find(readers: &Readers, digest: Digest) -> Result<Option<Kept>, StoreError> {
    let row =
        readers.first("SELECT place, size, damaged FROM blobs WHERE digest = $1", values![digest]).await?;
    row.as_ref().map(kept).transpose().map_err(Origin::unreadable)
}

fn kept(row: &Row) -> sqlx::Result<Kept> {
    Ok(Kept { key: row.text_or_null("place")?, size: row.count("size")?, damaged: row.is("damaged")? })
}

/// Notes that content is stored again. Whether it is there.
pub(crate) async fn again(sql: &mut Sql<'_>, digest: Digest) -> Result<bool, StoreError> {
    let text = format!("UPDATE blobs SET at = {}, again = 1 WHERE digest = $1 AND damaged = 0", sql.clock());
    Ok(sql.run(AssertSqlSafe(text), values![digest]).await? > 0)
}

/// An upload begins. If it is not finished in time, what there is of it is removed.
pub(crate) async fn begin(sql: &mut Sql<'_>, key: &str, time: Duration) -> Result<(), StoreError> {
    let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let text = format!("INSERT INTO unwanted (place, due, taken) VALUES ($1, {} + $2, 0)", sql.clock());
    sql.run(AssertSqlSafe(text), values![key, time]).await.map(drop)
}

/// An upload is finished: the content is under this key from now on, unless somebody else was faster. `false` when it took too long, and the
/// object is being removed.
pub(crate) async fn finish(sql: &mut Sql<'_>, key: &str, blob: BlobRef) -> Result<bool, StoreError> {
    let now = sql.now().await?;
    let mine = "DELETE FROM unwanted WHERE place = $1 AND taken = 0 AND due > $2";
    if sql.run(mine, values![key, now]).await? == 0 {
        return Ok(false);
    }
    let new = "INSERT INTO blobs (digest, size, at, place, damaged) VALUES ($1, $2, $3, $4, 0) ON CONFLICT DO NOTHING";
    if sql.run(new, values![blob.digest, blob.size, now, key]).await? > 0 {
        return Ok(true);
    }
    let find = sql.either(
        "SELECT place, size, damaged FROM blobs WHERE digest = $1",
        "SELECT place, size, damaged FROM blobs WHERE digest = $1 FOR UPDATE",
    );
    let row = sql.first(find, values![blob.digest]).await?;
    let other = row.as_ref().map(kept).transpose().map_err(Origin::unreadable)?;
    // One that was there and has gone at this very moment: the next try stores it.
    let Some(other) = other else { return unwant(sql, key, now).await.map(|()| false) };
    if !other.damaged {
        sql.run("UPDATE blobs SET at = $2, again = 1 WHERE digest = $1", values![blob.digest, now]).await?;
        return unwant(sql, key, now).await.map(|()| true);
    }
    let replace = "UPDATE blobs SET at = $2, place = $3, size = $4, damaged = 0, again = 1 WHERE digest = $1";
    sql.run(replace, values![blob.digest, now, key, blob.size]).await?;
    if let Some(damaged) = other.key {
        unwant(sql, &damaged, Timestamp(now.0.saturating_add(EVIDENCE))).await?;
    }
    Ok(true)
}

/// The object is to be removed from then on.
pub(crate) async fn unwant(sql: &mut Sql<'_>, key: &str, due: Timestamp) -> Result<(), StoreError> {
    let text = "INSERT INTO unwanted (place, due, taken) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING";
    sql.run(text, values![key, due]).await.map(drop)
}

/// What is under this key is not the content: it is never used again.
pub(crate) async fn condemn(sql: &mut Sql<'_>, digest: Digest, key: &str) -> Result<(), StoreError> {
    let text = "UPDATE blobs SET damaged = 1 WHERE digest = $1 AND place = $2";
    sql.run(text, values![digest, key]).await.map(drop)
}

/// Takes content away that nobody refers to, unless somebody has stored it after `stored` and may be about to refer to it, or several have
/// stored it and it is held for that long.
pub(crate) async fn remove(
    sql: &mut Sql<'_>,
    digest: Digest,
    stored: Timestamp,
    held: Duration,
) -> Result<Removal, StoreError> {
    let find = sql.either(
        "SELECT place, size, damaged, at, again FROM blobs WHERE digest = $1 AND at <= $2",
        "SELECT place, size, damaged, at, again FROM blobs WHERE digest = $1 AND at <= $2 FOR UPDATE",
    );
    let Some(row) = sql.first(find, values![digest, stored]).await? else { return Ok(Removal::Needless) };
    let there = kept(&row).map_err(Origin::unreadable)?;
    let again = || -> sqlx::Result<Option<Timestamp>> { Ok(row.is("again")?.then_some(row.time("at")?)) };
    let again = again().map_err(Origin::unreadable)?;
    let referred = "SELECT session FROM session_blobs WHERE digest = $1 LIMIT 1";
    if sql.first(referred, values![digest]).await?.is_some() {
        return Ok(Removal::Needless);
    }
    if let Some(at) = again
        && is_held(at, sql.now().await?, held)
    {
        return Ok(Removal::Later);
    }
    sql.run("DELETE FROM blobs WHERE digest = $1", values![digest]).await?;
    match there.key {
        Some(key) => unwant(sql, &key, Timestamp(0)).await?,
        None => {
            let parts = sql.either(None, Some("DELETE FROM blob_parts WHERE digest = $1"));
            if let Some(parts) = parts {
                sql.run(parts, values![digest]).await?;
            }
        }
    }
    Ok(Removal::Done)
}

/// Whether content that was last stored at `at`, and not for the first time, is still held.
pub(crate) fn is_held(at: Timestamp, now: Timestamp, held: Duration) -> bool {
    let held = u64::try_from(held.as_millis()).unwrap_or(u64::MAX);
    now.0 < at.0.saturating_add(held)
}

/// Content that nobody refers to and that was last stored before `stored`, in the order of its digests, after `after`.
pub(crate) async fn unreferred(
    readers: &Readers,
    stored: Timestamp,
    after: &[u8],
    most: u32,
) -> Result<Vec<Digest>, StoreError> {
    let rows = readers
        .all(
            "SELECT digest FROM blobs b WHERE digest > $1 AND at <= $2
                 AND NOT EXISTS (SELECT 1 FROM session_blobs s WHERE s.digest = b.digest)
             ORDER BY digest LIMIT $3",
            values![after, stored, most],
        )
        .await?;
    rows.iter().map(|row| row.digest("digest")).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
}

/// Which of these somebody refers to.
pub(crate) async fn referred(readers: &Readers, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
    let places: Vec<String> = (1..=digests.len()).map(|place| format!("${place}")).collect();
    let text = format!("SELECT DISTINCT digest FROM session_blobs WHERE digest IN ({})", places.join(", "));
    let values: Vec<_> = digests.iter().copied().map(Into::into).collect();
    let rows = readers.all(AssertSqlSafe(text), &values).await?;
    rows.iter().map(|row| row.digest("digest")).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
}

/// Keys of objects that are to be removed now; nobody else is given them for a while.
pub(crate) async fn due(sql: &mut Sql<'_>) -> Result<Vec<String>, StoreError> {
    let now = sql.now().await?;
    let find = sql.either(
        "SELECT place FROM unwanted WHERE due <= $1 ORDER BY due LIMIT $2",
        "SELECT place FROM unwanted WHERE due <= $1 ORDER BY due LIMIT $2 FOR UPDATE SKIP LOCKED",
    );
    let rows = sql.all(find, values![now, AT_ONCE]).await?;
    let keys: Vec<String> =
        rows.iter().map(|row| row.text("place")).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)?;
    let later = now.0.saturating_add(REMOVAL);
    for key in &keys {
        sql.run("UPDATE unwanted SET due = $2, taken = 1 WHERE place = $1", values![key, later]).await?;
    }
    Ok(keys)
}

/// The object is removed.
pub(crate) async fn gone(sql: &mut Sql<'_>, key: &str) -> Result<(), StoreError> {
    sql.run("DELETE FROM unwanted WHERE place = $1", values![key]).await.map(drop)
}

/// When the next object is to be removed.
pub(crate) async fn next_due(readers: &Readers) -> Result<Option<Timestamp>, StoreError> {
    let row = readers.first("SELECT MIN(due) AS due FROM unwanted", &[]).await?;
    row.map_or(Ok(None), |row| row.time_or_null("due")).map_err(Origin::unreadable)
}
