//! A forge that is connected on the pages while everything runs: an app is made at GitHub's stand-in, and server and worker, which are two processes,
//! work with it at once, also after they were killed, until it is removed.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use cofferdam_testkit::{Exchange, GitHub};
use ring::hmac;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    commands::{finish, look},
    front::listens,
    harness::{Running, World},
};

/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(300);
/// What browsers take the server for: an address that GitHub could reach.
const HOST: &str = "cofferdam.example";

/// An answer: status, head, body.
type Answer = (u16, String, String);

/// One request, on a connection of its own.
fn ask(address: &str, (method, path): (&str, &str), headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\n{more}connection: close\r\ncontent-length: {length}\r\n\r\n")
        .unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
}

/// A browser in which an admin is signed in.
struct Browser {
    server: SocketAddr,
    cookie: String,
    /// All that it has been shown.
    shown: String,
}

impl Browser {
    fn sign_in(server: SocketAddr, link: &str) -> Self {
        let path = link.split_once(HOST).unwrap().1.trim().to_owned();
        let mut browser = Self { server, cookie: "a=b".to_owned(), shown: String::new() };
        let (status, head, _) = browser.post(&path, "");
        assert_eq!(status, 303, "{head}");
        let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        browser.cookie = cookie.split(';').next().unwrap().to_owned();
        browser
    }

    fn get(&mut self, path: &str) -> Answer {
        let answer =
            ask(&self.server.to_string(), ("GET", path), &[("host", HOST), ("cookie", &self.cookie)], b"");
        self.shown.push_str(&answer.2);
        answer
    }

    fn post(&mut self, path: &str, form: &str) -> Answer {
        let origin = format!("https://{HOST}");
        let headers = [
            ("host", HOST),
            ("cookie", &self.cookie),
            ("origin", &origin),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let answer = ask(&self.server.to_string(), ("POST", path), &headers, form.as_bytes());
        self.shown.push_str(&answer.2);
        answer
    }
}

/// Whether the page about forges says something.
fn browser_shows(server: SocketAddr, cookie: &str, words: &str) -> bool {
    let headers = [("host", HOST), ("cookie", cookie)];
    ask(&server.to_string(), ("GET", "/forges"), &headers, b"").2.contains(words)
}

/// What stands between two texts.
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    text.split_once(before).unwrap_or_else(|| panic!("no {before}: {text}")).1.split_once(after).unwrap().0
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Makes an app as a person does: on the page, at GitHub, and back.
fn connect(browser: &mut Browser, github: &GitHub) {
    let web = github.url();
    let (status, head, page) =
        browser.post("/forges/connect", &format!("name=hub&web={}&owner=", encoded(web)));
    assert_eq!(status, 200, "{page}");
    assert!(head.contains(&format!("form-action 'self' {web};")), "{head}");
    let form = between(&page, "<section class=\"told\">", "</section>");
    let action = between(form, "action=\"", "\"");
    let manifest = between(form, "name=\"manifest\" value=\"", "\"").replace("&quot;", "\"");
    let place = web.strip_prefix("http://").unwrap();
    let headers = [("host", place), ("content-type", "application/x-www-form-urlencoded")];
    let path = action.strip_prefix(web).unwrap();
    let (status, _, agreed) =
        ask(place, ("POST", path), &headers, format!("manifest={}", encoded(&manifest)).as_bytes());
    assert_eq!(status, 200, "{agreed}");
    assert_eq!(between(&agreed, "<form action=\"", "\""), format!("https://{HOST}/forges/apps/return"));
    let (code, state) =
        (between(&agreed, "name=code value=\"", "\""), between(&agreed, "name=state value=\"", "\""));
    let (status, _, page) = browser.get(&format!("/forges/apps/return?code={code}&state={state}"));
    assert_eq!(status, 200, "{page}");
    let (status, head, page) = browser.post("/forges/apps", &format!("code={code}&state={state}"));
    assert!(status == 303 && head.contains("/forges#forge-hub"), "{head} {page}");
    let (status, ..) = browser.post("/forges/apps", &format!("code={code}&state={state}"));
    assert_eq!(status, 403);
}

/// Posts a delivery as GitHub would.
fn deliver(server: SocketAddr, id: &str, body: &Value, secret: &str) -> u16 {
    let body = body.to_string().into_bytes();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, &body);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let signature = format!("sha256={hex}");
    let headers = [
        ("host", HOST),
        ("content-type", "application/json"),
        ("x-github-delivery", id),
        ("x-github-event", "issues"),
        ("x-hub-signature-256", &signature),
    ];
    ask(&server.to_string(), ("POST", "/hooks/hub"), &headers, &body).0
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < LONG, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn killed(running: Running) -> String {
    running.signal(Signal::KILL);
    running.finish().to_string()
}

/// An issue with the label, and the delivery that says so: by somebody who may push.
async fn labelled(github: &GitHub) -> Value {
    let owner = GitHub::OWNER;
    let api = async |method: &str, path: &str, body: Value| {
        github.ask(owner.1, method.parse().unwrap(), path, &body).await
    };
    let place = format!("/repos/{}", GitHub::REPOSITORY);
    api("POST", &format!("{place}/labels"), json!({ "name": "cofferdam", "color": "00aabb" })).await;
    let wanted = json!({ "title": "Greet", "body": "The greeting lacks a mark.", "labels": ["cofferdam"] });
    let issue = api("POST", &format!("{place}/issues"), wanted).await;
    let ann = GitHub::PEOPLE[0].0;
    api("PUT", &format!("{place}/collaborators/{ann}"), json!({ "permission": "push" })).await;
    let ann = api("GET", &format!("/users/{ann}"), Value::Null).await;
    let label = json!({ "name": "cofferdam" });
    let repository = api("GET", &place, Value::Null).await;
    json!({ "action": "labeled", "label": label, "issue": issue, "sender": ann, "repository": repository })
}

/// How it is worked with is said on the page and by a command, and counts at once: asked as often as that, it looks at all that the app works on.
async fn settings_count_at_once(world: &World, github: &GitHub, browser: &mut Browser) {
    let looked =
        || github.exchanges().iter().filter(|one| one.path.contains("/installation/repositories")).count();
    assert_eq!(looked(), 0);
    let wish =
        |every: &str| format!("every={every}&together={}", encoded("octo/app: octo/lib octo/docs#next"));
    for bad in ["1s", "soon"] {
        let (status, _, page) = browser.post("/forges/hub/settings", &wish(bad));
        assert_eq!(status, 422, "{page}");
    }
    assert_eq!(browser.post("/forges/hub/settings", &wish("30s")).0, 303);
    let page = browser.get("/forges").2;
    assert!(page.contains("asking it every 30s") && page.contains("octo/docs#next"), "{page}");
    until("all repositories are looked at", async || looked() > 0).await;
    // The operator says it too, and what is not named stays as it is.
    world.ok(&["forge", "set", "hub", "--poll", "45s"]);
    until("it is shown", async || browser_shows(browser.server, &browser.cookie, "every 45s")).await;
    let page = browser.get("/forges").2;
    assert!(page.contains("octo/docs#next"), "{page}");
    for (arguments, why) in [
        (&["forge", "set", "hub"][..], "--poll"),
        (&["forge", "set", "none", "--poll", "1m"], "no forge called none"),
        (&["forge", "set", "hub", "--poll", "2s"], "10s at most"),
        (&["forge", "set", "hub", "--together", "octo/app"], "owner/other"),
    ] {
        let refused = world.run(arguments);
        assert!(refused.status != 0 && refused.stderr.contains(why), "{refused}");
    }
}

/// A table of the name of a kept app is refused by name.
fn clashes_with_a_table(world: &World) {
    let before = std::fs::read_to_string(world.path("cofferdam.toml")).unwrap();
    let token = world.file("token", "t0ken");
    let table = format!(
        "{before}[[forge]]\nname = \"hub\"\nkind = \"github\"\nurl = \"https://github.com\"\ntoken = {{ file = {token:?} }}\npoll = \"1m\"\n"
    );
    let other = world.file("other.toml", &table);
    let refused = world.run(&["--config", other.to_str().unwrap(), "forge", "check"]);
    assert!(refused.status != 0 && refused.stderr.contains("connected on the page /forges"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_made_on_the_page_is_worked_with_at_once() {
    let Some(world) = World::with_sandboxes() else { return };
    let Some(github) = GitHub::start().await else { return };
    let model = world.recording(&json!([look(), finish("done")]));
    world.add_to_configuration(&format!(
        "[server]\nmodels = [{model:?}]\norigin = \"https://{HOST}\"\ngithub_enterprise = [{url:?}]\nrepositories = [{url:?}]\n",
        url = github.url()
    ));
    let server = || world.cofferdam(&["server", "--listen", "127.0.0.1:0"]).patience(12 * LONG).start();
    let mut running = server();
    let address = listens(&mut running);
    let line = running.until("sign in within 15 minutes: ");
    let mut browser = Browser::sign_in(address, line.split_once("minutes: ").unwrap().1);
    let mut worker = world.cofferdam(&["worker"]).patience(12 * LONG).start();
    worker.until("works on what is queued");
    connect(&mut browser, &github);

    let delivery = labelled(&github).await;
    // At once in the process that made it; a forged one is on the page, in the words of whoever refused it.
    until("the hook is there", async || deliver(address, "0", &delivery, "another secret") == 401).await;
    let page = browser.get("/forges").2;
    assert!(
        page.contains("refused</span>")
            && page.contains(&format!("{}/apps/{}", github.url(), GitHub::APP_SLUG)),
        "{page}"
    );
    assert_eq!(deliver(address, "1", &delivery, GitHub::HOOK_SECRET), 202);
    let form =
        format!("repository={}&prompt=Greet", encoded(&format!("{}/{}", github.url(), GitHub::REPOSITORY)));
    let (status, _, page) = browser.post("/new", &form);
    assert_eq!(status, 303, "{page}");
    // The server asks as the app what whoever set the label may do there, and the worker, which is another process, asks git for the repository.
    let git = format!("/{}.git/", GitHub::REPOSITORY);
    let began = Instant::now();
    loop {
        let asked = github.exchanges();
        let by = |one: &Exchange| one.headers.contains_key("authorization");
        let is_asked = asked.iter().any(|one| by(one) && one.path.contains("/collaborators/ann/permission"));
        let is_fetched = asked.iter().any(|one| by(one) && one.path.starts_with(&git));
        if is_asked && is_fetched {
            break;
        }
        if began.elapsed() > LONG {
            let (deliveries, said) = (browser.get("/deliveries").2, killed(running) + &killed(worker));
            panic!("asked: {is_asked}, fetched: {is_fetched}\n{deliveries}\n{said}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let mut said = killed(running) + &killed(worker);
    let mut running = server();
    let address = listens(&mut running);
    running.until("webhooks of hub: ");
    browser.server = address;
    assert_eq!(deliver(address, "2", &delivery, GitHub::HOOK_SECRET), 202);
    assert!(browser.get("/forges").2.contains("accepted</span>"));
    settings_count_at_once(&world, &github, &mut browser).await;
    let checked = world.ok(&["forge", "check", "hub"]).to_string();
    assert!(checked.contains(&GitHub::app_login()), "{checked}");
    let doctor = world.run(&["doctor"]).to_string();
    assert!(doctor.contains(&GitHub::app_login()), "{doctor}");
    clashes_with_a_table(&world);

    assert_eq!(browser.get("/forges/hub/remove").0, 200);
    assert_eq!(browser.post("/forges/hub/remove", "").0, 303);
    until("the hook is gone", async || deliver(address, "3", &delivery, GitHub::HOOK_SECRET) == 404).await;
    let audit = browser.get("/audit").2;
    for step in ["forge.connect_begun", "forge.connected", "forge.connect_refused", "forge.removed"] {
        assert!(audit.contains(step), "{step}: {audit}");
    }
    said += &killed(running);
    for text in [&said, &browser.shown, &checked] {
        assert!(!text.contains(GitHub::HOOK_SECRET) && !text.contains("PRIVATE KEY"), "{text}");
    }
}
