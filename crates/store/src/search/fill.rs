//! What the index holds: putting sessions into it, making blocks, and taking out what was forgotten.
//!
//! Whoever changes more than the tail has the organisation's lock until the end of the transaction: nobody makes two blocks of the same sessions,
//! and of two who take a place out of a row neither puts the other's back.

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_domain::{OrgId, SessionId};
use sqlx::AssertSqlSafe;

use super::{BLOCK, NAMED, any_of, listed, words};
use crate::{
    StoreError,
    log::line::Line,
    sql::{self, Database, Origin, Row, Sql, Value, values},
};

/// The tail is this long at least when a block is made of its oldest half. The other half stays: what is made at the same moment elsewhere may
/// be written a little later and still finds its place in the order.
pub(super) const TAIL: u32 = 2 * BLOCK;

/// Grams of which a place is taken out at once.
const REWRITTEN: usize = 32;

/// What to do when somebody else changes the organisation's blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Turn {
    /// Leave it to them.
    Theirs,
    /// Wait until they are done.
    Next,
}

/// Makes blocks until the tail is short: each in a transaction of its own, so that others can write in between.
pub(crate) async fn all(base: &impl Database, org: OrgId, turn: Turn) -> Result<(), StoreError> {
    while base.transact(sql::work(move |sql| Box::pin(block(sql, org, turn)))).await? {}
    Ok(())
}

/// Puts a new session into the tail.
pub(crate) const ADD: &str = "INSERT INTO search_tail (org, session) VALUES";

/// A session as it goes into a block.
struct Member {
    session: SessionId,
    grams: BTreeSet<i64>,
}

/// Makes a block of the oldest sessions in the tail, if that is long enough and it is our turn.
async fn block(sql: &mut Sql<'_>, org: OrgId, turn: Turn) -> Result<bool, StoreError> {
    match turn {
        Turn::Theirs if !is_alone(sql, org).await? => return Ok(false),
        Turn::Theirs => {}
        Turn::Next => lock(sql, org).await?,
    }
    let rows = sql
        .all(
            "SELECT t.session, s.title, s.repository FROM search_tail t JOIN sessions s ON s.id = t.session
             WHERE t.org = $1 ORDER BY t.session LIMIT $2",
            values![org, TAIL],
        )
        .await?;
    if rows.len() < TAIL as usize {
        return Ok(false);
    }
    let members: sqlx::Result<Vec<Member>> =
        rows.iter().take(BLOCK as usize).map(|row| member(org, row)).collect();
    let members = members.map_err(Origin::unreadable)?;
    let Some(number) = number(sql, org, &members).await? else { return Ok(false) };
    let spots: Vec<Value> = members
        .iter()
        .zip(number.saturating_mul(BLOCK.into())..)
        .flat_map(|(member, spot)| [Value::from(spot), member.session.into()])
        .collect();
    insert(sql, "INSERT INTO search_spots (spot, session) VALUES", 2, spots).await?;
    insert(sql, "INSERT INTO search_grams (gram, block, places) VALUES", 3, rows_of(number, &members))
        .await?;
    for some in members.chunks(NAMED) {
        let (list, mut named) = listed(some.iter().map(|member| member.session.into()), 1);
        named.insert(0, org.into());
        let text = format!("DELETE FROM search_tail WHERE org = $1 AND session IN {list}");
        sql.run(AssertSqlSafe(text), &named).await?;
    }
    Ok(true)
}

fn member(org: OrgId, row: &Row) -> sqlx::Result<Member> {
    let (title, repository) = (row.text("title")?, row.text("repository")?);
    Ok(Member { session: row.parsed("session")?, grams: words::grams(org, [&title, &repository]) })
}

/// The number of a new block for these sessions, which are in order.
async fn number(sql: &mut Sql<'_>, org: OrgId, members: &[Member]) -> Result<Option<i64>, StoreError> {
    let (Some(oldest), Some(newest)) = (members.first(), members.last()) else { return Ok(None) };
    let before = sql
        .first("SELECT upto FROM search_blocks WHERE org = $1 ORDER BY number DESC LIMIT 1", values![org])
        .await?
        .map(|row| row.parsed::<SessionId>("upto"))
        .transpose()
        .map_err(Origin::unreadable)?;
    let upto = before.map_or(newest.session, |before| before.max(newest.session));
    let row = sql
        .first(
            "INSERT INTO search_blocks (org, oldest, upto) VALUES ($1, $2, $3) RETURNING number",
            values![org, oldest.session, upto],
        )
        .await?;
    row.map(|row| row.int("number")).transpose().map_err(Origin::unreadable)
}

/// The block's grams with the places of those that have them, in the order of the table.
fn rows_of(number: i64, members: &[Member]) -> Vec<Value> {
    let mut places: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
    for (member, place) in members.iter().zip(0..=u8::MAX) {
        for gram in &member.grams {
            places.entry(*gram).or_default().push(place);
        }
    }
    places
        .into_iter()
        .flat_map(|(gram, places)| [Value::from(gram), Value::from(number), Value::from(places)])
        .collect()
}

/// Inserts rows of so many values: many by one statement, the rest one by one, so that there are two statements only.
async fn insert(sql: &mut Sql<'_>, into: &str, width: usize, values: Vec<Value>) -> Result<(), StoreError> {
    let statement = |rows: usize| {
        let rows: Vec<String> = (0..rows)
            .map(|row| {
                let places: Vec<String> =
                    (1..=width).map(|column| format!("${}", row * width + column)).collect();
                format!("({})", places.join(", "))
            })
            .collect();
        format!("{into} {}", rows.join(", "))
    };
    let (many, one) = (statement(NAMED), statement(1));
    let (whole, rest) = values.split_at(values.len() - values.len() % (NAMED * width));
    for some in whole.chunks(NAMED * width) {
        sql.run(AssertSqlSafe(many.clone()), some).await?;
    }
    for some in rest.chunks(width) {
        sql.run(AssertSqlSafe(one.clone()), some).await?;
    }
    Ok(())
}

/// Takes sessions out that are being forgotten, with what their texts were. Those of others in the same rows stay.
pub(crate) async fn remove(sql: &mut Sql<'_>, gone: &[Line]) -> Result<(), StoreError> {
    let orgs: BTreeSet<OrgId> = gone.iter().map(|line| line.owner.org).collect();
    for org in orgs {
        lock(sql, org).await?;
    }
    for line in gone {
        let (org, session) = (line.owner.org, line.id);
        sql.run("DELETE FROM search_tail WHERE org = $1 AND session = $2", values![org, session]).await?;
        let find = "SELECT spot FROM search_spots WHERE session = $1";
        let spot = sql.first(find, values![session]).await?;
        let spot = spot.map(|row| row.int("spot")).transpose().map_err(Origin::unreadable)?;
        let Some(spot) = spot else { continue };
        sql.run("DELETE FROM search_spots WHERE spot = $1", values![spot]).await?;
        let block = spot / i64::from(BLOCK);
        let place = u8::try_from(spot % i64::from(BLOCK)).unwrap_or_default();
        let grams: Vec<i64> =
            words::grams(org, [&line.summary.title, &line.summary.repository]).into_iter().collect();
        for some in grams.chunks(REWRITTEN) {
            empty_place(sql, block, place, some).await?;
        }
        // The last one that leaves takes the block with it.
        sql.run(
            "DELETE FROM search_blocks WHERE number = $1
                 AND NOT EXISTS (SELECT 1 FROM search_spots WHERE spot >= $2 AND spot < $3)",
            values![block, block * i64::from(BLOCK), (block + 1) * i64::from(BLOCK)],
        )
        .await?;
    }
    Ok(())
}

/// Takes a place out of the rows of some grams of a block.
async fn empty_place(sql: &mut Sql<'_>, block: i64, place: u8, grams: &[i64]) -> Result<(), StoreError> {
    let (list, mut named) = any_of(grams.iter().map(|gram| Value::from(*gram)), 1, REWRITTEN);
    named.insert(0, block.into());
    let find = format!("SELECT gram, places FROM search_grams WHERE block = $1 AND gram IN {list}");
    for row in sql.all(AssertSqlSafe(find), &named).await? {
        let read = || -> sqlx::Result<(i64, Vec<u8>)> { Ok((row.int("gram")?, row.bytes("places")?)) };
        let (gram, mut places) = read().map_err(Origin::unreadable)?;
        places.retain(|other| *other != place);
        if places.is_empty() {
            let text = "DELETE FROM search_grams WHERE gram = $1 AND block = $2";
            sql.run(text, values![gram, block]).await?;
        } else {
            let text = "UPDATE search_grams SET places = $3 WHERE gram = $1 AND block = $2";
            sql.run(text, values![gram, block, places]).await?;
        }
    }
    Ok(())
}

/// Waits until nobody else changes the organisation's blocks.
async fn lock(sql: &mut Sql<'_>, org: OrgId) -> Result<(), StoreError> {
    let lock = sql
        .either("SELECT $1 AS locked", "SELECT 1 AS locked FROM (SELECT pg_advisory_xact_lock($1)) AS lock");
    sql.first(lock, values![words::number_of(org)]).await?;
    Ok(())
}

/// Whether nobody else changes the organisation's blocks now. SQLite has one writer at a time.
async fn is_alone(sql: &mut Sql<'_>, org: OrgId) -> Result<bool, StoreError> {
    let lock = sql.either(
        "SELECT CASE WHEN $1 IS NULL THEN 0 ELSE 1 END AS alone",
        "SELECT CASE WHEN pg_try_advisory_xact_lock($1) THEN CAST(1 AS BIGINT) ELSE 0 END AS alone",
    );
    let row = sql.first(lock, values![words::number_of(org)]).await?;
    row.map_or(Ok(false), |row| row.is("alone")).map_err(Origin::unreadable)
}
