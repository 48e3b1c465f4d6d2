//! The reference servers of the protocol's own project in sessions: as programs in sandboxes.

use std::{path::PathBuf, process::Command};

use cofferdam_domain::{Integrity, ToolStatus};
use cofferdam_testkit::kept_node;
use serde_json::{Value, json};

use crate::{
    commands::{call, finish},
    harness::{Output, Repository, World, outcomes, skip},
};

const VERSION: &str = "2026.8.31";
/// The exit status of a session that had nothing to change.
const NOTHING: i32 = 3;
/// What no sandbox, log or model may ever see.
const SECRET: &str = "real-8d41c02b7e6f4a95";
/// A resource of the server that has a bit of everything, and a prompt that wants to be given something.
const RESOURCE: &str = "demo://resource/static/document/features.md";
const PROMPT: &str = "args-prompt";

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
