//! What others make of what is asked of GitHub: its own published description, its GraphQL schema, PyJWT and PyGithub.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use cofferdam_domain::{Subject, Timestamp};
use cofferdam_forge::remote::{
    Annotation, CommitStatus, PullWanted, Reacted, Reaction, Remarked, StatusState, make_app,
};
use cofferdam_testkit::{GitHub, kept, kept_node, kept_python};
use http::Method;
use serde_json::{Value, json};

use super::{As, Scene, branch_name, mark};

/// GitHub's description of its REST API, and its GraphQL schema (npm, MIT).
const DESCRIPTION: &str = "@octokit/openapi@23.0.2";
const SCHEMA: &str = "@octokit/graphql-schema@15.26.1";
/// Checks documents against OpenAPI schemas; another client of GitHub's, which brings PyJWT with it.
const PYTHON: [&str; 2] = ["openapi-schema-validator==0.9.0", "pygithub==2.10.0"];

fn description() -> Option<PathBuf> {
    let name = "package/generated/api.github.com.json";
    let place = kept("octokit-openapi-23.0.2", |folder| {
        let run = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).current_dir(folder).output().ok()?;
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        };
        let packed = run("npm", &["pack", "--silent", DESCRIPTION]);
        packed.is_some_and(|archive| {
            let taken = run("tar", &["-xzf", archive.trim(), name]).is_some();
            fs::remove_file(folder.join(archive.trim())).unwrap();
            taken
        })
    })?;
    Some(place.join(name))
}

/// Runs a script in Python with something on its standard input, and gives back what it prints as JSON.
fn python(folder: &Path, script: &str, argument: &Path, said: &Value) -> Value {
    let mut child = Command::new("python3")
        .args(["-c", script])
        .arg(argument)
        .env("PYTHONPATH", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(said.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Asks for everything that there is to ask for. Gives back the issue's and the pull request's number, and the commit.
async fn everything(scene: &Scene) -> (u64, u64, String) {
    let (talk, at) = (&scene.talk, &scene.at);
    let owner = talk.repository(&at.path).await.unwrap();
    assert_eq!(owner.id, at.id);
    let number = scene.issue().await;
    let issue = talk.issue(at, number).await.unwrap();
    let mut author = issue.author.clone();
    talk.right_of(at, &author).await.unwrap();
    author.login = "renamed".into();
    talk.right_of(at, &author).await.unwrap();
    let path = format!("/collaborators/{}", GitHub::OUTSIDER.0);
    scene.owner(Method::PUT, &path, json!({ "permission": "pull" })).await;
    let written = json!({ "body": "me too" });
    let outsiders = scene.outsider(Method::POST, &format!("/issues/{number}/comments"), written).await;
    let outsider = super::owner(&scene.github, Method::GET, "/users/outsider", Value::Null).await;
    author.id = outsider["id"].as_u64().unwrap();
    author.login = GitHub::OUTSIDER.0.into();
    talk.right_of(at, &author).await.unwrap();

    let subject = Subject::Issue(number);
    talk.comments(at, subject, Some(Timestamp(1_000)), 10).await.unwrap();
    for text in ["At work.", "Done: <b>ß</b> \u{1f980}"] {
        talk.say(at, subject, &mark("task"), text).await.unwrap();
    }
    talk.react(at, Reacted::Subject(subject), Reaction::Eyes).await.unwrap();
    talk.react(at, Reacted::Comment(subject, outsiders["id"].as_u64().unwrap()), Reaction::Confused)
        .await
        .unwrap();

    let commit = scene.branch(&branch_name()).await;
    let wanted = |title: &str| PullWanted {
        branch: branch_name(),
        base: "main".into(),
        title: title.into(),
        body: "Oil in the hinge.".into(),
        draft: true,
    };
    let pull = talk.open_pull(at, &wanted("Oil")).await.unwrap().number;
    talk.open_pull(at, &wanted("Oil the door")).await.unwrap();
    let remark = json!({ "body": "Why?", "path": "oil.txt", "line": 1, "commit_id": commit });
    scene.owner(Method::POST, &format!("/pulls/{pull}/comments"), remark).await;
    let remark = talk.remarks(at, pull, 0).await.unwrap().remove(0);
    let place = Remarked { comment: remark.comment.id, discussion: remark.place.discussion };
    for text in ["Because.", "Because it squeaks."] {
        talk.answer(at, pull, &place, &mark("reply-1"), text).await.unwrap();
    }
    talk.resolve(at, pull, &place).await.unwrap();
    talk.react(at, Reacted::Line(Subject::Pull(pull), place.comment), Reaction::Done).await.unwrap();

    let annotations: Vec<_> = (1..=60)
        .map(|line| Annotation {
            path: "oil.txt".into(),
            line,
            text: format!("Line {line}"),
            failure: line == 1,
        })
        .collect();
    for (state, annotations) in [
        (StatusState::Pending, Vec::new()),
        (StatusState::Failure, annotations),
        (StatusState::Success, Vec::new()),
    ] {
        let link = Some("https://cofferdam.example/s/1".parse().unwrap());
        let status =
            CommitStatus { name: "cofferdam".into(), state, text: "x".repeat(200), link, annotations };
        talk.status(at, &commit, &status).await.unwrap();
    }
    let check = json!({ "name": "test", "head_sha": commit, "status": "completed", "conclusion": "failure", "output": { "title": "Failed", "summary": "1 of 9" } });
    let job = scene.owner(Method::POST, "/check-runs", check.clone()).await["id"].as_u64().unwrap();
    scene.github.keep_log(job, "boom");
    assert_eq!(talk.check_log(at, &commit, "test", 100).await.unwrap().as_deref(), Some("boom"));
    assert_eq!(talk.check_log(at, &commit, "none", 100).await.unwrap(), None);
    let workflow = json!({ "message": "Test", "content": "b246IHB1c2gK", "branch": "main" });
    scene.owner(Method::PUT, "/contents/.github/workflows/test.yml", workflow).await;
    talk.setup(at, "main").await.unwrap();
    talk.git_credential(at).await.unwrap();
    talk.me().await.unwrap();
    talk.repositories(10).await.unwrap();
    talk.news(at, Timestamp(1_000), &[pull]).await.unwrap();
    (number, pull, commit)
}

/// What follows for the pull request.
async fn the_end(scene: &Scene, pull: u64, commit: &str) {
    scene.owner(Method::PATCH, &format!("/pulls/{pull}"), json!({ "draft": false })).await;
    scene.talk.merge_pull(&scene.at, pull, commit).await.unwrap();
    let body = json!({ "message": "More", "content": "bW9yZQo=", "branch": branch_name() });
    scene.owner(Method::PUT, "/contents/more.txt", body).await;
    let wanted = PullWanted {
        branch: branch_name(),
        base: "main".into(),
        title: "More".into(),
        body: String::new(),
        draft: false,
    };
    let second = scene.talk.open_pull(&scene.at, &wanted).await.unwrap();
    scene.talk.close_pull(&scene.at, second.number).await.unwrap();
}

#[tokio::test]
async fn every_request_is_as_github_describes_it() {
    let (Some(description), Some(packages)) = (description(), kept_python(&PYTHON)) else {
        eprintln!(
            "SKIPPED: {DESCRIPTION} from npm or {PYTHON:?} from the Python package index cannot be had"
        );
        return;
    };
    for (way, known) in [(As::App, APP), (As::Account, ACCOUNT)] {
        let Some(scene) = Scene::new(way).await else { return };
        let (_, pull, commit) = everything(&scene).await;
        the_end(&scene, pull, &commit).await;
        if matches!(way, As::App) {
            let code = scene.github.agree(json!({ "name": "Cofferdam" }));
            make_app(scene.github.url(), true, &code).await.unwrap();
        }
        let rest = scene.github.exchanges().into_iter().filter(|one| one.path != "/graphql");
        let asked: Vec<_> = rest
            .map(|one| {
                let names = one.headers.keys().map(|name| name.as_str());
                json!({
                    "method": one.method.to_lowercase(),
                    "path": one.path,
                    "headers": names.collect::<Vec<_>>(),
                    "body": serde_json::from_slice::<Value>(&one.body).ok(),
                })
            })
            .collect();
        let found = python(&packages, include_str!("described.py"), &description, &json!(asked));
        assert_eq!(found["faults"], json!([]));
        let operations: Vec<_> =
            found["operations"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
        assert_eq!(operations, known);
    }
}

/// All that an app asks for, by GitHub's names.
const APP: &[&str] = &[
    "actions/download-job-logs-for-workflow-run",
    "apps/create-from-manifest",
    "apps/create-installation-access-token",
    "apps/get-authenticated",
    "apps/get-repo-installation",
    "apps/get-webhook-config-for-app",
    "apps/list-installations",
    "apps/list-repos-accessible-to-installation",
    "checks/create",
    "checks/list-for-ref",
    "checks/update",
    "issues/create-comment",
    "issues/get",
    "issues/list-comments",
    "issues/list-events",
    "issues/list-for-repo",
    "issues/update-comment",
    "pulls/create",
    "pulls/create-reply-for-review-comment",
    "pulls/get",
    "pulls/get-review-comment",
    "pulls/list",
    "pulls/list-review-comments",
    "pulls/list-reviews",
    "pulls/merge",
    "pulls/update",
    "pulls/update-review-comment",
    "reactions/create-for-issue",
    "reactions/create-for-issue-comment",
    "reactions/create-for-pull-request-review-comment",
    "repos/check-collaborator",
    "repos/get",
    "repos/get-branch",
    "repos/get-branch-rules",
    "repos/get-collaborator-permission-level",
    "repos/get-content",
    "repos/list-commit-statuses-for-ref",
    "users/get-by-id",
    "users/get-by-username",
];
/// All that an account asks for.
const ACCOUNT: &[&str] = &[
    "actions/download-job-logs-for-workflow-run",
    "checks/list-for-ref",
    "issues/create-comment",
    "issues/get",
    "issues/list-comments",
    "issues/list-events",
    "issues/list-for-repo",
    "issues/update-comment",
    "pulls/create",
    "pulls/create-reply-for-review-comment",
    "pulls/get",
    "pulls/get-review-comment",
    "pulls/list",
    "pulls/list-review-comments",
    "pulls/list-reviews",
    "pulls/merge",
    "pulls/update",
    "pulls/update-review-comment",
    "reactions/create-for-issue",
    "reactions/create-for-issue-comment",
    "reactions/create-for-pull-request-review-comment",
    "repos/check-collaborator",
    "repos/create-commit-status",
    "repos/get",
    "repos/get-branch",
    "repos/get-branch-rules",
    "repos/get-collaborator-permission-level",
    "repos/get-content",
    "repos/list-commit-statuses-for-ref",
    "repos/list-for-authenticated-user",
    "repos/list-webhooks",
    "users/get-authenticated",
    "users/get-by-id",
];

#[tokio::test]
async fn what_is_asked_in_graphql_is_as_github_describes_it() {
    let Some(packages) = kept_node(&[SCHEMA]) else {
        eprintln!("SKIPPED: {SCHEMA} from npm cannot be had");
        return;
    };
    let Some(scene) = Scene::new(As::App).await else { return };
    everything(&scene).await;
    let asked = scene.github.exchanges().into_iter().filter(|one| one.path == "/graphql");
    let queries: Vec<Value> =
        asked.map(|one| serde_json::from_slice::<Value>(&one.body).unwrap()["query"].clone()).collect();
    assert_eq!(queries.len(), 2);
    let script = "
        import * as schema from '@octokit/graphql-schema';
        const wrong = JSON.parse(process.argv[1]).flatMap((query) => schema.validate(query));
        console.log(JSON.stringify([wrong.map(String), schema.validate('{ nobody { knows } }').length > 0]));
    ";
    let output = Command::new("node")
        .args(["--input-type=module", "--eval", script, "--", &json!(queries).to_string()])
        .current_dir(packages)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.trim(), "[[],true]", "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn another_implementation_takes_the_apps_proof() {
    let Some(packages) = kept_python(&PYTHON) else {
        eprintln!("SKIPPED: {PYTHON:?} from the Python package index cannot be had");
        return;
    };
    let Some(scene) = Scene::new(As::App).await else { return };
    scene.talk.me().await.unwrap();
    let bearer =
        |one: &cofferdam_testkit::Exchange| one.headers["authorization"].to_str().unwrap().to_owned();
    let proofs: Vec<_> =
        scene.github.exchanges().iter().map(bearer).filter(|one| one.starts_with("Bearer eyJ")).collect();
    assert!(proofs.len() >= 2);
    let said = json!({ "proofs": proofs, "key": scene.github.app_keys().0 });
    let script = "
import json, sys, time, jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key
said = json.load(sys.stdin)
key = load_pem_private_key(said['key'].encode(), None).public_key()
for proof in said['proofs']:
    proof = proof.removeprefix('Bearer ')
    claims = jwt.decode(proof, key, algorithms=['RS256'], issuer='12345', options={'require': ['iat', 'exp', 'iss']})
    assert jwt.get_unverified_header(proof) == {'alg': 'RS256', 'typ': 'JWT'}
    assert claims['iat'] <= time.time() - 50 and claims['exp'] - claims['iat'] <= 540
    try:
        jwt.decode(proof[:-8] + 'AAAAAAAA', key, algorithms=['RS256'])
        raise SystemExit('a forged one was taken')
    except jwt.InvalidSignatureError:
        pass
print(json.dumps(len(said['proofs'])))
";
    assert_eq!(python(&packages, script, Path::new("-"), &said), proofs.len());
}

#[tokio::test]
async fn another_client_reads_what_was_written() {
    let Some(packages) = kept_python(&PYTHON) else {
        eprintln!("SKIPPED: {PYTHON:?} from the Python package index cannot be had");
        return;
    };
    for way in [As::App, As::Account] {
        let Some(scene) = Scene::new(way).await else { return };
        let (issue, pull, commit) = everything(&scene).await;
        let said = json!({
            "url": scene.github.url(),
            "token": GitHub::OWNER.1,
            "repository": scene.at.path,
            "issue": issue,
            "pull": pull,
            "commit": commit,
        });
        // GitHub is served by this thread meanwhile.
        let packages = packages.clone();
        let read = move || python(&packages, include_str!("read_back.py"), Path::new("-"), &said);
        let read = tokio::task::spawn_blocking(read).await.unwrap();
        let me = scene.talk.me().await.unwrap().login;
        assert_eq!(read["comments"][1], json!([me, mark("task").below("Done: <b>ß</b> \u{1f980}")]));
        assert_eq!(read["pull"], json!([me, "Oil the door", branch_name(), "main", true, commit]));
        let answer = mark("reply-1").below("Because it squeaks.");
        assert_eq!(read["remarks"], json!([[GitHub::OWNER.0, "Why?", false], [me, answer, true]]));
        match way {
            As::App => assert_eq!(read["checks"][0], json!(["cofferdam", "completed", "success"])),
            As::Account => assert_eq!(read["statuses"][0], json!(["cofferdam", "success"])),
        }
    }
}
