//! Characters that a reader does not see, or that move others about: the one table.
//!
//! [`Hidden::of`] classifies a character wherever it stands: for names, and for text that must not hold it at
//! all. [`hidden`] also looks at the neighbours, because in running text some of these characters have a
//! meaning: joiners in emoji and in Indic scripts, variation selectors after symbols, a byte order mark at
//! the start of a file. The gate's rules, paths and messages shown to people, commit messages and the
//! terminal all ask here, so that no two of them disagree about what can be seen.
//!
//! Sources: UAX #9 (bidirectional algorithm), UAX #44 (`Default_Ignorable_Code_Point`), UTS #51 (emoji
//! sequences), and the Trojan Source paper (CVE-2021-42574).

/// Why a character is suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hidden {
    /// Changes the order in which text is shown: embeddings, overrides, isolates.
    BidiControl,
    /// Invisible direction marks.
    BidiMark,
    /// The tag block: invisible copies of ASCII.
    Tag,
    /// A variation selector.
    VariationSelector,
    /// Joiners, spaces and operators without width.
    ZeroWidth,
    /// Letters that look like nothing: Hangul fillers.
    Filler,
    /// Control characters and Unicode's own line ends.
    Control,
}

impl Hidden {
    /// What a character is, wherever it stands; `None` for what can be seen, which includes the space. Tabs
    /// and line ends are control characters.
    #[must_use]
    pub const fn of(character: char) -> Option<Self> {
        Some(match character {
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}' => Self::BidiControl,
            '\u{200e}' | '\u{200f}' | '\u{61c}' => Self::BidiMark,
            '\u{e0000}'..='\u{e007f}' => Self::Tag,
            '\u{fe00}'..='\u{fe0f}' | '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{e0100}'..='\u{e01ef}' => {
                Self::VariationSelector
            }
            '\u{200b}'..='\u{200d}'
            | '\u{2060}'..='\u{2065}'
            | '\u{34f}'
            | '\u{ad}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180e}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0080}'..='\u{e00ff}'
            | '\u{e01f0}'..='\u{e0fff}' => Self::ZeroWidth,
            '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => Self::Filler,
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => Self::Control,
            _ => return None,
        })
    }

    /// The kind in words, for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::BidiControl => "bidirectional control characters: what is shown differs from what is run",
            Self::BidiMark => "invisible direction marks",
            Self::Tag => "invisible tag characters, which can carry a hidden text",
            Self::VariationSelector => "variation selectors without a meaning, which can carry a hidden text",
            Self::ZeroWidth => "zero-width characters",
            Self::Filler => "letters that look like nothing (Hangul fillers)",
            Self::Control => "control characters",
        }
    }
}

/// Emoji tag sequences in use, without the black flag before and the cancel tag after them: England,
/// Scotland, Wales.
const FLAGS: [&str; 3] = ["gbeng", "gbsct", "gbwls"];

/// The characters of a text that hide something where they stand, with their index in `characters`. Tabs,
/// line ends and form feeds are in place in a text.
#[must_use]
pub fn hidden(characters: &[char]) -> Vec<(usize, Hidden)> {
    let mut found = Vec::new();
    let mut index = 0;
    while index < characters.len() {
        if let Some(length) = flag(&characters[index..]) {
            index += length;
            continue;
        }
        let before = index.checked_sub(1).map(|before| characters[before]);
        let after = characters.get(index + 1).copied();
        if let Some(kind) = Hidden::of(characters[index])
            && !is_in_place(kind, before, characters[index], after)
        {
            found.push((index, kind));
        }
        index += 1;
    }
    found
}

/// The text with every character that hides something replaced by what `shown` makes of it.
#[must_use]
pub fn replace_hidden(text: &str, shown: impl Fn(char) -> String) -> String {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) {
        return text.to_owned();
    }
    let characters: Vec<char> = text.chars().collect();
    let mut suspects = hidden(&characters).into_iter().peekable();
    let mut revealed = String::with_capacity(text.len());
    for (index, character) in characters.iter().enumerate() {
        if suspects.next_if(|(place, _)| *place == index).is_some() {
            revealed.push_str(&shown(*character));
        } else {
            revealed.push(*character);
        }
    }
    revealed
}

/// Bytes as one line for people: invalid UTF-8 becomes `\xNN`, and whatever is in the table is escaped, in
/// place or not.
#[must_use]
pub fn visible(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if Hidden::of(character).is_some() {
                text.extend(character.escape_unicode());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// The length of a well-known flag's tag sequence at the start of `rest`.
fn flag(rest: &[char]) -> Option<usize> {
    if *rest.first()? != '\u{1f3f4}' {
        return None;
    }
    FLAGS.iter().find_map(|flag| {
        let tags = flag.chars().filter_map(|letter| char::from_u32(0xe0000 + u32::from(letter)));
        let expected = tags.chain(['\u{e007f}']);
        let length = 1 + flag.len() + 1;
        rest.get(1..length)?.iter().copied().eq(expected).then_some(length)
    })
}

/// Whether a character of this kind has a meaning between these two, and so hides nothing.
fn is_in_place(kind: Hidden, before: Option<char>, character: char, after: Option<char>) -> bool {
    match (kind, character) {
        (Hidden::BidiControl | Hidden::BidiMark | Hidden::Tag, _) => false,
        (Hidden::VariationSelector, '\u{fe00}'..='\u{fe0f}') => before.is_some_and(takes_variation),
        (Hidden::VariationSelector, '\u{180b}'..='\u{180f}') => before.is_some_and(is_mongolian),
        (Hidden::VariationSelector, _) => before.is_some_and(is_ideograph),
        (Hidden::ZeroWidth, '\u{200d}') => joins_emoji(before, after) || between_joining(before, after),
        (Hidden::ZeroWidth, '\u{200c}') => between_joining(before, after),
        (Hidden::ZeroWidth, '\u{180e}') => before.is_some_and(is_mongolian),
        (Hidden::ZeroWidth, '\u{feff}') => before.is_none(),
        (Hidden::ZeroWidth, _) => false,
        (Hidden::Filler, _) => before.is_some_and(is_hangul) || after.is_some_and(is_hangul),
        (Hidden::Control, '\t' | '\n' | '\u{c}') => true,
        (Hidden::Control, '\r') => after.is_none_or(|after| after == '\n'),
        (Hidden::Control, _) => false,
    }
}

fn joins_emoji(before: Option<char>, after: Option<char>) -> bool {
    before.is_some_and(|before| is_pictograph(before) || before == '\u{fe0f}')
        && after.is_some_and(is_pictograph)
}

/// Whether joiners have a meaning between these two: Arabic, Syriac, N'Ko, Indic and South-East Asian
/// letters, Mongolian.
fn between_joining(before: Option<char>, after: Option<char>) -> bool {
    let joins = |character: char| {
        matches!(character, '\u{620}'..='\u{6ff}' | '\u{700}'..='\u{7ff}' | '\u{840}'..='\u{8ff}' | '\u{900}'..='\u{dff}'
            | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{1800}'..='\u{18af}' | '\u{fb50}'..='\u{fdff}'
            | '\u{fe70}'..='\u{fefc}')
    };
    // After the last letter of a word a joiner still shapes it; before the first letter it shapes nothing.
    before.is_some_and(joins) && after.is_none_or(|after| joins(after) || !after.is_alphanumeric())
}

/// Whether a presentation selector after this character has a meaning: emoji, keycap bases, symbols,
/// ideographs.
fn takes_variation(character: char) -> bool {
    matches!(character, '#' | '*' | '0'..='9' | '\u{a9}' | '\u{ae}' | '\u{2000}'..='\u{2bff}' | '\u{3000}'..='\u{33ff}')
        && !matches!(character, '\u{2000}'..='\u{2010}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{3000}')
        || is_pictograph(character)
        || is_ideograph(character)
        || matches!(character, '\u{1000}'..='\u{109f}' | '\u{a860}'..='\u{a87f}' | '\u{aa60}'..='\u{aa7f}')
}

const fn is_pictograph(character: char) -> bool {
    matches!(
        character,
        '\u{1f000}'..='\u{1faff}' | '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{2460}'..='\u{24ff}'
            | '\u{25a0}'..='\u{27bf}' | '\u{2900}'..='\u{297f}' | '\u{2b00}'..='\u{2bff}'
    )
}

const fn is_ideograph(character: char) -> bool {
    matches!(
        character,
        '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}'
    )
}

const fn is_mongolian(character: char) -> bool {
    matches!(character, '\u{1800}'..='\u{18af}')
}

const fn is_hangul(character: char) -> bool {
    matches!(
        character,
        '\u{1100}'..='\u{115e}' | '\u{1161}'..='\u{11ff}' | '\u{3130}'..='\u{3163}' | '\u{3165}'..='\u{318f}'
            | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reveal(text: &str) -> String {
        replace_hidden(text, |character| format!("<{:X}>", u32::from(character)))
    }

    #[test]
    fn legitimate_text_hides_nothing() {
        for text in [
            "fn main() {}\n\tlet x = 1;\r\n",
            "👨‍👩‍👧 👍🏽 ❤️ ☎︎ 1️⃣ #️⃣ ✔️ ©️ ↔️",
            "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
            "می‌خواهم",
            "क्‍ष",
            "العربية עברית",
            "中文，日本語、한국어",
            "葛󠄀",
            "\u{feff}text",
            "Привет, мир",
            "ᠠ᠋",
        ] {
            assert_eq!(reveal(text), text);
        }
    }

    #[test]
    fn what_hides_is_shown() {
        for (text, shown) in [
            ("a\u{202e}b", "a<202E>b"),
            ("a\u{200b}b", "a<200B>b"),
            ("a\u{200d}b", "a<200D>b"),
            ("a\u{fe0f}b", "a<FE0F>b"),
            ("👍\u{fe0f}\u{fe00}", "👍\u{fe0f}<FE00>"),
            ("🏴\u{e0041}", "🏴<E0041>"),
            ("x\u{feff}", "x<FEFF>"),
            ("\u{1b}[2K", "<1B>[2K"),
            ("a\rb", "a<D>b"),
            ("x\u{3164}", "x<3164>"),
            ("x\u{2028}", "x<2028>"),
        ] {
            assert_eq!(reveal(text), shown);
        }
    }

    #[test]
    fn names_for_people_hide_nothing() {
        assert_eq!(visible(b"src/\xff\x00a\xe2\x80\xae.rs"), "src/\\xff\\u{0}a\\u{202e}.rs");
        assert_eq!(visible("naïve/ß.rs".as_bytes()), "naïve/ß.rs");
    }

    #[test]
    fn every_control_character_is_in_the_table() {
        for character in (char::MIN..=char::MAX).filter(|character| character.is_control()) {
            assert_eq!(Hidden::of(character), Some(Hidden::Control), "{character:?}");
        }
    }

    proptest! {
        #[test]
        fn what_stays_is_in_the_table_only_where_it_has_a_meaning(text in "[a-z\u{200b}-\u{206f}\u{fe0f}\u{feff}\u{0}-\u{1f}]{0,20}") {
            let shown = reveal(&text);
            let rest: Vec<char> = shown.chars().filter(|character| Hidden::of(*character).is_some()).collect();
            prop_assert!(rest.iter().all(|character| "\t\n\r\u{c}\u{feff}".contains(*character) || *character == '\u{fe0f}'), "{rest:?}");
        }
    }
}
