//! Branches, pull requests, merging and closing.

use std::{fs, path::Path};

use cofferdam_domain::{PullRequest, PullRequestState, SessionId};
use cofferdam_forge::{Forge, ForgeError, PublishError, RepositoryAddress, branch_of};

use crate::fixture::{Session, World, commit, differences, everything, git, id, small_world, write};

/// A session with a change to `README` that is pushed and has a pull request.
async fn published(world: &World) -> Session {
    let session = world.session().await;
    write(&session.workspace, &[("README", "changed\n")]);
    let head = session.publishable().await;
    let branch = world.forge().push(&session.push(&head)).await.unwrap();
    assert_eq!(branch, branch_of(session.id));
    world.forge().open(&session.pull_request(&head)).await.unwrap();
    session
}

/// Merges the pull request as it is.
async fn merge(world: &World, session: &Session) -> Result<PullRequest, ForgeError> {
    let forge = world.forge();
    let known = forge.find(&session.address, session.id).await.unwrap().unwrap();
    forge.merge(&session.address, &id(&known.head_commit), &session.authorship()).await
}

async fn merge_error(world: &World, session: &Session) -> PublishError {
    match merge(world, session).await {
        Err(ForgeError::Publish(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_working_copy_is_never_touched() {
    let world = small_world();
    write(&world.source, &[("README", "dirty\n"), ("untracked", "x")]);
    git(&world.source, &["stash", "list"]);
    git(&world.source, &["config", "core.logAllRefUpdates", "always"]);
    let before = everything(&world.source);
    let session = published(&world).await;
    let branch = branch_of(session.id);
    for name in differences(&before, &everything(&world.source)) {
        let objects = name.starts_with(".git/objects/pack/pack-");
        assert!(
            objects || name == format!(".git/refs/heads/{branch}") || name == ".git/refs/heads/cofferdam",
            "{name}"
        );
    }
    assert_eq!(
        git(&world.source, &["log", "-1", "--format=%s|%an", &branch]),
        "Changes that were not committed|Cofferdam"
    );
    git(&world.source, &["fsck", "--strict", "--connectivity-only"]);
}

#[tokio::test]
async fn pull_requests_are_numbered_found_and_kept_once() {
    let world = small_world();
    let forge = world.forge();
    assert_eq!(forge.find(&world.address().await, SessionId::generate()).await.unwrap(), None);
    let (one, two) = (published(&world).await, published(&world).await);
    let find = async |session: &Session| forge.find(&session.address, session.id).await.unwrap().unwrap();
    assert_eq!((find(&one).await.number, find(&two).await.number), (1, 2));
    let first = find(&one).await;
    // Opening it again brings it up to date and makes no other.
    let mut new = one.pull_request(&id(&first.head_commit));
    new.title = "Another title".into();
    assert_eq!(forge.open(&new).await.unwrap().number, 1);
    assert_eq!(forge.get(&one.address, 1).await.unwrap().unwrap().title, "Another title");
    assert_eq!(forge.list().unwrap().len(), 2);
    assert_eq!(forge.get(&one.address, 3).await.unwrap(), None);
}

#[tokio::test]
async fn pushing_again_and_pushing_on() {
    let world = small_world();
    let session = world.session().await;
    let forge = world.forge();
    commit(&session.workspace, &[("one", "1\n")], "One");
    let first = session.publishable().await;
    forge.push(&session.push(&first)).await.unwrap();
    forge.push(&session.push(&first)).await.unwrap();
    commit(&session.workspace, &[("two", "2\n")], "Two");
    let head = id(&session.receive().await.head);
    let second = session.quarantine.recreate(&first, &head, &session.authorship()).await.unwrap();
    forge.push(&session.push(&second)).await.unwrap();
    let branch = branch_of(session.id);
    assert_eq!(git(&world.source, &["rev-parse", &branch]), second.as_str());
    // Back is not forward, and somebody else's commit is not overwritten.
    for other in [git(&world.source, &["rev-parse", "main"]), second.to_string()] {
        git(&world.source, &["update-ref", &format!("refs/heads/{branch}"), &other]);
        if other == second.as_str() {
            let tree = git(&world.source, &["rev-parse", "main^{tree}"]);
            let theirs = git(&world.source, &["commit-tree", &tree, "-p", &branch, "-m", "Theirs"]);
            git(&world.source, &["update-ref", &format!("refs/heads/{branch}"), &theirs]);
            let error = forge.push(&session.push(&second)).await.unwrap_err();
            assert!(matches!(error, ForgeError::Publish(PublishError::BranchMoved { .. })), "{error}");
            assert_eq!(git(&world.source, &["rev-parse", &branch]), theirs);
        } else {
            forge.push(&session.push(&second)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn branches_in_the_way() {
    let world = small_world();
    git(&world.source, &["branch", "cofferdam"]);
    let session = world.session().await;
    write(&session.workspace, &[("README", "changed\n")]);
    let head = session.publishable().await;
    let error = world.forge().push(&session.push(&head)).await.unwrap_err();
    assert!(error.to_string().contains("git branch -m cofferdam"), "{error}");
    git(&world.source, &["branch", "-m", "cofferdam", "mine"]);
    world.forge().push(&session.push(&head)).await.unwrap();
    // Checked out for review: it cannot be moved under the reviewer's feet.
    git(&world.source, &["worktree", "add", "-q", "../review", &branch_of(session.id)]);
    write(&session.workspace, &[("README", "more\n")]);
    let second = id(&session.receive().await.head);
    let second = session.quarantine.recreate(&head, &second, &session.authorship()).await.unwrap();
    let error = world.forge().push(&session.push(&second)).await.unwrap_err();
    assert!(matches!(error, ForgeError::Publish(PublishError::CheckedOut { .. })), "{error}");
}

#[tokio::test]
async fn merging_while_the_base_is_checked_out_names_the_command() {
    let world = small_world();
    let session = published(&world).await;
    let error = merge_error(&world, &session).await;
    let PublishError::CheckedOut { command, work_tree, .. } = &error else { panic!("{error}") };
    assert_eq!(
        (command.as_str(), work_tree.as_str()),
        (&*format!("git merge {}", branch_of(session.id)), world.source.to_str().unwrap())
    );
    // The user runs it; after that, merging only records it.
    git(&world.source, &command.split(' ').skip(1).collect::<Vec<_>>());
    let merged = merge(&world, &session).await.unwrap();
    assert_eq!(merged.state, PullRequestState::Merged { commit: git(&world.source, &["rev-parse", "main"]) });
    assert_eq!(fs::read_to_string(world.source.join("README")).unwrap(), "changed\n");
}

#[tokio::test]
async fn merging_forward_and_with_a_merge_commit() {
    let world = small_world();
    git(&world.source, &["checkout", "-q", "--detach"]);
    let (one, two) = (published(&world).await, world.session().await);
    write(&two.workspace, &[("other", "x\n")]);
    let head = two.publishable().await;
    world.forge().push(&two.push(&head)).await.unwrap();
    world.forge().open(&two.pull_request(&head)).await.unwrap();

    let before = git(&world.source, &["status", "--porcelain", "--branch"]);
    let merged = merge(&world, &one).await.unwrap();
    assert_eq!(merged.state, PullRequestState::Merged { commit: git(&world.source, &["rev-parse", "main"]) });
    assert_eq!(git(&world.source, &["rev-parse", "main"]), merged.head_commit);
    let merged = merge(&world, &two).await.unwrap();
    assert_eq!(
        git(&world.source, &["log", "-1", "--format=%an|%P", "main"]),
        format!("Cofferdam|{} {head}", git(&world.source, &["rev-parse", "main^1"]))
    );
    assert_eq!(git(&world.source, &["show", "main:README"]), "changed");
    assert_eq!(git(&world.source, &["show", "main:other"]), "x");
    assert_eq!(merge(&world, &two).await.unwrap(), merged, "merging again changes nothing");
    assert_eq!(git(&world.source, &["status", "--porcelain", "--branch"]), before);
    git(&world.source, &["fsck", "--strict", "--connectivity-only"]);
    assert!(matches!(
        world.forge().close(&two.address, two.id).await,
        Err(ForgeError::Publish(PublishError::NotOpen { state: "merged", .. }))
    ));
}

#[tokio::test]
async fn conflicts_moved_branches_and_lost_bases() {
    let world = small_world();
    let session = published(&world).await;
    commit(&world.source, &[("README", "meanwhile\n")], "Meanwhile");
    git(&world.source, &["checkout", "-q", "--detach"]);
    let error = merge_error(&world, &session).await;
    let PublishError::Conflict { files, command, .. } = &error else { panic!("{error}") };
    assert!(
        files == "README" && command.contains("git switch 'main' && git merge cofferdam/ses_"),
        "{error}"
    );
    let branch = format!("refs/heads/{}", branch_of(session.id));
    git(&world.source, &["update-ref", &branch, "main"]);
    assert!(matches!(merge_error(&world, &session).await, PublishError::BranchMoved { .. }));
    git(&world.source, &["branch", "-m", "main", "trunk"]);
    assert!(matches!(merge_error(&world, &session).await, PublishError::NoBaseBranch { .. }));
    let nobody = SessionId::generate();
    let error = world.forge().close(&session.address, nobody).await.unwrap_err();
    assert!(matches!(error, ForgeError::Publish(PublishError::NoPullRequest(id)) if id == nobody));
}

#[tokio::test]
async fn closing_keeps_the_branch() {
    let world = small_world();
    let session = published(&world).await;
    let closed = world.forge().close(&session.address, session.id).await.unwrap();
    assert_eq!(closed.state, PullRequestState::Closed);
    assert_eq!(world.forge().close(&session.address, session.id).await.unwrap(), closed);
    assert_eq!(git(&world.source, &["rev-parse", &closed.branch]), closed.head_commit);
    assert!(matches!(merge_error(&world, &session).await, PublishError::NotOpen { state: "closed", .. }));
}

#[tokio::test]
async fn a_repository_behind_a_url_gets_its_branches_in_the_forge_s_own() {
    let world = small_world();
    // The mirror comes from the path; the forge is told of a URL.
    let session = world.session().await;
    let address =
        RepositoryAddress::parse(&world.git, "https://forge.example/a/b.git", Path::new("/")).await.unwrap();
    let session = Session { address: address.clone(), ..session };
    write(&session.workspace, &[("README", "changed\n")]);
    let head = session.publishable().await;
    let before = everything(&world.source);
    let forge = world.forge();
    forge.push(&session.push(&head)).await.unwrap();
    let opened = forge.open(&session.pull_request(&head)).await.unwrap();
    assert_eq!(opened.repository, "https://forge.example/a/b.git");
    let merged = merge(&world, &session).await.unwrap();
    assert_eq!(merged.state, PullRequestState::Merged { commit: head.to_string() });
    assert_eq!(forge.get(&address, 1).await.unwrap(), Some(merged));
    assert_eq!(differences(&before, &everything(&world.source)), Vec::<String>::new());
}

#[tokio::test]
async fn two_sessions_at_once() {
    let world = small_world();
    let (one, two) = tokio::join!(published(&world), published(&world));
    let mut numbers = Vec::new();
    for session in [&one, &two] {
        numbers.push(world.forge().find(&session.address, session.id).await.unwrap().unwrap().number);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
}
