//! The emulator as a process of its own, under a Node that is new enough for it.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use super::GitHub;
use crate::kept::{kept_node, node};

const PACKAGE: &str = "emulate@0.12.2";
const SCRIPT: &str = include_str!("emulator.mjs");

/// The emulator. It ends when its standard input is closed, however that comes about.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pub(super) url: String,
    /// The app's key in PKCS#1 and in PKCS#8.
    pub(super) keys: (String, String),
}

impl Process {
    /// Starts it, or says why not.
    pub(super) fn start() -> Result<Self, String> {
        let node = node().ok_or("there is no Node 22 or later, and npm cannot install one")?;
        let place = kept_node(&[PACKAGE]).ok_or_else(|| format!("npm cannot install {PACKAGE}"))?;
        let mut child = Command::new(node)
            .args(["--input-type=module", "--eval", SCRIPT, "--"])
            .arg(seed().to_string())
            .current_dir(place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut line = String::new();
        let output = child.stdout.take().ok_or("it has no output")?;
        BufReader::new(output).read_line(&mut line).map_err(|error| error.to_string())?;
        let said: Value = serde_json::from_str(&line).map_err(|_| format!("it does not start: {line}"))?;
        let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        Ok(Self { child, url: text("url"), keys: (text("pkcs1"), text("pkcs8")) })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// Who and what is there from the beginning.
fn seed() -> Value {
    let tokens = GitHub::accounts()
        .map(|(login, token)| (token.to_owned(), json!({ "login": login, "scopes": ["repo"] })));
    let bot = GitHub::app_login();
    let users = GitHub::accounts().map(|(login, _)| login).chain([bot.as_str()]);
    let (owner, name) = GitHub::REPOSITORY.split_once('/').unwrap_or_default();
    json!({
        "tokens": serde_json::Map::from_iter(tokens),
        "github": {
            "users": users.map(|login| json!({ "login": login })).collect::<Vec<_>>(),
            "repos": [
                { "owner": owner, "name": name, "auto_init": true },
                { "owner": owner, "name": "another", "auto_init": true },
            ],
            "apps": [{
                "app_id": GitHub::APP,
                "slug": GitHub::APP_SLUG,
                "name": "The platform",
                "permissions": {
                    "actions": "read",
                    "checks": "write",
                    "contents": "write",
                    "issues": "write",
                    "metadata": "read",
                    "pull_requests": "write",
                },
                "installations": [{
                    "installation_id": GitHub::INSTALLATION,
                    "account": owner,
                    "repository_selection": "all",
                }],
            }],
        },
    })
}
