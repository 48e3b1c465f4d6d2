//! What users get wrong, and repositories that lack something: a clear error that names the remedy, or a
//! note.

use std::{ffi::OsStr, fs, io::Write, os::unix::ffi::OsStrExt, path::Path, time::Instant};

use cofferdam_forge::{
    AddressError, ForgeError, Git, GitError, MirrorError, RepositoryAddress, ResolveError,
};

use crate::fixture::{World, commit, git, git_with_input, id, init, small_world, world, write};

async fn notes(world: &World) -> String {
    world.update().await.unwrap().resolve(None).await.unwrap().notes.join("\n")
}

#[test]
fn no_git_or_an_old_one() {
    let empty = tempfile::tempdir().unwrap();
    let error = Git::find_in(empty.path().as_os_str()).unwrap_err();
    assert!(matches!(error, GitError::NotFound));
    assert!(error.to_string().contains("install git"), "{error}");

    let old = empty.path().join("git");
    // Written by another process: a program that this one has just had open for writing cannot be started
    // while another test forks.
    let script = "printf '#!/bin/sh\\necho git version 2.20.1\\n' > \"$0\"; chmod 755 \"$0\"";
    std::process::Command::new("sh").args(["-c", script]).arg(&old).status().unwrap();
    let error = Git::find_in(empty.path().as_os_str()).unwrap_err();
    assert!(error.to_string().contains("2.20.1") && error.to_string().contains("2.39.0 or later"), "{error}");
    assert!(matches!(Git::find_in(OsStr::new("bin:.:")), Err(GitError::NotFound)), "relative directories");
}

#[tokio::test]
async fn paths_that_are_no_repository() {
    let world = world();
    write(&world.path("plain"), &[("file", "x")]);
    let parse =
        async |text: &str| RepositoryAddress::parse(&world.git, text, &world.path("")).await.unwrap_err();
    assert!(matches!(parse("nowhere").await, AddressError::Missing { .. }));
    // The temporary directory may itself be inside a repository of whoever runs the tests; a file never is
    // one.
    assert!(matches!(parse("plain/file").await, AddressError::NotARepository { .. }));
    assert!(parse("nowhere").await.to_string().contains("give the path of a git repository"));
}

#[tokio::test]
async fn a_repository_is_found_from_anywhere_inside_and_through_links() {
    let world = small_world();
    std::os::unix::fs::symlink(world.source.join("src"), world.path("link")).unwrap();
    let from = async |text: &str| RepositoryAddress::parse(&world.git, text, &world.path("")).await.unwrap();
    let expected = world.address().await;
    for text in ["source", "./source/src", "link", "source/.git"] {
        assert_eq!(from(text).await.key(), expected.key(), "{text}");
    }
    assert_eq!(from("link").await.to_string(), world.source.to_str().unwrap());
    git(&world.source, &["clone", "-q", "--bare", ".", "../bare.git"]);
    let RepositoryAddress::Local(bare) = from("bare.git").await else { panic!() };
    assert!(bare.is_bare() && bare.root() == world.path("bare.git"));
}

#[tokio::test]
async fn bare_and_linked_work_trees() {
    let mut world = small_world();
    git(&world.source, &["worktree", "add", "-q", "-b", "side", "../side"]);
    let tip = commit(&world.path("side"), &[("b", "b")], "On the side");
    world.source = world.path("side");
    let base = world.update().await.unwrap().resolve(None).await.unwrap();
    assert_eq!((base.commit, base.branch.as_str()), (id(&tip), "side"));

    git(&world.path("source"), &["clone", "-q", "--bare", ".", "../bare.git"]);
    world.source = world.path("bare.git");
    let base = world.update().await.unwrap().resolve(None).await.unwrap();
    assert_eq!((base.branch.as_str(), base.notes.len(), base.files), ("main", 0, 2));
}

#[tokio::test]
async fn an_empty_repository() {
    let world = world();
    init(&world.source);
    let error = world.update().await.unwrap().resolve(None).await.unwrap_err();
    assert!(matches!(error, ResolveError::Empty { .. }));
    assert!(error.to_string().contains("make a first commit"), "{error}");
    let commit = commit(&world.source, &[("a", "a")], "First");
    assert_eq!(world.update().await.unwrap().resolve(None).await.unwrap().commit, id(&commit));
}

#[tokio::test]
async fn an_unborn_default_branch_names_the_others() {
    let world = small_world();
    git(&world.source, &["checkout", "-q", "--orphan", "fresh"]);
    let error = world.update().await.unwrap().resolve(None).await.unwrap_err();
    assert!(matches!(&error, ResolveError::NoDefault { branches, .. } if branches == &["main"]), "{error}");
}

#[tokio::test]
async fn bases_by_every_name() {
    let world = small_world();
    let first = git(&world.source, &["rev-parse", "HEAD~1"]);
    let second = git(&world.source, &["rev-parse", "HEAD"]);
    git(&world.source, &["tag", "-a", "-m", "x", "v1.0", &first]);
    git(&world.source, &["tag", "tree", "HEAD^{tree}"]);
    git(&world.source, &["branch", "feature/login", &first]);
    let mirror = world.update().await.unwrap();
    for (name, commit, branch) in [
        ("main", &second, "main"),
        ("refs/heads/main", &second, "main"),
        ("feature/login", &first, "feature/login"),
        ("v1.0", &first, "main"),
        (&first, &first, "main"),
        (&first[..8], &first, "main"),
    ] {
        let base = mirror.resolve(Some(name)).await.unwrap();
        assert_eq!((base.commit, base.branch.as_str()), (id(commit), branch), "{name}");
    }
    let unknown = async |name: &str| mirror.resolve(Some(name)).await.unwrap_err().to_string();
    assert!(unknown("mian").await.contains("did you mean main"));
    assert!(unknown("feature/logon").await.contains("did you mean feature/login"));
    assert!(unknown("v1.1").await.contains("did you mean v1.0"));
    assert!(unknown("tree").await.contains("is not a commit but a tree"));
    for bad in [
        "",
        "-h",
        "--all",
        "HEAD~1",
        "main:README",
        "main^{tree}",
        "@{u}",
        "a\nb",
        "0000000",
        &"f".repeat(40),
    ] {
        assert!(matches!(mirror.resolve(Some(bad)).await, Err(ResolveError::Unknown { .. })), "{bad:?}");
    }
}

#[tokio::test]
async fn a_detached_head() {
    let world = small_world();
    let first = git(&world.source, &["rev-parse", "HEAD~1"]);
    git(&world.source, &["checkout", "-q", "--detach", &first]);
    let base = world.update().await.unwrap().resolve(None).await.unwrap();
    assert_eq!((base.commit, base.branch.as_str()), (id(&first), "main"));
    git(&world.source, &["checkout", "-q", "main"]);
    assert_ne!(world.update().await.unwrap().resolve(None).await.unwrap().commit, id(&first));
}

#[tokio::test]
async fn a_dirty_work_tree_is_noted_and_left_out() {
    let world = small_world();
    assert_eq!(notes(&world).await, "");
    write(&world.source, &[("README", "three\n"), ("new/file", "x"), ("new/other", "x"), ("staged", "x")]);
    git(&world.source, &["add", "staged"]);
    let found = notes(&world).await;
    assert!(found.contains("Uncommitted changes in ") && found.contains("(3 paths)"), "{found}");
    git(&world.source, &["reset", "-q", "--hard"]);
    git(&world.source, &["clean", "-fdq"]);
    // Only the time differs, not the content.
    write(&world.source, &[("README", "two\n")]);
    assert_eq!(notes(&world).await, "");
}

#[tokio::test]
async fn a_shallow_source() {
    let mut world = small_world();
    let url = format!("file://{}", world.source.display());
    git(&world.path(""), &["clone", "-q", "--depth=1", &url, "shallow"]);
    world.source = world.path("shallow");
    assert!(notes(&world).await.contains("shallow clone"));
    // A session works on it from end to end.
    let session = world.session().await;
    write(&session.workspace, &[("README", "changed\n")]);
    assert_eq!(session.receive().await.stat.files, 1);
    // Once the source has its history, so has the mirror.
    git(&world.source, &["fetch", "-q", "--unshallow"]);
    assert_eq!(notes(&world).await, "");
}

#[tokio::test]
async fn a_partial_clone_is_refused() {
    let mut world = small_world();
    git(&world.source, &["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", world.source.display());
    git(&world.path(""), &["clone", "-q", "--filter=blob:none", "--no-checkout", &url, "partial"]);
    world.source = world.path("partial");
    let error = world.update().await.unwrap_err();
    assert!(matches!(error, ForgeError::Mirror(MirrorError::PartialClone { .. })), "{error}");
    assert!(error.to_string().contains("without --filter"));
}

#[tokio::test]
async fn submodules_are_counted_and_pointers_stay() {
    let world = small_world();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    write(
        &world.source,
        &[
            (".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n"),
            ("a.bin", pointer),
            ("b.bin", pointer),
        ],
    );
    let head = git(&world.source, &["rev-parse", "HEAD"]);
    git(&world.source, &["update-index", "--add", "--cacheinfo", &format!("160000,{head},lib")]);
    write(
        &world.source,
        &[(".gitmodules", "[submodule \"lib\"]\n\tpath = lib\n\turl = https://example.org/lib\n")],
    );
    fs::create_dir_all(world.source.join("lib")).unwrap();
    commit(&world.source, &[], "Pointers");
    let base = world.update().await.unwrap().resolve(None).await.unwrap();
    assert_eq!((base.submodules, base.gitlinks.len()), (1, 1));
    // Neither is fetched, and neither shows as a change.
    let session = world.session().await;
    assert_eq!(fs::read_to_string(session.workspace.join("a.bin")).unwrap(), pointer);
    assert_eq!(session.collect(), cofferdam_forge::Collected::NothingChanged);
}

#[tokio::test]
async fn paths_that_are_not_utf8() {
    let world = small_world();
    fs::write(world.source.join(OsStr::from_bytes(b"caf\xe9\n\t\"x\"")), "latin\n").unwrap();
    commit(&world.source, &[], "Latin");
    let session = world.session().await;
    fs::write(session.workspace.join(OsStr::from_bytes(b"caf\xe9\n\t\"x\"")), "changed\n").unwrap();
    fs::write(session.workspace.join(OsStr::from_bytes(b"\xff\xfe")), b"\0binary").unwrap();
    let received = session.receive().await;
    let change = session.quarantine.change(&session.base.commit, &id(&received.head)).await.unwrap();
    let paths: Vec<&[u8]> = change.files.iter().map(|file| file.path.as_slice()).collect();
    assert_eq!(paths, [&b"caf\xe9\n\t\"x\""[..], b"\xff\xfe"]);
    assert_eq!(change.files[0].new.as_ref().unwrap().content.as_deref(), Some(&b"changed\n"[..]));
    assert_eq!((received.stat.files, received.stat.added, received.stat.removed), (2, 1, 1));
}

#[tokio::test]
async fn sha256_repositories() {
    let world = world();
    fs::create_dir_all(&world.source).unwrap();
    git(&world.source, &["init", "-q", "-b", "main", "--object-format=sha256"]);
    commit(&world.source, &[("a", "a\n")], "First");
    let session = world.session().await;
    write(&session.workspace, &[("a", "b\n")]);
    let commit = session.publishable().await;
    assert_eq!(commit.as_str().len(), 64);
}

/// Writes a repository of many files without a work tree.
fn import_many(path: &Path, files: usize) {
    fs::create_dir_all(path).unwrap();
    git(path, &["init", "-q", "--bare", "-b", "main"]);
    let mut stream = Vec::new();
    write!(stream, "commit refs/heads/main\ncommitter U <u@localhost> 1700000000 +0000\ndata 4\nMany\n")
        .unwrap();
    for number in 0..files {
        let content = format!("file {number}\n");
        write!(
            stream,
            "M 100644 inline d{}/e{}/f{number}.txt\ndata {}\n{content}\n",
            number % 100,
            number % 10,
            content.len()
        )
        .unwrap();
    }
    git_with_input(path, &["fast-import", "--quiet"], &stream);
}

#[tokio::test]
async fn a_repository_of_100_000_files() {
    let world = world();
    import_many(&world.source, 100_000);
    let start = Instant::now();
    let mut last = start;
    let mut lap = |what: &str| {
        eprintln!("100,000 files: {what}: {:.2} s", last.elapsed().as_secs_f64());
        last = Instant::now();
    };
    let mirror = world.update().await.unwrap();
    lap("first mirror");
    let mirror_again = world.update().await.unwrap();
    lap("mirror again");
    drop(mirror_again);
    let base = mirror.resolve(None).await.unwrap();
    lap("resolve");
    assert_eq!(base.files, 100_000);
    assert!(base.notes.join("\n").contains("100000 files"));
    mirror.seed(&base).await.unwrap();
    lap("seed");
    let session = world.session().await;
    lap("checkout (with mirror and resolve again)");
    write(&session.workspace, &[("d1/e1/f1.txt", "changed\n")]);
    let received = session.receive().await;
    lap("collect and receive");
    assert_eq!(received.stat.files, 1);
    let change = session.quarantine.change(&session.base.commit, &id(&received.head)).await.unwrap();
    lap("change");
    assert_eq!(change.files.len(), 1);
}
