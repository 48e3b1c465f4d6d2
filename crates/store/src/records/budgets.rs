//! What may be spent in a day, and whether it is.

use async_trait::async_trait;
use cofferdam_domain::{Cost, OrgId, Owner, Timestamp};

use super::spending::{self, day};
use crate::{
    DayBudget, Ledger, Purse, Spending, StoreError,
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
                sql.tell(sql::News::Queue);
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
        let readers = self.base().readers();
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
}

async fn spent(readers: &Readers, org: OrgId, purse: &str, at: Timestamp) -> Result<Spending, StoreError> {
    let text = "SELECT * FROM usage WHERE org = $1 AND purse = $2 AND day = $3";
    let row = readers.first(text, values![org, purse, day(at)]).await?;
    row.as_ref().map_or_else(|| Ok(Spending::default()), spending::spending)
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
