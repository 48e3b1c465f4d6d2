//! Characters that nobody sees, and letters that look like others.

use std::cell::Cell;

use cofferdam_domain::hidden::replace_hidden;
use unicode_script::{Script, UnicodeScript};
use unicode_security::skeleton;

use super::{Concealed, Concealment};

/// The text with what hides or misleads written out.
pub(super) fn seen(text: &str, concealed: &mut Concealed) -> String {
    let invisible = Cell::new(0);
    let shown = replace_hidden(text, |character| {
        invisible.set(invisible.get() + 1);
        character.escape_unicode().to_string()
    });
    concealed.add(Concealment::Invisible, invisible.get());
    if shown.is_ascii() { shown } else { distinct(&shown, concealed) }
}

/// The text in which no letter looks like one of the script of the word that it is in, and is another: such letters are written out.
fn distinct(text: &str, concealed: &mut Concealed) -> String {
    let mut distinct = String::with_capacity(text.len());
    for piece in text.split_inclusive(|character: char| !character.is_alphanumeric()) {
        let Some(most) = prevailing(piece) else {
            distinct.push_str(piece);
            continue;
        };
        for character in piece.chars() {
            let script = character.script();
            if script != most && ALIKE.contains(&script) && is_alike(character) {
                concealed.add(Concealment::LookAlike, 1);
                distinct.extend(character.escape_unicode());
            } else {
                distinct.push(character);
            }
        }
    }
    distinct
}

/// Scripts with letters that are drawn like those of another of them.
const ALIKE: [Script; 7] = [
    Script::Latin,
    Script::Cyrillic,
    Script::Greek,
    Script::Armenian,
    Script::Cherokee,
    Script::Coptic,
    Script::Lisu,
];

/// The script of most letters of a word that mixes such scripts; Latin where there are as many.
fn prevailing(word: &str) -> Option<Script> {
    if word.is_ascii() {
        return None;
    }
    let mut letters = [0_usize; ALIKE.len()];
    for script in word.chars().map(|character| character.script()) {
        if let Some(count) =
            ALIKE.iter().position(|alike| *alike == script).and_then(|at| letters.get_mut(at))
        {
            *count += 1;
        }
    }
    if letters.iter().filter(|count| **count > 0).count() < 2 {
        return None;
    }
    let most = ALIKE.into_iter().zip(letters).rev().max_by_key(|(_, count)| *count);
    most.map(|(script, _)| script)
}

/// Whether a letter is drawn like one of the Latin alphabet.
fn is_alike(letter: char) -> bool {
    let mut bytes = [0; 4];
    skeleton(letter.encode_utf8(&mut bytes)).all(|character| character.is_ascii())
}
