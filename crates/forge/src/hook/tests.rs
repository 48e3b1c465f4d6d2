//! Proofs and readings of deliveries. Payloads of GitHub's own making are read in `tests/it/deliveries.rs`.

use cofferdam_domain::{Secret, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    });
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, value);
    }
    headers
}

fn secrets(present: &str, earlier: &[&str]) -> HookSecrets {
    HookSecrets::new(Secret::new(present), earlier.iter().map(|secret| Secret::new(*secret)).collect())
        .unwrap()
}

/// The example of GitHub's documentation
/// (<https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation>).
const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

fn github(signature: &str) -> HeaderMap {
    headers(&[
        ("x-hub-signature-256", signature),
        ("content-type", "application/json"),
        ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("x-github-event", "issues"),
    ])
}

#[test]
fn a_delivery_is_proved_by_its_signature() {
    let secrets = secrets("new", &["It's a Secret to Everybody"]);
    let accept =
        |headers: &HeaderMap, body: &[u8]| Delivery::accept(ForgeKind::GitHub, &secrets, headers, body);
    let delivery = accept(&github(SIGNATURE), b"Hello, World!").unwrap();
    assert_eq!(delivery.id().as_str(), "72d3162e-cc78-11e3-81ab-4c9367dc0958");
    assert_eq!(delivery.event(), "issues");
    let forged = Err(Refused::Forged("x-hub-signature-256"));
    assert_eq!(accept(&github(SIGNATURE), b"Hello, World?"), forged);
    assert_eq!(accept(&github(&SIGNATURE[..70]), b"Hello, World!"), forged);
    assert_eq!(accept(&github("sha256="), b"Hello, World!"), forged);
    assert_eq!(accept(&github("sha1=757107ea0eb2509fc211221cce984b8a37570b6d"), b"Hello, World!"), forged);
    assert_eq!(accept(&github(""), b"Hello, World!"), Err(Refused::Unproved("x-hub-signature-256")));
    let mut twice = github(SIGNATURE);
    twice.append("x-hub-signature-256", HeaderValue::from_static(SIGNATURE));
    assert_eq!(accept(&twice, b"Hello, World!"), Err(Refused::Unproved("x-hub-signature-256")));
    let mut form = github(SIGNATURE);
    form.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
    assert_eq!(accept(&form, b"Hello, World!"), Err(Refused::NotJson));
    let mut nameless = github(SIGNATURE);
    nameless.insert("x-github-delivery", HeaderValue::from_str(&"x".repeat(129)).unwrap());
    let refused = accept(&nameless, b"Hello, World!");
    assert_eq!(refused, Err(Refused::Header("x-github-delivery", ForgeKind::GitHub)));
    assert_eq!(accept(&github(SIGNATURE), &vec![b' '; LARGEST_DELIVERY + 1]), Err(Refused::TooLarge));
}

#[test]
fn an_empty_secret_is_none() {
    assert!(HookSecrets::new(Secret::new(""), vec![]).is_none());
    assert!(HookSecrets::new(Secret::new("a"), vec![Secret::new("")]).is_none());
}

#[test]
fn gitlab_sends_its_token_and_gitea_bare_digits() {
    let secrets = secrets("It's a Secret to Everybody", &[]);
    let gitlab = |token: &str| {
        let headers = headers(&[
            ("x-gitlab-token", token),
            ("content-type", "application/json; charset=utf-8"),
            ("x-gitlab-event", "Issue Hook"),
            ("x-gitlab-event-uuid", "13792a34-cac6-4fda-95a8-c58e00a3954e"),
        ]);
        Delivery::accept(ForgeKind::GitLab, &secrets, &headers, b"{}")
    };
    assert!(gitlab("It's a Secret to Everybody").is_ok());
    assert_eq!(gitlab("It's a Secret"), Err(Refused::Forged("x-gitlab-token")));
    assert_eq!(gitlab(""), Err(Refused::Forged("x-gitlab-token")));
    let gitea = headers(&[
        ("x-gitea-signature", &SIGNATURE["sha256=".len()..]),
        ("content-type", "application/json"),
        ("x-gitea-event", "push"),
        ("x-gitea-delivery", "f6266f16-1bf3-46a5-9ea4-602e06ead473"),
    ]);
    assert!(Delivery::accept(ForgeKind::Gitea, &secrets, &gitea, b"Hello, World!").is_ok());
}

fn read(forge: ForgeKind, event: &str, body: &serde_json::Value) -> Occasion {
    Delivery::kept(forge, "1".into(), event.into()).read(body.to_string().as_bytes()).unwrap()
}

fn person(id: u64, login: &str) -> Account {
    Account { id, login: login.into(), kind: AccountKind::Person }
}

#[test]
fn gitlabs_issues_say_what_is_new() {
    let body = |changes: serde_json::Value| {
        json!({
            "object_kind": "issue",
            "user": { "id": 1, "username": "ann" },
            "project": {
                "id": 15, "path_with_namespace": "team/tool", "git_http_url": "https://forge.example/team/tool.git",
                "default_branch": "main", "visibility_level": 0
            },
            "object_attributes": {
                "iid": 23, "title": "It fails", "description": "Always.", "author_id": 2, "action": "update",
                "updated_at": "2026-11-22 09:36:07 UTC", "labels": [{ "title": "bug" }, { "title": "agent" }]
            },
            "changes": changes
        })
    };
    let labelled = body(json!({ "labels": {
        "previous": [{ "title": "bug" }], "current": [{ "title": "bug" }, { "title": "agent" }]
    } }));
    let occasion = read(ForgeKind::GitLab, "Issue Hook", &labelled);
    assert_eq!(occasion.actor, person(1, "ann"));
    let repository = occasion.repository.unwrap();
    assert_eq!((repository.id, repository.path.as_str(), repository.private), (15, "team/tool", true));
    let What::Issue(issue, change) = occasion.what else { panic!() };
    assert_eq!(change, IssueChange::Labelled(vec!["agent".into()]));
    assert_eq!(
        issue,
        Issue {
            number: 23,
            title: "It fails".into(),
            body: "Always.".into(),
            author: person(2, ""),
            labels: vec!["bug".into(), "agent".into()],
            open: true,
            updated: Some(Timestamp(1_795_340_167_000)),
        }
    );
    let assigned = body(
        json!({ "assignees": { "previous": [], "current": [{ "id": 9, "username": "project_15_bot_x" }] } }),
    );
    let What::Issue(_, IssueChange::Assigned(to)) = read(ForgeKind::GitLab, "Issue Hook", &assigned).what
    else {
        panic!()
    };
    assert_eq!(to, [Account { id: 9, login: "project_15_bot_x".into(), kind: AccountKind::Bot }]);
    for (changes, change) in [
        (json!({ "description": { "previous": "a", "current": "b" } }), IssueChange::Edited),
        (json!({ "labels": { "previous": [{ "title": "bug" }], "current": [] } }), IssueChange::Other),
        (json!({}), IssueChange::Other),
    ] {
        let What::Issue(_, found) = read(ForgeKind::GitLab, "Issue Hook", &body(changes)).what else {
            panic!()
        };
        assert_eq!(found, change);
    }
}

#[test]
fn gitlabs_notes_are_comments_but_not_its_own() {
    let body = |system: bool| {
        json!({
            "object_kind": "note",
            "user": { "id": 1, "username": "ann" },
            "object_attributes": {
                "id": 1244, "note": "Rename this.", "noteable_type": "MergeRequest", "author_id": 1, "system": system,
                "action": "create", "updated_at": "2026-11-22T09:36:07.123Z", "discussion_id": "6a9c1750",
                "position": { "new_path": "src/lib.rs", "old_path": "src/lib.rs", "new_line": 7, "head_sha": "ab12" }
            },
            "merge_request": { "iid": 5 }
        })
    };
    let What::Comment(thread, comment, change) = read(ForgeKind::GitLab, "Note Hook", &body(false)).what
    else {
        panic!()
    };
    let line = LinePlace {
        path: "src/lib.rs".into(),
        line: Some(7),
        commit: "ab12".into(),
        discussion: "6a9c1750".into(),
    };
    assert_eq!(thread, Thread::Pull { number: 5, line: Some(line) });
    assert_eq!((comment.body.as_str(), change), ("Rename this.", CommentChange::Written));
    assert_eq!(comment.updated, Some(Timestamp(1_795_340_167_123)));
    assert_eq!(read(ForgeKind::GitLab, "Note Hook", &body(true)).what, What::Other);
}

#[test]
fn gitlabs_merge_requests_and_pipelines() {
    let request = |attributes: serde_json::Value| {
        let mut whole = json!({
            "iid": 5, "title": "Mend it", "source_branch": "cofferdam/x", "target_branch": "main", "source_project_id": 15,
            "last_commit": { "id": "ab12" }, "state": "opened"
        });
        whole.as_object_mut().unwrap().extend(attributes.as_object().unwrap().clone());
        let body = json!({ "object_kind": "merge_request", "user": { "id": 1, "username": "ann" }, "object_attributes": whole });
        read(ForgeKind::GitLab, "Merge Request Hook", &body).what
    };
    let What::Pull(pull, PullChange::Closed) = request(json!({ "action": "merge", "state": "merged" }))
    else {
        panic!()
    };
    assert_eq!((pull.number, pull.state, pull.commit.as_str()), (5, PullState::Merged, "ab12"));
    let pushed = request(json!({ "action": "update", "oldrev": "cd34" }));
    assert!(matches!(pushed, What::Pull(_, PullChange::Pushed { before: Some(before) }) if before == "cd34"));
    let approved = request(json!({ "action": "approved" }));
    assert!(matches!(approved, What::Review(_, Review { end: ReviewEnd::Approved, .. })));

    let pipeline = |status: &str| {
        let attributes = json!({ "id": 31, "ref": "cofferdam/x", "sha": "ab12", "status": status });
        let body = json!({ "object_kind": "pipeline", "user": { "id": 1, "username": "ann" }, "object_attributes": attributes });
        read(ForgeKind::GitLab, "Pipeline Hook", &body).what
    };
    assert!(matches!(pipeline("failed"), What::Check(Check { end: CheckEnd::Failed, id: 31, .. })));
    assert_eq!(pipeline("running"), What::Other);
}

#[test]
fn giteas_own_words() {
    let issue = json!({
        "number": 3, "title": "It fails", "body": "Always.", "user": { "id": 2, "login": "bob" },
        "labels": [{ "name": "bug" }, { "name": "agent" }], "assignees": [{ "id": 9, "login": "robot" }],
        "updated_at": "2026-11-22T10:36:07+01:00", "pull_request": null
    });
    let of = |action: &str, more: serde_json::Value| {
        let mut body = json!({
            "action": action, "number": 3, "issue": issue,
            "repository": { "id": 7, "full_name": "team/tool", "clone_url": "https://forge.example/team/tool.git", "private": true },
            "sender": { "id": 1, "login": "ann" }
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let change = |body: &serde_json::Value| {
        let What::Issue(issue, change) = read(ForgeKind::Gitea, "issues", body).what else { panic!() };
        assert_eq!((issue.number, issue.updated), (3, Some(Timestamp(1_795_340_167_000))));
        change
    };
    let all = IssueChange::Labelled(vec!["bug".into(), "agent".into()]);
    assert_eq!(change(&of("label_updated", json!({}))), all);
    let one = of("label_updated", json!({ "changes": { "added_labels": [{ "name": "agent" }] } }));
    assert_eq!(change(&one), IssueChange::Labelled(vec!["agent".into()]));
    assert_eq!(change(&of("assigned", json!({}))), IssueChange::Assigned(vec![person(9, "robot")]));
    let comment = json!({ "comment": { "id": 11, "body": "Go on.", "user": { "id": 1, "login": "ann" } }, "is_pull": true });
    let What::Comment(thread, ..) = read(ForgeKind::Gitea, "issue_comment", &of("created", comment)).what
    else {
        panic!()
    };
    assert_eq!(thread, Thread::Pull { number: 3, line: None });

    let pull = json!({
        "action": "reviewed", "sender": { "id": 1, "login": "ann" }, "review": { "type": "x", "content": "Rename it." },
        "pull_request": {
            "number": 4, "title": "Mend it", "user": { "id": 9, "login": "robot" }, "state": "open", "merged": false,
            "head": { "ref": "cofferdam/x", "sha": "ab12", "repo": { "id": 7 } }, "base": { "ref": "main", "sha": "cd34", "repo": null }
        }
    });
    let What::Review(pull, review) = read(ForgeKind::Gitea, "pull_request_review_rejected", &pull).what
    else {
        panic!()
    };
    assert_eq!((pull.branch.as_str(), pull.head_repository), ("cofferdam/x", Some(7)));
    assert_eq!((review.end, review.body.as_str()), (ReviewEnd::ChangesWanted, "Rename it."));
}

#[test]
fn what_is_malformed_is_said() {
    let delivery = Delivery::kept(ForgeKind::GitHub, "1".into(), "issues".into());
    let refused = delivery.read(br#"{ "action": "opened", "issue": { "number": "one" } }"#).unwrap_err();
    let said = refused.to_string();
    assert!(
        said.starts_with("the delivery is not what GitHub sends for `issues`: invalid type: string"),
        "{said}"
    );
    let unknown = Delivery::kept(ForgeKind::GitHub, "1".into(), "sponsorship".into());
    assert_eq!(unknown.read(b"{}").unwrap().what, What::Other);
}

proptest! {
    #[test]
    fn anything_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..300), event in "[a-z_]{0,20}") {
        for forge in [ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea] {
            drop(Delivery::kept(forge, "1".into(), event.clone()).read(&body));
        }
    }
}
