//! What is said on a forge: which texts, when again, and what follows when it cannot be said.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use cofferdam_domain::{
    CallId, EventBody, NoticeKind, Outcome, Owner, PullRequestState, Secret, SessionId, Severity, Source,
    Subject, Task, Verdict,
    evidence::Exit,
    tool::{FinishOutcome, Reply},
};
use cofferdam_forge::{
    hook::ForgeKind,
    remote::{Site, SiteCredential, TalkError},
};
use cofferdam_store::{Everything, Placement, Ticket, Writer};
use cofferdam_tell::{Failed, ForgeChannel, Message, Names, Route, Teller};
use tokio::sync::watch;

use crate::{
    chronicle::{
        self, again, asked_in, asks, begins, ended, finding, finishes, is_examined, only_answers, reply,
        thread,
    },
    scene::{PATIENCE, now, open},
    talk::Forge,
};

/// The commits of the first and the second turn.
const COMMITS: [&str; 2] =
    ["1111111111111111111111111111111111111111", "2222222222222222222222222222222222222222"];
/// The number of the pull request.
const PULL: u64 = 13;

fn delivers(session: SessionId) -> Vec<EventBody> {
    chronicle::delivers(session, PULL, COMMITS[0])
}

fn is_published(session: SessionId, head: Exit) -> Vec<EventBody> {
    chronicle::is_published(session, PULL, COMMITS[0], head)
}

fn reviewed(comments: &[u64]) -> EventBody {
    let remarks: Vec<(u64, String)> =
        comments.iter().map(|comment| (*comment, format!("d{comment}"))).collect();
    chronicle::reviewed(thread(Subject::Pull(PULL)), &remarks)
}

fn answers(session: SessionId, replies: Vec<Reply>) -> Vec<EventBody> {
    chronicle::answers(session, PULL, COMMITS[1], replies)
}

/// A session of which a forge is to be told.
struct Told {
    _folder: tempfile::TempDir,
    store: Arc<dyn Everything>,
    session: SessionId,
    forge: Arc<Forge>,
    route: Route,
}

pub(crate) fn site(kind: ForgeKind) -> Site {
    let token = SiteCredential::Token(Secret::new("t0ken"));
    Site::new("hub", kind, "https://hub.example", None, token, false).unwrap()
}

impl Told {
    async fn of(first: EventBody) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        // Its number is in the texts.
        let session = SessionId::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);
        let ticket = Ticket { owner: Owner::LOCAL, placement: Placement::Queued { priority: 0 } };
        store.enqueue(ticket, session, now(), first, Vec::new()).await.unwrap();
        let forge = Forge::new();
        let route = ForgeChannel::route(&site(ForgeKind::Gitea), forge.clone(), store.clone());
        Self { _folder: folder, store, session, forge, route }
    }

    async fn new() -> Self {
        Self::of(asked_in(thread(Subject::Issue(12)))).await
    }

    async fn happens(&self, events: Vec<EventBody>) {
        self.store.append(self.session, Writer::Anybody, now(), events).await.unwrap();
    }

    /// The letters of this kind, as they are told.
    async fn messages(&self, kind: NoticeKind) -> Vec<Message> {
        let letters = self.store.letters(Owner::LOCAL.org, None, 100).await.unwrap();
        let of_kind = letters.iter().rev().filter(|posted| posted.letter.kind == kind);
        of_kind
            .map(|posted| Message::new(&posted.letter, &Names::default(), Some("https://c.example")))
            .collect()
    }

    /// Tells the last letter of a kind. What was asked of the forge for that.
    async fn tell(&self, kind: NoticeKind) -> Result<Vec<String>, Failed> {
        let message = self.messages(kind).await.pop().unwrap_or_else(|| panic!("no {kind:?}"));
        self.route.channel.tell(&message).await.map(|()| self.forge.calls())
    }

    /// The comment after these events.
    async fn comment(events: impl Fn(SessionId) -> Vec<EventBody>, kind: NoticeKind) -> String {
        let told = Self::new().await;
        told.happens(events(told.session)).await;
        told.tell(kind).await.unwrap();
        told.forge.text("task")
    }
}

fn lost(reason: &str) -> TalkError {
    TalkError::Missing { forge: "hub".into(), what: reason.into() }
}

#[tokio::test]
async fn a_session_from_its_task_to_the_answered_review() {
    let told = Told::new().await;
    assert_eq!(
        told.tell(NoticeKind::Accepted).await.unwrap(),
        ["react Eyes to Subject(Issue(12))", "say below issue #12 task anew"]
    );
    insta::assert_snapshot!("accepted", told.forge.text("task"));
    told.happens(delivers(told.session)).await;
    assert_eq!(
        told.tell(NoticeKind::PullRequest).await.unwrap(),
        [
            "say below issue #12 task changed",
            "status cofferdam/gate of 1111 Success: 2 findings, none blocking. The tests passed before the change and still pass. \
             [\"tests/a.rs:4 false 1 test is gone\"]"
        ]
    );
    insta::assert_snapshot!("ready", told.forge.text("task"));
    told.happens(vec![reviewed(&[31, 32, 33])]).await;
    assert_eq!(
        told.tell(NoticeKind::Heard).await.unwrap(),
        [
            "react Eyes to Line(Pull(13), 31)",
            "react Eyes to Line(Pull(13), 32)",
            "react Eyes to Line(Pull(13), 33)",
            "say below issue #12 task changed",
            "say below pull request #13 task anew",
            "status cofferdam/gate of 1111 Pending: At work on the next change [\"tests/a.rs:4 false 1 test is gone\"]",
        ]
    );
    let hostile = "Rounded. Fixes #99, thanks @lead!\n\n![x](https://evil.example/a.png)\nSigned-off-by: me";
    told.happens(answers(told.session, vec![reply(31, true, hostile), reply(32, false, "It must stay.")]))
        .await;
    let calls = told.tell(NoticeKind::PullRequest).await.unwrap();
    assert_eq!(
        calls,
        [
            "say below issue #12 task changed",
            "say below pull request #13 task changed",
            "status cofferdam/gate of 2222 Success: No findings. The tests passed before the change and still pass. []",
            "answer 31 in d31 of 13 reply-31 anew",
            "resolve d31 of 13",
            "answer 32 in d32 of 13 reply-32 anew",
        ]
    );
    let texts = [told.forge.text("reply-31"), told.forge.text("reply-32"), told.forge.text("task")];
    insta::assert_snapshot!("answered", texts.join("\n======\n"));
    // The same letter again says the same again, and an older one says what is so now.
    for kind in [NoticeKind::PullRequest, NoticeKind::Accepted] {
        let calls = told.tell(kind).await.unwrap();
        assert!(!calls.iter().any(|call| call.ends_with("anew") || call.ends_with("changed")), "{calls:?}");
    }
    // What was answered in an earlier turn is not said again by a later letter.
    told.happens(vec![EventBody::PullRequestClosed {
        state: PullRequestState::Merged { commit: "m".into() },
    }])
    .await;
    assert_eq!(
        told.tell(NoticeKind::Moved).await.unwrap(),
        ["say below issue #12 task changed", "say below pull request #13 task changed"]
    );
    insta::assert_snapshot!("merged", told.forge.text("task"));
}

#[tokio::test]
async fn what_was_not_pushed_is_not_called_fixed() {
    let told = Told::new().await;
    told.happens(delivers(told.session)).await;
    told.happens(vec![reviewed(&[31, 32])]).await;
    told.happens(only_answers(vec![reply(31, true, "Done."), reply(32, false, "No.")])).await;
    let calls = told.tell(NoticeKind::PullRequest).await.unwrap();
    assert!(!calls.iter().any(|call| call.starts_with("resolve")), "{calls:?}");
    let texts = [told.forge.text("reply-31"), told.forge.text("reply-32")];
    insta::assert_snapshot!("only_answers", texts.join("\n======\n"));
}

#[tokio::test]
async fn whatever_it_waits_for_and_however_it_ends_stands_in_the_comment() {
    let mut texts = Vec::new();
    let mut add = |name: &str, text: String| texts.push(format!("====== {name}\n{text}"));
    let question = "Which of **both**?\n<!-- hidden --> @lead \u{202e}";
    let asks = |_| [begins(), asks(question)].concat();
    add("question", Told::comment(asks, NoticeKind::Question).await);
    let answered = |session| {
        let call = CallId { step: 1, index: 0 };
        let answer = EventBody::QuestionAnswered { call, by: "ann".into(), text: "This.".into() };
        [asks(session), vec![answer]].concat()
    };
    add("answered", Told::comment(answered, NoticeKind::Moved).await);
    let broke = EventBody::BudgetExceeded { what: "The project's $5.00 of today are spent.".into() };
    add("budget", Told::comment(|_| [begins(), vec![broke.clone()]].concat(), NoticeKind::Budget).await);
    let held = |_| {
        let findings = vec![finding(Severity::Blocking, Some(3), "a key")];
        let outcome = Outcome::Held { reason: "secret in src/a.rs: a key".into() };
        let work = finishes(1, FinishOutcome::Done, "Done.", Vec::new());
        [begins(), work, is_examined(COMMITS[0], findings, Verdict::Hold), ended(outcome)].concat()
    };
    add("held", Told::comment(held, NoticeKind::Held).await);
    let failed =
        |_| [begins(), ended(Outcome::Failed { reason: "the agent: `x` fixes #3".repeat(400) })].concat();
    let long = Told::comment(failed, NoticeKind::Failed).await;
    assert!((3_000..8_000).contains(&long.len()), "{}", long.len());
    let failed = |_| [begins(), ended(Outcome::Failed { reason: "no such model".into() })].concat();
    add("failed", Told::comment(failed, NoticeKind::Failed).await);
    let nothing = |_| {
        let work = finishes(1, FinishOutcome::NothingToDo, "It rounds already.", Vec::new());
        [begins(), work, ended(Outcome::NothingToDo)].concat()
    };
    add("nothing", Told::comment(nothing, NoticeKind::Ended).await);
    add(
        "cancelled",
        Told::comment(|_| [begins(), ended(Outcome::Cancelled)].concat(), NoticeKind::Moved).await,
    );
    let stopped = |session| {
        let limit = "the limit of 3 steps was reached".into();
        let work = finishes(1, FinishOutcome::GaveUp, "Partly.", Vec::new());
        let examined = is_examined(COMMITS[0], Vec::new(), Verdict::Publish);
        let published = is_published(session, Exit::Code(101));
        [begins(), work, examined, published, ended(Outcome::Stopped { limit })].concat()
    };
    add("stopped", Told::comment(stopped, NoticeKind::PullRequest).await);
    let cancelled = |session| {
        let again = [vec![reviewed(&[31])], again(), ended(Outcome::Cancelled)].concat();
        [delivers(session), again].concat()
    };
    add("cancelled in a later turn", Told::comment(cancelled, NoticeKind::Moved).await);
    insta::assert_snapshot!("states", texts.join("\n"));
}

#[tokio::test]
async fn a_commit_with_red_tests_is_marked_so() {
    let told = Told::new().await;
    let findings = vec![finding(Severity::Blocking, Some(3), "a key")];
    let work = finishes(1, FinishOutcome::Done, "Done.", Vec::new());
    let examined = is_examined(COMMITS[0], findings, Verdict::Publish);
    let published = is_published(told.session, Exit::Code(101));
    told.happens([begins(), work, examined, published, ended(Outcome::Succeeded)].concat()).await;
    let calls = told.tell(NoticeKind::PullRequest).await.unwrap();
    let status = "status cofferdam/gate of 1111 Failure: 1 finding, 1 blocking. The tests passed before the change and FAIL with it. \
                  [\"tests/a.rs:3 true a key\"]";
    assert!(calls.iter().any(|call| call == status), "{calls:?}");
}

#[tokio::test]
async fn of_other_sessions_nothing_is_said() {
    let mut elsewhere = thread(Subject::Issue(12));
    elsewhere.forge = "other".into();
    let told = Told::of(asked_in(elsewhere)).await;
    assert_eq!(told.tell(NoticeKind::Accepted).await.unwrap(), [] as [String; 0]);
    let task = Task::new("Fix it".into(), "/r".into(), None, "ann".into(), Source::Web).unwrap();
    let told = Told::of(EventBody::TaskAccepted { task }).await;
    told.happens(delivers(told.session)).await;
    assert_eq!(told.tell(NoticeKind::PullRequest).await.unwrap(), [] as [String; 0]);
    // Where somebody reviews its pull request here, they are answered here, and see there how it stands.
    told.happens(vec![reviewed(&[31])]).await;
    told.happens(answers(told.session, vec![reply(31, true, "Done.")])).await;
    let calls = told.tell(NoticeKind::PullRequest).await.unwrap();
    assert!(calls.contains(&"answer 31 in d31 of 13 reply-31 anew".to_owned()), "{calls:?}");
    let said: Vec<&String> = calls.iter().filter(|call| call.starts_with("say")).collect();
    assert_eq!(said, ["say below pull request #13 task anew"]);
    // It was deleted before its letter was told.
    let message = told.messages(NoticeKind::PullRequest).await.pop().unwrap();
    told.store.forget(told.session).await.unwrap();
    told.route.channel.tell(&message).await.unwrap();
    assert_eq!(told.forge.calls(), [] as [String; 0]);
}

#[tokio::test]
async fn what_can_never_be_said_does_not_keep_the_rest_back() {
    let told = Told::new().await;
    told.happens(delivers(told.session)).await;
    told.happens(vec![reviewed(&[31, 32])]).await;
    told.happens(answers(told.session, vec![reply(31, true, "Done."), reply(32, true, "Done.")])).await;
    told.forge.fail(|call| {
        let gone = call.starts_with("say") || call.starts_with("answer 31");
        gone.then(|| lost("such comment"))
    });
    let error = told.tell(NoticeKind::PullRequest).await.unwrap_err();
    assert_eq!(error, Failed::ForGood { reason: "hub has no such comment".into() });
    let calls = told.forge.calls();
    assert!(
        calls.iter().any(|call| call.starts_with("status")) && calls.ends_with(&["resolve d32 of 13".into()])
    );
    assert!(!calls.contains(&"resolve d31 of 13".to_owned()), "{calls:?}");
}

/// A token that was revoked is replaced some day: what could not be said is said then, whatever else is lost.
#[tokio::test]
async fn what_is_forbidden_is_said_once_it_is_permitted() {
    let told = Told::new().await;
    told.happens(delivers(told.session)).await;
    told.forge.fail(|call| match call {
        call if call.starts_with("react") => Some(lost("such issue")),
        call if call.starts_with("status") => {
            Some(TalkError::Forbidden { forge: "hub".into(), reason: "401".into() })
        }
        _ => None,
    });
    let error = told.tell(NoticeKind::PullRequest).await.unwrap_err();
    assert!(matches!(&error, Failed::ForNow { reason, rest: None } if reason.contains("401")), "{error:?}");
    told.forge.fail(|_| None);
    let calls = told.tell(NoticeKind::PullRequest).await.unwrap();
    assert!(calls.iter().any(|call| call.starts_with("status") && !call.contains("401")), "{calls:?}");
}

#[tokio::test]
async fn a_forge_that_wants_rest_has_it() {
    let told = Told::new().await;
    let again = cofferdam_domain::Timestamp(now().0 + 60_000);
    told.forge.fail(move |_| {
        Some(TalkError::ForNow { forge: "hub".into(), reason: "429".into(), again: Some(again) })
    });
    let Failed::ForNow { rest: Some(rest), .. } = told.tell(NoticeKind::Accepted).await.unwrap_err() else {
        panic!("it is not over")
    };
    assert!(rest > Duration::from_secs(50) && rest <= Duration::from_secs(60), "{rest:?}");
    assert_eq!(told.forge.calls().len(), 1, "nothing else is asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_the_outbox_one_comment_comes_of_many_letters() {
    let told = Told::new().await;
    // Whatever is asked fails for now the first time.
    let asked = Mutex::new(HashSet::new());
    told.forge.fail(move |call| {
        let first = asked.lock().unwrap().insert(call.to_owned());
        first.then(|| TalkError::ForNow { forge: "hub".into(), reason: "500".into(), again: None })
    });
    told.happens(delivers(told.session)).await;
    told.happens(vec![reviewed(&[31])]).await;
    told.happens(answers(told.session, vec![reply(31, true, "Done.")])).await;
    let (stop, stopped) = watch::channel(false);
    let teller =
        Teller::new(told.store.clone(), vec![told.route.clone()], Some("https://c.example".into()), PATIENCE);
    let telling = tokio::spawn(teller.run(stopped));
    let all_told = async {
        loop {
            let letters = told.store.letters(Owner::LOCAL.org, None, 100).await.unwrap();
            if letters.len() == 4 && letters.iter().all(|letter| letter.told) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all_told).await.unwrap();
    stop.send_replace(true);
    telling.await.unwrap();
    let calls = told.forge.calls();
    let anew: Vec<&String> = calls.iter().filter(|call| call.ends_with("anew")).collect();
    // One for each of the comments and one for the answer, beside those that failed.
    assert_eq!(anew.len(), 3, "{calls:?}");
    assert!(told.forge.text("task").starts_with("**Ready to review:**"), "{}", told.forge.text("task"));
}

/// The second line is new, the third is as it was, others are not shown.
const PATCH: &[u8] = b"diff --git a/src/a.rs b/src/a.rs\n--- a/src/a.rs\n+++ b/src/a.rs\n@@ -1,2 +1,3 @@\n one\n+two\n three\n";

#[tokio::test]
async fn a_review_has_facts_first_and_remarks_where_the_change_shows_the_line() {
    let told = Told::of(chronicle::to_review(PULL, COMMITS[0])).await;
    let patch = told.store.put_blob(PATCH).await.unwrap();
    told.tell(NoticeKind::Accepted).await.unwrap();
    told.happens(chronicle::reviews(COMMITS[0], patch, &[2, 3, 40])).await;
    let calls = told.tell(NoticeKind::Ended).await.unwrap();
    let review = r#"review 13 review-1 anew ["src/a.rs:2 (None)", "src/a.rs:3 (Some(2))"]"#;
    assert_eq!(calls, ["say below pull request #13 task changed", review]);
    let text = told.forge.text("review-1");
    let (facts, words) = text.split_once("The agent says:").unwrap();
    assert!(
        facts.starts_with("**")
            && facts.contains("`cargo test` passes")
            && facts.contains("`cargo test` fails with 1"),
        "{text}"
    );
    assert!(facts.contains("1 finding") && facts.contains("neither approves nor rejects"), "{text}");
    assert!(
        words.contains("src/a.rs:40") && !words.contains(" @lead") && !text.contains("Closes #3"),
        "{text}"
    );
    assert!(!told.forge.text("task").contains("It rounds"), "it stands in the review");
    // Told again, nothing is said again.
    let again = told.tell(NoticeKind::Ended).await.unwrap();
    assert_eq!(again, ["say below pull request #13 task the same", &review.replace("anew", "again")]);
}

#[tokio::test]
async fn what_a_forge_takes_on_no_line_stands_in_the_review() {
    let told = Told::of(chronicle::to_review(PULL, COMMITS[0])).await;
    let patch = told.store.put_blob(PATCH).await.unwrap();
    told.happens(chronicle::reviews(COMMITS[0], patch, &[2])).await;
    let refused = |reason: &str| TalkError::Refused {
        forge: "hub".into(),
        what: "a review".into(),
        reason: reason.into(),
    };
    told.forge.fail(move |call| call.contains("src/a.rs").then(|| refused("no such line")));
    told.tell(NoticeKind::Ended).await.unwrap();
    assert!(told.forge.text("review-1").contains("About `src/a.rs:2`"), "{}", told.forge.text("review-1"));
}

#[tokio::test]
async fn one_that_did_not_come_to_its_end_is_not_posted() {
    let told = Told::of(chronicle::to_review(PULL, COMMITS[0])).await;
    let patch = told.store.put_blob(PATCH).await.unwrap();
    let mut events = chronicle::reviews(COMMITS[0], patch, &[2]);
    events.pop();
    events.extend(ended(Outcome::Failed { reason: "It could not be read.".into() }));
    told.happens(events).await;
    let calls = told.tell(NoticeKind::Failed).await.unwrap();
    assert!(!calls.iter().any(|call| call.starts_with("review")), "{calls:?}");
}
