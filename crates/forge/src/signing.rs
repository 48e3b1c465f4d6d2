//! The platform's signing key: an SSH key outside of every sandbox, with which git signs the commits that are
//! made here (`gpg.format=ssh` in git-config(1)).
//!
//! Only keys whose signatures are the same each time are taken, so that work that is done again after a crash
//! gives the same commits: Ed25519 (RFC 8032) and RSA (PKCS #1 v1.5).

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use cofferdam_domain::hidden::visible;
use tokio::{process::Command, time::timeout};

use crate::{Git, call::Call, git::is_executable};

const TIME: Duration = Duration::from_secs(20);
const KINDS: &[&str] = &["ssh-ed25519", "ssh-rsa"];

/// Why commits cannot be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// The program that signs is not there.
    #[error("ssh-keygen was not found in PATH: install it (for example `apt install openssh-client`)")]
    NoProgram,
    /// The key's file cannot be used.
    #[error("the signing key {} cannot be read: see that it is there and belongs to this user", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("others may read the signing key {}: `chmod 600` it", .0.display())]
    Open(PathBuf),
    /// Its path cannot be given to git.
    #[error("the signing key's path {} is not absolute or not UTF-8: give another", .0.display())]
    Path(PathBuf),
    /// It is no private key, or has a passphrase, for which nobody is there to ask.
    #[error("{} is not an SSH private key without a passphrase ({said}): make one with `ssh-keygen -t ed25519 -N '' -f FILE`", .path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What ssh-keygen says.
        said: String,
    },
    /// Its signatures differ each time, or it needs somebody's touch.
    #[error("{kind} keys cannot sign commits here: make another with `ssh-keygen -t ed25519 -N '' -f FILE`")]
    Kind {
        /// What kind it is.
        kind: String,
    },
}

/// A key that signs commits. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    file: String,
    program: String,
    public: String,
}

impl SigningKey {
    /// The SSH private key in `file` (absolute), looked at with ssh-keygen.
    ///
    /// # Errors
    /// [`SigningError`] names the remedy.
    pub async fn open(git: &Git, file: &Path) -> Result<Self, SigningError> {
        let path = file.to_owned();
        let (true, Some(text)) = (file.is_absolute(), file.to_str()) else {
            return Err(SigningError::Path(path));
        };
        let program = Self::program(git)?;
        match fs::metadata(file) {
            Ok(data) if data.permissions().mode() & 0o077 != 0 => return Err(SigningError::Open(path)),
            Ok(_) => {}
            Err(source) => return Err(SigningError::Unreadable { path, source }),
        }
        let mut command = Command::new(&program);
        command.args(["-y", "-P", "", "-f", text]).env_clear().env("LC_ALL", "C").current_dir("/");
        command.stdin(Stdio::null()).kill_on_drop(true);
        let no_key = |said: String| SigningError::NoKey { path: path.clone(), said };
        let output = match timeout(TIME, command.output()).await {
            Err(_) => return Err(no_key("ssh-keygen took too long".to_owned())),
            Ok(Err(source)) => return Err(SigningError::Unreadable { path, source }),
            Ok(Ok(output)) => output,
        };
        if !output.status.success() {
            let said: String = visible(output.stderr.trim_ascii()).chars().take(200).collect();
            return Err(no_key(said));
        }
        let public = visible(output.stdout.trim_ascii());
        let kind = public.split(' ').next().unwrap_or_default();
        if !KINDS.contains(&kind) {
            return Err(SigningError::Kind { kind: kind.chars().take(60).collect() });
        }
        Ok(Self { file: text.to_owned(), program, public })
    }

    /// Where ssh-keygen is.
    ///
    /// # Errors
    /// [`SigningError::NoProgram`].
    pub fn program(git: &Git) -> Result<String, SigningError> {
        env::split_paths(git.search_path())
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join("ssh-keygen"))
            .find(|path| is_executable(path))
            .and_then(|path| path.to_str().map(str::to_owned))
            .ok_or(SigningError::NoProgram)
    }

    /// Its public half, as `authorized_keys` and forges take it.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.public
    }

    /// A `git commit-tree` that signs with it.
    pub(crate) fn sign<'c>(&self, call: Call<'c>) -> Call<'c> {
        call.setting("gpg.format=ssh")
            .setting(format!("gpg.ssh.program={}", self.program))
            .setting(format!("user.signingKey={}", self.file))
            .arg("-S")
    }
}
