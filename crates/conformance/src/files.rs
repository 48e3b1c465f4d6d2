//! File operations and searches through the hand.

use std::time::Duration;

use cofferdam_sandbox::{EntryKind, FileProblem, Sandbox, SandboxError, Search};

use crate::{Scene, sh};

fn search(pattern: Option<&str>, glob: Option<&str>) -> Search {
    Search {
        root: String::new(),
        pattern: pattern.map(str::to_owned),
        glob: glob.map(str::to_owned),
        literal: false,
        ignore_case: false,
        multiline: false,
        context: 0,
        hidden: false,
        limit: 100,
        timeout: Duration::from_secs(10),
    }
}

async fn problem_of_reading(sandbox: &dyn Sandbox, path: &str) -> FileProblem {
    match sandbox.read(path, 0, 100).await {
        Err(SandboxError::File { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

pub async fn files_are_written_read_and_removed(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    let read = sandbox.read("README", 0, 1000).await.unwrap();
    assert_eq!((read.bytes.as_slice(), read.size), (b"original\n".as_slice(), 9));
    let part = sandbox.read("/workspace/README", 4, 3).await.unwrap();
    assert_eq!((part.bytes.as_slice(), part.size, part.version), (b"ina".as_slice(), 9, read.version));

    let written = sandbox.write("README", b"changed", Some(read.version)).await.unwrap();
    assert_ne!(written, read.version);
    let stale = sandbox.write("README", b"again", Some(read.version)).await;
    assert!(matches!(stale, Err(SandboxError::File { problem: FileProblem::Changed, .. })), "{stale:?}");
    assert_eq!(sandbox.read("README", 0, 1000).await.unwrap().bytes, b"changed");

    let large = vec![b'x'; 5 << 20];
    sandbox.write("new/deep/large", &large, None).await.unwrap();
    assert_eq!(sandbox.read("new/deep/large", 0, u64::MAX).await.unwrap().bytes, large);
    assert_eq!(sh(&*sandbox, "stat -c '%s %a %U' new/deep/large").await, "5242880 644 agent\n");
    sandbox.remove("new/deep/large").await.unwrap();
    assert_eq!(problem_of_reading(&*sandbox, "new/deep/large").await, FileProblem::Missing);
    sandbox.destroy().await.unwrap();
    let original = std::fs::read_to_string(place.path("base/README")).unwrap();
    assert_eq!(original, "original\n", "the layer below is as it was");
}

pub async fn what_is_not_a_file_says_so_at_once(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    sh(&*sandbox, "mkfifo pipe; ln -s /etc/passwd link; ln -s /proc/self/root/etc magic").await;
    assert_eq!(problem_of_reading(&*sandbox, "src").await, FileProblem::IsDirectory);
    assert_eq!(problem_of_reading(&*sandbox, "pipe").await, FileProblem::Special);
    assert_eq!(problem_of_reading(&*sandbox, "/dev/zero").await, FileProblem::Special);
    assert_eq!(problem_of_reading(&*sandbox, "README/x").await, FileProblem::NotDirectory);
    let inside = sandbox.read("link", 0, 1 << 20).await.unwrap();
    assert!(
        String::from_utf8(inside.bytes).unwrap().contains("agent:x:"),
        "the sandbox's file, not the host's"
    );
    let denied = sandbox.write("/usr/x", b"x", None).await;
    assert!(matches!(denied, Err(SandboxError::File { problem: FileProblem::Denied, .. })), "{denied:?}");
    let nul = sandbox.read("a\0b", 0, 1).await;
    assert!(matches!(nul, Err(SandboxError::File { .. })), "{nul:?}");
    sandbox.destroy().await.unwrap();
}

pub async fn directories_are_listed_by_name_up_to_a_limit(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    sh(&*sandbox, "ln -s x link; mkfifo pipe; printf abc > file").await;
    let listing = sandbox.list("", 100).await.unwrap();
    let names: Vec<_> =
        listing.entries.iter().map(|entry| (entry.name.as_slice(), entry.kind, entry.size)).collect();
    assert_eq!(
        names,
        [
            (b"README".as_slice(), EntryKind::File, 9),
            (b"file".as_slice(), EntryKind::File, 3),
            (b"link".as_slice(), EntryKind::Symlink, 0),
            (b"pipe".as_slice(), EntryKind::Other, 0),
            (b"src".as_slice(), EntryKind::Directory, 0),
        ]
    );
    let few = sandbox.list("/workspace", 2).await.unwrap();
    assert_eq!((few.entries.len(), few.more), (2, 3));
    assert!(sandbox.list("README", 10).await.is_err());
    sandbox.destroy().await.unwrap();
}

pub async fn files_are_found_by_content_and_by_name(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    sh(&*sandbox, "printf 'one\\ntwo\\nthree\\n' > numbers; echo two > .hidden; echo ignored > .ignore; echo two > ignored").await;
    let found = sandbox.search(search(Some("^tw."), None)).await.unwrap();
    assert_eq!(found.files.len(), 1);
    assert_eq!(found.files[0].path, b"numbers");
    assert_eq!(
        (found.files[0].lines[0].number, found.files[0].lines[0].text.as_slice()),
        (2, b"two".as_slice())
    );
    let names = sandbox.search(search(None, Some("**/*.rs"))).await.unwrap();
    assert_eq!(names.files.iter().map(|file| file.path.as_slice()).collect::<Vec<_>>(), [b"src/one.rs"]);
    let wrong = sandbox.search(search(Some("(unclosed"), None)).await;
    assert!(matches!(wrong, Err(SandboxError::Search(_))), "{wrong:?}");
    let mut nowhere = search(Some("x"), None);
    nowhere.root = "nowhere".to_owned();
    let missing = sandbox.search(nowhere).await;
    assert!(matches!(missing, Err(SandboxError::File { problem: FileProblem::Missing, .. })), "{missing:?}");
    sandbox.destroy().await.unwrap();
}
