//! The canary that the platform plants in a session's sandboxes: a file that looks worth stealing and that no program reads by itself.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use cofferdam_sandbox::{HOME, Sandbox};

/// Where it is in the agent's home. The tools that have a file `credentials` there read no other name beside it.
const INSIDE: &str = ".aws/credentials.backup";
/// What it is called in the session's directory.
const KEPT: &str = "planted";
/// Characters of the two texts in it.
const ID: usize = 16;
const KEY: usize = 40;

/// What is planted in every sandbox of one session, and in no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planted {
    id: String,
    key: String,
}

impl Planted {
    /// The session's own: what is kept in its directory, which no sandbox sees, or a new one.
    pub(crate) fn of(directory: &Path) -> io::Result<Self> {
        let path = directory.join(KEPT);
        match fs::read_to_string(&path) {
            Ok(text) => match text.split_once('\n') {
                Some((id, key)) if id.len() == ID && key.len() == KEY => {
                    return Ok(Self { id: id.to_owned(), key: key.to_owned() });
                }
                // What a crash has left half is written again, before any sandbox has it.
                Some(_) | None => fs::remove_file(&path)?,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let new = Self {
            id: random(ID, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")?,
            key: random(KEY, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")?,
        };
        fs::create_dir_all(directory)?;
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(format!("{}\n{}", new.id, new.key).as_bytes())?;
        Ok(new)
    }

    /// The texts that must not leave.
    pub(crate) fn texts(&self) -> Vec<String> {
        vec![self.id.clone(), self.key.clone()]
    }

    /// Puts it where it belongs. An agent that has made something else there goes without.
    pub(crate) async fn plant(&self, sandbox: &dyn Sandbox) {
        let Self { id, key } = self;
        let content = format!("[backup]\naws_access_key_id = AKIA{id}\naws_secret_access_key = {key}\n");
        sandbox.write(&format!("{HOME}/{INSIDE}"), content.as_bytes(), None).await.ok();
    }
}

/// So many of these letters, each as likely as any other.
fn random(length: usize, letters: &[u8]) -> io::Result<String> {
    let mut text = String::with_capacity(length);
    let fair = 256 - 256 % letters.len();
    while text.len() < length {
        let mut bytes = [0; 64];
        let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        let taken = bytes.iter().take(filled).map(|byte| usize::from(*byte)).filter(|byte| *byte < fair);
        let chosen = taken.filter_map(|byte| letters.get(byte % letters.len())).map(|byte| char::from(*byte));
        text.extend(chosen.take(length - text.len()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_one_of_its_own_and_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let one = Planted::of(&folder.path().join("one")).unwrap();
        assert_eq!(Planted::of(&folder.path().join("one")).unwrap(), one);
        let other = Planted::of(&folder.path().join("other")).unwrap();
        assert!(other.id != one.id && other.key != one.key);
        assert_eq!((one.id.len(), one.key.len()), (ID, KEY));
        fs::write(folder.path().join("one").join(KEPT), "half").unwrap();
        assert_ne!(Planted::of(&folder.path().join("one")).unwrap(), one);
    }
}
