//! The service as people use it: everything started by one command, asked by the command line and over HTTP.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    commands::{TASK, finish, greeter, look, mend},
    harness::{Output, Running, World},
};

/// A service that has been started, and how to ask it.
struct Service<'w> {
    world: &'w World,
    up: Running,
    address: String,
    token: String,
}

impl<'w> Service<'w> {
    /// Starts one on a store in which nobody has signed in yet.
    fn start(world: &'w World) -> Self {
        let mut up = world.cofferdam(&["up", "--listen", "127.0.0.1:0"]).start();
        let line = up.until("listening on ");
        let address = line.trim().rsplit(' ').next().unwrap().to_owned();
        let link = up.until("sign in within");
        assert!(link.contains(&format!("{address}/sign-in/cfl_")), "{link}");
        let token = world.ok(&["admin", "token", "local", "--rank", "member"]).stdout.trim().to_owned();
        Self { world, up, address, token }
    }

    /// Runs a command as a client.
    fn client(&self, arguments: &[&str]) -> Output {
        let invocation = self.world.cofferdam(arguments);
        invocation.env("COFFERDAM_SERVER", &self.address).env("COFFERDAM_TOKEN", &self.token).run()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.client(arguments);
        assert_eq!(output.status, 0, "{arguments:?}: {output}");
        output.stdout
    }

    /// Ends it as a service manager does.
    fn end(self) -> Output {
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
