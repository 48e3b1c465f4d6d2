//! A real Chromium, driven over its DevTools protocol by the few commands that the tests need: pages are looked at and moved through by keys, as a
//! person without a mouse does.
//!
//! What a page must not do is noted while it is looked at: dialogs, errors, requests to anybody but the server.

use std::{
    collections::HashMap,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{SinkExt as _, StreamExt as _, stream::SplitSink};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    sync::{Mutex as AsyncMutex, OnceCell, oneshot},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::harness::LONG;

type Sink = SplitSink<WebSocketStream<MaybeTlsStream<TcpStream>>, Message>;

/// A browser with one page.
pub(crate) struct Browser {
    link: Arc<Link>,
    session: String,
    _reading: JoinHandle<()>,
    _process: Child,
    _folder: TempDir,
}

/// The connection to the browser, and what came over it.
struct Link {
    sink: AsyncMutex<Sink>,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    seen: Mutex<Seen>,
}

/// What pages did.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// Texts of dialogs that were opened.
    pub(crate) dialogs: Vec<String>,
    /// Errors on the console, and those that nothing caught.
    pub(crate) errors: Vec<String>,
    /// Addresses that were asked for.
    pub(crate) requests: Vec<String>,
}

/// Where the program is. It is installed by the ordinary client when this is the superuser of a machine that has that client.
async fn program() -> Option<PathBuf> {
    static FOUND: OnceCell<Option<PathBuf>> = OnceCell::const_new();
    FOUND
        .get_or_init(|| async {
            if let Some(found) = find() {
                return Some(found);
            }
            if !is_root() {
                return None;
            }
            for arguments in
                [&["update", "-qq"][..], &["install", "-y", "-qq", "--no-install-recommends", "chromium"][..]]
            {
                let mut install = Command::new("apt-get");
                install.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
                let run = install.stdout(Stdio::null()).stderr(Stdio::null()).status();
                if !matches!(timeout(Duration::from_secs(600), run).await, Ok(Ok(status)) if status.success())
                {
                    return None;
                }
            }
            find()
        })
        .await
        .clone()
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|file| file.is_file())
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
    })
}

impl Browser {
    /// Starts one, or says why not.
    pub(crate) async fn start() -> Option<Self> {
        let Some(program) = program().await else {
            eprintln!(
                "SKIPPED: no Chromium here: install the package `chromium`, or run the tests as root of a Debian machine"
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
            ])
            .args([
                "--disable-component-update",
                "--disable-sync",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                // Pages die of it when they are spoken to while one takes another's place (Chromium 156).
                "--disable-features=RenderDocument",
            ])
            .args(["--remote-debugging-port=0", "about:blank"])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = timeout(LONG, async {
            loop {
                let line = lines.next_line().await.unwrap().expect("Chromium ended before it listened");
                if let Some(address) = line.strip_prefix("DevTools listening on ") {
                    return address.to_owned();
                }
            }
        })
        .await
        .unwrap();
        // It writes on, and stops when nobody reads.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let (socket, _) = connect_async(address).await.unwrap();
        let (sink, mut source) = socket.split();
        let link = Arc::new(Link {
            sink: AsyncMutex::new(sink),
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
            seen: Mutex::default(),
        });
        let reading = tokio::spawn({
            let link = link.clone();
            async move {
                while let Some(Ok(message)) = source.next().await {
                    if let Ok(text) = message.to_text()
                        && let Ok(value) = serde_json::from_str(text)
                    {
                        link.receive(value).await;
                    }
                }
            }
        });
        let target = link.call(None, "Target.createTarget", json!({ "url": "about:blank" })).await;
        let target = target["targetId"].as_str().unwrap().to_owned();
        let attached =
            link.call(None, "Target.attachToTarget", json!({ "targetId": target, "flatten": true })).await;
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        let browser = Self { link, session, _reading: reading, _process: process, _folder: folder };
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        browser.size(1280, 900, false).await;
        Some(browser)
    }

    /// One command of the protocol.
    pub(crate) async fn call(&self, method: &str, parameters: Value) -> Value {
        self.link.call(Some(&self.session), method, parameters).await
    }

    /// What pages have done since this was asked last.
    pub(crate) fn seen(&self) -> Seen {
        std::mem::take(&mut self.link.seen.lock().unwrap())
    }

    /// The size of the window, in CSS pixels.
    pub(crate) async fn size(&self, width: u32, height: u32, phone: bool) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
        self.call("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Light or dark.
    pub(crate) async fn scheme(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }, { "name": "prefers-reduced-motion", "value": "reduce" }] });
        self.call("Emulation.setEmulatedMedia", features).await;
    }

    /// Goes to an address and waits until the page is there.
    pub(crate) async fn open(&self, address: &str) {
        self.call("Runtime.evaluate", json!({ "expression": "window.left = true" })).await;
        let answer = self.call("Page.navigate", json!({ "url": address })).await;
        assert!(answer.get("errorText").is_none(), "{answer}");
        self.until("!window.left && document.readyState === 'complete'").await;
    }

    /// The value of an expression on the page.
    pub(crate) async fn value(&self, expression: &str) -> Value {
        let wanted = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        self.call("Runtime.evaluate", wanted).await["result"]["value"].clone()
    }

    /// Waits until an expression holds on the page.
    pub(crate) async fn until(&self, expression: &str) {
        let end = Instant::now() + LONG;
        // A page that is being left cannot be asked; the next one can.
        while self.value(&format!("!!({expression})")).await != Value::Bool(true) {
            if Instant::now() > end {
                let page = self.value("location.href + '\\n' + document.body.innerText.slice(0, 2000)").await;
                panic!("never came true: {expression}\n{page}");
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Presses one key: a character, or a name such as `Enter` and `Tab`.
    pub(crate) async fn press(&self, key: &str) {
        self.press_with(key, 0).await;
    }

    /// The same with Ctrl (2) or Shift (8) held.
    pub(crate) async fn press_with(&self, key: &str, modifiers: u8) {
        let (code, number, text) = match key {
            "Enter" => ("Enter", 13, "\r"),
            "Tab" => ("Tab", 9, ""),
            "Escape" => ("Escape", 27, ""),
            " " => ("Space", 32, " "),
            other => (other, u32::from(other.chars().next().unwrap().to_ascii_uppercase()), other),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": modifiers });
            if kind == "keyDown" && !text.is_empty() && modifiers & 2 == 0 {
                event["text"] = json!(text);
            }
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Types a text where the keyboard is.
    pub(crate) async fn write(&self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Moves on with the tabulator until what has the focus fits a selector.
    pub(crate) async fn tab_to(&self, selector: &str) {
        let fits = format!("document.activeElement.matches({})", json!(selector));
        for _ in 0..200 {
            if self.value(&fits).await == Value::Bool(true) {
                return;
            }
            self.press("Tab").await;
        }
        panic!(
            "the keyboard does not reach {selector}: {}",
            self.value("document.body.innerText.slice(0, 1500)").await
        );
    }

    /// A picture of the window, as PNG.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        let picture =
            self.call("Page.captureScreenshot", json!({ "format": "png", "optimizeForSpeed": false })).await;
        BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()
    }
}

impl Link {
    async fn call(&self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().unwrap().insert(id, sender);
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        self.sink.lock().await.send(Message::text(message.to_string())).await.unwrap();
        timeout(LONG, answer).await.unwrap_or_else(|_| panic!("no answer to {method}")).unwrap()
    }

    async fn receive(&self, message: Value) {
        if let Some(id) = message["id"].as_u64() {
            let waiting = self.waiting.lock().unwrap().remove(&id);
            if let Some(waiting) = waiting {
                let answer =
                    message.get("result").or_else(|| message.get("error")).cloned().unwrap_or(Value::Null);
                drop(waiting.send(answer));
            }
            return;
        }
        let (method, parameters) = (message["method"].as_str().unwrap_or_default(), &message["params"]);
        if method == "Page.javascriptDialogOpening" {
            // Closed without waiting for the answer, which this very task would have to read.
            let id = self.next.fetch_add(1, Ordering::Relaxed);
            let close = json!({ "id": id, "method": "Page.handleJavaScriptDialog", "params": { "accept": false }, "sessionId": message["sessionId"] });
            drop(self.sink.lock().await.send(Message::text(close.to_string())).await);
        }
        self.seen.lock().unwrap().note(method, parameters);
    }
}

impl Seen {
    fn note(&mut self, method: &str, parameters: &Value) {
        match method {
            "Page.javascriptDialogOpening" => self.dialogs.push(parameters["message"].to_string()),
            "Runtime.exceptionThrown" => self.errors.push(parameters["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled" if parameters["type"] == "error" => {
                self.errors.push(parameters["args"].to_string())
            }
            "Log.entryAdded" if parameters["entry"]["level"] == "error" => {
                self.errors.push(parameters["entry"].to_string())
            }
            "Network.requestWillBeSent" => {
                self.requests.push(parameters["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            _other => {}
        }
    }

    /// That pages did nothing that they must not do.
    pub(crate) fn is_clean(&self, server: &str) {
        assert_eq!(self.dialogs, Vec::<String>::new(), "dialogs");
        assert_eq!(self.errors, Vec::<String>::new(), "errors");
        let elsewhere: Vec<&String> =
            self.requests.iter().filter(|address| !address.starts_with(server)).collect();
        assert!(elsewhere.is_empty(), "requests to others: {elsewhere:?}");
    }
}
