//! Finding registries: from what the host's package managers are configured to use, so that a company's mirrors are
//! honoured, and from what they have built in, so that no registry is named here.
//!
//! In three steps. [`BuiltIn::ask`] asks the tools what they would use (processes, bounded, kept between runs).
//! [`discover`] reads configuration files and variables (pure over [`ConfigFiles`]). [`Discovery::learn`] asks the indexes
//! where their files are, where that is elsewhere (requests). What is secret in a configuration becomes a credential of the
//! door; what is not becomes settings for the inside, so that the tools there ask the same places.

mod apt;
mod built_in;
mod cargo;
mod files;
mod go;
mod ini;
mod jar;
mod learn;
mod maven;
mod netrc;
mod npm;
mod pip;
mod place;
mod xml;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::Registry;
use crate::credential::Credential;

pub use built_in::BuiltIn;
pub use files::{ConfigFiles, HostFiles};
use netrc::Netrc;

/// Where files with settings are inside.
pub(super) const INSIDE: &str = "/run/cofferdam/registries";

/// What was found out about registries.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    /// Where they are.
    pub registries: Vec<Registry>,
    /// Secrets that the package managers' configurations have for them.
    pub credentials: Vec<Credential>,
    /// What makes tools in a sandbox ask the same places.
    pub settings: Settings,
    /// What could not be used, for people: one line each.
    pub notes: Vec<String>,
}

/// Settings for the inside of a sandbox. Nothing in them is secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Variables for every command.
    pub variables: BTreeMap<String, String>,
    /// Files, by their path inside.
    pub files: BTreeMap<PathBuf, String>,
}

/// What discovery looks at.
pub(crate) struct Sight<'a> {
    pub(crate) files: &'a dyn ConfigFiles,
    pub(crate) variables: &'a BTreeMap<String, OsString>,
    pub(crate) built_in: &'a BuiltIn,
    pub(crate) netrc: Netrc,
}

impl Sight<'_> {
    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).and_then(|value| value.to_str()).filter(|value| !value.is_empty())
    }

    /// The first of several names of one variable.
    fn any_variable(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.variable(name))
    }

    fn home(&self) -> Option<&Path> {
        self.variables.get("HOME").map(Path::new).filter(|home| home.is_absolute())
    }

    /// A file below the home directory.
    fn in_home(&self, path: &str) -> Option<PathBuf> {
        self.home().map(|home| home.join(path))
    }

    /// The directory for users' configuration files (XDG Base Directory Specification).
    fn config_home(&self) -> Option<PathBuf> {
        self.variable("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| self.in_home(".config"))
    }
}

/// Reads what the host's package managers are configured to use.
#[must_use]
pub fn discover(
    files: &dyn ConfigFiles,
    variables: &BTreeMap<String, OsString>,
    built_in: &BuiltIn,
) -> Discovery {
    let mut sight = Sight { files, variables, built_in, netrc: Netrc::default() };
    sight.netrc = Netrc::read(&sight);
    let mut found = Discovery::default();
    for read in [cargo::read, pip::read, npm::read, apt::read, go::read, maven::read] {
        read(&sight, &mut found);
    }
    found.tidy();
    found
}

impl Discovery {
    /// One entry for each place, and one credential for each name.
    fn tidy(&mut self) {
        let mut registries: Vec<Registry> = Vec::new();
        for registry in self.registries.drain(..) {
            if !registries.contains(&registry) {
                registries.push(registry);
            }
        }
        self.registries = registries;
        let mut seen = std::collections::BTreeSet::new();
        self.credentials.retain(|credential| seen.insert(credential.name.clone()));
        self.notes.dedup();
    }
}

#[cfg(test)]
mod tests;
