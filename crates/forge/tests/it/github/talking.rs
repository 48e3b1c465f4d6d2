//! Talking: everything of it, as an app and as an account.

use std::slice;

use cofferdam_domain::Subject;
use cofferdam_forge::{
    hook::{Account, AccountKind, PullState},
    remote::{
        Annotation, CommitStatus, PullWanted, Reacted, Reaction, Remarked, Right, StatusState, TalkError,
    },
};
use cofferdam_testkit::GitHub;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use super::{As, Scene, branch_name, mark};

/// Both ways to be there.
const WAYS: [As; 2] = [As::App, As::Account];

#[tokio::test]
async fn somebody_is_known_by_number() {
    for way in WAYS {
        let Some(scene) = Scene::new(way).await else { return };
        let me = scene.talk.me().await.unwrap();
        let expected = match way {
            As::App => (GitHub::app_login(), AccountKind::Bot),
            As::Account => (GitHub::ACCOUNT.0.to_owned(), AccountKind::Person),
        };
        assert_eq!((me.login, me.kind), expected);
        let found = scene.talk.repository(GitHub::REPOSITORY).await.unwrap();
        assert_eq!((found.id, found.path.as_str()), (scene.at.id, GitHub::REPOSITORY));
        assert_eq!(found.default_branch.as_deref(), Some("main"));

        let user = async |login: &str| {
            let found =
                super::owner(&scene.github, Method::GET, &format!("/users/{login}"), Value::Null).await;
            let id = found["id"].as_u64().unwrap();
            Account { id, login: login.to_owned(), kind: AccountKind::Person }
        };
        let (owner, outsider) = (user(GitHub::OWNER.0).await, user(GitHub::OUTSIDER.0).await);
        let right = async |account: &Account| scene.talk.right_of(&scene.at, account).await.unwrap();
        assert_eq!((right(&owner).await, right(&outsider).await), (Right::Admin, Right::None));
        for (role, expected) in [
            ("pull", Right::Read),
            ("triage", Right::Triage),
            ("push", Right::Write),
            ("maintain", Right::Write),
        ] {
            let path = format!("/collaborators/{}", outsider.login);
            scene.owner(Method::PUT, &path, json!({ "permission": role })).await;
            assert_eq!(right(&outsider).await, expected, "{role}");
        }
        // Whoever has the owner's name is not the owner, and whoever was renamed is still themselves.
        let thief = Account { login: owner.login.clone(), ..outsider.clone() };
        assert_eq!(right(&thief).await, Right::Write);
        let stranger = Account { id: 999_999, login: owner.login.clone(), kind: AccountKind::Person };
        assert_eq!(right(&stranger).await, Right::None);
        let nameless = Account { login: String::new(), ..owner };
        assert_eq!(right(&nameless).await, Right::Admin);
    }
}

#[tokio::test]
async fn one_comment_is_kept_up_to_date() {
    for way in WAYS {
        let Some(scene) = Scene::new(way).await else { return };
        let number = scene.issue().await;
        let issue = scene.talk.issue(&scene.at, number).await.unwrap();
        assert_eq!((issue.title.as_str(), issue.body.as_str()), ("The door squeaks", "Always."));
        assert_eq!(
            (issue.author.login.as_str(), issue.labels, issue.open),
            (GitHub::OWNER.0, vec!["bug".to_owned()], true)
        );

        let subject = Subject::Issue(number);
        // Somebody who copies the mark gets nothing by it.
        let forged = json!({ "body": mark("task").below("I am the platform.") });
        let forged = scene.outsider(Method::POST, &format!("/issues/{number}/comments"), forged).await;
        let said = scene.talk.say(&scene.at, subject, &mark("task"), "At work.").await.unwrap();
        assert_ne!(forged["id"], said);
        for talk in [&scene.talk, &super::talk(&scene.github, way)] {
            let again = talk.say(&scene.at, subject, &mark("task"), "Done.").await.unwrap();
            assert_eq!(again, said);
        }
        let other = scene.talk.say(&scene.at, subject, &mark("reply-1"), "Another.").await.unwrap();
        let comments = scene.talk.comments(&scene.at, subject, None, 100).await.unwrap();
        let bodies: Vec<_> = comments.iter().map(|comment| (comment.id, comment.body.as_str())).collect();
        let (done, another) = (mark("task").below("Done."), mark("reply-1").below("Another."));
        assert_eq!(bodies[1..], [(said, done.as_str()), (other, another.as_str())]);
        assert_eq!(comments[1].author, scene.talk.me().await.unwrap());
        assert!(comments[0].body.contains("I am the platform."));
        assert_eq!(scene.talk.comments(&scene.at, subject, None, 2).await.unwrap(), comments[1..]);

        // What was deleted is said again.
        scene.owner(Method::DELETE, &format!("/issues/comments/{said}"), Value::Null).await;
        let anew = scene.talk.say(&scene.at, subject, &mark("task"), "Done.").await.unwrap();
        assert_ne!(anew, said);

        let to = [Reacted::Subject(subject), Reacted::Comment(subject, anew)];
        for to in to.iter().chain(&to) {
            scene.talk.react(&scene.at, *to, Reaction::Eyes).await.unwrap();
        }
        let place = format!("/repos/{}/issues", scene.at.path);
        for path in [format!("{place}/{number}/reactions"), format!("{place}/comments/{anew}/reactions")] {
            let me = scene.talk.me().await.unwrap().login;
            assert_eq!(scene.github.reactions(&path), [(me, "eyes".to_owned())], "{path}");
        }
    }
}

#[tokio::test]
async fn many_comments_come_in_pages() {
    let Some(scene) = Scene::new(As::App).await else { return };
    let number = scene.issue().await;
    for count in 0..230 {
        let body = json!({ "body": format!("Comment {count}") });
        scene.outsider(Method::POST, &format!("/issues/{number}/comments"), body).await;
    }
    let subject = Subject::Issue(number);
    let said = scene.talk.say(&scene.at, subject, &mark("task"), "At work.").await.unwrap();
    let again = super::talk(&scene.github, As::App).say(&scene.at, subject, &mark("task"), "Done.").await;
    assert_eq!(again.unwrap(), said);
    let all = scene.talk.comments(&scene.at, subject, None, 1000).await.unwrap();
    assert_eq!(all.len(), 231);
    let (first, last) = (all.first().unwrap(), all.last().unwrap());
    assert_eq!((first.body.as_str(), last.id), ("Comment 0", said));
    for most in [0, 1, 31, 50, 131, 150, 230] {
        let latest = scene.talk.comments(&scene.at, subject, None, most).await.unwrap();
        assert_eq!(latest, all[231 - most..], "{most}");
    }
}

fn wanted(title: &str) -> PullWanted {
    PullWanted {
        branch: branch_name(),
        base: "main".into(),
        title: title.into(),
        body: "Oil in the hinge.".into(),
        draft: true,
    }
}

#[tokio::test]
async fn a_pull_request_is_opened_once_and_merged_at_one_commit() {
    for way in WAYS {
        let Some(scene) = Scene::new(way).await else { return };
        let (talk, at) = (&scene.talk, &scene.at);
        let commit = scene.branch(&branch_name()).await;
        scene.branch("theirs").await;
        assert_eq!(talk.find_pull(at, &branch_name()).await.unwrap(), None);
        let opened = talk.open_pull(at, &wanted("Oil the door")).await.unwrap();
        assert_eq!(
            (opened.branch.as_str(), opened.commit.as_str()),
            (branch_name().as_str(), commit.as_str())
        );
        assert!(opened.draft && opened.head_repository == Some(at.id));
        assert_eq!(opened.author, talk.me().await.unwrap());
        assert!(matches!(talk.issue(at, opened.number).await, Err(TalkError::Missing { .. })));

        let again = talk.open_pull(at, &wanted("Oil all doors")).await.unwrap();
        assert_eq!((again.number, again.title.as_str()), (opened.number, "Oil all doors"));
        let found = talk.find_pull(at, &branch_name()).await.unwrap().unwrap();
        assert_eq!((found.number, found.title.as_str()), (opened.number, "Oil all doors"));

        // A draft stays one, and is not merged as long as it is.
        let refused = talk.merge_pull(at, opened.number, &commit).await.unwrap_err();
        assert!(matches!(refused, TalkError::Refused { .. }), "{refused}");
        let path = format!("/pulls/{}", opened.number);
        scene.owner(Method::PATCH, &path, json!({ "draft": false })).await;
        assert!(!talk.open_pull(at, &wanted("Oil the door")).await.unwrap().draft);
        let elsewhere = talk.merge_pull(at, opened.number, &"0".repeat(40)).await.unwrap_err();
        assert!(matches!(elsewhere, TalkError::Refused { .. }), "{elsewhere}");
        for _ in 0..2 {
            let merged = talk.merge_pull(at, opened.number, &commit).await.unwrap();
            assert_eq!(merged.state, PullState::Merged);
            assert!(merged.merged_as.is_some());
        }

        // What people have opened is not touched.
        let body = json!({ "title": "Theirs", "head": "theirs", "base": "main" });
        let theirs = scene.owner(Method::POST, "/pulls", body).await["number"].as_u64().unwrap();
        assert!(matches!(talk.close_pull(at, theirs).await, Err(TalkError::Refused { .. })));
        assert_eq!(talk.pull(at, theirs).await.unwrap().state, PullState::Open);

        // A new one of the same branch can be closed.
        let body = json!({ "message": "More", "content": "bW9yZQo=", "branch": branch_name() });
        scene.owner(Method::PUT, "/contents/more.txt", body).await;
        let second = talk.open_pull(at, &wanted("Oil more")).await.unwrap();
        assert_ne!(second.number, opened.number);
        for _ in 0..2 {
            assert_eq!(talk.close_pull(at, second.number).await.unwrap().state, PullState::Closed);
        }
        assert_eq!(talk.find_pull(at, &branch_name()).await.unwrap().unwrap().number, second.number);
    }
}

#[tokio::test]
async fn remarks_are_answered_one_by_one() {
    for way in WAYS {
        let Some(scene) = Scene::new(way).await else { return };
        let (talk, at) = (&scene.talk, &scene.at);
        let commit = scene.branch(&branch_name()).await;
        let pull = talk.open_pull(at, &wanted("Oil the door")).await.unwrap().number;
        let remark = async |text: &str, line: u64| {
            let body = json!({ "body": text, "path": "oil.txt", "line": line, "commit_id": commit });
            scene.owner(Method::POST, &format!("/pulls/{pull}/comments"), body).await["id"].as_u64().unwrap()
        };
        let first = remark("Why oil?", 1).await;
        remark("And here?", 2).await;
        let reviewed = json!({
            "event": "REQUEST_CHANGES",
            "body": "Grease!",
            "comments": [{ "path": "oil.txt", "line": 1, "side": "RIGHT", "body": "Take grease." }],
        });
        let review = scene.owner(Method::POST, &format!("/pulls/{pull}/reviews"), reviewed).await;

        let all = talk.remarks(at, pull, 0).await.unwrap();
        let texts: Vec<_> = all.iter().map(|one| (one.comment.body.as_str(), one.place.line)).collect();
        assert_eq!(texts, [("Why oil?", Some(1)), ("And here?", Some(2)), ("Take grease.", Some(1))]);
        let of_review = talk.remarks(at, pull, review["id"].as_u64().unwrap()).await.unwrap();
        assert_eq!(of_review, slice::from_ref(&all[2]));

        let place = Remarked { comment: first, discussion: all[0].place.discussion.clone() };
        for text in ["Because it squeaks.", "Fixed in abc."] {
            talk.answer(at, pull, &place, &mark("reply-1"), text).await.unwrap();
        }
        let answers: Vec<_> = talk.remarks(at, pull, 0).await.unwrap().split_off(3);
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].comment.body, mark("reply-1").below("Fixed in abc."));
        assert_eq!(answers[0].place.discussion, place.discussion);
        assert_eq!(answers[0].comment.author, talk.me().await.unwrap());

        for _ in 0..2 {
            assert!(talk.resolve(at, pull, &place).await.unwrap());
        }
        assert_eq!(scene.github.resolved(), [first]);
        talk.react(at, Reacted::Line(Subject::Pull(pull), first), Reaction::Done).await.unwrap();
        let path = format!("/repos/{}/pulls/comments/{first}/reactions", at.path);
        assert_eq!(scene.github.reactions(&path)[0].1, "rocket");
        let nowhere = Remarked { comment: 999_999, discussion: "999999".into() };
        assert!(matches!(talk.resolve(at, pull, &nowhere).await, Err(TalkError::Missing { .. })));
    }
}

#[tokio::test]
async fn a_commit_has_a_check_with_lines_or_a_status() {
    for way in WAYS {
        let Some(scene) = Scene::new(way).await else { return };
        let (talk, at) = (&scene.talk, &scene.at);
        let commit = scene.branch("work").await;
        let annotation =
            Annotation { path: "oil.txt".into(), line: 1, text: "Too much.".into(), failure: true };
        let status = |state, text: &str, annotations: &[Annotation]| CommitStatus {
            name: "cofferdam".into(),
            state,
            text: text.into(),
            link: Some("https://cofferdam.example/s/1".parse().unwrap()),
            annotations: annotations.to_vec(),
        };
        let pending = status(StatusState::Pending, "At work", &[]);
        let failed = status(StatusState::Failure, "1 finding", slice::from_ref(&annotation));
        for said in [&pending, &pending, &failed, &failed] {
            talk.status(at, &commit, said).await.unwrap();
        }
        match way {
            As::App => {
                let path = format!("/commits/{commit}/check-runs?filter=all");
                let runs = scene.owner(Method::GET, &path, Value::Null).await["check_runs"]
                    .as_array()
                    .unwrap()
                    .clone();
                assert_eq!(runs.len(), 1, "{runs:?}");
                assert_eq!(
                    (&runs[0]["conclusion"], &runs[0]["output"]["title"]),
                    (&json!("failure"), &json!("1 finding"))
                );
                let path = format!("/check-runs/{}/annotations", runs[0]["id"]);
                let lines = scene.owner(Method::GET, &path, Value::Null).await;
                assert_eq!(lines.as_array().unwrap().len(), 1);
                assert_eq!(
                    (&lines[0]["path"], &lines[0]["message"]),
                    (&json!("oil.txt"), &json!("Too much."))
                );
            }
            As::Account => {
                let path = format!("/commits/{commit}/statuses");
                let statuses = scene.owner(Method::GET, &path, Value::Null).await;
                let states: Vec<_> = statuses.as_array().unwrap().iter().map(|one| &one["state"]).collect();
                assert_eq!(states, ["failure", "pending"]);
            }
        }
        let posted = |exchange: &&cofferdam_testkit::Exchange| {
            exchange.method != "GET"
                && (exchange.path.contains("/check-runs") || exchange.path.contains("/statuses/"))
        };
        assert_eq!(
            scene.github.exchanges().iter().filter(posted).count(),
            2,
            "what was said is not said again"
        );
    }
}

#[tokio::test]
async fn many_annotations_are_made_in_parts_and_none_twice() {
    let Some(scene) = Scene::new(As::App).await else { return };
    let (talk, at) = (&scene.talk, &scene.at);
    let commit = scene.branch("work").await;
    let one = |line| Annotation { path: "oil.txt".into(), line, text: "Too much.".into(), failure: false };
    let status = CommitStatus {
        name: "cofferdam".into(),
        state: StatusState::Failure,
        text: "120 findings".into(),
        link: None,
        annotations: (1..=120).map(one).collect(),
    };
    // It is cut short after the first part.
    scene.github.inject("PATCH /repos/", StatusCode::BAD_GATEWAY, HeaderMap::new(), &Value::Null);
    let cut = talk.status(at, &commit, &status).await;
    assert!(matches!(cut, Err(TalkError::ForNow { .. })), "{cut:?}");
    talk.status(at, &commit, &status).await.unwrap();
    let sent = scene
        .github
        .exchanges()
        .into_iter()
        .filter(|one| one.method != "GET" && one.path.contains("/check-runs"));
    let lines: Vec<_> = sent
        .filter(|one| one.status < 300)
        .map(|one| {
            let body: Value = serde_json::from_slice(&one.body).unwrap();
            let all = body["output"]["annotations"].as_array().unwrap();
            (all[0]["start_line"].as_u64().unwrap(), all.len())
        })
        .collect();
    assert_eq!(lines, [(1, 50), (51, 50), (101, 20)]);
}

#[tokio::test]
async fn the_end_of_a_log_comes_from_another_host_without_the_credential() {
    let Some(scene) = Scene::new(As::App).await else { return };
    let (talk, at) = (&scene.talk, &scene.at);
    let commit = scene.branch("work").await;
    assert_eq!(talk.check_log(at, &commit, "test", 100).await.unwrap(), None);
    let check = json!({
        "name": "test",
        "head_sha": commit,
        "status": "completed",
        "conclusion": "failure",
        "output": {
            "title": "Failed",
            "summary": "1 of 9",
            "annotations": [{
                "path": "a.rs",
                "start_line": 7,
                "end_line": 7,
                "annotation_level": "failure",
                "message": "boom",
            }],
        },
    });
    let job = scene.owner(Method::POST, "/check-runs", check.clone()).await["id"].as_u64().unwrap();
    let log = format!("{}äöü\n", "x".repeat(3_000_000));
    scene.github.keep_log(job, &log);
    let end = talk.check_log(at, &commit, "test", 100).await.unwrap().unwrap();
    assert!(end.len() <= 100 && end.ends_with("xäöü\n") && log.ends_with(&end));
    let asked = scene.github.log_requests();
    assert_eq!(asked.len(), 1);
    assert!(!asked[0].contains_key("authorization"));
}

#[tokio::test]
async fn git_may_push_to_one_repository_and_nothing_else() {
    let Some(scene) = Scene::new(As::App).await else { return };
    let one = scene.talk.git_credential(&scene.at).await.unwrap();
    let other = scene.talk.git_credential(&scene.at).await.unwrap();
    assert_eq!(one.user, "x-access-token");
    assert_ne!(one.password, other.password, "what is not accepted is not given again");
    let made = scene.github.exchanges().into_iter().filter(|one| one.path.ends_with("/access_tokens"));
    let bodies: Vec<Value> = made.map(|one| serde_json::from_slice(&one.body).unwrap()).collect();
    let narrow = json!({
        "repository_ids": [scene.at.id],
        "permissions": { "contents": "write", "metadata": "read" },
    });
    assert_eq!(bodies, [narrow.clone(), narrow]);
}

#[tokio::test]
async fn a_repository_tells_how_it_is_set_up() {
    for way in WAYS {
        let Some(scene) = Scene::new(way).await else { return };
        let path = format!("/collaborators/{}", GitHub::ACCOUNT.0);
        scene.owner(Method::PUT, &path, json!({ "permission": "admin" })).await;
        let body = json!({ "message": "Test", "content": "b246IHB1c2gK", "branch": "main" });
        scene.owner(Method::PUT, "/contents/.github/workflows/test.yml", body).await;
        let hook =
            json!({ "config": { "url": "https://cofferdam.example/hooks/hub" }, "events": ["issues"] });
        scene.owner(Method::POST, "/hooks", hook).await;
        let setup = scene.talk.setup(&scene.at, "main").await.unwrap();
        assert_eq!(setup.protected, Some(false));
        let workflows = [(".github/workflows/test.yml".to_owned(), "on: push\n".to_owned())];
        assert_eq!(setup.workflows.as_deref(), Some(&workflows[..]));
        match way {
            As::App => assert!(setup.scopes.unwrap().contains(&"contents: write".to_owned())),
            As::Account => {
                let hooks = setup.hooks.unwrap();
                assert_eq!(hooks.len(), 1);
                assert_eq!(
                    (hooks[0].url.as_str(), hooks[0].active),
                    ("https://cofferdam.example/hooks/hub", true)
                );
            }
        }
    }
}
