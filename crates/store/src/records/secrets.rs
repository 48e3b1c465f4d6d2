//! What an organisation keeps by name: secrets (encrypted by whoever puts them there), the keys that encrypt them (encrypted too), policies.

use cofferdam_domain::{OrgId, StoredSecretId, Timestamp};

use crate::{
    Sealed, StoreError,
    sql::{Origin, Readers, Row, Sql, values},
};

pub(crate) async fn put(
    sql: &mut Sql<'_>,
    org: OrgId,
    name: &str,
    bytes: &[u8],
    at: Timestamp,
) -> Result<StoredSecretId, StoreError> {
    let id = StoredSecretId::generate();
    sql.run(
        "INSERT INTO secrets (org, name, id, bytes, at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (org, name) DO UPDATE SET id = excluded.id, bytes = excluded.bytes, at = excluded.at",
        values![org, name, id, bytes, at],
    )
    .await?;
    Ok(id)
}

pub(crate) async fn list(readers: &Readers, org: OrgId) -> Result<Vec<Sealed>, StoreError> {
    let read = |row: &Row| -> sqlx::Result<Sealed> {
        Ok(Sealed {
            id: row.parsed("id")?,
            name: row.text("name")?,
            bytes: row.bytes("bytes")?,
            at: row.time("at")?,
        })
    };
    let rows = readers.all("SELECT * FROM secrets WHERE org = $1 ORDER BY name", values![org]).await?;
    rows.iter().map(read).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
}

pub(crate) async fn remove(sql: &mut Sql<'_>, org: OrgId, name: &str) -> Result<bool, StoreError> {
    Ok(sql.run("DELETE FROM secrets WHERE org = $1 AND name = $2", values![org, name]).await? > 0)
}

pub(crate) async fn put_data_key(
    sql: &mut Sql<'_>,
    org: OrgId,
    number: u32,
    wrapped: &[u8],
) -> Result<(), StoreError> {
    sql.run(
        "INSERT INTO data_keys (org, number, wrapped) VALUES ($1, $2, $3)
         ON CONFLICT (org, number) DO UPDATE SET wrapped = excluded.wrapped",
        values![org, number, wrapped],
    )
    .await
    .map(drop)
}

pub(crate) async fn add_data_key(
    sql: &mut Sql<'_>,
    org: OrgId,
    number: u32,
    wrapped: &[u8],
) -> Result<bool, StoreError> {
    let added = sql
        .run(
            "INSERT INTO data_keys (org, number, wrapped) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            values![org, number, wrapped],
        )
        .await?;
    Ok(added > 0)
}

pub(crate) async fn data_keys(readers: &Readers, org: OrgId) -> Result<Vec<(u32, Vec<u8>)>, StoreError> {
    let read = |row: &Row| -> sqlx::Result<(u32, Vec<u8>)> {
        Ok((u32::try_from(row.int("number")?).unwrap_or(u32::MAX), row.bytes("wrapped")?))
    };
    let text = "SELECT number, wrapped FROM data_keys WHERE org = $1 ORDER BY number";
    let rows = readers.all(text, values![org]).await?;
    rows.iter().map(read).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
}

pub(crate) async fn put_policy(
    sql: &mut Sql<'_>,
    org: OrgId,
    name: &str,
    text: Option<&str>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let done = match text {
        Some(text) => {
            let put = "INSERT INTO policies (org, name, text, at) VALUES ($1, $2, $3, $4)
                       ON CONFLICT (org, name) DO UPDATE SET text = excluded.text, at = excluded.at";
            sql.run(put, values![org, name, text, at]).await
        }
        None => sql.run("DELETE FROM policies WHERE org = $1 AND name = $2", values![org, name]).await,
    };
    done.map(drop)
}

pub(crate) async fn policies(readers: &Readers, org: OrgId) -> Result<Vec<(String, String)>, StoreError> {
    let text = "SELECT name, text FROM policies WHERE org = $1 ORDER BY name";
    let rows = readers.all(text, values![org]).await?;
    let read = |row: &Row| -> sqlx::Result<_> { Ok((row.text("name")?, row.text("text")?)) };
    rows.iter().map(read).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
}
