//! The git program: found once, checked once, and always run with the same hardened environment.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

/// Variables of the process that reach a network transport: how to get out, whom to trust, and the
/// user's key agent.
const NETWORK_VARIABLES: &[&str] = &[
    "SSH_AUTH_SOCK",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// The git program. Cheap to clone.
///
/// Every command runs
/// - as an argument vector, with options and operands that cannot be mistaken for each other,
/// - with an empty environment but for what [`Git`] sets: no system or user configuration, no prompt, no
///   askpass, no credential helper, no replacement objects, no fetching of missing objects on the side,
///   messages in English;
/// - with the settings of a repository's own configuration that name programs overridden on the command line,
///   which has the last word;
/// - with every transport refused but the one that the operation needs (`GIT_ALLOW_PROTOCOL`, which no
///   configuration can widen);
/// - in its own process group, which is killed on time-out and on drop, with bounded output.
///
/// **`safe.directory=*`.** Git refuses to work in a repository of another user, because its configuration
/// could run programs as whoever runs git. A user named the repository to us on purpose, and of the commands
/// that we run in it none takes a program from its configuration: reading is `git upload-pack`, which git
/// itself holds safe to run in an untrusted repository (git-upload-pack(1), "SECURITY"), `rev-parse`,
/// `config`, `for-each-ref`, `ls-files` and `diff-index --cached`; writing is `index-pack` and `update-ref`
/// without hooks. So the check would only keep an administrator from serving a user's repository.
#[derive(Debug, Clone)]
pub struct Git(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    program: PathBuf,
    search_path: OsString,
    network_variables: Vec<(&'static str, OsString)>,
    version: GitVersion,
}

/// A version of git.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GitVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number; zero where there is none.
    pub patch: u32,
}

impl GitVersion {
    /// The oldest version that has all that is needed (`merge-tree --write-tree`, `fetch.fsckObjects` with
    /// skip lists).
    pub const OLDEST: Self = Self { major: 2, minor: 39, patch: 0 };

    /// Reads what `git version` prints.
    fn parse(output: &str) -> Option<Self> {
        let text = output.strip_prefix("git version ")?.split_whitespace().next()?;
        let mut numbers = text.split(['.', '-']).map(str::parse);
        let major = numbers.next()?.ok()?;
        let minor = numbers.next()?.ok()?;
        let patch = numbers.next().and_then(Result::ok).unwrap_or(0);
        Some(Self { major, minor, patch })
    }
}

impl std::fmt::Display for GitVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Why a git command could not be run, or what came of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// No directory of `PATH` has it.
    #[error(
        "git was not found in PATH: install git {} or later (for example `apt install git`)",
        GitVersion::OLDEST
    )]
    NotFound,
    /// It is there but too old, or does not answer as git does.
    #[error(
        "{program} says {answer:?}: git {} or later is needed; install it or put it first in PATH",
        GitVersion::OLDEST
    )]
    TooOld {
        /// The program that was found.
        program: PathBuf,
        /// What it says to `git version`.
        answer: String,
    },
    /// The program could not be started or spoken to.
    #[error("failed to run {command}")]
    Run {
        /// The subcommand, as `git fetch`.
        command: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It ended with an error.
    #[error("{command} failed: {message}")]
    Failed {
        /// The subcommand.
        command: String,
        /// Its exit status; `None` if a signal ended it.
        code: Option<i32>,
        /// What it said, shortened.
        message: String,
    },
    /// It took too long and was killed.
    #[error("{command} was stopped after {} seconds: try again when the machine or the network is less busy", .after.as_secs())]
    TimedOut {
        /// The subcommand.
        command: String,
        /// The time it had.
        after: Duration,
    },
    /// It wrote more than it may and was killed.
    #[error("{command} wrote more than {limit} bytes: the repository is larger than Cofferdam works with")]
    TooMuchOutput {
        /// The subcommand.
        command: String,
        /// How much it may write.
        limit: u64,
    },
    /// The disk is full.
    #[error(
        "no space left on the device while running {command}: free some space in the data directory and try again"
    )]
    DiskFull {
        /// The subcommand.
        command: String,
    },
    /// It wrote something that git does not write.
    #[error("{command} printed something unexpected: {detail}")]
    Unexpected {
        /// The subcommand.
        command: String,
        /// What, shortened.
        detail: String,
    },
}

impl GitError {
    /// What git said when it ended with an error; the error itself if it was another.
    pub(crate) fn message(self) -> Result<String, Self> {
        if let Self::Failed { message, .. } = self { Ok(message) } else { Err(self) }
    }
}

impl Git {
    /// Finds git in the directories of the process's `PATH`, and asks for its version.
    ///
    /// # Errors
    /// [`GitError::NotFound`] and [`GitError::TooOld`] name the remedy.
    pub fn find() -> Result<Self, GitError> {
        Self::find_in(&env::var_os("PATH").unwrap_or_default())
    }

    /// Finds git in the directories of `search_path`, which has the form of `PATH`. Relative directories are
    /// passed over. Programs that git runs itself (`ssh`) are looked for there too. What network transports
    /// need of the process's environment (proxies, certificates, the key agent) is read here, once.
    ///
    /// # Errors
    /// As [`Git::find`].
    pub fn find_in(search_path: &OsStr) -> Result<Self, GitError> {
        let program = env::split_paths(search_path)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join("git"))
            .find(|path| is_executable(path))
            .ok_or(GitError::NotFound)?;
        let output = Command::new(&program)
            .arg("version")
            .env_clear()
            .env("PATH", search_path)
            .env("LC_ALL", "C")
            .current_dir("/")
            .output()
            .map_err(|source| GitError::Run { command: "git version".into(), source })?;
        let answer: String = String::from_utf8_lossy(&output.stdout).trim().chars().take(100).collect();
        match GitVersion::parse(&answer) {
            Some(version) if version >= GitVersion::OLDEST => {
                let network_variables =
                    NETWORK_VARIABLES.iter().filter_map(|name| Some((*name, env::var_os(name)?))).collect();
                let search_path = search_path.to_owned();
                Ok(Self(Arc::new(Inner { program, search_path, network_variables, version })))
            }
            Some(_) | None => Err(GitError::TooOld { program, answer }),
        }
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> GitVersion {
        self.0.version
    }

    /// Where it is.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.0.program
    }

    pub(crate) fn network_variables(&self) -> &[(&'static str, OsString)] {
        &self.0.network_variables
    }

    pub(crate) fn search_path(&self) -> &OsStr {
        &self.0.search_path
    }
}

pub(crate) fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_every_vendor() {
        let parse = |text| GitVersion::parse(text).map(|version| version.to_string());
        assert_eq!(parse("git version 2.39.5").as_deref(), Some("2.39.5"));
        assert_eq!(parse("git version 2.39.5 (Apple Git-154)").as_deref(), Some("2.39.5"));
        assert_eq!(parse("git version 2.45.GIT").as_deref(), Some("2.45.0"));
        assert_eq!(parse("git version 2.51.0-rc1").as_deref(), Some("2.51.0"));
        assert_eq!(parse("hub version 2"), None);
    }
}
