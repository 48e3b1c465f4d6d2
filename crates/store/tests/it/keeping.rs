//! What expires, what nobody refers to, and what is left of what was deleted.

use std::{
    fs,
    num::NonZeroU32,
    path::Path,
    time::{Duration, SystemTime},
};

use cofferdam_domain::{
    BlobRef, Digest, EventBody, OrgId, Owner, Seq, SessionId, Timestamp, amount::counted,
};
use cofferdam_store::{
    CheckpointError, CheckpointKey, Duty, Everything, ExportError, Keeping, Repeat, Retention, StoreError,
    Writer, check_export, checkpoint, expiry, export, upkeep,
};
use futures_util::{StreamExt as _, future::join_all};

use crate::{
    contract::Subject,
    events::{all, ended, message, now, output, owner, queued, say, session, soon},
};

const ORG: OrgId = Owner::LOCAL.org;
const HOUR: Duration = Duration::from_secs(3600);

fn days(days: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(days)
}

fn keep(sessions: u32, files: u32) -> Retention {
    Retention { keeping: Keeping { sessions: days(sessions), files: days(files) }, archived_stay: false }
}

/// A session of the local organisation that has ended at a time.
async fn over(store: &dyn Everything, at: u64) -> SessionId {
    let session = session(store).await;
    store.append(session, Writer::Anybody, Timestamp(at), vec![ended()]).await.unwrap();
    session
}

async fn refer(store: &dyn Everything, session: SessionId, body: EventBody) {
    store.append(session, Writer::Anybody, Timestamp(2000), vec![body]).await.unwrap();
}

async fn is_there(store: &dyn Everything, session: SessionId) -> bool {
    store.session(None, session).await.unwrap().is_some()
}

pub(crate) async fn sessions_expire_when_their_time_has_come(subject: &impl Subject) {
    let store = subject.open().await;
    let (early, late) = (over(&*store, 5000).await, over(&*store, 90_000).await);
    let working = session(&*store).await;
    let due = expiry(Timestamp(5000), days(1).unwrap());
    let before = upkeep(&*store, keep(1, 0), Timestamp(due.0 - 100_000)).await.unwrap();
    assert_eq!((before.sessions, before.next), (0, due), "the next round is when the first one expires");
    let round = upkeep(&*store, keep(1, 0), due).await.unwrap();
    assert_eq!(round.sessions, 1);
    assert!(!is_there(&*store, early).await && is_there(&*store, late).await);
    assert!(store.was_forgotten(early).await.unwrap());
    assert!(store.forgotten(Timestamp(0)).await.unwrap().iter().any(|(gone, _)| *gone == early));
    let entries = store.audited(ORG, None, 10).await.unwrap();
    assert_eq!(
        (entries[0].action.as_str(), entries[0].subject.clone()),
        ("session.expired", early.to_string())
    );
    let all_due = Timestamp(due.0 * 2);
    upkeep(&*store, keep(1, 0), all_due).await.unwrap();
    assert!(!is_there(&*store, late).await && is_there(&*store, working).await, "what has not ended stays");
    assert_eq!(upkeep(&*store, keep(0, 0), all_due).await.unwrap().sessions, 0);
}

pub(crate) async fn organisations_keep_less_and_archived_ones_may_stay(subject: &impl Subject) {
    let store = subject.open().await;
    let (archived, other) = (over(&*store, 5000).await, over(&*store, 5000).await);
    store.set_archived(archived, true).await.unwrap();
    store.set_keeping(ORG, Keeping { sessions: days(2), files: None }).await.unwrap();
    assert_eq!(store.keeping(ORG).await.unwrap().sessions, days(2));
    let staying = Retention { archived_stay: true, ..keep(30, 0) };
    let soon = expiry(Timestamp(5000), days(2).unwrap());
    assert_eq!(upkeep(&*store, staying, Timestamp(soon.0 - 1)).await.unwrap().sessions, 0);
    assert_eq!(upkeep(&*store, staying, soon).await.unwrap().sessions, 1);
    assert!(is_there(&*store, archived).await && !is_there(&*store, other).await);
    assert_eq!(upkeep(&*store, keep(30, 0), soon).await.unwrap().sessions, 1);
}

pub(crate) async fn one_process_at_a_time_has_a_duty(subject: &impl Subject) {
    let (one, other) = (subject.open().await, subject.open().await);
    let minute = Duration::from_secs(60);
    assert!(one.take_duty(Duty::Expiry, "a", minute).await.unwrap());
    assert!(!other.take_duty(Duty::Expiry, "b", minute).await.unwrap());
    assert!(one.take_duty(Duty::Expiry, "a", minute).await.unwrap(), "it can be kept");
    assert!(other.take_duty(Duty::Sweep, "b", minute).await.unwrap(), "each by itself");
    one.leave_duty(Duty::Expiry, "b").await.unwrap();
    assert!(!other.take_duty(Duty::Expiry, "b", minute).await.unwrap(), "others cannot give it back");
    one.leave_duty(Duty::Expiry, "a").await.unwrap();
    assert!(other.take_duty(Duty::Expiry, "b", Duration::ZERO).await.unwrap());
    assert!(
        one.take_duty(Duty::Expiry, "a", minute).await.unwrap(),
        "who has been silent for too long has lost it"
    );
    let sessions: Vec<SessionId> = join_all((0..20).map(|_| over(&*one, 5000))).await.into_iter().collect();
    one.leave_duty(Duty::Expiry, "a").await.unwrap();
    let at = expiry(Timestamp(5000), days(1).unwrap());
    let rounds = join_all([&one, &other, &one].map(|store| upkeep(&**store, keep(1, 0), at))).await;
    let removed: u64 = rounds.into_iter().map(|round| round.unwrap().sessions).sum();
    assert_eq!(removed, sessions.len() as u64, "each once");
}

pub(crate) async fn files_expire_and_the_log_stays_whole(subject: &impl Subject) {
    let store = subject.open().await;
    let archive = store.put_blob(b"all the files").await.unwrap();
    let shared = store.put_blob(b"both").await.unwrap();
    let stored = |archive| EventBody::CheckpointStored { snapshot: "snp_1".into(), archive };
    let session = session(&*store).await;
    for body in [stored(archive), stored(shared), output(shared), ended()] {
        refer(&*store, session, body).await;
    }
    let at = expiry(Timestamp(2000), days(7).unwrap());
    let early = upkeep(&*store, keep(0, 7), Timestamp(at.0 - 200_000)).await.unwrap();
    assert_eq!((early.contents, early.next), (0, at));
    assert_eq!(upkeep(&*store, keep(0, 7), at).await.unwrap().contents, 1);
    assert!(matches!(store.blob(archive.digest).await, Err(StoreError::UnknownBlob(_))));
    assert_eq!(store.blob(shared.digest).await.unwrap(), b"both", "an output does not expire");
    store.verify(session).await.unwrap();
}

/// A file of one session is an output of another's that has not ended, and of one that has.
pub(crate) async fn what_others_need_does_not_expire(subject: &impl Subject) {
    let store = subject.open().await;
    let (working, over, goes) = (session(&*store).await, session(&*store).await, session(&*store).await);
    let archive = store.put_blob(b"many have it").await.unwrap();
    refer(&*store, working, output(archive)).await;
    age(subject).await;
    for session in [over, goes] {
        refer(&*store, session, EventBody::CheckpointStored { snapshot: "snp_1".into(), archive }).await;
        refer(&*store, session, ended()).await;
    }
    let at = expiry(Timestamp(2000), days(7).unwrap());
    assert_eq!(upkeep(&*store, keep(0, 7), at).await.unwrap().contents, 2);
    assert_eq!(store.blob(archive.digest).await.unwrap(), b"many have it");
    assert_eq!(store.verify(working).await.unwrap().blobs, 1);
    store.forget(working).await.unwrap();
    assert!(matches!(store.blob(archive.digest).await, Err(StoreError::UnknownBlob(_))));
}

/// Makes all content look as if it had been stored long ago.
pub(crate) async fn age(subject: &impl Subject) {
    subject.tamper("UPDATE blobs SET at = 0").await;
    let blobs = Path::new(&subject.address()).join("blobs");
    for folder in fs::read_dir(blobs).into_iter().flatten().flatten() {
        for file in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            let file = fs::File::options().write(true).open(file.path()).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + HOUR).unwrap();
        }
    }
}

pub(crate) async fn what_nobody_refers_to_is_swept(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let lost = store.put_blob(b"stored by somebody who died then").await.unwrap();
    let kept = store.put_blob(b"referred to").await.unwrap();
    refer(&*store, session, output(kept)).await;
    assert_eq!(store.sweep(HOUR).await.unwrap(), 0, "whoever stored it may be about to refer to it");
    age(subject).await;
    let young = store.put_blob(b"just stored").await.unwrap();
    assert_eq!(store.sweep(HOUR).await.unwrap(), 1);
    assert!(matches!(store.blob(lost.digest).await, Err(StoreError::UnknownBlob(_))));
    for blob in [kept, young] {
        store.blob(blob.digest).await.unwrap();
    }
    assert_eq!(store.put_blob(b"stored by somebody who died then").await.unwrap(), lost);
    store.blob(lost.digest).await.unwrap();
}

/// Old content is stored again and referred to while it is being swept away.
pub(crate) async fn what_is_referred_to_at_that_moment_is_never_swept(subject: &impl Subject) {
    const CONTENTS: usize = 60;
    let (store, sweeper) = (subject.open().await, subject.open().await);
    let content = |number: usize| format!("content {number}").into_bytes();
    for number in 0..CONTENTS {
        store.put_blob(&content(number)).await.unwrap();
    }
    age(subject).await;
    let sweeping = async {
        for _ in 0..8 {
            sweeper.sweep(HOUR).await.unwrap();
        }
    };
    let session = session(&*store).await;
    let writing = async {
        let mut blobs: Vec<BlobRef> = Vec::new();
        for number in (0..CONTENTS).step_by(2) {
            let blob = store.put_blob(&content(number)).await.unwrap();
            refer(&*store, session, output(blob)).await;
            blobs.push(blob);
        }
        blobs
    };
    let ((), blobs) = tokio::join!(sweeping, writing);
    sweeper.sweep(HOUR).await.unwrap();
    for blob in &blobs {
        store.blob(blob.digest).await.unwrap();
    }
    store.verify(session).await.unwrap();
    let other = BlobRef { digest: Digest::of(&content(1)), size: 9 };
    assert!(matches!(store.blob(other.digest).await, Err(StoreError::UnknownBlob(_))));
}

pub(crate) async fn followers_hear_that_a_session_is_forgotten(subject: &impl Subject) {
    let (store, other) = (subject.open().await, subject.open().await);
    let session = session(&*store).await;
    let mut events = store.follow(session, Seq::START).await.unwrap();
    assert_eq!(soon(events.next()).await.unwrap().unwrap().seq, Seq(1));
    other.forget(session).await.unwrap();
    let end = soon(events.next()).await;
    assert!(matches!(end, Some(Err(StoreError::UnknownSession(gone))) if gone == session), "{end:?}");
    assert!(soon(events.next()).await.is_none());
}

pub(crate) async fn answers_about_what_was_deleted_are_emptied(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let request = Digest::of(b"request");
    for (key, answer) in [("one", format!("{{\"id\":\"{session}\"}}")), ("two", "{}".to_owned())] {
        store.begin_once(ORG, key, request, now()).await.unwrap();
        store.end_once(ORG, key, 201, answer.as_bytes()).await.unwrap();
    }
    store.forget(session).await.unwrap();
    let Repeat::Same(410, body) = store.begin_once(ORG, "one", request, now()).await.unwrap() else {
        panic!("the key is not free");
    };
    assert!(!String::from_utf8(body).unwrap().contains(&session.to_string()));
    assert_eq!(
        store.begin_once(ORG, "two", request, now()).await.unwrap(),
        Repeat::Same(201, b"{}".to_vec())
    );
}

async fn lines(store: &dyn Everything, session: SessionId) -> Vec<String> {
    let mut lines = Vec::new();
    export(store, session, |line| -> Result<(), StoreError> {
        lines.push(line.to_owned());
        Ok(())
    })
    .await
    .unwrap();
    lines
}

fn check(lines: &[String], pin: Option<(&[u8], &str)>) -> Result<u64, ExportError> {
    check_export(lines.join("\n").as_bytes(), pin).map(|checked| checked.events)
}

pub(crate) async fn an_export_is_checked_without_the_store(subject: &impl Subject) {
    let store = subject.open().await;
    let session = queued(&*store, owner(1, 1), 0).await;
    let odd = "… \u{202e} \" \\ \n é";
    store.append(session, Writer::Anybody, now(), (0..250).map(|_| message(odd)).collect()).await.unwrap();
    let other = queued(&*store, owner(1, 1), 0).await;
    let key = CheckpointKey::read(&CheckpointKey::generate().unwrap()).unwrap();
    let public = key.public();
    let pin = checkpoint(&*store, &key, now()).await.unwrap();
    say(&*store, session, "after the checkpoint").await;
    let whole = lines(&*store, session).await;
    assert_eq!(whole.len(), 253, "{}", counted(whole.len() as u64, "line"));
    assert_eq!(check(&whole, None).unwrap(), 252);
    assert_eq!(check(&whole, Some((&public, &pin))).unwrap(), 252);
    // Changed, left out, in another order, another's.
    let changed = |from: usize, to: &str| {
        let mut lines = whole.clone();
        lines[from] = to.to_owned();
        check(&lines, None)
    };
    assert!(matches!(changed(9, &whole[9].replace('é', "e")), Err(ExportError::Changed { .. })));
    assert!(matches!(changed(9, &whole[10]), Err(ExportError::Changed { .. })));
    assert!(matches!(
        changed(9, &whole[9].replace("\"seq\":9", "\"seq\":8")),
        Err(ExportError::Changed { .. })
    ));
    assert!(matches!(changed(9, "{}"), Err(ExportError::Line { line: 10 })));
    assert!(matches!(
        changed(0, &whole[0].replace(&session.to_string(), &other.to_string())),
        Err(ExportError::Changed { .. })
    ));
    assert!(matches!(changed(0, &whole[1]), Err(ExportError::Title)));
    let without: Vec<String> =
        whole.iter().enumerate().filter(|(at, _)| *at != 30).map(|(_, line)| line.clone()).collect();
    assert!(matches!(check(&without, None), Err(ExportError::Changed { .. })));
    // The end is only seen to be missing by the checkpoint: what came after it may be missing, what came before may not.
    assert_eq!(check(&whole[..251], None).unwrap(), 250);
    assert_eq!(check(&whole[..252], Some((&public, &pin))).unwrap(), 251);
    let cut = check(&whole[..251], Some((&public, &pin)));
    assert!(matches!(cut, Err(ExportError::Checkpoint(CheckpointError::Changed { .. }))), "{cut:?}");
    // A checkpoint of somebody else's, a forged one, and one that says nothing of the session.
    let stranger = CheckpointKey::read(&CheckpointKey::generate().unwrap()).unwrap().public();
    for (public, text) in [(&stranger, pin.clone()), (&public, pin.replace(" 251 ", " 250 "))] {
        let refused = check(&whole, Some((public, &text)));
        assert!(matches!(refused, Err(ExportError::Checkpoint(CheckpointError::Signature))), "{refused:?}");
    }
    let later = queued(&*store, owner(1, 1), 0).await;
    let absent = check(&lines(&*store, later).await, Some((&public, &pin)));
    assert!(matches!(absent, Err(ExportError::Checkpoint(CheckpointError::Absent { .. }))), "{absent:?}");
    assert_eq!(all(&*store, session).await.len(), 252);
}
