//! Arrivals: kept once, taken one after another within their line, dealt with or given up; and which session goes on with what.
//!
//! Whoever adds to a line, takes from it or deals with what was taken has the line's row before anything else. So the numbers of a line's arrivals
//! rise in the order in which they were committed, no earlier one turns up late, and a line that somebody deals with is passed over by others.

use async_trait::async_trait;
use cofferdam_domain::{AuditId, OrgId, SessionId, Timestamp};
use futures_util::stream::BoxStream;
use sqlx::AssertSqlSafe;

use super::{
    audit,
    stirred::{Due, Hearing, stirred},
    watched,
};
use crate::{
    Arrival, Arrived, AuditEntry, Dealt, Intake, StoreError, TakenArrival,
    log::{line::DAY, rings::Matter},
    sql::{self, Database, News, Origin, Row, Sql, Value, any_of, values},
};

/// How long what was sent is kept after it was dealt with: seven days, for whoever looks what became of it.
const BODIES_KEPT: u64 = 7 * DAY;
/// How long ids are kept after that: thirty days. Forges send again what is a few days old at most.
const IDS_KEPT: u64 = 30 * DAY;
/// What is dropped in one transaction.
const AT_ONCE: u32 = 500;
/// The longest account of what became of one, in characters.
const LONGEST_ACCOUNT: usize = 500;
/// The most arrivals that are listed at once.
const MOST: u32 = 200;
/// All but the body, which may be large.
const WITHOUT_BODY: &str = "number, source, id, event, line, org, at, tries, done, given_up, session, what";

#[async_trait]
impl<B: Hearing> Intake for B {
    async fn arrive(&self, arrival: Arrival) -> Result<bool, StoreError> {
        self.base().transact(sql::work(move |sql| Box::pin(arrive(sql, arrival)))).await
    }

    async fn take_arrival(
        &self,
        holder: &str,
        sources: &[String],
        lease_ms: u64,
    ) -> Result<Option<TakenArrival>, StoreError> {
        let (holder, sources) = (holder.to_owned(), sources.to_vec());
        let take = sql::work(move |sql| Box::pin(async move { take(sql, holder, &sources, lease_ms).await }));
        self.base().transact(take).await
    }

    async fn hold_arrival(&self, taken: &TakenArrival, lease_ms: u64) -> Result<bool, StoreError> {
        let taken = without_body(taken);
        let hold = sql::work(move |sql| Box::pin(async move { hold(sql, &taken, lease_ms).await }));
        self.base().transact(hold).await
    }

    async fn dealt(&self, taken: &TakenArrival, dealt: Dealt) -> Result<(), StoreError> {
        let taken = without_body(taken);
        let note = sql::work(move |sql| Box::pin(async move { note(sql, &taken, dealt).await }));
        self.base().transact(note).await
    }

    async fn arrivals(&self, sources: &[String]) -> Result<BoxStream<'static, ()>, StoreError> {
        let (any, values) = any_of(sources, 0);
        let due = Due { text: format!("SELECT MIN(due) FROM arrival_lines WHERE source IN {any}"), values };
        Ok(stirred(self.base().readers().clone(), self.listen(Matter::Arrivals)?, due))
    }

    async fn seen(&self, source: &str, id: &str) -> Result<Option<Timestamp>, StoreError> {
        let text = "SELECT at FROM arrivals WHERE source = $1 AND id = $2";
        let row = self.base().readers().first(text, values![source, id]).await?;
        row.map(|row| row.time("at")).transpose().map_err(Origin::unreadable)
    }

    async fn arrived(&self, org: OrgId, before: Option<u64>, limit: u32) -> Result<Vec<Arrived>, StoreError> {
        let mut values: Vec<Value> = vec![org.into(), limit.clamp(1, MOST).into()];
        let mut text = format!("SELECT {WITHOUT_BODY} FROM arrivals WHERE org = $1");
        if let Some(before) = before {
            values.push(before.into());
            text.push_str(" AND number < $3");
        }
        text.push_str(" ORDER BY number DESC LIMIT $2");
        let rows = self.base().readers().all(AssertSqlSafe(text), &values).await?;
        rows.iter().map(|row| arrived(row).map_err(Origin::unreadable)).collect()
    }

    async fn session_of(&self, thread: &str) -> Result<Option<SessionId>, StoreError> {
        let row = self.base().readers().first(SESSION_OF, values![thread]).await?;
        row.map(|row| row.parsed("session")).transpose().map_err(Origin::unreadable)
    }

    async fn bind(
        &self,
        thread: &str,
        session: SessionId,
        instead_of: Option<SessionId>,
    ) -> Result<SessionId, StoreError> {
        let thread = thread.to_owned();
        let bind =
            sql::work(move |sql| Box::pin(async move { bind(sql, &thread, session, instead_of).await }));
        self.base().transact(bind).await
    }

    async fn watched(&self, source: &str) -> Result<Vec<(String, Timestamp)>, StoreError> {
        watched::list(self.base().readers(), source).await
    }

    async fn note_watched(&self, source: &str, line: &str, at: Timestamp) -> Result<(), StoreError> {
        let (source, line) = (source.to_owned(), line.to_owned());
        let note =
            sql::work(move |sql| Box::pin(async move { watched::note(sql, &source, &line, at).await }));
        self.base().transact(note).await
    }
}

const SESSION_OF: &str = "SELECT session FROM threads WHERE thread = $1";

async fn arrive(sql: &mut Sql<'_>, arrival: Arrival) -> Result<bool, StoreError> {
    let Arrival { source, id, event, line, org, at, body } = arrival;
    let queue = format!(
        "INSERT INTO arrival_lines (source, line, waiting, due) VALUES ($1, $2, 1, {})
         ON CONFLICT (source, line) DO UPDATE SET waiting = arrival_lines.waiting + 1 RETURNING waiting",
        sql.clock()
    );
    let row = sql.first(AssertSqlSafe(queue), values![&source, &line]).await?;
    let waiting = row.map_or(Ok(0), |row| row.int("waiting")).map_err(Origin::unreadable)?;
    let kept = sql
        .run(
            "INSERT INTO arrivals (source, id, event, line, org, at, tries, holder, done, given_up, session, what, body)
             VALUES ($1, $2, $3, $4, $5, $6, 0, NULL, 0, 0, NULL, NULL, $7) ON CONFLICT (source, id) DO NOTHING",
            values![&source, id, event, &line, org, at, body],
        )
        .await?;
    if kept == 0 {
        leave(sql, &source, &line).await?;
        return Ok(false);
    }
    // Behind another one it cannot be taken yet.
    if waiting == 1 {
        sql.tell(News::Matter(Matter::Arrivals));
    }
    Ok(true)
}

/// There is one less in a line.
async fn leave(sql: &mut Sql<'_>, source: &str, line: &str) -> Result<(), StoreError> {
    let text = "UPDATE arrival_lines SET waiting = waiting - 1 WHERE source = $1 AND line = $2";
    sql.run(text, values![source, line]).await?;
    let text = "DELETE FROM arrival_lines WHERE source = $1 AND line = $2 AND waiting <= 0";
    sql.run(text, values![source, line]).await.map(drop)
}

async fn take(
    sql: &mut Sql<'_>,
    holder: String,
    sources: &[String],
    lease_ms: u64,
) -> Result<Option<TakenArrival>, StoreError> {
    let now = sql.now().await?;
    let (any, names) = any_of(sources, 1);
    let text = format!(
        "SELECT source, line FROM arrival_lines WHERE due <= $1 AND source IN {any} ORDER BY due LIMIT 1{}",
        sql.either("", " FOR UPDATE SKIP LOCKED")
    );
    let values: Vec<Value> = std::iter::once(now.into()).chain(names).collect();
    let Some(row) = sql.first(AssertSqlSafe(text), &values).await? else { return Ok(None) };
    let read = || -> sqlx::Result<_> { Ok((row.text("source")?, row.text("line")?)) };
    let (source, line) = read().map_err(Origin::unreadable)?;
    let text = "SELECT * FROM arrivals WHERE source = $1 AND line = $2 AND done = 0 ORDER BY number LIMIT 1";
    let Some(row) = sql.first(text, values![&source, &line]).await? else {
        return Err(StoreError::Corrupt { what: format!("nothing is in the line {line:?} of {source:?}") });
    };
    let read = || -> sqlx::Result<_> { Ok((arrived(&row)?, row.bytes("body")?)) };
    let (Arrived { number, arrival, tries, .. }, body) = read().map_err(Origin::unreadable)?;
    let tries = tries.saturating_add(1);
    let until = Timestamp(now.0.saturating_add(lease_ms.max(1)));
    put_off(sql, &source, &line, until).await?;
    let text = "UPDATE arrivals SET holder = $2, tries = $3 WHERE number = $1";
    sql.run(text, values![number, holder.as_str(), tries]).await?;
    Ok(Some(TakenArrival { arrival: Arrival { body, ..arrival }, tries, holder }))
}

/// Bodies may be large, and nobody needs one twice.
fn without_body(taken: &TakenArrival) -> TakenArrival {
    let Arrival { source, id, event, line, org, at, body: _ } = &taken.arrival;
    let (source, id, event, line) = (source.clone(), id.clone(), event.clone(), line.clone());
    let arrival = Arrival { source, id, event, line, org: *org, at: *at, body: Vec::new() };
    TakenArrival { arrival, tries: taken.tries, holder: taken.holder.clone() }
}

/// Has the row of an arrival's line; `false` when there is no such line any more.
async fn has_line(sql: &mut Sql<'_>, source: &str, line: &str) -> Result<bool, StoreError> {
    let find = sql.either(
        "SELECT due FROM arrival_lines WHERE source = $1 AND line = $2",
        "SELECT due FROM arrival_lines WHERE source = $1 AND line = $2 FOR UPDATE",
    );
    Ok(sql.first(find, values![source, line]).await?.is_some())
}

async fn hold(sql: &mut Sql<'_>, taken: &TakenArrival, lease_ms: u64) -> Result<bool, StoreError> {
    let TakenArrival { arrival: Arrival { source, id, line, .. }, tries, holder } = taken;
    if !has_line(sql, source, line).await? {
        return Ok(false);
    }
    let text = "SELECT number FROM arrivals WHERE source = $1 AND id = $2 AND holder = $3 AND tries = $4 AND done = 0";
    if sql.first(text, values![source, id, holder, *tries]).await?.is_none() {
        return Ok(false);
    }
    let now = sql.now().await?;
    put_off(sql, source, line, Timestamp(now.0.saturating_add(lease_ms.max(1)))).await?;
    Ok(true)
}

/// Nobody takes the first of the line before then.
async fn put_off(sql: &mut Sql<'_>, source: &str, line: &str, until: Timestamp) -> Result<(), StoreError> {
    let text = "UPDATE arrival_lines SET due = $3 WHERE source = $1 AND line = $2";
    sql.run(text, values![source, line, until]).await.map(drop)
}

async fn note(sql: &mut Sql<'_>, taken: &TakenArrival, dealt: Dealt) -> Result<(), StoreError> {
    let TakenArrival { arrival: Arrival { source, id, line, .. }, tries, holder } = taken;
    if !has_line(sql, source, line).await? {
        return Ok(());
    }
    let now = sql.now().await?;
    let short = |account: String| account.chars().take(LONGEST_ACCOUNT).collect::<String>();
    let (again, session, what, given_up) = match dealt {
        Dealt::Done { session, what } => (None, session, short(what), false),
        Dealt::Again { at, reason } => (Some(at), None, short(reason), false),
        Dealt::GivenUp { reason } => (None, None, short(reason), true),
    };
    let done = if again.is_some() { Timestamp(0) } else { now };
    let changed = sql
        .run(
            "UPDATE arrivals SET holder = NULL, done = $5, given_up = $6, session = $7, what = $8
             WHERE source = $1 AND id = $2 AND holder = $3 AND tries = $4 AND done = 0",
            values![source, id, holder, *tries, done, given_up, session, what.as_str()],
        )
        .await?;
    if changed == 0 {
        return Ok(());
    }
    match again {
        Some(at) => put_off(sql, source, line, at).await?,
        None => go_on(sql, source, line).await?,
    }
    if given_up {
        audit::append(sql, taken.arrival.org, given_up_entry(taken, &what, now)).await?;
    }
    // When the line is due again may be earlier than whoever listens knows.
    sql.tell(News::Matter(Matter::Arrivals));
    Ok(())
}

/// The first of the line was dealt with: the next one has been due since it arrived.
async fn go_on(sql: &mut Sql<'_>, source: &str, line: &str) -> Result<(), StoreError> {
    leave(sql, source, line).await?;
    let text = format!(
        "UPDATE arrival_lines SET due = {}({}, (SELECT at FROM arrivals WHERE source = $1 AND line = $2 AND done = 0
             ORDER BY number LIMIT 1)) WHERE source = $1 AND line = $2",
        sql.either("min", "LEAST"),
        sql.clock()
    );
    sql.run(AssertSqlSafe(text), values![source, line]).await.map(drop)
}

fn given_up_entry(taken: &TakenArrival, reason: &str, at: Timestamp) -> AuditEntry {
    let TakenArrival { arrival: Arrival { source, id, event, line, .. }, tries, .. } = taken;
    let detail =
        serde_json::json!({ "id": id, "event": event, "line": line, "tries": tries, "reason": reason });
    AuditEntry {
        id: AuditId::generate(),
        at,
        by: "cofferdam".to_owned(),
        action: "delivery.given_up".to_owned(),
        subject: source.clone(),
        detail: detail.to_string(),
    }
}

async fn bind(
    sql: &mut Sql<'_>,
    thread: &str,
    session: SessionId,
    instead_of: Option<SessionId>,
) -> Result<SessionId, StoreError> {
    sql.run(
        "INSERT INTO threads (thread, session) VALUES ($1, $2)
         ON CONFLICT (thread) DO UPDATE SET session = excluded.session WHERE threads.session = $3",
        values![thread, session, instead_of],
    )
    .await?;
    let row = sql.first(SESSION_OF, values![thread]).await?;
    // Forgotten at this very moment: then it is nobody else's.
    row.map_or(Ok(session), |row| row.parsed("session")).map_err(Origin::unreadable)
}

/// A session was deleted: what was sent for it goes too, and its threads are nobody's.
pub(crate) async fn forget(sql: &mut Sql<'_>, session: SessionId) -> Result<(), StoreError> {
    sql.run("UPDATE arrivals SET body = NULL, what = NULL WHERE session = $1", values![session]).await?;
    sql.run("DELETE FROM threads WHERE session = $1", values![session]).await.map(drop)
}

/// Drops what was dealt with long enough before `now`. Returns when there is something to drop next.
pub(crate) async fn expire(base: &impl Database, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    for (kept, text) in [
        (
            BODIES_KEPT,
            "UPDATE arrivals SET body = NULL WHERE number IN (SELECT number FROM arrivals
                 WHERE done > 0 AND body IS NOT NULL AND done <= $1 ORDER BY done LIMIT $2)",
        ),
        (
            IDS_KEPT,
            "DELETE FROM arrivals WHERE number IN
                 (SELECT number FROM arrivals WHERE done > 0 AND done <= $1 ORDER BY done LIMIT $2)",
        ),
    ] {
        // Nothing is so old on a clock that has just begun.
        let Some(old) = now.0.checked_sub(kept) else { continue };
        let drop =
            move || sql::work(move |sql| Box::pin(async move { sql.run(text, values![old, AT_ONCE]).await }));
        while base.transact(drop()).await? >= u64::from(AT_ONCE) {}
    }
    let text = "SELECT (SELECT MIN(done) FROM arrivals WHERE done > 0 AND body IS NOT NULL) AS bodies,
                    (SELECT MIN(done) FROM arrivals WHERE done > 0) AS ids";
    let Some(row) = base.readers().first(text, &[]).await? else { return Ok(None) };
    let due = |column: &str, kept: u64| -> sqlx::Result<_> {
        Ok(row.time_or_null(column)?.map(|done| Timestamp(done.0.saturating_add(kept))))
    };
    let read = || -> sqlx::Result<_> { Ok([due("bodies", BODIES_KEPT)?, due("ids", IDS_KEPT)?]) };
    Ok(read().map_err(Origin::unreadable)?.into_iter().flatten().min())
}

/// Without its body.
fn arrived(row: &Row) -> sqlx::Result<Arrived> {
    let arrival = Arrival {
        source: row.text("source")?,
        id: row.text("id")?,
        event: row.text("event")?,
        line: row.text("line")?,
        org: row.parsed("org")?,
        at: row.time("at")?,
        body: Vec::new(),
    };
    Ok(Arrived {
        number: row.count("number")?,
        arrival,
        tries: u32::try_from(row.int("tries")?).unwrap_or(u32::MAX),
        done: Some(row.time("done")?).filter(|done| done.0 > 0),
        given_up: row.is("given_up")?,
        session: row.parsed_or_null("session")?,
        what: row.text_or_null("what")?,
    })
}
