//! Package registries: where they are, which requests only read from them, and what those requests read.
//!
//! A registry is read-only here by protocol: a request passes if it is a GET or HEAD without a query whose path is one
//! that the registry's protocol has for indexes and artefacts, and nothing else does. Publishing, searching and
//! auditing are not in these grammars.

mod ask;
mod checksum;
mod debian;
mod discover;
mod grammar;
mod index;
mod listing;
mod module_zip;
mod named;
mod packages;
mod page;

use std::fmt;

use cofferdam_domain::egress::{Addresses, HostName, Method, RequestPath, Scheme};
use serde::{Deserialize, Serialize};

pub(crate) use ask::Asker;
pub use checksum::{Checksum, Comparison};
pub(crate) use debian::{ArrivingList, DebianLists};
pub use discover::{BuiltIn, ConfigFiles, Discovery, HostFiles, Settings, discover};
pub use grammar::CrateTemplate;
pub use index::{Listed, Listing, read as read_index};
pub use listing::{ListingProblem, Listings};
pub(crate) use named::named;
pub use packages::{InvalidPackageRule, PackageRefusal, PackageRules};

/// The protocols of registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistryKind {
    /// Cargo's sparse protocol (The Cargo Book, "Registry Index").
    Cargo,
    /// The simple repository API of pip, uv and their like (PEP 503, 658, 691, 700).
    Pip,
    /// npm's, which pnpm and yarn speak as well.
    Npm,
    /// Debian repositories.
    Apt,
    /// Go's module proxy protocol, and checksum databases.
    Go,
    /// Maven repositories.
    Maven,
}

impl RegistryKind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Cargo, Self::Pip, Self::Npm, Self::Apt, Self::Go, Self::Maven];

    /// As configured, stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::Pip => "pip",
            Self::Npm => "npm",
            Self::Apt => "apt",
            Self::Go => "go",
            Self::Maven => "maven",
        }
    }
}

impl fmt::Display for RegistryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which part of a registry is at a place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// All of it.
    Whole,
    /// What lists the artefacts.
    Index,
    /// The artefacts.
    Files,
    /// Cargo's artefacts, at paths that the index's `config.json` says.
    Crates(CrateTemplate),
    /// A checksum database of Go modules.
    Sums,
}

/// A place where a registry, or a part of one, is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// Its protocol.
    pub kind: RegistryKind,
    /// What is there.
    pub part: Part,
    /// Encrypted or not.
    pub scheme: Scheme,
    /// On which host.
    pub host: HostName,
    /// At which port.
    pub port: u16,
    /// The path below which it is: empty, or a slash and segments, without a final slash.
    pub base: String,
    /// Where the host may be.
    pub addresses: Addresses,
    /// The name of the credential that the door adds.
    pub credential: Option<String>,
}

/// What a request reads from a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// A list of versions, or of packages.
    Index {
        /// Of which registry.
        kind: RegistryKind,
        /// The package, if it is about one.
        name: Option<String>,
    },
    /// One version of a package, or what belongs to one: its checksum, signature or metadata.
    Artefact {
        /// Of which registry.
        kind: RegistryKind,
        /// The package.
        name: String,
        /// The version, as far as the path tells.
        version: String,
        /// Whether it is the package itself, and not something that accompanies it.
        whole: bool,
    },
    /// Something else that clients read: keys, checksums, settings.
    Other {
        /// Of which registry.
        kind: RegistryKind,
    },
}

impl Reading {
    /// Of which kind of registry.
    #[must_use]
    pub const fn kind(&self) -> RegistryKind {
        match self {
            Self::Index { kind, .. } | Self::Artefact { kind, .. } | Self::Other { kind } => *kind,
        }
    }

    /// The package that it is about.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Index { name, .. } => name.as_deref(),
            Self::Artefact { name, .. } => Some(name),
            Self::Other { .. } => None,
        }
    }

    /// The version that it is about.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::Artefact { version, .. } => Some(version),
            Self::Index { .. } | Self::Other { .. } => None,
        }
    }
}

impl Registry {
    /// What a request to this place reads, or nothing if it is none that only reads what registries of this kind
    /// have. The request's scheme, host and port are the caller's to compare.
    #[must_use]
    pub fn read(&self, method: &Method, path: &RequestPath, query: Option<&str>) -> Option<Reading> {
        if !matches!(method.as_str(), "GET" | "HEAD") || query.is_some() {
            return None;
        }
        // What a slash is must not be a matter of opinion; npm's scopes alone are written with an encoded one.
        let below = path.as_str().strip_prefix(self.base.as_str())?.strip_prefix('/')?;
        match (self.kind, &self.part) {
            (RegistryKind::Cargo, Part::Crates(template)) => template.read(below),
            (RegistryKind::Cargo, Part::Whole | Part::Index) => grammar::cargo_index(below),
            (RegistryKind::Pip, Part::Index) => grammar::pip_index(below),
            (RegistryKind::Pip, Part::Files) => grammar::pip_file(below),
            (RegistryKind::Pip, Part::Whole) => {
                grammar::pip_index(below).or_else(|| grammar::pip_file(below))
            }
            (RegistryKind::Npm, Part::Whole | Part::Index | Part::Files) => grammar::npm(below),
            (RegistryKind::Apt, Part::Whole | Part::Index | Part::Files) => grammar::apt(below),
            (RegistryKind::Go, Part::Whole | Part::Index | Part::Files) => grammar::go_proxy(below),
            (RegistryKind::Go, Part::Sums) => grammar::go_sums(below),
            (RegistryKind::Maven, Part::Whole | Part::Index | Part::Files) => grammar::maven(below),
            // No registry has these parts.
            (RegistryKind::Cargo, Part::Files | Part::Sums) => None,
            (
                RegistryKind::Pip
                | RegistryKind::Npm
                | RegistryKind::Apt
                | RegistryKind::Go
                | RegistryKind::Maven,
                Part::Crates(_),
            )
            | (RegistryKind::Pip | RegistryKind::Npm | RegistryKind::Apt | RegistryKind::Maven, Part::Sums) => {
                None
            }
        }
    }
}
