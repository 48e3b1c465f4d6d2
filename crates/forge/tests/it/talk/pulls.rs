//! Pull requests of sessions, and those of others.

use std::time::Duration;

use cofferdam_domain::SessionId;
use cofferdam_forge::{
    branch_of,
    hook::{Pull, PullState},
    remote::{At, PullWanted, Right, TalkError},
};

use super::{World, person};

fn wanted(branch: &str, title: &str, draft: bool) -> PullWanted {
    PullWanted {
        branch: branch.to_owned(),
        base: "main".to_owned(),
        title: title.to_owned(),
        body: format!("The text of {title}"),
        draft,
    }
}

/// A branch of a session with a commit: its name, and the commit.
async fn branch(world: &impl World, at: &At) -> (String, String) {
    let name = branch_of(SessionId::generate());
    let commit = world.commit(at, &name, "a.txt", "a\n").await;
    (name, commit)
}

fn is_refused<T>(answer: &Result<T, TalkError>) -> bool {
    matches!(answer, Err(TalkError::Refused { .. }))
}

/// Merges it as soon as the forge knows whether it can be merged.
async fn merge(world: &impl World, at: &At, pull: &Pull, commit: &str) -> Result<Pull, TalkError> {
    for _ in 0..200 {
        match world.talk().merge_pull(at, pull.number, commit).await {
            Err(TalkError::ForNow { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
            other => return other,
        }
    }
    panic!("it is never known whether it can be merged")
}

pub(crate) async fn a_pull_request_of_a_branch_is_one(world: &impl World) {
    let at = world.repository(true).await;
    let (name, commit) = branch(world, &at).await;
    assert_eq!(world.talk().find_pull(&at, &name).await.unwrap(), None);
    let opened = world.talk().open_pull(&at, &wanted(&name, "First", true)).await.unwrap();
    assert!(opened.draft && opened.title.ends_with("First"), "{opened:?}");
    assert_eq!((opened.branch.as_str(), opened.base.as_str()), (name.as_str(), "main"));
    assert_eq!((opened.state, opened.head_repository), (PullState::Open, Some(at.id)));
    assert_eq!((opened.commit.as_str(), opened.body.as_str()), (commit.as_str(), "The text of First"));
    assert_eq!(opened.author.id, world.talk().me().await.unwrap().id);

    let again = world.talk().open_pull(&at, &wanted(&name, "First", true)).await.unwrap();
    assert_eq!(again.number, opened.number);
    let second = world.commit(&at, &name, "b.txt", "b\n").await;
    let changed = world.talk().open_pull(&at, &wanted(&name, "Second", true)).await.unwrap();
    assert_eq!(changed.number, opened.number);
    let now = world.talk().pull(&at, opened.number).await.unwrap();
    assert!(now.draft && now.title.ends_with("Second"), "{now:?}");
    assert_eq!((now.body.as_str(), now.commit.as_str()), ("The text of Second", second.as_str()));
    let found = world.talk().find_pull(&at, &name).await.unwrap().unwrap();
    assert_eq!((found.number, found.commit), (opened.number, second));
    let other = branch_of(SessionId::generate());
    assert_eq!(world.talk().find_pull(&at, &other).await.unwrap(), None);
}

pub(crate) async fn a_person_decides_what_is_ready(world: &impl World) {
    let at = world.repository(false).await;
    let (name, _) = branch(world, &at).await;
    let opened = world.talk().open_pull(&at, &wanted(&name, "A draft", true)).await.unwrap();
    let again = world.talk().open_pull(&at, &wanted(&name, "A draft", false)).await.unwrap();
    assert_eq!((again.number, again.draft), (opened.number, true), "it marked its own as ready");
    world.mark_ready(&at, opened.number).await;
    let again = world.talk().open_pull(&at, &wanted(&name, "Ready", true)).await.unwrap();
    assert_eq!((again.number, again.draft, again.title.as_str()), (opened.number, false, "Ready"));
}

pub(crate) async fn a_pull_request_that_is_not_ours_stays(world: &impl World) {
    let at = world.repository(false).await;
    let Some(author) = person(world, &at, Right::Write).await else { return };
    let commit = world.commit(&at, "a-feature", "a.txt", "a\n").await;
    let number = world.pull(&at, &author, "a-feature", "Theirs").await;
    assert!(is_refused(&world.talk().close_pull(&at, number).await));
    assert!(is_refused(&world.talk().merge_pull(&at, number, &commit).await));
    assert_eq!(world.talk().pull(&at, number).await.unwrap().state, PullState::Open);
}

pub(crate) async fn a_closed_pull_request_stays_closed(world: &impl World) {
    let at = world.repository(true).await;
    let (name, commit) = branch(world, &at).await;
    let opened = world.talk().open_pull(&at, &wanted(&name, "First", false)).await.unwrap();
    for _ in 0..2 {
        let closed = world.talk().close_pull(&at, opened.number).await.unwrap();
        assert_eq!((closed.number, closed.state), (opened.number, PullState::Closed));
    }
    let found = world.talk().find_pull(&at, &name).await.unwrap().unwrap();
    assert_eq!((found.number, found.state), (opened.number, PullState::Closed));
    assert!(is_refused(&world.talk().merge_pull(&at, opened.number, &commit).await));
    let second = world.talk().open_pull(&at, &wanted(&name, "Second", false)).await.unwrap();
    assert!(second.number != opened.number && second.state == PullState::Open);
    assert_eq!(world.talk().find_pull(&at, &name).await.unwrap().unwrap().number, second.number);
}

pub(crate) async fn only_what_was_looked_at_is_merged(world: &impl World) {
    let at = world.repository(true).await;
    let (name, first) = branch(world, &at).await;
    let opened = world.talk().open_pull(&at, &wanted(&name, "A change", false)).await.unwrap();
    let second = world.commit(&at, &name, "b.txt", "b\n").await;
    assert!(is_refused(&merge(world, &at, &opened, &first).await), "nobody looked at the second commit");
    let merged = merge(world, &at, &opened, &second).await.unwrap();
    assert_eq!((merged.state, merged.number), (PullState::Merged, opened.number));
    assert!(merged.merged_as.is_some());
    assert_eq!(merge(world, &at, &opened, &second).await.unwrap().state, PullState::Merged);
    assert_eq!(world.talk().close_pull(&at, opened.number).await.unwrap().state, PullState::Merged);

    let (name, commit) = branch(world, &at).await;
    world.commit(&at, &name, "c.txt", "c\n").await;
    let draft = world.talk().open_pull(&at, &wanted(&name, "A draft", true)).await.unwrap();
    assert!(is_refused(&world.talk().merge_pull(&at, draft.number, &commit).await));
}
