//! Secrets at rest: each organisation has a data key that encrypts its secrets; a master key, which is never in the store, encrypts the data
//! keys.
//!
//! AES-256-GCM (NIST SP 800-38D) with random nonces throughout. What is encrypted is bound to where it belongs (organisation and name, or
//! organisation and number of the data key), so that nothing can be moved to another place. Another master key takes only that the data keys be
//! encrypted anew: [`Sealer::rotate`].

mod master;

use std::sync::Arc;

use cofferdam_domain::{OrgId, Secret};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
};

pub use self::master::{KeySource, MasterKey, MasterKeys};
use crate::{Everything, Sealed, StoreError};

/// The length of every key, in bytes.
const KEY: usize = 32;

/// Begins a secret.
const SECRET: &[u8; 4] = b"cfs1";

/// Begins an encrypted data key.
const DATA_KEY: &[u8; 4] = b"cfk1";

/// The longest secret, in bytes.
const MAX_SECRET: usize = 64 << 10;

/// Why a secret cannot be kept or had.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The master key cannot be had.
    #[error("the master key cannot be read from {from}: {reason}")]
    Master {
        /// From where.
        from: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// The data key was encrypted with another master key.
    #[error("the secrets of {org} take the master key {key}: give it as an earlier one")]
    OtherMaster {
        /// Whose.
        org: OrgId,
        /// Which, by the beginning of its digest.
        key: String,
    },
    /// What is stored cannot be decrypted.
    #[error("{what} is damaged, or belongs elsewhere: put it there again")]
    Damaged {
        /// What.
        what: String,
    },
    /// The secret is too long to be one.
    #[error(
        "the secret is {size} bytes long, at most {MAX_SECRET} are accepted: keep large things elsewhere and their key here"
    )]
    TooLong {
        /// Its length in bytes.
        size: usize,
    },
    /// The machine has no random numbers.
    #[error("the system gives no random numbers: mend that before anything is encrypted")]
    NoRandomness,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Encrypts what is kept for organisations, and decrypts it again.
#[derive(Clone)]
pub struct Sealer {
    store: Arc<dyn Everything>,
    masters: Arc<MasterKeys>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("masters", &self.masters).finish_non_exhaustive()
    }
}

impl Sealer {
    /// Over this store, with these master keys.
    #[must_use]
    pub fn new(store: Arc<dyn Everything>, masters: MasterKeys) -> Self {
        Self { store, masters: Arc::new(masters) }
    }

    /// Encrypts a secret for [`crate::Directory::put_secret`] under this name. The organisation's first makes its data key.
    ///
    /// # Errors
    /// When it is too long, the data key cannot be had, or the store fails.
    pub async fn seal(&self, org: OrgId, name: &str, secret: &Secret) -> Result<Vec<u8>, SealError> {
        let plain = secret.expose().as_bytes();
        if plain.len() > MAX_SECRET {
            return Err(SealError::TooLong { size: plain.len() });
        }
        let (number, key) = self.data_key(org).await?;
        let mut bytes = [&SECRET[..], &number.to_be_bytes()].concat();
        bytes.extend(encrypt(&key, &secret_place(org, name), plain)?);
        Ok(bytes)
    }

    /// Decrypts a secret of the organisation's.
    ///
    /// # Errors
    /// [`SealError::Damaged`] also where it was put under another name or for another organisation.
    pub async fn open(&self, org: OrgId, sealed: &Sealed) -> Result<Secret, SealError> {
        let damaged = || SealError::Damaged { what: format!("the secret {:?}", sealed.name) };
        let rest = sealed.bytes.strip_prefix(SECRET).ok_or_else(damaged)?;
        let (number, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let number = u32::from_be_bytes(*number);
        let keys = self.store.data_keys(org).await?;
        let (_, wrapped) = keys.iter().find(|(known, _)| *known == number).ok_or_else(damaged)?;
        let key = self.unwrap_key(org, number, wrapped)?;
        let plain = decrypt(&key, &secret_place(org, &sealed.name), rest).ok_or_else(damaged)?;
        String::from_utf8(plain).map(Secret::new).map_err(|_| damaged())
    }

    /// Encrypts all data keys anew with the present master key. Returns how many were under an earlier one.
    ///
    /// # Errors
    /// When one cannot be decrypted, or the store fails. It may be called again.
    pub async fn rotate(&self) -> Result<usize, SealError> {
        let mut rotated = 0;
        for org in self.store.orgs().await? {
            for (number, wrapped) in self.store.data_keys(org.id).await? {
                if self.masters.current().made(&wrapped) {
                    continue;
                }
                let key = self.unwrap_key(org.id, number, &wrapped)?;
                let anew = self.wrap_key(org.id, number, &key)?;
                self.store.put_data_key(org.id, number, &anew).await?;
                rotated += 1;
            }
        }
        Ok(rotated)
    }

    /// The latest data key, made if there is none.
    async fn data_key(&self, org: OrgId) -> Result<(u32, [u8; KEY]), SealError> {
        loop {
            if let Some((number, wrapped)) = self.store.data_keys(org).await?.last() {
                return Ok((*number, self.unwrap_key(org, *number, wrapped)?));
            }
            let key = random()?;
            let wrapped = self.wrap_key(org, 1, &key)?;
            // Somebody else may have made one at the same time: then that one is taken.
            if self.store.add_data_key(org, 1, &wrapped).await? {
                return Ok((1, key));
            }
        }
    }

    fn wrap_key(&self, org: OrgId, number: u32, key: &[u8; KEY]) -> Result<Vec<u8>, SealError> {
        let master = self.masters.current();
        let mut bytes = [&DATA_KEY[..], &master.id()].concat();
        bytes.extend(encrypt(master.key(), &key_place(org, number), key)?);
        Ok(bytes)
    }

    fn unwrap_key(&self, org: OrgId, number: u32, wrapped: &[u8]) -> Result<[u8; KEY], SealError> {
        let damaged = || SealError::Damaged { what: format!("the data key {number} of {org}") };
        let rest = wrapped.strip_prefix(DATA_KEY).ok_or_else(damaged)?;
        let (id, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let master =
            self.masters.find(*id).ok_or_else(|| SealError::OtherMaster { org, key: master::shown(*id) })?;
        let key = decrypt(master.key(), &key_place(org, number), rest).ok_or_else(damaged)?;
        key.try_into().map_err(|_| damaged())
    }
}

fn secret_place(org: OrgId, name: &str) -> Vec<u8> {
    [b"cofferdam secret\0", &org.as_u128().to_be_bytes()[..], name.as_bytes()].concat()
}

fn key_place(org: OrgId, number: u32) -> Vec<u8> {
    [b"cofferdam data key\0", &org.as_u128().to_be_bytes()[..], &number.to_be_bytes()].concat()
}

fn random<const N: usize>() -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SealError::NoRandomness)?;
    Ok(bytes)
}

fn cipher(key: &[u8; KEY]) -> Result<LessSafeKey, SealError> {
    // The key has the length that the algorithm asks for; there is no other way to fail.
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| SealError::NoRandomness)
}

/// Nonce, ciphertext and tag.
fn encrypt(key: &[u8; KEY], place: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
    let nonce: [u8; NONCE_LEN] = random()?;
    let mut bytes = plain.to_vec();
    cipher(key)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut bytes)
        .map_err(|_| SealError::TooLong { size: plain.len() })?;
    Ok([&nonce[..], &bytes].concat())
}

fn decrypt(key: &[u8; KEY], place: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    let (nonce, rest) = bytes.split_first_chunk::<NONCE_LEN>()?;
    let mut rest = rest.to_vec();
    let cipher = cipher(key).ok()?;
    let plain =
        cipher.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(place), &mut rest).ok()?;
    Some(plain.to_vec())
}
