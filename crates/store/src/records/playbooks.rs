//! Playbooks of organisations, on either database.

use async_trait::async_trait;
use cofferdam_domain::{Digest, OrgId};

use crate::{
    KeptPlaybook, MOST_PLAYBOOKS, PlaybookVersion, Playbooks, PutPlaybook, StoreError,
    playbooks::MOST_VERSIONS,
    sql::{self, Backend, Database as _, Origin, Row, Sql, values},
};

#[async_trait]
impl<B: Backend> Playbooks for B {
    async fn put_playbook(&self, org: OrgId, playbook: KeptPlaybook) -> Result<PutPlaybook, StoreError> {
        self.base().transact(sql::work(move |sql| Box::pin(put(sql, org, playbook)))).await
    }

    async fn remove_playbook(&self, org: OrgId, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.base().transact(sql::work(move |sql| Box::pin(remove(sql, org, name)))).await
    }

    async fn playbooks(&self, org: OrgId) -> Result<Vec<PlaybookVersion>, StoreError> {
        let text = "SELECT name, digest, version, about, added_by, added FROM playbooks WHERE org = $1 ORDER BY name, version DESC";
        let rows = self.base().readers().all(text, values![org]).await?;
        rows.iter().map(listed).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
    }

    async fn playbook(
        &self,
        org: OrgId,
        name: &str,
        digest: Option<Digest>,
    ) -> Result<Option<KeptPlaybook>, StoreError> {
        let readers = self.base().readers();
        let row = match digest {
            Some(digest) => {
                let text = "SELECT * FROM playbooks WHERE org = $1 AND name = $2 AND digest = $3";
                readers.first(text, values![org, name, digest]).await?
            }
            None => {
                let text =
                    "SELECT * FROM playbooks WHERE org = $1 AND name = $2 ORDER BY version DESC LIMIT 1";
                readers.first(text, values![org, name]).await?
            }
        };
        row.as_ref().map(playbook).transpose().map_err(Origin::unreadable)
    }
}

async fn put(sql: &mut Sql<'_>, org: OrgId, playbook: KeptPlaybook) -> Result<PutPlaybook, StoreError> {
    let KeptPlaybook { name, digest, version: _, description, text, by, at } = playbook;
    // Of two who want to at the same time, the second sees what the first did. SQLite has one writer.
    let alone =
        sql.either("SELECT id FROM orgs WHERE id = $1", "SELECT id FROM orgs WHERE id = $1 FOR UPDATE");
    sql.first(alone, values![org]).await?;
    let latest =
        "SELECT digest, version FROM playbooks WHERE org = $1 AND name = $2 ORDER BY version DESC LIMIT 1";
    let latest = match sql.first(latest, values![org, &name]).await? {
        Some(row) => Some(version(&row).map_err(Origin::unreadable)?),
        None => None,
    };
    if latest.is_some_and(|(known, _)| known == digest) {
        return Ok(PutPlaybook::Known);
    }
    if latest.is_none() && is_full(sql, org).await? {
        return Ok(PutPlaybook::Full);
    }
    let number = latest.map_or(1, |(_, number)| number + 1);
    sql.run(
        "INSERT INTO playbooks (org, name, digest, version, about, body, added_by, added) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (org, name, digest) DO UPDATE SET version = excluded.version, added_by = excluded.added_by, added = excluded.added",
        values![org, &name, digest, number, description, text, by, at],
    )
    .await?;
    let oldest = "DELETE FROM playbooks WHERE org = $1 AND name = $2 AND version <= $3";
    sql.run(oldest, values![org, name, number.saturating_sub(MOST_VERSIONS)]).await?;
    Ok(PutPlaybook::Added)
}

async fn is_full(sql: &mut Sql<'_>, org: OrgId) -> Result<bool, StoreError> {
    let names = "SELECT COUNT(DISTINCT name) AS found FROM playbooks WHERE org = $1";
    let row = sql.first(names, values![org]).await?;
    let found = row.map_or(Ok(0), |row| row.count("found")).map_err(Origin::unreadable)?;
    Ok(found >= MOST_PLAYBOOKS as u64)
}

async fn remove(sql: &mut Sql<'_>, org: OrgId, name: String) -> Result<bool, StoreError> {
    Ok(sql.run("DELETE FROM playbooks WHERE org = $1 AND name = $2", values![org, name]).await? > 0)
}

fn version(row: &Row) -> sqlx::Result<(Digest, u64)> {
    Ok((row.digest("digest")?, row.count("version")?))
}

fn listed(row: &Row) -> sqlx::Result<PlaybookVersion> {
    let (digest, version) = version(row)?;
    Ok(PlaybookVersion {
        name: row.text("name")?,
        digest,
        version,
        description: row.text("about")?,
        by: row.text("added_by")?,
        at: row.time("added")?,
    })
}

fn playbook(row: &Row) -> sqlx::Result<KeptPlaybook> {
    let PlaybookVersion { name, digest, version, description, by, at } = listed(row)?;
    Ok(KeptPlaybook { name, digest, version, description, text: row.text("body")?, by, at })
}
