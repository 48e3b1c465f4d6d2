//! What a hijacked agent may hand out in place of its change: every object and bundle that git can be made to
//! write.

use std::{fs, io::Write};

use cofferdam_domain::{ChangeKind, FileMode};
use cofferdam_forge::{ReceiveError, ReceiveLimits};

use crate::fixture::{Session, command, git, git_with_input, id, small_world, write};

/// Makes a commit on the base with a tree of these entries (`mode type object\tpath`), as raw as `mktree` and
/// `hash-object` allow.
fn commit_of(session: &Session, entries: &str) -> String {
    let tree = git_with_input(&session.workspace, &["mktree", "--missing"], entries.as_bytes());
    git(&session.workspace, &["commit-tree", &tree, "-p", session.base.commit.as_str(), "-m", "x"])
}

fn blob(session: &Session, content: &str) -> String {
    git_with_input(&session.workspace, &["hash-object", "-w", "--stdin"], content.as_bytes())
}

/// A bundle of a commit, as the script would write it.
fn bundle_of(session: &Session, commit: &str) -> Vec<u8> {
    let path = session.workspace.join("../hostile");
    git(&session.workspace, &["update-ref", "refs/heads/cofferdam", commit]);
    let base = format!("^{}", session.base.commit);
    git(
        &session.workspace,
        &["bundle", "create", "-q", path.to_str().unwrap(), "refs/heads/cofferdam", &base],
    );
    fs::read(path).unwrap()
}

async fn refused(session: &Session, bundle: Vec<u8>) -> ReceiveError {
    session.quarantine.receive(bundle, ReceiveLimits::DEFAULT).await.unwrap_err()
}

#[tokio::test]
async fn names_that_some_system_takes_for_git_s_own() {
    let world = small_world();
    let session = world.session().await;
    let file = blob(&session, "x");
    let inner =
        git_with_input(&session.workspace, &["mktree"], format!("100644 blob {file}\tconfig\n").as_bytes());
    for (name, rule) in [
        (".git", "hasDotgit"),
        (".GIT", "hasDotgit"),
        ("git~1", "hasDotgit"),
        (".gi\u{200c}t", "hasDotgit"),
        ("..", "hasDotdot"),
        (".", "hasDot"),
    ] {
        let commit = commit_of(&session, &format!("040000 tree {inner}\t{name}\n"));
        let error = refused(&session, bundle_of(&session, &commit)).await;
        assert!(
            matches!(&error, ReceiveError::Dangerous { rule: found, .. } if found == rule),
            "{name}: {error}"
        );
    }
    let target = blob(&session, "../../etc/passwd");
    let commit = commit_of(&session, &format!("120000 blob {target}\t.gitmodules\n"));
    let error = refused(&session, bundle_of(&session, &commit)).await;
    assert!(matches!(&error, ReceiveError::Dangerous { rule, .. } if rule == "gitmodulesSymlink"), "{error}");
    let modules = blob(&session, "[submodule \"x\"]\n\tpath = x\n\turl = -u./payload\n");
    let commit = commit_of(&session, &format!("100644 blob {modules}\t.gitmodules\n"));
    let error = refused(&session, bundle_of(&session, &commit)).await;
    assert!(matches!(&error, ReceiveError::Dangerous { rule, .. } if rule == "gitmodulesUrl"), "{error}");
}

#[tokio::test]
async fn links_and_submodules_reach_the_gate_as_what_they_are() {
    let world = small_world();
    let session = world.session().await;
    let target = blob(&session, "/etc/passwd");
    let commit = commit_of(
        &session,
        &format!(
            "120000 blob {target}\tlink\n160000 commit {}\tmodule\n100755 blob {target}\trun\n",
            session.base.commit
        ),
    );
    let received =
        session.quarantine.receive(bundle_of(&session, &commit), ReceiveLimits::DEFAULT).await.unwrap();
    let change = session.quarantine.change(&session.base.commit, &id(&received.head)).await.unwrap();
    let seen: Vec<_> = change
        .files
        .iter()
        .map(|file| (file.display_path(), file.kind, file.new.as_ref().map(|side| (side.mode, side.size))))
        .collect();
    assert_eq!(
        seen,
        [
            ("README".into(), ChangeKind::Deleted, None),
            ("link".into(), ChangeKind::Added, Some((FileMode::Symlink, 11))),
            ("module".into(), ChangeKind::Added, Some((FileMode::Gitlink, 0))),
            ("run".into(), ChangeKind::Added, Some((FileMode::Executable, 11))),
            ("src/a.txt".into(), ChangeKind::Deleted, None),
        ]
    );
}

#[tokio::test]
async fn objects_of_other_branches_cannot_be_named() {
    let world = small_world();
    git(&world.source, &["checkout", "-q", "-b", "secret"]);
    crate::fixture::commit(&world.source, &[("secret.txt", "the answer\n")], "Secret");
    let secret = git(&world.source, &["rev-parse", "HEAD:secret.txt"]);
    let secret_commit = git(&world.source, &["rev-parse", "HEAD"]);
    git(&world.source, &["checkout", "-q", "main"]);
    let session = world.session().await;
    // The mirror has it; the agent knows its name; the quarantine does not have it.
    let commit = commit_of(&session, &format!("100644 blob {secret}\tstolen\n"));
    let path = session.workspace.join("../hostile");
    let tree = git(&session.workspace, &["rev-parse", &format!("{commit}^{{tree}}")]);
    let pack = command(&session.workspace)
        .args(["pack-objects", "--stdout", "-q"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::from(fs::File::create(&path).unwrap()))
        .spawn()
        .unwrap();
    write!(pack.stdin.as_ref().unwrap(), "{commit}\n{tree}\n").unwrap();
    assert!(pack.wait_with_output().unwrap().status.success());
    let mut bundle = format!("# v2 git bundle\n{commit} refs/heads/cofferdam\n\n").into_bytes();
    bundle.extend(fs::read(&path).unwrap());
    let error = refused(&session, bundle.clone()).await;
    assert!(matches!(error, ReceiveError::Incomplete { .. } | ReceiveError::Damaged { .. }), "{error}");

    // A head that is no commit of the bundle.
    let start = bundle.windows(4).position(|window| window == b"PACK").unwrap();
    for head in [secret_commit.as_str(), &tree, &"1".repeat(40)] {
        let mut forged = format!("# v2 git bundle\n{head} refs/heads/cofferdam\n\n").into_bytes();
        forged.extend_from_slice(&bundle[start..]);
        refused(&session, forged).await;
    }
}

#[tokio::test]
async fn damaged_bundles() {
    let world = small_world();
    let session = world.session().await;
    write(&session.workspace, &[("README", "changed\n")]);
    let good = session.bundle();
    let pack = good.windows(4).position(|window| window == b"PACK").unwrap();
    for cut in [0, 10, pack, pack + 4, pack + 12, good.len() - 25, good.len() - 1] {
        let error = refused(&session, good[..cut].to_vec()).await;
        assert!(
            matches!(error, ReceiveError::Malformed(_) | ReceiveError::Damaged { .. }),
            "cut at {cut}: {error}"
        );
    }
    for place in pack + 8..good.len() {
        let mut flipped = good.clone();
        flipped[place] ^= 0x55;
        if place < pack + 12 || place % 7 == 0 {
            refused(&session, flipped).await;
        }
    }
    // After all that, the good one is taken.
    assert_eq!(session.quarantine.receive(good, ReceiveLimits::DEFAULT).await.unwrap().stat.files, 1);
}

#[tokio::test]
async fn too_much_of_everything() {
    let world = small_world();
    let session = world.session().await;
    write(&session.workspace, &[("README", "changed\n")]);
    let bundle = session.bundle();
    let receive = async |limits| session.quarantine.receive(bundle.clone(), limits).await.unwrap_err();
    let normal = ReceiveLimits::DEFAULT;
    assert!(matches!(
        receive(ReceiveLimits { bytes: 100, ..normal }).await,
        ReceiveError::TooLarge { limit: 100, .. }
    ));
    let error = receive(ReceiveLimits { objects: 2, ..normal }).await;
    assert!(matches!(error, ReceiveError::TooManyObjects { objects: 3, limit: 2 }), "{error}");
    let error = receive(ReceiveLimits { unpacked: 10, ..normal }).await;
    assert!(matches!(error, ReceiveError::TooLargeUnpacked { limit: 10, .. }), "{error}");
}

#[tokio::test]
async fn a_tree_that_explodes() {
    let world = small_world();
    let session = world.session().await;
    let mut entry = format!("100644 blob {}\t", blob(&session, "x"));
    for _ in 0..8 {
        let entries: String = (0..10).map(|name| format!("{entry}{name}\n")).collect();
        let tree = git_with_input(&session.workspace, &["mktree"], entries.as_bytes());
        entry = format!("040000 tree {tree}\t");
    }
    // A hundred million files in nine objects.
    let commit = commit_of(&session, &format!("{entry}bomb\n"));
    let error = refused(&session, bundle_of(&session, &commit)).await;
    assert!(matches!(error, ReceiveError::Change(_)), "{error}");
    assert!(error.to_string().contains("more than 20000 files"), "{error}");
}

#[tokio::test]
async fn directories_deeper_than_any_stack() {
    let world = small_world();
    let session = world.session().await;
    let mut stream = Vec::new();
    // One tree, built by git itself: 300 directories within each other.
    let path = vec!["d"; 300].join("/");
    write!(stream, "blob\nmark :1\ndata 1\nx\ncommit refs/heads/deep\ncommitter U <u@localhost> 1700000000 +0000\ndata 1\nx\n").unwrap();
    write!(stream, "from {}\nM 100644 :1 {path}/f\n", session.base.commit).unwrap();
    git_with_input(&session.workspace, &["fast-import", "--quiet", "--force"], &stream);
    let commit = git(&session.workspace, &["rev-parse", "refs/heads/deep"]);
    let error = refused(&session, bundle_of(&session, &commit)).await;
    assert!(matches!(error, ReceiveError::TooDeep { .. }), "{error}");
}

#[tokio::test]
async fn large_files_are_named_but_not_loaded() {
    let world = small_world();
    let session = world.session().await;
    fs::write(session.workspace.join("large"), vec![b'x'; (8 << 20) + 1]).unwrap();
    let received = session.receive().await;
    let change = session.quarantine.change(&session.base.commit, &id(&received.head)).await.unwrap();
    let side = change.files[0].new.as_ref().unwrap();
    assert_eq!((side.size, side.content.is_none()), ((8 << 20) + 1, true));
}

#[tokio::test]
async fn a_history_of_its_own_is_judged_by_its_tree() {
    let world = small_world();
    let session = world.session().await;
    git(&session.workspace, &["checkout", "-q", "--orphan", "fresh"]);
    crate::fixture::commit(&session.workspace, &[("README", "fresh\n")], "Fresh start");
    let received = session.receive().await;
    assert_eq!(received.stat.files, 1);
    // The script has put the tree on the base already; a bundle without it is taken too.
    let tree = git(&session.workspace, &["rev-parse", "HEAD^{tree}"]);
    let root = git(&session.workspace, &["commit-tree", &tree, "-m", "Root"]);
    let received =
        session.quarantine.receive(bundle_of(&session, &root), ReceiveLimits::DEFAULT).await.unwrap();
    assert_eq!((received.head.as_str(), received.stat.files), (root.as_str(), 1));
    let commit =
        session.quarantine.recreate(&session.base.commit, &id(&root), &session.authorship()).await.unwrap();
    let parent =
        git(&world.path(&format!("data/{}.git", session.id)), &["log", "-1", "--format=%P", commit.as_str()]);
    assert_eq!(parent, session.base.commit.as_str());
}
