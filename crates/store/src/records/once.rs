//! Requests that are carried out once, however often they are sent.

use cofferdam_domain::{Digest, OrgId, Timestamp};

use crate::{
    Repeat, StoreError,
    sql::{Origin, Row, Sql, values},
};

/// How long a key is kept, in milliseconds.
const KEPT: u64 = 24 * 60 * 60 * 1000;

/// After this time without an answer, in milliseconds, whoever had the key is gone.
const UNDER_WAY: u64 = 2 * 60 * 1000;

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

pub(crate) async fn abandon(sql: &mut Sql<'_>, org: OrgId, key: &str) -> Result<(), StoreError> {
    let text = "DELETE FROM once WHERE org = $1 AND name = $2 AND status IS NULL";
    sql.run(text, values![org, key]).await.map(drop)
}
