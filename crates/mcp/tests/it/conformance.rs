//! The official conformance suite drives a client of ours against servers of its own, and judges what it does. The client is this test's own
//! program, started anew for each scenario.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use cofferdam_mcp::{Beside, Client, Progress};
use cofferdam_testkit::{kept_node, node};
use serde_json::{Map, Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpStream, UnixListener},
};

/// The suite for the revisions with a handshake, and the one that also has the revision without. Of each the scenarios about what this client
/// does: it has no sign-in of its own (the door adds credentials) and offers servers nothing.
const SUITES: &[(&str, &[&str])] = &[
    ("@modelcontextprotocol/conformance@0.1.16", &["initialize", "tools_call", "sse-retry"]),
    (
        "@modelcontextprotocol/conformance@0.2.0-alpha.12",
        &[
            "initialize",
            "tools_call",
            "sse-retry",
            "request-metadata",
            "http-standard-headers",
            "http-invalid-tool-headers",
            "json-schema-ref-no-deref",
        ],
    ),
];
const PATIENCE: Duration = Duration::from_secs(60);
/// The test that is the client.
const CLIENT: &str = "conformance::the_client_of_a_scenario";

#[test]
fn the_official_suite_finds_nothing() {
    for (suite, scenarios) in SUITES {
        let (Some(node), Some(place)) = (node(), kept_node(&[suite])) else {
            eprintln!("SKIPPED: npm cannot install {suite}, or a Node that runs it");
            continue;
        };
        pass(&node, &place, scenarios);
    }
}

fn pass(node: &Path, place: &Path, scenarios: &[&str]) {
    let suite = place.join("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    let client = format!("{} --exact {CLIENT} --ignored --nocapture", env::current_exe().unwrap().display());
    for scenario in scenarios {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(node)
            .arg(&suite)
            .args(["client", "--command", &client, "--scenario", scenario, "--timeout", "120000"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let more = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{scenario}:\n{said}\n{more}");
    }
}

/// What the suite starts, with the address of its server at the end: it lists what there is, calls every tool with numbers
/// and texts, reads every resource and gets every prompt.
#[tokio::test]
#[ignore = "the official suite starts it"]
async fn the_client_of_a_scenario() {
    let url = env::args().next_back().unwrap();
    let Some(address) = url.strip_prefix("http://").and_then(|rest| rest.split('/').next()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let address = address.replace("localhost", "127.0.0.1");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let address = address.clone();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(&address).await?;
                copy_bidirectional(&mut stream, &mut server).await
            });
        }
    });
    let client = Client::reach(socket.to_str().unwrap(), &url, PATIENCE).await.unwrap();
    let (catalogue, _) = client.catalogue(Beside { resources: true, prompts: true }).await.unwrap();
    for tool in &catalogue.tools {
        let silent = |_: &Progress| {};
        client.call(&tool.name, sample(&tool.parameters), &silent).await.unwrap();
    }
    if catalogue.resources {
        for resource in client.resources().await.unwrap().all.iter().filter(|resource| !resource.template) {
            client.read_resource(&resource.uri).await.unwrap();
        }
    }
    for prompt in catalogue.prompts.iter().flatten() {
        let given = prompt.arguments.iter().map(|argument| (argument.name.clone(), json!("text")));
        client.prompt(&prompt.name, given.collect()).await.unwrap();
    }
    client.close().await;
    fs::remove_file(&socket).ok();
}

/// Arguments that fit a schema.
fn sample(schema: &Value) -> Map<String, Value> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let value = |schema: &Value| match schema["type"].as_str() {
        Some("number" | "integer") => json!(2),
        Some("boolean") => json!(true),
        _ => json!("text"),
    };
    properties.map(|(name, schema)| (name.clone(), value(schema))).collect()
}
