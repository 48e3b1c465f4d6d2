//! The scripts that run inside a sandbox, and what they leave for the quarantine.

use std::{fs, os::unix::fs::PermissionsExt};

use cofferdam_forge::{Collected, ReceiveLimits};

use crate::fixture::{Session, command, commit, git, id, small_world, write};

async fn paths(session: &Session) -> Vec<String> {
    let received = session.receive().await;
    let change = session.quarantine.change(&session.base.commit, &id(&received.head)).await.unwrap();
    change.files.iter().map(|file| file.display_path()).collect()
}

#[tokio::test]
async fn a_workspace_is_whole_and_private() {
    let world = small_world();
    let session = world.session().await;
    assert_eq!(git(&session.workspace, &["status", "--porcelain", "--branch"]), "## main");
    assert_eq!(git(&session.workspace, &["remote"]), "");
    assert_eq!(git(&session.workspace, &["rev-list", "--count", "HEAD"]), "2");
    git(&session.workspace, &["fsck", "--strict"]);
    let config = fs::read_to_string(session.workspace.join(".git/config")).unwrap();
    assert!(!config.contains(world.temp.path().to_str().unwrap()), "{config}");
    assert!(!session.workspace.join(".git/objects/info/alternates").exists());
}

#[tokio::test]
async fn nothing_changed() {
    let world = small_world();
    let session = world.session().await;
    assert_eq!(session.collect(), Collected::NothingChanged);
    // Done and taken back: still nothing.
    commit(&session.workspace, &[("README", "x\n")], "There");
    commit(&session.workspace, &[("README", "two\n")], "And back");
    assert_eq!(session.collect(), Collected::NothingChanged);
}

#[tokio::test]
async fn commits_and_what_is_not_committed() {
    let world = small_world();
    let session = world.session().await;
    write(&session.workspace, &[(".gitignore", "ignored\n")]);
    commit(&session.workspace, &[("README", "three\n")], "Mine");
    write(&session.workspace, &[("ignored", "x"), ("new dir/new file", "x\n")]);
    fs::remove_file(session.workspace.join("src/a.txt")).unwrap();
    fs::set_permissions(session.workspace.join("README"), fs::Permissions::from_mode(0o755)).unwrap();
    let before = git(&session.workspace, &["status", "--porcelain"]);
    let received = session.receive().await;
    let change = session.quarantine.change(&session.base.commit, &id(&received.head)).await.unwrap();
    let found: Vec<_> = change.files.iter().map(|file| file.display_path()).collect();
    assert_eq!(found, [".gitignore", "README", "new dir/new file", "src/a.txt"]);
    let messages: Vec<_> = change.commits.iter().map(|commit| commit.message.trim()).collect();
    assert_eq!(messages, ["Mine", "Changes that were not committed"]);
    assert_eq!((received.stat.files, received.stat.added, received.stat.removed), (4, 3, 2));
    assert_eq!(git(&session.workspace, &["status", "--porcelain"]), before, "the workspace is as it was");
    let again = session.quarantine.receive(session.bundle(), ReceiveLimits::DEFAULT).await.unwrap();
    assert_eq!(again.tree, received.tree);
    let patch =
        session.quarantine.diff_text(&session.base.commit, &id(&received.head), 1 << 20).await.unwrap();
    let patch = String::from_utf8(patch).unwrap();
    assert!(patch.contains("-two\n+three\n") && patch.contains("new mode 100755"), "{patch}");
    let cut = session.quarantine.diff_text(&session.base.commit, &id(&received.head), 200).await.unwrap();
    assert!(cut.len() < 300 && cut.ends_with(b"too long]\n"));
}

#[tokio::test]
async fn whatever_state_the_agent_left() {
    let world = small_world();
    let session = world.session().await;
    let workspace = &session.workspace;
    // A merge with conflicts under way, on a detached head.
    git(workspace, &["checkout", "-q", "-b", "one"]);
    commit(workspace, &[("README", "one side\n")], "One");
    git(workspace, &["checkout", "-q", "--detach", "main"]);
    commit(workspace, &[("README", "other side\n")], "Other");
    assert!(!command(workspace).args(["merge", "-q", "one"]).output().unwrap().status.success());
    assert_eq!(paths(&session).await, ["README"]);
    // A damaged index.
    fs::write(workspace.join(".git/index"), b"garbage").unwrap();
    assert_eq!(paths(&session).await, ["README"]);
    // No repository at all.
    fs::remove_dir_all(workspace.join(".git")).unwrap();
    assert_eq!(paths(&session).await, ["README"]);
}

#[tokio::test]
async fn repositories_inside_the_workspace_are_taken_as_files() {
    let world = small_world();
    let session = world.session().await;
    let inner = session.workspace.join("tool/with 'quote'");
    crate::fixture::init(&inner);
    commit(&inner, &[("main.c", "x\n")], "Inner");
    let empty = session.workspace.join("empty-repository");
    crate::fixture::init(&empty);
    write(&empty, &[("file", "x\n")]);
    assert_eq!(paths(&session).await, ["empty-repository/file", "tool/with 'quote'/main.c"]);
    assert_eq!(git(&inner, &["log", "--format=%s"]), "Inner", "put back");
    assert!(empty.join(".git/HEAD").exists());
}

#[tokio::test]
async fn unreadable_files_do_not_stop_the_rest() {
    let world = small_world();
    let session = world.session().await;
    write(&session.workspace, &[("locked", "x\n"), ("open", "x\n")]);
    fs::set_permissions(session.workspace.join("locked"), fs::Permissions::from_mode(0o000)).unwrap();
    let found = paths(&session).await;
    assert!(found.contains(&"open".to_owned()), "{found:?}");
}
