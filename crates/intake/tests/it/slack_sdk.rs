//! Slack's own client for Python against the stand-in: what it signs, answers and sends is taken by who knows the real one.

use std::process::Stdio;

use cofferdam_testkit::{Slack, kept_python};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
};

const PACKAGE: &str = "slack-sdk==3.47.0";
const SCRIPT: &str = include_str!("slack_sdk.py");

/// The client, which is told line by line what to do.
struct Client {
    _child: Child,
    input: ChildStdin,
    output: tokio::io::Lines<BufReader<ChildStdout>>,
}

impl Client {
    #[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
    async fn start(slack: &Slack) -> Option<Self> {
        let Some(place) = tokio::task::spawn_blocking(|| kept_python(&[PACKAGE])).await.unwrap() else {
            eprintln!("SKIPPED: Slack's own client needs the package {PACKAGE}, which pip cannot install");
            return None;
        };
        let mut child = Command::new("python3")
            .args(["-c", SCRIPT, slack.url(), Slack::BOT_TOKEN, Slack::APP_TOKEN, Slack::SIGNING_SECRET])
            .env("PYTHONPATH", place)
            .env("NO_PROXY", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Some(Self { _child: child, input, output: BufReader::new(output).lines() })
    }

    async fn does(&mut self, what: &Value) -> Value {
        self.input.write_all(format!("{what}\n").as_bytes()).await.unwrap();
        self.says().await
    }

    async fn says(&mut self) -> Value {
        let line =
            tokio::time::timeout(std::time::Duration::from_secs(120), self.output.next_line()).await.unwrap();
        serde_json::from_str(&line.unwrap().unwrap()).unwrap()
    }
}

#[tokio::test]
async fn its_verifier_takes_what_the_stand_in_signs() {
    let slack = Slack::start().await;
    let Some(mut client) = Client::start(&slack).await else { return };
    let body = slack.says("U1", Slack::CHANNEL, None, "grüße <@U0APPUSER>").to_string();
    for (later, valid) in [(0, true), (-290, true), (-310, false), (310, false)] {
        let [(_, at), (_, signature)] = Slack::headers(body.as_bytes(), later);
        let what = json!({ "do": "verify", "body": body, "at": at, "signature": signature });
        assert_eq!(client.does(&what).await, json!(valid), "{later}");
    }
    let [(_, at), (_, signature)] = Slack::headers(b"another", 0);
    let what = json!({ "do": "verify", "body": body, "at": at, "signature": signature });
    assert_eq!(client.does(&what).await, json!(false));
}

#[tokio::test]
async fn its_client_asks_all_that_is_asked() {
    let slack = Slack::start().await;
    let Some(mut client) = Client::start(&slack).await else { return };
    let ann = slack.person("ann", &json!({}));
    let root = slack.says(&ann, Slack::CHANNEL, None, "hello")["event"]["ts"].as_str().unwrap().to_owned();
    let call =
        |method: &str, arguments: Value| json!({ "do": "call", "method": method, "arguments": arguments });
    let me = client.does(&call("auth_test", json!({}))).await;
    assert_eq!((&me["user_id"], &me["bot_id"]), (&json!(Slack::APP.0), &json!(Slack::APP.1)));
    let user = client.does(&call("users_info", json!({ "user": ann }))).await;
    assert_eq!(user["user"]["real_name"], "ann");
    let reacted = json!({ "channel": Slack::CHANNEL, "timestamp": root, "name": "eyes" });
    assert_eq!(client.does(&call("reactions_add", reacted.clone())).await["ok"], true);
    assert_eq!(client.does(&call("reactions_add", reacted)).await["error"], "already_reacted");
    let metadata = json!({ "event_type": "x", "event_payload": { "a": "b" } });
    let said = json!({
        "channel": Slack::CHANNEL, "thread_ts": root, "text": "one", "metadata": metadata, "unfurl_links": false, "unfurl_media": false,
        "blocks": [{ "type": "section", "text": { "type": "mrkdwn", "text": "one" } }],
    });
    let posted = client.does(&call("chat_postMessage", said)).await;
    let ts = posted["ts"].as_str().unwrap();
    let changed = json!({ "channel": Slack::CHANNEL, "ts": ts, "text": "two" });
    assert_eq!(client.does(&call("chat_update", changed)).await["ok"], true);
    let asked = json!({ "channel": Slack::CHANNEL, "ts": root, "include_all_metadata": true, "limit": 1 });
    let page = client.does(&call("conversations_replies", asked)).await;
    assert_eq!(page["messages"].as_array().unwrap().len(), 1);
    let cursor = &page["response_metadata"]["next_cursor"];
    let asked =
        json!({ "channel": Slack::CHANNEL, "ts": root, "include_all_metadata": true, "cursor": cursor });
    let page = client.does(&call("conversations_replies", asked)).await;
    assert_eq!((&page["messages"][0]["text"], &page["messages"][0]["metadata"]), (&json!("two"), &metadata));
    slack.revoke(true);
    assert_eq!(client.does(&call("auth_test", json!({}))).await["error"], "token_revoked");
}

#[tokio::test]
async fn its_socket_mode_client_hears_and_acknowledges() {
    let slack = Slack::start().await;
    let Some(mut client) = Client::start(&slack).await else { return };
    assert_eq!(client.does(&json!({ "do": "listen" })).await, json!("listening"));
    for text in ["one", "two"] {
        let event = slack.says("U1", Slack::CHANNEL, None, text);
        let envelope = slack.push("events_api", &event).await;
        let heard = client.says().await;
        assert_eq!((&heard["id"], &heard["payload"]), (&json!(envelope), &event));
        slack.acknowledged(&envelope).await;
        // It opens another one when it is told that this one ends.
        let opened = slack.opened();
        slack.send(&json!({ "type": "disconnect", "reason": "refresh_requested", "debug_info": {} })).await;
        while slack.opened() == opened {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}
