//! The `[repositories]` table: how large repositories are copied and checked out.

use anyhow::{Context as _, Result};
use cofferdam_domain::{cone, egress::Addresses};
use cofferdam_forge::{LfsRules, Mirrors};
use cofferdam_worker::Sparse;
use serde::Deserialize;

/// The table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RepositoriesSettings {
    /// Bytes up to which a first copy over the network is whole.
    pub(crate) whole_up_to: u64,
    sparse: Vec<SparseTable>,
    lfs: LfsTable,
}

/// The `[repositories.lfs]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LfsTable {
    largest: u64,
    all: u64,
    addresses: Addresses,
}

impl Default for LfsTable {
    fn default() -> Self {
        let LfsRules { largest, all, addresses, .. } = LfsRules::default();
        Self { largest, all, addresses }
    }
}

/// One `[[repositories.sparse]]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct SparseTable {
    repository: String,
    directories: Vec<String>,
}

impl Default for RepositoriesSettings {
    fn default() -> Self {
        Self { whole_up_to: Mirrors::WHOLE_UP_TO, sparse: Vec::new(), lfs: LfsTable::default() }
    }
}

impl RepositoriesSettings {
    /// The same, if it can be.
    pub(super) fn checked(self) -> Result<Self> {
        for table in &self.sparse {
            cone::check(&table.directories).with_context(|| {
                format!("[[repositories.sparse]] of {:?}: `directories`", table.repository)
            })?;
        }
        Ok(self)
    }

    /// How much is taken of what Git LFS keeps.
    pub(crate) fn lfs(&self) -> LfsRules {
        let LfsTable { largest, all, addresses } = self.lfs.clone();
        LfsRules { largest, all, addresses, ..LfsRules::default() }
    }

    /// Which directories sessions have of repositories.
    pub(crate) fn sparse(&self) -> Vec<Sparse> {
        let tables = self.sparse.iter().cloned();
        tables.map(|SparseTable { repository, directories }| Sparse { repository, directories }).collect()
    }
}
