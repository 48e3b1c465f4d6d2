//! API tokens.

use cofferdam_domain::{Access, Actor, OrgId, ProjectId, Rank, Timestamp, TokenId, UserId};

use super::members;
use crate::{
    NewToken, Proof, StoreError, Token,
    sql::{Origin, Readers, Row, Sql, values},
};

/// How exactly it is noted when a token was used, in milliseconds.
const MINUTE: u64 = 60_000;

pub(crate) async fn create(
    sql: &mut Sql<'_>,
    org: OrgId,
    token: NewToken,
    at: Timestamp,
) -> Result<TokenId, StoreError> {
    let NewToken { name, user, rank, project, expires, proof } = token;
    members::belongs(sql, org, user).await?;
    if let Some(project) = project {
        let text = "SELECT id FROM projects WHERE org = $1 AND id = $2";
        if sql.first(text, values![org, project]).await?.is_none() {
            return Err(StoreError::Missing { what: format!("project {project}") });
        }
    }
    let id = TokenId::generate();
    sql.run(
        "INSERT INTO tokens (org, id, name, person, rank, project, created, expires, used, proof)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL, $9)",
        values![org, id, name, user, rank.name(), project, at, expires, proof.0],
    )
    .await?;
    Ok(id)
}

pub(crate) async fn list(
    readers: &Readers,
    org: OrgId,
    user: Option<UserId>,
) -> Result<Vec<Token>, StoreError> {
    let rows = match user {
        Some(user) => {
            let text = "SELECT * FROM tokens WHERE org = $1 AND person = $2 ORDER BY id";
            readers.all(text, values![org, user]).await?
        }
        None => readers.all("SELECT * FROM tokens WHERE org = $1 ORDER BY id", values![org]).await?,
    };
    rows.iter().map(token).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
}

fn token(row: &Row) -> sqlx::Result<Token> {
    Ok(Token {
        id: row.parsed("id")?,
        name: row.text("name")?,
        user: row.parsed("person")?,
        rank: row.named("rank", Rank::named)?,
        project: row.parsed_or_null("project")?,
        created: row.time("created")?,
        expires: row.time("expires")?,
        used: row.time_or_null("used")?,
    })
}

pub(crate) async fn revoke(sql: &mut Sql<'_>, org: OrgId, token: TokenId) -> Result<bool, StoreError> {
    let text = "DELETE FROM tokens WHERE org = $1 AND id = $2";
    Ok(sql.run(text, values![org, token]).await? > 0)
}

/// Whom a token stands for, and whether it is time to note that it was used.
pub(crate) async fn actor(
    readers: &Readers,
    proof: Proof,
    at: Timestamp,
) -> Result<Option<(Actor, bool)>, StoreError> {
    let text = "SELECT t.org, t.id, t.person, t.project, t.used, t.rank AS most, m.rank, u.name
                FROM tokens t JOIN members m ON m.org = t.org AND m.person = t.person JOIN users u ON u.id = t.person
                WHERE t.proof = $1 AND t.expires > $2";
    let Some(row) = readers.first(text, values![proof.0, at]).await? else { return Ok(None) };
    let read = || -> sqlx::Result<(Actor, bool)> {
        let used = row.time_or_null("used")?;
        let rank = row.named("rank", Rank::named)?.min(row.named("most", Rank::named)?);
        let actor = Actor {
            org: row.parsed("org")?,
            user: row.parsed("person")?,
            name: row.text("name")?,
            rank,
            project: row.parsed_or_null::<ProjectId>("project")?,
            access: Access::Token(row.parsed("id")?),
        };
        Ok((actor, used.is_none_or(|used| at.millis_since(used) >= MINUTE)))
    };
    read().map(Some).map_err(Origin::unreadable)
}

/// Notes that a token was used.
pub(crate) async fn note_use(sql: &mut Sql<'_>, proof: Proof, at: Timestamp) -> Result<(), StoreError> {
    sql.run("UPDATE tokens SET used = $2 WHERE proof = $1", values![proof.0, at]).await.map(drop)
}
