//! Playbooks of organisations, on either database.

use async_trait::async_trait;
use cofferdam_domain::{Digest, OrgId};

use crate::{
    KeptPlaybook, Playbooks, StoreError,
    sql::{self, Backend, Database as _, Origin, Row, Sql, values},
};

#[async_trait]
impl<B: Backend> Playbooks for B {
    async fn put_playbook(&self, org: OrgId, playbook: KeptPlaybook) -> Result<bool, StoreError> {
        self.base().transact(sql::work(move |sql| Box::pin(put(sql, org, playbook)))).await
    }

    async fn remove_playbook(&self, org: OrgId, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.base().transact(sql::work(move |sql| Box::pin(remove(sql, org, name)))).await
    }

    async fn playbooks(&self, org: OrgId) -> Result<Vec<KeptPlaybook>, StoreError> {
        let text = "SELECT * FROM playbooks WHERE org = $1 ORDER BY name, version DESC";
        let rows = self.base().readers().all(text, values![org]).await?;
        rows.iter().map(playbook).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
    }

    async fn playbook(
        &self,
        org: OrgId,
        name: &str,
        digest: Option<Digest>,
    ) -> Result<Option<KeptPlaybook>, StoreError> {
        let text = "SELECT * FROM playbooks WHERE org = $1 AND name = $2 ORDER BY version DESC";
        let rows = self.base().readers().all(text, values![org, name]).await?;
        let versions: Vec<KeptPlaybook> =
            rows.iter().map(playbook).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)?;
        Ok(versions.into_iter().find(|version| digest.is_none_or(|digest| version.digest == digest)))
    }
}

async fn put(sql: &mut Sql<'_>, org: OrgId, playbook: KeptPlaybook) -> Result<bool, StoreError> {
    let KeptPlaybook { name, digest, version: _, text, by, at } = playbook;
    let latest =
        "SELECT digest, version FROM playbooks WHERE org = $1 AND name = $2 ORDER BY version DESC LIMIT 1";
    let latest = match sql.first(latest, values![org, &name]).await? {
        Some(row) => Some(version(&row).map_err(Origin::unreadable)?),
        None => None,
    };
    if latest.is_some_and(|(known, _)| known == digest) {
        return Ok(false);
    }
    let number = latest.map_or(1, |(_, number)| number + 1);
    sql.run(
        "INSERT INTO playbooks (org, name, digest, version, body, added_by, added) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (org, name, digest) DO UPDATE SET version = excluded.version, added_by = excluded.added_by, added = excluded.added",
        values![org, name, digest, number, text, by, at],
    )
    .await?;
    Ok(true)
}

async fn remove(sql: &mut Sql<'_>, org: OrgId, name: String) -> Result<bool, StoreError> {
    Ok(sql.run("DELETE FROM playbooks WHERE org = $1 AND name = $2", values![org, name]).await? > 0)
}

fn version(row: &Row) -> sqlx::Result<(Digest, u64)> {
    Ok((row.digest("digest")?, row.count("version")?))
}

fn playbook(row: &Row) -> sqlx::Result<KeptPlaybook> {
    let (digest, version) = version(row)?;
    Ok(KeptPlaybook {
        name: row.text("name")?,
        digest,
        version,
        text: row.text("body")?,
        by: row.text("added_by")?,
        at: row.time("added")?,
    })
}
