//! Browsers that are signed in, and links that sign one in.

use cofferdam_domain::{Access, Actor, OrgId, Rank, SignInId, Timestamp, UserId};

use super::members;
use crate::{
    Proof, StoreError,
    sql::{Origin, Readers, Row, Sql, values},
};

pub(crate) async fn invite(
    sql: &mut Sql<'_>,
    org: OrgId,
    user: UserId,
    proof: Proof,
    expires: Timestamp,
) -> Result<(), StoreError> {
    members::belongs(sql, org, user).await?;
    sql.run(
        "INSERT INTO invitations (proof, org, person, expires) VALUES ($1, $2, $3, $4)",
        values![proof.0, org, user, expires],
    )
    .await
    .map(drop)
}

pub(crate) async fn accept(
    sql: &mut Sql<'_>,
    proof: Proof,
    at: Timestamp,
) -> Result<Option<(OrgId, UserId)>, StoreError> {
    // Only one of several at the same time finds it.
    let used = sql
        .first("DELETE FROM invitations WHERE proof = $1 RETURNING org, person, expires", values![proof.0])
        .await?;
    sql.run("DELETE FROM invitations WHERE expires <= $1", values![at]).await?;
    let Some(row) = used else { return Ok(None) };
    let read = |row: &Row| -> sqlx::Result<_> {
        Ok((row.parsed("org")?, row.parsed("person")?, row.time("expires")?))
    };
    let (org, user, expires) = read(&row).map_err(Origin::unreadable)?;
    Ok((expires > at).then_some((org, user)))
}

pub(crate) async fn sign_in(
    sql: &mut Sql<'_>,
    org: OrgId,
    user: UserId,
    proof: Proof,
    (at, expires): (Timestamp, Timestamp),
) -> Result<SignInId, StoreError> {
    members::belongs(sql, org, user).await?;
    sql.run("DELETE FROM sign_ins WHERE expires <= $1", values![at]).await?;
    let id = SignInId::generate();
    sql.run(
        "INSERT INTO sign_ins (org, id, person, created, expires, proof) VALUES ($1, $2, $3, $4, $5, $6)",
        values![org, id, user, at, expires, proof.0],
    )
    .await?;
    Ok(id)
}

pub(crate) async fn actor(
    readers: &Readers,
    proof: Proof,
    at: Timestamp,
) -> Result<Option<Actor>, StoreError> {
    let text = "SELECT s.org, s.id, s.person, m.rank, u.name
                FROM sign_ins s JOIN members m ON m.org = s.org AND m.person = s.person JOIN users u ON u.id = s.person
                WHERE s.proof = $1 AND s.expires > $2";
    let read = |row: &Row| -> sqlx::Result<Actor> {
        Ok(Actor {
            org: row.parsed("org")?,
            user: row.parsed("person")?,
            name: row.text("name")?,
            rank: row.named("rank", Rank::named)?,
            project: None,
            access: Access::Browser(row.parsed("id")?),
        })
    };
    let row = readers.first(text, values![proof.0, at]).await?;
    row.as_ref().map(read).transpose().map_err(Origin::unreadable)
}

pub(crate) async fn sign_out(sql: &mut Sql<'_>, org: OrgId, sign_in: SignInId) -> Result<(), StoreError> {
    sql.run("DELETE FROM sign_ins WHERE org = $1 AND id = $2", values![org, sign_in]).await.map(drop)
}
