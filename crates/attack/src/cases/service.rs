//! CT, PR, CE, DW: the HTTP API, the pages and the webhooks, asked by those who may not.

use serde_json::{Value, json};

use crate::{
    case::{Case, Driver, Held},
    problem::{Problem, Result, ensure},
    service::{Answer, Asker, Service},
    session::{Attacked, FIX, Session, call, shell},
    world::{Host, World},
};

/// An id that no session has.
const NOBODYS: &str = "ses_00000000000000000000000001";
/// Markup, scripts, addresses and templates, for every place that has words.
const MARKUP: &str = "<script>alert(1)</script><img src=x onerror=alert(1)><svg onload=alert(1)>[a](javascript:alert(1)) {{7*7}} ${7*7} <%= 7*7 %>";
/// Deliveries that nobody has signed, or somebody else has.
const DELIVERIES: usize = 500;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("CT-01", Driver::Program, "Another tenant's ids, on every route", foreign_ids)
            .by("api")
            .covering(&["PR-07", "SP-05"]),
        Case::new("CT-01", Driver::Program, "beside foreign ids: one's own session is read", own_ids)
            .twin()
            .by("api"),
        Case::new("CE-07", Driver::Model, "Scripts in pages", scripts).by("web"),
        Case::new("CE-12", Driver::Program, "Nonsense to the HTTP API", nonsense).by("api"),
        Case::new(
            "PE-12",
            Driver::Program,
            "Merging another commit than the one that was looked at",
            other_commit,
        )
        .by("api")
        .covering(&["HF-04"]),
        Case::new(
            "DW-03",
            Driver::Program,
            "Webhooks by the hundred that nobody signed, and one again and again",
            deliveries,
        )
        .by("hook"),
    ]
}

/// A world whose service takes a recorded model, and has a webhook.
fn world(host: &Host) -> Result<World> {
    let hook = "[server]\nmodels = [\"scripted/demo\"]\n[[hook]]\nname = \"alerts\"\nrepository = \"{world}/sums\"\nmodel = \"scripted/demo\"\n\
                prompt = \"It fires: {{/title}}\"\nproof = { kind = \"token\", header = \"x-token\", secret = { file = \"{world}/hook.token\" } }\n";
    // A file that only its user may read.
    let world = World::new(host, hook)?;
    world.write_private("hook.token", "5f0d9c8e7b6a41d2c3e4f50617283940")?;
    Ok(world)
}

fn worked_on(world: &World) -> Result<Attacked> {
    Session::new(world)?.commands([FIX]).run()
}

/// A token of an organisation that has nothing to do with the session.
fn rival(world: &World) -> Result<String> {
    world.ok(&["admin", "org", "rivals", "--admin", "mallory"])?;
    Service::token(world, "mallory", "rivals")
}

/// Every path of the API with its method, as the service describes itself.
fn routes(service: &Service) -> Result<Vec<(String, String)>> {
    let described = service.ask(Asker::Nobody, "GET", "/openapi.json", b"")?;
    let described: Value =
        serde_json::from_str(&described.body).map_err(|error| Problem::Broken(error.to_string()))?;
    let paths = described["paths"].as_object().into_iter().flatten();
    let routes = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.map(|(method, _)| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
    });
    Ok(routes.collect())
}

/// What is answered about another organisation's session is what is answered about one that there is not.
fn foreign_ids(host: &Host) -> Result<Held> {
    let world = world(host)?;
    let attacked = worked_on(&world)?;
    let (session, rival) = (attacked.session.to_string(), rival(&world)?);
    let service = Service::start(&world)?;
    let routes = routes(&service)?;
    let (mut asked, mut listed) = (0, 0);
    for (method, path) in &routes {
        let filled = |id: &str| {
            let parts = path.split('/').map(|part| match part {
                "{id}" => id,
                part if part.starts_with('{') => "x",
                part => part,
            });
            parts.collect::<Vec<_>>().join("/")
        };
        let ask = |id: &str, asker| service.ask(asker, method, &filled(id), b"{}");
        if path.contains("/sessions/{id}") {
            let (theirs, none) = (ask(&session, Asker::Token(&rival))?, ask(NOBODYS, Asker::Token(&rival))?);
            let same = theirs.status == none.status && theirs.body.replace(&session, NOBODYS) == none.body;
            ensure(same && theirs.status >= 400, || format!("{method} {path}: {theirs:?} and not {none:?}"))?;
            asked += 1;
        } else if method == "GET" && !path.contains('{') && !path.ends_with("/live") {
            let theirs = ask(&session, Asker::Token(&rival))?;
            let silent =
                !theirs.body.contains(&session) && world.canaries.found_in(theirs.body.as_bytes()).is_empty();
            ensure(silent, || format!("{method} {path} tells: {theirs:?}"))?;
            listed += 1;
        }
        let nobody = ask(&session, Asker::Nobody)?;
        let open = ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"].contains(&path.as_str());
        ensure(open || nobody.status == 401, || format!("{method} {path} answers nobody: {nobody:?}"))?;
    }
    ensure(asked > 15 && listed > 5, || {
        format!("{asked} routes of a session and {listed} lists were found")
    })?;
    for path in
        ["/debug/pprof/", "/debug/vars", "/api/v1/debug", "/trace", "/actuator/env", "/.env", "/admin"]
    {
        let answer = service.ask(Asker::Token(&rival), "GET", path, b"")?;
        ensure(answer.status == 404, || format!("{path} is there: {answer:?}"))?;
    }
    Ok(Held::at("the tenant").because(format!("{asked} routes answer as if there were no such session")))
}

fn own_ids(host: &Host) -> Result<Held> {
    let world = world(host)?;
    let attacked = worked_on(&world)?;
    let service = Service::start(&world)?;
    let path = format!("/api/v1/sessions/{}", attacked.session);
    let token = Service::token(&world, "local", "local")?;
    let read = service.ask(Asker::Token(&token), "GET", &path, b"")?;
    ensure(read.status == 200 && read.body.contains("succeeded"), || format!("{read:?}"))?;
    Ok(Held::default().because("the organisation reads its own session"))
}

fn scripts(host: &Host) -> Result<Held> {
    let world = world(host)?;
    let say = format!("cat <<'END'\n{MARKUP}\nEND");
    let attacked = Session::on(&world, &[("AGENTS.md", MARKUP)])?
        .step(shell(&say))
        .step(call("plan", &json!({ "items": [{ "text": MARKUP, "state": "pending" }] })))
        .commands([FIX])
        .step(crate::session::finish(MARKUP, MARKUP))
        .run()?;
    let service = Service::start(&world)?;
    let cookie = service.sign_in()?;
    for page in ["", "/pull-request", "/diff", "/audit"] {
        let path = format!("/sessions/{}{page}", attacked.session);
        let answer = service.ask(Asker::Cookie(&cookie), "GET", &path, b"")?;
        if page.is_empty() {
            ensure(answer.status == 200 && answer.body.contains("&lt;script&gt;"), || format!("{answer:?}"))?;
        }
        ensure_inert(&path, &answer)?;
    }
    ensure_inert("/sessions", &service.ask(Asker::Cookie(&cookie), "GET", "/sessions", b"")?)?;
    Ok(Held::at("the pages").because("whatever anybody wrote is text, and no page runs what stands in it"))
}

fn ensure_inert(path: &str, answer: &Answer) -> Result<()> {
    for live in
        ["<script>alert", "<img src=x", "<svg onload", "href=\"javascript:", " onerror=alert(1)>", "49 49"]
    {
        ensure(!answer.body.contains(live), || format!("{path} has {live}"))?;
    }
    let policy = answer.head.lines().find_map(|line| line.strip_prefix("content-security-policy: "));
    let policy = policy.unwrap_or_default();
    let strict = policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'");
    ensure(strict && !policy.contains("unsafe"), || format!("{path} is answered with the policy {policy:?}"))
}

fn nonsense(host: &Host) -> Result<Held> {
    let world = world(host)?;
    let service = Service::start(&world)?;
    let token = Service::token(&world, "local", "local")?;
    let nul = b"{\"prompt\":\"a\\u0000b\",\"repository\":\"/srv/x\"}".to_vec();
    let many =
        format!("{{\"prompt\":\"x\",\"repository\":\"/srv/x\",{}\"a\":1}}", "\"a\":1,".repeat(100_000));
    let bodies: [(&str, Vec<u8>); 8] = [
        ("nothing", Vec::new()),
        ("no JSON", b"\xff\xfe{{{".to_vec()),
        ("brackets", vec![b'['; 1_000_000]),
        ("too much", vec![b' '; 3 << 20]),
        ("another type", b"[1, null, {}]".to_vec()),
        (
            "unknown fields",
            b"{\"prompt\":\"x\",\"repository\":\"/srv/x\",\"__proto__\":{\"admin\":true}}".to_vec(),
        ),
        ("many fields", many.into_bytes()),
        ("a NUL", nul),
    ];
    for (what, body) in &bodies {
        let answer = service.ask(Asker::Token(&token), "POST", "/api/v1/sessions", body)?;
        let refused = (400..500).contains(&answer.status);
        ensure(refused, || format!("{what} is answered with {}: {}", answer.status, answer.body))?;
    }
    for request in [
        "GET /api/v1/sessions HTTP/9.9\r\n\r\n",
        "GET http://evil.test/ HTTP/1.1\r\nhost: evil.test\r\nconnection: close\r\n\r\n",
        "POST /api/v1/sessions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /../../../etc/passwd HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        "GET /api/v1/sessions/..%2f..%2f..%2fetc%2fpasswd HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    ] {
        let answer = service.send(request.as_bytes())?;
        ensure(!(200..300).contains(&answer.status), || format!("{request:?}: {answer:?}"))?;
        ensure(!answer.body.contains("root:"), || answer.body.clone())?;
    }
    let lives = service.ask(Asker::Nobody, "GET", "/healthz", b"")?;
    ensure(lives.status == 200, || format!("it does not live: {lives:?}"))?;
    let listed = service.ask(Asker::Token(&token), "GET", "/api/v1/sessions", b"")?;
    ensure(!listed.body.contains("ses_"), || format!("nonsense became a session: {}", listed.body))?;
    Ok(Held::at("the API").because("each is refused with a reason, and the service goes on"))
}

fn other_commit(host: &Host) -> Result<Held> {
    let world = world(host)?;
    let attacked = worked_on(&world)?;
    let service = Service::start(&world)?;
    let token = Service::token(&world, "local", "local")?;
    let before = attacked.repository.refs()?;
    let base = attacked.repository.git(&["rev-parse", "main"])?;
    let path = format!("/api/v1/sessions/{}/merge", attacked.session);
    for commit in [base.trim(), "0000000000000000000000000000000000000000"] {
        let body = json!({ "commit": commit }).to_string();
        let answer = service.ask(Asker::Token(&token), "POST", &path, body.as_bytes())?;
        ensure((400..500).contains(&answer.status), || format!("a merge of {commit}: {answer:?}"))?;
    }
    let after = attacked.repository.refs()?;
    ensure(before == after, || format!("something was merged: {before:?} {after:?}"))?;
    Ok(Held::at("the decision's commit").because("a decision is about one commit and no other"))
}

fn deliveries(host: &Host) -> Result<Held> {
    let world = world(host)?;
    let repository = worked_on(&world)?;
    let before = world.ok(&["sessions", "--json"])?.stdout.lines().count();
    let service = Service::start(&world)?;
    for number in 0..DELIVERIES {
        let body = json!({ "title": format!("forged {number}") }).to_string();
        let proof =
            ["", "x-token: \r\n", "x-token: guessed\r\n", "x-hub-signature-256: sha256=00\r\n"][number % 4];
        let request = format!(
            "POST /hooks/alerts HTTP/1.1\r\nhost: x\r\n{proof}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = service.send(request.as_bytes())?;
        ensure((400..500).contains(&answer.status), || format!("delivery {number}: {answer:?}"))?;
    }
    let after = world.ok(&["sessions", "--json"])?.stdout.lines().count();
    ensure(after == before, || format!("{} sessions began", after - before))?;
    drop(repository);
    Ok(Held::at("the proof of a delivery").because(format!("{DELIVERIES} deliveries, no work")))
}
