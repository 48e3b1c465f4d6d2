//! Keys by the names that people and other tools have for them.

use serde_json::{Value, json};

use crate::BrowserError;

/// A key, with those that are held meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Press {
    key: String,
    code: String,
    number: u32,
    /// What it writes.
    text: String,
    /// Alt 1, Ctrl 2, Meta 4, Shift 8.
    modifiers: u8,
}

/// Keys with names: name, code, number, what they write.
const NAMED: [(&str, &str, u32, &str); 17] = [
    ("Enter", "Enter", 13, "\r"),
    ("Tab", "Tab", 9, ""),
    ("Escape", "Escape", 27, ""),
    ("Backspace", "Backspace", 8, ""),
    ("Delete", "Delete", 46, ""),
    ("Insert", "Insert", 45, ""),
    ("Home", "Home", 36, ""),
    ("End", "End", 35, ""),
    ("PageUp", "PageUp", 33, ""),
    ("PageDown", "PageDown", 34, ""),
    ("ArrowUp", "ArrowUp", 38, ""),
    ("ArrowDown", "ArrowDown", 40, ""),
    ("ArrowLeft", "ArrowLeft", 37, ""),
    ("ArrowRight", "ArrowRight", 39, ""),
    ("Space", "Space", 32, " "),
    ("ContextMenu", "ContextMenu", 93, ""),
    ("CapsLock", "CapsLock", 20, ""),
];

/// Other names for them, in lower case.
const ALSO: [(&str, &str); 9] = [
    ("return", "Enter"),
    ("esc", "Escape"),
    ("del", "Delete"),
    ("up", "ArrowUp"),
    ("down", "ArrowDown"),
    ("left", "ArrowLeft"),
    ("right", "ArrowRight"),
    ("page_up", "PageUp"),
    ("page_down", "PageDown"),
];

impl Press {
    /// A key by its name, with others before it: `Enter`, `a`, `Control+Shift+K`.
    pub(crate) fn named(name: &str) -> Result<Self, BrowserError> {
        let unknown = || {
            BrowserError::cannot(format!(
                "There is no key {}. A key is one character, or one of Enter, Tab, Escape, Backspace, Delete, Home, End, PageUp, PageDown, \
                 ArrowUp, ArrowDown, ArrowLeft, ArrowRight, Space, F1 to F12, with Control+, Shift+, Alt+ or Meta+ before it.",
                crate::quoted(name, 40)
            ))
        };
        let name = if name == " " { "Space" } else { name.trim() };
        let mut modifiers = 0;
        let mut rest = name;
        while let Some((held, more)) =
            rest.split_once('+').filter(|(held, more)| !held.is_empty() && !more.is_empty())
        {
            modifiers |= match held.to_lowercase().as_str() {
                "alt" | "option" => 1,
                "control" | "ctrl" | "controlormeta" => 2,
                "meta" | "cmd" | "command" | "super" => 4,
                "shift" => 8,
                _ => return Err(unknown()),
            };
            rest = more;
        }
        let lower = rest.to_lowercase();
        let plain = ALSO.iter().find(|(also, _)| *also == lower).map_or(rest, |(_, name)| name);
        if let Some((key, code, number, text)) =
            NAMED.iter().find(|(key, ..)| key.eq_ignore_ascii_case(plain)).copied()
        {
            let key = if key == "Space" { " " } else { key };
            return Ok(Self::of(key, code.to_owned(), number, text, modifiers));
        }
        if let Some(number) = lower.strip_prefix('f').and_then(|number| number.parse::<u32>().ok())
            && (1..=12).contains(&number)
        {
            let key = format!("F{number}");
            return Ok(Self::of(&key, key.clone(), 111 + number, "", modifiers));
        }
        let mut characters = rest.chars();
        let (Some(character), None) = (characters.next(), characters.next()) else { return Err(unknown()) };
        let upper = character.to_ascii_uppercase();
        let (code, number) = match upper {
            'A'..='Z' => (format!("Key{upper}"), u32::from(upper)),
            '0'..='9' => (format!("Digit{upper}"), u32::from(upper)),
            _ => (String::new(), 0),
        };
        let shifted = if modifiers & 8 != 0 { upper } else { character };
        Ok(Self::of(&shifted.to_string(), code, number, &shifted.to_string(), modifiers))
    }

    fn of(key: &str, code: String, number: u32, text: &str, modifiers: u8) -> Self {
        // With Ctrl, Alt or Meta a key writes nothing.
        let text = if modifiers & 7 == 0 { text.to_owned() } else { String::new() };
        Self { key: key.to_owned(), code, number, text, modifiers }
    }

    /// The two events of it.
    pub(crate) fn events(&self) -> [Value; 2] {
        let event = |kind: &str| {
            json!({
                "type": kind, "key": self.key, "code": self.code, "windowsVirtualKeyCode": self.number,
                "nativeVirtualKeyCode": self.number, "modifiers": self.modifiers,
            })
        };
        let mut down = event(if self.text.is_empty() { "rawKeyDown" } else { "keyDown" });
        if !self.text.is_empty() {
            down["text"] = self.text.clone().into();
        }
        // What editing keys do is a command where no window system says so.
        if self.modifiers == 2 && self.key.eq_ignore_ascii_case("a") {
            down["commands"] = json!(["selectAll"]);
        }
        [down, event("keyUp")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_keys() {
        let enter = Press::named("enter").unwrap();
        assert_eq!((enter.key.as_str(), enter.text.as_str()), ("Enter", "\r"));
        let all = Press::named("Ctrl+a").unwrap();
        assert_eq!((all.code.as_str(), all.modifiers, all.text.as_str()), ("KeyA", 2, ""));
        assert_eq!(Press::named("Shift+k").unwrap().text, "K");
        assert_eq!(Press::named("+").unwrap().text, "+");
        assert_eq!(Press::named("Control++").unwrap().key, "+");
        assert_eq!(Press::named("F12").unwrap().number, 123);
        assert_eq!(Press::named("é").unwrap().text, "é");
        for bad in ["", "Hyper+a", "F13", "two words", "Enterr"] {
            assert!(Press::named(bad).unwrap_err().to_string().contains("There is no key"), "{bad}");
        }
    }
}
