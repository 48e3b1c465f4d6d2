//! Sessions that nobody asks for by hand: at a set time, and because another program posted something.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use cofferdam_domain::{EventBody, Origin, SessionId};
use cofferdam_intake::now;
use cofferdam_tell::SigningSecret;
use cofferdam_testkit::Postgres;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    commands::{finish, greeter, look, mend},
    harness::{Output, World},
    service::Service,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Sessions as they are listed, the latest first.
fn sessions(world: &World) -> Vec<Value> {
    let listed = world.ok(&["sessions", "--json"]).stdout;
    listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until the first session that there is has ended well.
fn until_ended(world: &World) -> SessionId {
    let patience = Instant::now() + Duration::from_secs(120);
    loop {
        let all = sessions(world);
        if let Some(first) = all.last().filter(|row| row["state"] == "ended") {
            assert_eq!(first["outcome"], "succeeded", "{first}");
            return first["id"].as_str().unwrap().parse().unwrap();
        }
        assert!(Instant::now() < patience, "{all:?}");
    }
}

fn origin(world: &World, session: SessionId) -> Origin {
    match &world.events(Some(session))[0].body {
        EventBody::TaskAccepted { task } => task.origin.clone().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn configure(world: &World, table: &str) {
    let repository = greeter(world);
    let model = world.recording(&json!([look(), mend(), finish("done")]));
    world.add_to_configuration(&format!(
        "[policy]\ntest_command = \"sh test.sh\"\n[server]\nmodels = [{model:?}]\n{table}\nrepository = {:?}\n",
        repository.address()
    ));
}

#[test]
fn what_is_due_becomes_a_pull_request() {
    let Some(world) = World::with_sandboxes() else { return };
    configure(
        &world,
        "[[schedule]]\nname = \"tick\"\ncron = \"*/2 * * * * *\"\nprompt = \"End the greeting with a mark.\"",
    );
    let listed = world.ok(&["schedule", "list", "--json", "--count", "2"]).stdout;
    let listed: Value = serde_json::from_str(listed.trim()).unwrap();
    assert_eq!((&listed["name"], listed["next"].as_array().unwrap().len()), (&json!("tick"), 2));
    assert!(
        world.ok(&["schedule", "list"]).stdout.contains("*/2 * * * * * UTC, missed: skip, overlap: skip")
    );

    let began = now();
    let service = Service::start(&world);
    let session = until_ended(&world);
    assert_eq!(service.end().status, 0);
    let Origin::Schedule { schedule, due } = origin(&world, session) else { panic!("it is a schedule's") };
    assert!(schedule == "tick" && due > began && due.0 % 2000 == 0, "{schedule} {due:?}");
    let pull_request = world.ok(&["pr", &session.to_string()]).stdout;
    assert!(pull_request.contains("End the greeting with a mark"), "{pull_request}");
}

#[test]
fn two_servers_on_one_database_begin_one_session_for_each_time() {
    let Some(postgres) = Postgres::shared() else { return };
    let world = World::new();
    let key = world.file("master.key", &"5a".repeat(32));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    // Nobody works on them: each makes way for the next.
    let text = format!(
        "[store]\nurl = {:?}\n[secrets]\nkey = {{ file = {key:?} }}\n[server]\nmodels = [\"scripted/demo\"]\n\
         [[schedule]]\nname = \"tick\"\ncron = \"* * * * * *\"\noverlap = \"cancel\"\nprompt = \"x\"\nrepository = \"/srv/a\"\n",
        postgres.database()
    );
    world.file("cofferdam.toml", &text);
    let mut servers: Vec<_> =
        (0..2).map(|_| world.cofferdam(&["server", "--listen", "127.0.0.1:0"]).start()).collect();
    for server in &mut servers {
        server.until("listening on ");
    }
    let patience = Instant::now() + Duration::from_secs(60);
    while sessions(&world).len() < 4 {
        assert!(Instant::now() < patience, "{:?}", sessions(&world));
    }
    for server in servers {
        server.signal(Signal::TERM);
        let ended = server.finish();
        assert_eq!(ended.status, 0, "{ended}");
    }
    let all = sessions(&world);
    let due = |row: &Value| match origin(&world, row["id"].as_str().unwrap().parse().unwrap()) {
        Origin::Schedule { due, .. } => due,
        other => panic!("{other:?}"),
    };
    let times: BTreeSet<_> = all.iter().map(due).collect();
    assert_eq!(times.len(), all.len(), "each time once");
}

/// Posts something to the service; the status of the answer.
fn post(service: &Service<'_>, name: &str, id: &str, body: &str, secret: &str) -> u16 {
    let host = service.address.strip_prefix("http://").unwrap();
    let seconds = now().0 / 1000;
    let signature = secret.parse::<SigningSecret>().unwrap().sign(id, seconds, body);
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "POST /hooks/{name} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         webhook-id: {id}\r\nwebhook-timestamp: {seconds}\r\nwebhook-signature: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn what_another_program_posts_becomes_a_pull_request() {
    let Some(world) = World::with_sandboxes() else { return };
    let secret = world.file("hook.secret", SECRET);
    configure(
        &world,
        &format!(
            "[[hook]]\nname = \"alerts\"\nprompt = \"End the greeting with a mark: {{{{/title}}}}\"\n\
             proof = {{ kind = \"standard-webhooks\", secret = {{ file = {secret:?} }} }}"
        ),
    );
    let service = Service::start(&world);
    let body = json!({ "title": "it has none" }).to_string();
    let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(post(&service, "alerts", "msg_0", &body, other), 401);
    assert_eq!(post(&service, "alarms", "msg_0", &body, SECRET), 404);
    for _ in 0..2 {
        assert_eq!(post(&service, "alerts", "msg_1", &body, SECRET), 202);
    }
    let session = until_ended(&world);
    let ended: Output = service.end();
    assert!(ended.status == 0 && !ended.stderr.contains("whsec_"), "{ended}");
    assert_eq!(sessions(&world).len(), 1);
    assert_eq!(origin(&world, session), Origin::Hook { hook: "alerts".into(), delivery: "msg_1".into() });
    let EventBody::TaskAccepted { task } = &world.events(Some(session))[0].body else { panic!() };
    assert!(task.prompt.starts_with("End the greeting with a mark: [/title]\n"), "{}", task.prompt);
    assert!(task.prompt.contains("[/title]\n    it has none\n"), "{}", task.prompt);
}

#[test]
fn tables_with_one_name_are_heard_of_at_the_start() {
    let world = World::new();
    let secret = world.file("hook.secret", SECRET);
    let table = format!(
        "[[hook]]\nname = \"a\"\nprompt = \"x\"\nrepository = \"/srv/a\"\nproof = {{ kind = \"pagerduty\", secret = {{ file = {secret:?} }} }}\n"
    );
    world.file("cofferdam.toml", &table.repeat(2));
    let twice = world.run(&["server", "--listen", "127.0.0.1:0"]);
    assert!(twice.status == 1 && twice.stderr.contains("each table another one"), "{twice}");
    let world = World::new();
    world.file(
        "cofferdam.toml",
        "[[schedule]]\nname = \"a\"\ncron = \"0 3 * * *\"\nrepository = \"/srv/a\"\nprompt = \"x\"\norganisation = \"nobody\"\n",
    );
    let missing = world.run(&["server", "--listen", "127.0.0.1:0"]);
    assert!(missing.status == 1 && missing.stderr.contains("no organisation \"nobody\""), "{missing}");
    assert!(world.ok(&["schedule", "list"]).stdout.contains("03:00:00 UTC"));
}
