//! What organisations keep secret in the store: the master key for it, and encrypting with that.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use cofferdam_domain::{OrgId, Secret};
use cofferdam_server::{SealError, SecretSeal};
use cofferdam_store::{
    Everything, Sealed,
    seal::{KeySource, MasterKey, MasterKeys, SealError as StoreSealError, Sealer},
};
use tokio::sync::Mutex;

use crate::{config::Config, terminal::complain};

/// The file in the data directory with the key that is made where none is configured.
const KEY_FILE: &str = "master.key";
/// What the names end with of the key before, and of one that is about to take its place.
const EARLIER: &str = "key.earlier";
const NEXT: &str = "key.next";

/// What to do where there is no key.
const MAKE_ONE: &str = "make one with `openssl rand -hex 32` in a file with mode 0600, and name it for every server and worker: \
                        [secrets] key = { file = \"/path/of/the/file\" }";

/// Encrypts and decrypts the secrets in the store. Its key is read when it is first needed.
pub(crate) struct Secrets {
    store: Arc<dyn Everything>,
    key: Key,
    earlier: Vec<KeySource>,
    sealer: Mutex<Option<Sealer>>,
}

/// What a rotation of the master key has done.
pub(crate) struct Rotated {
    /// Data keys that were encrypted anew.
    pub(crate) keys: usize,
    /// The file with the earlier key, where the key is this data directory's own.
    pub(crate) earlier: Option<PathBuf>,
}

/// Where the master key is.
enum Key {
    /// Where the configuration says.
    Configured(KeySource),
    /// In the data directory, beside a store that nobody on another machine uses.
    Own(PathBuf),
    /// Nobody has said where, and other machines that use the database would not find one here.
    None,
}

impl Secrets {
    /// Of this store, with the key that is configured.
    pub(crate) fn new(config: &Config, store: Arc<dyn Everything>) -> Self {
        let settings = &config.secrets;
        let key = match &settings.key {
            Some(place) => Key::Configured(place.into()),
            None if config.store.is_in_data() => Key::Own(config.data.join(KEY_FILE)),
            None => Key::None,
        };
        let earlier = settings.earlier.iter().map(KeySource::from).collect();
        Self { store, key, earlier, sealer: Mutex::new(None) }
    }

    /// Reads the key, or makes one where it is for this data directory alone, so that what is wrong with it is heard at the start.
    pub(crate) async fn prepare(&self) -> Result<()> {
        match &self.key {
            Key::Configured(_) => {}
            Key::Own(path) => {
                make_key(path).with_context(|| format!("failed to make the key {}", path.display()))?;
            }
            Key::None => {
                complain(&format!(
                    "no key for secrets is configured, so no credential can be kept: {MAKE_ONE}"
                ));
                return Ok(());
            }
        }
        self.sealer().await?.context("there is no key for secrets").map(drop)
    }

    /// What an organisation keeps under this name. Otherwise why it cannot be had and what to do, to be read after "the store".
    pub(crate) async fn open(&self, org: OrgId, name: &str) -> Result<Secret, String> {
        let failed = |error: StoreSealError| format!("does not give {name:?}: {error}");
        let secrets = self.store.secrets(org).await.map_err(|error| failed(error.into()))?;
        let Some(sealed) = secrets.into_iter().find(|sealed| sealed.name == name) else {
            return Err(format!(
                "keeps nothing called {name:?} for this organisation: one of its admins puts it there, in the settings or by the API"
            ));
        };
        self.unsealed(org, &sealed).await
    }

    /// What is kept encrypted, decrypted. Otherwise why it cannot be had and what to do, to be read after "the store".
    pub(crate) async fn unsealed(&self, org: OrgId, sealed: &Sealed) -> Result<Secret, String> {
        let name = &sealed.name;
        let failed = |error: StoreSealError| format!("does not give {name:?}: {error}");
        match self.sealer().await.map_err(failed)? {
            Some(sealer) => match sealer.open(org, sealed).await {
                // The key may have been changed since it was read.
                Err(StoreSealError::OtherMaster { .. }) => {
                    let sealer = self.read_again().await.map_err(failed)?;
                    sealer.open(org, sealed).await.map_err(failed)
                }
                opened => opened.map_err(failed),
            },
            None => Err(format!(
                "has {name:?}, and this process no key for it: set [secrets] key as for the server"
            )),
        }
    }

    /// Encrypts a secret; `None` where there is no key.
    async fn seal(&self, org: OrgId, name: &str, secret: &Secret) -> Result<Option<Vec<u8>>, StoreSealError> {
        let Some(sealer) = self.sealer().await? else { return Ok(None) };
        match sealer.seal(org, name, secret).await {
            Err(StoreSealError::OtherMaster { .. }) => {
                self.read_again().await?.seal(org, name, secret).await.map(Some)
            }
            sealed => sealed.map(Some),
        }
    }

    /// Encrypts all data keys with the present master key; where that is this data directory's own, a new one is made first. Cut short, it goes on
    /// from where it was when it is called again.
    pub(crate) async fn rotate(&self) -> Result<Rotated> {
        let earlier = match &self.key {
            Key::Configured(_) => None,
            Key::Own(path) => {
                make_key(path)?;
                let earlier = path.with_extension(EARLIER);
                replace_key(path, &earlier)
                    .with_context(|| format!("failed to replace the key {}", path.display()))?;
                Some(earlier)
            }
            Key::None => bail!("no key for secrets is configured: {MAKE_ONE}"),
        };
        let keys = self.read_again().await?.rotate().await?;
        Ok(Rotated { keys, earlier })
    }

    /// What encrypts and decrypts; `None` where there is no key.
    async fn sealer(&self) -> Result<Option<Sealer>, StoreSealError> {
        if matches!(self.key, Key::None) {
            return Ok(None);
        }
        let known = self.sealer.lock().await.clone();
        match known {
            Some(sealer) => Ok(Some(sealer)),
            None => self.read_again().await.map(Some),
        }
    }

    /// The same with the keys as they are now.
    async fn read_again(&self) -> Result<Sealer, StoreSealError> {
        let mut sources = self.earlier.clone();
        let current = match &self.key {
            Key::Configured(source) => source.clone(),
            Key::Own(path) => {
                let earlier = path.with_extension(EARLIER);
                sources.extend(earlier.exists().then_some(KeySource::File(earlier)));
                KeySource::File(path.clone())
            }
            Key::None => {
                let reason = MAKE_ONE.to_owned();
                return Err(StoreSealError::Master { from: "nowhere".to_owned(), reason });
            }
        };
        let current = MasterKey::read(&current).await?;
        let mut earlier = Vec::new();
        for source in &sources {
            earlier.push(MasterKey::read(source).await?);
        }
        let sealer = Sealer::new(self.store.clone(), MasterKeys::new(current, earlier));
        *self.sealer.lock().await = Some(sealer.clone());
        Ok(sealer)
    }
}

/// Puts secrets in, for the server.
pub(crate) struct Seal(pub(crate) Arc<Secrets>);

#[async_trait]
impl SecretSeal for Seal {
    async fn seal(&self, org: OrgId, name: &str, secret: &Secret) -> Result<Vec<u8>, SealError> {
        // Where the key is, is nothing for whoever asks over the network.
        let failed = |source: StoreSealError| SealError {
            reason: "the server cannot encrypt it: its log says why".to_owned(),
            source: Some(source.into()),
        };
        match self.0.seal(org, name, secret).await.map_err(failed)? {
            Some(sealed) => Ok(sealed),
            None => Err(SealError {
                reason: format!("this server has no key to encrypt secrets with: {MAKE_ONE}"),
                source: None,
            }),
        }
    }
}

/// Puts a new key in the place of one, which is kept beside it. Each step is done or not, and what was cut short goes on; as long as the earlier
/// key is there, there is no newer one to be made.
fn replace_key(path: &Path, earlier: &Path) -> Result<()> {
    let next = path.with_extension(NEXT);
    if !next.exists() {
        if earlier.exists() {
            return Ok(());
        }
        make_key(&next)?;
    }
    if !earlier.exists() {
        fs::hard_link(path, earlier)?;
    }
    fs::rename(&next, path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Makes a key that only its user may read, unless there is one. Whoever else makes one at the same time, there is one whole key.
fn make_key(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    make_private(path, &MasterKey::generate()?)
}

/// Makes a file with a line of text that only its user may read, unless there is one. Whoever else makes one at the same time, there is one, whole.
pub(crate) fn make_private(path: &Path, text: &str) -> Result<()> {
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    // Of a process with the same number that was cut off.
    fs::remove_file(&draft).ok();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    let placed = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match placed {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use cofferdam_domain::Owner;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(KEY_FILE);
        make_key(&path).unwrap();
        let key = fs::read_to_string(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        make_key(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), key);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_replacement_that_was_cut_short_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(KEY_FILE);
        let (earlier, next) = (path.with_extension(EARLIER), path.with_extension(NEXT));
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        make_key(&path).unwrap();
        let old = read(&path);
        // Cut short after each step.
        make_key(&next).unwrap();
        let new = read(&next);
        fs::hard_link(&path, &earlier).unwrap();
        replace_key(&path, &earlier).unwrap();
        assert_eq!((read(&path), read(&earlier)), (new.clone(), old.clone()));
        assert_ne!(new, old);
        replace_key(&path, &earlier).unwrap();
        assert_eq!(
            (read(&path), read(&earlier)),
            (new, old),
            "the earlier key is needed until somebody removes it"
        );
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn where_others_need_the_same_key_none_is_made_and_what_to_do_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cofferdam.toml");
        fs::write(&path, "[store]\nurl = \"postgres://db.example.com/cofferdam\"\n").unwrap();
        let config = Config::load(Some(&path), Some(folder.path()), &|_| None).unwrap();
        // Which store it is, is nothing to the key: what is configured decides.
        let store = cofferdam_store::open(folder.path().to_str().unwrap()).await.unwrap();
        let secrets = Arc::new(Secrets::new(&config, store));
        secrets.prepare().await.unwrap();
        assert!(!folder.path().join(KEY_FILE).exists());
        let error =
            Seal(secrets).seal(Owner::LOCAL.org, "registry", &Secret::new("a secret")).await.unwrap_err();
        assert!(error.reason.contains("openssl rand -hex 32"), "{error}");
        assert!(error.reason.contains("[secrets] key"), "{error}");
    }
}
