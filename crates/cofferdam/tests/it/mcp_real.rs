//! The reference servers of the protocol's own project in sessions: as programs in sandboxes, and elsewhere behind TLS.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use cofferdam_domain::{Event, EventBody, Integrity, ToolOutcome, ToolStatus};
use cofferdam_testkit::kept_node;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::{
    commands::{call, finish},
    egress::holds,
    harness::{Output, Repository, World, skip},
    lab::authority,
};

const VERSION: &str = "2026.8.31";
/// The exit status of a session that had nothing to change.
const NOTHING: i32 = 3;
/// What no sandbox, log or model may ever see.
const SECRET: &str = "real-8d41c02b7e6f4a95";
/// A resource of the server that has a bit of everything, and a prompt that wants to be given something.
const RESOURCE: &str = "demo://resource/static/document/features.md";
const PROMPT: &str = "args-prompt";
/// A tool that takes as long as it is told to.
const LONG: &str = "trigger-long-running-operation";
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// Where a server's package is; `None`, loudly, where it cannot be had.
fn package(name: &str) -> Option<PathBuf> {
    let version = format!("@modelcontextprotocol/{name}@{VERSION}");
    let place = Command::new("node").arg("--version").output().ok().and_then(|_| kept_node(&[&version]));
    if place.is_none() {
        skip(&format!("npm cannot install {version}, or there is no node"));
    }
    place
}

/// The configuration of a server as a program, with its package in its sandbox.
fn program(called: &str, name: &str, arguments: &str, more: &str) -> Option<String> {
    let place = package(name)?;
    let place = place.display();
    Some(format!(
        r#"
[[mcp]]
name = "{called}"
command = ["node", "/servers/node_modules/@modelcontextprotocol/{name}/dist/index.js"{arguments}]
read_only = [{{ host = "{place}", inside = "/servers" }}]
limits = {{ start_seconds = 120, call_seconds = 120 }}
{more}
"#
    ))
}

fn repository(world: &World) -> Repository {
    world.repository("project", &[("README.md", "A project.\n"), ("test.sh", "echo ok 1 - all\n")])
}

fn approve(world: &World, server: &str) -> Value {
    let found = with_secret(world, &["mcp", "inspect", server, "--json"]);
    let found: Value = serde_json::from_str(&found.stdout).unwrap();
    with_secret(world, &["mcp", "approve", server, found["digest"].as_str().unwrap()]);
    found
}

fn with_secret(world: &World, arguments: &[&str]) -> Output {
    let output = world.cofferdam(arguments).env("REAL_SECRET", SECRET).run();
    assert!([0, NOTHING].contains(&output.status), "{output}");
    output
}

fn task<'a>(repository: &'a Repository, model: &'a str) -> [&'a str; 8] {
    ["run", "--repo", repository.address(), "--model", model, "--test", "sh test.sh", "Look it up."]
}

fn outcomes(events: &[Event]) -> Vec<&ToolOutcome> {
    let finished = events.iter().filter_map(|event| match &event.body {
        EventBody::ToolFinished { outcome, .. } => Some(outcome),
        _ => None,
    });
    finished.collect()
}

#[test]
fn the_server_with_everything_is_used_in_its_sandbox() {
    let Some(world) = World::with_sandboxes() else { return };
    let more = r#"resources = "allow"
resource_arguments = [{ name = "uri", must = { prefix = "demo://resource/static/" } }]
prompts = "allow"
[[mcp.tools]]
names = ["echo", "get-tiny-image", "get-env"]
permit = "allow"
read_only = true"#;
    let Some(every) = program("every", "server-everything", r#", "stdio""#, more) else { return };
    world.add_to_configuration(&every);
    let repository = repository(&world);
    let found = approve(&world, "every");
    assert_eq!(found["resources"]["offered"], true);
    assert!(found["prompts"]["offered"].to_string().contains(PROMPT), "{found}");
    let read = |uri: &str| call("every__read_resource", &json!({ "uri": uri }));
    let prompt =
        |name: &str| call("every__get_prompt", &json!({ "name": name, "arguments": { "city": "Lisbon" } }));
    let model = world.recording(&json!([
        call("every__echo", &json!({ "message": "hello there" })),
        call("every__get-tiny-image", &json!({})),
        call("every__get-env", &json!({})),
        call("every__list_resources", &json!({})),
        read(RESOURCE),
        prompt(PROMPT),
        // The agent was talked into something.
        read("demo://resource/dynamic/text/1"),
        read("demo://resource/static/../dynamic/text/1"),
        read("demo://resource/static/%2e%2e/dynamic/text/1"),
        prompt("another"),
        call("every__get-sum", &json!({ "a": 1, "b": 2 })),
        finish("nothing_to_do"),
    ]));
    let ended = with_secret(&world, &task(&repository, &model));
    let events = world.events(None);
    let all = outcomes(&events);
    let [echo, image, env, list, read, prompt, dynamic, climbing, hiding, another, sum, ..] = all[..] else {
        panic!("{ended}: {all:?}")
    };
    assert!(echo.text.contains("hello there") && echo.status == ToolStatus::Ok, "{echo:?}");
    assert_eq!((image.images.len(), image.images[0].media_type.as_str()), (1, "image/png"), "{image:?}");
    assert!(env.text.contains("HOME") && !env.text.contains(SECRET), "{env:?}");
    assert!(list.text.contains(RESOURCE) && list.text.contains("template"), "{list:?}");
    assert!(read.status == ToolStatus::Ok && read.text.len() > 500, "{read:?}");
    assert!(prompt.text.contains("[user]") && prompt.text.contains("Lisbon"), "{prompt:?}");
    for outcome in [echo, list, read, prompt] {
        assert_eq!(outcome.label.integrity, Integrity::Untrusted);
    }
    assert!(dynamic.status == ToolStatus::Refused && dynamic.text.contains("begin with"), "{dynamic:?}");
    assert!(climbing.status == ToolStatus::Refused, "{climbing:?}");
    assert!(hiding.status == ToolStatus::Error && hiding.text.contains("hides"), "{hiding:?}");
    assert!(another.status == ToolStatus::Error && another.text.contains("no prompt"), "{another:?}");
    assert!(sum.text.contains("no tool"), "what is denied is not there: {sum:?}");
    world.ok(&["replay"]);
    world.assert_nothing_is_left();
}

#[test]
fn the_servers_for_files_and_for_memory_stay_in_theirs() {
    let Some(world) = World::with_sandboxes() else { return };
    let allow = "[[mcp.tools]]\nnames = [\"*\"]\npermit = \"allow\"\nread_only = true";
    let root = r#", "/servers/node_modules/@modelcontextprotocol""#;
    let keeps = format!("environment = {{ MEMORY_FILE_PATH = \"/tmp/memory.jsonl\" }}\n{allow}");
    let Some(files) = program("files", "server-filesystem", root, allow) else { return };
    let Some(memory) = program("memory", "server-memory", "", &keeps) else { return };
    world.add_to_configuration(&format!("{files}{memory}"));
    let repository = repository(&world);
    approve(&world, "files");
    approve(&world, "memory");
    // They have many tools together: the model finds them, or knows them.
    let made =
        |name: &str, arguments: Value| call("call_tool", &json!({ "name": name, "arguments": arguments }));
    let place = "/servers/node_modules/@modelcontextprotocol/server-filesystem/package.json";
    let entity =
        json!({ "entities": [{ "name": "boat", "entityType": "thing", "observations": ["floats"] }] });
    let model = world.recording(&json!([
        call("find_tools", &json!({ "query": "read the complete contents of a text file" })),
        made("files__read_text_file", json!({ "path": place })),
        made("files__read_text_file", json!({ "path": "/etc/passwd" })),
        made("files__write_file", json!({ "path": place, "content": "changed" })),
        made("memory__create_entities", entity),
        made("memory__read_graph", json!({})),
        finish("nothing_to_do"),
    ]));
    let ended = with_secret(&world, &task(&repository, &model));
    let events = world.events(None);
    let all = outcomes(&events);
    let [found, read, outside, write, _, graph, ..] = all[..] else { panic!("{ended}: {all:?}") };
    assert!(found.text.contains("files__read_text_file"), "{found:?}");
    assert!(read.status == ToolStatus::Ok && read.text.contains("server-filesystem"), "{read:?}");
    assert!(outside.status == ToolStatus::Error && !outside.text.contains("root:"), "{outside:?}");
    assert_eq!(write.status, ToolStatus::Error, "its package is there to be read: {write:?}");
    assert!(graph.text.contains("floats"), "it remembers as long as it runs: {graph:?}");
    world.ok(&["replay"]);
    world.assert_nothing_is_left();
}

/// A real server on this machine with TLS before it, which lets in whoever brings the secret; until it is dropped.
struct Elsewhere {
    node: Child,
    address: SocketAddr,
    root: String,
    heard: Arc<Heard>,
}

/// What it was told, in order.
#[derive(Default)]
struct Heard {
    told: Mutex<Vec<Value>>,
    more: Condvar,
}

impl Heard {
    fn add(&self, message: Value) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        self.more.notify_all();
    }

    /// Waits for a message like this.
    fn until(&self, like: impl Fn(&Value) -> bool) -> Value {
        let told = self.told.lock().unwrap();
        let (told, late) =
            self.more.wait_timeout_while(told, PATIENCE, |told| !told.iter().any(&like)).unwrap();
        assert!(!late.timed_out(), "{told:?}");
        told.iter().find(|message| like(message)).unwrap().clone()
    }
}

impl Elsewhere {
    fn start() -> Option<Self> {
        let place = package("server-everything")?;
        let program = place.join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut node = Command::new("node")
            .arg(program)
            .arg("streamableHttp")
            .env("PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let mut said = BufReader::new(node.stderr.take().unwrap()).lines();
        let listens = said.by_ref().map_while(Result::ok).any(|line| line.contains("listening"));
        assert!(listens, "it does not begin to listen");
        std::thread::spawn(move || said.for_each(drop));
        let (config, root) = authority("lab.example");
        let front = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = front.local_addr().unwrap();
        let heard: Arc<Heard> = Arc::default();
        let hears = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in front.incoming().flatten() {
                let (config, hears) = (config.clone(), hears.clone());
                // Whoever goes away in the middle is none of its business.
                std::thread::spawn(move || lead(stream, config, port, &hears).ok());
            }
        });
        Some(Self { node, address, root, heard })
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.node.kill().ok();
        self.node.wait().ok();
    }
}

/// Leads one request of whoever brings the secret to the server, and its answer back.
fn lead(stream: TcpStream, config: Arc<ServerConfig>, port: u16, heard: &Heard) -> std::io::Result<()> {
    let session = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut client = BufReader::new(StreamOwned::new(session, stream));
    let (mut head, mut line) = (Vec::new(), String::new());
    while client.read_line(&mut line)? > 2 {
        head.push(std::mem::take(&mut line).trim_end().to_owned());
    }
    let value = |name: &str| {
        let fields = head.iter().filter_map(|field| field.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    };
    if value("authorization") != Some(&format!("Bearer {SECRET}")) {
        return client
            .get_mut()
            .write_all(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    let length = value("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    let mut body = vec![0; length];
    client.read_exact(&mut body)?;
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    for field in head.iter().filter(|field| !field.to_lowercase().starts_with("connection:")) {
        write!(server, "{field}\r\n")?;
    }
    server.write_all(b"connection: close\r\n\r\n")?;
    server.write_all(&body)?;
    // Only once it is on its way.
    heard.add(serde_json::from_slice(&body).unwrap_or_default());
    // It says itself that it keeps a connection, also where it was asked not to.
    let (mut server, mut line) = (BufReader::new(server), String::new());
    while server.read_line(&mut line)? > 2 {
        if !line.to_lowercase().starts_with("connection:") {
            client.get_mut().write_all(line.as_bytes())?;
        }
        line.clear();
    }
    client.get_mut().write_all(b"connection: close\r\n\r\n")?;
    std::io::copy(&mut server, client.get_mut())?;
    client.get_mut().conn.send_close_notify();
    client.get_mut().flush()
}

fn world_with(elsewhere: &Elsewhere, seconds: u32) -> Option<(World, Repository)> {
    let world = World::with_sandboxes()?;
    let (root, address) = (world.file("lab.pem", &elsewhere.root), elsewhere.address);
    world.add_to_configuration(&format!(
        r#"
[egress]
registries = "off"
roots = [{root:?}]
[[credentials]]
name = "lab"
host = "lab.example"
methods = ["POST", "GET", "DELETE"]
paths = ["/mcp"]
source = {{ env = "REAL_SECRET" }}
[[mcp]]
name = "every"
url = "https://lab.example/mcp"
credential = "lab"
addresses = {{ at = "{address}" }}
resources = "allow"
limits = {{ start_seconds = 120, call_seconds = {seconds} }}
[[mcp.tools]]
names = ["echo", "{LONG}"]
permit = "allow"
read_only = true
"#
    ));
    let repository = repository(&world);
    approve(&world, "every");
    Some((world, repository))
}

#[test]
fn a_server_behind_tls_is_reached_through_the_door_and_told_when_a_call_is_over() {
    let Some(elsewhere) = Elsewhere::start() else { return };
    let Some((world, repository)) = world_with(&elsewhere, 15) else { return };
    let model = world.recording(&json!([
        call("every__echo", &json!({ "message": "over TLS" })),
        call("every__read_resource", &json!({ "uri": RESOURCE })),
        // It tells that it goes on, and that gives it no more time.
        call(&format!("every__{LONG}"), &json!({ "duration": 6_000, "steps": 6_000 })),
        call("every__echo", &json!({ "message": "once more" })),
        finish("nothing_to_do"),
    ]));
    let ended = with_secret(&world, &task(&repository, &model));
    let events = world.events(None);
    let all = outcomes(&events);
    let [echo, read, long, again, ..] = all[..] else { panic!("{ended}: {all:?}") };
    assert!(echo.text.contains("over TLS") && read.text.len() > 500, "{echo:?} {read:?}");
    assert!(long.status == ToolStatus::TimedOut && long.text.contains("15 s"), "{long:?}");
    assert!(again.text.contains("once more"), "{again:?}");
    let asked = elsewhere.heard.until(|told| told["params"]["name"] == LONG);
    elsewhere.heard.until(|told| {
        told["method"] == "notifications/cancelled" && told["params"]["requestId"] == asked["id"]
    });
    let passed = events.iter().filter_map(|event| match &event.body {
        EventBody::EgressAllowed(passed) => passed.credential.as_deref(),
        _ => None,
    });
    assert!(passed.filter(|credential| *credential == "lab").count() >= 4, "all of it is in the log");
    assert_eq!(holds(&world.data(), SECRET.as_bytes()), None, "nobody wrote the secret down");
}

#[test]
fn a_server_is_told_when_its_session_is_cancelled() {
    let Some(elsewhere) = Elsewhere::start() else { return };
    let Some((world, repository)) = world_with(&elsewhere, 3_000) else { return };
    let long = call(&format!("every__{LONG}"), &json!({ "duration": 6_000, "steps": 10 }));
    let model = world.recording(&json!([long, finish("nothing_to_do")]));
    let mut running = world.cofferdam(&task(&repository, &model)).env("REAL_SECRET", SECRET).start();
    let session = running.until("session ses_").trim().trim_start_matches("session ").to_owned();
    let asked = elsewhere.heard.until(|told| told["params"]["name"] == LONG);
    world.ok(&["cancel", &session]);
    running.finish();
    elsewhere.heard.until(|told| {
        told["method"] == "notifications/cancelled" && told["params"]["requestId"] == asked["id"]
    });
    world.assert_nothing_is_left();
}
