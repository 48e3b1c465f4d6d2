//! What organisations have noted, and what their sessions propose, on either database.

use async_trait::async_trait;
use cofferdam_domain::{
    Digest, Memory, MemoryId, MemorySource, OrgId, SessionId,
    memory::{MOST_KEPT, MOST_OF_SESSION, MOST_WAITING, MOST_WAITING_OF_PROJECT},
};
use sqlx::AssertSqlSafe;

use crate::{
    Notebook, Noted, Proposed, StoreError,
    log::line::Proposal,
    sql::{self, Backend, Database as _, Origin, Row, Sql, Value, any_of, invalid, values},
};

/// What stands in the place of a repository where all are meant.
const ALL: &str = "";

/// Keeps what a session proposes, unless it, its project or its organisation has proposed as much as may wait.
pub(crate) async fn propose(sql: &mut Sql<'_>, proposals: &[Proposal]) -> Result<(), StoreError> {
    for Proposal { seq, org, proposed } in proposals {
        let Proposed { id, session, project, repository, text, at, private } = proposed;
        let waiting = sql
            .first(
                "SELECT (SELECT COUNT(*) FROM proposals WHERE org = $1) AS all_waiting,
                        (SELECT COUNT(*) FROM proposals WHERE org = $1 AND project = $3) AS of_project,
                        (SELECT COUNT(*) FROM proposals WHERE session = $2) AS own",
                values![*org, *session, *project],
            )
            .await?;
        let is_full = |(column, most): (&str, usize)| {
            waiting.as_ref().map_or(Ok(false), |row| row.count(column).map(|count| count >= most as u64))
        };
        let most = [
            ("all_waiting", MOST_WAITING),
            ("of_project", MOST_WAITING_OF_PROJECT),
            ("own", MOST_OF_SESSION),
        ];
        let full: Vec<bool> =
            most.into_iter().map(is_full).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)?;
        if full.contains(&true) {
            continue;
        }
        sql.run(
            "INSERT INTO proposals (session, seq, org, project, id, repository, words, at, private)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
            values![
                *session,
                *seq,
                *org,
                *project,
                *id,
                repository.as_deref().unwrap_or(ALL),
                text.as_bytes(),
                *at,
                *private
            ],
        )
        .await?;
    }
    Ok(())
}

/// A session was deleted: what it proposed and nobody decided about goes too.
pub(crate) async fn forget(sql: &mut Sql<'_>, session: SessionId) -> Result<(), StoreError> {
    sql.run("DELETE FROM proposals WHERE session = $1", values![session]).await.map(drop)
}

#[async_trait]
impl<B: Backend> Notebook for B {
    async fn memories(&self, org: OrgId) -> Result<Vec<Memory>, StoreError> {
        let text = "SELECT * FROM memories WHERE org = $1 ORDER BY at DESC, id DESC";
        let rows = self.base().readers().all(text, values![org]).await?;
        rows.iter().map(memory).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
    }

    async fn memories_about(
        &self,
        org: OrgId,
        places: &[String],
        most: u32,
    ) -> Result<(Vec<Memory>, u32), StoreError> {
        let (any, about) = any_of(places.iter().map(String::as_str).chain([ALL]), 2);
        let mut values: Vec<Value> = vec![org.into(), most.into()];
        values.extend(about);
        let text = format!(
            "SELECT *, COUNT(*) OVER () AS found FROM memories WHERE org = $1 AND repository IN {any}
             ORDER BY at DESC, id DESC LIMIT $2"
        );
        let rows = self.base().readers().all(AssertSqlSafe(text), &values).await?;
        let read = || -> sqlx::Result<(Vec<Memory>, u32)> {
            let memories: Vec<Memory> = rows.iter().map(memory).collect::<sqlx::Result<_>>()?;
            let found = rows.first().map_or(Ok(0), |row| row.count("found"))?;
            let left_out = found.saturating_sub(memories.len() as u64);
            Ok((memories, u32::try_from(left_out).unwrap_or(u32::MAX)))
        };
        read().map_err(Origin::unreadable)
    }

    async fn note(&self, org: OrgId, memory: Memory) -> Result<Noted, StoreError> {
        self.base().transact(sql::work(move |sql| Box::pin(put(sql, org, memory)))).await
    }

    async fn amend(&self, org: OrgId, memory: Memory) -> Result<Noted, StoreError> {
        self.base().transact(sql::work(move |sql| Box::pin(replace(sql, org, memory)))).await
    }

    async fn unlearn(&self, org: OrgId, memory: MemoryId) -> Result<bool, StoreError> {
        self.base().transact(sql::work(move |sql| Box::pin(remove(sql, org, memory)))).await
    }

    async fn proposals(&self, org: OrgId) -> Result<Vec<Proposed>, StoreError> {
        let text = "SELECT * FROM proposals WHERE org = $1 ORDER BY id DESC";
        let rows = self.base().readers().all(text, values![org]).await?;
        rows.iter().map(proposed).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
    }

    async fn proposals_of(&self, session: SessionId) -> Result<Vec<Proposed>, StoreError> {
        let text = "SELECT * FROM proposals WHERE session = $1 ORDER BY seq";
        let rows = self.base().readers().all(text, values![session]).await?;
        rows.iter().map(proposed).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
    }

    async fn approve_memory(
        &self,
        org: OrgId,
        proposal: MemoryId,
        digest: Digest,
        by: &str,
    ) -> Result<Noted, StoreError> {
        let by = by.to_owned();
        let work = sql::work(move |sql| Box::pin(approve(sql, org, (proposal, digest), by)));
        self.base().transact(work).await
    }

    async fn reject_memory(&self, org: OrgId, proposal: MemoryId) -> Result<Option<Proposed>, StoreError> {
        self.base().transact(sql::work(move |sql| Box::pin(take(sql, org, proposal, None)))).await
    }
}

/// Writes a new memory, if there is room for it.
async fn put(sql: &mut Sql<'_>, org: OrgId, memory: Memory) -> Result<Noted, StoreError> {
    if is_full(sql, org).await? {
        return Ok(Noted::Full);
    }
    let Memory { id, repository, text, source, at, private } = &memory;
    let (session, person) = author(source);
    let repository = repository.as_deref().unwrap_or(ALL);
    sql.run(
        "INSERT INTO memories (org, id, repository, words, session, person, at, private)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        values![org, *id, repository, text.as_bytes(), session, person, *at, *private],
    )
    .await?;
    Ok(Noted::Done(memory))
}

async fn is_full(sql: &mut Sql<'_>, org: OrgId) -> Result<bool, StoreError> {
    let row = sql.first("SELECT COUNT(*) AS found FROM memories WHERE org = $1", values![org]).await?;
    let found = row.map_or(Ok(0), |row| row.count("found")).map_err(Origin::unreadable)?;
    Ok(found >= MOST_KEPT as u64)
}

async fn replace(sql: &mut Sql<'_>, org: OrgId, new: Memory) -> Result<Noted, StoreError> {
    let known = sql.first("SELECT * FROM memories WHERE org = $1 AND id = $2", values![org, new.id]).await?;
    let Some(known) = known else { return instead_of_proposal(sql, org, new).await };
    let known = memory(&known).map_err(Origin::unreadable)?;
    let (proposer, _) = author(&known.source);
    let new = in_place_of((&known.text, proposer, known.private), new);
    let Memory { id, repository, text, source, at, private: _ } = &new;
    let (session, person) = author(source);
    let repository = repository.as_deref().unwrap_or(ALL);
    let changed = sql
        .run(
            "UPDATE memories SET repository = $3, words = $4, session = $5, person = $6, at = $7
             WHERE org = $1 AND id = $2",
            values![org, *id, repository, text.as_bytes(), session, person, *at],
        )
        .await?;
    Ok(if changed > 0 { Noted::Done(new) } else { Noted::Missing })
}

async fn instead_of_proposal(sql: &mut Sql<'_>, org: OrgId, new: Memory) -> Result<Noted, StoreError> {
    if is_full(sql, org).await? {
        return Ok(Noted::Full);
    }
    match take(sql, org, new.id, None).await? {
        Some(was) => put(sql, org, in_place_of((&was.text, Some(was.session), was.private), new)).await,
        None => Ok(Noted::Missing),
    }
}

/// What a person has put in the place of a text. Whoever leaves a model's words as they are, but for spaces, has approved them, and not written
/// anything; and nobody says what private things words are of by wording them otherwise.
fn in_place_of((text, proposer, private): (&str, Option<SessionId>, bool), new: Memory) -> Memory {
    let is_same = text.split_whitespace().eq(new.text.split_whitespace());
    let source = match (proposer, new.source) {
        (Some(session), MemorySource::Person { by }) if is_same => {
            MemorySource::Session { session, approved_by: by }
        }
        (_, source) => source,
    };
    Memory { source, private, ..new }
}

async fn remove(sql: &mut Sql<'_>, org: OrgId, memory: MemoryId) -> Result<bool, StoreError> {
    Ok(sql.run("DELETE FROM memories WHERE org = $1 AND id = $2", values![org, memory]).await? > 0)
}

async fn approve(
    sql: &mut Sql<'_>,
    org: OrgId,
    (proposal, digest): (MemoryId, Digest),
    approved_by: String,
) -> Result<Noted, StoreError> {
    if is_full(sql, org).await? {
        return Ok(Noted::Full);
    }
    let Some(proposed) = take(sql, org, proposal, Some(digest)).await? else { return Ok(Noted::Missing) };
    let Proposed { id, session, project: _, repository, text, at, private } = proposed;
    let source = MemorySource::Session { session, approved_by };
    put(sql, org, Memory { id, repository, text, source, at, private }).await
}

/// Takes a proposal away, for one of those who want to at once; only one with this digest, if one is given.
async fn take(
    sql: &mut Sql<'_>,
    org: OrgId,
    proposal: MemoryId,
    digest: Option<Digest>,
) -> Result<Option<Proposed>, StoreError> {
    let found =
        sql.first("SELECT * FROM proposals WHERE org = $1 AND id = $2", values![org, proposal]).await?;
    let Some(found) = found else { return Ok(None) };
    let proposed = proposed(&found).map_err(Origin::unreadable)?;
    if digest.is_some_and(|digest| digest != proposed.digest()) {
        return Ok(None);
    }
    let gone = sql.run("DELETE FROM proposals WHERE org = $1 AND id = $2", values![org, proposal]).await?;
    Ok((gone > 0).then_some(proposed))
}

fn author(source: &MemorySource) -> (Option<SessionId>, &str) {
    match source {
        MemorySource::Person { by } => (None, by),
        MemorySource::Session { session, approved_by } => (Some(*session), approved_by),
    }
}

fn memory(row: &Row) -> sqlx::Result<Memory> {
    let person = row.text("person")?;
    let source = match row.parsed_or_null("session")? {
        Some(session) => MemorySource::Session { session, approved_by: person },
        None => MemorySource::Person { by: person },
    };
    Ok(Memory {
        id: row.parsed("id")?,
        repository: place(row)?,
        text: words(row)?,
        source,
        at: row.time("at")?,
        private: row.is("private")?,
    })
}

fn proposed(row: &Row) -> sqlx::Result<Proposed> {
    Ok(Proposed {
        id: row.parsed("id")?,
        session: row.parsed("session")?,
        project: row.parsed("project")?,
        repository: place(row)?,
        text: words(row)?,
        at: row.time("at")?,
        private: row.is("private")?,
    })
}

fn place(row: &Row) -> sqlx::Result<Option<String>> {
    Ok(Some(row.text("repository")?).filter(|repository| repository != ALL))
}

fn words(row: &Row) -> sqlx::Result<String> {
    String::from_utf8(row.bytes("words")?).map_err(|error| invalid("words", error))
}
