//! MCP servers that were approved, on either database.

use async_trait::async_trait;
use cofferdam_domain::OrgId;

use crate::{
    ApprovedServer, ApprovedServers, StoreError,
    sql::{self, Backend, Database as _, Origin, Row, Sql, values},
};

#[async_trait]
impl<B: Backend> ApprovedServers for B {
    async fn approve_server(&self, org: OrgId, server: ApprovedServer) -> Result<(), StoreError> {
        self.base().transact(sql::work(move |sql| Box::pin(approve(sql, org, server)))).await
    }

    async fn disapprove_server(&self, org: OrgId, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.base().transact(sql::work(move |sql| Box::pin(remove(sql, org, name)))).await
    }

    async fn approved_servers(&self, org: OrgId) -> Result<Vec<ApprovedServer>, StoreError> {
        let text = "SELECT * FROM servers WHERE org = $1 ORDER BY name";
        let rows = self.base().readers().all(text, values![org]).await?;
        rows.iter().map(server).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
    }
}

async fn approve(sql: &mut Sql<'_>, org: OrgId, server: ApprovedServer) -> Result<(), StoreError> {
    let ApprovedServer { name, digest, tools, at, by } = server;
    sql.run(
        "INSERT INTO servers (org, name, digest, tools, at, approved_by) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (org, name) DO UPDATE SET digest = excluded.digest, tools = excluded.tools, at = excluded.at,
             approved_by = excluded.approved_by",
        values![org, name, digest.to_string(), tools, at, by],
    )
    .await
    .map(drop)
}

async fn remove(sql: &mut Sql<'_>, org: OrgId, name: String) -> Result<bool, StoreError> {
    Ok(sql.run("DELETE FROM servers WHERE org = $1 AND name = $2", values![org, name]).await? > 0)
}

fn server(row: &Row) -> sqlx::Result<ApprovedServer> {
    Ok(ApprovedServer {
        name: row.text("name")?,
        digest: row.parsed("digest")?,
        tools: row.text("tools")?,
        at: row.time("at")?,
        by: row.text("approved_by")?,
    })
}
