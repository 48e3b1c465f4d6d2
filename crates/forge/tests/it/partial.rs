//! Mirrors of large repositories: what is fetched of them, and that sessions notice nothing of it.

use std::{fmt::Write as _, fs, time::Duration};

use cofferdam_forge::{History, MirrorError, Push, branch_of};

use crate::{
    fixture::{World, commit, differences, everything, git, git_with_input, id, world, write},
    remote_forge::{ORG, PASSWORD, Remote},
};

/// Bytes of one file's content, which nothing can compress much.
const CONTENT: usize = 12_000;

fn noise(seed: usize) -> String {
    let mut state = seed as u64 + 1;
    let mut text = String::with_capacity(CONTENT);
    while text.len() < CONTENT {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        writeln!(text, "{:016x}", state ^ (state >> 29)).unwrap();
    }
    text
}

/// A world whose source has so many commits, each with a new content for one of ten files.
fn long_world(commits: usize) -> World {
    let world = world();
    fs::create_dir_all(&world.source).unwrap();
    git(&world.source, &["init", "-q", "-b", "main"]);
    let mut stream = String::new();
    for number in 0..commits {
        let content = noise(number);
        write!(
            stream,
            "commit refs/heads/main\ncommitter U <u@localhost> {} +0000\ndata 1\nx\nM 100644 inline d{}/f\ndata {}\n{content}\n",
            1_700_000_000 + number,
            number % 10,
            content.len()
        )
        .unwrap();
    }
    git_with_input(&world.source, &["fast-import", "--quiet"], stream.as_bytes());
    git(&world.source, &["reset", "-q", "--hard"]);
    world
}

async fn partial(world: World, whole_up_to: u64, filters: bool) -> Remote {
    let remote = Remote::of(World { whole_up_to: Some(whole_up_to), ..world }).await;
    remote.served(&["config", "uploadpack.allowFilter", if filters { "true" } else { "false" }]);
    remote
}

/// No repository on this machine or in a sandbox says that anything could be fetched.
fn assert_nothing_reaches_out(remote: &Remote, workspace: &std::path::Path) {
    for place in [remote.world.path("data"), workspace.to_owned()] {
        for (name, (_, content)) in everything(&place) {
            let text = String::from_utf8_lossy(&content);
            assert!(!text.contains(PASSWORD), "{name}");
            if name.ends_with("config") {
                let low = text.to_lowercase();
                assert!(
                    !low.contains("promisor") && !low.contains("partial") && !low.contains("[remote"),
                    "{name}: {text}"
                );
            }
        }
    }
}

#[tokio::test]
async fn of_a_large_repository_only_what_a_session_has_is_fetched() {
    let remote = partial(long_world(2_100), 0, true).await;
    let mirror = remote.world.mirrors().update_with(&remote.address, remote.access().await).await.unwrap();
    assert!(mirror.is_partial());
    let copied = remote.server.sent();
    let base = mirror.resolve(None).await.unwrap();
    let first = remote.server.sent();
    assert_eq!((base.history, base.files), (History::Recent(200), 10));
    let session = remote.session().await;
    let again = remote.server.sent();
    assert!(again - first < 10_000, "nothing is fetched twice");
    let bare = remote.desk.repository.join("objects/pack");
    let whole: u64 = fs::read_dir(bare).unwrap().map(|pack| pack.unwrap().metadata().unwrap().len()).sum();
    eprintln!(
        "the repository: {whole} bytes; its copy without contents: {copied}; what the base needs: {}",
        first - copied
    );
    assert!(first < whole / 4, "{first} of {whole}");

    // The sandbox has files and history, the seed is whole, the change comes out and onto the forge.
    assert_eq!(fs::read_to_string(session.workspace.join("d9/f")).unwrap(), noise(2_099));
    assert_eq!(git(&session.workspace, &["log", "-p", "--format=%h", "HEAD"]).matches("@@ -1,").count(), 199);
    git(session.seed.path(), &["fsck", "--strict"]);
    commit(&session.workspace, &[("d1/f", "changed\n")], "One");
    write(&session.workspace, &[("d2/f", "changed too\n"), ("new", "x\n")]);
    fs::remove_file(session.workspace.join("d3/f")).unwrap();
    let received = session.receive().await;
    assert_eq!((received.stat.files, received.stat.added), (4, 3));
    let change = session.quarantine.change(&session.base.commit, &id(&received.head)).await.unwrap();
    assert!(change.files[0].old.as_ref().unwrap().content.as_ref().is_some_and(|old| old.len() > 10_000));
    let head =
        session.quarantine.recreate(&session.base.commit, &id(&received.head), &session.authorship()).await;
    let head = head.unwrap();
    let before = remote.server.heard().len();
    let branch = remote.push(&session.push(&head)).await.unwrap();
    assert_eq!(
        remote.served(&["diff", "--name-status", "main", &branch]),
        "M\td1/f\nM\td2/f\nD\td3/f\nA\tnew"
    );
    assert!(remote.server.heard().len() > before);

    // Others go on there, with contents that the mirror lacks.
    let clone = remote.world.path("clone");
    git(remote.world.temp.path(), &["clone", "-q", "served/acme/site.git", "clone", "-b", &branch]);
    let theirs = id(&commit(&clone, &[("d4/f", &noise(5_000)), ("deep/er/x", &noise(5_001))], "Theirs"));
    git(&clone, &["push", "-q", "origin", &branch]);
    let mirror = remote.world.mirrors().update_with(&remote.address, remote.access().await).await.unwrap();
    session.quarantine.take(&mirror, &theirs).await.unwrap();
    let place = remote.world.path("data/start.git");
    let start = session.quarantine.seed(&theirs, "main", &place).await.unwrap();
    assert_eq!(git(start.path(), &["cat-file", "blob", "main:deep/er/x"]), noise(5_001).trim_end());
    let forge = remote.forges.of(ORG, &remote.address);
    assert_eq!(forge.branch(&remote.address, session.id).await.unwrap(), Some(theirs.clone()));

    // On another machine, or where the quarantine is gone, the same comes from the branch alone.
    let published = mirror.resolve(Some(theirs.as_str())).await.unwrap();
    let seed = mirror.seed(&published).await.unwrap();
    let anew = remote.world.path("data/anew.git");
    let anew = cofferdam_forge::Quarantine::create(&remote.world.git, &anew, &seed).await.unwrap();
    assert!(anew.has(&theirs).await && anew.has(&session.base.commit).await);
    assert_nothing_reaches_out(&remote, &session.workspace);
}

#[tokio::test]
async fn small_repositories_are_whole_and_so_are_those_of_servers_without_filters() {
    let remote = partial(long_world(20), 1 << 20, true).await;
    let mirror = remote.world.mirrors().update_with(&remote.address, remote.access().await).await.unwrap();
    assert!(!mirror.is_partial());
    commit(&remote.world.source, &[("large", &noise(1).repeat(200))], "Large, later");
    git(&remote.world.source, &["push", "-q", remote.desk.repository.to_str().unwrap(), "main"]);
    let mirror = remote.world.mirrors().update_with(&remote.address, remote.access().await).await.unwrap();
    assert!(!mirror.is_partial(), "what is here already is no first copy");

    let remote = partial(long_world(600), 1 << 20, false).await;
    let session = remote.session().await;
    assert_eq!(session.base.history, History::Whole);
    assert_eq!(fs::read_to_string(session.workspace.join("d9/f")).unwrap(), noise(599));
    write(&session.workspace, &[("d1/f", "changed\n")]);
    let head = session.publishable().await;
    assert_eq!(remote.push(&session.push(&head)).await.unwrap(), branch_of(session.id));
}

#[tokio::test]
async fn a_partial_mirror_that_is_cut_short_anywhere_is_made_in_the_end() {
    let remote = partial(long_world(300), 1 << 20, true).await;
    let mut cut = 0;
    for round in 0..10_u64 {
        let world = World { source: remote.world.source.clone(), ..world() };
        let world = World { whole_up_to: Some(if round % 2 == 0 { 0 } else { 1 << 20 }), ..world };
        let work = async {
            let mirror = world.mirrors().update_with(&remote.address, remote.access().await).await?;
            let base = mirror.resolve(None).await.unwrap();
            mirror.seed(&base).await
        };
        let patience = Duration::from_millis(25 * round);
        cut += usize::from(tokio::time::timeout(patience, work).await.is_err());
        let session = world.session_with(remote.address.clone(), remote.access().await).await;
        assert_eq!(fs::read_to_string(session.workspace.join("d9/f")).unwrap(), noise(299));
        git(session.seed.path(), &["fsck", "--strict"]);
        let mirrors = fs::read_dir(world.path("data/mirrors")).unwrap().next().unwrap().unwrap().path();
        assert!(mirrors.join("partial.git").exists() && !mirrors.join("mirror.git").exists());
    }
    assert!(cut > 0);
}

#[tokio::test]
async fn a_revoked_credential_is_said_and_brings_nothing() {
    let remote = partial(long_world(300), 1 << 20, true).await;
    let mirror = remote.world.mirrors().update_with(&remote.address, remote.access().await).await.unwrap();
    let asked = remote.desk.asked();
    remote.desk.hand_out(&["revoked"]);
    let error = mirror.resolve(None).await.unwrap_err();
    let error = cofferdam_forge::ForgeError::from(error);
    assert!(matches!(error, cofferdam_forge::ForgeError::Mirror(MirrorError::Refused { .. })), "{error:?}");
    assert_eq!(remote.desk.asked(), asked + 2);
    remote.desk.hand_out(&["expired", PASSWORD]);
    mirror.resolve(None).await.unwrap();
}

#[tokio::test]
async fn what_is_dangerous_reaches_no_seed() {
    let world = long_world(20);
    let blob = git(&world.source, &["rev-parse", "main:d1/f"]);
    let inner =
        git_with_input(&world.source, &["mktree"], format!("100644 blob {blob}\tconfig\n").as_bytes());
    let entry = format!("040000 tree {inner}\t.GIT\n");
    let tree = git_with_input(&world.source, &["mktree"], entry.as_bytes());
    let bad = git(&world.source, &["commit-tree", &tree, "-p", "main", "-m", "Bad"]);
    git(&world.source, &["update-ref", "refs/heads/bad", &bad]);
    let remote = partial(world, 0, true).await;
    let mirror = remote.world.mirrors().update_with(&remote.address, remote.access().await).await.unwrap();
    let before = everything(&remote.world.path("data"));
    let base = mirror.resolve(Some("bad")).await.unwrap();
    let error = mirror.seed(&base).await.unwrap_err();
    assert!(
        matches!(error, MirrorError::Dangerous { .. }) && error.to_string().contains("hasDotgit"),
        "{error}"
    );
    let session = remote.session().await;
    assert!(session.quarantine.take(&mirror, &id(&bad)).await.is_err());
    let new = differences(&before, &everything(&remote.world.path("data")));
    assert!(!new.iter().any(|name| name.contains(&bad) && name.contains("seeds")), "{new:?}");
    // The others are worked on all the same.
    write(&session.workspace, &[("d1/f", "changed\n")]);
    let head = session.publishable().await;
    let push: Push<'_> = session.push(&head);
    remote.push(&push).await.unwrap();
}
