//! Unicode as a reviewer meets it: letters that look Latin, and a text in which what is hidden is shown.
//!
//! Which characters hide something, and where, is [`cofferdam_domain::hidden`]'s to say. Sources: UTS #39
//! (confusables), CVE-2021-42694.

use cofferdam_domain::hidden::replace_hidden;

/// A text in which nothing is hidden: suspect characters become `⟨U+202E⟩`. Line ends and tabs stay.
pub(crate) fn reveal(text: &str) -> String {
    replace_hidden(text, |character| format!("⟨U+{:04X}⟩", u32::from(character)))
}

/// A letter that is not Latin and looks like one: the Latin letter. Cyrillic, Greek, Armenian and Cherokee,
/// from UTS #39.
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

#[cfg(test)]
mod tests {
    use super::reveal;

    #[test]
    fn what_hides_is_shown() {
        assert_eq!(
            reveal("a\u{202e}b\u{1b}[2K 👍\u{fe0f}\u{fe00}\r\n"),
            "a⟨U+202E⟩b⟨U+001B⟩[2K 👍\u{fe0f}⟨U+FE00⟩\r\n"
        );
    }
}
