//! Programs that answer in the place of a browser, and mean harm.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, WriteHalf, duplex, split},
    time::{Instant, sleep},
};

use crate::{Browser, BrowserError};

/// What becomes of a question.
enum Says {
    Answer(Value),
    After(Duration, Value),
    Nothing,
}

/// What it was asked.
type Asked = Arc<Mutex<Vec<String>>>;

/// A browser with one tab at this address, whose questions to the page are answered by `behave`.
async fn browser(
    url: &'static str,
    behave: impl Fn(&str, &Value) -> Says + Send + 'static,
) -> (Browser, Asked) {
    let (ours, theirs) = duplex(1 << 16);
    let asked = Asked::default();
    tokio::spawn(pose(theirs, url, behave, asked.clone()));
    let (read, write) = split(ours);
    (Browser::connect(read, write).await.unwrap(), asked)
}

async fn pose(
    stream: DuplexStream,
    url: &'static str,
    behave: impl Fn(&str, &Value) -> Says + Send + 'static,
    asked: Asked,
) {
    let (read, mut write) = split(stream);
    let mut commands = BufReader::new(read).split(0);
    while let Ok(Some(command)) = commands.next_segment().await {
        let command: Value = serde_json::from_slice(&command).unwrap();
        let method = command["method"].as_str().unwrap();
        asked.lock().unwrap().push(method.to_owned());
        let result = match behave(method, &command["params"]) {
            _ if command["sessionId"].is_null() => json!({}),
            Says::Answer(result) => result,
            Says::After(time, result) => {
                sleep(time).await;
                result
            }
            Says::Nothing => continue,
        };
        if method == "Target.setAutoAttach" {
            let info = json!({ "targetId": "T", "type": "page", "url": url });
            let attached = json!({ "sessionId": "S", "targetInfo": info });
            say(&mut write, &json!({ "method": "Target.attachedToTarget", "params": attached })).await;
        }
        say(&mut write, &json!({ "id": command["id"], "result": result })).await;
    }
}

async fn say(write: &mut WriteHalf<DuplexStream>, message: &Value) {
    // Nobody may listen any more.
    write.write_all(format!("{message}\0").as_bytes()).await.ok();
}

/// What a page answers that has so many frames, each with so many others in it.
fn page(method: &str, frames: usize, inner: usize) -> Value {
    match method {
        "Page.getFrameTree" => {
            let children: Vec<Value> =
                (1..frames).map(|id| json!({ "frame": { "id": format!("F{id}") } })).collect();
            json!({ "frameTree": { "frame": { "id": "F0" }, "childFrames": children } })
        }
        "Page.createIsolatedWorld" => json!({ "executionContextId": 1 }),
        "Runtime.callFunctionOn" => json!({ "result": { "value": 1 } }),
        "Accessibility.getFullAXTree" => {
            let frame = |id| json!({ "nodeId": format!("{id}"), "role": { "value": "Iframe" }, "backendDOMNodeId": id });
            json!({ "nodes": (1..=inner).map(frame).collect::<Vec<_>>() })
        }
        _ => json!({}),
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_cannot_be_put_back_is_lost() {
    let (mut browser, asked) =
        browser("file:///etc/passwd", |method, _| Says::Answer(page(method, 1, 0))).await;
    assert_eq!(browser.state().await, Err(BrowserError::Astray));
    let gone = asked.lock().unwrap().iter().filter(|method| *method == "Page.navigate").count();
    assert_eq!(gone, 2, "it was tried once more, and then no more");
    assert!(BrowserError::Astray.page_is_lost());
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_however_slowly_it_is_answered() {
    let slow = |method: &str, _: &Value| match page(method, 20, 20) {
        // What is told to the page beforehand.
        nothing if nothing == json!({}) => Says::Answer(nothing),
        answer => Says::After(Duration::from_secs(15), answer),
    };
    let (mut browser, _) = browser("http://a/", slow).await;
    browser.begin();
    let began = Instant::now();
    let taken = browser.snapshot(None).await;
    assert!(taken.as_ref().is_err_and(BrowserError::page_is_lost), "{taken:?}");
    assert!(began.elapsed() <= Duration::from_secs(180), "{:?}", began.elapsed());
    let next = browser.evaluate("1").await;
    assert!(matches!(next, Err(BrowserError::Overdue(_))), "nothing more is asked for it: {next:?}");
    assert!(began.elapsed() <= Duration::from_secs(180), "{:?}", began.elapsed());
    browser.begin();
    assert!(browser.state().await.is_ok(), "another call has its own time");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_says_nothing_is_not_asked_again() {
    let silent = |method: &str, _: &Value| match method {
        "DOM.describeNode" => Says::Nothing,
        _ => Says::Answer(page(method, 20, 20)),
    };
    let (mut browser, asked) = browser("http://a/", silent).await;
    let taken = browser.snapshot(None).await;
    assert!(matches!(taken, Err(BrowserError::Silent { .. })), "{taken:?}");
    let described = asked.lock().unwrap().iter().filter(|method| *method == "DOM.describeNode").count();
    assert_eq!(described, 1);
}

#[tokio::test(start_paused = true)]
async fn frames_are_asked_for_as_often_as_there_are_frames_at_most() {
    let behave = |method: &str, _: &Value| Says::Answer(page(method, 20, 20));
    let (mut browser, asked) = browser("http://a/", behave).await;
    assert!(browser.snapshot(None).await.is_ok());
    let described = asked.lock().unwrap().iter().filter(|method| *method == "DOM.describeNode").count();
    assert!(described <= 20, "{described}");
}

#[tokio::test(start_paused = true)]
async fn pictures_and_outlines_may_be_large_and_nothing_else() {
    let large = |method: &str, _: &Value| {
        let words = "x".repeat(9 << 20);
        Says::Answer(match method {
            "Accessibility.getFullAXTree" => {
                json!({ "nodes": [{ "nodeId": "1", "role": { "value": "button" }, "name": { "value": words } }] })
            }
            "Runtime.evaluate" => json!({ "result": { "value": words } }),
            _ => page(method, 1, 0),
        })
    };
    let (mut browser, _) = browser("http://a/", large).await;
    let lines = browser.snapshot(None).await.unwrap().lines;
    assert!(lines.len() == 1 && lines[0].len() < 400, "{lines:?}");
    assert!(matches!(browser.evaluate("x").await, Err(BrowserError::TooLong(_))));
}
