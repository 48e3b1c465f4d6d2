//! Apps of forges that were made from the pages, on either database.

use async_trait::async_trait;
use cofferdam_domain::{OrgId, SignInId, Timestamp};
use futures_util::stream::{self, BoxStream, StreamExt as _};

use super::stirred::Hearing;
use crate::{
    AppAttempt, Apps, KeptApp, Proof, StoreError,
    log::rings::Matter,
    sql::{self, Database as _, News, Origin, Row, Sql, values},
};

#[async_trait]
impl<B: Hearing> Apps for B {
    async fn begin_app(&self, attempt: AppAttempt, at: Timestamp) -> Result<(), StoreError> {
        self.base().transact(sql::work(move |sql| Box::pin(begin(sql, attempt, at)))).await
    }

    async fn take_app_attempt(
        &self,
        org: OrgId,
        sign_in: SignInId,
        proof: Proof,
        at: Timestamp,
    ) -> Result<Option<AppAttempt>, StoreError> {
        self.base().transact(sql::work(move |sql| Box::pin(take(sql, (org, sign_in, proof), at)))).await
    }

    async fn keep_app(&self, app: KeptApp) -> Result<(), StoreError> {
        self.base().transact(sql::work(move |sql| Box::pin(keep(sql, app)))).await
    }

    async fn remove_app(&self, org: OrgId, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.base().transact(sql::work(move |sql| Box::pin(remove(sql, org, name)))).await
    }

    async fn set_app(&self, org: OrgId, name: &str, settings: String) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.base().transact(sql::work(move |sql| Box::pin(set(sql, (org, name), settings)))).await
    }

    async fn apps(&self) -> Result<Vec<KeptApp>, StoreError> {
        let rows = self.base().readers().all("SELECT * FROM apps ORDER BY name", &[]).await?;
        rows.iter().map(app).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
    }

    fn apps_changed(&self) -> Result<BoxStream<'static, ()>, StoreError> {
        let heard = stream::unfold(self.listen(Matter::Apps)?, |mut listener| async {
            listener.rung().await.ok()?;
            let _: bool = listener.mark();
            Some(((), listener))
        });
        Ok(stream::once(std::future::ready(())).chain(heard).boxed())
    }
}

async fn begin(sql: &mut Sql<'_>, attempt: AppAttempt, at: Timestamp) -> Result<(), StoreError> {
    sql.run("DELETE FROM app_attempts WHERE expires <= $1", values![at]).await?;
    let AppAttempt { proof, org, sign_in, name, web, hears, expires } = attempt;
    free(sql, org, &name).await?;
    sql.run(
        "INSERT INTO app_attempts (proof, org, sign_in, name, web, hears, expires) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        values![proof.0, org, sign_in, name, web, hears, expires],
    )
    .await
    .map(drop)
}

async fn take(
    sql: &mut Sql<'_>,
    (org, sign_in, proof): (OrgId, SignInId, Proof),
    at: Timestamp,
) -> Result<Option<AppAttempt>, StoreError> {
    // Only one of several at the same time finds it, and nobody in another browser.
    let text = "DELETE FROM app_attempts WHERE proof = $1 AND org = $2 AND sign_in = $3 RETURNING name, web, hears, expires";
    let Some(row) = sql.first(text, values![proof.0, org, sign_in]).await? else { return Ok(None) };
    let read = |row: &Row| -> sqlx::Result<AppAttempt> {
        Ok(AppAttempt {
            proof,
            org,
            sign_in,
            name: row.text("name")?,
            web: row.text("web")?,
            hears: row.is("hears")?,
            expires: row.time("expires")?,
        })
    };
    let attempt = read(&row).map_err(Origin::unreadable)?;
    Ok((attempt.expires > at).then_some(attempt))
}

/// Refuses a name that an app of another organisation has, or had: what was meant for that one is still on its way.
async fn free(sql: &mut Sql<'_>, org: OrgId, name: &str) -> Result<(), StoreError> {
    let others = "SELECT 1 FROM app_names WHERE name = $1 AND org <> $2";
    match sql.first(others, values![name, org]).await? {
        Some(_) => Err(StoreError::Taken { name: name.to_owned() }),
        None => Ok(()),
    }
}

async fn keep(sql: &mut Sql<'_>, app: KeptApp) -> Result<(), StoreError> {
    let KeptApp { name, org, web, number, page, hears, settings, sealed, at, by } = app;
    // Of two organisations at the same time, one waits here for the other.
    sql.run("INSERT INTO app_names (name, org) VALUES ($1, $2) ON CONFLICT DO NOTHING", values![&name, org])
        .await?;
    free(sql, org, &name).await?;
    let kept = sql
        .run(
            "INSERT INTO apps (name, org, web, number, page, hears, settings, sealed, at, made_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
            values![&name, org, web, number, page, hears, settings, sealed, at, by],
        )
        .await?;
    if kept == 0 {
        return Err(StoreError::Taken { name });
    }
    sql.tell(News::Matter(Matter::Apps));
    Ok(())
}

async fn set(sql: &mut Sql<'_>, (org, name): (OrgId, String), settings: String) -> Result<bool, StoreError> {
    let text = "UPDATE apps SET settings = $3 WHERE org = $1 AND name = $2";
    let is_there = sql.run(text, values![org, name, settings]).await? > 0;
    if is_there {
        sql.tell(News::Matter(Matter::Apps));
    }
    Ok(is_there)
}

async fn remove(sql: &mut Sql<'_>, org: OrgId, name: String) -> Result<bool, StoreError> {
    let removed = sql.run("DELETE FROM apps WHERE org = $1 AND name = $2", values![org, name]).await? > 0;
    if removed {
        sql.tell(News::Matter(Matter::Apps));
    }
    Ok(removed)
}

fn app(row: &Row) -> sqlx::Result<KeptApp> {
    Ok(KeptApp {
        name: row.text("name")?,
        org: row.parsed("org")?,
        web: row.text("web")?,
        number: row.count("number")?,
        page: row.text("page")?,
        hears: row.is("hears")?,
        settings: row.text("settings")?,
        sealed: row.bytes("sealed")?,
        at: row.time("at")?,
        by: row.text("made_by")?,
    })
}
