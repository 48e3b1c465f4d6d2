//! Users, and what they are in organisations.

use cofferdam_domain::{OrgId, Rank, Timestamp, UserId};

use super::orgs;
use crate::{
    Member, Org, StoreError,
    sql::{Origin, Readers, Row, Sql, values},
};

pub(crate) async fn create_user(
    sql: &mut Sql<'_>,
    name: &str,
    subject: Option<(String, String)>,
    at: Timestamp,
) -> Result<UserId, StoreError> {
    let id = UserId::generate();
    let (issuer, subject) = subject.unzip();
    let made = sql
        .run(
            "INSERT INTO users (id, name, issuer, subject, created) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT DO NOTHING",
            values![id, name, issuer, subject.as_deref(), at],
        )
        .await?;
    if made == 0 {
        return Err(StoreError::Taken { name: subject.unwrap_or_default() });
    }
    Ok(id)
}

pub(crate) async fn bind(
    sql: &mut Sql<'_>,
    user: UserId,
    issuer: &str,
    subject: &str,
) -> Result<bool, StoreError> {
    sql.run(
        "UPDATE users SET issuer = NULL, subject = NULL WHERE issuer = $1 AND subject = $2
         AND NOT EXISTS (SELECT 1 FROM members m WHERE m.person = users.id)",
        values![issuer, subject],
    )
    .await?;
    let bound = sql
        .run(
            "UPDATE users SET issuer = $1, subject = $2 WHERE id = $3 AND issuer IS NULL
             AND NOT EXISTS (SELECT 1 FROM users u WHERE u.issuer = $1 AND u.subject = $2)",
            values![issuer, subject, user],
        )
        .await?;
    Ok(bound == 1)
}

pub(crate) async fn by_subject(
    readers: &Readers,
    issuer: &str,
    subject: &str,
) -> Result<Option<UserId>, StoreError> {
    let text = "SELECT id FROM users WHERE issuer = $1 AND subject = $2";
    let row = readers.first(text, values![issuer, subject]).await?;
    row.map(|row| row.parsed("id")).transpose().map_err(Origin::unreadable)
}

pub(crate) async fn set_rank(
    sql: &mut Sql<'_>,
    org: OrgId,
    user: UserId,
    rank: Option<Rank>,
    at: Timestamp,
) -> Result<(), StoreError> {
    for (what, table_has_it) in [
        (format!("organisation {org}"), sql.first("SELECT id FROM orgs WHERE id = $1", values![org]).await?),
        (format!("user {user}"), sql.first("SELECT id FROM users WHERE id = $1", values![user]).await?),
    ] {
        if table_has_it.is_none() {
            return Err(StoreError::Missing { what });
        }
    }
    if rank != Some(Rank::Admin) {
        keep_an_admin(sql, org, user).await?;
    }
    match rank {
        Some(rank) => {
            sql.run(
                "INSERT INTO members (org, person, rank, since) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (org, person) DO UPDATE SET rank = excluded.rank",
                values![org, user, rank.name(), at],
            )
            .await?;
        }
        None => {
            for remove in [
                "DELETE FROM members WHERE org = $1 AND person = $2",
                "DELETE FROM tokens WHERE org = $1 AND person = $2",
                "DELETE FROM sign_ins WHERE org = $1 AND person = $2",
                "DELETE FROM invitations WHERE org = $1 AND person = $2",
            ] {
                sql.run(remove, values![org, user]).await?;
            }
        }
    }
    Ok(())
}

/// Refuses when this user is the only admin. The admins' rows stay as they are until the end of the transaction.
async fn keep_an_admin(sql: &mut Sql<'_>, org: OrgId, user: UserId) -> Result<(), StoreError> {
    let find = sql.either(
        "SELECT person FROM members WHERE org = $1 AND rank = 'admin' ORDER BY person",
        "SELECT person FROM members WHERE org = $1 AND rank = 'admin' ORDER BY person FOR UPDATE",
    );
    let admins = sql.all(find, values![org]).await?;
    let admins: sqlx::Result<Vec<UserId>> = admins.iter().map(|row| row.parsed("person")).collect();
    match admins.map_err(Origin::unreadable)?.as_slice() {
        [last] if *last == user => Err(StoreError::LastAdmin),
        _ => Ok(()),
    }
}

pub(crate) async fn of_org(readers: &Readers, org: OrgId) -> Result<Vec<Member>, StoreError> {
    let read = |row: &Row| -> sqlx::Result<Member> {
        Ok(Member {
            user: row.parsed("person")?,
            name: row.text("name")?,
            rank: row.named("rank", Rank::named)?,
            since: row.time("since")?,
        })
    };
    let text = "SELECT m.person, m.rank, m.since, u.name FROM members m JOIN users u ON u.id = m.person
                WHERE m.org = $1 ORDER BY u.name, m.person";
    let rows = readers.all(text, values![org]).await?;
    rows.iter().map(read).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
}

pub(crate) async fn of_user(readers: &Readers, user: UserId) -> Result<Vec<(Org, Rank)>, StoreError> {
    let text = "SELECT o.id, o.name, o.created, m.rank FROM members m JOIN orgs o ON o.id = m.org
                WHERE m.person = $1 ORDER BY o.name";
    let rows = readers.all(text, values![user]).await?;
    rows.iter()
        .map(|row| Ok((orgs::org(row)?, row.named("rank", Rank::named).map_err(Origin::unreadable)?)))
        .collect()
}

/// Whether the user belongs to the organisation, which stays so until the end of the transaction.
pub(crate) async fn belongs(sql: &mut Sql<'_>, org: OrgId, user: UserId) -> Result<(), StoreError> {
    let find = sql.either(
        "SELECT person FROM members WHERE org = $1 AND person = $2",
        "SELECT person FROM members WHERE org = $1 AND person = $2 FOR SHARE",
    );
    sql.first(find, values![org, user]).await?.map(drop).ok_or(StoreError::NotMember)
}
