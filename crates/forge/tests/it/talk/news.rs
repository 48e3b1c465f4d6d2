//! What has happened since somebody looked last.

use cofferdam_domain::{SessionId, Subject, Timestamp};
use cofferdam_forge::{
    branch_of,
    hook::{CommentChange, IssueChange, PullChange, Thread, What},
    remote::{At, Happened, PullWanted, Right, TalkError},
};

use cofferdam_testkit::Gitea;

use super::{World, person};

/// A pull request of a session's branch.
async fn pull(world: &impl World, at: &At) -> (u64, String) {
    let branch = branch_of(SessionId::generate());
    // For Gitea this says what is to fail; to others it is any file.
    let (path, workflow) = Gitea::WORKFLOW;
    let commit = world.commit(at, &branch, path, workflow).await;
    let wanted = PullWanted {
        branch,
        base: "main".to_owned(),
        title: "Oil".to_owned(),
        body: String::new(),
        draft: false,
    };
    (world.talk().open_pull(at, &wanted).await.unwrap().number, commit)
}

fn names(all: &[Happened]) -> Vec<&str> {
    all.iter().map(|happened| happened.name.as_str()).collect()
}

pub(crate) async fn news_are_what_has_happened(world: &impl World) {
    let at = world.repository(false).await;
    let Some(ann) = person(world, &at, Right::Write).await else { return };
    let talk = world.talk();
    let known = talk.repositories(1_000).await.unwrap();
    assert!(known.iter().any(|known| known.id == at.id), "{at:?} is not among {known:?}");

    let issue = world.issue(&at, &ann, "The door squeaks", "Always.").await;
    let since = talk.issue(&at, issue).await.unwrap().updated.unwrap();
    world.label(&at, &ann, issue, "cofferdam").await;
    let below_issue = world.comment(&at, &ann, Subject::Issue(issue), "Please, @agent").await;
    let (number, commit) = pull(world, &at).await;
    let below_pull = world.comment(&at, &ann, Subject::Pull(number), "Which oil?").await;
    world.review(&at, &ann, number, "Almost.", &[(Gitea::WORKFLOW.0, 1, "Why?")]).await;
    let check = world.failed_check(&at, &commit, "boom").await;

    let news = talk.news(&at, since, &[number]).await.unwrap();
    assert!(news.until >= since && !news.more);
    let all = &news.happened;
    let repositories =
        all.iter().all(|one| one.occasion.repository.as_ref().is_some_and(|of| of.id == at.id));
    assert!(repositories && all.is_sorted_by_key(|happened| happened.at), "{all:#?}");
    let has = |is_it: &dyn Fn(&What) -> bool| -> Option<&Happened> {
        all.iter().find(|one| is_it(&one.occasion.what))
    };
    let asked = has(&|what| {
        matches!(what, What::Issue(of, IssueChange::Labelled(labels))
            if of.number == issue && of.title == "The door squeaks" && *labels == ["cofferdam"])
    });
    let asked = asked.unwrap_or_else(|| panic!("{all:#?}"));
    assert_eq!(asked.occasion.actor.id, ann.account.id);
    for (comment, on_issue) in [(below_issue, true), (below_pull, false)] {
        let said = has(&|what| {
            let What::Comment(thread, said, CommentChange::Written) = what else { return false };
            let fits = match thread {
                Thread::Issue(of) => on_issue && of.number == issue,
                Thread::Pull { number: of, .. } => !on_issue && *of == number,
            };
            said.id == comment && fits
        });
        let said = said.unwrap_or_else(|| panic!("{comment}: {all:#?}"));
        assert_eq!(said.occasion.actor.id, ann.account.id);
        // A webhook that tells the same tells it under the same name.
        assert_eq!(said.occasion.name().as_deref(), Some(said.name.as_str()));
    }
    let reviewed = has(&|what| {
        let on_line =
            matches!(what, What::Comment(Thread::Pull { number: of, line: Some(_) }, ..) if *of == number);
        on_line || matches!(what, What::Review(of, _) if of.number == number)
    });
    assert_eq!(reviewed.unwrap_or_else(|| panic!("{all:#?}")).occasion.actor.id, ann.account.id);
    if let Some(check) = check {
        let failed = has(&|what| matches!(what, What::Check(of) if of.name == check && of.commit == commit));
        assert!(failed.is_some(), "{all:#?}");
    }

    // Looked again, it has the same names; and what is over is told as that.
    let again = talk.news(&at, since, &[number]).await.unwrap();
    assert_eq!(names(&again.happened), names(all));
    talk.close_pull(&at, number).await.unwrap();
    let closed = talk.news(&at, news.until, &[number]).await.unwrap().happened;
    let is_closed = |one: &&Happened| matches!(&one.occasion.what, What::Pull(of, PullChange::Closed) if of.number == number);
    assert_eq!(closed.iter().filter(is_closed).count(), 1, "{closed:#?}");
    // What lies before is not told again, but for what is as old as what was seen last.
    let late = Timestamp(news.until.0 + 3_600_000);
    let nothing = talk.news(&at, late, &[]).await.unwrap();
    assert_eq!((nothing.happened, nothing.until), (Vec::new(), late));
}

pub(crate) async fn there_is_no_news_of_what_is_not_there(world: &impl World) {
    let at = world.repository(false).await;
    let since = Timestamp(1_700_000_000_000);
    let gone = world.talk().news(&at, since, &[1_000_000]).await.unwrap();
    assert!(!gone.happened.iter().any(|one| matches!(one.occasion.what, What::Pull(..))));
    let nowhere = At { id: at.id + 1_000_000, path: "nobody/nothing".to_owned() };
    let error = world.talk().news(&nowhere, since, &[]).await.unwrap_err();
    assert!(matches!(error, TalkError::Missing { .. } | TalkError::Forbidden { .. }), "{error}");
    // Only its number is known.
    let numbered = At { id: at.id, path: String::new() };
    assert!(world.talk().news(&numbered, since, &[]).await.is_ok());
}
