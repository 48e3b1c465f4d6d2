//! Requests that are carried out once, however often they are sent.

use cofferdam_domain::{Digest, OrgId, SessionId, Timestamp};

use crate::{
    Repeat, StoreError,
    sql::{Origin, Row, Sql, values},
};

/// How long a key is kept, in milliseconds.
const KEPT: u64 = 24 * 60 * 60 * 1000;

/// After this time without an answer, in milliseconds, whoever had the key is taken to be gone. Whoever only was slow makes the same session
/// as the next, which has its id.
const UNDER_WAY: u64 = 20 * 1000;

/// What is answered instead of what was deleted (RFC 9457).
const GONE: &str =
    r#"{"type":"about:blank","title":"Gone","status":410,"detail":"what this request made was deleted"}"#;

pub(crate) async fn begin(
    sql: &mut Sql<'_>,
    org: OrgId,
    key: &str,
    request: Digest,
    at: Timestamp,
) -> Result<Repeat, StoreError> {
    sql.run("DELETE FROM once WHERE first <= $1", values![at.0.saturating_sub(KEPT)]).await?;
    let made = sql
        .run(
            "INSERT INTO once (org, name, request, first, begun, status, answer)
             VALUES ($1, $2, $3, $4, $4, NULL, NULL) ON CONFLICT DO NOTHING",
            values![org, key, request, at],
        )
        .await?;
    if made > 0 {
        return Ok(Repeat::First(at));
    }
    let find = sql.either(
        "SELECT * FROM once WHERE org = $1 AND name = $2",
        "SELECT * FROM once WHERE org = $1 AND name = $2 FOR UPDATE",
    );
    let row = sql.first(find, values![org, key]).await?;
    // Given back by another at this very moment: the next try has it.
    let Some(row) = row else { return Ok(Repeat::UnderWay) };
    let known = known(&row).map_err(Origin::unreadable)?;
    if known.request != request {
        return Ok(Repeat::Different);
    }
    if let Some((status, answer)) = known.answer {
        return Ok(Repeat::Same(status, answer));
    }
    if at.millis_since(known.begun) <= UNDER_WAY {
        return Ok(Repeat::UnderWay);
    }
    let again = "UPDATE once SET begun = $3 WHERE org = $1 AND name = $2";
    sql.run(again, values![org, key, at]).await?;
    Ok(Repeat::First(known.first))
}

struct Known {
    request: Digest,
    first: Timestamp,
    begun: Timestamp,
    answer: Option<(u16, Vec<u8>)>,
}

fn known(row: &Row) -> sqlx::Result<Known> {
    let status = row.int_or_null("status")?.and_then(|status| u16::try_from(status).ok());
    Ok(Known {
        request: row.digest("request")?,
        first: row.time("first")?,
        begun: row.time("begun")?,
        answer: status.zip(row.bytes_or_null("answer")?),
    })
}

pub(crate) async fn end(
    sql: &mut Sql<'_>,
    org: OrgId,
    key: &str,
    status: u16,
    body: &[u8],
) -> Result<(), StoreError> {
    sql.run(
        "UPDATE once SET status = $3, answer = $4 WHERE org = $1 AND name = $2",
        values![org, key, u32::from(status), body],
    )
    .await
    .map(drop)
}

/// Empties answers about a session that was deleted. Their keys stay taken for as long as they would have: the same request again is told that
/// what it made is gone (410), and makes nothing.
pub(crate) async fn forget(sql: &mut Sql<'_>, org: OrgId, session: SessionId) -> Result<(), StoreError> {
    let text = sql.either(
        "UPDATE once SET status = 410, answer = $3 WHERE org = $1 AND instr(answer, CAST($2 AS BLOB)) > 0",
        "UPDATE once SET status = 410, answer = $3 WHERE org = $1 AND position(convert_to($2, 'UTF8') IN answer) > 0",
    );
    sql.run(text, values![org, session, GONE.as_bytes()]).await.map(drop)
}

pub(crate) async fn abandon(sql: &mut Sql<'_>, org: OrgId, key: &str) -> Result<(), StoreError> {
    let text = "DELETE FROM once WHERE org = $1 AND name = $2 AND status IS NULL";
    sql.run(text, values![org, key]).await.map(drop)
}
