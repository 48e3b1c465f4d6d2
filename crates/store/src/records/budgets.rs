//! What may be spent in a day, and whether it is.

use async_trait::async_trait;
use cofferdam_domain::{Cost, OrgId, Owner, Timestamp};
use sqlx::AssertSqlSafe;

use super::spending::{self, day};
use crate::{
    DayBudget, Ledger, Purse, Spending, StoreError,
    log::rings::Matter,
    sql::{self, Backend, Database as _, Readers, values},
};

#[async_trait]
impl<B: Backend> Ledger for B {
    async fn set_budget(&self, org: OrgId, purse: Purse, budget: DayBudget) -> Result<(), StoreError> {
        let put = sql::work(move |sql| {
            Box::pin(async move {
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
        first(self.base().readers(), owner, at, used_up).await
    }

    async fn deliveries_exceeded(&self, owner: Owner, at: Timestamp) -> Result<Option<String>, StoreError> {
        let deliveries = |DayBudget { pull_requests, .. }, spent| {
            used_up(DayBudget { pull_requests, ..DayBudget::default() }, spent)
        };
        first(self.base().readers(), owner, at, deliveries).await
    }
}

/// The first budget of this owner that is used up.
async fn first(
    readers: &Readers,
    owner: Owner,
    at: Timestamp,
    used_up: impl Fn(DayBudget, Spending) -> Option<String> + Send,
) -> Result<Option<String>, StoreError> {
    let purses = [Purse::Org, Purse::Project(owner.project), Purse::User(owner.user)].map(spending::name);
    let [whole, project, user] = &purses;
    let text = "SELECT * FROM budgets WHERE org = $1 AND purse IN ($2, $3, $4) ORDER BY purse";
    for row in readers.all(text, values![owner.org, whole, project, user]).await? {
        let budget = spending::budget(&row)?;
        let name = row.text("purse").map_err(sql::Origin::unreadable)?;
        let spent = spent(readers, owner.org, &name, at).await?;
        if let Some(what) = used_up(budget, spent) {
            return Ok(Some(format!("{} has {what} today; it begins anew at 00:00 UTC", whose(&name))));
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
    fn a_budget_is_used_up_when_it_is_reached() {
        let budget = DayBudget { cost: Some(2_000_000), pull_requests: Some(3), ..DayBudget::default() };
        let spent = |cost, pull_requests| Spending { cost, pull_requests, ..Spending::default() };
        assert_eq!(used_up(budget, spent(1_999_999, 2)), None);
        assert_eq!(used_up(budget, spent(2_100_000, 0)).unwrap(), "spent $2.1000 of $2.0000");
        assert_eq!(used_up(budget, spent(0, 3)).unwrap(), "opened 3 of 3 pull requests");
        assert_eq!(used_up(DayBudget::default(), spent(u64::MAX, u64::MAX)), None);
    }
}
