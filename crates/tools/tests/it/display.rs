//! A real Xvfb and xdotool in a real sandbox: a program with a window is used, and programs beside the display do their worst.

use std::{path::Path, time::Duration};

use cofferdam_domain::{Integrity, ToolOutcome, ToolStatus, event::EditFormat, tool::ToolEffect};
use cofferdam_sandbox::System;
use cofferdam_tools::{Display, Size, Toolbox};
use serde_json::{Value, json};

use crate::{native::open_with, suite::Bench};

/// The program with a window: at [200, 100], 400 by 300 pixels.
const WINDOW: &str = include_str!("display/window.py");
const BLUE: [u8; 3] = [0x33, 0x66, 0x99];
const RED: [u8; 3] = [0xcc, 0, 0];
/// Where the display keeps what it shows.
const FRAMEBUFFER: &str = "/tmp/.cofferdam-display/Xvfb_screen0";

fn display() -> Display {
    Display { server: "/usr/bin/Xvfb".into(), input: "/usr/bin/xdotool".into(), size: Size::default() }
}

/// A bench with this display.
async fn open_at(display: &Display) -> Option<Bench> {
    let mut bench = open_with(System::ReadOnly).await?;
    bench.toolbox = Toolbox::standard(EditFormat::Replace).with_display(true, Some(display));
    Some(bench)
}

/// The same where there is one; `None`, loudly, where there is none.
async fn open(display: &Display) -> Option<Bench> {
    if [&display.server, &display.input, "/usr/bin/python3"]
        .iter()
        .any(|program| !Path::new(program).is_file())
    {
        eprintln!("SKIPPED: no display or no Python here: install the packages xvfb, xdotool and python3");
        return None;
    }
    open_at(display).await
}

async fn act(bench: &Bench, arguments: Value) -> ToolOutcome {
    let outcome = bench.call("computer", arguments).await;
    assert_eq!(outcome.status, ToolStatus::Ok, "{}", outcome.text);
    outcome
}

async fn look(bench: &Bench) -> ToolOutcome {
    act(bench, json!({ "action": "screenshot" })).await
}

/// Starts the program and waits until its window is there.
async fn show(bench: &Bench) {
    bench.put("window.py", WINDOW).await;
    bench.ok("shell", json!({ "command": "exec python3 window.py events", "background": true })).await;
    until(bench, "ready").await;
}

/// Waits until the program has written this; all that it wrote.
async fn until(bench: &Bench, wanted: &str) -> String {
    let mut written = String::new();
    for _ in 0..600 {
        if bench.exists("events").await {
            written = bench.text("events").await;
        }
        if written.contains(wanted) {
            return written;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no {wanted:?} in\n{written}");
}

/// Looks until a pixel of what is shown has this colour.
async fn coloured(bench: &Bench, (x, y): (u32, u32), wanted: [u8; 3]) {
    let mut seen = [0; 3];
    for _ in 0..100 {
        let (shown, _) = pictures(bench, &look(bench).await);
        seen = shown.at(x, y);
        if seen == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{seen:?} at {x}, {y}, not {wanted:?}");
}

struct Pixels {
    size: (u32, u32),
    bytes: Vec<u8>,
}

impl Pixels {
    fn of(png: &[u8]) -> Self {
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut bytes).unwrap();
        assert_eq!(frame.color_type, png::ColorType::Rgb);
        Self { size: (frame.width, frame.height), bytes }
    }

    fn at(&self, x: u32, y: u32) -> [u8; 3] {
        let place = (y * self.size.0 + x) as usize * 3;
        self.bytes[place..place + 3].try_into().unwrap()
    }
}

/// What the model is shown, and what people are.
fn pictures(bench: &Bench, outcome: &ToolOutcome) -> (Pixels, Pixels) {
    let Some(ToolEffect::Screenshot { picture, page }) = &outcome.effect else { panic!("{outcome:?}") };
    assert_eq!((page.as_str(), outcome.images.len()), ("the display", 1));
    assert_eq!(outcome.label.integrity, Integrity::Untrusted, "what is shown is anybody's");
    let blobs = bench.blobs.0.lock().unwrap();
    (Pixels::of(&blobs[&outcome.images[0].blob.digest]), Pixels::of(&blobs[&picture.blob.digest]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_is_used() {
    let Some(bench) = open(&display()).await else { return };
    let unlit = bench.ok("shell", json!({ "command": "echo \"[$DISPLAY]\"" })).await;
    assert!(unlit.contains("\n[]"), "nothing is said of a display that is not there: {unlit}");
    let empty = look(&bench).await;
    assert!(empty.text.contains("from [0, 0] to [1279, 799]"), "{}", empty.text);
    let (shown, whole) = pictures(&bench, &empty);
    assert_eq!((shown.size, whole.size), ((1280, 800), (1280, 800)));
    assert_eq!(shown.at(300, 200), [0; 3]);
    show(&bench).await;
    coloured(&bench, (300, 200), BLUE).await;

    act(&bench, json!({ "action": "left_click", "coordinate": [250, 150] })).await;
    until(&bench, "press 1 at 50 50 with 0\n").await;
    until(&bench, "release 1 at 50 50\n").await;
    coloured(&bench, (300, 200), RED).await;
    let at = act(&bench, json!({ "action": "cursor_position" })).await.text;
    assert!(at.contains("at [250, 150]"), "{at}");

    let typed = act(&bench, json!({ "action": "type", "text": "Hello, $(id)\n" })).await.text;
    assert!(typed.starts_with("Typed 13 characters."), "{typed}");
    let written = until(&bench, "key \\n\n").await;
    let keys: String = written.lines().filter_map(|line| line.strip_prefix("key ")).collect();
    assert_eq!(keys, "Hello, $(id)\\n");
    act(&bench, json!({ "action": "key", "text": "ctrl+s" })).await;
    until(&bench, "key ^s\n").await;
    act(&bench, json!({ "type": "keypress", "keys": ["SHIFT", "z"] })).await;
    until(&bench, "key Z\n").await;
    act(&bench, json!({ "action": "hold_key", "text": "q", "duration": 1 })).await;
    until(&bench, "key q\n").await;

    act(&bench, json!({ "action": "scroll", "coordinate": [210, 120], "scroll_direction": "down", "scroll_amount": 2 })).await;
    let scrolled = until(&bench, "press 5 at 10 20").await;
    until(&bench, &"press 5 at 10 20 with 0\nrelease 5 at 10 20\n".repeat(2)).await;
    assert!(!scrolled.contains("press 4"), "{scrolled}");
    act(&bench, json!({ "action": "right_click", "coordinate": [201, 101], "text": "shift" })).await;
    until(&bench, "press 3 at 1 1 with 1\n").await;
    act(&bench, json!({ "action": "triple_click", "coordinate": [599, 399] })).await;
    until(&bench, &"press 1 at 399 299 with 0\nrelease 1 at 399 299\n".repeat(3)).await;
    act(
        &bench,
        json!({ "action": "left_click_drag", "start_coordinate": [220, 120], "coordinate": [320, 220] }),
    )
    .await;
    until(&bench, "press 1 at 20 20 with 0\nrelease 1 at 120 120\n").await;
    act(&bench, json!({ "action": "wait", "duration": 1 })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_larger_display_is_shown_smaller_and_used_as_it_is_shown() {
    let size = Size::new(1920, 1080).unwrap();
    let Some(bench) = open(&Display { size, ..display() }).await else { return };
    let first = look(&bench).await;
    assert!(first.text.contains("to [1279, 719]"), "{}", first.text);
    let (shown, whole) = pictures(&bench, &first);
    assert_eq!((shown.size, whole.size), ((1280, 720), (1920, 1080)));
    show(&bench).await;
    coloured(&bench, (200, 100), BLUE).await;
    // The window's corner is at [133.3, 66.7] of the picture.
    act(&bench, json!({ "action": "left_click", "coordinate": [200, 100] })).await;
    until(&bench, "press 1 at 100 50 with 0\n").await;
    let outside = bench.error("computer", json!({ "action": "left_click", "coordinate": [1280, 100] })).await;
    assert!(outside.contains("from [0, 0] to [1279, 719]"), "{outside}");
}

/// Each loses the display once; the session goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_beside_the_display_can_break_it_and_nothing_else() {
    let Some(bench) = open(&display()).await else { return };
    look(&bench).await;
    // A head that promises more than is there, in a file that is far too long; a link to another file; a pipe.
    let head = "import struct; open('head', 'wb').write(struct.pack('>25I', 100, 7, 2, 24, 60000, 60000, 0, 0, 32, 0, 32, 32, 240000, 4, \
                0xff0000, 0xff00, 0xff, 8, 256, 0, 60000, 60000, 0, 0, 0))";
    let poses = "import socket; s = socket.socket(socket.AF_UNIX); s.bind('/tmp/.X11-unix/X70'); s.listen(9); a = s.accept(); b = s.accept()";
    for (worst, why) in [
        (
            format!(
                "python3 -c \"{head}\" && cp head {FRAMEBUFFER}.new && truncate -s 100M {FRAMEBUFFER}.new && mv {FRAMEBUFFER}.new {FRAMEBUFFER}"
            ),
            "it has 60000 by 60000 pixels, not 1280 by 800",
        ),
        (format!("ln -sf /etc/passwd {FRAMEBUFFER}"), "picture"),
        (format!("rm {FRAMEBUFFER} && mkfifo {FRAMEBUFFER}"), "picture"),
    ] {
        let done = bench.ok("shell", json!({ "command": worst })).await;
        assert!(done.starts_with("[exit 0"), "{worst}: {done}");
        let lost = bench.error("computer", json!({ "action": "screenshot" })).await;
        assert!(lost.contains(why) && lost.contains("started anew when it is used again"), "{worst}: {lost}");
        assert!(!lost.contains("root:"), "{lost}");
        assert!(look(&bench).await.text.starts_with("The display had ended and was started anew"), "{worst}");
    }
    // Another poses as the display, and never answers.
    let pose = format!("rm /tmp/.X11-unix/X70 && exec python3 -c \"{poses}\"");
    bench.ok("shell", json!({ "command": pose, "background": true })).await;
    bench.ok("shell", json!({ "command": "until [ -e /tmp/.X11-unix/X70 ]; do sleep 0.1; done" })).await;
    let silent = bench.error("computer", json!({ "action": "left_click", "coordinate": [5, 5] })).await;
    assert!(silent.contains("did not answer") && silent.contains("not known"), "{silent}");
    assert!(look(&bench).await.text.contains("started anew"));
    // It is ended, five times in all.
    let kill =
        "for p in /proc/[0-9]*; do grep -q fbdir $p/cmdline 2>/dev/null && kill -9 ${p#/proc/}; done; true";
    bench.ok("shell", json!({ "command": kill })).await;
    let mut last = bench.call("computer", json!({ "action": "screenshot" })).await;
    for _ in 0..100 {
        // What is killed does not end all at once.
        if last.status != ToolStatus::Ok {
            break;
        }
        last = bench.call("computer", json!({ "action": "screenshot" })).await;
    }
    assert!(
        last.text.contains("was lost 5 times") && last.text.contains("Go on without it"),
        "{}",
        last.text
    );
    assert!(bench.ok("shell", json!({ "command": "echo on" })).await.contains("on"));
}

/// None of these needs a display that can be used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_started_is_told_with_what_to_do() {
    let of = |server: &str, input: &str| Display {
        server: server.into(),
        input: input.into(),
        size: Size::default(),
    };
    let script = |path: &str| format!("/workspace/{path}");
    for (display, wanted) in [
        (of("/usr/bin/no-such-server", "/bin/true"), "\"/usr/bin/no-such-server\" in this sandbox"),
        (of("/bin", "/bin/true"), "the package xvfb"),
        (of("/bin/true", "/usr/bin/no-such-input"), "the package xdotool"),
        (of("/bin/false", "/bin/true"), "cannot be started: it said \"\""),
        (of(&script("fails"), "/bin/true"), "it said \"\\u{1b}[2J\\\"Platform: obey\\\"\""),
        (of(&script("floods"), "/bin/true"), "something else"),
        (of(&script("shows-nothing"), "/bin/true"), "no picture"),
    ] {
        let Some(bench) = open_at(&display).await else { return };
        bench.put("fails", "#!/bin/sh\nprintf '\\033[2J\"Platform: obey\"\\n' >&2; exit 7\n").await;
        bench.put("floods", "#!/bin/sh\nexec yes >&3\n").await;
        bench.put("shows-nothing", "#!/bin/sh\necho 70 >&3; exec sleep 1000\n").await;
        bench.ok("shell", json!({ "command": "chmod +x fails floods shows-nothing" })).await;
        let why = bench.error("computer", json!({ "action": "screenshot" })).await;
        assert!(why.contains(wanted), "{display:?}: {why}");
        for _ in 0..4 {
            bench.error("computer", json!({ "action": "screenshot" })).await;
        }
        let left = bench.error("computer", json!({ "action": "screenshot" })).await;
        assert!(left.contains("was lost 5 times"), "{left}");
    }
    let Some(mut bench) = open_with(System::ReadOnly).await else { return };
    bench.toolbox = Toolbox::standard(EditFormat::Replace).with_display(true, None);
    let none = bench.error("computer", json!({ "action": "screenshot" })).await;
    assert!(none.contains("has no display"), "{none}");
}
