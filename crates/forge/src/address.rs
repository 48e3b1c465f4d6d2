//! Where a repository is: a path on this machine or a URL, parsed strictly. What git would understand beyond
//! that (`ext::` commands, helpers, options, passwords in URLs) is refused with a reason.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use cofferdam_domain::{Digest, hidden::visible, loopback::is_loopback};
use serde::{Deserialize, Serialize};

use crate::{Git, GitError, call::Transport};

const LONGEST: usize = 2048;

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepositoryAddress {
    /// On this machine.
    Local(LocalRepository),
    /// Behind `https` or `ssh`, or `http` on this machine.
    Remote(RemoteRepository),
}

/// A repository on this machine, found by git.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LocalRepository {
    root: PathBuf,
    git_directory: PathBuf,
    bare: bool,
}

impl LocalRepository {
    /// The top of its work tree, or the repository itself if it is bare; absolute, without symbolic links.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its git directory (of this work tree, where a repository has several).
    #[must_use]
    pub(crate) fn git_directory(&self) -> &Path {
        &self.git_directory
    }

    /// Whether it has no work tree.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.bare
    }
}

/// A repository behind `https` or `ssh`; behind `http` only where that is this machine's loopback.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RemoteRepository(String);

impl RemoteRepository {
    /// Its URL, as git takes it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0
    }

    /// How git gets there.
    pub(crate) fn transport(&self) -> Transport {
        transport_of(&self.0)
    }
}

/// How git gets to a URL.
pub(crate) fn transport_of(url: &str) -> Transport {
    if url.starts_with("http://") { Transport::Loopback } else { Transport::Network }
}

impl TryFrom<String> for RemoteRepository {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        match Form::of(&text)? {
            Form::Remote(remote) => Ok(remote),
            Form::Path(_) => Err(AddressError::Malformed { text: shown(&text), why: "it is not a URL" }),
        }
    }
}

impl From<RemoteRepository> for String {
    fn from(remote: RemoteRepository) -> Self {
        remote.0
    }
}

/// Why a text is not the address of a repository that can be worked on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It has not the form of a path or URL.
    #[error("{text:?} is not a repository address: {why}")]
    Malformed {
        /// The text, made visible.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It asks for a transport that is not used.
    #[error(
        "{text:?} uses {scheme}, which is not allowed: give a local path, or an https:// or ssh:// URL (http:// only on this machine's loopback)"
    )]
    Transport {
        /// The text, made visible.
        text: String,
        /// The transport.
        scheme: String,
    },
    /// It carries a password or token. The text is not repeated.
    #[error(
        "the repository URL has a user name or password in it: leave it out; for a private repository use an ssh:// URL with a key in your ssh agent, or a local clone"
    )]
    EmbeddedCredential,
    /// There is nothing at the path.
    #[error("{path:?} does not exist: give the path of a git repository, or its https:// or ssh:// URL")]
    Missing {
        /// The path.
        path: String,
    },
    /// What is at the path cannot be read.
    #[error("{path:?} cannot be read: make it readable for this user, or give another path")]
    Unreadable {
        /// The path.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// What is at the path is no git repository.
    #[error(
        "{path:?} is not a git repository: make it one with `git init` and a first commit, or give another path"
    )]
    NotARepository {
        /// The path.
        path: String,
    },
    /// Git could not be run.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl RepositoryAddress {
    /// The address in `text`, a path being relative to `current`. A path is looked up: it may be a work tree,
    /// a bare repository, or anywhere inside one.
    ///
    /// # Errors
    /// [`AddressError`], each naming what to give instead.
    pub async fn parse(git: &Git, text: &str, current: &Path) -> Result<Self, AddressError> {
        match Form::of(text)? {
            Form::Remote(remote) => Ok(Self::Remote(remote)),
            Form::Path(path) => Ok(Self::Local(find(git, &current.join(path)).await?)),
        }
    }

    /// Names the address in file names: a digest, the same for every way to write the same address.
    #[must_use]
    pub fn key(&self) -> String {
        let text = match self {
            Self::Local(local) => format!("local\0{}", local.git_directory.display()),
            Self::Remote(remote) => format!("remote\0{}", remote.0),
        };
        Digest::of(text.as_bytes()).hex()[..32].to_owned()
    }
}

impl fmt::Display for RepositoryAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(local) => fmt::Display::fmt(&local.root.display(), f),
            Self::Remote(remote) => f.write_str(&remote.0),
        }
    }
}

/// What a text has the form of, before anything is looked up.
#[derive(Debug, PartialEq, Eq)]
enum Form<'a> {
    Path(&'a str),
    Remote(RemoteRepository),
}

impl<'a> Form<'a> {
    fn of(text: &'a str) -> Result<Self, AddressError> {
        let malformed = |why| Err(AddressError::Malformed { text: shown(text), why });
        if text.is_empty() {
            return malformed("it is empty");
        }
        if text.len() > LONGEST {
            return malformed("it is too long");
        }
        if text.chars().any(char::is_control) {
            return malformed("it contains control characters");
        }
        if text.starts_with('-') {
            return malformed("it starts with a dash; write a path as ./-name");
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return Self::of_url(text, &scheme.to_ascii_lowercase(), rest);
        }
        if let Some((helper, _)) = text.split_once("::") {
            return Err(AddressError::Transport {
                text: shown(text),
                scheme: format!("the helper {helper:?}"),
            });
        }
        match text.split_once(':') {
            // As git does: a slash before the first colon makes it a path.
            Some((host, path)) if !host.contains('/') && host.contains('@') => {
                let (user, host) = host.split_once('@').unwrap_or(("", host));
                let good = is_user(user) && is_host(host) && is_path(path) && !path.starts_with('-');
                if good {
                    Ok(Self::Remote(RemoteRepository(text.to_owned())))
                } else {
                    malformed("the short form is user@host:path")
                }
            }
            Some(_) | None => Ok(Self::Path(text)),
        }
    }

    fn of_url(text: &'a str, scheme: &str, rest: &'a str) -> Result<Self, AddressError> {
        let malformed = |why| Err(AddressError::Malformed { text: shown(text), why });
        if scheme == "file" {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            return match path {
                _ if path.contains('%') => malformed("give the path itself instead of an encoded file URL"),
                _ if path.starts_with('/') => Ok(Self::Path(path)),
                _ => malformed("a file URL may not name another host"),
            };
        }
        let refused = || AddressError::Transport {
            text: shown(text.split('@').next_back().unwrap_or("")),
            scheme: format!("{scheme}://"),
        };
        if !matches!(scheme, "https" | "http" | "ssh") {
            return Err(refused());
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        match user {
            Some(user) if scheme != "ssh" || user.contains(':') => {
                return Err(AddressError::EmbeddedCredential);
            }
            Some(user) if !is_user(user) => return malformed("the user name has unusual characters"),
            Some(_) | None => {}
        }
        let (host, port) = split_port(place);
        if !is_host(host) {
            return malformed("the host name is missing or has unusual characters");
        }
        if scheme == "http" && !is_loopback(host) {
            return Err(refused());
        }
        if !port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number != 0)) {
            return malformed("the port is not a number from 1 to 65535");
        }
        if !is_path(path) {
            return malformed("the path is missing or has unusual characters");
        }
        Ok(Self::Remote(RemoteRepository(format!("{scheme}://{rest}"))))
    }
}

fn split_port(place: &str) -> (&str, Option<&str>) {
    let after_address = place.rfind(']').map_or(0, |end| end + 1);
    match place[after_address..].rfind(':') {
        Some(colon) => (&place[..after_address + colon], Some(&place[after_address + colon + 1..])),
        None => (place, None),
    }
}

fn is_user(user: &str) -> bool {
    !user.is_empty()
        && !user.starts_with('-')
        && user.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !host.is_empty()
        && !host.starts_with(['-', '.'])
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

/// A path on a server: printable characters that no shell or URL parser on the way reads in its own way.
pub(crate) fn is_path(path: &str) -> bool {
    !path.trim_matches('/').is_empty()
        && path.split('/').all(|part| part != ".." && part != ".")
        && path.bytes().all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'/' | b'.' | b'_' | b'-' | b'~' | b'+' | b'=' | b',')
        })
}

fn shown(text: &str) -> String {
    visible(text.as_bytes()).chars().take(200).collect()
}

async fn find(git: &Git, path: &Path) -> Result<LocalRepository, AddressError> {
    let shown = || visible(path.as_os_str().as_encoded_bytes());
    let found = match path.canonicalize() {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(AddressError::Missing { path: shown() });
        }
        Err(source) => return Err(AddressError::Unreadable { path: shown(), source }),
    };
    if !found.is_dir() {
        return Err(AddressError::NotARepository { path: shown() });
    }
    let questions = ["--absolute-git-dir", "--is-bare-repository", "--is-inside-work-tree"];
    let output = git.call("rev-parse").within(&found).args(questions).run_to_any_end().await?;
    if output.code != Some(0) {
        return if output.stderr.contains("not a git repository") {
            Err(AddressError::NotARepository { path: shown() })
        } else {
            Err(output.into_error().into())
        };
    }
    let unexpected = || AddressError::Git(output.unexpected(&output.stdout));
    let answers = std::str::from_utf8(&output.stdout).map_err(|_| AddressError::Malformed {
        text: shown(),
        why: "the repository's path is not valid UTF-8; move it or use a link from elsewhere",
    })?;
    let mut lines = answers.lines();
    let (Some(git_directory), Some(bare), Some(inside)) = (lines.next(), lines.next(), lines.next()) else {
        return Err(unexpected());
    };
    let git_directory = Path::new(git_directory).canonicalize().map_err(|_| unexpected())?;
    let root = if inside == "true" {
        let output = git.call("rev-parse").within(&found).arg("--show-toplevel").run().await?;
        let text = String::from_utf8(output.stdout).map_err(|_| unexpected())?;
        PathBuf::from(text.trim_end_matches('\n'))
    } else {
        git_directory.clone()
    };
    if root.to_str().is_none_or(|text| text.chars().any(char::is_control)) {
        let why = "the repository's path has control characters or is not valid UTF-8; move it";
        return Err(AddressError::Malformed { text: shown(), why });
    }
    Ok(LocalRepository { root, git_directory, bare: bare == "true" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn remote(text: &str) -> String {
        match Form::of(text) {
            Ok(Form::Remote(remote)) => remote.0,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn urls_that_are_taken() {
        for url in [
            "https://example.org/a/b.git",
            "https://example.org:8443/a/b",
            "https://[::1]:8443/a",
            "ssh://git@example.org/a/b.git",
            "ssh://example.org:2222/~user/b.git",
            "git@example.org:a/b.git",
            "http://127.0.0.1:3000/a/b.git",
            "http://localhost:3000/a/b",
            "http://[::1]:3000/a",
        ] {
            assert_eq!(remote(url), url);
        }
        assert_eq!(remote("HTTPS://example.org/a"), "https://example.org/a");
        assert_eq!(Form::of("file:///srv/a").unwrap(), Form::Path("/srv/a"));
        assert_eq!(Form::of("./-a:b").unwrap(), Form::Path("./-a:b"));
    }

    #[test]
    fn texts_that_are_refused() {
        for (text, why) in [
            ("", "empty"),
            ("--upload-pack=touch /tmp/x", "dash"),
            ("ext::sh -c true", "helper \"ext\""),
            ("fd::17", "helper \"fd\""),
            ("http://example.org/a", "http://"),
            ("http://127.0.0.1.example.org/a", "http://"),
            ("http://localhost.example.org/a", "http://"),
            ("http://[fe80::1]/a", "http://"),
            ("http://user:pass@127.0.0.1/a", "user name or password"),
            ("git://example.org/a", "git://"),
            ("ftp://user:secret@example.org/a", "ftp://"),
            ("file://example.org/a", "another host"),
            ("https://token@example.org/a", "user name or password"),
            ("https://user:pass@example.org/a", "user name or password"),
            ("ssh://user:pass@example.org/a", "user name or password"),
            ("ssh://-oProxyCommand=x/a", "host name"),
            ("ssh://-a@example.org/a", "user name"),
            ("git@-oProxyCommand=x:a", "short form"),
            ("git@example.org:--upload-pack", "short form"),
            ("git@example.org:a;b", "short form"),
            ("https://example.org/", "path is missing"),
            ("https://example.org/a/../b", "path"),
            ("https://example.org/a?b", "path"),
            ("https://example.org/a%0ab", "path"),
            ("https://example.org:0/a", "port"),
            ("https://example.org:99999/a", "port"),
            ("https://exa mple.org/a", "host name"),
            ("a\nb", "control"),
        ] {
            let error = Form::of(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text:?}: {error}");
            assert!(!error.contains("secret") && !error.contains("pass@"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_remote_is_never_an_option_or_a_helper(text in "(https|ssh|ext|git@h)?(://|::|:)?[-a-z@:/. %]{0,20}") {
            if let Ok(Form::Remote(remote)) = Form::of(&text) {
                prop_assert!(!remote.0.starts_with('-') && !remote.0.contains("::/") && !remote.0.contains(' '));
                prop_assert!(remote.0.starts_with("https://") || remote.0.starts_with("ssh://") || remote.0.contains('@'));
                prop_assert_eq!(RemoteRepository::try_from(remote.0.clone()).unwrap(), remote);
            }
        }
    }
}
