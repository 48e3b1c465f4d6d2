//! What the service tells about its sessions, as a collector, a scraper and a reader of logs see it. The collector reads with the official
//! protobuf classes, from the Python package index.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use cofferdam_domain::{EventBody, SessionId, Timestamp};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    audit::accepted,
    commands::{finish, greeter, look, mend, shell},
    harness::{Repository, World, skip},
    service::Service,
};

const VERSION: &str = "1.45.2";
/// Stands in the task, a file, a command, and what it prints.
const PLANTED: &str = "planted-7f3a";

/// A Python with the official classes, kept from one run to the next; `None`, loudly, where there is none.
fn python() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))?;
    let place = cache.join("cofferdam-test").join(format!("opentelemetry-proto-{VERSION}"));
    let python = place.join("bin/python");
    let succeeds = |command: &mut Command| {
        let run = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.is_ok_and(|status| status.success())
    };
    let has =
        || succeeds(Command::new(&python).args(["-c", "import opentelemetry.proto.trace.v1.trace_pb2"]));
    let made = || {
        // Tests run side by side: whoever comes second takes what the first has made.
        let _lock = lock(&cache);
        has()
            || succeeds(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&place))
                && succeeds(Command::new(place.join("bin/pip")).args([
                    "install",
                    "--quiet",
                    &format!("opentelemetry-proto=={VERSION}"),
                ]))
                && has()
    };
    if has() || made() {
        return Some(python);
    }
    skip(&format!("opentelemetry-proto {VERSION} is not there, and python3 with pip cannot install it"));
    None
}

fn lock(cache: &Path) -> std::fs::File {
    std::fs::create_dir_all(cache.join("cofferdam-test")).unwrap();
    let file = std::fs::File::create(cache.join("cofferdam-test/opentelemetry-proto.lock")).unwrap();
    file.lock().unwrap();
    file
}

/// A collector that runs until it is dropped.
struct Collector {
    child: Child,
    address: String,
    spans: Receiver<Value>,
    seen: Vec<Value>,
}

impl Collector {
    fn start() -> Option<Self> {
        let mut child = Command::new(python()?)
            .args(["-c", include_str!("collector.py")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.next().unwrap().unwrap();
        let (send, spans) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                send.send(serde_json::from_str(&line).unwrap()).ok();
            }
        });
        Some(Self { child, address, spans, seen: Vec::new() })
    }

    /// All that was heard until the root of a session's trace, and what followed at once.
    fn until_root(&mut self) -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let is_root = |span: &Value| span["parent"] == "";
        while !self.seen.iter().any(is_root) {
            let left = deadline.saturating_duration_since(Instant::now());
            self.seen.push(self.spans.recv_timeout(left).unwrap());
        }
        self.seen.extend(self.spans.try_iter());
        self.seen.clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What the model does: it looks, prints what is planted, mends, and ends.
fn steps(command: &str) -> Value {
    json!([look(), shell(command), mend(), finish("done")])
}

fn repository(world: &World) -> Repository {
    let repository = greeter(world);
    world.file("greeter/secret.txt", PLANTED);
    repository.commit("Add a file");
    world.add_to_configuration("[policy]\ntest_command = \"sh test.sh\"\n");
    repository
}

/// Asserts what holds for every trace; gives its spans by name.
fn check_trace(session: SessionId, spans: &[Value]) -> BTreeMap<String, Vec<Value>> {
    let ids: BTreeSet<&str> = spans.iter().map(|span| span["id"].as_str().unwrap()).collect();
    let trace = format!("{:032x}", session.as_u128());
    let mut names: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for span in spans {
        assert_eq!(span["trace"], trace.as_str(), "a session is a trace");
        assert_eq!(span["resource"]["service.name"], "cofferdam");
        assert_eq!(span["scope"], "cofferdam");
        let parent = span["parent"].as_str().unwrap();
        assert!(parent.is_empty() || ids.contains(parent), "nothing is missing: {span}");
        assert!(span["begin"].as_u64().unwrap() <= span["end"].as_u64().unwrap(), "{span}");
        names.entry(span["name"].as_str().unwrap().to_owned()).or_default().push(span.clone());
    }
    names
}

fn run<'a>(repository: &'a Repository, model: &'a str, task: &'a str) -> Vec<&'a str> {
    vec!["run", "--repo", repository.address(), "--model", model, task]
}

#[test]
fn a_run_is_a_trace() {
    let Some(world) = World::with_sandboxes() else { return };
    let Some(mut collector) = Collector::start() else { return };
    let repository = repository(&world);
    let model = world.recording(&steps(&format!("cat secret.txt; echo {PLANTED}")));
    let task = format!("The greeting should end with an exclamation mark. {PLANTED}");
    let begun = std::time::SystemTime::now();
    let ran = world
        .cofferdam(&run(&repository, &model, &task))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.address)
        .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        .run();
    assert_eq!(ran.status, 0, "{ran}");
    let spans = collector.until_root();
    let names = check_trace(ran.session(), &spans);
    let one = |name: &str| {
        let found = names.get(name).unwrap_or_else(|| panic!("{name} is not among {:?}", names.keys()));
        found[0].clone()
    };
    for name in
        ["queue", "repository", "sandbox", "collect", "gate", "evidence base", "evidence head", "push"]
    {
        assert_eq!(one(name)["parent"], one("invoke_agent cofferdam")["id"], "{name}");
    }
    let (root, chat, tool) =
        (one("invoke_agent cofferdam"), one("chat recording"), one("execute_tool shell"));
    assert_eq!(root["resource"]["deployment.environment.name"], "test");
    assert_eq!(root["attributes"]["gen_ai.conversation.id"], ran.session().to_string());
    assert_eq!(root["attributes"]["cofferdam.outcome"], "succeeded");
    assert_eq!(chat["attributes"]["gen_ai.operation.name"], "chat");
    assert_eq!(chat["attributes"]["gen_ai.provider.name"], "scripted");
    assert!(chat["attributes"]["gen_ai.usage.input_tokens"].is_u64());
    assert_eq!(chat["kind"], 3, "CLIENT");
    assert_eq!(tool["attributes"]["gen_ai.tool.name"], "shell");
    let step = spans.iter().find(|span| span["id"] == tool["parent"]).unwrap();
    assert_eq!(step["name"], "step");
    assert_eq!((names["chat recording"].len(), names["step"].len()), (4, 4));
    let answered = world.events(None);
    let at = answered.iter().find(|event| matches!(event.body, EventBody::ModelAsked { .. })).unwrap().at;
    assert_eq!(chat["begin"], at.0 * 1_000_000, "times are those of the log");
    let since = begun.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(u128::from(root["begin"].as_u64().unwrap()) + 1_000_000_000 >= since.as_nanos());
    let all = format!("{spans:?}");
    for content in [PLANTED, "exclamation", "greet.sh", "secret.txt", repository.address(), "test.sh"] {
        assert!(!all.contains(content), "{content}");
    }
    assert_eq!(std::fs::read_dir(world.data().join("telemetry")).unwrap().count(), 0, "all is delivered");
}

#[test]
fn content_is_told_where_it_may_be() {
    let Some(world) = World::with_sandboxes() else { return };
    let Some(mut collector) = Collector::start() else { return };
    let repository = repository(&world);
    world.add_to_configuration(&format!("[telemetry]\nendpoint = {:?}\ncontent = true\n", collector.address));
    let model = world.recording(&json!([shell(&format!("echo {PLANTED}")), finish("nothing_to_do")]));
    let ran = world.run(&run(&repository, &model, PLANTED));
    assert_eq!(ran.status, 3, "{ran}");
    let names = check_trace(ran.session(), &collector.until_root());
    let known =
        |name: &str, attribute: &str| names[name][0]["attributes"][attribute].as_str().unwrap().to_owned();
    assert!(known("invoke_agent cofferdam", "gen_ai.input.messages").contains(PLANTED));
    assert!(known("execute_tool shell", "gen_ai.tool.call.arguments").contains(PLANTED));
    assert!(known("execute_tool shell", "gen_ai.tool.call.result").contains(PLANTED));
    let answer: Value = serde_json::from_str(&known("chat recording", "gen_ai.output.messages")).unwrap();
    assert_eq!(
        (&answer[0]["role"], &answer[0]["parts"][0]["type"]),
        (&json!("assistant"), &json!("tool_call"))
    );
}

#[test]
fn a_trace_is_whole_although_its_worker_was_killed() {
    let Some(world) = World::with_sandboxes() else { return };
    let Some(mut collector) = Collector::start() else { return };
    let repository = repository(&world);
    world.add_to_configuration(&format!("[telemetry]\nendpoint = {:?}\n", collector.address));
    // Who edits has read before, and another worker knows nothing of that.
    let model = world.recording(&json!([look(), shell("sleep 600"), look(), mend(), finish("done")]));
    let arguments = [run(&repository, &model, "Mend it"), vec!["--json"]].concat();
    let mut running = world.cofferdam(&arguments).start();
    running.until("call_2_0");
    // It has told something by then.
    let first = collector.spans.recv_timeout(Duration::from_secs(60)).unwrap();
    collector.seen.push(first);
    running.signal(Signal::KILL);
    let killed = running.finish();
    assert_eq!(killed.status, 128 + 9, "{killed}");
    let resumed = world.run(&["resume"]);
    assert_eq!(resumed.status, 0, "{resumed}");
    let spans = collector.until_root();
    let names = check_trace(killed.session(), &spans);
    let lost = names["execute_tool shell"].iter().find(|span| span["status"] == 2).unwrap();
    assert_eq!(lost["attributes"]["error.type"], "worker_lost");
    let mut roots = names["invoke_agent cofferdam"].iter();
    assert!(roots.all(|root| root["parent"] == ""), "one turn");
    let queues: BTreeSet<&str> = names["queue"].iter().map(|span| span["id"].as_str().unwrap()).collect();
    assert_eq!(queues.len(), 1, "what is told twice is told as the same");
    let workers: BTreeSet<&str> =
        spans.iter().map(|span| span["resource"]["service.instance.id"].as_str().unwrap()).collect();
    assert_eq!(workers.len(), 2, "{workers:?}");
}

#[tokio::test]
async fn a_session_that_no_worker_ever_took_is_a_trace() {
    let Some(mut collector) = Collector::start() else { return };
    let world = World::new();
    world.add_to_configuration(&format!("[telemetry]\nendpoint = {:?}\n", collector.address));
    let session = accepted(&world, "Mend it", Timestamp(1_800_000_000_000), Vec::new()).await;
    let said = world.ok(&["cancel", &session.to_string()]).stdout;
    assert_eq!(said.trim(), format!("{session}: cancelled"));
    let spans = collector.until_root();
    let root = spans.iter().find(|span| span["parent"] == "").unwrap();
    assert_eq!(root["attributes"]["gen_ai.conversation.id"], session.to_string());
    assert_eq!(root["attributes"]["cofferdam.outcome"], "cancelled");
    let queue = spans.iter().find(|span| span["name"] == "queue").unwrap();
    assert_eq!(queue["parent"], root["id"]);
}

#[test]
fn a_collector_that_is_not_there_changes_nothing() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    world.add_to_configuration("[telemetry]\nendpoint = \"http://127.0.0.1:1\"\n");
    let model = world.recording(&json!([look(), finish("nothing_to_do")]));
    let ran = world.run(&run(&repository, &model, "Look at it"));
    assert_eq!(ran.status, 3, "{ran}");
    assert!(ran.stderr.contains("the next run on this data directory goes on with it"), "{ran}");
    let odd = world.cofferdam(&["resume"]).env("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere").run();
    assert_eq!(odd.status, 3, "{odd}");
    assert!(odd.stderr.contains("no traces are sent: OTEL_EXPORTER_OTLP_ENDPOINT"), "{odd}");
}

/// Asks a server on loopback for something, and gives the whole answer.
fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_service_is_watched_over() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let Some(world) = World::with_sandboxes() else { return };
    let Some(mut collector) = Collector::start() else { return };
    let repository = repository(&world);
    let model = world.recording(&steps(&format!("cat secret.txt; echo {PLANTED}")));
    world.add_to_configuration(&format!(
        "[server]\nmodels = [{model:?}]\n[telemetry]\nendpoint = {:?}\n",
        collector.address
    ));
    let service = Service::start(&world);
    let host = service.address.strip_prefix("http://").unwrap().to_owned();
    let task = json!({ "prompt": format!("Mend it. {PLANTED}"), "repository": repository.address(), "model": model });
    let (task, token) = (task.to_string(), service.token.clone());
    let made = ask(
        &service.address,
        &format!(
            "POST /api/v1/sessions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
             traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{task}",
            task.len()
        ),
    );
    let (_, made) = made.split_once("\r\n\r\n").unwrap();
    let session: SessionId = serde_json::from_str::<Value>(made).unwrap()["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{made}"))
        .parse()
        .unwrap();
    let spans = collector.until_root();
    let names = check_trace(session, &spans);
    let root = &names["invoke_agent cofferdam"][0];
    assert_eq!(root["links"], json!([[TRACE, "00f067aa0ba902b7"]]), "whoever asked is linked to");
    assert_eq!(root["attributes"]["cofferdam.task.source"], "api");

    let metrics = ask(
        &service.address,
        &format!(
            "GET /metrics HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        ),
    );
    for sample in [
        "cofferdam_sessions_ended_total{outcome=\"succeeded\"} 1",
        "cofferdam_sessions{state=\"ended\"} 1",
        "cofferdam_steps_total 4",
        "cofferdam_model_calls_total{provider=\"scripted\",model=\"recording\",result=\"ok\"} 4",
        "cofferdam_tool_calls_total{tool=\"shell\",status=\"ok\"} 2",
        "cofferdam_sandbox_seconds_count 1",
        "cofferdam_sessions_taken_total 1",
        "cofferdam_collector_up 1",
        "cofferdam_spans_dropped_total{why=\"refused\"} 0",
    ] {
        assert!(metrics.lines().any(|line| line == sample), "{sample}\n{metrics}");
    }
    assert!(
        metrics.contains("process_resident_memory_bytes ")
            && metrics.contains("cofferdam_append_seconds_count ")
    );
    let labels = metrics.lines().filter_map(|line| Some(line.split_once('{')?.1.split_once('}')?.0));
    for label in labels {
        let bad = [PLANTED, "\"ses_", "greeter", "127.0.0.1", "/api/v1/sessions/0"];
        assert!(!bad.iter().any(|content| label.contains(content)), "{label}");
    }
    dashboard_shows_only_what_there_is(&metrics);

    let ended = service.end();
    assert_eq!(ended.status, 0, "{ended}");
    let (mut about, trace) = (0, format!("{:032x}", session.as_u128()));
    for line in ended.stderr.lines().filter(|line| line.starts_with('{')) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(
            line["timestamp"].is_string() && line["level"].is_string() && line["fields"].is_object(),
            "{line}"
        );
        if line["fields"].get("session").is_some() {
            assert_eq!(line["trace_id"], trace.as_str(), "{line}");
            about += 1;
        }
    }
    assert!(about >= 2, "{ended}");
    for content in [PLANTED, "greet.sh", "secret.txt", repository.address(), &token, "Mend it"] {
        assert!(!ended.stderr.contains(content), "{content}: {ended}");
    }
}

/// Every number that the dashboard in `docs/` draws is one.
fn dashboard_shows_only_what_there_is(metrics: &str) {
    let dashboard = include_str!("../../../../docs/grafana-dashboard.json");
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let known: BTreeSet<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    let word = |text: &str| {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        text.split(|letter| !is_part(letter)).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut drawn = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            for name in word(target["expr"].as_str().unwrap()) {
                if !name.starts_with("cofferdam_") && !name.starts_with("process_") {
                    continue;
                }
                let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                assert!(
                    known.contains(name.as_str()) || base.is_some_and(|base| known.contains(base)),
                    "{name}"
                );
                drawn += 1;
            }
        }
    }
    assert!(drawn >= 15, "{drawn}");
}

#[test]
fn a_worker_without_a_server_shows_its_numbers() {
    let Some(world) = World::with_sandboxes() else { return };
    world.add_to_configuration("[worker]\nmetrics = \"127.0.0.1:0\"\n");
    let mut worker = world.cofferdam(&["worker"]).start();
    let line = worker.until("numbers at ");
    let address = line.trim().trim_start_matches("numbers at ").trim_end_matches("/metrics").to_owned();
    let get = |host: &str| {
        ask(&address, &format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"))
    };
    let shown = get("127.0.0.1:1");
    assert!(
        shown.starts_with("HTTP/1.1 200 ") && shown.contains("\ncofferdam_worker_sessions 0\n"),
        "{shown}"
    );
    assert!(get("numbers.example").starts_with("HTTP/1.1 421 "), "no page of somebody's own");
    worker.signal(Signal::TERM);
    assert_eq!(worker.finish().status, 0);
}
