//! Secrets at rest, and signed checkpoints.

use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc};

use cofferdam_domain::{OrgId, Owner, Secret, Timestamp};
use cofferdam_store::{
    CheckpointError, CheckpointKey, Everything, Sealed, StoreError, check_checkpoint, checkpoint,
    seal::{KeySource, MasterKey, MasterKeys, SealError, Sealer},
    verify_all,
};

use crate::{
    contract::Subject,
    events::{now, owner, queued, say, session},
};

const ORG: OrgId = Owner::LOCAL.org;

/// A master key of this text, from a command.
async fn master(text: &str) -> MasterKey {
    let words = ["printf", "%s\n", text].map(str::to_owned).to_vec();
    MasterKey::read(&KeySource::Command(words)).await.unwrap()
}

fn sealer(store: &Arc<dyn Everything>, current: &MasterKey, earlier: &[&MasterKey]) -> Sealer {
    let earlier = earlier.iter().map(|key| (*key).clone()).collect();
    Sealer::new(Arc::clone(store), MasterKeys::new(current.clone(), earlier))
}

fn stored(name: &str, bytes: Vec<u8>) -> Sealed {
    Sealed { id: cofferdam_domain::StoredSecretId::generate(), name: name.into(), bytes, at: now() }
}

pub(crate) async fn what_is_sealed_is_opened_only_in_its_place(subject: &impl Subject) {
    let store = subject.open().await;
    let other = store.create_org("other", now()).await.unwrap().id;
    let sealer = sealer(&store, &master(&MasterKey::generate().unwrap()).await, &[]);
    let secret = Secret::new("hunter2 \u{1f980}");
    let bytes = sealer.seal(ORG, "token", &secret).await.unwrap();
    assert!(!bytes.windows(7).any(|window| window == b"hunter2"));
    assert_ne!(bytes, sealer.seal(ORG, "token", &secret).await.unwrap(), "another nonce each time");
    assert_eq!(sealer.open(ORG, &stored("token", bytes.clone())).await.unwrap(), secret);
    sealer.seal(other, "token", &secret).await.unwrap();
    for (org, name) in [(ORG, "tokem"), (other, "token")] {
        let refused = sealer.open(org, &stored(name, bytes.clone())).await;
        assert!(matches!(refused, Err(SealError::Damaged { .. })), "{refused:?}");
    }
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        assert!(sealer.open(ORG, &stored("token", changed)).await.is_err(), "byte {place}");
        assert!(sealer.open(ORG, &stored("token", bytes[..place].to_vec())).await.is_err(), "cut at {place}");
    }
    let long = Secret::new("x".repeat(70_000));
    assert!(matches!(sealer.seal(ORG, "long", &long).await, Err(SealError::TooLong { .. })));
}

pub(crate) async fn another_master_key_takes_over(subject: &impl Subject) {
    let store = subject.open().await;
    let (old, new) = (master(&"0a".repeat(32)).await, master(&"0b".repeat(32)).await);
    let secret = Secret::new("s");
    let bytes = sealer(&store, &old, &[]).seal(ORG, "token", &secret).await.unwrap();
    let sealed = stored("token", bytes);
    let refused = sealer(&store, &new, &[]).open(ORG, &sealed).await;
    assert!(matches!(refused, Err(SealError::OtherMaster { .. })), "{refused:?}");
    let both = sealer(&store, &new, &[&old]);
    assert_eq!(both.open(ORG, &sealed).await.unwrap(), secret);
    assert_eq!((both.rotate().await.unwrap(), both.rotate().await.unwrap()), (1, 0));
    assert_eq!(sealer(&store, &new, &[]).open(ORG, &sealed).await.unwrap(), secret);
    assert!(sealer(&store, &old, &[]).open(ORG, &sealed).await.is_err());
    assert!(!format!("{both:?}").contains("0b0b"), "keys are not printed");
}

pub(crate) async fn a_rotation_that_was_cut_short_goes_on(subject: &impl Subject) {
    let store = subject.open().await;
    let (old, new) = (master(&"0a".repeat(32)).await, master(&"0b".repeat(32)).await);
    let secret = Secret::new("s");
    let mut sealed = Vec::new();
    for number in 0..12 {
        let org = store.create_org(&format!("org {number}"), now()).await.unwrap().id;
        sealed.push((org, stored("n", sealer(&store, &old, &[]).seal(org, "n", &secret).await.unwrap())));
    }
    let both = sealer(&store, &new, &[&old]);
    // Dropped at its first, second, … pause.
    for pauses in 1..8 {
        let mut rotation = Box::pin(both.rotate());
        // Whether it comes to its end or not.
        for _ in 0..pauses {
            let waker = futures_util::task::noop_waker();
            if rotation.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_ready() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        drop(rotation);
        for (org, sealed) in &sealed {
            assert_eq!(both.open(*org, sealed).await.unwrap(), secret, "it can be used all the while");
        }
    }
    both.rotate().await.unwrap();
    assert_eq!(both.rotate().await.unwrap(), 0);
    for (org, sealed) in &sealed {
        assert_eq!(sealer(&store, &new, &[]).open(*org, sealed).await.unwrap(), secret);
    }
}

pub(crate) async fn data_keys_made_at_once_are_one(subject: &impl Subject) {
    let store = subject.open().await;
    let master = master(&"0a".repeat(32)).await;
    let sealers: Vec<Sealer> = (0..4).map(|_| sealer(&store, &master, &[])).collect();
    let secret = Secret::new("s");
    let all =
        futures_util::future::join_all(sealers.iter().map(|sealer| sealer.seal(ORG, "n", &secret))).await;
    for bytes in all {
        assert_eq!(sealers[0].open(ORG, &stored("n", bytes.unwrap())).await.unwrap(), secret);
    }
    assert_eq!(store.data_keys(ORG).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_master_key_is_read_with_care() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let read = async || MasterKey::read(&KeySource::File(path.clone())).await;
    let said = |result: Result<MasterKey, SealError>| result.unwrap_err().to_string();
    assert!(said(read().await).contains("No such file"));
    fs::write(&path, format!("{}\n", MasterKey::generate().unwrap())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(said(read().await).contains("chmod 600"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    read().await.unwrap();
    for wrong in ["", "0a", &"0g".repeat(32), &"0a".repeat(33), &"é".repeat(32)] {
        fs::write(&path, wrong).unwrap();
        assert!(said(read().await).contains("64 hexadecimal digits"));
    }
    let command = |words: &[&str]| KeySource::Command(words.iter().map(|word| (*word).to_owned()).collect());
    assert!(said(MasterKey::read(&command(&["false"])).await).contains("exit status: 1"));
    assert!(said(MasterKey::read(&command(&["/nowhere/at/all"])).await).contains("No such file"));
    let unset = KeySource::Environment("COFFERDAM_TEST_NO_SUCH_KEY".into());
    assert!(said(MasterKey::read(&unset).await).contains("COFFERDAM_TEST_NO_SUCH_KEY"));
}

pub(crate) async fn a_checkpoint_pins_all_before_it(subject: &impl Subject) {
    let store = subject.open().await;
    let sessions = [queued(&*store, owner(1, 1), 0).await, session(&*store).await];
    say(&*store, sessions[0], "before").await;
    let entry = |action: &str| cofferdam_store::AuditEntry {
        id: cofferdam_domain::AuditId::generate(),
        at: now(),
        by: "ann".into(),
        action: action.into(),
        subject: String::new(),
        detail: "{}".into(),
    };
    store.audit(ORG, entry("one")).await.unwrap();
    let key = CheckpointKey::read(&CheckpointKey::generate().unwrap()).unwrap();
    let text = checkpoint(&*store, &key, Timestamp(9)).await.unwrap();
    let check = async |text: &str| check_checkpoint(&*store, &key.public(), text).await;
    say(&*store, sessions[0], "after").await;
    store.audit(ORG, entry("two")).await.unwrap();
    let checked = check(&text).await.unwrap();
    assert_eq!((checked.sessions, checked.events, checked.entries, checked.forgotten), (2, 3, 1, 0));
    let whole = verify_all(&*store).await.unwrap();
    assert_eq!((whole.sessions, whole.events, whole.entries), (2, 4, 2));
    for wrong in [
        text.replace("at 9", "at 8"),
        text.replace(" 2 ", " 1 "),
        text.replace("signature", "signed"),
        String::new(),
    ] {
        assert!(matches!(check(&wrong).await, Err(CheckpointError::Signature)), "{wrong}");
    }
    let other = CheckpointKey::read(&CheckpointKey::generate().unwrap()).unwrap();
    assert!(check_checkpoint(&*store, &other.public(), &text).await.is_err());
    store.forget(sessions[1]).await.unwrap();
    assert_eq!(check(&text).await.unwrap().forgotten, 1);
    // Whoever can write the database makes a session of it that was always shorter.
    subject.tamper("UPDATE audit SET detail = '{\"x\":1}' WHERE seq = 1").await;
    let found = verify_all(&*store).await;
    assert!(matches!(found, Err(StoreError::Corrupt { .. })), "{found:?}");
    subject.tamper("DELETE FROM events; DELETE FROM sessions").await;
    assert!(matches!(check(&text).await, Err(CheckpointError::Changed { .. })));
}
