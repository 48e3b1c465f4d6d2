//! Characters that a reader does not see, or takes for others.
//!
//! One place decides which character, in which neighbourhood, hides something: the gate's rule on added lines and the
//! sanitiser of prose both ask here. Sources: UAX #9 (bidirectional algorithm), UTS #39 (confusables, mixed scripts),
//! UTS #51 (emoji sequences), and the Trojan Source paper (CVE-2021-42574, CVE-2021-42694).

/// Why a character is suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hidden {
    /// Changes the order in which text is shown: embeddings, overrides, isolates.
    BidiControl,
    /// Invisible direction marks.
    BidiMark,
    /// The tag block: invisible copies of ASCII.
    Tag,
    /// A variation selector where none has a meaning.
    VariationSelector,
    /// Joiners, spaces and operators without width, where they have no meaning.
    ZeroWidth,
    /// Letters that look like nothing: Hangul fillers.
    Filler,
    /// Control characters.
    Control,
}

impl Hidden {
    /// The kind in words, for people.
    pub(crate) const fn words(self) -> &'static str {
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

/// Emoji tag sequences in use, without the black flag before and the cancel tag after them: England, Scotland, Wales.
const FLAGS: [&str; 3] = ["gbeng", "gbsct", "gbwls"];

/// All suspect characters of a text, with their index in `characters`.
pub(crate) fn hidden(characters: &[char]) -> Vec<(usize, Hidden)> {
    let mut found = Vec::new();
    let mut index = 0;
    while index < characters.len() {
        if let Some(length) = flag(&characters[index..]) {
            index += length;
            continue;
        }
        let before = index.checked_sub(1).map(|before| characters[before]);
        let after = characters.get(index + 1).copied();
        if let Some(kind) = suspect(before, characters[index], after) {
            found.push((index, kind));
        }
        index += 1;
    }
    found
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

/// Whether a character between these two hides something.
fn suspect(before: Option<char>, character: char, after: Option<char>) -> Option<Hidden> {
    match character {
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{206a}'..='\u{206f}' => {
            Some(Hidden::BidiControl)
        }
        '\u{200e}' | '\u{200f}' | '\u{61c}' => Some(Hidden::BidiMark),
        '\u{e0000}'..='\u{e007f}' => Some(Hidden::Tag),
        '\u{fe00}'..='\u{fe0f}' => {
            (!before.is_some_and(takes_variation)).then_some(Hidden::VariationSelector)
        }
        '\u{180b}'..='\u{180d}' | '\u{180f}' => {
            (!before.is_some_and(is_mongolian)).then_some(Hidden::VariationSelector)
        }
        '\u{e0100}'..='\u{e01ef}' => (!before.is_some_and(is_ideograph)).then_some(Hidden::VariationSelector),
        '\u{200d}' => {
            let emoji = before.is_some_and(|before| is_pictograph(before) || before == '\u{fe0f}')
                && after.is_some_and(is_pictograph);
            (!emoji && !between_joining(before, after)).then_some(Hidden::ZeroWidth)
        }
        '\u{200c}' => (!between_joining(before, after)).then_some(Hidden::ZeroWidth),
        '\u{180e}' => (!before.is_some_and(is_mongolian)).then_some(Hidden::ZeroWidth),
        '\u{feff}' => before.is_some().then_some(Hidden::ZeroWidth),
        '\u{200b}'
        | '\u{2060}'..='\u{2065}'
        | '\u{34f}'
        | '\u{ad}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{e0080}'..='\u{e00ff}'
        | '\u{e01f0}'..='\u{e0fff}' => Some(Hidden::ZeroWidth),
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => {
            (!before.is_some_and(is_hangul) && !after.is_some_and(is_hangul)).then_some(Hidden::Filler)
        }
        '\t' | '\n' | '\u{c}' => None,
        '\r' => (after.is_some() && after != Some('\n')).then_some(Hidden::Control),
        '\u{2028}' | '\u{2029}' => Some(Hidden::Control),
        _ => character.is_control().then_some(Hidden::Control),
    }
}

/// Whether a presentation selector after this character has a meaning: emoji, keycap bases, symbols, ideographs.
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

/// Whether joiners have a meaning between these two: Arabic, Syriac, N'Ko, Indic and South-East Asian letters, Mongolian.
fn between_joining(before: Option<char>, after: Option<char>) -> bool {
    let joins = |character: char| {
        matches!(character, '\u{620}'..='\u{6ff}' | '\u{700}'..='\u{7ff}' | '\u{840}'..='\u{8ff}' | '\u{900}'..='\u{dff}'
            | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{1800}'..='\u{18af}' | '\u{fb50}'..='\u{fdff}'
            | '\u{fe70}'..='\u{fefc}')
    };
    // After the last letter of a word a joiner still shapes it; before the first letter it shapes nothing.
    before.is_some_and(joins) && after.is_none_or(|after| joins(after) || !after.is_alphanumeric())
}

/// A letter that is not Latin and looks like one: the Latin letter. Cyrillic, Greek, Armenian and Cherokee, from UTS #39.
pub(crate) const fn latin_lookalike(character: char) -> Option<char> {
    Some(match character {
        'а' => 'a',
        'с' => 'c',
        'ԁ' => 'd',
        'е' => 'e',
        'һ' => 'h',
        'і' => 'i',
        'ј' => 'j',
        'ӏ' => 'l',
        'о' => 'o',
        'р' => 'p',
        'ԛ' => 'q',
        'ѕ' => 's',
        'ѵ' => 'v',
        'ԝ' => 'w',
        'х' => 'x',
        'у' => 'y',
        'А' => 'A',
        'В' => 'B',
        'С' => 'C',
        'Е' => 'E',
        'Н' => 'H',
        'І' => 'I',
        'Ј' => 'J',
        'К' => 'K',
        'М' => 'M',
        'О' => 'O',
        'Р' => 'P',
        'Ѕ' => 'S',
        'Т' => 'T',
        'Х' => 'X',
        'У' => 'Y',
        'Ԝ' => 'W',
        'ο' => 'o',
        'Α' => 'A',
        'Β' => 'B',
        'Ε' => 'E',
        'Ζ' => 'Z',
        'Η' => 'H',
        'Ι' => 'I',
        'Κ' => 'K',
        'Μ' => 'M',
        'Ν' => 'N',
        'Ο' => 'O',
        'Ρ' => 'P',
        'Τ' => 'T',
        'Υ' => 'Y',
        'Χ' => 'X',
        'ϳ' => 'j',
        'օ' => 'o',
        'ս' => 'u',
        'հ' => 'h',
        'ց' => 'g',
        'Ꭺ' => 'A',
        'Ꮯ' => 'C',
        'Ꭼ' => 'E',
        'Ꮋ' => 'H',
        'Ꮮ' => 'L',
        'Ꮪ' => 'S',
        'Ꭲ' => 'T',
        'ɑ' => 'a',
        'ɡ' => 'g',
        'ı' => 'i',
        _ => return None,
    })
}

/// A text in which nothing is hidden: suspect characters become `⟨U+202E⟩`. Line ends and tabs stay.
pub(crate) fn reveal(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut suspects = hidden(&characters).into_iter().peekable();
    let mut shown = String::with_capacity(text.len());
    for (index, character) in characters.iter().enumerate() {
        if suspects.next_if(|(place, _)| *place == index).is_some() {
            shown.push_str(&format!("⟨U+{:04X}⟩", u32::from(*character)));
        } else {
            shown.push(*character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("a\u{202e}b", "a⟨U+202E⟩b"),
            ("a\u{200b}b", "a⟨U+200B⟩b"),
            ("a\u{200d}b", "a⟨U+200D⟩b"),
            ("a\u{fe0f}b", "a⟨U+FE0F⟩b"),
            ("👍\u{fe0f}\u{fe00}", "👍\u{fe0f}⟨U+FE00⟩"),
            ("🏴\u{e0041}", "🏴⟨U+E0041⟩"),
            ("x\u{feff}", "x⟨U+FEFF⟩"),
            ("\u{1b}[2K", "⟨U+001B⟩[2K"),
            ("a\rb", "a⟨U+000D⟩b"),
            ("x\u{3164}", "x⟨U+3164⟩"),
        ] {
            assert_eq!(reveal(text), shown);
        }
    }
}
