//! Workspaces with only some directories: what the others see of that, which is nothing.

use std::{fs, path::Path, process::Command};

use cofferdam_forge::Collected;

use crate::fixture::{Session, World, commit, git, id, init, world, write};

const CONES: &[&str] = &["services/web", "libs"];

/// A world with a small repository of many parts.
fn everything_in_one() -> World {
    let world = world();
    init(&world.source);
    commit(
        &world.source,
        &[
            ("README", "all\n"),
            ("services/Makefile", "all:\n"),
            ("services/web/index", "web\n"),
            ("services/web/deep/er", "deep\n"),
            ("services/api/index", "api\n"),
            ("services/webby/index", "webby\n"),
            ("libs/a", "a\n"),
            ("docs/guide", "guide\n"),
            ("docs/more/é x", "odd name\n"),
            ("[odd]/*", "odder\n"),
        ],
        "First",
    );
    commit(&world.source, &[("docs/guide", "guide 2\n")], "Second");
    world
}

async fn session(world: &World) -> Session {
    world.session_in(world.address().await, None, CONES).await
}

fn files(workspace: &Path) -> String {
    let find = ["-c", "find . -path ./.git -prune -o -type f -print | sort"];
    let output = Command::new("sh").args(find).current_dir(workspace).env("LC_ALL", "C").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// What differs between the base and what comes out.
async fn change(session: &Session) -> String {
    let received = session.receive().await;
    let head = id(&received.head);
    let cones = &session.cones;
    let gone = session.quarantine.gone_outside(&session.base.commit, &head, cones).await.unwrap();
    assert_eq!(gone, None);
    let recreated =
        session.quarantine.recreate(&session.base.commit, &head, &session.authorship()).await.unwrap();
    let change = session.quarantine.change(&session.base.commit, &recreated).await.unwrap();
    let line = |file: &cofferdam_domain::FileChange| format!("{:?} {}", file.kind, file.display_path());
    change.files.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn only_the_cones_are_there_and_the_rest_stays() {
    let world = everything_in_one();
    let session = session(&world).await;
    assert_eq!(
        files(&session.workspace),
        "./README\n./libs/a\n./services/Makefile\n./services/web/deep/er\n./services/web/index\n"
    );
    assert_eq!(git(&session.workspace, &["status", "--porcelain"]), "");
    assert_eq!(session.collect(), Collected::NothingChanged);
    write(&session.workspace, &[("libs/a", "changed\n"), ("services/web/new", "x\n"), ("new", "x\n")]);
    fs::remove_file(session.workspace.join("services/web/index")).unwrap();
    fs::remove_file(session.workspace.join("services/Makefile")).unwrap();
    assert_eq!(
        change(&session).await,
        "Modified libs/a\nAdded new\nDeleted services/Makefile\nDeleted services/web/index\nAdded services/web/new"
    );
}

#[tokio::test]
async fn nothing_outside_is_deleted_whatever_is_done_to_the_index() {
    for doing in [
        "git add -A && git commit -qm One",
        "rm .git/index",
        "printf broken > .git/index",
        "rm -rf .git",
        "git read-tree HEAD && git commit -qam One",
        "git ls-files -z | git update-index -z --no-skip-worktree --stdin && git commit -qam All",
        "git rm -rq --sparse docs services/api && git commit -qm Gone",
        "git sparse-checkout disable && rm -rf docs services/api '[odd]' && git commit -qam Gone",
        "git sparse-checkout add docs && rm -r docs",
        "git checkout -q --orphan other && git commit -qm Orphan",
    ] {
        let world = everything_in_one();
        let session = session(&world).await;
        write(&session.workspace, &[("libs/a", "changed\n")]);
        let script = format!("export GIT_CONFIG_GLOBAL=/dev/null; {doing}");
        let status =
            Command::new("sh").args(["-ec", &script]).current_dir(&session.workspace).status().unwrap();
        assert!(status.success(), "{doing}");
        if doing == "rm -rf .git" {
            // Without any of its objects the rest cannot be put back: that is refused, not published.
            let head = id(&session.receive().await.head);
            let gone = session.quarantine.gone_outside(&session.base.commit, &head, &session.cones).await;
            assert_eq!(gone.unwrap().unwrap(), b"[odd]/*");
            continue;
        }
        assert_eq!(change(&session).await, "Modified libs/a", "{doing}");
    }
}

#[tokio::test]
async fn what_is_brought_in_can_be_changed() {
    let world = everything_in_one();
    let session = session(&world).await;
    git(&session.workspace, &["sparse-checkout", "add", "docs"]);
    assert_eq!(fs::read_to_string(session.workspace.join("docs/guide")).unwrap(), "guide 2\n");
    write(
        &session.workspace,
        &[("docs/guide", "guide 3\n"), ("docs/new/x", "x\n"), ("services/web/index", "2\n")],
    );
    // Written without having been brought in.
    write(&session.workspace, &[("services/api/index", "blind\n"), ("services/other/x", "x\n")]);
    let received = session.receive().await;
    assert_eq!(received.stat.files, 5);
    let head = id(&received.head);
    let outside =
        session.quarantine.changed_outside(&session.base.commit, &head, &session.cones).await.unwrap();
    assert_eq!(outside, ["docs", "docs/new", "services/api", "services/other"]);
    assert_eq!(
        change(&session).await,
        "Modified docs/guide\nAdded docs/new/x\nModified services/api/index\nAdded services/other/x\nModified services/web/index"
    );

    // Committed, and taken out of the workspace again.
    git(&session.workspace, &["add", "--sparse", "-A"]);
    git(&session.workspace, &["commit", "-q", "-m", "All"]);
    git(&session.workspace, &["sparse-checkout", "set", "libs"]);
    assert!(!session.workspace.join("docs").exists());
    assert_eq!(session.receive().await.stat.files, 5);
}

#[tokio::test]
async fn a_bundle_that_deletes_what_is_outside_is_found_out() {
    let world = everything_in_one();
    let whole = world.session().await;
    fs::remove_dir_all(whole.workspace.join("services/api")).unwrap();
    fs::remove_file(whole.workspace.join("services/Makefile")).unwrap();
    let head = id(&whole.receive().await.head);
    let cones: Vec<String> = CONES.iter().map(|cone| (*cone).to_owned()).collect();
    let gone = whole.quarantine.gone_outside(&whole.base.commit, &head, &cones).await.unwrap();
    assert_eq!(gone.as_deref(), Some(&b"services/api/index"[..]));
    assert_eq!(whole.quarantine.gone_outside(&whole.base.commit, &head, &[]).await.unwrap(), None);

    let mirror = world.update().await.unwrap();
    let wanted = ["libs", "services/web", "nowhere", "README"].map(str::to_owned);
    let lacking = mirror.lacking(&whole.base.tree, &wanted).await.unwrap();
    assert_eq!(lacking, ["nowhere", "README"]);
}
