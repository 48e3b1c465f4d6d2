//! A full disk: a clear error, nothing half-written, and it goes on when there is space again.

use std::{fs, path::Path, process::Command};

use cofferdam_domain::{SessionId, Timestamp};
use cofferdam_store::{SqliteStore, Store as _, StoreError, Writer};

use crate::{
    child,
    events::{all, message, say, session},
};

/// A file system of its own in a mount namespace of its own, so that nothing of it is left behind.
const MOUNT: &str = "mount -t tmpfs -o size=8m,mode=0700 tmpfs \"$1\" && shift && echo mounted a small disk >&2 && exec \"$@\"";

#[test]
fn a_full_disk_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let role = child::command("fill", folder.path(), SessionId::generate());
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--", "sh", "-c", MOUNT, "sh"])
        .arg(folder.path())
        .arg(role.get_program())
        .args(role.get_args())
        .envs(role.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .output();
    let Ok(output) = output else {
        eprintln!("SKIPPED: a full disk needs the program unshare (util-linux)");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    if !said.contains("mounted a small disk") {
        eprintln!("SKIPPED: a full disk needs a mount namespace, which this host refuses: {said}");
        return;
    }
    assert!(output.status.success() && said.contains("went on"), "{said}");
}

/// Runs in the process that has the small disk.
pub(crate) async fn fill(store: &SqliteStore, folder: &Path, _: SessionId) {
    let ballast = folder.join("ballast");
    fs::write(&ballast, vec![1; 4 << 20]).unwrap();
    let session = session(store).await;
    let text = "x".repeat(20_000);
    let mut written = 1;
    let failure = loop {
        match store.append(session, Writer::Anybody, Timestamp(1), vec![message(&text), message(&text)]).await
        {
            Ok(_) => written += 2,
            Err(error) => break error,
        }
    };
    assert!(matches!(failure, StoreError::Full { .. }), "{failure:?}");
    assert!(written > 20, "{written}");
    let blob = store.put_blob(&vec![2; 1 << 20]).await.unwrap_err();
    assert!(matches!(blob, StoreError::Full { .. }), "{blob:?}");
    let unfinished = fs::read_dir(folder.join("blobs/unfinished")).unwrap().count();
    assert_eq!(unfinished, 0);
    let opened_again = SqliteStore::open(folder).await.map(drop);
    assert!(matches!(opened_again, Ok(()) | Err(StoreError::Full { .. })), "{opened_again:?}");

    let events = all(store, session).await;
    assert_eq!(events.len(), written, "an append is whole or not there");
    assert_eq!(store.verify(session).await.unwrap().events, written as u64);

    fs::remove_file(ballast).unwrap();
    for _ in 0..50 {
        say(store, session, &text).await;
    }
    assert_eq!(store.verify(session).await.unwrap().events, written as u64 + 50);
    child::tell("went on");
}
