//! What is said on a forge stands there once.

use cofferdam_domain::Subject;
use cofferdam_forge::{
    branch_of,
    hook::Comment,
    remote::{At, CommitStatus, Mark, PullWanted, Reacted, Reaction, Remarked, Right, StatusState},
};
use cofferdam_testkit::Gitea;

use super::{World, mark, person, skipped};

/// What stands below something under a mark.
async fn under(world: &impl World, at: &At, subject: Subject, mark: &Mark) -> Vec<Comment> {
    let all = world.talk().comments(at, subject, None, 100).await.unwrap();
    all.into_iter().filter(|comment| mark.is_in(&comment.body)).collect()
}

/// A pull request of a session, with a file of five lines.
async fn pull_of(world: &impl World, at: &At, mark: &Mark) -> u64 {
    let branch = branch_of(mark.session);
    world.commit(at, &branch, "five.txt", "1\n2\n3\n4\n5\n").await;
    let wanted =
        PullWanted { branch, base: "main".into(), title: "Five".into(), body: "Lines".into(), draft: false };
    world.talk().open_pull(at, &wanted).await.unwrap().number
}

pub(crate) async fn what_is_said_twice_stands_once(world: &impl World) {
    let at = world.repository(true).await;
    let Some(author) = person(world, &at, Right::Write).await else { return };
    let task = mark("task");
    let issue = world.issue(&at, &author, "An issue", "").await;
    let subjects = [Subject::Issue(issue), Subject::Pull(pull_of(world, &at, &task).await)];
    for subject in subjects {
        world.comment(&at, &author, subject, "Hello").await;
        let id = world.talk().say(&at, subject, &task, "It is begun").await.unwrap();
        assert_eq!(world.talk().say(&at, subject, &task, "It is begun").await.unwrap(), id);
        assert_eq!(world.talk().say(&at, subject, &task, "It is done").await.unwrap(), id);
        let said = under(world, &at, subject, &task).await;
        assert_eq!(said.iter().map(|comment| comment.id).collect::<Vec<_>>(), [id]);
        assert!(said[0].body.starts_with("It is done\n"), "{}", said[0].body);
        let other = Mark { what: "reply-1".into(), ..task.clone() };
        assert_ne!(world.talk().say(&at, subject, &other, "By the way").await.unwrap(), id);
        assert_eq!(world.talk().comments(&at, subject, None, 100).await.unwrap().len(), 3);
    }
}

pub(crate) async fn a_mark_that_others_copied_is_not_ours(world: &impl World) {
    let at = world.repository(false).await;
    let Some(author) = person(world, &at, Right::Write).await else { return };
    let task = mark("task");
    let subject = Subject::Issue(world.issue(&at, &author, "An issue", "").await);
    let theirs = format!("Mine\n\n{}", task.line());
    let copied = world.comment(&at, &author, subject, &theirs).await;
    let said = world.talk().say(&at, subject, &task, "Ours").await.unwrap();
    assert_ne!(said, copied);
    assert_eq!(world.talk().say(&at, subject, &task, "Ours again").await.unwrap(), said);
    let all = under(world, &at, subject, &task).await;
    let texts: Vec<(u64, bool)> = all.iter().map(|comment| (comment.id, comment.body == theirs)).collect();
    assert_eq!(texts, [(copied, true), (said, false)]);
}

pub(crate) async fn remarks_are_answered_one_by_one(world: &impl World) {
    let at = world.repository(true).await;
    let Some(reviewer) = person(world, &at, Right::Write).await else { return };
    let task = mark("task");
    let pull = pull_of(world, &at, &task).await;
    let wanted = [("five.txt", 2, "Why two?"), ("five.txt", 4, "Why four?")];
    let review = world.review(&at, &reviewer, pull, "Please look", &wanted).await;
    let mut found = world.talk().remarks(&at, pull, review).await.unwrap();
    found.sort_by_key(|remark| remark.place.line);
    let seen = found.iter().map(|remark| {
        (remark.place.path.as_str(), remark.place.line.unwrap_or(0), remark.comment.body.as_str())
    });
    assert_eq!(seen.collect::<Vec<_>>(), wanted);
    assert!(found.iter().all(|remark| remark.comment.author.id == reviewer.account.id));

    let me = world.talk().me().await.unwrap();
    for remark in &found {
        let what = Mark { what: format!("reply-{}", remark.comment.id), ..task.clone() };
        let place = Remarked { comment: remark.comment.id, discussion: remark.place.discussion.clone() };
        for text in ["Because", "Because", "Not any more"] {
            world.talk().answer(&at, pull, &place, &what, text).await.unwrap();
        }
        let said = world.line_comments(&at, pull).await;
        let ours: Vec<_> = said.iter().filter(|(_, text)| what.is_in(text)).collect();
        assert_eq!(ours.len(), 1, "{said:?}");
        assert!(ours[0].0 == me.id && ours[0].1.starts_with("Not any more\n"), "{ours:?}");

        let resolved = world.talk().resolve(&at, pull, &place).await.unwrap();
        let again = world.talk().resolve(&at, pull, &place).await.unwrap();
        let seen = world.is_resolved(&at, pull, remark.comment.id).await;
        assert_eq!((resolved, again), (seen == Some(true), seen == Some(true)));
        assert_ne!(seen, Some(false), "it can, and did not");
    }
    assert_eq!(world.line_comments(&at, pull).await.len(), 4);
}

pub(crate) async fn a_reaction_is_given_once(world: &impl World) {
    let at = world.repository(false).await;
    let Some(author) = person(world, &at, Right::Write).await else { return };
    let me = world.talk().me().await.unwrap();
    let issue = Subject::Issue(world.issue(&at, &author, "An issue", "").await);
    let below = world.comment(&at, &author, issue, "Look").await;
    let pull = pull_of(world, &at, &mark("task")).await;
    let review = world.review(&at, &author, pull, "", &[("five.txt", 1, "One?")]).await;
    let line = world.talk().remarks(&at, pull, review).await.unwrap()[0].comment.id;
    let pull = Subject::Pull(pull);
    for to in [
        Reacted::Subject(issue),
        Reacted::Comment(issue, below),
        Reacted::Subject(pull),
        Reacted::Line(pull, line),
    ] {
        for reaction in [Reaction::Eyes, Reaction::Eyes, Reaction::Done] {
            world.talk().react(&at, to, reaction).await.unwrap();
        }
        let given = world.reactions(&at, to).await;
        let mine: Vec<_> = given.iter().filter(|(who, _)| *who == me.id).collect();
        assert_eq!(mine.len(), 2, "{to:?}: {given:?}");
        assert_eq!(mine.iter().filter(|(_, what)| what == "eyes").count(), 1, "{given:?}");
    }
}

pub(crate) async fn a_status_is_said_once(world: &impl World) {
    let at = world.repository(true).await;
    let commit = world.commit(&at, "some-branch", "a.txt", "a\n").await;
    let status = |state, text: &str| CommitStatus {
        name: "cofferdam".into(),
        state,
        text: text.into(),
        link: Some("https://cofferdam.example/sessions/1".parse().unwrap()),
        annotations: Vec::new(),
    };
    let wanted = [
        status(StatusState::Pending, "Being worked on"),
        status(StatusState::Success, "Nothing found"),
        status(StatusState::Success, "Nothing found"),
        status(StatusState::Failure, "Two findings"),
        status(StatusState::Failure, "Two findings"),
    ];
    for status in &wanted {
        world.talk().status(&at, &commit, status).await.unwrap();
    }
    let all = world.statuses(&at, &commit).await;
    let said = |text: &str| all.iter().filter(|(name, _, said)| name == "cofferdam" && said == text).count();
    assert_eq!(said("Two findings"), 1, "{all:?}");
    assert!(said("Nothing found") <= 1 && said("Being worked on") <= 1, "{all:?}");
}

pub(crate) async fn a_failed_check_has_a_log(world: &impl World) {
    let at = world.repository(false).await;
    // For Gitea this says what is to fail; to others it is any file.
    let (path, workflow) = Gitea::WORKFLOW;
    let commit = world.commit(&at, "some-branch", path, workflow).await;
    let log = |check: String, most| {
        let (at, commit) = (at.clone(), commit.clone());
        async move { world.talk().check_log(&at, &commit, &check, most).await.unwrap() }
    };
    assert_eq!(log("no such check".into(), 100).await, None);
    let written = format!("{}\nassertion failed: ä\n", "a line\n".repeat(1_000));
    let Some(check) = world.failed_check(&at, &commit, &written).await else {
        return skipped("no check can fail there");
    };
    let end = log(check.clone(), 60).await.unwrap();
    assert!(end.len() <= 60 && end.trim_end().ends_with("assertion failed: ä"), "{end:?}");
    assert!(log(check, 100_000).await.unwrap().contains("a line\n"));
}
