//! What is spent, and what may be.
//!
//! A day is counted in UTC. What a session spends is counted in the transaction that appends the event which says so: for its organisation,
//! its project and its user.

use async_trait::async_trait;
use cofferdam_domain::{OrgId, Owner, ProjectId, SessionId, Timestamp, UserId};

use crate::StoreError;

/// What was spent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spending {
    /// Millionths of a dollar.
    pub cost: u64,
    /// Tokens, in and out.
    pub tokens: u64,
    /// Milliseconds for which a worker had a session.
    pub sandbox_ms: u64,
    /// Sessions that were made.
    pub sessions: u64,
    /// Pull requests that were opened.
    pub pull_requests: u64,
}

/// What may be spent in a day; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DayBudget {
    /// As [`Spending::cost`].
    pub cost: Option<u64>,
    /// As [`Spending::tokens`].
    pub tokens: Option<u64>,
    /// As [`Spending::sandbox_ms`].
    pub sandbox_ms: Option<u64>,
    /// Sessions that may be worked on at once.
    pub concurrent: Option<u64>,
    /// As [`Spending::pull_requests`].
    pub pull_requests: Option<u64>,
}

/// Whose budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purse {
    /// The whole organisation's.
    Org,
    /// One project's.
    Project(ProjectId),
    /// One user's.
    User(UserId),
}

/// Keeps count. What a session spends is counted by the store in the transaction that appends the event that says so.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Sets a budget for each day (UTC).
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn set_budget(&self, org: OrgId, purse: Purse, budget: DayBudget) -> Result<(), StoreError>;
    /// A budget.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn budget(&self, org: OrgId, purse: Purse) -> Result<DayBudget, StoreError>;
    /// What was spent on the day (UTC) of `at`.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn spent(&self, org: OrgId, purse: Purse, at: Timestamp) -> Result<Spending, StoreError>;
    /// The first budget of this owner that is used up at `at`, in words for people: which, how much, when it begins anew.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn exceeded(&self, owner: Owner, at: Timestamp) -> Result<Option<String>, StoreError>;
    /// Keeps one of the day's pull requests for a session that is about to open its own: however many ask at once, no more than the budgets have
    /// are kept. What is kept is free again when the session ends without, and with the day. Otherwise the budget that has none left, as
    /// [`Self::exceeded`] says it.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn reserve_delivery(
        &self,
        owner: Owner,
        session: SessionId,
        at: Timestamp,
    ) -> Result<Option<String>, StoreError>;
}
