//! Repositories whose configuration, hooks, attributes or layout want to run something when git works in
//! them. Each trap writes a file; the file must not be there after a session has gone from the first look to
//! the pull request and its merge.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use cofferdam_forge::{Forge, ForgeError, MirrorError};

use crate::fixture::{World, commit, differences, everything, git, small_world, write};

/// A command line that leaves a trace named after the trap.
fn trap(world: &World, name: &str) -> String {
    format!("touch {}", world.path("traps").join(name).display())
}

fn sprung(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.path("traps")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

fn executable(path: &Path, line: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{line}\ncat\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

const HOOKS: &[&str] = &[
    "reference-transaction",
    "post-index-change",
    "pre-receive",
    "update",
    "post-receive",
    "post-update",
    "pre-auto-gc",
    "post-checkout",
    "post-merge",
    "pre-commit",
    "commit-msg",
    "pre-push",
    "fsmonitor-watchman",
];

/// A source in which every setting that names a program names a trap, and every hook is one.
fn trapped_world() -> World {
    let world = small_world();
    fs::create_dir_all(world.path("traps")).unwrap();
    let attributes = "* filter=evil diff=evil merge=evil\n";
    commit(&world.source, &[(".gitattributes", attributes), ("src/b.txt", "b\n")], "Attributes");
    write(&world.source, &[(".git/info/attributes", attributes)]);
    for hook in HOOKS {
        executable(&world.source.join(".git/hooks").join(hook), &trap(&world, hook));
    }
    for setting in [
        "core.fsmonitor",
        "core.sshCommand",
        "core.gitProxy",
        "core.askPass",
        "core.editor",
        "core.pager",
        "core.alternateRefsCommand",
        "uploadpack.packObjectsHook",
        "diff.external",
        "diff.evil.textconv",
        "diff.evil.command",
        "merge.evil.driver",
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "gpg.program",
        "gpg.ssh.program",
        "credential.helper",
        "sequence.editor",
        "remote.origin.uploadpack",
        "remote.origin.receivepack",
        "trailer.evil.command",
        "alias.upload-pack",
        "alias.index-pack",
        "hook.evil.command",
    ] {
        git(&world.source, &["config", setting, &trap(&world, setting)]);
    }
    for (name, value) in [
        ("core.hooksPath", world.source.join(".git/hooks").to_str().unwrap()),
        ("protocol.ext.allow", "always"),
        ("protocol.allow", "always"),
        ("url.ext::sh -c false.insteadOf", "/"),
        ("filter.evil.required", "true"),
        ("gc.auto", "1"),
        ("fetch.recurseSubmodules", "true"),
        ("submodule.recurse", "true"),
        ("commit.gpgSign", "true"),
        ("log.showSignature", "true"),
        ("hook.evil.event", "reference-transaction"),
    ] {
        git(&world.source, &["config", name, value]);
    }
    write(&world.source, &[("included", &format!("[core]\n\tfsmonitor = {}\n", trap(&world, "included")))]);
    git(&world.source, &["config", "--add", "include.path", world.source.join("included").to_str().unwrap()]);
    world
}

#[tokio::test]
async fn nothing_that_a_repository_names_is_run() {
    let world = trapped_world();
    // The traps work: an ordinary git springs some.
    let status = Command::new("git").current_dir(&world.source).args(["status"]).output().unwrap();
    assert!(!sprung(&world).is_empty(), "{status:?}");
    fs::remove_dir_all(world.path("traps")).unwrap();
    fs::create_dir_all(world.path("traps")).unwrap();

    write(&world.source, &[("README", "dirty\n")]);
    let before = everything(&world.source);
    let session = world.session().await;
    assert!(session.base.notes.join("").contains("Uncommitted changes"), "{:?}", session.base.notes);
    assert_eq!(
        differences(&before, &everything(&world.source)),
        Vec::<String>::new(),
        "reading writes nothing"
    );

    write(&session.workspace, &[("src/a.txt", "changed\n"), ("src/new.txt", "new\n")]);
    let head = session.publishable().await;
    let forge = world.forge();
    forge.push(&session.push(&head)).await.unwrap();
    forge.open(&session.pull_request(&head)).await.unwrap();
    let added = differences(&before, &everything(&world.source));
    let reference = format!(".git/refs/heads/cofferdam/{}", session.id);
    for name in &added {
        let expected = name.starts_with(".git/objects/pack/pack-")
            || *name == reference
            || name == ".git/refs/heads/cofferdam";
        assert!(expected, "{name} was written");
    }

    // Merging with a diverged base needs a merge commit: attributes name a driver for every file.
    git(&world.source, &["-c", "core.fsmonitor=false", "update-ref", "--no-deref", "HEAD", "HEAD"]);
    let tree = git(&world.source, &["rev-parse", "HEAD^{tree}"]);
    let other = git(&world.source, &["commit-tree", &tree, "-p", "HEAD", "-m", "Meanwhile"]);
    git(&world.source, &["update-ref", "refs/heads/main", &other]);
    git(&world.source, &["symbolic-ref", "HEAD", "refs/heads/elsewhere"]);
    fs::remove_dir_all(world.path("traps")).unwrap();
    fs::create_dir_all(world.path("traps")).unwrap();
    forge.merge(&session.address, &head, &session.authorship()).await.unwrap();
    assert_eq!(sprung(&world), Vec::<String>::new());
}

#[tokio::test]
async fn branch_names_reach_no_shell() {
    let world = small_world();
    fs::create_dir_all(world.path("traps")).unwrap();
    let name = format!("$(touch${{IFS}}{})`'\";|&", world.path("traps/branch").display()).replace("//", "/");
    git(&world.source, &["checkout", "-q", "-b", &name]);
    let session = world.session().await;
    assert_eq!(session.base.branch, name);
    assert_eq!(git(&session.workspace, &["symbolic-ref", "--short", "HEAD"]), name);
    write(&session.workspace, &[("README", "changed\n")]);
    let head = session.publishable().await;
    world.forge().push(&session.push(&head)).await.unwrap();
    world.forge().open(&session.pull_request(&head)).await.unwrap();
    world.forge().merge(&session.address, &head, &session.authorship()).await.unwrap_err();
    assert_eq!(sprung(&world), Vec::<String>::new());
}

#[tokio::test]
async fn hostile_workspace_configuration_does_not_matter_to_collecting() {
    let world = small_world();
    fs::create_dir_all(world.path("traps")).unwrap();
    let session = world.session().await;
    for setting in ["core.fsmonitor", "filter.evil.clean", "core.hooksPath"] {
        git(&session.workspace, &["config", setting, &trap(&world, setting)]);
    }
    git(&session.workspace, &["config", "core.worktree", "/"]);
    write(
        &session.workspace,
        &[(".gitattributes", "* filter=evil\n"), ("README", "changed\n"), (".git/index.lock", "")],
    );
    for hook in HOOKS {
        executable(&session.workspace.join(".git/hooks").join(hook), &trap(&world, hook));
    }
    let received = session.receive().await;
    assert_eq!(received.stat.files, 2);
    assert_eq!(sprung(&world), Vec::<String>::new());
}

#[tokio::test]
async fn a_lazy_fetch_is_never_started() {
    let world = small_world();
    fs::create_dir_all(world.path("traps")).unwrap();
    let blob = git(&world.source, &["rev-parse", "HEAD:README"]);
    fs::remove_file(world.source.join(".git/objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    git(&world.source, &["config", "remote.origin.url", "ssh://git@forge.example/x"]);
    git(&world.source, &["config", "core.sshCommand", &trap(&world, "ssh")]);
    let error = world.update().await.unwrap_err();
    assert!(matches!(error, ForgeError::Mirror(MirrorError::Fetch { .. })), "{error}");
    git(&world.source, &["config", "remote.origin.promisor", "true"]);
    let error = world.update().await.unwrap_err();
    assert!(matches!(error, ForgeError::Mirror(MirrorError::PartialClone { .. })), "{error}");
    assert_eq!(sprung(&world), Vec::<String>::new());
}

#[tokio::test]
async fn a_tree_that_would_escape_is_refused_at_the_mirror() {
    let world = small_world();
    let blob = git(&world.source, &["rev-parse", "HEAD:README"]);
    let inner = crate::fixture::git_with_input(
        &world.source,
        &["mktree"],
        format!("100644 blob {blob}\tconfig\n").as_bytes(),
    );
    let tree = crate::fixture::git_with_input(
        &world.source,
        &["mktree"],
        format!("040000 tree {inner}\t.GIT\n").as_bytes(),
    );
    let evil = git(&world.source, &["commit-tree", &tree, "-m", "x"]);
    git(&world.source, &["update-ref", "refs/heads/main", &evil]);
    let error = world.update().await.unwrap_err();
    let ForgeError::Mirror(MirrorError::Dangerous { flaw, .. }) = &error else { panic!("{error}") };
    assert!(flaw.contains("hasDotgit"), "{flaw}");
}
