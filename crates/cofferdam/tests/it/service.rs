//! The service as people use it: everything started by one command, asked by the command line and over HTTP.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
};

use cofferdam_domain::Owner;
use cofferdam_store::seal::{KeySource, MasterKey, MasterKeys, Sealer};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    commands::{TASK, finish, greeter, look, mend, shell},
    egress::{holds, permit_from},
    harness::{Output, Running, World},
    lab::Lab,
};

/// A service that has been started, and how to ask it.
pub(crate) struct Service<'w> {
    world: &'w World,
    up: Running,
    pub(crate) address: String,
    pub(crate) token: String,
}

impl<'w> Service<'w> {
    /// Starts one on a store in which nobody has signed in yet.
    pub(crate) fn start(world: &'w World) -> Self {
        let mut up = world.cofferdam(&["up", "--listen", "127.0.0.1:0"]).start();
        let line = up.until("listening on ");
        let address = line.trim().rsplit(' ').next().unwrap().to_owned();
        let link = up.until("sign in within");
        assert!(link.contains(&format!("{address}/sign-in/cfl_")), "{link}");
        let token = world.ok(&["admin", "token", "local", "--rank", "member"]).stdout.trim().to_owned();
        Self { world, up, address, token }
    }

    /// Runs a command as a client.
    pub(crate) fn client(&self, arguments: &[&str]) -> Output {
        let invocation = self.world.cofferdam(arguments);
        invocation.env("COFFERDAM_SERVER", &self.address).env("COFFERDAM_TOKEN", &self.token).run()
    }

    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.client(arguments);
        assert_eq!(output.status, 0, "{arguments:?}: {output}");
        output.stdout
    }

    /// Sends one request to the API with this token, and gives the status and the body of the answer.
    pub(crate) fn ask(&self, token: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        let host = self.address.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} /api/v1{path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Kills it, as a machine that loses its power does.
    pub(crate) fn kill(self) {
        self.up.signal(Signal::KILL);
        self.up.finish();
    }

    /// Ends it as a service manager does.
    pub(crate) fn end(self) -> Output {
        self.up.signal(Signal::TERM);
        self.up.finish()
    }
}

#[test]
fn a_task_by_the_api_becomes_a_merged_pull_request() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    let model = world.recording(&json!([look(), mend(), finish("done")]));
    world.add_to_configuration(&format!(
        "[policy]\ntest_command = \"sh test.sh\"\n[server]\nmodels = [{model:?}]\n"
    ));
    let service = Service::start(&world);

    let ran = service.client(&["run", "--repo", repository.address(), "--model", &model, TASK]);
    assert_eq!(ran.status, 0, "{ran}");
    let row: Value = serde_json::from_str(service.ok(&["sessions", "--json"]).trim()).unwrap();
    assert_eq!((&row["state"], &row["outcome"]), (&json!("ended"), &json!("succeeded")));
    let session = row["id"].as_str().unwrap();
    // The same views, whether the events come from the store or from the server.
    assert_eq!(service.ok(&["show", session]), world.ok(&["show", session]).stdout);
    assert_eq!(service.ok(&["show", session, "--json"]), world.ok(&["show", session, "--json"]).stdout);
    assert_eq!(service.ok(&["sessions"]), world.ok(&["sessions"]).stdout);
    assert_eq!(service.ok(&["diff", session]), world.ok(&["diff", session]).stdout);
    assert!(service.ok(&["pr", session]).contains("End the greeting with a mark"));
    let taken = service.client(&["merge", session]);
    assert!(taken.status == 1 && taken.stderr.contains("is checked out"), "{taken}");
    repository.git(&["checkout", "--quiet", "--detach"]);
    let merged = service.ok(&["merge", session]);
    assert!(merged.starts_with("merged into main as "), "{merged}");
    let again = service.client(&["merge", session]);
    assert!(again.status == 1 && again.stderr.contains("merged or closed already"), "{again}");
    let verified = world.ok(&["audit", "verify", session]).stdout;
    assert!(verified.contains("are as they were written"), "{verified}");

    let ended = service.end();
    assert_eq!(ended.status, 0, "{ended}");
}

/// What no file of the store may have in it.
const SECRET: &str = "kept-4d81a6e2c07b93f5";

#[tokio::test]
async fn a_credential_is_kept_encrypted_and_whoever_has_the_key_opens_it() {
    let Some(world) = World::with_sandboxes() else { return };
    world.add_to_configuration("[server]\nmodels = [\"scripted/demo\"]\n");
    let service = Service::start(&world);
    let token = world.ok(&["admin", "token", "local", "--rank", "admin"]).stdout.trim().to_owned();
    let path = "/credentials/registry";
    let (status, answer) = service.ask(&token, "PUT", path, &json!({ "secret": SECRET }).to_string());
    assert!((200..300).contains(&status), "{status}: {answer}");
    let (status, list) = service.ask(&token, "GET", "/credentials", "");
    assert!(status == 200 && list.contains("registry") && !list.contains(SECRET), "{status}: {list}");
    assert!(service.ask(&token, "GET", path, "").0 >= 400, "nobody reads it again");
    let ended = service.end();
    assert!(ended.status == 0 && !ended.stderr.contains(SECRET), "{ended}");
    assert_eq!(holds(&world.data(), SECRET.as_bytes()), None, "nothing on disk has it in the clear");

    let store = cofferdam_store::open(world.data().to_str().unwrap()).await.unwrap();
    let [sealed] = store.secrets(Owner::LOCAL.org).await.unwrap().try_into().unwrap();
    let open = async |key| {
        let master = MasterKey::read(&KeySource::File(key)).await.unwrap();
        Sealer::new(store.clone(), MasterKeys::new(master, Vec::new())).open(Owner::LOCAL.org, &sealed).await
    };
    assert_eq!(open(world.data().join("master.key")).await.unwrap().expose(), SECRET);
    let other = world.file("other.key", &MasterKey::generate().unwrap());
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(open(other).await.is_err(), "another key opens nothing");
}

#[test]
fn a_stored_credential_is_added_at_the_door_and_seen_nowhere_else() {
    let Some(world) = World::with_sandboxes() else { return };
    let lab = Lab::http(|asked| Some((200, format!("answer to {}", asked.target).into_bytes())));
    let repository = greeter(&world);
    let fetch = shell("curl -sS http://lab.example/private/a; env");
    let model = world.recording(&json!([look(), fetch, mend(), finish("done")]));
    world.add_to_configuration(&format!(
        "[policy]\ntest_command = \"sh test.sh\"\n[server]\nmodels = [{model:?}]\n"
    ));
    permit_from("stored = \"registry\"", &world, &lab, "");
    let service = Service::start(&world);
    let token = world.ok(&["admin", "token", "local", "--rank", "admin"]).stdout.trim().to_owned();
    let (status, answer) =
        service.ask(&token, "PUT", "/credentials/registry", &json!({ "secret": SECRET }).to_string());
    assert!((200..300).contains(&status), "{status}: {answer}");
    let ran = service.client(&["run", "--repo", repository.address(), "--model", &model, TASK]);
    assert_eq!(ran.status, 0, "{ran}");
    let seen: Vec<_> = lab.asked().iter().map(|asked| asked.headers.get("authorization").cloned()).collect();
    assert_eq!(seen, [Some(format!("Bearer {SECRET}"))]);
    let shown = world.ok(&["show", "--json"]).stdout;
    assert!(shown.contains("answer to /private/a") && !shown.contains(SECRET), "{shown}");
    assert_eq!(service.end().status, 0);
    assert_eq!(holds(&world.data(), SECRET.as_bytes()), None);
}

#[test]
fn a_deleted_session_leaves_nothing_on_disk() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    let model = world.recording(&json!([look(), mend(), finish("done")]));
    world.add_to_configuration(&format!(
        "[policy]\ntest_command = \"sh test.sh\"\n[server]\nmodels = [{model:?}]\n"
    ));
    let service = Service::start(&world);
    let token = world.ok(&["admin", "token", "local", "--rank", "admin"]).stdout.trim().to_owned();
    let ran = service.client(&["run", "--repo", repository.address(), "--model", &model, TASK]);
    assert_eq!(ran.status, 0, "{ran}");
    let row: Value = serde_json::from_str(service.ok(&["sessions", "--json"]).trim()).unwrap();
    let session = row["id"].as_str().unwrap();
    let left = world.data().join("sessions").join(session);
    // Whatever a session leaves, this is where it would be.
    fs::create_dir_all(left.join("quarantine.git/objects")).unwrap();
    let (status, answer) = service.ask(&token, "DELETE", &format!("/sessions/{session}"), "");
    assert!((200..300).contains(&status), "{status}: {answer}");
    assert!(!left.exists(), "what was left is gone when the answer comes");
    assert_eq!(service.end().status, 0);

    // As on the disk of a worker that was away: it removes what was deleted when it starts, and nothing else.
    let other = world.data().join("sessions/ses_00000000000000000000000001");
    for directory in [&left, &other] {
        fs::create_dir_all(directory.join("quarantine.git/objects")).unwrap();
    }
    let mut up = world.cofferdam(&["up", "--listen", "127.0.0.1:0"]).start();
    up.until("listening on ");
    up.signal(Signal::TERM);
    assert_eq!(up.finish().status, 0);
    assert!(!left.exists() && other.exists(), "{left:?} is left, or {other:?} is not");
}

#[tokio::test]
async fn the_master_key_is_replaced_while_the_server_runs() {
    let world = World::new();
    world.add_to_configuration("[server]\nmodels = [\"scripted/demo\"]\n");
    let mut up = world.cofferdam(&["server", "--listen", "127.0.0.1:0"]).start();
    let address = up.until("listening on ").trim().rsplit(' ').next().unwrap().to_owned();
    let service = Service { world: &world, up, address, token: String::new() };
    let token = world.ok(&["admin", "token", "local", "--rank", "admin"]).stdout.trim().to_owned();
    let put = |name: &str| {
        let secret = json!({ "secret": SECRET }).to_string();
        let (status, answer) = service.ask(&token, "PUT", &format!("/credentials/{name}"), &secret);
        assert!((200..300).contains(&status), "{status}: {answer}");
    };
    put("before");
    let (key, earlier) = (world.data().join("master.key"), world.data().join("master.key.earlier"));
    let first = fs::read_to_string(&key).unwrap();

    let rotated = world.ok(&["admin", "rotate-key"]).stdout;
    assert!(rotated.contains("1 data key encrypted with the present master key"), "{rotated}");
    assert!(rotated.contains(earlier.to_str().unwrap()), "{rotated}");
    assert_eq!(fs::read_to_string(&earlier).unwrap(), first);
    let second = fs::read_to_string(&key).unwrap();
    assert_ne!(second, first);
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    put("after");
    // As long as the earlier one is there, another rotation makes no third.
    world.ok(&["admin", "rotate-key"]);
    assert_eq!(fs::read_to_string(&key).unwrap(), second);
    fs::remove_file(&earlier).unwrap();
    put("later");
    let (_, audit) = service.ask(&token, "GET", "/audit", "");
    assert!(audit.contains("master_key.rotated"), "{audit}");
    assert_eq!(service.end().status, 0);

    let store = cofferdam_store::open(world.data().to_str().unwrap()).await.unwrap();
    let sealed = store.secrets(Owner::LOCAL.org).await.unwrap();
    assert_eq!(sealed.len(), 3);
    for (text, opens) in [(second, true), (first, false)] {
        let file = world.file("key", &text);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let master = MasterKey::read(&KeySource::File(file)).await.unwrap();
        let sealer = Sealer::new(store.clone(), MasterKeys::new(master, Vec::new()));
        for one in &sealed {
            let opened = sealer.open(Owner::LOCAL.org, one).await;
            assert_eq!(opened.is_ok_and(|secret| secret.expose() == SECRET), opens);
        }
    }
}

#[test]
fn a_key_that_cannot_be_read_is_heard_of_at_the_start() {
    let world = World::new();
    let key = world.file("open.key", "00");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    world.add_to_configuration(&format!("[secrets]\nkey = {{ file = {:?} }}\n", key.to_str().unwrap()));
    let open = world.run(&["server", "--listen", "127.0.0.1:0"]);
    assert!(open.status == 1 && open.stderr.contains("chmod 600"), "{open}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let short = world.run(&["server", "--listen", "127.0.0.1:0"]);
    assert!(short.status == 1 && short.stderr.contains("openssl rand -hex 32"), "{short}");
    assert!(!world.data().join("master.key").exists(), "the one that is configured is the only one");
}

#[test]
fn what_a_server_refuses_is_said_in_its_words() {
    let world = World::new();
    world.add_to_configuration("[server]\nmodels = [\"scripted/demo\"]\n");
    let repository = greeter(&world);
    let mut service = world.cofferdam(&["server", "--listen", "127.0.0.1:0"]).start();
    let address = service.until("listening on ").trim().rsplit(' ').next().unwrap().to_owned();
    let token = world.ok(&["admin", "token", "local", "--rank", "viewer"]).stdout.trim().to_owned();
    let ask = |token: &str, arguments: &[&str]| {
        world.cofferdam(arguments).env("COFFERDAM_SERVER", &address).env("COFFERDAM_TOKEN", token).run()
    };
    let run = ["run", "--repo", repository.address(), TASK];
    for (output, wanted) in [
        (ask(&token, &run), "this takes the rank member"),
        (ask("cfd_0", &run), "sign in, or send an API token"),
        (ask("", &run), "set COFFERDAM_TOKEN"),
        (ask(&token, &["run", "--repo", repository.address(), "--test", "true", TASK]), "leave out"),
        (ask(&token, &["cancel", "ses_00000000000000000000000000"]), "there is no such session"),
    ] {
        assert_eq!(output.status, 1, "{output}");
        assert!(output.stderr.contains(wanted), "{output}");
    }
    let token = world.ok(&["admin", "token", "local"]).stdout.trim().to_owned();
    let forked = ask(&token, &["fork", "ses_00000000000000000000000000", "1"]);
    assert!(forked.stderr.contains("there is no such session"), "{forked}");
    service.signal(Signal::TERM);
    assert_eq!(service.finish().status, 0);
}

#[test]
fn other_machines_are_not_served_unencrypted() {
    let world = World::new();
    let open = world.run(&["up", "--listen", "0.0.0.0:0"]);
    assert!(open.status == 1 && open.stderr.contains("[server] origin"), "{open}");
    world.add_to_configuration("[server]\norigin = \"http://cofferdam.example.com\"\n");
    let plain = world.run(&["server", "--listen", "0.0.0.0:0"]);
    assert!(plain.status == 1 && plain.stderr.contains("not encrypted"), "{plain}");
}

#[test]
fn people_are_set_up_on_the_machine() {
    let world = World::new();
    let link = world.ok(&["admin", "link", "local"]).stdout;
    assert!(link.contains("http://127.0.0.1:7480/sign-in/cfl_"), "{link}");
    world.ok(&["admin", "user", "Ann", "--rank", "viewer"]);
    world.ok(&["admin", "token", "Ann", "--rank", "viewer"]);
    let twice = world.run(&["admin", "user", "Bob", "--rank", "owner"]);
    assert_eq!(twice.status, 2, "{twice}");
    let nobody = world.run(&["admin", "link", "Carol"]);
    assert!(nobody.status == 1 && nobody.stderr.contains("admin user"), "{nobody}");
    world.ok(&["admin", "org", "elsewhere", "--admin", "Dora"]);
    assert_eq!(world.run(&["admin", "org", "elsewhere", "--admin", "Dora"]).status, 1);
    world.ok(&["admin", "link", "Dora", "--org", "elsewhere"]);
    assert_eq!(world.run(&["admin", "link", "Dora"]).status, 1, "nobody of this organisation");
}
