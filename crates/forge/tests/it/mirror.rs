//! Mirrors and seeds.

use std::{fs, path::Path};

use cofferdam_forge::{ForgeError, Git, History, MirrorError, RepositoryAddress};

use crate::fixture::{commit, git, git_with_input, id, small_world, world};

#[tokio::test]
async fn a_mirror_follows_its_source() {
    let world = small_world();
    git(&world.source, &["branch", "old"]);
    world.update().await.unwrap();
    git(&world.source, &["branch", "-D", "old"]);
    git(&world.source, &["branch", "old/er"]);
    git(&world.source, &["commit", "-q", "--amend", "-m", "Rewritten"]);
    let tip = git(&world.source, &["rev-parse", "HEAD"]);
    let mirror = world.update().await.unwrap();
    assert_eq!(mirror.resolve(None).await.unwrap().commit, id(&tip));
    assert!(mirror.resolve(Some("old/er")).await.is_ok());
    assert!(mirror.resolve(Some("old")).await.is_err());
}

#[tokio::test]
async fn two_updates_at_once() {
    let world = small_world();
    let address = world.address().await;
    let mirrors = world.mirrors();
    let (one, two, three) =
        tokio::join!(mirrors.update(&address), mirrors.update(&address), mirrors.update(&address));
    let tip = id(&git(&world.source, &["rev-parse", "HEAD"]));
    for mirror in [one, two, three] {
        assert_eq!(mirror.unwrap().resolve(None).await.unwrap().commit, tip);
    }
}

#[tokio::test]
async fn a_seed_has_the_base_and_what_it_comes_from_and_nothing_else() {
    let world = small_world();
    let base_commit = git(&world.source, &["rev-parse", "HEAD"]);
    git(&world.source, &["checkout", "-q", "-b", "secret"]);
    let later = commit(&world.source, &[("secret.txt", "the answer\n")], "The fix");
    git(&world.source, &["tag", "-a", "-m", "note", "v9"]);
    git(&world.source, &["checkout", "-q", "main"]);
    let mirror = world.update().await.unwrap();
    let base = mirror.resolve(None).await.unwrap();
    let seed = mirror.seed(&base).await.unwrap();
    assert_eq!(
        git(seed.path(), &["for-each-ref", "--format=%(objectname) %(refname)"]),
        format!("{base_commit} refs/heads/main")
    );
    let objects = git(seed.path(), &["cat-file", "--batch-check=%(objectname)", "--batch-all-objects"]);
    assert!(!objects.contains(&later));
    let reachable = git(seed.path(), &["rev-list", "--objects", "--no-object-names", "main"]);
    assert_eq!(objects.lines().count(), reachable.lines().count());
    for name in ["logs", "FETCH_HEAD", "objects/info/alternates"] {
        assert!(!seed.path().join(name).exists(), "{name}");
    }
    let config = fs::read_to_string(seed.path().join("config")).unwrap();
    assert!(!config.contains("remote") && !config.contains(world.source.to_str().unwrap()), "{config}");
}

#[tokio::test]
async fn a_long_history_is_cut_in_the_seed() {
    let world = world();
    fs::create_dir_all(&world.source).unwrap();
    git(&world.source, &["init", "-q", "--bare", "-b", "main"]);
    let mut stream = String::new();
    for number in 0..2_100 {
        let content = format!("{number}\n");
        stream += &format!(
            "commit refs/heads/main\ncommitter U <u@localhost> {} +0000\ndata 1\nx\nM 100644 inline f\ndata {}\n{content}\n",
            1_700_000_000 + number,
            content.len()
        );
    }
    git_with_input(&world.source, &["fast-import", "--quiet"], stream.as_bytes());
    let session = world.session().await;
    assert_eq!(session.base.history, History::Recent(200));
    assert!(session.base.notes.join("").contains("last 200 generations"));
    assert_eq!(git(&session.workspace, &["rev-list", "--count", "HEAD"]), "200");
    fs::write(session.workspace.join("f"), "changed\n").unwrap();
    assert_eq!(session.receive().await.stat.files, 1);
}

/// A git that reaches `ssh://` addresses through a program that stands in for ssh and runs the other end
/// here.
fn git_with_ssh(world: &crate::fixture::World) -> Git {
    let bin = world.path("bin");
    fs::create_dir_all(&bin).unwrap();
    let script = "printf '#!/bin/sh\\nfor last; do :; done\\ncase \"$*\" in *denied.example*) echo \"git@denied.example: Permission denied (publickey).\" >&2; exit 255;; esac\\nexport GIT_CONFIG_GLOBAL=/dev/null; eval \"exec $last\"\\n' > \"$0\"; chmod 755 \"$0\"";
    std::process::Command::new("sh").args(["-c", script]).arg(bin.join("ssh")).status().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    Git::find_in(path.as_ref()).unwrap()
}

#[tokio::test]
async fn a_repository_behind_ssh() {
    let mut world = small_world();
    world.git = git_with_ssh(&world);
    let url = format!("ssh://git@forge.example{}", world.source.display());
    if !url.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/@._-".contains(&byte)) {
        eprintln!("SKIPPED: the temporary directory has a name that no URL has: {url}");
        return;
    }
    let address = RepositoryAddress::parse(&world.git, &url, Path::new("/")).await.unwrap();
    let session = world.session_at(address).await;
    assert_eq!(session.base.commit, id(&git(&world.source, &["rev-parse", "HEAD"])));
    assert_eq!(session.base.notes, Vec::<String>::new());

    let address =
        RepositoryAddress::parse(&world.git, "git@denied.example:a/b", Path::new("/")).await.unwrap();
    let error = world.mirrors().update(&address).await.unwrap_err();
    assert!(matches!(error, MirrorError::Denied { .. }), "{error}");
    assert!(error.to_string().contains("ssh agent"));
    let gone = format!("ssh://git@forge.example{}", world.path("nowhere").display());
    let address = RepositoryAddress::parse(&world.git, &gone, Path::new("/")).await.unwrap();
    let error = ForgeError::from(world.mirrors().update(&address).await.unwrap_err());
    assert!(matches!(error, ForgeError::Mirror(MirrorError::Fetch { .. })), "{error}");
}
