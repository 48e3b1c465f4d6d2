//! The reference servers of the protocol's own project, as programs on this machine.

use std::{fs, path::PathBuf, process::Stdio, time::Duration};

use cofferdam_mcp::{Beside, Client, McpError, Progress};
use cofferdam_testkit::kept_node;
use serde_json::{Map, Value, json};
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(60);

/// The server of a package, spoken with.
async fn server(package: &str, arguments: &[&str]) -> Option<(Client, Child)> {
    let version = format!("@modelcontextprotocol/{package}@2026.8.31");
    let Some(place) = kept_node(&[&version]) else {
        eprintln!("SKIPPED: npm cannot install {version}");
        return None;
    };
    let program: PathBuf =
        place.join("node_modules/@modelcontextprotocol").join(package).join("dist/index.js");
    let started = Command::new("node")
        .arg(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let Ok(mut child) = started else {
        eprintln!("SKIPPED: there is no node");
        return None;
    };
    let (read, write) = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
    Some((Client::connect(read, write, PATIENCE).await.unwrap(), child))
}

fn arguments(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[tokio::test]
async fn everything_is_understood() {
    let Some((client, _child)) = server("server-everything", &["stdio"]).await else { return };
    let all = Beside { resources: true, prompts: true };
    let (catalogue, left_out) = client.catalogue(all).await.unwrap();
    assert!(left_out.is_empty(), "{left_out:?}");
    let has = |name: &str| catalogue.tools.iter().any(|tool| tool.name == name);
    assert!(has("echo") && catalogue.tools.len() > 5, "{:?}", catalogue.tools);
    let silent = |_: &Progress| {};
    let said = client.call("echo", arguments(json!({"message": "hello"})), &silent).await.unwrap();
    assert!(said.text.contains("hello") && !said.failed, "{said:?}");
    let wrong = client.call("echo", arguments(json!({"message": 1})), &silent).await;
    assert!(wrong.is_err() || wrong.is_ok_and(|answer| answer.failed));
    let none = client.call("no such tool", Map::new(), &silent).await;
    assert!(matches!(none, Err(McpError::Server { .. })) || none.is_ok_and(|answer| answer.failed));
    if has("get-tiny-image") {
        let shown = client.call("get-tiny-image", Map::new(), &silent).await.unwrap();
        assert_eq!(shown.pictures.first().map(|picture| picture.media_type), Some("image/png"));
    }
    let prompts = catalogue.prompts.clone().unwrap_or_default();
    let taking =
        prompts.iter().find(|prompt| prompt.arguments.iter().any(|argument| argument.required)).unwrap();
    let given = taking.arguments.iter().map(|argument| (argument.name.clone(), json!("Lisbon"))).collect();
    let said = client.prompt(&taking.name, given).await.unwrap();
    assert!(said.text.contains("[user]") && said.text.contains("Lisbon"), "{said:?}");
    assert!(matches!(client.prompt(&taking.name, Map::new()).await, Err(McpError::Server { .. })));
    assert!(catalogue.resources);
    let resources = client.resources().await.unwrap();
    assert!(resources.all.iter().any(|resource| resource.template), "{resources:?}");
    let first = resources.all.iter().find(|resource| !resource.template).unwrap();
    assert!(!client.read_resource(&first.uri).await.unwrap().text.is_empty());
    assert!(matches!(client.read_resource("demo://nowhere").await, Err(McpError::Server { .. })));
    // Asked twice, it says the same of itself.
    let (again, _) = client.catalogue(all).await.unwrap();
    let here = json!({});
    assert_eq!(again.digest(&here), catalogue.digest(&here));
    client.close().await;
}

#[tokio::test]
async fn files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("note.txt"), "from the file").unwrap();
    let root = folder.path().to_str().unwrap();
    let Some((client, _child)) = server("server-filesystem", &[root]).await else { return };
    let path = folder.path().join("note.txt");
    let silent = |_: &Progress| {};
    let read = client.call("read_text_file", arguments(json!({"path": path})), &silent).await.unwrap();
    assert!(read.text.contains("from the file"), "{read:?}");
    let outside = client.call("read_text_file", arguments(json!({"path": "/etc/passwd"})), &silent).await;
    assert!(outside.is_err() || outside.is_ok_and(|answer| answer.failed && !answer.text.contains("root:")));
    client.close().await;
}
