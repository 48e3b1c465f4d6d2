//! `hidden-unicode`: characters that a reviewer does not see or takes for others.
//!
//! **What.** In added lines: bidirectional controls, tag characters, runs of variation selectors, zero-width
//! and filling characters, control characters, and identifiers that mix Latin letters with letters that look
//! Latin. In paths the same. **Why.** What is reviewed must be what is run, and what a person reads must be
//! what the next model reads. **Severity.** Blocking where code can be made to look different from what it
//! does, or where a text can be smuggled (tags, long runs); a warning for single invisible characters in
//! code; in prose and translations, where some of these are part of the language, one step lower. Letters of
//! any script, emoji and their joiners are no finding at all.

use std::collections::BTreeMap;

use cofferdam_domain::{
    Severity,
    hidden::{Hidden, hidden},
};
use unicode_normalization::UnicodeNormalization;

use crate::{
    GatePolicy,
    unicode::latin_lookalike,
    view::{FileView, Sink, View, bounded},
};

/// Invisible characters in one file from which on they count as a smuggled text rather than as residue.
const SMUGGLED: u64 = 16;

pub(crate) fn examine(view: &View<'_>, _: &GatePolicy, sink: &mut Sink) {
    for file in &view.files {
        if file.new_side().is_none() {
            continue;
        }
        path(file, sink);
        if !file.binary {
            content(file, sink);
        }
    }
}

fn path(file: &FileView<'_>, sink: &mut Sink) {
    let text = String::from_utf8_lossy(&file.file.path);
    let characters: Vec<char> = text.chars().collect();
    if let Some((_, kind)) = hidden(&characters).first() {
        sink.add(Severity::Blocking, &file.shown, None, format!("the path contains {}", kind.words()));
    } else if let Some(word) = lookalikes(&text).next() {
        let why =
            format!("the path contains {}, in which {} only look Latin", quoted(&word), codepoints(&word));
        sink.add(Severity::Blocking, &file.shown, None, why);
    }
}

/// What was seen of one kind in one file.
struct Seen {
    count: u64,
    first: u32,
    severity: Severity,
}

fn content(file: &FileView<'_>, sink: &mut Sink) {
    let prose = is_prose(file);
    let mut seen: BTreeMap<Hidden, Seen> = BTreeMap::new();
    let mut mixed: Option<(u32, String)> = None;
    let mut mixed_count = 0_u64;
    for line in &file.added {
        if line.text.is_ascii() && !line.text.iter().any(u8::is_ascii_control) {
            continue;
        }
        let text = String::from_utf8_lossy(line.text);
        // A byte order mark is in place at the start of a file only.
        let text = if line.number == 1 { text.trim_start_matches('\u{feff}') } else { &text };
        let characters: Vec<char> = text.chars().collect();
        let suspects = hidden(&characters);
        for (place, (index, kind)) in suspects.iter().enumerate() {
            let run = place > 0 && suspects[place - 1].0 + 1 == *index;
            let severity = severity(*kind, prose, run, &characters, *index);
            let entry = seen.entry(*kind).or_insert(Seen { count: 0, first: line.number, severity });
            entry.count += 1;
            entry.severity = entry.severity.max(severity);
        }
        for word in lookalikes(text) {
            mixed_count += 1;
            mixed.get_or_insert((line.number, word));
        }
    }
    for (kind, Seen { count, first, mut severity }) in seen {
        if count >= SMUGGLED && matches!(kind, Hidden::ZeroWidth | Hidden::VariationSelector) && !prose {
            severity = Severity::Blocking;
        }
        sink.add(severity, &file.shown, Some(first), format!("{} ({count} in added lines)", kind.words()));
    }
    if let Some((line, word)) = mixed {
        let severity = if prose { Severity::Note } else { Severity::Blocking };
        let why = format!(
            "{} mixes scripts: {} only look Latin ({mixed_count} such words in added lines)",
            quoted(&word),
            codepoints(&word)
        );
        sink.add(severity, &file.shown, Some(line), why);
    }
}

/// How severe one hidden character is. `run` says that the one before it is hidden too.
fn severity(kind: Hidden, prose: bool, run: bool, characters: &[char], index: usize) -> Severity {
    let one_lower = |severity| if prose { lower(severity) } else { severity };
    match kind {
        Hidden::BidiControl => one_lower(Severity::Blocking),
        Hidden::BidiMark | Hidden::Control => one_lower(Severity::Warning),
        Hidden::Tag => Severity::Blocking,
        Hidden::VariationSelector if run => Severity::Blocking,
        Hidden::VariationSelector => one_lower(Severity::Warning),
        Hidden::ZeroWidth => {
            let word = |place: Option<usize>| {
                place
                    .and_then(|place| characters.get(place))
                    .is_some_and(|character| is_ascii_word(*character))
            };
            let inside = word(index.checked_sub(1)) && word(Some(index + 1)) && characters[index] != '\u{ad}';
            one_lower(if inside || run { Severity::Blocking } else { Severity::Warning })
        }
        Hidden::Filler => one_lower(Severity::Blocking),
    }
}

const fn lower(severity: Severity) -> Severity {
    match severity {
        Severity::Blocking => Severity::Warning,
        Severity::Warning | Severity::Note => Severity::Note,
    }
}

const fn is_ascii_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// Words in which every letter that is not ASCII is a lookalike of a Latin one, beside at least one ASCII
/// letter; and words that become ASCII when an interpreter normalises identifiers (PEP 3131), written in
/// letters for mathematics.
fn lookalikes(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|character: char| !character.is_alphanumeric() && character != '_')
        .filter(|word| {
            if word.is_ascii() {
                return false;
            }
            let latin = word.chars().any(|character| character.is_ascii_alphabetic());
            let foreign =
                || word.chars().filter(|character| character.is_alphabetic() && !character.is_ascii());
            let disguised = latin
                && foreign().next().is_some()
                && foreign().all(|character| latin_lookalike(character).is_some());
            let mathematical = word.chars().any(|character| matches!(character, '\u{1d400}'..='\u{1d7cb}'))
                && word.nfkc().all(|character| character.is_ascii())
                && word.chars().count() > 2;
            disguised || mathematical
        })
        .map(str::to_owned)
}

fn quoted(word: &str) -> String {
    format!("\"{}\"", bounded(word.to_owned(), 40))
}

fn codepoints(word: &str) -> String {
    let mut list: Vec<String> = word
        .chars()
        .filter(|character| !character.is_ascii())
        .map(|character| format!("U+{:04X}", u32::from(character)))
        .collect();
    list.dedup();
    list.truncate(4);
    list.join(" ")
}

/// Whether a file holds text for people: documents, translations, subtitles.
fn is_prose(file: &FileView<'_>) -> bool {
    const EXTENSIONS: &[&str] = &[
        "md",
        "markdown",
        "mdx",
        "rst",
        "txt",
        "adoc",
        "asciidoc",
        "org",
        "tex",
        "po",
        "pot",
        "arb",
        "xlf",
        "xliff",
        "resx",
        "ftl",
        "srt",
        "vtt",
        "strings",
        "stringsdict",
        "xcstrings",
        "html",
        "htm",
        "csv",
        "tsv",
        "properties",
        "svg",
        "bib",
    ];
    const FOLDERS: &[&str] =
        &["locale", "locales", "lang", "langs", "i18n", "l10n", "translations", "intl", "messages"];
    EXTENSIONS.contains(&file.extension())
        || (matches!(file.extension(), "json" | "yml" | "yaml" | "xml" | "toml" | "json5")
            && file.folded.split('/').any(|folder| FOLDERS.contains(&folder) || folder.starts_with("values")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_only_look_latin() {
        let found = |text: &str| lookalikes(text).collect::<Vec<_>>();
        assert_eq!(found("let p\u{430}ssword = 1;"), ["p\u{430}ssword"]);
        assert_eq!(
            found("\u{1d41e}\u{1d431}\u{1d41e}\u{1d41c}(code)"),
            ["\u{1d41e}\u{1d431}\u{1d41e}\u{1d41c}"]
        );
        for text in [
            "Привет",
            "API-шный",
            "SQLзапрос",
            "Δx μs αBeta νmax",
            "naïve café größe",
            "变量name",
            "переменная_x",
            "\u{1d431}",
        ] {
            assert_eq!(found(text), Vec::<String>::new(), "{text}");
        }
    }
}
