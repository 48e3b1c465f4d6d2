//! Where all chains end, signed: what is kept elsewhere shows later that nothing of them was taken away or written anew.
//!
//! A hash chain alone shows that nothing was changed *within* it; whoever can write the whole store could make all of it anew. A checkpoint is
//! a text with the last place and hash of every session's log and of every organisation's audit chain, signed with Ed25519 (RFC 8032). Kept out
//! of reach of the store, it pins all that came before it.

use cofferdam_domain::{Digest, OrgId, Seq, SessionId, Timestamp};
use ring::{
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};

use crate::{Everything, Exported, SessionFilter, StoreError};

/// Begins every checkpoint.
const TITLE: &str = "cofferdam checkpoint 1";

/// Sessions looked at at once.
const PAGE: u32 = 500;

/// Why a checkpoint cannot be made or does not hold.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The key is none.
    #[error("this is no signing key: make one with `CheckpointKey::generate`")]
    Key,
    /// The text is not what was signed with this key.
    #[error("the checkpoint was not signed with this key, or was changed since")]
    Signature,
    /// The text is signed but no checkpoint.
    #[error("line {line} of the checkpoint cannot be read")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// It was made before there was such a log, or of another store.
    #[error("the checkpoint says nothing of {what}: it was made before, or of another store")]
    Absent {
        /// Which log.
        what: String,
    },
    /// The store says otherwise.
    #[error("{what} no longer is as it was at the checkpoint: it was changed, or parts of it are gone")]
    Changed {
        /// Which log.
        what: String,
    },
    /// The store failed, or is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What signs checkpoints. It is never printed.
pub struct CheckpointKey(Ed25519KeyPair);

impl std::fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CheckpointKey({})", hex(self.0.public_key().as_ref()))
    }
}

impl CheckpointKey {
    /// A new key, as the bytes (PKCS #8) that [`CheckpointKey::read`] takes.
    ///
    /// # Errors
    /// [`CheckpointError::Key`] when the system gives no random numbers.
    pub fn generate() -> Result<Vec<u8>, CheckpointError> {
        let document =
            Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| CheckpointError::Key)?;
        Ok(document.as_ref().to_vec())
    }

    /// The key in these bytes.
    ///
    /// # Errors
    /// [`CheckpointError::Key`].
    pub fn read(pkcs8: &[u8]) -> Result<Self, CheckpointError> {
        Ed25519KeyPair::from_pkcs8(pkcs8).map(Self).map_err(|_| CheckpointError::Key)
    }

    /// What checks its signatures: 32 bytes.
    #[must_use]
    pub fn public(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }
}

/// What was checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Sessions.
    pub sessions: u64,
    /// Sessions of the checkpoint that were deleted since.
    pub forgotten: u64,
    /// Events of all sessions.
    pub events: u64,
    /// Blobs that they refer to.
    pub blobs: u64,
    /// Audit entries of all organisations.
    pub entries: u64,
}

/// Checks all that is stored: every session as [`crate::Store::verify`] does, and every organisation's audit chain.
///
/// # Errors
/// [`StoreError::Corrupt`] naming the first thing that does not fit.
pub async fn verify_all(store: &dyn Everything) -> Result<Checked, StoreError> {
    let mut checked = Checked::default();
    let mut before = None;
    loop {
        let rows = store
            .sessions(SessionFilter { before, subagents: true, limit: PAGE, ..SessionFilter::default() })
            .await?;
        let Some(last) = rows.last() else { break };
        before = Some(last.id);
        for row in rows {
            match store.verify(row.id).await {
                Ok(verified) => {
                    checked.sessions += 1;
                    checked.events += verified.events;
                    checked.blobs += verified.blobs;
                }
                // It was deleted meanwhile.
                Err(StoreError::UnknownSession(_)) => checked.forgotten += 1,
                Err(error) => return Err(error),
            }
        }
    }
    for org in store.orgs().await? {
        checked.entries += store.verify_audit(org.id).await?.events;
    }
    Ok(checked)
}

/// Makes a checkpoint of what is there now. Every chain is checked on the way.
///
/// # Errors
/// When something does not fit, or the store cannot be read.
pub async fn checkpoint(
    store: &dyn Everything,
    key: &CheckpointKey,
    at: Timestamp,
) -> Result<String, CheckpointError> {
    let mut text = format!("{TITLE}\nat {}\n", at.0);
    let mut before = None;
    loop {
        let rows = store
            .sessions(SessionFilter { before, subagents: true, limit: PAGE, ..SessionFilter::default() })
            .await?;
        let Some(last) = rows.last() else { break };
        before = Some(last.id);
        for row in rows {
            let verified = store.verify(row.id).await?;
            line(&mut text, format_args!("session {} {} {}", row.id, verified.events, verified.head));
        }
    }
    for org in store.orgs().await? {
        add_audit(store, org.id, &mut text).await?;
    }
    Ok(sealed(text, key))
}

/// The same of one organisation's audit log alone: what its own admins may see.
///
/// # Errors
/// As [`checkpoint`].
pub async fn audit_checkpoint(
    store: &dyn Everything,
    org: OrgId,
    key: &CheckpointKey,
    at: Timestamp,
) -> Result<String, CheckpointError> {
    let mut text = format!("{TITLE}\nat {}\n", at.0);
    add_audit(store, org, &mut text).await?;
    Ok(sealed(text, key))
}

async fn add_audit(store: &dyn Everything, org: OrgId, text: &mut String) -> Result<(), CheckpointError> {
    let verified = store.verify_audit(org).await?;
    line(text, format_args!("audit {org} {} {}", verified.events, verified.head));
    Ok(())
}

fn sealed(mut text: String, key: &CheckpointKey) -> String {
    let signature = key.0.sign(text.as_bytes());
    line(&mut text, format_args!("signature {}", hex(signature.as_ref())));
    text
}

/// Checks that all chains still hold what they held at a checkpoint that was signed with the key of this public one.
///
/// # Errors
/// [`CheckpointError::Signature`], [`CheckpointError::Changed`] naming the log, or when the store cannot be read.
pub async fn check_checkpoint(
    store: &dyn Everything,
    public: &[u8],
    text: &str,
) -> Result<Checked, CheckpointError> {
    let signed = signed(public, text)?;
    let mut checked = Checked::default();
    for (number, line) in (1..).zip(signed.lines()).skip(2) {
        let wrong = CheckpointError::Line { line: number };
        let words: Vec<&str> = line.split(' ').collect();
        let [kind, id, seq, head] = words.as_slice() else { return Err(wrong) };
        let (Ok(seq), Ok(head)) = (seq.parse().map(Seq), head.parse::<Digest>()) else { return Err(wrong) };
        match (*kind, id.parse::<SessionId>(), id.parse::<OrgId>()) {
            ("session", Ok(session), _) => check_session(store, session, seq, head, &mut checked).await?,
            ("audit", _, Ok(org)) => check_audit(store, org, seq, head, &mut checked).await?,
            _ => return Err(wrong),
        }
    }
    Ok(checked)
}

/// Where a log ended at a checkpoint, and the hash of its last event or entry then.
pub(crate) fn pinned(public: &[u8], text: &str, of: Exported) -> Result<(Seq, Digest), CheckpointError> {
    let start = match of {
        Exported::Session(session) => format!("session {session} "),
        Exported::Audit(org) => format!("audit {org} "),
    };
    let signed = signed(public, text)?;
    let found =
        (1..).zip(signed.lines()).find_map(|(number, line)| Some((number, line.strip_prefix(&start)?)));
    let Some((number, rest)) = found else {
        return Err(CheckpointError::Absent { what: of.to_string() });
    };
    let pin = rest.split_once(' ').and_then(|(seq, head)| Some((Seq(seq.parse().ok()?), head.parse().ok()?)));
    pin.ok_or(CheckpointError::Line { line: number })
}

/// What is signed of the text, if the signature is good.
fn signed<'t>(public: &[u8], text: &'t str) -> Result<&'t str, CheckpointError> {
    let (signed, signature) = text
        .trim_end()
        .rsplit_once("\nsignature ")
        .and_then(|(signed, _)| text.split_at_checked(signed.len() + 1))
        .ok_or(CheckpointError::Signature)?;
    let signature = signature.trim_end().strip_prefix("signature ").and_then(bytes);
    let signature = signature.ok_or(CheckpointError::Signature)?;
    let is_good = UnparsedPublicKey::new(&ED25519, public).verify(signed.as_bytes(), &signature).is_ok();
    if is_good && signed.starts_with(TITLE) { Ok(signed) } else { Err(CheckpointError::Signature) }
}

async fn check_session(
    store: &dyn Everything,
    session: SessionId,
    seq: Seq,
    head: Digest,
    checked: &mut Checked,
) -> Result<(), CheckpointError> {
    let changed = || CheckpointError::Changed { what: Exported::Session(session).to_string() };
    match store.read(session, Seq(seq.0.saturating_sub(1)), 1).await {
        Ok(events) if events.first().is_some_and(|event| event.hash == head) => {
            checked.sessions += 1;
            checked.events += seq.0;
            Ok(())
        }
        Ok(_) => Err(changed()),
        Err(StoreError::UnknownSession(_)) if store.was_forgotten(session).await? => {
            checked.forgotten += 1;
            Ok(())
        }
        Err(StoreError::UnknownSession(_) | StoreError::Corrupt { .. }) => Err(changed()),
        Err(error) => Err(error.into()),
    }
}

async fn check_audit(
    store: &dyn Everything,
    org: OrgId,
    seq: Seq,
    head: Digest,
    checked: &mut Checked,
) -> Result<(), CheckpointError> {
    if store.audit_head(org, seq).await? != Some(head) {
        return Err(CheckpointError::Changed { what: Exported::Audit(org).to_string() });
    }
    checked.entries += seq.0;
    Ok(())
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.push_str(&line.to_string());
    text.push('\n');
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}
