//! Signatures, as another implementation of the Standard Webhooks specification checks them: `standardwebhooks` from the Python package index.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

use crate::{
    receiver::Receiver,
    scene::{SECRET, Scene, webhook},
};

const VERSION: &str = "1.1.0";
/// Installing takes a network.
const PATIENCE: Duration = Duration::from_secs(300);

const CHECK: &str = "
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
said = json.load(sys.stdin)
print(json.dumps(Webhook(said['secret']).verify(said['body'], said['headers'])))
said['headers']['webhook-id'] += 'x'
try:
    Webhook(said['secret']).verify(said['body'], said['headers'])
except WebhookVerificationError:
    print('refused')
";

async fn succeeds(command: &mut Command) -> bool {
    let run =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).status();
    matches!(timeout(PATIENCE, run).await, Ok(Ok(status)) if status.success())
}

/// A Python that has it, kept from one run to the next.
async fn python() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))?;
    let place = cache.join("cofferdam-test").join(format!("standardwebhooks-{VERSION}"));
    let python = place.join("bin/python3");
    if succeeds(Command::new(&python).args(["-c", "import standardwebhooks"])).await {
        return Some(python);
    }
    let made = succeeds(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&place)).await
        && succeeds(Command::new(place.join("bin/pip")).args([
            "install",
            "--quiet",
            &format!("standardwebhooks=={VERSION}"),
        ]))
        .await;
    made.then_some(python)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_implementation_accepts_the_signature() {
    let Some(python) = python().await else {
        eprintln!("SKIPPED: standardwebhooks {VERSION} is not there, and python3 with pip cannot install it");
        return;
    };
    let receiver = Receiver::start(Vec::new()).await;
    let scene = Scene::new(&webhook("ops", &receiver.url())).await;
    scene.ask("Which? ß\u{1f980}").await;
    let received = receiver.next().await;
    let headers: serde_json::Map<_, _> =
        received.headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let said = serde_json::json!({ "secret": SECRET, "body": received.body, "headers": headers });
    let mut child = Command::new(python)
        .args(["-c", CHECK])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(said.to_string().as_bytes()).await.unwrap();
    let output = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let (verified, refused) = printed.trim().split_once('\n').unwrap();
    let verified: serde_json::Value = serde_json::from_str(verified).unwrap();
    assert_eq!(verified, serde_json::from_str::<serde_json::Value>(&received.body).unwrap());
    assert_eq!(refused, "refused", "another id");
    scene.end().await;
}
