//! `secret`: credentials in what a change adds.
//!
//! **What.** Added lines, the paths and the commit messages are searched for the forms in `secret.toml`, for
//! private keys, for values of high entropy that are assigned to names such as `api_key`, and for all of
//! these behind one layer of base64 or hexadecimal. **Why.** What is pushed once is public for good.
//! **Severity.** Blocking. A warning for weak forms, for private keys among test data, and for assigned
//! values of middling entropy; a note for obvious placeholders. A finding never quotes a secret: it shows
//! four characters and the length.

use std::{
    collections::HashSet,
    sync::{LazyLock, OnceLock},
};

use aho_corasick::AhoCorasick;
use cofferdam_domain::Severity;
use regex::bytes::Regex;
use serde::Deserialize;

use super::{Pattern, encoded::decoded, pattern};
use crate::{
    GatePolicy,
    lines::{Line, lines},
    view::{FileView, Sink, View},
};

/// Matches of one rule that are looked at in one text.
const MAX_MATCHES: usize = 200;

/// A form of credential, as in `secret.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    what: String,
    keywords: Vec<String>,
    pattern: String,
    entropy: f64,
    #[serde(default)]
    weak: bool,
}

#[derive(Deserialize)]
struct Data {
    rule: Vec<Entry>,
}

/// A form with its pattern, which is compiled when a text has one of its keywords: all of them together are megabytes, and most changes
/// need none.
struct Form {
    entry: Entry,
    pattern: OnceLock<Regex>,
}

impl Form {
    fn pattern(&self) -> &Regex {
        self.pattern.get_or_init(|| super::pattern(&self.entry.pattern))
    }
}

/// The forms, ready for use.
struct Forms {
    entries: Vec<Form>,
    /// Finds all keywords in one pass; most texts have none, and then no pattern runs.
    keywords: AhoCorasick,
    /// For each keyword, which entry it belongs to.
    owners: Vec<usize>,
}

static FORMS: LazyLock<Forms> = LazyLock::new(forms);

#[expect(clippy::expect_used, reason = "data of the program; a test forces it")]
fn forms() -> Forms {
    let data: Data = toml::from_str(include_str!("secret.toml")).expect("secret.toml must parse");
    let mut keywords = Vec::new();
    let mut owners = Vec::new();
    for (index, entry) in data.rule.iter().enumerate() {
        keywords.extend(entry.keywords.iter().cloned());
        owners.extend(entry.keywords.iter().map(|_| index));
    }
    let keywords = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(keywords)
        .expect("the keywords of secret.toml must build");
    let entries = data.rule.into_iter().map(|entry| Form { entry, pattern: OnceLock::new() }).collect();
    Forms { entries, keywords, owners }
}

/// A value in quotes, or bare in a settings file, given to a name that says it is secret.
static ASSIGNED: Pattern = LazyLock::new(|| {
    pattern(
        r#"(?i)(?:secret|token|passw(?:or)?d|passphrase|api_?-?key|access_?-?key|auth_?-?key|signing_?-?key|encryption_?-?key|credential|private_?-?key)[\w.\-]{0,20}["'\]]{0,2}\s{0,8}(?::=|=>|=|:)\s{0,8}(?:["'`]([^\s"'`]{12,200})["'`]|([A-Za-z0-9+/_\-.~=]{16,200})\s*$)"#,
    )
});

/// The line that opens a private key: PEM (RFC 7468), OpenSSH, PGP (RFC 9580).
static KEY_BEGIN: Pattern =
    LazyLock::new(|| pattern(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"));
static KEY_BODY: Pattern = LazyLock::new(|| pattern(r"[A-Za-z0-9+/]{40,}"));
/// Lines between the opening of a key and the first line of its body: headers, blank lines.
const KEY_HEADERS: usize = 6;
/// Lines of the longest key.
const KEY_LINES: usize = 400;
/// Keys that are told apart in one file.
const MAX_KEYS: usize = 100;

pub(crate) fn examine(view: &View<'_>, _: &GatePolicy, sink: &mut Sink) {
    for file in &view.files {
        if file.new_side().is_none() {
            continue;
        }
        let place =
            Place { path: &file.shown, tests: file.in_tests(), generated: is_generated(file), prefix: "" };
        search(&file.added, &place, sink);
        private_keys(file, &place, sink);
        let path = [Line { number: 0, text: &file.file.path }];
        search(&path, &Place { prefix: "in the path: ", ..place }, sink);
    }
    for commit in &view.change.commits {
        let message: Vec<Line<'_>> =
            lines(commit.message.as_bytes()).map(|line| Line { number: 0, text: line.text }).collect();
        let prefix = format!("in the message of commit {}: ", commit.id.chars().take(12).collect::<String>());
        search(&message, &Place { path: "", tests: false, generated: false, prefix: &prefix }, sink);
    }
}

/// What a text has that is in one of the well-known forms of credentials beyond doubt, if anything is.
#[must_use]
pub fn secret_form(text: &[u8]) -> Option<String> {
    let lines = [Line { number: 0, text }];
    let place = Place { path: "", tests: false, generated: false, prefix: "" };
    let text = Text::new(&lines);
    let hit = text.known_forms(&place).into_iter().find(|hit| hit.severity == Severity::Blocking);
    hit.or_else(|| text.encoded_keys(&place)).map(|hit| hit.what.to_owned())
}

/// Where a text stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a str,
    tests: bool,
    /// Written by a tool and full of digests: values assigned to names are not looked at.
    generated: bool,
    prefix: &'a str,
}

impl Place<'_> {
    fn report(&self, sink: &mut Sink, line: u32, severity: Severity, why: &str) {
        sink.add(severity, self.path, (line > 0).then_some(line), format!("{}{why}", self.prefix));
    }
}

/// A secret, found.
struct Hit<'a> {
    what: &'a str,
    secret: &'a [u8],
    line: u32,
    severity: Severity,
}

fn search(added: &[Line<'_>], place: &Place<'_>, sink: &mut Sink) {
    let mut told: HashSet<Vec<u8>> = HashSet::new();
    let text = Text::new(added);
    for hit in text.hits(place) {
        if told.insert(hit.secret.to_vec()) {
            place.report(sink, hit.line, hit.severity, &format!("{}: {}", hit.what, masked(hit.secret)));
        }
    }
    for (line, encoding, bytes) in decoded(added) {
        let inner = [Line { number: line, text: &bytes }];
        let inner = Text::new(&inner);
        let hits = inner.known_forms(place).into_iter().chain(inner.encoded_keys(place));
        for hit in hits {
            if told.insert(hit.secret.to_vec()) {
                let why = format!("{} behind {encoding}: {}", hit.what, masked(hit.secret));
                place.report(sink, line, hit.severity, &why);
            }
        }
    }
}

/// Added lines as one text, so that each pattern runs once.
struct Text {
    bytes: Vec<u8>,
    /// Where each line starts, and its number.
    starts: Vec<(usize, u32)>,
}

impl Text {
    fn new(added: &[Line<'_>]) -> Self {
        let mut bytes = Vec::with_capacity(added.iter().map(|line| line.text.len() + 1).sum());
        let mut starts = Vec::with_capacity(added.len());
        for line in added {
            starts.push((bytes.len(), line.number));
            bytes.extend_from_slice(line.text);
            bytes.push(b'\n');
        }
        Self { bytes, starts }
    }

    fn line_at(&self, offset: usize) -> u32 {
        let after = self.starts.partition_point(|(start, _)| *start <= offset);
        after.checked_sub(1).map_or(0, |index| self.starts[index].1)
    }

    fn hits(&self, place: &Place<'_>) -> Vec<Hit<'_>> {
        let mut hits = self.known_forms(place);
        if !place.generated {
            hits.extend(self.assigned(place));
        }
        hits
    }

    fn known_forms(&self, place: &Place<'_>) -> Vec<Hit<'_>> {
        let forms = &*FORMS;
        let mut wanted = vec![false; forms.entries.len()];
        for keyword in forms.keywords.find_overlapping_iter(&self.bytes) {
            wanted[forms.owners[keyword.pattern().as_usize()]] = true;
        }
        let mut hits = Vec::new();
        for (form, _) in forms.entries.iter().zip(wanted).filter(|(_, wanted)| *wanted) {
            let entry = &form.entry;
            for found in form.pattern().captures_iter(&self.bytes).take(MAX_MATCHES) {
                let Some(secret) = found.get(1).or_else(|| found.get(0)) else { continue };
                if entropy(secret.as_bytes()) < entry.entropy {
                    continue;
                }
                let whole = found.get(0).map_or(secret.as_bytes(), |whole| whole.as_bytes());
                let severity = form_severity(entry, secret.as_bytes(), whole, place);
                hits.push(Hit {
                    what: &entry.what,
                    secret: secret.as_bytes(),
                    line: self.line_at(secret.start()),
                    severity,
                });
            }
        }
        hits
    }

    fn assigned(&self, place: &Place<'_>) -> Vec<Hit<'_>> {
        let mut hits = Vec::new();
        let mut start = 0;
        for line in self.bytes.split(|byte| *byte == b'\n') {
            let here = start;
            start += line.len() + 1;
            for found in ASSIGNED.captures_iter(line).take(MAX_MATCHES) {
                let Some(value) = found.get(1).or_else(|| found.get(2)) else { continue };
                if let Some(severity) = assigned_severity(value.as_bytes(), place) {
                    let line = self.line_at(here + value.start());
                    hits.push(Hit {
                        what: "a value of high entropy under a secret's name",
                        secret: value.as_bytes(),
                        line,
                        severity,
                    });
                }
            }
        }
        hits
    }

    /// Private keys in a text that was decoded, where begin and body stand together.
    fn encoded_keys(&self, place: &Place<'_>) -> Option<Hit<'_>> {
        let begin = KEY_BEGIN.find(&self.bytes)?;
        let body = KEY_BODY.find(&self.bytes[begin.end()..])?;
        let severity = if place.tests { Severity::Warning } else { Severity::Blocking };
        Some(Hit {
            what: "private key",
            secret: body.as_bytes(),
            line: self.line_at(begin.start()),
            severity,
        })
    }
}

/// How severe a match of a known form is.
fn form_severity(entry: &Entry, secret: &[u8], whole: &[u8], place: &Place<'_>) -> Severity {
    if is_placeholder(secret) {
        return Severity::Note;
    }
    let address = matches!(entry.id.as_str(), "connection-string" | "password-in-address");
    if address {
        // Passwords people make up for a database on their own machine are everywhere, and open nothing.
        let local = [
            &b"@localhost"[..],
            b"@127.0.0.1",
            b"@0.0.0.0",
            b"@[::1]",
            b"@host.docker.internal",
            b"example.",
            b".test",
            b".local",
        ]
        .iter()
        .any(|host| contains(whole, host));
        let named = whole.split(|byte| *byte == b'@').next_back().is_some_and(|host| !host.contains(&b'.'));
        let word = secret.iter().all(u8::is_ascii_alphabetic) || secret.len() < 8;
        return match (local || named || word, place.tests) {
            (true, true | false) => Severity::Note,
            (false, true) => Severity::Warning,
            (false, false) => Severity::Blocking,
        };
    }
    match (entry.weak, place.tests) {
        (true, true) => Severity::Note,
        (true, false) => Severity::Warning,
        (false, true | false) => Severity::Blocking,
    }
}

/// How severe an assigned value is; `None` if it is none, for example a word, a path, an expression.
fn assigned_severity(value: &[u8], place: &Place<'_>) -> Option<Severity> {
    let count = |class: fn(&u8) -> bool| value.iter().filter(|byte| class(byte)).count();
    let digits = count(u8::is_ascii_digit);
    let letters = count(u8::is_ascii_alphabetic);
    let mixed = count(u8::is_ascii_lowercase) > 0 && count(u8::is_ascii_uppercase) > 0;
    let strange = value.iter().any(|byte| b"${}()<>[]*\\, ;%|".contains(byte))
        || contains(value, b"://")
        || contains(value, b"::");
    let entropy = entropy(value);
    if digits < 2 || letters < 2 || strange || entropy < 3.3 || is_placeholder(value) || is_wordlike(value) {
        return None;
    }
    Some(if place.tests {
        Severity::Note
    } else if value.len() >= 20 && entropy >= 3.9 && mixed && digits >= 3 {
        Severity::Blocking
    } else {
        Severity::Warning
    })
}

/// Whether a value is made of words, numbers and separators, like `my-service-2024.default`.
fn is_wordlike(value: &[u8]) -> bool {
    let parts = value.split(|byte| !byte.is_ascii_alphanumeric());
    let (mut words, mut others) = (0, 0);
    for part in parts.filter(|part| !part.is_empty()) {
        let digits = part.iter().filter(|byte| byte.is_ascii_digit()).count();
        let letters = part.len() - digits;
        let tail = part.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        if part.len() <= 16 && (digits == tail && digits <= 4 || letters == 0) {
            words += 1;
        } else {
            others += 1;
        }
    }
    others == 0 && words >= 2
}

/// Whether a value is plainly no secret: words such as "example", runs, sequences, templates.
fn is_placeholder(secret: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[
        b"example",
        b"placeholder",
        b"changeme",
        b"change_me",
        b"change-me",
        b"dummy",
        b"redacted",
        b"your_",
        b"your-",
        b"yourtoken",
        b"xxxx",
        b"****",
        b"....",
        b"0000000",
        b"1234567",
        b"abcdef",
        b"insert",
        b"replace",
        b"sample",
        b"fake",
        b"secret_here",
        b"notreal",
        b"not-a-real",
        b"foobar",
        b"deadbeef",
        b"qwerty",
        b"fixme",
        b"todo",
        b"${",
        b"{{",
        b"<",
        b"%(",
        b"%s",
    ];
    let lower = secret.to_ascii_lowercase();
    let distinct = lower.iter().collect::<HashSet<_>>().len();
    distinct < 5 || WORDS.iter().any(|word| contains(&lower, word))
}

fn private_keys(file: &FileView<'_>, place: &Place<'_>, sink: &mut Sink) {
    if !KEY_BEGIN.is_match(file.new) {
        return;
    }
    let added: HashSet<u32> = file.added.iter().map(|line| line.number).collect();
    let all: Vec<Line<'_>> = lines(file.new).collect();
    let (mut index, mut keys) = (0, 0);
    while index < all.len() && keys < MAX_KEYS {
        let begin = index;
        index += 1;
        let Some(found) = KEY_BEGIN.find(all[begin].text) else { continue };
        // The body follows on the same line in JSON and in string literals, else within a few lines.
        let same = KEY_BODY.is_match(&all[begin].text[found.end()..]);
        let near = all.iter().skip(begin + 1).take(KEY_HEADERS).any(|line| KEY_BODY.is_match(line.text));
        if !same && !near {
            continue;
        }
        keys += 1;
        let end =
            (begin..all.len().min(begin + KEY_LINES)).find(|place| contains(all[*place].text, b"-----END"));
        let end = end.unwrap_or((begin + KEY_HEADERS).min(all.len() - 1));
        if all[begin..=end].iter().any(|line| added.contains(&line.number)) {
            let severity = if place.tests { Severity::Warning } else { Severity::Blocking };
            place.report(sink, all[begin].number, severity, "private key");
        }
        index = end + 1;
    }
}

/// Files that tools write, full of digests.
fn is_generated(file: &FileView<'_>) -> bool {
    matches!(
        file.name(),
        "cargo.lock"
            | "package-lock.json"
            | "npm-shrinkwrap.json"
            | "yarn.lock"
            | "pnpm-lock.yaml"
            | "go.sum"
            | "poetry.lock"
            | "pipfile.lock"
            | "uv.lock"
            | "composer.lock"
            | "gemfile.lock"
            | "flake.lock"
            | "mix.lock"
            | "packages.lock.json"
            | "bun.lock"
            | "deno.lock"
            | "podfile.lock"
            | "pdm.lock"
            | "gradle.lockfile"
            | ".terraform.lock.hcl"
    ) || matches!(file.extension(), "snap" | "map" | "svg")
        || file.name().contains(".min.")
}

/// The first four characters and the length: enough to find it, too little to use it.
fn masked(secret: &[u8]) -> String {
    let shown: String = secret
        .iter()
        .take(4)
        .map(
            |byte| if byte.is_ascii_alphanumeric() || b"-_".contains(byte) { char::from(*byte) } else { '?' },
        )
        .collect();
    format!("starts with {shown}, {} characters; remove it, and revoke it if it was ever real", secret.len())
}

/// Shannon entropy in bits per byte.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let length = bytes.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / length;
            -share * share.log2()
        })
        .sum()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_file_is_sound() {
        let forms = &*FORMS;
        assert!(forms.entries.len() >= 30);
        let ids: HashSet<&str> = forms.entries.iter().map(|form| form.entry.id.as_str()).collect();
        assert_eq!(ids.len(), forms.entries.len(), "ids are unique");
        for form in &forms.entries {
            let entry = &form.entry;
            assert!(form.pattern().captures_len() == 2, "{}: exactly one group", entry.id);
            assert!(
                !entry.keywords.is_empty() && entry.keywords.iter().all(|word| *word == word.to_lowercase()),
                "{}",
                entry.id
            );
        }
        assert!(
            ASSIGNED.captures_len() == 3 && KEY_BEGIN.captures_len() == 1 && KEY_BODY.captures_len() == 1
        );
    }

    #[test]
    fn only_forms_beyond_doubt_are_told_of_any_text() {
        let key = format!("ghp_{}", "x9K2mQ7vT4bR8nY3cL6wZ1pD5sF0hJ2gA4eU");
        assert!(secret_form(format!("GET /?token={key}").as_bytes()).is_some());
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ";
        assert!(secret_form(format!("-----BEGIN PRIVATE KEY-----\n{body}\n").as_bytes()).is_some());
        for text in ["password = \"x9K2mQ7vT4bR8nY3\"", "user-agent: git/2.47.3", ""] {
            assert_eq!(secret_form(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn entropy_of_known_texts() {
        assert!(entropy(b"aaaa") < 0.01);
        assert!((entropy(b"abcd") - 2.0).abs() < 1e-9);
        assert!(entropy(b"").abs() < 1e-9);
    }

    #[test]
    fn masks_show_little() {
        assert!(masked(b"ghp_0123456789").starts_with("starts with ghp_, 14 characters"));
        assert!(masked(b"a\x00`@").starts_with("starts with a???"));
    }
}
