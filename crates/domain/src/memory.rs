//! What an organisation has noted for later sessions: short texts about a repository, or about all of them.
//!
//! A text that a model has put forward is a proposal until a person has approved it; whatever is recalled advises and permits nothing.

use serde::{Deserialize, Serialize};

use crate::{Digest, MemoryId, SessionId, Timestamp, hidden::Hidden};

/// The longest text of one memory, in bytes.
pub const LONGEST: usize = 2_000;
/// So many are recalled in one session at the most.
pub const MOST_RECALLED: usize = 50;
/// So many bytes of text are recalled in one session at the most.
pub const MOST_BYTES: usize = 24 * 1024;
/// So many an organisation has at the most.
pub const MOST_KEPT: usize = 1_000;
/// So many proposals of an organisation's sessions wait for a person at the most. What is proposed then is not kept.
pub const MOST_WAITING: usize = 500;
/// So many of them are of one project's sessions at the most, so that one project's leave room for those of the others.
pub const MOST_WAITING_OF_PROJECT: usize = 100;
/// So many one session proposes at the most.
pub const MOST_OF_SESSION: usize = 10;
/// The longest name of a repository that has memories, in characters.
pub const LONGEST_PLACE: usize = 500;

/// Why a text is no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoMemory {
    /// There is nothing in it.
    #[error("there is nothing in it: write what is to be remembered")]
    Empty,
    /// It is too long.
    #[error("it has {0} bytes: {LONGEST} is the most, so say it shorter, or in several")]
    TooLong(usize),
    /// It has characters that are no text.
    #[error("it has control characters: plain text and line breaks will do")]
    NotText,
    /// The repository is none.
    #[error("the repository is named by its absolute path or URL, of at most {LONGEST_PLACE} characters")]
    Place,
}

/// Whether a text can be a memory: something, not too much, and text. Characters that cannot be seen are let in, and shown as what they are
/// wherever people or models read it.
///
/// # Errors
/// When it cannot be one.
pub fn check(text: &str) -> Result<(), NoMemory> {
    let is_control =
        |character| !matches!(character, '\n' | '\t') && Hidden::of(character) == Some(Hidden::Control);
    if text.trim().is_empty() {
        Err(NoMemory::Empty)
    } else if text.len() > LONGEST {
        Err(NoMemory::TooLong(text.len()))
    } else if text.chars().any(is_control) {
        Err(NoMemory::NotText)
    } else {
        Ok(())
    }
}

/// The name under which a repository's memories are kept, the same for all the ways to write its address: `https://example.com/acme/app`, however
/// git gets there, or an absolute path. `None` where it cannot be the name of one.
#[must_use]
pub fn place(repository: &str) -> Option<String> {
    let text = repository.trim();
    let fits = !text.is_empty()
        && text.chars().count() <= LONGEST_PLACE
        && text.chars().all(|character| Hidden::of(character).is_none());
    if !fits {
        return None;
    }
    let place = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("file") => {
            path(rest.strip_prefix("localhost").unwrap_or(rest))?
        }
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/')?;
            on_host(authority, default_port(scheme), path)?
        }
        // As git does: a slash before the first colon makes it a path.
        None => match text.split_once(':') {
            Some((host, path)) if host.contains('@') && !host.contains('/') => on_host(host, "22", path)?,
            Some(_) | None => path(text)?,
        },
    };
    Some(place)
}

fn default_port(scheme: &str) -> &'static str {
    if scheme.eq_ignore_ascii_case("ssh") {
        "22"
    } else if scheme.eq_ignore_ascii_case("http") {
        "80"
    } else {
        "443"
    }
}

/// A repository on a host. Whose name is used to log in matters only where it is none that all use.
fn on_host(authority: &str, usual_port: &str, path: &str) -> Option<String> {
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(user, host)| (user, host));
    let host = host.to_ascii_lowercase();
    let own = !user.is_empty() && user != "git";
    let without = |port| host.strip_suffix(port).and_then(|host| host.strip_suffix(':'));
    let host = without(usual_port).or_else(|| without("443").filter(|_| !own)).unwrap_or(&host);
    let path = joined(path);
    let path = path.strip_suffix(".git").unwrap_or(&path);
    let place = if own { format!("ssh://{user}@{host}/{path}") } else { format!("https://{host}/{path}") };
    (!host.is_empty() && !path.is_empty()).then_some(place)
}

/// An absolute path on the worker's machine.
fn path(path: &str) -> Option<String> {
    path.starts_with('/').then(|| format!("/{}", joined(path)))
}

fn joined(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    parts.join("/")
}

/// One text, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Which.
    pub id: MemoryId,
    /// The repository that it is about, as the organisation's tasks name it; `None` for all of the organisation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// What is to be remembered. Whoever wrote it, it is advice.
    pub text: String,
    /// Where it comes from.
    pub source: MemorySource,
    /// When it was written.
    pub at: Timestamp,
    /// Whether the session that proposed it held what not everybody may see who may read that repository.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
}

impl Memory {
    /// What its exact text is known by.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }
}

/// Where a memory comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum MemorySource {
    /// A person wrote it.
    Person {
        /// Who, as text for people.
        by: String,
    },
    /// A model proposed it, and a person approved it.
    Session {
        /// In which session.
        session: SessionId,
        /// Who approved it, as text for people.
        approved_by: String,
    },
}

impl MemorySource {
    /// Where it comes from, for people and models. Names are as they were given.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Person { by } => format!("written by {by}"),
            Self::Session { session, approved_by } => {
                format!("proposed by an agent in {session}, approved by {approved_by}")
            }
        }
    }
}

/// What a session is told of what was noted before it began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memories {
    /// The memories, in the order in which they are shown.
    pub memories: Vec<Memory>,
    /// How many more there are that found no room.
    #[serde(default, skip_serializing_if = "is_none")]
    pub left_out: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_none(left_out: &u32) -> bool {
    *left_out == 0
}

/// What a model wants remembered. Nobody is shown it as a memory before a person has approved it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryProposal {
    /// The text.
    pub text: String,
    /// Whether it is about all of the organisation's repositories.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everywhere: bool,
    /// Whether the session held what not everybody may see who may read its repository, so that this may be of it. The platform says so, not the model.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_has_one_name_however_its_address_is_written() {
        for (addresses, name) in [
            (
                &[
                    "https://example.com/acme/app",
                    "https://example.com/acme/app.git",
                    "HTTPS://Example.COM:443/acme//app/",
                    "ssh://git@example.com/acme/app.git",
                    "ssh://git@example.com:22/acme/app",
                    "git@example.com:acme/app.git",
                    "git@example.com:/acme/app",
                    "ssh://git@example.com:443/acme/app",
                    " https://example.com/acme/app ",
                ][..],
                "https://example.com/acme/app",
            ),
            (&["https://example.com:8443/acme/app"], "https://example.com:8443/acme/app"),
            (&["http://127.0.0.1:3000/acme/app.git"], "https://127.0.0.1:3000/acme/app"),
            (&["http://[::1]/acme/app", "http://[::1]:80/acme/app"], "https://[::1]/acme/app"),
            (&["ssh://ann@example.com:22/~/app"], "ssh://ann@example.com/~/app"),
            (&["/srv/app", "/srv//app/", "file:///srv/app", "/srv/./app"], "/srv/app"),
            (&["/srv/app.git"], "/srv/app.git"),
        ] {
            for address in addresses {
                assert_eq!(place(address).as_deref(), Some(name), "{address}");
            }
            assert_eq!(place(name).as_deref(), Some(name), "a name is its own");
        }
    }

    #[test]
    fn other_repositories_have_other_names() {
        let names = [
            "https://example.com/acme/app",
            "https://example.com/acme/App",
            "https://example.com/acme/app2",
            "https://example.org/acme/app",
            "https://example.com:8443/acme/app",
            "ssh://ann@example.com/acme/app",
            "/example.com/acme/app",
        ]
        .map(|address| place(address).unwrap());
        let different: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{names:?}");
    }

    #[test]
    fn what_cannot_be_a_repository_has_no_name() {
        for text in [
            "",
            "  ",
            "https://",
            "https://example.com",
            "https://example.com/",
            "git@:x",
            "example.com/acme/app",
            "../app",
            "/a\nb",
            "/a\u{202e}b",
        ] {
            assert_eq!(place(text), None, "{text:?}");
        }
        assert_eq!(place(&format!("/{}", "x".repeat(LONGEST_PLACE))), None);
    }

    #[test]
    fn texts_are_bounded_and_are_text() {
        for (text, wanted) in [
            ("Use `make check`.\n\tAlways.".to_owned(), Ok(())),
            ("hidden\u{200b}".to_owned(), Ok(())),
            ("x".repeat(LONGEST), Ok(())),
            ("x".repeat(LONGEST + 1), Err(NoMemory::TooLong(LONGEST + 1))),
            (" \n".to_owned(), Err(NoMemory::Empty)),
            ("a\0".to_owned(), Err(NoMemory::NotText)),
            ("a\u{1b}[2J".to_owned(), Err(NoMemory::NotText)),
            ("a\rb".to_owned(), Err(NoMemory::NotText)),
        ] {
            assert_eq!(check(&text), wanted, "{text:?}");
        }
    }
}
