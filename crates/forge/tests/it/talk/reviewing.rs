//! What we say of the pull requests of others.

use cofferdam_forge::{
    hook::PullState,
    remote::{LineWanted, Mark, ReviewWanted, Right},
};

use super::{World, mark, person};

fn line(line: u64, text: &str) -> LineWanted {
    LineWanted { path: "five.txt".into(), line, before: None, text: text.into() }
}

pub(crate) async fn a_review_is_one_and_decides_nothing(world: &impl World) {
    let at = world.repository(true).await;
    let Some(author) = person(world, &at, Right::Write).await else { return };
    let commit = world.commit(&at, "a-feature", "five.txt", "1\n2\n3\n4\n5\n").await;
    let pull = world.pull(&at, &author, "a-feature", "Theirs").await;
    let (me, first) = (world.talk().me().await.unwrap(), mark("review-1"));
    let wanted = ReviewWanted {
        commit: commit.clone(),
        body: "**The tests pass.** But look at two lines.".into(),
        lines: vec![line(2, "Why *two*?"), line(4, "Why four?")],
    };
    for _ in 0..3 {
        world.talk().review(&at, pull, &first, &wanted).await.unwrap();
    }
    let ours = |all: Vec<(u64, String, String)>, mark: &Mark| {
        all.into_iter().filter(|(by, body, _)| *by == me.id && mark.is_in(body)).collect::<Vec<_>>()
    };
    let said = ours(world.reviews(&at, pull).await, &first);
    let [(_, body, kind)] = &said[..] else { panic!("{said:?}") };
    assert!(body.starts_with("**The tests pass.**"), "{body}");
    assert!(["COMMENT", "COMMENTED", ""].contains(&kind.as_str()), "{kind}");
    let lines: Vec<String> = world.line_comments(&at, pull).await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().any(|text| text.starts_with("Why *two*?")), "{lines:?}");
    let places = world.talk().remarks(&at, pull, 0).await.unwrap();
    let mut places: Vec<_> =
        places.iter().map(|remark| (remark.place.path.as_str(), remark.place.line)).collect();
    places.sort_unstable();
    assert_eq!(places, [("five.txt", Some(2)), ("five.txt", Some(4))]);

    // Another one of the same session, without anything on lines; and nothing became of the pull request.
    let second = Mark { what: "review-2".into(), ..first.clone() };
    let short = ReviewWanted { body: "Better.".into(), lines: Vec::new(), ..wanted };
    world.talk().review(&at, pull, &second, &short).await.unwrap();
    let all = world.reviews(&at, pull).await;
    assert_eq!((ours(all.clone(), &first).len(), ours(all, &second).len()), (1, 1));
    let now = world.talk().pull(&at, pull).await.unwrap();
    assert_eq!((now.state, now.commit, now.title.as_str()), (PullState::Open, commit, "Theirs"));
}
