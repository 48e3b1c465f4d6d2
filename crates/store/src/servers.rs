//! MCP servers that were approved: what exactly, by whom, when.

use async_trait::async_trait;
use cofferdam_domain::{Digest, OrgId, Timestamp};

use crate::StoreError;

/// A server that somebody has approved for an organisation's sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovedServer {
    /// Its name in the configuration.
    pub name: String,
    /// What was approved.
    pub digest: Digest,
    /// The tools that were, as JSON.
    pub tools: String,
    /// When.
    pub at: Timestamp,
    /// By whom, as text for people.
    pub by: String,
}

/// Keeps what was approved of servers. Implemented by every store.
#[async_trait]
pub trait ApprovedServers: Send + Sync {
    /// Keeps that a server is approved, in the place of what was approved of it before.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn approve_server(&self, org: OrgId, server: ApprovedServer) -> Result<(), StoreError>;

    /// Takes it back. `false` when the organisation has none of this name.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn disapprove_server(&self, org: OrgId, name: &str) -> Result<bool, StoreError>;

    /// The servers that are approved for an organisation, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn approved_servers(&self, org: OrgId) -> Result<Vec<ApprovedServer>, StoreError>;
}
