//! Keys by the names that models have for them, as the one form in which they are given on: nothing but a name of a table, or the number of a character.

use crate::{text::shorten, tool::Failure};

/// Keys that are pressed one after the other in one call.
const MOST_CHORDS: usize = 50;
/// Keys of one chord.
const MOST_TOGETHER: usize = 5;

/// Names of X11, as they are given on. Case, `_` and `-` make no difference in what a model writes.
const NAMES: [&str; 84] = [
    "Return",
    "Tab",
    "Escape",
    "BackSpace",
    "Delete",
    "Insert",
    "Home",
    "End",
    "Page_Up",
    "Page_Down",
    "Up",
    "Down",
    "Left",
    "Right",
    "space",
    "Menu",
    "Print",
    "Pause",
    "Caps_Lock",
    "Num_Lock",
    "Scroll_Lock",
    "Shift_L",
    "Shift_R",
    "Control_L",
    "Control_R",
    "Alt_L",
    "Alt_R",
    "Super_L",
    "Super_R",
    "KP_0",
    "KP_1",
    "KP_2",
    "KP_3",
    "KP_4",
    "KP_5",
    "KP_6",
    "KP_7",
    "KP_8",
    "KP_9",
    "KP_Enter",
    "KP_Add",
    "KP_Subtract",
    "KP_Multiply",
    "KP_Divide",
    "KP_Decimal",
    "F1",
    "F2",
    "F3",
    "F4",
    "F5",
    "F6",
    "F7",
    "F8",
    "F9",
    "F10",
    "F11",
    "F12",
    "minus",
    "plus",
    "equal",
    "comma",
    "period",
    "colon",
    "semicolon",
    "slash",
    "backslash",
    "question",
    "exclam",
    "quotedbl",
    "apostrophe",
    "grave",
    "bracketleft",
    "bracketright",
    "braceleft",
    "braceright",
    "parenleft",
    "parenright",
    "underscore",
    "at",
    "numbersign",
    "dollar",
    "percent",
    "ampersand",
    "asterisk",
];

/// Other names for them, plain.
const ALSO: [(&str, &str); 28] = [
    ("enter", "Return"),
    ("esc", "Escape"),
    ("del", "Delete"),
    ("ins", "Insert"),
    ("pgup", "Page_Up"),
    ("pgdn", "Page_Down"),
    ("prior", "Page_Up"),
    ("next", "Page_Down"),
    ("arrowup", "Up"),
    ("arrowdown", "Down"),
    ("arrowleft", "Left"),
    ("arrowright", "Right"),
    ("spacebar", "space"),
    ("printscreen", "Print"),
    ("shift", "Shift_L"),
    ("ctrl", "Control_L"),
    ("control", "Control_L"),
    ("alt", "Alt_L"),
    ("option", "Alt_L"),
    ("super", "Super_L"),
    ("meta", "Super_L"),
    ("cmd", "Super_L"),
    ("command", "Super_L"),
    ("win", "Super_L"),
    ("windows", "Super_L"),
    ("hash", "numbersign"),
    ("tilde", "U007E"),
    ("kpreturn", "KP_Enter"),
];

/// Keys that change what others do.
const MODIFIERS: [&str; 8] =
    ["Shift_L", "Shift_R", "Control_L", "Control_R", "Alt_L", "Alt_R", "Super_L", "Super_R"];

/// Chords that are pressed one after the other: `ctrl+s`, or `Up Up Return`.
pub(super) fn chords(text: &str) -> Result<Vec<String>, Failure> {
    if text == " " {
        return Ok(vec!["space".to_owned()]);
    }
    let words: Vec<&str> = text.split_whitespace().take(MOST_CHORDS + 1).collect();
    if words.is_empty() {
        return Err(unknown(text));
    }
    if words.len() > MOST_CHORDS {
        return Err(Failure(format!(
            "At most {MOST_CHORDS} keys in one call; for words there is the action type."
        )));
    }
    words.into_iter().map(chord).collect()
}

/// Keys that are held while a pointer is used: `shift`, `ctrl+alt`.
pub(super) fn held(text: &str) -> Result<String, Failure> {
    let held = chord(text.trim())?;
    if held.split('+').all(|key| MODIFIERS.contains(&key)) {
        return Ok(held);
    }
    Err(Failure::new(
        "`text` of an action with the pointer is what is held meanwhile: shift, ctrl, alt or super, with + between them. To write, use the action type.",
    ))
}

/// Keys that are pressed together.
pub(super) fn chord(text: &str) -> Result<String, Failure> {
    let mut keys = Vec::new();
    let mut rest = text;
    while let Some((key, more)) =
        rest.split_once('+').filter(|(key, more)| !key.is_empty() && !more.is_empty())
    {
        keys.push(key);
        rest = more;
    }
    keys.push(rest);
    if keys.len() > MOST_TOGETHER {
        return Err(unknown(text));
    }
    let keys: Option<Vec<String>> = keys.into_iter().map(named).collect();
    Ok(keys.ok_or_else(|| unknown(text))?.join("+"))
}

/// A key by its name, or the character that it writes.
fn named(name: &str) -> Option<String> {
    let mut characters = name.chars();
    if let (Some(character), None) = (characters.next(), characters.next()) {
        // X11 knows every character by its number, and so does whoever presses the keys.
        let writes = !character.is_control() && !character.is_whitespace();
        return writes.then(|| format!("U{:04X}", u32::from(character)));
    }
    let plain = plain(name);
    let also = ALSO.iter().find(|(other, _)| *other == plain).map(|(_, name)| *name);
    also.or_else(|| NAMES.into_iter().find(|known| self::plain(known) == plain)).map(str::to_owned)
}

/// A name without regard to its case and separators.
fn plain(name: &str) -> String {
    name.chars().filter(|character| !['_', '-'].contains(character)).flat_map(char::to_lowercase).collect()
}

fn unknown(text: &str) -> Failure {
    Failure(format!(
        "There is no key {:?}. A key is one character, or one of Return, Tab, Escape, BackSpace, Delete, Insert, Home, End, Page_Up, Page_Down, Up, Down, Left, \
         Right, space, F1 to F12 and the like, with ctrl+, shift+, alt+ or super+ before it. To write words, use the action type.",
        shorten(text, 40)
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_have_the_names_that_models_give_them() {
        for (text, keys) in [
            ("Return", "Return"),
            ("ENTER", "Return"),
            ("ctrl+s", "Control_L+U0073"),
            ("CTRL+SHIFT+ArrowLeft", "Control_L+Shift_L+Left"),
            ("page_down", "Page_Down"),
            ("alt+F4", "Alt_L+F4"),
            ("a", "U0061"),
            ("+", "U002B"),
            ("ctrl++", "Control_L+U002B"),
            ("é", "U00E9"),
            ("KP_0", "KP_0"),
            ("cmd+minus", "Super_L+minus"),
        ] {
            assert_eq!(chord(text).unwrap(), keys, "{text}");
        }
        assert_eq!(chords("Up Up  ctrl+a").unwrap(), ["Up", "Up", "Control_L+U0061"]);
        assert_eq!(chords(" ").unwrap(), ["space"]);
        assert_eq!(held("ctrl+Shift").unwrap(), "Control_L+Shift_L");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in
            ["", "exec", "type", "search", "XF86Eject", "a+b+c+d+e+f", "ctrl+", "\u{7}", "--window", "38x"]
        {
            assert!(chord(bad).unwrap_err().0.contains("There is no key"), "{bad}");
        }
        assert!(chords("  \n").is_err() && chords(&"a ".repeat(60)).is_err());
        assert!(held("a").unwrap_err().0.contains("held meanwhile") && held("Return").is_err());
    }

    proptest! {
        #[test]
        fn nothing_is_given_on_but_names_and_numbers(text in "\\PC{0,40}") {
            for chord in chords(&text).unwrap_or_default() {
                for key in chord.split('+') {
                    let number = key.strip_prefix('U').is_some_and(|digits| {
                        digits.len() >= 4 && digits.chars().all(|digit| digit.is_ascii_hexdigit())
                    });
                    prop_assert!(number || NAMES.contains(&key), "{key}");
                }
            }
        }
    }
}
