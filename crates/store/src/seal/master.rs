//! Master keys: where they come from, and telling them apart.

use std::{env, fmt, fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Stdio, time::Duration};

use cofferdam_domain::{Digest, Secret};
use tokio::{io::AsyncReadExt as _, process::Command};

use super::{KEY, SealError, random};

/// How long a command may take to say the key.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest text that may be a key, in bytes.
const MAX_TEXT: u64 = 1024;

/// Where a key comes from. A master key is 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file that only its user may read.
    File(PathBuf),
    /// An environment variable with this name.
    Environment(String),
    /// What a command prints: a program and its arguments.
    Command(Vec<String>),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Environment(name) => write!(f, "the environment variable {name}"),
            Self::Command(words) => write!(f, "the command {}", words.first().map_or("", String::as_str)),
        }
    }
}

impl KeySource {
    /// The text that is there, without the space around it: a key, or another secret that is kept in the same ways.
    ///
    /// # Errors
    /// Why it cannot be had, as the end of a sentence.
    pub async fn text(&self) -> Result<Secret, String> {
        let text = match self {
            Self::File(path) => read_file(path)?,
            Self::Environment(name) => env::var(name).map_err(|error| error.to_string())?,
            Self::Command(words) => run(words).await?,
        };
        Ok(Secret::new(text.trim().to_owned()))
    }
}

/// A key that encrypts data keys. It is never printed.
#[derive(Clone)]
pub struct MasterKey {
    id: [u8; 8],
    key: [u8; KEY],
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", shown(self.id))
    }
}

impl MasterKey {
    /// Reads a key.
    ///
    /// # Errors
    /// [`SealError::Master`] with what to do.
    pub async fn read(source: &KeySource) -> Result<Self, SealError> {
        let failed = |reason: String| SealError::Master { from: source.to_string(), reason };
        let text = source.text().await.map_err(failed)?;
        Self::parse(text.expose()).ok_or_else(|| {
            failed("it must be 64 hexadecimal digits: `openssl rand -hex 32` makes one".to_owned())
        })
    }

    /// A new key, as the text that [`MasterKey::read`] takes.
    ///
    /// # Errors
    /// [`SealError::NoRandomness`].
    pub fn generate() -> Result<String, SealError> {
        Ok(random::<KEY>()?.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != KEY * 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut key = [0; KEY];
        for (byte, place) in key.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(text.get(place..place + 2)?, 16).ok()?;
        }
        let digest = Digest::of(&[b"cofferdam master key\0", &key[..]].concat());
        Some(Self { id: *digest.as_bytes().first_chunk()?, key })
    }

    pub(super) const fn id(&self) -> [u8; 8] {
        self.id
    }

    pub(super) const fn key(&self) -> &[u8; KEY] {
        &self.key
    }

    /// Whether a data key was encrypted with this.
    pub(super) fn made(&self, wrapped: &[u8]) -> bool {
        wrapped.get(super::DATA_KEY.len()..).is_some_and(|rest| rest.starts_with(&self.id))
    }
}

/// The key that encrypts, and earlier ones that still decrypt.
#[derive(Debug, Clone)]
pub struct MasterKeys {
    current: MasterKey,
    earlier: Vec<MasterKey>,
}

impl MasterKeys {
    /// These.
    #[must_use]
    pub const fn new(current: MasterKey, earlier: Vec<MasterKey>) -> Self {
        Self { current, earlier }
    }

    pub(super) const fn current(&self) -> &MasterKey {
        &self.current
    }

    pub(super) fn find(&self, id: [u8; 8]) -> Option<&MasterKey> {
        std::iter::once(&self.current).chain(&self.earlier).find(|master| master.id == id)
    }
}

/// A key's name for people.
pub(super) fn shown(id: [u8; 8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_file(path: &PathBuf) -> Result<String, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(format!("others may read it: run `chmod 600 {}`", path.display()));
    }
    if metadata.len() > MAX_TEXT {
        return Err("it is too long for a key".to_owned());
    }
    fs::read_to_string(path).map_err(|error| error.to_string())
}

async fn run(words: &[String]) -> Result<String, String> {
    let (program, arguments) = words.split_first().ok_or("there is no program in it")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let output = child.stdout.take().ok_or("it has no output")?;
    let said = async {
        let mut text = String::new();
        output.take(MAX_TEXT).read_to_string(&mut text).await.map_err(|error| error.to_string())?;
        let status = child.wait().await.map_err(|error| error.to_string())?;
        if status.success() { Ok(text) } else { Err(format!("it ended with {status}")) }
    };
    tokio::time::timeout(PATIENCE, said).await.map_err(|_| "it takes too long".to_owned())?
}
