//! What may be meant, case by case.

use cofferdam_forge::hook::{LinePlace, PullState};

use super::*;

const BRANCH: &str = "cofferdam/ses_01jd3v8q4me8h6w2k5x7r9t0zb";

fn person(id: u64, login: &str) -> Account {
    Account { id, login: login.into(), kind: AccountKind::Person }
}

fn rules() -> Rules {
    Rules {
        me: person(9, "agent"),
        label: "cofferdam".into(),
        mention: "agent".into(),
        least: Right::Write,
        fixes: 3,
        reviews: Reviews::Never,
        bots: vec!["Renovate".into()],
    }
}

fn issue(labels: &[&str]) -> Issue {
    Issue {
        number: 7,
        title: "It fails".into(),
        body: "Always.".into(),
        author: person(2, "bob"),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        open: true,
        updated: None,
    }
}

fn comment(body: &str) -> Comment {
    Comment { id: 70, body: body.into(), author: person(1, "ann"), updated: None }
}

fn pull(branch: &str) -> Pull {
    Pull {
        number: 8,
        title: "Mend it".into(),
        body: String::new(),
        author: person(9, "agent"),
        branch: branch.into(),
        commit: "a".repeat(40),
        head_repository: Some(5),
        base: "main".into(),
        draft: false,
        conflicts: false,
        state: PullState::Open,
        merged_as: None,
        updated: None,
    }
}

fn by(actor: Account, what: What) -> Reading {
    with(&rules(), actor, what)
}

fn with(rules: &Rules, actor: Account, what: What) -> Reading {
    let repository = Repository {
        id: 5,
        path: "acme/app".into(),
        clone_url: "https://forge.example/acme/app.git".into(),
        default_branch: Some("main".into()),
        private: true,
        public: false,
    };
    let occasion = Occasion { repository: Some(repository), installation: None, actor, what };
    reading(&occasion, rules)
}

fn ann(what: What) -> Reading {
    by(person(1, "ann"), what)
}

/// What it comes to, in a word.
fn word(reading: &Reading) -> String {
    match reading {
        Reading::Nothing(why) => (*why).to_owned(),
        Reading::Asked(_, How::Label) => "label".into(),
        Reading::Asked(_, How::Assigned) => "assigned".into(),
        Reading::Asked(_, How::Mention(_)) => "mention".into(),
        Reading::Commented { on_line, mentions, .. } => format!("comment {on_line} {mentions}"),
        Reading::ReviewAsked { by, .. } => format!("review wanted: {}", by.words()),
        Reading::Reviewed(..) => "review".into(),
        Reading::Failed(_) => "failed".into(),
        Reading::PullChanged(_) => "pull".into(),
        Reading::Conflicts(_) => "conflicts".into(),
        Reading::IssueOver { gone, .. } => format!("over {gone}"),
        Reading::RepositoryGone => "gone".into(),
    }
}

fn on_issue(labels: &[&str], change: IssueChange) -> What {
    What::Issue(issue(labels), change)
}

fn below(thread: Thread, body: &str) -> What {
    What::Comment(thread, comment(body), CommentChange::Written)
}

fn at_pull(line: bool) -> Thread {
    let line = line.then(|| LinePlace {
        path: "src/lib.rs".into(),
        line: Some(3),
        commit: String::new(),
        discussion: "1".into(),
    });
    Thread::Pull { number: 8, line }
}

fn check(name: &str, branch: Option<&str>, end: CheckEnd) -> What {
    let (name, branch) = (name.to_owned(), branch.map(str::to_owned));
    What::Check(Check { name, id: 1, commit: "a".repeat(40), branch, end })
}

fn review(branch: &str, end: ReviewEnd) -> What {
    What::Review(pull(branch), Review { id: 3, body: "no".into(), end, commit: None })
}

#[test]
fn each_occasion_means_one_thing() {
    let (me, other) = (person(9, "agent"), person(3, "eve"));
    let labelled = |labels: &[&str]| IssueChange::Labelled(labels.iter().map(|l| (*l).to_owned()).collect());
    for (what, wanted) in [
        (on_issue(&[], labelled(&["bug", "Cofferdam"])), "label"),
        (on_issue(&["cofferdam"], IssueChange::Opened), "label"),
        (on_issue(&["cofferdam"], labelled(&["bug"])), "another label"),
        (on_issue(&["cofferdam"], IssueChange::Edited), "what was asked stays what it was"),
        (on_issue(&["cofferdam"], IssueChange::Reopened), "nobody asks for anything"),
        (on_issue(&[], IssueChange::Opened), "nobody asks for anything"),
        (on_issue(&[], IssueChange::Assigned(vec![other.clone(), me.clone()])), "assigned"),
        (on_issue(&[], IssueChange::Assigned(vec![other.clone()])), "assigned to others"),
        (on_issue(&[], IssueChange::Closed), "over false"),
        (on_issue(&[], IssueChange::Gone), "over true"),
        (below(Thread::Issue(issue(&[])), "@agent please"), "mention"),
        (below(Thread::Issue(issue(&[])), "> @agent please"), "said to others"),
        (below(at_pull(false), "@agent please"), "comment false true"),
        (below(at_pull(false), "looks good"), "said to others"),
        (below(at_pull(true), "why?"), "comment true false"),
        (
            What::Comment(at_pull(true), comment("@agent"), CommentChange::Edited),
            "what was said stays what it was",
        ),
        (review(BRANCH, ReviewEnd::Said), "review"),
        (review(BRANCH, ReviewEnd::ChangesWanted), "review"),
        (review(BRANCH, ReviewEnd::Approved), "an approval wants nothing"),
        (review(BRANCH, ReviewEnd::Dismissed), "a review was taken back"),
        (review("feature", ReviewEnd::ChangesWanted), "the pull request is not ours"),
        (What::Pull(pull(BRANCH), PullChange::Closed), "pull"),
        (What::Pull(pull(BRANCH), PullChange::Reopened), "pull"),
        (What::Pull(pull(BRANCH), PullChange::Conflicts), "conflicts"),
        (What::Pull(pull("feature"), PullChange::Conflicts), "the pull request is not ours"),
        (What::Pull(pull(BRANCH), PullChange::Edited), "nothing that changes the session"),
        (What::Pull(pull("cofferdam/x"), PullChange::Closed), "the pull request is not ours"),
        (check("ci", Some(BRANCH), CheckEnd::Failed), "failed"),
        (check("ci", None, CheckEnd::Failed), "failed"),
        (check("ci", Some("main"), CheckEnd::Failed), "a check of somebody else's branch"),
        (check("ci", Some(BRANCH), CheckEnd::Passed), "the check has found nothing"),
        (check("Cofferdam/gate", Some(BRANCH), CheckEnd::Failed), "our own check"),
        (What::Branch { name: BRANCH.into(), before: None, after: None }, "pull"),
        (
            What::Branch { name: BRANCH.into(), before: None, after: Some("b".into()) },
            "what is pushed is seen when the session goes on",
        ),
        (What::Branch { name: "main".into(), before: None, after: None }, "the branch is not ours"),
        (What::Repository(RepositoryChange::Deleted), "gone"),
        (What::Repository(RepositoryChange::Moved), "the repository keeps its number"),
        (What::Installation, "of no interest"),
        (What::Other, "of no interest"),
    ] {
        assert_eq!(word(&ann(what.clone())), wanted, "{what:?}");
    }
}

#[test]
fn a_review_is_wanted_where_that_is_configured_and_by_people() {
    let (me, other) = (person(9, "agent"), person(3, "eve"));
    let theirs = |change| What::Pull(pull("feature"), change);
    let draft = What::Pull(Pull { draft: true, ..pull("feature") }, PullChange::Opened);
    let word = |reviews, what| word(&with(&Rules { reviews, ..rules() }, person(1, "ann"), what));
    let label = || PullChange::Labelled(vec!["Cofferdam".into()]);
    for (what, asked, opened) in [
        (theirs(label()), "review wanted: asked for it with a label", ""),
        (theirs(PullChange::Labelled(vec!["bug".into()])), "nobody asks for a review", ""),
        (theirs(PullChange::ReviewWanted(vec![me])), "review wanted: asked for it on the pull request", ""),
        (theirs(PullChange::ReviewWanted(vec![other])), "nobody asks for a review", ""),
        (below(at_pull(false), "@agent review this"), "review wanted: asked for it in a comment", ""),
        (below(at_pull(false), "@agent mend this"), "comment false true", ""),
        (below(at_pull(true), "@agent review this"), "comment true true", ""),
        (theirs(PullChange::Opened), "nobody asks for a review", "review wanted: opened it"),
        (theirs(PullChange::Ready), "nobody asks for a review", "review wanted: opened it"),
        (draft, "nobody asks for a review", "a draft is reviewed when somebody asks"),
        (theirs(PullChange::Pushed { before: None }), "what is pushed is reviewed when somebody asks", ""),
        (What::Pull(pull(BRANCH), label()), "nothing that changes the session", ""),
    ] {
        assert_eq!(word(Reviews::Asked, what.clone()), asked, "{what:?}");
        let opened = if opened.is_empty() { asked } else { opened };
        assert_eq!(word(Reviews::Opened, what.clone()), opened, "{what:?}");
        let never = word(Reviews::Never, what.clone());
        assert!(!never.starts_with("review wanted"), "{what:?}: {never}");
    }
    let by_bot = with(
        &Rules { reviews: Reviews::Opened, ..rules() },
        Account { kind: AccountKind::Bot, ..person(4, "x") },
        theirs(PullChange::Opened),
    );
    assert_eq!(by_bot, Reading::Nothing("a bot asks for nothing"));
}

#[test]
fn a_branch_of_another_repository_is_not_ours() {
    let mut forked = pull(BRANCH);
    forked.head_repository = Some(6);
    assert_eq!(
        word(&ann(What::Pull(forked, PullChange::Closed))),
        "the pull request is not ours",
        "whoever forks can name branches as they like"
    );
}

#[test]
fn bots_and_we_ourselves_ask_for_nothing() {
    let bot = Account { id: 4, login: "ci[bot]".into(), kind: AccountKind::Bot };
    let organisation = Account { id: 4, login: "acme".into(), kind: AccountKind::Organisation };
    let asking = || {
        [
            on_issue(&[], IssueChange::Labelled(vec!["cofferdam".into()])),
            below(Thread::Issue(issue(&[])), "@agent"),
            below(at_pull(true), "@agent"),
            review(BRANCH, ReviewEnd::ChangesWanted),
        ]
    };
    for actor in [bot.clone(), organisation, person(5, "renovate"), person(0, "ghost")] {
        for what in asking() {
            assert_eq!(word(&by(actor.clone(), what)), "a bot asks for nothing");
        }
    }
    for what in asking() {
        assert_eq!(word(&by(person(9, "agent"), what)), "our own words");
    }
    assert_eq!(word(&by(person(9, "agent"), check("ci", Some(BRANCH), CheckEnd::Failed))), "our own check");
    // What a check has found counts whoever runs it; and what became of a pull request is looked up.
    assert_eq!(word(&by(bot.clone(), check("ci", Some(BRANCH), CheckEnd::Failed))), "failed");
    assert_eq!(word(&by(bot, What::Pull(pull(BRANCH), PullChange::Closed))), "pull");
}

#[test]
fn what_is_of_no_interest_is_not_kept() {
    for (what, matters) in [
        (What::Other, false),
        (What::Installation, false),
        (What::Branch { name: "main".into(), before: None, after: None }, false),
        (What::Branch { name: BRANCH.into(), before: None, after: None }, true),
        (check("ci", None, CheckEnd::Passed), false),
        (check("ci", None, CheckEnd::Failed), true),
        (on_issue(&[], IssueChange::Opened), true),
    ] {
        assert_eq!(may_matter(&what), matters, "{what:?}");
    }
}

#[test]
fn branches_name_their_session_exactly() {
    assert!(session_of_branch(BRANCH).is_some());
    for branch in ["", "main", "cofferdam/", "cofferdam/ses_1", "x/cofferdam/ses_01jd3v8q4me8h6w2k5x7r9t0zb"]
    {
        assert_eq!(session_of_branch(branch), None, "{branch}");
    }
    assert_eq!(session_of_branch(&format!("{BRANCH}x")), None);
}

#[test]
fn an_empty_label_asks_for_nothing() {
    let rules = Rules { label: String::new(), ..rules() };
    let labelled = IssueChange::Labelled(vec![String::new()]);
    assert_eq!(of_issue(&issue(&[""]), &labelled, &rules), Reading::Nothing("another label"));
}
