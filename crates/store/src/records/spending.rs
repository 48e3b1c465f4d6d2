//! What was spent: counted beside the events that say so, in their transaction.

use std::collections::BTreeMap;

use cofferdam_domain::{OrgId, Owner, ProjectId, Timestamp, UserId};
use sqlx::AssertSqlSafe;

use crate::{
    DayBudget, Purse, Spending, StoreError,
    log::line::DAY,
    sql::{Origin, Row, Sql, Value},
};

/// The most rows in one statement.
const MAX_ROWS: usize = 12;

/// What is to be added to the counts. In order, so that transactions at the same time do not wait for each other in a circle.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<(OrgId, String, u64), Spending>);

impl Tally {
    /// Adds what was spent for somebody.
    pub(crate) fn add(&mut self, owner: Owner, at: Timestamp, spent: Spending) {
        if spent == Spending::default() {
            return;
        }
        for purse in [Purse::Org, Purse::Project(owner.project), Purse::User(owner.user)] {
            let counted = self.0.entry((owner.org, name(purse), day(at))).or_default();
            counted.cost = counted.cost.saturating_add(spent.cost);
            counted.tokens = counted.tokens.saturating_add(spent.tokens);
            counted.sandbox_ms = counted.sandbox_ms.saturating_add(spent.sandbox_ms);
            counted.sessions += spent.sessions;
            counted.pull_requests += spent.pull_requests;
        }
    }

    /// Writes it down.
    pub(crate) async fn write(self, sql: &mut Sql<'_>) -> Result<(), StoreError> {
        let rows: Vec<_> = self.0.into_iter().collect();
        for rows in rows.chunks(MAX_ROWS) {
            let mut values: Vec<Value> = Vec::with_capacity(rows.len() * 8);
            let mut places = Vec::with_capacity(rows.len());
            for ((org, purse, day), spent) in rows {
                let first = values.len();
                values.extend([
                    (*org).into(),
                    purse.into(),
                    (*day).into(),
                    spent.cost.into(),
                    spent.tokens.into(),
                    spent.sandbox_ms.into(),
                    spent.sessions.into(),
                    spent.pull_requests.into(),
                ]);
                let row: Vec<String> = (first + 1..=first + 8).map(|place| format!("${place}")).collect();
                places.push(format!("({})", row.join(", ")));
            }
            let text = format!(
                "INSERT INTO usage (org, purse, day, cost, tokens, sandbox_ms, sessions, pull_requests) VALUES {}
                 ON CONFLICT (org, purse, day) DO UPDATE SET
                     cost = usage.cost + excluded.cost, tokens = usage.tokens + excluded.tokens,
                     sandbox_ms = usage.sandbox_ms + excluded.sandbox_ms,
                     sessions = usage.sessions + excluded.sessions,
                     pull_requests = usage.pull_requests + excluded.pull_requests",
                places.join(", ")
            );
            sql.run(AssertSqlSafe(text), &values).await?;
        }
        Ok(())
    }
}

/// The name that a purse has in the tables.
pub(crate) fn name(purse: Purse) -> String {
    match purse {
        Purse::Org => String::new(),
        Purse::Project(project) => project.to_string(),
        Purse::User(user) => user.to_string(),
    }
}

/// The day of a point in time, counted from 1970-01-01.
pub(crate) const fn day(at: Timestamp) -> u64 {
    at.0 / DAY
}

/// The purse with this name.
pub(crate) fn named(name: &str) -> Option<Purse> {
    if name.is_empty() {
        return Some(Purse::Org);
    }
    name.parse::<ProjectId>().map(Purse::Project).or_else(|_| name.parse::<UserId>().map(Purse::User)).ok()
}

/// What a row of `usage` says.
pub(crate) fn spending(row: &Row) -> Result<Spending, StoreError> {
    let read = || -> sqlx::Result<Spending> {
        Ok(Spending {
            cost: row.count("cost")?,
            tokens: row.count("tokens")?,
            sandbox_ms: row.count("sandbox_ms")?,
            sessions: row.count("sessions")?,
            pull_requests: row.count("pull_requests")?,
        })
    };
    read().map_err(Origin::unreadable)
}

/// What a row of `budgets` says.
pub(crate) fn budget(row: &Row) -> Result<DayBudget, StoreError> {
    let read = || -> sqlx::Result<DayBudget> {
        Ok(DayBudget {
            cost: row.count_or_null("cost")?,
            tokens: row.count_or_null("tokens")?,
            sandbox_ms: row.count_or_null("sandbox_ms")?,
            concurrent: row.count_or_null("concurrent")?,
            pull_requests: row.count_or_null("pull_requests")?,
        })
    };
    read().map_err(Origin::unreadable)
}
