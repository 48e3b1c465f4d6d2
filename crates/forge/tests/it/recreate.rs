//! Commits under the platform's name.

use std::fs;

use cofferdam_forge::ChangeError;

use crate::fixture::{Session, World, commit, git, id, small_world, write};

fn log(world: &World, session: &Session, commit: &str, format: &str) -> String {
    let range = format!("{}..{commit}", session.base.commit);
    git(
        &world.path(&format!("data/{}.git", session.id)),
        &["log", "--reverse", &format!("--format={format}"), &range],
    )
}

#[tokio::test]
async fn a_chain_of_commits_is_kept_under_the_platform_s_name() {
    let world = small_world();
    let session = world.session().await;
    commit(&session.workspace, &[("one", "1\n")], "One\n\nThanks @bob.\n\nSigned-off-by: Mallory <m@x>");
    write(&session.workspace, &[("two", "2\n")]);
    git(&session.workspace, &["add", "-A"]);
    git(
        &session.workspace,
        &["-c", "user.name=x", "commit", "-q", "--author=Linus <l@x>", "--date=@1 +0000", "-m", "Two"],
    );
    let commit = session.publishable().await;
    assert_eq!(session.publishable().await, commit, "the same again");
    assert_eq!(
        log(&world, &session, commit.as_str(), "%an <%ae> %at | %cn <%ce> %ct | %s"),
        "Cofferdam <cofferdam@localhost> 1800000000 | Cofferdam <cofferdam@localhost> 1800000000 | One\n\
         Cofferdam <cofferdam@localhost> 1800000000 | Cofferdam <cofferdam@localhost> 1800000000 | Two"
    );
    let bodies = log(&world, &session, commit.as_str(), "%b");
    assert!(bodies.contains("Thanks @ bob.") && !bodies.contains("Mallory"), "{bodies}");
    assert_eq!(
        log(&world, &session, commit.as_str(), "%(trailers:key=Cofferdam-Session,valueonly)")
            .replace('\n', " ")
            .trim(),
        format!("{0}  {0}", session.id)
    );
}

#[tokio::test]
async fn what_a_later_commit_took_back_is_not_published() {
    let world = small_world();
    let session = world.session().await;
    commit(&session.workspace, &[("a", "final\n")], "Add a");
    commit(&session.workspace, &[("key", "AKIA-secret\n")], "Add a key");
    fs::remove_file(session.workspace.join("key")).unwrap();
    commit(&session.workspace, &[("b", "b\n")], "Remove the key, add b");
    let commit = session.publishable().await;
    assert_eq!(log(&world, &session, commit.as_str(), "%s"), "Add a\nRemove the key, add b");
    let names = git(
        &world.path(&format!("data/{}.git", session.id)),
        &["log", "--name-only", "--format=", &format!("{}..{commit}", session.base.commit)],
    );
    assert!(!names.contains("key"), "{names}");
    assert!(log(&world, &session, commit.as_str(), "%b").contains("Includes:\n- Add a key"));
}

#[tokio::test]
async fn merges_become_one_commit() {
    let world = small_world();
    let session = world.session().await;
    git(&session.workspace, &["checkout", "-q", "-b", "side"]);
    commit(&session.workspace, &[("side", "x\n")], "Side");
    git(&session.workspace, &["checkout", "-q", "main"]);
    commit(&session.workspace, &[("main", "x\n")], "Main");
    git(&session.workspace, &["merge", "-q", "--no-edit", "side"]);
    let commit = session.publishable().await;
    assert_eq!(
        log(&world, &session, commit.as_str(), "%s|%P"),
        format!("Do the task|{}", session.base.commit)
    );
}

#[tokio::test]
async fn a_later_turn_builds_on_what_was_published() {
    let world = small_world();
    let session = world.session().await;
    commit(&session.workspace, &[("one", "1\n")], "One");
    let first = session.publishable().await;
    commit(&session.workspace, &[("two", "2\n")], "Two");
    let head = id(&session.receive().await.head);
    let second = session.quarantine.recreate(&first, &head, &session.authorship()).await.unwrap();
    assert_eq!(log(&world, &session, second.as_str(), "%H").lines().next(), Some(first.as_str()));
    assert_eq!(log(&world, &session, second.as_str(), "%s").lines().count(), 2);
    let error = session.quarantine.recreate(&second, &head, &session.authorship()).await.unwrap_err();
    assert!(matches!(error, ChangeError::Empty), "{error}");
}
