//! What only Gitea has: tokens with scopes, accounts that are gone, its deliveries, and what another client of it reads.

use std::{collections::BTreeMap, process::Command, sync::Arc};

use cofferdam_domain::{SessionId, Subject, Timestamp};
use cofferdam_forge::{
    branch_of,
    hook::{AccountKind, Delivery, ForgeKind, HookSecrets, Occasion, Thread, What},
    remote::{CommitStatus, Mark, PullWanted, Reacted, Reaction, Remarked, StatusState},
};
use cofferdam_testkit::kept_python;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc::{self, UnboundedReceiver},
    time::{Duration, timeout},
};

use super::*;

const SECRET: &str = "a-secret-of-the-tests";
/// Another client, generated from Gitea's own description of its API.
const CLIENT: &str = "gitea-api-client==1.27.3";

#[tokio::test]
async fn a_token_that_may_too_little_is_told_so() {
    let Some(world) = world().await else { return };
    let at = world.repository(true).await;
    let token = world.server.token_of(&world.platform.login, &["read:user"]).await;
    let talk = open(&site(&world.server.url(), &token)).unwrap();
    assert_eq!(talk.me().await.unwrap().id, world.platform.id);
    let error = talk.repository(&at.path).await.unwrap_err();
    assert!(matches!(error, TalkError::Forbidden { .. }), "{error:?}");
    assert!(error.to_string().contains("read:repository"), "{error}");
    let talk = open(&site(&world.server.url(), "no-token-at-all")).unwrap();
    let error = talk.me().await.unwrap_err();
    assert!(
        error.to_string().contains("make a new one") && !error.to_string().contains("no-token"),
        "{error}"
    );
}

#[tokio::test]
async fn only_an_administrator_may_look_up_rights() {
    let Some(world) = world().await else { return };
    let at = world.repository(true).await;
    let person = world.person(&at, Right::Write).await.unwrap();
    // An account of which only the number is known is found.
    let numbered = Account { login: String::new(), ..person.account.clone() };
    assert_eq!(world.talk().right_of(&at, &numbered).await.unwrap(), Right::Write);
    let nobody = Account { id: numbered.id + 1_000_000, ..numbered };
    assert_eq!(world.talk().right_of(&at, &nobody).await.unwrap(), Right::None);
    world.server.permit(&at.path, &world.platform, "write").await;
    let error = world.talk().right_of(&at, &person.account).await.unwrap_err();
    assert!(matches!(error, TalkError::Forbidden { .. }), "{error:?}");
    assert!(error.to_string().contains("only an administrator of the repository"), "{error}");
}

#[tokio::test]
async fn a_pull_request_that_conflicts_is_told_as_such() {
    let Some(world) = world().await else { return };
    let at = world.repository(false).await;
    let person = world.person(&at, Right::Write).await.unwrap();
    world.commit(&at, "one", "shared.txt", "one\n").await;
    world.commit(&at, "two", "other.txt", "two\n").await;
    let one = world.pull(&at, &person, "one", "One").await;
    let two = world.pull(&at, &person, "two", "Two").await;
    world.commit(&at, "main", "shared.txt", "main\n").await;
    // Gitea finds it out in its own time.
    let told = timeout(Duration::from_secs(240), async {
        loop {
            let found = [one, two].map(|number| world.talk().pull(&at, number));
            let [one, two] = found;
            if (one.await.unwrap().conflicts, two.await.unwrap().conflicts) == (true, false) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    told.await.unwrap();
    let news = world.talk().news(&at, Timestamp(0), &[one, two]).await.unwrap();
    let names = news.happened.iter().filter(|happened| happened.name.contains("-conflicts-"));
    let found: Vec<&str> = names.map(|happened| happened.name.as_str()).collect();
    let start = format!("pull-{}-{one}-conflicts-", at.id);
    assert!(found.len() == 1 && found[0].starts_with(&start), "{found:?}");
}

#[tokio::test]
async fn what_a_deleted_account_wrote_is_read() {
    let Some(world) = world().await else { return };
    let at = world.repository(false).await;
    let person = world.person(&at, Right::Write).await.unwrap();
    let number = world.issue(&at, &person, "An issue", "").await;
    world.comment(&at, &person, Subject::Issue(number), "I was here").await;
    let path = format!("/admin/users/{}", person.account.login);
    world.server.must(world.server.token(), "DELETE", &path, None).await;
    let issue = world.talk().issue(&at, number).await.unwrap();
    let comments = world.talk().comments(&at, Subject::Issue(number), None, 10).await.unwrap();
    assert_eq!((issue.author.id, issue.author.kind), (0, AccountKind::Bot));
    assert_eq!((comments[0].author.id, comments[0].body.as_str()), (0, "I was here"));
    assert_eq!(world.talk().right_of(&at, &issue.author).await.unwrap(), Right::None);
    assert_eq!(world.talk().right_of(&at, &person.account).await.unwrap(), Right::None);
}

#[tokio::test]
async fn git_goes_through_with_the_credential() {
    let Some(world) = world().await else { return };
    let at = world.repository(true).await;
    let given = world.talk().git_credential(&at).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = site(&world.server.url(), "x").clone_url(&at.path);
    let git = |helper: &str, arguments: &[&str]| {
        let mut git = Command::new("git");
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0").env("GIT_ASKPASS", "true");
        git.args(["-c", "credential.helper=", "-c", &format!("credential.helper={helper}")]);
        git.args(arguments).current_dir(folder.path()).output().unwrap()
    };
    let helper =
        format!("!f() {{ echo username={}; echo password={}; }}; f", given.user, given.password.expose());
    let cloned = git(&helper, &["clone", "--quiet", url.as_str(), "here"]);
    assert!(cloned.status.success(), "{}", String::from_utf8_lossy(&cloned.stderr));
    let pushed = git(&helper, &["-C", "here", "push", "--quiet", "origin", "HEAD:refs/heads/by-git"]);
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    assert!(!git("", &["ls-remote", url.as_str()]).status.success());
}

#[tokio::test]
async fn a_set_up_is_seen() {
    let Some(world) = world().await else { return };
    let at = world.repository(true).await;
    world.server.hook(&at.path, "http://127.0.0.1:1/hooks/gitea", SECRET).await;
    world.server.commit(&at.path, "main", (".github/workflows/ci.yml", "on: push\n")).await;
    world.server.commit(&at.path, "main", (".gitea/workflows/notes.txt", "none\n")).await;
    let seen = world.talk().setup(&at, "main").await.unwrap();
    let hooks = seen.hooks.unwrap();
    assert_eq!(
        (hooks.len(), hooks[0].url.as_str(), hooks[0].active),
        (1, "http://127.0.0.1:1/hooks/gitea", true)
    );
    assert!(hooks[0].events.iter().any(|event| event == "issue_comment"), "{hooks:?}");
    assert_eq!(seen.protected, Some(false));
    assert_eq!(seen.workflows.unwrap(), [(".github/workflows/ci.yml".to_owned(), "on: push\n".to_owned())]);
    let wanted = json!({ "rule_name": "main" });
    let path = format!("/repos/{}/branch_protections", at.path);
    world.server.must(world.server.token(), "POST", &path, Some(&wanted)).await;
    assert_eq!(world.talk().setup(&at, "main").await.unwrap().protected, Some(true));
}

#[tokio::test]
async fn a_forge_that_comes_back_is_where_it_was() {
    let Some(mut server) = Gitea::start().await else { return };
    let owner = server.account("owner").await;
    let (id, path) = server.repository(&owner, "repository", true).await;
    let at = At { id, path };
    let talk = open(&site(&server.url(), &owner.token)).unwrap();
    let wanted = json!({ "title": "An issue" });
    let made = server.must(&owner.token, "POST", &format!("/repos/{}/issues", at.path), Some(&wanted)).await;
    let subject = Subject::Issue(made["number"].as_u64().unwrap());
    let mark = Mark { session: SessionId::generate(), what: "task".into() };
    let said = talk.say(&at, subject, &mark, "Begun").await.unwrap();
    server.kill();
    let error = talk.say(&at, subject, &mark, "Done").await.unwrap_err();
    assert!(matches!(error, TalkError::ForNow { .. }), "{error:?}");
    server.again().await;
    assert_eq!(talk.say(&at, subject, &mark, "Done").await.unwrap(), said);
    assert_eq!(talk.comments(&at, subject, None, 10).await.unwrap().len(), 1);
}

/// A place where deliveries arrive: their headers and bodies.
async fn sink() -> (String, UnboundedReceiver<(HeaderMap, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks/gitea", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                // The test may have ended.
                sender.send(taken(stream).await).ok();
            });
        }
    });
    (url, receiver)
}

async fn taken(stream: TcpStream) -> (HeaderMap, Vec<u8>) {
    let mut stream = BufReader::new(stream);
    let mut headers = HeaderMap::new();
    let mut line = String::new();
    while stream.read_line(&mut line).await.unwrap() > 2 {
        if let Some((name, value)) = line.trim_end().split_once(": ") {
            let name: HeaderName = name.parse().unwrap();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        line.clear();
    }
    let length = headers["content-length"].to_str().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    stream
        .write_all(b"HTTP/1.1 202 Accepted\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    (headers, body)
}

/// What it is, in a few words.
fn word(what: &What) -> String {
    match what {
        What::Issue(_, change) => format!("issue {change:?}"),
        What::Comment(Thread::Issue(_), _, change) => format!("comment below an issue {change:?}"),
        What::Comment(Thread::Pull { .. }, _, change) => format!("comment below a pull request {change:?}"),
        What::Review(_, review) => format!("review {:?}", review.end),
        What::Pull(_, change) => format!("pull request {change:?}"),
        What::Check(check) => format!("check {} {:?}", check.name, check.end),
        What::Branch { name, .. } => format!("branch {name}"),
        What::Repository(change) => format!("repository {change:?}"),
        What::Installation => "installation".to_owned(),
        What::Other => "other".to_owned(),
    }
}

#[tokio::test]
async fn what_it_tells_is_understood() {
    let Some(world) = world().await else { return };
    let at = world.repository(true).await;
    let (url, mut arriving) = sink().await;
    world.server.hook(&at.path, &url, SECRET).await;
    let person = world.person(&at, Right::Write).await.unwrap();
    let issue = world.issue(&at, &person, "An issue", "with words").await;
    let path = format!("/repos/{}/labels", at.path);
    let label = world.post(&person, &path, json!({ "name": "cofferdam", "color": "#00aabb" })).await;
    let path = format!("/repos/{}/issues/{issue}/labels", at.path);
    world.post(&person, &path, json!({ "labels": [label["id"]] })).await;
    world.comment(&at, &person, Subject::Issue(issue), "@platform please").await;
    let commit = world.commit(&at, "a-branch", "five.txt", "1\n2\n3\n").await;
    let pull = world.pull(&at, &person, "a-branch", "A change").await;
    world.comment(&at, &person, Subject::Pull(pull), "And this").await;
    world.review(&at, &person, pull, "Look", &[("five.txt", 2, "Why?")]).await;
    let path = format!("/repos/{}/statuses/{commit}", at.path);
    world.post(&person, &path, json!({ "context": "tests", "state": "failure" })).await;

    let mut wanted: BTreeMap<String, bool> = [
        "issue Opened",
        "issue Labelled([\"cofferdam\"])",
        "comment below an issue Written",
        "branch a-branch",
        "pull request Opened",
        "comment below a pull request Written",
        "review Said",
        "check tests Failed",
    ]
    .map(|word| (word.to_owned(), false))
    .into();
    let secrets = HookSecrets::new(Secret::new(SECRET), Vec::new()).unwrap();
    let mut seen = Vec::new();
    while wanted.values().any(|found| !found) {
        let next = timeout(Duration::from_secs(30), arriving.recv()).await;
        let (headers, body) = next.unwrap_or_else(|_| panic!("{wanted:?} {seen:?}")).unwrap();
        let delivery = Delivery::accept(ForgeKind::Gitea, &secrets, &headers, &body).unwrap();
        let occasion: Occasion = delivery.read(&body).unwrap();
        assert_eq!(occasion.repository.as_ref().unwrap().id, at.id);
        let word = word(&occasion.what);
        if let Some(found) = wanted.get_mut(&word) {
            // A status is said by the account that says it, as everything else is.
            assert!(word.starts_with("branch") || occasion.actor.id == person.account.id, "{word}");
            *found = true;
        }
        seen.push((delivery.event().to_owned(), word));
    }
    // What the deliveries do not say of a review is looked up.
    let remarks = world.talk().remarks(&at, pull, 0).await.unwrap();
    assert_eq!(
        (remarks.len(), remarks[0].place.line, remarks[0].comment.body.as_str()),
        (1, Some(2), "Why?")
    );
}

#[tokio::test]
async fn another_client_reads_what_was_written() {
    let Some(world) = world().await else { return };
    let Some(packages) = kept_python(&[CLIENT]) else {
        eprintln!("SKIPPED: {CLIENT} cannot be installed by pip");
        return;
    };
    let at = world.repository(true).await;
    let person = world.person(&at, Right::Write).await.unwrap();
    let issue = world.issue(&at, &person, "An issue", "").await;
    let mark = Mark { session: SessionId::generate(), what: "task".into() };
    let branch = branch_of(mark.session);
    let commit = world.commit(&at, &branch, "five.txt", "1\n2\n3\n").await;
    let wanted = PullWanted {
        branch: branch.clone(),
        base: "main".into(),
        title: "A change".into(),
        body: "Of five".into(),
        draft: true,
    };
    let talk = Arc::clone(&world.talk);
    let pull = talk.open_pull(&at, &wanted).await.unwrap().number;
    talk.say(&at, Subject::Issue(issue), &mark, "It is begun").await.unwrap();
    talk.react(&at, Reacted::Subject(Subject::Issue(issue)), Reaction::Eyes).await.unwrap();
    let review = world.review(&at, &person, pull, "", &[("five.txt", 2, "Why?")]).await;
    let remark = talk.remarks(&at, pull, review).await.unwrap().remove(0);
    let place = Remarked { comment: remark.comment.id, discussion: remark.place.discussion };
    talk.answer(&at, pull, &place, &mark, "Because").await.unwrap();
    let status = CommitStatus {
        name: "cofferdam".into(),
        state: StatusState::Success,
        text: "Nothing found".into(),
        link: None,
        annotations: Vec::new(),
    };
    talk.status(&at, &commit, &status).await.unwrap();

    let (owner, name) = at.path.split_once('/').unwrap();
    let read = Command::new("python3")
        .args(["-c", include_str!("read_back.py"), &world.server.url(), world.server.token(), owner, name])
        .args([issue.to_string(), pull.to_string(), commit.clone()])
        .env("PYTHONPATH", packages)
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let read: Value = serde_json::from_slice(&read.stdout).unwrap();
    let me = &world.platform.login;
    let said = |text: &str| mark.below(text);
    assert_eq!(read["comments"], json!([[me, said("It is begun")]]));
    assert_eq!(read["reactions"], json!([[me, "eyes"]]));
    assert_eq!(read["pull"], json!([me, "WIP: A change", "Of five", branch, "main", true, commit]));
    assert_eq!(
        read["remarks"],
        json!([[person.account.login, "five.txt", 2, "Why?"], [me, "five.txt", 2, said("Because")]])
    );
    assert_eq!(read["statuses"], json!([["cofferdam", "success", "Nothing found"]]));
}
