//! What may be spent in a day, and whether it is.

use async_trait::async_trait;
use cofferdam_domain::{Cost, OrgId, Owner, SessionId, Timestamp, WaitingFor};
use sqlx::AssertSqlSafe;

use super::spending::{self, day};
use crate::{
    DayBudget, Ledger, Purse, Spending, StoreError,
    log::rings::Matter,
    sql::{self, Backend, Database as _, Readers, Sql, values},
};

#[async_trait]
impl<B: Backend> Ledger for B {
    async fn set_budget(&self, org: OrgId, purse: Purse, budget: DayBudget) -> Result<(), StoreError> {
        let put = sql::work(move |sql| {
            Box::pin(async move {
                let text = "SELECT * FROM budgets WHERE org = $1 AND purse = $2";
                let before = sql.first(text, values![org, spending::name(purse)]).await?;
                let before = before.as_ref().map(spending::budget).transpose()?.unwrap_or_default();
                if is_raised(before, budget) {
                    look_again(sql, org, purse).await?;
                }
                let DayBudget { cost, tokens, sandbox_ms, concurrent, pull_requests } = budget;
                sql.run(
                    "INSERT INTO budgets (org, purse, cost, tokens, sandbox_ms, concurrent, pull_requests)
                     VALUES ($1, $2, $3, $4, $5, $6, $7)
                     ON CONFLICT (org, purse) DO UPDATE SET cost = excluded.cost, tokens = excluded.tokens,
                         sandbox_ms = excluded.sandbox_ms, concurrent = excluded.concurrent,
                         pull_requests = excluded.pull_requests",
                    values![org, spending::name(purse), cost, tokens, sandbox_ms, concurrent, pull_requests],
                )
                .await?;
                // More may run at once than before.
                sql.tell(sql::News::Matter(Matter::Queue));
                Ok(())
            })
        });
        self.base().transact(put).await
    }

    async fn budget(&self, org: OrgId, purse: Purse) -> Result<DayBudget, StoreError> {
        let text = "SELECT * FROM budgets WHERE org = $1 AND purse = $2";
        let row = self.base().readers().first(text, values![org, spending::name(purse)]).await?;
        row.as_ref().map_or_else(|| Ok(DayBudget::default()), spending::budget)
    }

    async fn spent(&self, org: OrgId, purse: Purse, at: Timestamp) -> Result<Spending, StoreError> {
        spent(self.base().readers(), org, &spending::name(purse), at).await
    }

    async fn exceeded(&self, owner: Owner, at: Timestamp) -> Result<Option<String>, StoreError> {
        first(self.base().readers(), owner, at).await
    }

    async fn reserve_delivery(
        &self,
        owner: Owner,
        session: SessionId,
        at: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        self.base().transact(sql::work(move |sql| Box::pin(reserve(sql, owner, session, at)))).await
    }
}

/// Whether something may be spent by this budget that could not by the one before.
fn is_raised(before: DayBudget, now: DayBudget) -> bool {
    let pairs = [
        (before.cost, now.cost),
        (before.tokens, now.tokens),
        (before.sandbox_ms, now.sandbox_ms),
        (before.pull_requests, now.pull_requests),
    ];
    pairs.into_iter().any(|(before, now)| before.is_some_and(|before| now.is_none_or(|now| now > before)))
}

/// Sessions that wait for a budget until tomorrow are due at once, also those that a worker is about to give back: whoever takes one sees whether
/// there is enough now.
async fn look_again(sql: &mut Sql<'_>, org: OrgId, purse: Purse) -> Result<(), StoreError> {
    macro_rules! waiting {
        () => {
            "org = $1 AND ($2 = '' OR project = $2 OR owner = $2) AND queued = 1 AND wanted = 1 AND waiting = $3
                 AND not_before > 1 AND forgotten = 0"
        };
    }
    let due = sql.either(
        concat!("UPDATE sessions SET not_before = 1 WHERE ", waiting!()),
        concat!(
            "UPDATE sessions SET not_before = 1 WHERE id IN (SELECT id FROM sessions WHERE ",
            waiting!(),
            " ORDER BY id FOR UPDATE)"
        ),
    );
    sql.run(due, values![org, spending::name(purse), WaitingFor::Budget.name()]).await.map(drop)
}

/// Keeps a pull request of the day for a session, or says which budget has none left.
async fn reserve(
    sql: &mut Sql<'_>,
    owner: Owner,
    session: SessionId,
    at: Timestamp,
) -> Result<Option<String>, StoreError> {
    // One at a time in an organisation, as everybody who writes to SQLite is.
    let alone = sql.either(None, Some("SELECT pg_advisory_xact_lock(hashtextextended($1, 7018416201903))"));
    if let Some(alone) = alone {
        sql.run(alone, values![owner.org]).await?;
    }
    let [whole, project, user] = purses(owner);
    for row in sql.all(BUDGETS, values![owner.org, whole, project, user]).await? {
        let Some(limit) = spending::budget(&row)?.pull_requests else { continue };
        let name = row.text("purse").map_err(sql::Origin::unreadable)?;
        let text = "SELECT * FROM usage WHERE org = $1 AND purse = $2 AND day = $3";
        let usage = sql.first(text, values![owner.org, &*name, day(at)]).await?;
        let opened =
            usage.as_ref().map_or(Ok(0), |row| spending::spending(row).map(|spent| spent.pull_requests))?;
        let row = sql.first(RESERVED, values![owner.org, day(at), session, &*name]).await?;
        let reserved = row.map_or(Ok(0), |row| row.count("reserved")).map_err(sql::Origin::unreadable)?;
        if opened.saturating_add(reserved) >= limit {
            let others =
                if reserved > 0 { format!(", and {reserved} are about to be") } else { String::new() };
            let what = format!("opened {opened} of {limit} pull requests{others}");
            return Ok(Some(today(&name, &what)));
        }
    }
    let keep = "INSERT INTO reserved (session, org, day) VALUES ($1, $2, $3)
                ON CONFLICT (session) DO UPDATE SET day = excluded.day";
    sql.run(keep, values![session, owner.org, day(at)]).await?;
    // Those of other days are nobody's.
    sql.run("DELETE FROM reserved WHERE org = $1 AND day < $2", values![owner.org, day(at)]).await?;
    Ok(None)
}

/// The budgets of an owner.
const BUDGETS: &str = "SELECT * FROM budgets WHERE org = $1 AND purse IN ($2, $3, $4) ORDER BY purse";

/// How many pull requests are kept for other sessions that have not opened theirs and may still.
const RESERVED: &str = "SELECT COUNT(*) AS reserved FROM reserved r JOIN sessions s ON s.id = r.session
     WHERE r.org = $1 AND r.day = $2 AND r.session <> $3
       AND s.pull_request IS NULL AND s.state <> 'ended' AND s.forgotten = 0
       AND ($4 = '' OR s.project = $4 OR s.owner = $4)";

fn purses(owner: Owner) -> [String; 3] {
    [Purse::Org, Purse::Project(owner.project), Purse::User(owner.user)].map(spending::name)
}

fn today(purse: &str, what: &str) -> String {
    format!("{} has {what} today; it begins anew at 00:00 UTC", whose(purse))
}

/// The first budget of this owner that is used up.
async fn first(readers: &Readers, owner: Owner, at: Timestamp) -> Result<Option<String>, StoreError> {
    let [whole, project, user] = purses(owner);
    for row in readers.all(BUDGETS, values![owner.org, whole, project, user]).await? {
        let budget = spending::budget(&row)?;
        let name = row.text("purse").map_err(sql::Origin::unreadable)?;
        let spent = spent(readers, owner.org, &name, at).await?;
        if let Some(what) = used_up(budget, spent) {
            return Ok(Some(today(&name, &what)));
        }
    }
    Ok(None)
}

/// With the time of sessions that a worker has now: what they have used is written down only when it gives them back, and then for that day.
async fn spent(readers: &Readers, org: OrgId, purse: &str, at: Timestamp) -> Result<Spending, StoreError> {
    let text = "SELECT * FROM usage WHERE org = $1 AND purse = $2 AND day = $3";
    let row = readers.first(text, values![org, purse, day(at)]).await?;
    let mut spent = row.as_ref().map_or_else(|| Ok(Spending::default()), spending::spending)?;
    spent.sandbox_ms = spent.sandbox_ms.saturating_add(running(readers, org, purse, at).await?);
    Ok(spent)
}

/// Milliseconds for which workers have had the sessions that they have now; nothing on other days.
async fn running(readers: &Readers, org: OrgId, purse: &str, at: Timestamp) -> Result<u64, StoreError> {
    let text = format!(
        "SELECT {now} AS now, (SELECT CAST(SUM({now} - since) AS BIGINT) FROM sessions
             WHERE worker > '' AND since > 0 AND org = $1 AND ($2 = '' OR project = $2 OR owner = $2)) AS running",
        now = readers.clock()
    );
    let row = readers.first(AssertSqlSafe(text), values![org, purse]).await?;
    let read = || -> sqlx::Result<u64> {
        let Some(row) = &row else { return Ok(0) };
        let today = day(row.time("now")?) == day(at);
        Ok(row
            .int_or_null("running")?
            .filter(|_| today)
            .map_or(0, |running| u64::try_from(running).unwrap_or(0)))
    };
    read().map_err(sql::Origin::unreadable)
}

fn whose(purse: &str) -> &'static str {
    match spending::named(purse) {
        Some(Purse::Project(_)) => "the project",
        Some(Purse::User(_)) => "the user",
        Some(Purse::Org) | None => "the organisation",
    }
}

/// What is used up, in words for people.
fn used_up(budget: DayBudget, spent: Spending) -> Option<String> {
    let DayBudget { cost, tokens, sandbox_ms, concurrent: _, pull_requests } = budget;
    let reached = |limit: Option<u64>, spent: u64| limit.filter(|limit| spent >= *limit);
    if let Some(limit) = reached(cost, spent.cost) {
        return Some(format!("spent {} of {}", Cost(spent.cost), Cost(limit)));
    }
    if let Some(limit) = reached(tokens, spent.tokens) {
        return Some(format!("used {} of {limit} tokens", spent.tokens));
    }
    if let Some(limit) = reached(sandbox_ms, spent.sandbox_ms) {
        return Some(format!("used {} of {} sandbox minutes", spent.sandbox_ms / 60_000, limit / 60_000));
    }
    let limit = reached(pull_requests, spent.pull_requests)?;
    Some(format!("opened {} of {limit} pull requests", spent.pull_requests))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_raised_when_anything_more_may_be_spent() {
        let budget = |cost, tokens| DayBudget { cost, tokens, ..DayBudget::default() };
        let before = budget(Some(5), None);
        assert!(is_raised(before, budget(Some(6), Some(1))) && is_raised(before, budget(None, None)));
        assert!(!is_raised(before, before) && !is_raised(before, budget(Some(4), Some(9))));
    }

    #[test]
    fn a_budget_is_used_up_when_it_is_reached() {
        let budget = DayBudget { cost: Some(2_000_000), pull_requests: Some(3), ..DayBudget::default() };
        let spent = |cost, pull_requests| Spending { cost, pull_requests, ..Spending::default() };
        assert_eq!(used_up(budget, spent(1_999_999, 2)), None);
        assert_eq!(used_up(budget, spent(2_100_000, 0)).unwrap(), "spent $2.1000 of $2.0000");
        assert_eq!(used_up(budget, spent(0, 3)).unwrap(), "opened 3 of 3 pull requests");
        assert_eq!(used_up(DayBudget::default(), spent(u64::MAX, u64::MAX)), None);
    }
}
