//! What is done on a display, from the arguments of a call to the one command line that does it.

use std::time::Duration;

use cofferdam_browser::quoted;

use super::{
    keys::{chord, chords, held},
    size::{Point, Size},
};
use crate::{call::Arguments, tool::Failure};

/// Characters that are written in one call.
const MOST_CHARACTERS: usize = 2_000;
/// Milliseconds between two of them.
const BETWEEN: u64 = 8;
/// The same where some are on no key: for each of those a key is given another meaning for a moment, in which programs have to learn of that.
const BETWEEN_OTHERS: u64 = 40;
/// How long the program may take besides.
const PATIENCE: Duration = Duration::from_secs(20);

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Look, and nothing else.
    Look,
    /// Let time pass.
    Wait(Duration),
    /// Ask where the pointer is.
    Where,
    /// Use pointer or keyboard.
    Use(Input),
}

/// How pointer and keyboard are used: arguments and standard input of `xdotool`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) arguments: Vec<String>,
    pub(super) typed: Vec<u8>,
    pub(super) patience: Duration,
    /// What will have been done, in words.
    pub(super) done: String,
}

impl Input {
    fn new(words: Vec<String>, done: impl Into<String>) -> Self {
        Self { arguments: words, typed: Vec::new(), patience: PATIENCE, done: done.into() }
    }

    /// What asks where the pointer is.
    pub(super) fn of_where() -> Self {
        Self::new(words(&["getmouselocation", "--shell"]), "")
    }
}

impl Action {
    /// What a call asks for.
    pub(super) fn of(arguments: &Arguments, size: Size) -> Result<Self, Failure> {
        let pointer = Pointer { arguments, size };
        let action = arguments.text("action");
        Ok(match action {
            "screenshot" => Self::Look,
            "cursor_position" => Self::Where,
            "wait" => Self::Wait(seconds(arguments, 2)),
            "type" => Self::Use(typed(arguments.text("text"))?),
            "key" => {
                let keys = chords(arguments.text("text"))?;
                let done = format!("Pressed {}", quoted(arguments.text("text"), 60));
                let words = words(&["key", "--delay", "30"]).into_iter().chain(keys).collect();
                Self::Use(Input::new(words, done))
            }
            "hold_key" => {
                let (key, held) = (chord(arguments.text("text").trim())?, seconds(arguments, 1));
                let sleep = held.as_secs().to_string();
                let done = format!("Held {} for {sleep} s", quoted(arguments.text("text"), 60));
                let words = words(&["keydown", &key, "sleep", &sleep, "keyup", &key]);
                Self::Use(Input { patience: held.saturating_add(PATIENCE), ..Input::new(words, done) })
            }
            "mouse_move" => {
                let to = pointer.needed("coordinate")?;
                Self::Use(Input::new(moved(to), "Moved the pointer"))
            }
            "left_click_drag" => Self::Use(pointer.dragged()?),
            "left_mouse_down" => Self::Use(pointer.used(&["mousedown", "1"], "Pressed the left button")?),
            "left_mouse_up" => Self::Use(pointer.used(&["mouseup", "1"], "Let go of the left button")?),
            "scroll" => Self::Use(pointer.scrolled()?),
            click => Self::Use(pointer.clicked(click)?),
        })
    }
}

/// What a call says about the pointer.
struct Pointer<'a> {
    arguments: &'a Arguments,
    size: Size,
}

impl Pointer<'_> {
    fn place(&self, name: &str) -> Result<Option<Point>, Failure> {
        self.arguments.point(name).map(|point| self.size.at(name, point)).transpose()
    }

    fn needed(&self, name: &str) -> Result<Point, Failure> {
        let action = self.arguments.text("action");
        let missing =
            || Failure(format!("{action} needs `{name}`: [x, y] in the picture that was shown last."));
        self.place(name)?.ok_or_else(missing)
    }

    /// Goes to where the call says, if it does, and does this there, with the keys held that it names.
    fn used(&self, what: &[&str], done: &str) -> Result<Input, Failure> {
        let keys = self.arguments.optional_text("text").filter(|text| !text.trim().is_empty());
        let keys = keys.map(held).transpose()?;
        let mut all = self.place("coordinate")?.map(moved).unwrap_or_default();
        if let Some(keys) = &keys {
            all.extend(words(&["keydown", keys]));
        }
        all.extend(words(what));
        if let Some(keys) = &keys {
            all.extend(words(&["keyup", keys]));
        }
        Ok(Input::new(all, done))
    }

    fn clicked(&self, action: &str) -> Result<Input, Failure> {
        let (button, times, done) = match action {
            "right_click" => ("3", "1", "Clicked with the right button"),
            "middle_click" => ("2", "1", "Clicked with the middle button"),
            "double_click" => ("1", "2", "Clicked twice"),
            "triple_click" => ("1", "3", "Clicked three times"),
            _ => ("1", "1", "Clicked"),
        };
        self.used(&["click", "--repeat", times, "--delay", "60", button], done)
    }

    fn scrolled(&self) -> Result<Input, Failure> {
        let direction = self.arguments.text("scroll_direction");
        let button = match direction {
            "up" => "4",
            "down" => "5",
            "left" => "6",
            "right" => "7",
            _ => return Err(Failure::new("scroll needs `scroll_direction`: up, down, left or right.")),
        };
        let amount = self.arguments.count("scroll_amount").unwrap_or(3).to_string();
        let done = format!("Scrolled {direction} by {amount}");
        self.used(&["click", "--repeat", &amount, "--delay", "20", button], &done)
    }

    fn dragged(&self) -> Result<Input, Failure> {
        let to = self.needed("coordinate")?;
        let from = self.place("start_coordinate")?;
        // Programs that take a drag for one only after some way see one on the way, too.
        let half = |from: u32, to: u32| from.midpoint(to);
        let mut all = from.map(moved).unwrap_or_default();
        all.extend(words(&["mousedown", "1", "sleep", "0.1"]));
        if let Some(from) = from {
            all.extend(moved((half(from.0, to.0), half(from.1, to.1))));
            all.extend(words(&["sleep", "0.1"]));
        }
        all.extend(moved(to));
        all.extend(words(&["sleep", "0.1", "mouseup", "1"]));
        Ok(Input::new(all, "Dragged"))
    }
}

/// A text, as the keyboard writes it. It goes in on standard input: no shell and no command line has it.
fn typed(text: &str) -> Result<Input, Failure> {
    let text = text.replace("\r\n", "\n");
    let count = text.chars().count();
    if count == 0 {
        return Err(Failure::new("type needs `text`."));
    }
    if count > MOST_CHARACTERS {
        return Err(Failure(format!(
            "The text has {count} characters, and at most {MOST_CHARACTERS} are typed in one call. Write longer texts to a file with `write`."
        )));
    }
    if let Some(bad) =
        text.chars().find(|character| character.is_control() && !['\n', '\t'].contains(character))
    {
        return Err(Failure(format!(
            "No keyboard writes {}. Of characters that control something, only line ends and tabs are typed; for keys there is the action key.",
            bad.escape_unicode()
        )));
    }
    let between = if text.is_ascii() { BETWEEN } else { BETWEEN_OTHERS };
    let words = words(&["type", "--delay", &between.to_string(), "--file", "-"]);
    let typing = Duration::from_millis(between.saturating_mul(count as u64).saturating_mul(4));
    let done = format!("Typed {count} character{}", if count == 1 { "" } else { "s" });
    Ok(Input {
        // What ends a line on a keyboard is Return.
        typed: text.replace('\n', "\r").into_bytes(),
        patience: typing.saturating_add(PATIENCE),
        ..Input::new(words, done)
    })
}

fn moved((x, y): Point) -> Vec<String> {
    words(&["mousemove", &x.to_string(), &y.to_string()])
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn seconds(arguments: &Arguments, usual: u64) -> Duration {
    Duration::from_secs(arguments.count("duration").unwrap_or(usual))
}

/// Where the pointer is on the display, as `xdotool` prints it.
pub(super) fn pointer(printed: &[u8], size: Size) -> Option<Point> {
    let printed = std::str::from_utf8(printed).ok()?;
    let side = |name: &str, most: u32| {
        let value = printed.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        value.parse::<u32>().ok().filter(|place| *place < most)
    };
    Some((side("X", size.width())?, side("Y", size.height())?))
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::ToolCall;
    use serde_json::{Value, json};

    use super::{super::computer::DEFINITION, *};

    fn action(arguments: &Value) -> Result<Action, String> {
        let call = ToolCall {
            provider_id: "x".into(),
            name: "computer".into(),
            arguments: arguments.to_string(),
            opaque: None,
        };
        let arguments = Arguments::of(&call, &DEFINITION).map_err(|failure| failure.0)?;
        Action::of(&arguments, Size::new(1920, 1080).unwrap()).map_err(|failure| failure.0)
    }

    fn line(arguments: &Value) -> String {
        match action(arguments) {
            Ok(Action::Use(input)) => input.arguments.join(" "),
            other => panic!("{arguments}: {other:?}"),
        }
    }

    #[test]
    fn the_shapes_of_two_providers_are_understood() {
        // The display is half as large again as the picture.
        for (arguments, expected) in [
            (
                json!({ "action": "left_click", "coordinate": [100, 50] }),
                "mousemove 150 75 click --repeat 1 --delay 60 1",
            ),
            (
                json!({ "action": "left_click", "coordinate": "[100, 50]" }),
                "mousemove 150 75 click --repeat 1 --delay 60 1",
            ),
            (json!({ "action": "left_click" }), "click --repeat 1 --delay 60 1"),
            (
                json!({ "action": "triple_click", "coordinate": [0, 0], "text": "shift" }),
                "mousemove 0 0 keydown Shift_L click --repeat 3 --delay 60 1 keyup Shift_L",
            ),
            (json!({ "action": "mouse_move", "coordinate": [1279, 719] }), "mousemove 1919 1079"),
            (
                json!({ "action": "scroll", "coordinate": [0, 0], "scroll_direction": "up", "scroll_amount": 9 }),
                "mousemove 0 0 click --repeat 9 --delay 20 4",
            ),
            (
                json!({ "action": "left_click_drag", "start_coordinate": [0, 0], "coordinate": [100, 100] }),
                "mousemove 0 0 mousedown 1 sleep 0.1 mousemove 75 75 sleep 0.1 mousemove 150 150 sleep 0.1 mouseup 1",
            ),
            (json!({ "action": "key", "text": "ctrl+s" }), "key --delay 30 Control_L+U0073"),
            (
                json!({ "action": "hold_key", "text": "shift+a", "duration": 1.5 }),
                "keydown Shift_L+U0061 sleep 2 keyup Shift_L+U0061",
            ),
            (json!({ "action": "left_mouse_down" }), "mousedown 1"),
            // The other provider's.
            (
                json!({ "type": "click", "x": 100, "y": 50, "button": "right" }),
                "mousemove 150 75 click --repeat 1 --delay 60 3",
            ),
            (
                json!({ "action": { "type": "double_click", "x": 2, "y": 4 } }),
                "mousemove 3 6 click --repeat 2 --delay 60 1",
            ),
            (json!({ "action": "move", "x": 2, "y": 4 }), "mousemove 3 6"),
            (
                json!({ "type": "scroll", "x": 2, "y": 4, "scroll_x": 0, "scroll_y": -250 }),
                "mousemove 3 6 click --repeat 3 --delay 20 4",
            ),
            (json!({ "type": "keypress", "keys": ["CTRL", "ENTER"] }), "key --delay 30 Control_L+Return"),
            (
                json!({ "type": "drag", "path": [{ "x": 0, "y": 0 }, { "x": 5, "y": 5 }, { "x": 100, "y": 100 }] }),
                "mousemove 0 0 mousedown 1 sleep 0.1 mousemove 75 75 sleep 0.1 mousemove 150 150 sleep 0.1 mouseup 1",
            ),
        ] {
            assert_eq!(line(&arguments), expected, "{arguments}");
        }
        assert_eq!(action(&json!({ "action": "screenshot" })), Ok(Action::Look));
        assert_eq!(action(&json!({ "type": "wait" })), Ok(Action::Wait(Duration::from_secs(2))));
        assert_eq!(
            action(&json!({ "action": "wait", "duration": 1000 })),
            Ok(Action::Wait(Duration::from_secs(60)))
        );
        assert_eq!(action(&json!({ "action": "cursor_position" })), Ok(Action::Where));
    }

    #[test]
    fn what_is_typed_is_in_no_command_line() {
        let Ok(Action::Use(typed)) =
            action(&json!({ "action": "type", "text": "$(id) --window 1; exec x\n" }))
        else {
            panic!()
        };
        assert_eq!(typed.arguments, ["type", "--delay", "8", "--file", "-"]);
        assert_eq!(typed.typed, b"$(id) --window 1; exec x\r");
        let Ok(Action::Use(typed)) = action(&json!({ "action": "type", "text": "é\r\n" })) else { panic!() };
        assert_eq!((typed.arguments[2].as_str(), typed.typed.as_slice()), ("40", "é\r".as_bytes()));
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_what_can() {
        for (arguments, wanted) in [
            (json!({ "action": "left_click", "coordinate": [1280, 10] }), "from [0, 0] to [1279, 719]"),
            (json!({ "action": "left_click", "coordinate": [-1, 10] }), "[x, y]"),
            (json!({ "action": "left_click", "coordinate": [1, 2, 3] }), "[x, y]"),
            (json!({ "action": "left_click", "coordinate": "exec" }), "[x, y]"),
            (json!({ "action": "left_click", "text": "hello" }), "There is no key"),
            (json!({ "action": "mouse_move" }), "needs `coordinate`"),
            (json!({ "action": "scroll" }), "scroll_direction"),
            (json!({ "action": "key", "text": "exec sh" }), "There is no key"),
            (json!({ "action": "key" }), "There is no key"),
            (json!({ "action": "type" }), "needs `text`"),
            (json!({ "action": "type", "text": "a\u{1b}[2Jb" }), "\\u{1b}"),
            (json!({ "action": "type", "text": "\0" }), "\\u{0}"),
            (json!({ "action": "type", "text": "a".repeat(MOST_CHARACTERS + 1) }), "at most 2000"),
            (json!({ "action": "reboot" }), "one of screenshot"),
            (json!({ "action": 7 }), "one of screenshot"),
            (json!({ "type": "drag", "path": [] }), "coordinate"),
        ] {
            let refused = action(&arguments).unwrap_err();
            assert!(refused.contains(wanted), "{arguments}: {refused}");
        }
    }

    #[test]
    fn where_the_pointer_is_comes_from_what_anybody_may_have_printed() {
        let size = Size::default();
        assert_eq!(pointer(b"X=5\nY=799\nSCREEN=0\nWINDOW=1\n", size), Some((5, 799)));
        for bad in
            [&b""[..], b"X=5", b"X=-5\nY=1\n", b"X=5\nY=800\n", b"X=99999999999\nY=1", b"\xff\xfe", b"XY=1"]
        {
            assert_eq!(pointer(bad, size), None, "{bad:?}");
        }
    }
}
