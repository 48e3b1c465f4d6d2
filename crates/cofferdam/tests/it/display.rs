//! A session with a display: a program with a window is started, looked at and used; orders that try to be more than that come to nothing.

use std::path::Path;

use cofferdam_domain::{ToolStatus, tool::ToolEffect};
use serde_json::json;

use crate::{
    commands::{call, finish, shell},
    harness::{World, outcomes, skip},
};

/// The exit status of a session that had nothing to change.
const NOTHING: i32 = 3;
/// A program with a window, at [200, 100] and 400 by 300 pixels, that writes down what happens to it.
const WINDOW: &str = include_str!("../../../tools/tests/it/display/window.py");

#[test]
fn a_window_of_the_sandbox_is_looked_at_and_used() {
    let Some(world) = World::with_sandboxes() else { return skip("no sandboxes here") };
    if ["/usr/bin/Xvfb", "/usr/bin/xdotool", "/usr/bin/python3"]
        .iter()
        .any(|program| !Path::new(program).is_file())
    {
        return skip("no display or no Python here: install the packages xvfb, xdotool and python3");
    }
    world.add_to_configuration("\n[display]\nserver = \"/usr/bin/Xvfb\"\nwidth = 1600\nheight = 1000\n");
    let repository = world.repository(
        "project",
        &[("window.py", WINDOW), ("test.sh", "echo ok 1 - all\n"), ("README.md", "A project.\n")],
    );
    let computer = |arguments| call("computer", &arguments);
    let until = |words: &str| {
        shell(&format!(
            "until grep -qx '{words}' /tmp/events; do sleep 0.2; done 2>/dev/null; cat /tmp/events"
        ))
    };
    let steps = json!([
        computer(json!({ "action": "screenshot" })),
        call("shell", &json!({ "command": "exec python3 window.py /tmp/events", "background": true })),
        until("ready"),
        // The picture is four fifths of the display.
        computer(json!({ "action": "left_click", "coordinate": [240, 160] })),
        computer(json!({ "type": "type", "text": "$(touch /tmp/pwned)\n" })),
        until("key .n"),
        computer(json!({ "action": "key", "text": "exec touch /tmp/pwned" })),
        computer(json!({ "action": "left_click", "coordinate": [1280, 0] })),
        shell("ls /tmp/pwned"),
        finish("nothing_to_do")
    ]);
    let model = world.recording(&steps);
    let ended = world.work_on(&repository, &model, "Look at the window.");
    assert_eq!(ended.status, NOTHING, "{ended:?}");
    let events = world.events(None);
    let all = outcomes(&events);
    let [picture, _, _, clicked, typed, written, key, outside, pwned, ..] = &all[..] else {
        panic!("{all:?}")
    };
    for outcome in [picture, clicked, typed] {
        assert!(matches!(&outcome.effect, Some(ToolEffect::Screenshot { .. })), "{outcome:?}");
        assert_eq!(outcome.images.len(), 1);
        assert!(outcome.text.contains("[1279, 799]"), "{}", outcome.text);
    }
    assert!(written.text.contains("press 1 at 100 100"), "{}", written.text);
    let keys: String = written.text.lines().filter_map(|line| line.strip_prefix("key ")).collect();
    assert_eq!(keys, "$(touch /tmp/pwned)\\n");
    for (refused, why) in [(key, "There is no key"), (outside, "from [0, 0] to [1279, 799]")] {
        assert!(refused.status == ToolStatus::Error && refused.text.contains(why), "{}", refused.text);
    }
    assert!(pwned.text.contains("No such file"), "{}", pwned.text);
    world.ok(&["replay"]);
    world.assert_nothing_is_left();
}
