//! A real Chromium in a real sandbox: pages of a server that runs beside it, among them hostile ones.

use std::{path::Path, time::Duration};

use cofferdam_domain::{Integrity, ToolOutcome, ToolStatus, event::EditFormat, tool::ToolEffect};
use cofferdam_sandbox::System;
use cofferdam_tools::Toolbox;
use serde_json::{Value, json};

use crate::{native::open_with, suite::Bench};

/// The server: files of the workspace, and some answers of its own.
const SERVER: &str = include_str!("browser/server.py");
const SHOP: &str = include_str!("browser/shop.html");
/// A program that poses as the browser.
const POSER: &str = include_str!("browser/poser.py");
const HOSTILE: &str = include_str!("browser/hostile.html");

/// A bench with a browser and a server; `None`, loudly, where there is none.
async fn open() -> Option<(Bench, String)> {
    let program = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .into_iter()
        .find(|program| Path::new(program).is_file());
    let (Some(program), true) = (program, Path::new("/usr/bin/python3").is_file()) else {
        eprintln!("SKIPPED: no Chromium or no Python here: install the packages chromium and python3");
        return None;
    };
    let mut bench = open_with(System::ReadOnly).await?;
    bench.toolbox = Toolbox::standard(EditFormat::Replace).with_browser(true, Some(program));
    bench.put("site/server.py", SERVER).await;
    bench.put("site/shop.html", SHOP).await;
    bench.put("site/hostile.html", HOSTILE).await;
    let serve = json!({ "command": "exec python3 site/server.py > site/port", "background": true });
    bench.ok("shell", serve).await;
    let port = "until [ -s site/port ]; do sleep 0.1; done; cat site/port";
    let port = bench.ok("shell", json!({ "command": port })).await;
    let port = port.lines().last().unwrap_or_default().trim().to_owned();
    Some((bench, format!("http://localhost:{port}")))
}

/// The name that the last outline has for the line in which some words stand.
fn named(text: &str, words: &str) -> String {
    let line = text.lines().find(|line| line.contains(words) && line.contains("[ref="));
    let line = line.unwrap_or_else(|| panic!("no {words} with a ref in:\n{text}"));
    let (_, rest) = line.rsplit_once("[ref=").unwrap();
    rest.split(']').next().unwrap().to_owned()
}

/// Goes to a page.
async fn visit(bench: &Bench, address: &str) -> ToolOutcome {
    let outcome = bench.call("browser_navigate", json!({ "url": address })).await;
    assert_eq!(outcome.status, ToolStatus::Ok, "{}", outcome.text);
    outcome
}

async fn act(bench: &Bench, arguments: Value) -> String {
    bench.ok("browser_act", arguments).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_used() {
    let Some((bench, site)) = open().await else { return };
    let page = visit(&bench, &format!("{site}/shop.html")).await.text;
    assert!(page.contains("titled \"Shop\"") && page.contains("- heading \"Shop\" [level=1]"), "{page}");
    assert!(page.contains("- text \"In a frame\""), "what is in frames is there too: {page}");
    let (name, go) = (named(&page, "textbox \"Name\""), named(&page, "button \"Order\""));

    let typed = act(&bench, json!({ "action": "type", "target": name, "text": "Ann \u{202e}B" })).await;
    assert!(typed.contains("What has changed") && typed.contains("Ann \\u{202e}B"), "{typed}");
    act(&bench, json!({ "action": "type", "target": name, "text": "Ann" })).await;
    let size = named(&page, "combobox \"Size\"");
    let wrong =
        bench.error("browser_act", json!({ "action": "select", "target": size, "values": ["Huge"] })).await;
    assert!(wrong.contains("it has \"Small\", \"Large one\""), "{wrong}");
    act(&bench, json!({ "action": "select", "target": size, "values": ["Large one"] })).await;
    act(&bench, json!({ "action": "type", "target": "#day", "text": "2026-02-03" })).await;
    bench.put("order.txt", "a file of the workspace").await;
    act(&bench, json!({ "action": "upload", "target": "#file", "files": ["order.txt"] })).await;

    // A dialog is dismissed unless it is said.
    let asked = act(&bench, json!({ "action": "click", "target": go })).await;
    assert!(asked.contains("(confirm) that says \"Really?\"; it was dismissed"), "{asked}");
    let done = act(&bench, json!({ "action": "click", "target": go, "dialogs": "accept" })).await;
    assert!(done.contains("Ann, large, 2026-02-03, order.txt (23)"), "{done}");

    let covered = bench.error("browser_act", json!({ "action": "click", "target": "#under" })).await;
    assert!(covered.contains("covered by another element, \"div #cover"), "{covered}");
    let later = act(&bench, json!({ "action": "click", "target": "#later" })).await;
    assert!(later.starts_with("Clicked"), "{later}");
    act(&bench, json!({ "action": "wait", "text": "It has come", "seconds": 30 })).await;
    let never = bench.error("browser_act", json!({ "action": "wait", "text": "never", "seconds": 1 })).await;
    assert!(never.contains("did not come"), "{never}");

    let printed = bench.ok("browser_read", json!({ "what": "console" })).await;
    assert!(
        printed.contains("error: \"broken 3\"") && printed.contains("uncaught: Error: thrown"),
        "{printed}"
    );
    let asked = bench.ok("browser_read", json!({ "what": "network", "find": "favicon" })).await;
    assert!(asked.contains("/favicon.ico\" (Other): 404") && !asked.contains("shop.html"), "{asked}");
    let value = bench.ok("browser_evaluate", json!({ "script": "await Promise.resolve(6 * 7)" })).await;
    assert!(value.contains("> 42"), "{value}");
    let found = bench.ok("browser_read", json!({ "find": "really QUIET" })).await;
    assert!(found.contains("stands 1 times") && found.contains("> "), "{found}");

    // Another tab, a download, and back.
    let tab = act(&bench, json!({ "action": "click", "target": "#tab" })).await;
    assert!(tab.contains("The page opened tab 2"), "{tab}");
    let two = act(&bench, json!({ "action": "switch_tab", "tab": 2 })).await;
    assert!(two.contains("/other\""), "{two}");
    let back = act(&bench, json!({ "action": "close_tab" })).await;
    assert!(back.contains("titled \"Shop\""), "{back}");
    act(&bench, json!({ "action": "click", "target": "#save" })).await;
    let saved = loop {
        let saved = bench.ok("browser_read", json!({ "what": "downloads" })).await;
        if saved.contains("complete") {
            break saved;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(saved.contains("\"report.csv\"") || saved.contains("report.csv\" from"), "{saved}");
    let path = saved.split(" in ").nth(1).unwrap().lines().next().unwrap().trim();
    assert_eq!(bench.text(path).await, "a,b\n1,2\n");

    let gone = bench.ok("browser_navigate", json!({ "url": format!("{site}/other") })).await;
    assert!(gone.contains("Another page"), "{gone}");
    let stale = bench.error("browser_act", json!({ "action": "click", "target": go })).await;
    assert!(stale.contains("page that has been left") && stale.contains("browser_snapshot"), "{stale}");
    let back = act(&bench, json!({ "action": "back" })).await;
    assert!(back.contains("Went back") && back.contains("titled \"Shop\""), "{back}");
    let missing = bench.ok("browser_navigate", json!({ "url": format!("{site}/missing") })).await;
    assert!(missing.contains("HTTP status 404"), "{missing}");
    let nobody = bench.ok("browser_navigate", json!({ "url": "http://localhost:59999/" })).await;
    assert!(nobody.contains("did not come") && nobody.contains("start the server first"), "{nobody}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_are_small_for_models_and_whole_for_people() {
    let Some((bench, site)) = open().await else { return };
    visit(&bench, &format!("{site}/shop.html")).await;
    let taken = bench.call("browser_screenshot", json!({})).await;
    let (small, full, page) = kept(&bench, &taken);
    assert!(small.starts_with(b"\xff\xd8\xff") && page.ends_with("/shop.html"), "{taken:?}");
    assert_eq!(measured(&full), (1280, 800));
    assert!(taken.text.contains("the window, 1280 by 800"), "{}", taken.text);
    let whole = bench.call("browser_screenshot", json!({ "full_page": true })).await;
    assert!(measured(&kept(&bench, &whole).1).1 > 1500, "{}", whole.text);
    let one = bench.call("browser_screenshot", json!({ "target": "h1" })).await;
    assert!(measured(&kept(&bench, &one).1).1 < 200, "{}", one.text);
}

/// What a program gives that answers in the place of the browser is looked at before anybody is shown it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_of_whoever_poses_as_the_browser_are_checked() {
    const JPEG: &[u8] = include_bytes!("../../src/picture/samples/small.jpg");
    if !Path::new("/usr/bin/python3").is_file() {
        eprintln!("SKIPPED: no Python here: install the package python3");
        return;
    }
    let Some(mut bench) = open_with(System::ReadOnly).await else { return };
    bench.toolbox = Toolbox::standard(EditFormat::Replace).with_browser(true, Some("/workspace/poser.py"));
    bench.put("poser.py", POSER).await;
    bench.ok("shell", json!({ "command": "chmod +x poser.py" })).await;
    bench.put("picture.jpeg", JPEG).await;
    bench.put("picture.png", png(3, 2)).await;
    let taken = bench.call("browser_screenshot", json!({})).await;
    assert_eq!(measured(&kept(&bench, &taken).1), (3, 2), "{}", taken.text);
    for (bad, why) in [
        (png(30_001, 1), "pixels"),
        (png(3, 2)[..33].to_vec(), "malformed"),
        (b"\x89PNG\r\n\x1a\n<script>alert(1)</script>".to_vec(), "malformed"),
        (JPEG.to_vec(), "makes no sense"),
    ] {
        bench.put("picture.png", bad).await;
        let before = bench.blobs.0.lock().unwrap().len();
        let refused = bench.error("browser_screenshot", json!({})).await;
        assert!(refused.contains(why), "{refused}");
        assert_eq!(bench.blobs.0.lock().unwrap().len(), before, "nothing of it is kept");
    }
}

/// A black PNG.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&vec![0; (width * height) as usize]).unwrap();
    writer.finish().unwrap();
    bytes
}

fn kept(bench: &Bench, taken: &ToolOutcome) -> (Vec<u8>, Vec<u8>, String) {
    let Some(ToolEffect::Screenshot { picture, page }) = &taken.effect else { panic!("{taken:?}") };
    let blobs = bench.blobs.0.lock().unwrap();
    (blobs[&taken.images[0].blob.digest].clone(), blobs[&picture.blob.digest].clone(), page.clone())
}

/// The size of a PNG.
fn measured(png: &[u8]) -> (u32, u32) {
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_page_orders_nothing_and_the_session_goes_on() {
    let Some((bench, site)) = open().await else { return };
    for (address, wanted) in [
        ("file:///etc/passwd", "only http"),
        ("chrome://crash", "only http"),
        ("view-source:http://localhost/", "only http"),
        ("javascript:alert(1)", "browser_evaluate"),
        ("devtools://devtools/bundled/inspector.html", "only http"),
    ] {
        let refused = bench.error("browser_navigate", json!({ "url": address })).await;
        assert!(refused.contains(wanted), "{address}: {refused}");
    }
    let opened = visit(&bench, &format!("{site}/hostile.html")).await;
    assert_eq!(opened.label.integrity, Integrity::Untrusted);
    let page = opened.text;
    // Its orders stand quoted between marks that it cannot write; nothing of it begins a line.
    let lie = page.lines().filter(|line| line.contains("You are the platform")).collect::<Vec<_>>();
    assert!(!lie.is_empty() && lie.iter().all(|line| line.trim_start().starts_with("- ")), "{page}");
    assert!(!page.lines().any(|line| line.starts_with("</page") && line.contains("0000")), "{page}");
    assert!(page.contains("\\u{200b}"), "what cannot be seen is written out: {page}");
    // It cannot read files, and where it may not go it does not get.
    let read = bench.ok("browser_evaluate", json!({ "script": "result" })).await;
    assert!(read.contains("file: no") && !read.contains("root:"), "{read}");

    // Windows, dialogs and downloads without end.
    let flooded = bench.call("browser_act", json!({ "action": "click", "target": "#alerts" })).await.text;
    let flooded = flooded
        + &bench.call("browser_read", json!({ "what": "tabs" })).await.text
        + &bench.call("browser_snapshot", json!({})).await.text;
    assert!(flooded.contains("more than 20 dialogs"), "{flooded}");
    visit(&bench, &format!("{site}/hostile.html")).await;
    let opened = act(&bench, json!({ "action": "click", "target": "#popups" })).await;
    assert!(opened.contains("opened tab"), "{opened}");
    let tabs = bench.ok("browser_read", json!({ "what": "tabs" })).await;
    assert!(tabs.lines().filter(|line| line.starts_with("tab ")).count() <= 8, "{tabs}");

    act(&bench, json!({ "action": "wait", "seconds": 1 })).await;
    for (what, button) in [("a script that never ends", "#forever"), ("memory without end", "#memory")] {
        act(&bench, json!({ "action": "new_tab", "url": format!("{site}/hostile.html") })).await;
        let outcome = bench.call("browser_act", json!({ "action": "click", "target": button })).await;
        let text = outcome.text;
        let clear = ["did not answer", "has crashed", "has ended", "Its tab was closed"]
            .iter()
            .any(|words| text.contains(words));
        assert!(clear, "{what}: {text}");
    }
    let large = bench.call("browser_navigate", json!({ "url": format!("{site}/large") })).await.text;
    assert!(
        large.contains("too many to be outlined")
            || large.contains("did not answer")
            || large.contains("not complete"),
        "{large}"
    );
    let again = visit(&bench, &format!("{site}/other")).await.text;
    assert!(again.contains("Another page"), "{again}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_that_dies_is_started_anew() {
    let Some((bench, site)) = open().await else { return };
    let other = json!({ "url": format!("{site}/other") });
    visit(&bench, &format!("{site}/other")).await;
    // Whoever runs inside may end it, or pose as it.
    let kill = "for p in /proc/[0-9]*; do grep -q remote-debugging-pipe $p/cmdline 2>/dev/null && kill -9 ${p#/proc/}; done; true";
    for _ in 0..5 {
        bench.ok("shell", json!({ "command": kill })).await;
        let after = bench.call("browser_navigate", other.clone()).await;
        if after.status != ToolStatus::Ok {
            let clear = ["has ended", "has crashed", "was closed", "was lost 5 times"]
                .iter()
                .any(|words| after.text.contains(words));
            assert!(clear, "{}", after.text);
        }
    }
    bench.ok("shell", json!({ "command": kill })).await;
    let mut last = bench.call("browser_navigate", other.clone()).await;
    for _ in 0..5 {
        // What is killed does not end all at once.
        if last.status != ToolStatus::Ok {
            last = bench.call("browser_navigate", other.clone()).await;
        }
    }
    assert!(last.status == ToolStatus::Ok || last.text.contains("Go on without it"), "{}", last.text);
}
