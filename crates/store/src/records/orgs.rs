//! Organisations and their projects.

use cofferdam_domain::{OrgId, ProjectId, Timestamp};

use crate::{
    Org, Project, StoreError,
    directory::FIRST_PROJECT,
    sql::{Origin, Readers, Row, Sql, values},
};

pub(crate) async fn create(sql: &mut Sql<'_>, name: &str, at: Timestamp) -> Result<Org, StoreError> {
    let id = OrgId::generate();
    let made = sql
        .run(
            "INSERT INTO orgs (id, name, created) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            values![id, name, at],
        )
        .await?;
    if made == 0 {
        return Err(StoreError::Taken { name: name.to_owned() });
    }
    create_project(sql, id, FIRST_PROJECT, at).await?;
    Ok(Org { id, name: name.to_owned(), created: at })
}

pub(crate) async fn list(readers: &Readers) -> Result<Vec<Org>, StoreError> {
    let rows = readers.all("SELECT id, name, created FROM orgs ORDER BY name", &[]).await?;
    rows.iter().map(org).collect()
}

/// The organisation in a row with its columns.
pub(crate) fn org(row: &Row) -> Result<Org, StoreError> {
    let read = || -> sqlx::Result<Org> {
        Ok(Org { id: row.parsed("id")?, name: row.text("name")?, created: row.time("created")? })
    };
    read().map_err(Origin::unreadable)
}

pub(crate) async fn create_project(
    sql: &mut Sql<'_>,
    org: OrgId,
    name: &str,
    at: Timestamp,
) -> Result<Project, StoreError> {
    if sql.first("SELECT id FROM orgs WHERE id = $1", values![org]).await?.is_none() {
        return Err(StoreError::Missing { what: format!("organisation {org}") });
    }
    let id = ProjectId::generate();
    let made = sql
        .run(
            "INSERT INTO projects (org, id, name, created) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            values![org, id, name, at],
        )
        .await?;
    if made == 0 {
        return Err(StoreError::Taken { name: name.to_owned() });
    }
    Ok(Project { id, name: name.to_owned(), created: at })
}

pub(crate) async fn projects(readers: &Readers, org: OrgId) -> Result<Vec<Project>, StoreError> {
    let text = "SELECT id, name, created FROM projects WHERE org = $1 ORDER BY name";
    let read = |row: &Row| -> sqlx::Result<Project> {
        Ok(Project { id: row.parsed("id")?, name: row.text("name")?, created: row.time("created")? })
    };
    let rows = readers.all(text, values![org]).await?;
    rows.iter().map(read).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
}
