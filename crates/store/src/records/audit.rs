//! What must be accounted for: one hash chain for each organisation, as strict as a session's log.

use cofferdam_domain::{AuditId, Digest, OrgId, Seq};

use crate::{
    AuditEntry, ExportedEntry, StoreError, Verified,
    sql::{Origin, Readers, Row, Sql, Value, values},
};

/// How many entries are read at once.
const PAGE: u32 = 256;

/// The most entries that are listed at once.
const MAX_LIMIT: u32 = 1000;

/// An entry in its place.
struct Link {
    seq: Seq,
    entry: AuditEntry,
    previous: Digest,
    hash: Digest,
}

/// Where a chain ends.
#[derive(Clone, Copy)]
pub(crate) struct End {
    pub(crate) seq: Seq,
    id: AuditId,
    pub(crate) hash: Digest,
}

impl End {
    /// Of a chain without entries.
    pub(crate) const START: Self = Self { seq: Seq::START, id: AuditId::from_u128(0), hash: Digest::ZERO };

    /// The end of the chain with one more entry, if that fits there.
    pub(crate) fn follow(&mut self, org: OrgId, entry: ExportedEntry) -> Result<(), StoreError> {
        let ExportedEntry { seq, id, at, by, action, subject, detail, previous, hash } = entry;
        let link = Link { seq, entry: AuditEntry { id, at, by, action, subject, detail }, previous, hash };
        check(org, &link, *self)?;
        *self = end(&link);
        Ok(())
    }
}

/// The hash of an entry: SHA-256 over its organisation, place, time, the hash before it, and its texts, each after its length.
fn hash(org: OrgId, seq: Seq, entry: &AuditEntry, previous: Digest) -> Digest {
    let AuditEntry { id, at, by, action, subject, detail } = entry;
    let mut bytes = Vec::with_capacity(256 + detail.len());
    bytes.extend_from_slice(b"cofferdam audit\0");
    bytes.extend_from_slice(&org.as_u128().to_be_bytes());
    bytes.extend_from_slice(&seq.0.to_be_bytes());
    bytes.extend_from_slice(&id.as_u128().to_be_bytes());
    bytes.extend_from_slice(&at.0.to_be_bytes());
    bytes.extend_from_slice(previous.as_bytes());
    for text in [by, action, subject, detail] {
        bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    Digest::of(&bytes)
}

/// Puts an entry at the end of the chain. Its time and id are raised if the chain's last entry has later ones.
pub(crate) async fn append(sql: &mut Sql<'_>, org: OrgId, mut entry: AuditEntry) -> Result<(), StoreError> {
    // One at a time; and nobody else is to wait for the organisation's row.
    if let Some(alone) =
        sql.either(None, Some("SELECT pg_advisory_xact_lock(hashtextextended($1, 7018416201902))"))
    {
        sql.run(alone, values![org]).await?;
    }
    for text in [&mut entry.by, &mut entry.action, &mut entry.subject, &mut entry.detail] {
        text.retain(|character| character != '\0');
    }
    let text = "SELECT * FROM audit WHERE org = $1 ORDER BY seq DESC LIMIT 1";
    let last = sql.first(text, values![org]).await?.as_ref().map(link).transpose()?;
    let end = last.map_or(End::START, |last| {
        entry.at = entry.at.max(last.entry.at);
        End { seq: last.seq, id: last.entry.id, hash: last.hash }
    });
    entry.id = entry.id.max(AuditId::from_u128(end.id.as_u128().saturating_add(1)));
    let seq = end.seq.next();
    let hash = hash(org, seq, &entry, end.hash);
    let AuditEntry { id, at, by, action, subject, detail } = entry;
    sql.run(
        "INSERT INTO audit (org, seq, id, at, who, action, subject, detail, previous, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        values![org, seq, id, at, by, action, subject, detail, end.hash, hash],
    )
    .await
    .map(drop)
}

/// Entries before `before`, newest first.
pub(crate) async fn list(
    readers: &Readers,
    org: OrgId,
    before: Option<AuditId>,
    limit: u32,
) -> Result<Vec<AuditEntry>, StoreError> {
    let limit = limit.clamp(1, MAX_LIMIT);
    // One more, which the last one continues from.
    let mut values: Vec<Value> = vec![org.into(), (limit + 1).into()];
    let text = if let Some(before) = before {
        values.push(before.into());
        "SELECT * FROM audit WHERE org = $1 AND id < $3 ORDER BY id DESC LIMIT $2"
    } else {
        "SELECT * FROM audit WHERE org = $1 ORDER BY id DESC LIMIT $2"
    };
    let links = readers.all(text, &values).await?;
    let links = links.iter().map(link).collect::<Result<Vec<_>, _>>()?;
    let mut entries = Vec::with_capacity(links.len());
    for (place, link) in links.iter().enumerate().take(limit as usize) {
        let before = links.get(place + 1).map_or(End::START, end);
        check(org, link, before)?;
        entries.push(link.entry.clone());
    }
    Ok(entries)
}

/// Checks the whole chain.
pub(crate) async fn verify(readers: &Readers, org: OrgId) -> Result<Verified, StoreError> {
    let mut before = End::START;
    loop {
        let text = "SELECT * FROM audit WHERE org = $1 AND seq > $2 ORDER BY seq LIMIT $3";
        let rows = readers.all(text, values![org, before.seq, PAGE]).await?;
        if rows.is_empty() {
            return Ok(Verified { events: before.seq.0, blobs: 0, head: before.hash });
        }
        for row in &rows {
            let link = link(row)?;
            check(org, &link, before)?;
            before = end(&link);
        }
    }
}

/// Entries after `after` as they are kept, each checked against the one before it.
pub(crate) async fn exported(
    readers: &Readers,
    org: OrgId,
    after: Seq,
    limit: u32,
) -> Result<Vec<ExportedEntry>, StoreError> {
    let limit = limit.clamp(1, MAX_LIMIT);
    // With the one that the first continues from.
    let text = "SELECT * FROM audit WHERE org = $1 AND seq >= $2 ORDER BY seq LIMIT $3";
    let mut entries = Vec::new();
    let mut before = End::START;
    for row in readers.all(text, values![org, after, limit + 1]).await? {
        let link = link(&row)?;
        if link.seq == after {
            before = end(&link);
            continue;
        }
        check(org, &link, before)?;
        before = end(&link);
        let Link { seq, entry, previous, hash } = link;
        let AuditEntry { id, at, by, action, subject, detail } = entry;
        entries.push(ExportedEntry { seq, id, at, by, action, subject, detail, previous, hash });
    }
    entries.truncate(limit as usize);
    Ok(entries)
}

/// The hash of the entry at this place.
pub(crate) async fn head(readers: &Readers, org: OrgId, seq: Seq) -> Result<Option<Digest>, StoreError> {
    if seq == Seq::START {
        return Ok(Some(Digest::ZERO));
    }
    let row = readers.first("SELECT hash FROM audit WHERE org = $1 AND seq = $2", values![org, seq]).await?;
    row.map(|row| row.digest("hash")).transpose().map_err(Origin::unreadable)
}

fn check(org: OrgId, link: &Link, before: End) -> Result<(), StoreError> {
    let fits = link.seq == before.seq.next()
        && link.previous == before.hash
        && link.entry.id > before.id
        && link.hash == hash(org, link.seq, &link.entry, link.previous);
    if fits {
        Ok(())
    } else {
        let what = format!("audit entry {} of {org} does not fit the entries before it", link.seq.0);
        Err(StoreError::Corrupt { what })
    }
}

const fn end(link: &Link) -> End {
    End { seq: link.seq, id: link.entry.id, hash: link.hash }
}

fn link(row: &Row) -> Result<Link, StoreError> {
    let read = || -> sqlx::Result<Link> {
        Ok(Link {
            seq: row.seq("seq")?,
            entry: AuditEntry {
                id: row.parsed("id")?,
                at: row.time("at")?,
                by: row.text("who")?,
                action: row.text("action")?,
                subject: row.text("subject")?,
                detail: row.text("detail")?,
            },
            previous: row.digest("previous")?,
            hash: row.digest("hash")?,
        })
    };
    read().map_err(Origin::unreadable)
}
