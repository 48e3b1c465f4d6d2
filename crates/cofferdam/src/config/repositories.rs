//! The `[repositories]` table: how large repositories are copied and checked out.

use anyhow::{Context as _, Result, ensure};
use cofferdam_domain::{cone, egress::Addresses};
use cofferdam_forge::{LfsRules, Mirrors, SubmoduleRules};
use cofferdam_worker::{Sparse, Tests};
use serde::Deserialize;

/// The table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RepositoriesSettings {
    /// Bytes up to which a first copy over the network is whole.
    pub(crate) whole_up_to: u64,
    /// Those that may be worked on beside others which more people may read.
    pub(crate) beside_public: Vec<String>,
    sparse: Vec<SparseTable>,
    lfs: LfsTable,
    submodules: SubmodulesTable,
    tests: Vec<TestsTable>,
}

/// The `[repositories.submodules]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SubmodulesTable {
    bring: bool,
    from: Vec<String>,
    most: usize,
    depth: usize,
    bytes: u64,
}

impl Default for SubmodulesTable {
    fn default() -> Self {
        let SubmoduleRules { bring, from, most, depth, bytes } = SubmoduleRules::default();
        Self { bring, from, most, depth, bytes }
    }
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

/// One `[[repositories.tests]]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestsTable {
    repository: String,
    command: String,
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
        Self {
            whole_up_to: Mirrors::WHOLE_UP_TO,
            beside_public: Vec::new(),
            sparse: Vec::new(),
            lfs: LfsTable::default(),
            submodules: SubmodulesTable::default(),
            tests: Vec::new(),
        }
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
        for table in &self.tests {
            ensure!(
                !table.command.trim().is_empty(),
                "[[repositories.tests]] of {:?}: `command` says nothing",
                table.repository
            );
        }
        self.submodules().check().context("[repositories.submodules] `from`")?;
        Ok(self)
    }

    /// How much is brought of submodules, and from where.
    pub(crate) fn submodules(&self) -> SubmoduleRules {
        let SubmodulesTable { bring, from, most, depth, bytes } = self.submodules.clone();
        SubmoduleRules { bring, from, most, depth, bytes }
    }

    /// How much is taken of what Git LFS keeps.
    pub(crate) fn lfs(&self) -> LfsRules {
        let LfsTable { largest, all, addresses } = self.lfs.clone();
        LfsRules { largest, all, addresses, ..LfsRules::default() }
    }

    /// With which commands repositories are tested.
    pub(crate) fn tests(&self) -> Vec<Tests> {
        let tables = self.tests.iter().cloned();
        tables.map(|TestsTable { repository, command }| Tests { repository, command }).collect()
    }

    /// Which directories sessions have of repositories.
    pub(crate) fn sparse(&self) -> Vec<Sparse> {
        let tables = self.sparse.iter().cloned();
        tables.map(|SparseTable { repository, directories }| Sparse { repository, directories }).collect()
    }
}
