//! What becomes of what may be meant, case by case.

use cofferdam_domain::{
    About, Asked, Digest, Event, EventBody, EventId, Label, Origin, Outcome, Part, Seq, Source, Subject,
    Task, Thread, Timestamp,
};
use cofferdam_forge::hook::{AccountKind, CheckEnd, Comment, LinePlace, Review, ReviewEnd};

use super::*;

const HEAD: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn person(id: u64, login: &str) -> Account {
    Account { id, login: login.into(), kind: AccountKind::Person }
}

fn ann() -> Account {
    person(1, "ann")
}

fn rules() -> Rules {
    Rules {
        me: person(9, "agent"),
        label: "cofferdam".into(),
        mention: "agent".into(),
        least: Right::Write,
        fixes: 3,
        reviews: crate::forge::settings::Reviews::Asked,
        bots: Vec::new(),
    }
}

fn session() -> SessionId {
    SessionId::from_u128(7)
}

fn thread() -> Thread {
    Thread { forge: "work".into(), repository: 5, path: "acme/app".into(), subject: Subject::Issue(7) }
}

/// A session that ann asked for, with these events after its task.
fn standing(state: SessionState, bodies: Vec<EventBody>) -> Standing {
    let asked =
        Asked { thread: thread(), account: 1, delivery: "d".into(), changed: None, concealed: Vec::new() };
    let task = Task::new("It fails".into(), "https://f/a/b.git".into(), None, "ann".into(), Source::Forge)
        .unwrap()
        .asked(Origin::Forge(Box::new(asked)));
    let bodies = std::iter::once(EventBody::TaskAccepted { task }).chain(bodies);
    let event = |(place, body)| Event {
        seq: Seq(place),
        id: EventId::from_u128(u128::from(place)),
        session: session(),
        at: Timestamp(place),
        body,
        previous: Digest::ZERO,
        hash: Digest::ZERO,
    };
    let events: Vec<Event> = (1..).zip(bodies).map(event).collect();
    Standing::of(session(), state, &events).unwrap()
}

fn pushed() -> EventBody {
    EventBody::Pushed { branch: cofferdam_forge::branch_of(session()), commit: HEAD.into() }
}

fn asked_model() -> EventBody {
    EventBody::ModelAsked { step: 1, request: Digest::ZERO, compaction: false }
}

fn heard(about: Option<About>, label: Label) -> EventBody {
    EventBody::MessageReceived { from: "x".into(), text: "y".into(), label, about: about.map(Box::new) }
}

fn told_of(check: &str, commit: &str) -> EventBody {
    let about = About::Check { thread: thread(), name: check.into(), commit: commit.into(), attempt: 1 };
    heard(Some(about), Label::SANDBOX)
}

fn closed(state: PullRequestState) -> EventBody {
    EventBody::PullRequestClosed { state }
}

fn ended() -> EventBody {
    EventBody::SessionEnded { outcome: Outcome::Succeeded }
}

fn facts(session: Option<Standing>) -> Facts {
    Facts {
        actor: Right::Write,
        own: Right::Write,
        issue: Some(issue("Always.")),
        bound: session.as_ref().map(|standing| standing.session),
        session,
        ..Facts::default()
    }
}

fn issue(body: &str) -> Issue {
    Issue {
        number: 7,
        title: "It fails".into(),
        body: body.into(),
        author: person(2, "bob"),
        labels: Vec::new(),
        open: true,
        updated: None,
    }
}

fn pull(state: PullState) -> Pull {
    Pull {
        number: 8,
        title: "Mend it".into(),
        body: String::new(),
        author: person(9, "agent"),
        branch: "b".into(),
        commit: HEAD.into(),
        head_repository: Some(5),
        base: "main".into(),
        draft: false,
        conflicts: false,
        state,
        merged_as: Some("c".repeat(40)),
        updated: None,
    }
}

fn comment() -> Box<Comment> {
    Box::new(Comment { id: 70, body: "@agent".into(), author: ann(), updated: None })
}

fn labelled() -> Reading {
    Reading::Asked(Box::new(issue("Always.")), How::Label)
}

fn mentioned() -> Reading {
    Reading::Asked(Box::new(issue("Always.")), How::Mention(comment()))
}

fn decided(reading: &Reading, actor: &Account, facts: &Facts) -> Decision {
    decide(reading, actor, facts, &rules())
}

#[test]
fn the_least_right_counts() {
    let with = |actor, own| Facts { actor, own, ..facts(None) };
    let begins = Decision::Begin { instead_of: None };
    for (actor, own, wanted) in [
        (Right::None, Right::Admin, Decision::NoRight),
        (Right::Read, Right::Admin, Decision::NoRight),
        (Right::Triage, Right::Admin, Decision::NoRight),
        (Right::Write, Right::Read, Decision::Powerless),
        (Right::Write, Right::Write, begins.clone()),
        (Right::Admin, Right::Admin, begins.clone()),
    ] {
        for reading in [labelled(), mentioned()] {
            assert_eq!(decided(&reading, &ann(), &with(actor, own)), wanted, "{actor:?} {own:?}");
        }
    }
    let sorters = Rules { least: Right::Triage, ..rules() };
    let decide = |actor, own| decide(&labelled(), &ann(), &with(actor, own), &sorters);
    assert_eq!(decide(Right::Triage, Right::Write), begins);
    assert_eq!(decide(Right::Triage, Right::Triage), Decision::Powerless);
}

#[test]
fn what_was_asked_is_what_was_read() {
    let now = |text: &str| Facts { issue: Some(issue(text)), ..facts(None) };
    assert_eq!(decided(&labelled(), &ann(), &now("Always.\r\n")), Decision::Begin { instead_of: None });
    assert_eq!(decided(&labelled(), &ann(), &now("Delete it.")), Decision::Changed);
    // Bob is its author.
    assert_eq!(
        decided(&labelled(), &person(2, "bob"), &now("More words.")),
        Decision::Begin { instead_of: None }
    );
    let mut shut = issue("Always.");
    shut.open = false;
    let facts = Facts { issue: Some(shut), ..facts(None) };
    assert_eq!(decided(&labelled(), &ann(), &facts), Decision::Nothing("the issue is closed"));
}

#[test]
fn one_session_works_on_an_issue() {
    let eve = person(3, "eve");
    let again = Decision::Begin { instead_of: Some(session()) };
    let told = Decision::Tell(session());
    let works = Decision::Nothing("a session works on it already");
    let open = standing(SessionState::Ended, vec![pushed(), opened(), ended()]);
    let merged = closed(PullRequestState::Merged { commit: HEAD.into() });
    let merged = standing(SessionState::Ended, vec![pushed(), opened(), ended(), merged]);
    let failed = standing(SessionState::Ended, vec![ended()]);
    let working = standing(SessionState::Working, vec![asked_model()]);
    let cancelled = standing(SessionState::Ended, vec![EventBody::CancelAsked { by: "x".into() }, ended()]);
    for (session, by_ann, by_eve, by_word) in [
        (working, &works, &told, &told),
        (open, &works, &told, &told),
        (merged, &again, &again, &again),
        (failed, &again, &again, &told),
        (cancelled, &again, &again, &again),
    ] {
        let facts = facts(Some(session));
        assert_eq!(decided(&labelled(), &ann(), &facts), *by_ann);
        assert_eq!(decided(&labelled(), &eve, &facts), *by_eve);
        assert_eq!(decided(&mentioned(), &ann(), &facts), *by_word);
    }
    // One that was bound and never came to be gives way.
    let lost = Facts { bound: Some(session()), ..facts(None) };
    assert_eq!(decided(&labelled(), &ann(), &lost), again);
    let done = Facts { done: true, ..facts(Some(standing(SessionState::Queued, Vec::new()))) };
    assert_eq!(decided(&labelled(), &ann(), &done), Decision::Done(session()));
}

fn opened() -> EventBody {
    EventBody::PullRequestOpened(Box::new(cofferdam_domain::PullRequest {
        number: 8,
        session: session(),
        repository: "https://f/a/b.git".into(),
        branch: cofferdam_forge::branch_of(session()),
        base_branch: "main".into(),
        base_commit: HEAD.into(),
        head_commit: HEAD.into(),
        title: String::new(),
        body: String::new(),
        draft: false,
        state: PullRequestState::Open,
        opened: Timestamp(1),
    }))
}

#[test]
fn comments_reach_the_session_whose_pull_request_it_is() {
    let remark = LineComment {
        comment: *comment(),
        place: LinePlace { path: "a".into(), line: None, commit: HEAD.into(), discussion: "1".into() },
    };
    let says = |on_line, mentions| Reading::Commented { pull: 8, comment: comment(), on_line, mentions };
    let about = |state, ours, unheard: &[LineComment]| Facts {
        pull: Some(pull(state)),
        ours,
        unheard: unheard.to_vec(),
        ..facts(ours.then(|| standing(SessionState::Ended, vec![pushed(), opened(), ended()])))
    };
    let one = std::slice::from_ref(&remark);
    for (reading, facts, wanted) in [
        (says(false, true), about(PullState::Open, true, &[]), Decision::Tell(session())),
        (says(true, false), about(PullState::Open, true, one), Decision::Tell(session())),
        (says(true, false), about(PullState::Open, true, &[]), Decision::Nothing("it was heard")),
        (
            says(true, false),
            about(PullState::Merged, true, one),
            Decision::Nothing("the pull request is merged or closed"),
        ),
        (
            says(true, false),
            about(PullState::Open, false, one),
            Decision::Nothing("the pull request is not ours"),
        ),
        (says(false, true), about(PullState::Open, false, &[]), Decision::Begin { instead_of: None }),
        (
            says(false, true),
            about(PullState::Closed, false, &[]),
            Decision::Nothing("the pull request is merged or closed"),
        ),
    ] {
        assert_eq!(decided(&reading, &ann(), &facts), wanted, "{reading:?}");
        let outsider = Facts { actor: Right::Read, ..facts };
        let not_ours = matches!(wanted, Decision::Nothing("the pull request is not ours"));
        let wanted = if not_ours { wanted } else { Decision::NoRight };
        assert_eq!(decided(&reading, &ann(), &outsider), wanted, "{reading:?}");
    }
}

#[test]
fn reviews_are_heard_once_and_only_where_they_say_something() {
    let review = |body: &str| {
        let end = ReviewEnd::ChangesWanted;
        Reading::Reviewed(
            Box::new(pull(PullState::Open)),
            Review { id: 3, body: body.into(), end, commit: None },
        )
    };
    let live = || Facts {
        pull: Some(pull(PullState::Open)),
        ours: true,
        ..facts(Some(standing(SessionState::Ended, vec![pushed(), opened(), ended()])))
    };
    let nothing = Decision::Nothing("the review says nothing that was not heard");
    assert_eq!(decided(&review("no"), &ann(), &live()), Decision::Tell(session()));
    assert_eq!(decided(&review(" \n"), &ann(), &live()), nothing);
    assert_eq!(decided(&review("no"), &ann(), &Facts { body_heard: true, ..live() }), nothing);
    let outsider = Facts { actor: Right::Triage, ..live() };
    assert_eq!(decided(&review("no"), &ann(), &outsider), Decision::NoRight);
    assert_eq!(decided(&review("no"), &ann(), &facts(None)), Decision::Nothing("there is no such session"));
}

#[test]
fn failed_checks_are_mended_a_few_times_and_never_at_work() {
    let check = |name: &str, commit: &str| {
        let (name, commit) = (name.to_owned(), commit.to_owned());
        Reading::Failed(Check { name, id: 0, commit, branch: None, end: CheckEnd::Failed })
    };
    let with = |state, mut more: Vec<EventBody>| {
        let mut bodies = vec![asked_model(), pushed(), opened()];
        bodies.append(&mut more);
        facts(Some(standing(state, bodies)))
    };
    let tell = Decision::Tell(session());
    let at_work = Decision::Nothing("the session is at work, and what it makes is checked anew");
    let person = || heard(None, Label::REQUESTER);
    let tried = |commits: &[&str]| commits.iter().map(|commit| told_of("ci", commit)).collect::<Vec<_>>();
    let after_a_word = tried(&["1", "2", "3"]).into_iter().chain([person()]).collect();
    let others_only = tried(&["1", "2", "3"]).into_iter().chain([heard(None, Label::SANDBOX)]).collect();
    for (reading, facts, wanted) in [
        (check("ci", HEAD), with(SessionState::Ended, vec![ended()]), tell.clone()),
        (check("ci", HEAD), with(SessionState::Delivering, vec![]), tell.clone()),
        (check("ci", HEAD), with(SessionState::Delivering, vec![asked_model()]), at_work.clone()),
        (check("ci", HEAD), with(SessionState::Working, vec![]), at_work.clone()),
        (check("ci", HEAD), with(SessionState::Waiting, vec![]), at_work),
        (
            check("ci", "b"),
            with(SessionState::Ended, vec![]),
            Decision::Nothing("the check is of an earlier commit"),
        ),
        (check("ci", HEAD), with(SessionState::Ended, tried(&[HEAD])), Decision::Nothing("it was heard")),
        (check("lint", HEAD), with(SessionState::Queued, tried(&["1", "2", HEAD])), tell.clone()),
        (check("ci", HEAD), with(SessionState::Ended, tried(&["1", "2"])), tell.clone()),
        (
            check("ci", HEAD),
            with(SessionState::Ended, tried(&["1", "2", "3"])),
            Decision::EnoughFixes(session()),
        ),
        (check("ci", HEAD), with(SessionState::Ended, after_a_word), tell),
        (check("ci", HEAD), with(SessionState::Ended, others_only), Decision::EnoughFixes(session())),
        (
            check("ci", HEAD),
            with(SessionState::Ended, vec![closed(PullRequestState::Closed)]),
            Decision::Nothing("the pull request is merged or closed"),
        ),
    ] {
        assert_eq!(decided(&reading, &person_of_ci(), &facts), wanted, "{reading:?}");
    }
    assert_eq!(
        decided(&check("ci", HEAD), &person_of_ci(), &Facts::default()),
        Decision::Nothing("there is no such session")
    );
}

fn person_of_ci() -> Account {
    Account { id: 50, login: "ci".into(), kind: AccountKind::Bot }
}

#[test]
fn what_became_of_a_pull_request_is_what_the_forge_says_now() {
    let reading = Reading::PullChanged(session());
    let merged = PullRequestState::Merged { commit: "c".repeat(40) };
    let asked = EventBody::CloseAsked { by: "ann".into() };
    let with = |state, more: Vec<EventBody>| Facts {
        pull: Some(pull(state)),
        ours: true,
        ..facts(Some(standing(SessionState::Ended, [vec![pushed(), opened(), ended()], more].concat())))
    };
    let is = |state: &PullRequestState| Decision::PullIs(session(), state.clone());
    let heard = Decision::Nothing("it was heard");
    for (facts, wanted) in [
        (with(PullState::Merged, vec![]), is(&merged)),
        (with(PullState::Closed, vec![]), is(&PullRequestState::Closed)),
        (with(PullState::Open, vec![]), Decision::Nothing("the pull request is open")),
        (with(PullState::Open, vec![closed(PullRequestState::Closed)]), is(&PullRequestState::Open)),
        (with(PullState::Closed, vec![closed(PullRequestState::Closed)]), heard),
        (with(PullState::Merged, vec![closed(merged.clone())]), Decision::Nothing("it is merged")),
        (with(PullState::Merged, vec![closed(PullRequestState::Closed)]), is(&merged)),
        (with(PullState::Closed, vec![asked]), Decision::Nothing("a worker does this")),
        (Facts::default(), Decision::Nothing("there is no such session")),
    ] {
        assert_eq!(decided(&reading, &ann(), &facts), wanted);
    }
}

#[test]
fn an_issue_that_is_over_ends_what_has_not_come_to_anything() {
    let over = |gone| Reading::IssueOver { issue: 7, gone };
    let with = |session| Facts { actor: Right::None, ..facts(Some(session)) };
    let working = || standing(SessionState::Working, vec![asked_model()]);
    let cancel = Decision::Cancel(session());
    assert_eq!(decided(&over(false), &ann(), &with(working())), cancel, "whoever asked");
    assert_eq!(decided(&over(false), &person(3, "eve"), &with(working())), Decision::NoRight);
    assert_eq!(decided(&over(false), &person(3, "eve"), &facts(Some(working()))), cancel, "a member");
    assert_eq!(decided(&over(true), &person(3, "eve"), &with(working())), cancel, "nothing to work on");
    let nothing = Decision::Nothing("the session has nothing left to do for it");
    let published = standing(SessionState::Working, vec![pushed(), opened()]);
    assert_eq!(decided(&over(false), &ann(), &with(published)), nothing);
    assert_eq!(decided(&over(false), &ann(), &with(standing(SessionState::Ended, vec![]))), nothing);
    assert_eq!(decided(&over(true), &ann(), &Facts::default()), Decision::Nothing("no session is about it"));
}

/// A session that reviews the pull request as it was at this commit.
fn reviews(head: &str, state: SessionState) -> Standing {
    let mut standing = standing(state, Vec::new());
    standing.task = standing.task.reviewing(cofferdam_domain::UnderReview {
        number: 8,
        head: head.into(),
        reference: "refs/pull/8/head".into(),
        base: "main".into(),
        foreign: false,
    });
    standing
}

#[test]
fn one_review_of_each_commit_unless_somebody_insists() {
    use crate::forge::reading::ReviewBy;
    let word = || {
        ReviewBy::Word(Box::new(Comment {
            id: 70,
            body: "@agent review".into(),
            author: ann(),
            updated: None,
        }))
    };
    let decision = |by, session: Option<Standing>, state| {
        let facts = Facts { pull: Some(pull(state)), ..facts(session) };
        decide(&Reading::ReviewAsked { pull: 8, by }, &ann(), &facts, &rules())
    };
    let open = PullState::Open;
    assert_eq!(decision(ReviewBy::Label, None, open), Decision::Begin { instead_of: None });
    let over = "the pull request is merged or closed";
    assert_eq!(decision(word(), None, PullState::Merged), Decision::Nothing(over));
    let (working, ended) = (SessionState::Working, SessionState::Ended);
    assert_eq!(
        decision(word(), Some(reviews(HEAD, working)), open),
        Decision::Nothing("it is being reviewed")
    );
    for by in [ReviewBy::Label, ReviewBy::Opened] {
        let done = decision(by, Some(reviews(HEAD, ended)), open);
        assert_eq!(done, Decision::Nothing("it was reviewed as it is"));
    }
    for by in [ReviewBy::Wanted, word()] {
        let again = decision(by, Some(reviews(HEAD, ended)), open);
        assert_eq!(again, Decision::Begin { instead_of: Some(session()) });
    }
    let pushed = decision(ReviewBy::Label, Some(reviews("b", ended)), open);
    assert_eq!(pushed, Decision::Begin { instead_of: Some(session()) });
    let meanwhile = decision(word(), Some(reviews("b", working)), open);
    assert_eq!(meanwhile, Decision::BeginAnew { instead_of: session() });
    let nobody = Facts { actor: Right::Read, pull: Some(pull(open)), ..facts(None) };
    let asked = Reading::ReviewAsked { pull: 8, by: word() };
    assert_eq!(decide(&asked, &ann(), &nobody, &rules()), Decision::NoRight);
}

#[test]
fn a_conflict_is_told_of_when_nobody_works_on_it() {
    let reading = Reading::Conflicts(session());
    let about = |conflicts, state, standing| Facts {
        pull: Some(Pull { conflicts, ..pull(state) }),
        ours: true,
        ..facts(Some(standing))
    };
    let over = || standing(SessionState::Ended, vec![pushed(), opened(), ended()]);
    let works = standing(SessionState::Working, vec![pushed(), opened(), asked_model()]);
    let nobody = person(0, "");
    for (facts, wanted) in [
        (about(true, PullState::Open, over()), Decision::Conflicts(session())),
        (about(false, PullState::Open, over()), Decision::Nothing("it can be merged")),
        (about(true, PullState::Open, works), Decision::Nothing("the session is at work")),
        (about(true, PullState::Closed, over()), Decision::Nothing("the pull request is merged or closed")),
    ] {
        assert_eq!(decided(&reading, &nobody, &facts), wanted);
    }
}

#[test]
fn a_session_on_several_repositories_is_seen_from_the_one_that_it_is_about() {
    let other = "https://f/a/lib.git";
    let one = standing(SessionState::Ended, Vec::new());
    let also = cofferdam_domain::Also { repository: other.into(), base: None };
    let task = one.task.clone().and_also(vec![also]).unwrap();
    assert_eq!(one.part_of("work", 6, "https://f/a/lib"), None, "no repository of that one");
    let second = Part(1);
    let there = |commit: &str| EventBody::Pushed { branch: "b".into(), commit: commit.into() };
    let bodies = vec![
        EventBody::TaskAccepted { task },
        pushed(),
        there("c").about_part(second),
        closed(PullRequestState::Closed).about_part(second),
    ];
    let event = |(place, body)| Event {
        seq: Seq(place),
        id: EventId::from_u128(u128::from(place)),
        session: session(),
        at: Timestamp(place),
        body,
        previous: Digest::ZERO,
        hash: Digest::ZERO,
    };
    let events: Vec<Event> = (1..).zip(bodies).map(event).collect();
    let own = Standing::of(session(), SessionState::Ended, &events).unwrap();
    assert_eq!((own.head.as_deref(), own.is_over()), (Some(HEAD), false));
    assert_eq!(own.part_of("work", 5, "https://f/a/b.git"), Some(Part::FIRST));
    assert_eq!(own.part_of("work", 6, "https://f/a/lib"), Some(second));
    assert_eq!(own.part_of("work", 7, "https://f/a/else"), None);
    let seen = Standing::seen_from(second, session(), SessionState::Ended, &events).unwrap();
    assert_eq!((seen.head.as_deref(), seen.is_over()), (Some("c"), true));
}
