//! Skills of organisations, on either database.

use async_trait::async_trait;
use cofferdam_domain::{Digest, OrgId, Timestamp};

use crate::{
    KeptSkill, Registry, StoreError,
    sql::{self, Backend, Database as _, Origin, Row, Sql, values},
};

#[async_trait]
impl<B: Backend> Registry for B {
    async fn put_skill(&self, org: OrgId, skill: KeptSkill) -> Result<bool, StoreError> {
        self.base().transact(sql::work(move |sql| Box::pin(put(sql, org, skill)))).await
    }

    async fn approve_skill(
        &self,
        org: OrgId,
        name: &str,
        digest: Digest,
        by: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let which = (name.to_owned(), digest);
        let who = (by.to_owned(), at);
        self.base().transact(sql::work(move |sql| Box::pin(approve(sql, org, which, who)))).await
    }

    async fn revoke_skill(&self, org: OrgId, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.base().transact(sql::work(move |sql| Box::pin(revoke(sql, org, name)))).await
    }

    async fn skills(&self, org: OrgId) -> Result<Vec<KeptSkill>, StoreError> {
        let text = "SELECT * FROM skills WHERE org = $1 ORDER BY name, added, digest";
        let rows = self.base().readers().all(text, values![org]).await?;
        rows.iter().map(skill).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
    }
}

async fn put(sql: &mut Sql<'_>, org: OrgId, skill: KeptSkill) -> Result<bool, StoreError> {
    let KeptSkill { name, digest, files, by, at, approved: _ } = skill;
    let text = "INSERT INTO skills (org, name, digest, files, added_by, added) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    Ok(sql.run(text, values![org, name, digest, files, by, at]).await? > 0)
}

async fn approve(
    sql: &mut Sql<'_>,
    org: OrgId,
    (name, digest): (String, Digest),
    (by, at): (String, Timestamp),
) -> Result<bool, StoreError> {
    let text =
        "UPDATE skills SET approved_by = $1, approved = $2 WHERE org = $3 AND name = $4 AND digest = $5";
    if sql.run(text, values![by, at, org, &name, digest]).await? == 0 {
        return Ok(false);
    }
    let others =
        "UPDATE skills SET approved_by = NULL, approved = NULL WHERE org = $1 AND name = $2 AND digest <> $3";
    sql.run(others, values![org, &name, digest]).await?;
    Ok(true)
}

async fn revoke(sql: &mut Sql<'_>, org: OrgId, name: String) -> Result<bool, StoreError> {
    Ok(sql.run("DELETE FROM skills WHERE org = $1 AND name = $2", values![org, name]).await? > 0)
}

fn skill(row: &Row) -> sqlx::Result<KeptSkill> {
    let approved = row.text_or_null("approved_by")?.zip(row.time_or_null("approved")?);
    Ok(KeptSkill {
        name: row.text("name")?,
        digest: row.digest("digest")?,
        files: row.text("files")?,
        by: row.text("added_by")?,
        at: row.time("added")?,
        approved,
    })
}
