//! Cargo's sparse index and its artefacts (The Cargo Book, "Registry Index").

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::is_semantic;
use crate::registry::{Reading, RegistryKind};

/// `config.json`, and one file for each crate in folders named by its first characters, in lower case.
pub(in crate::registry) fn index(below: &str) -> Option<Reading> {
    if below == "config.json" {
        return Some(Reading::Other { kind: RegistryKind::Cargo });
    }
    let (folders, name) = below.rsplit_once('/')?;
    let known =
        is_name(name) && !name.bytes().any(|byte| byte.is_ascii_uppercase()) && folders == prefix(name);
    known.then(|| Reading::Index { kind: RegistryKind::Cargo, name: Some(name.to_owned()) })
}

/// Where a crate's file is in the index.
pub(in crate::registry) fn file(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    format!("{}/{name}", prefix(&name))
}

/// What crates may be called: ASCII letters, digits, `-` and `_`, at most 64.
fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// The folders of a crate's file in the index.
fn prefix(name: &str) -> String {
    match name.len() {
        0 => String::new(),
        length @ (1 | 2) => length.to_string(),
        3 => format!("3/{}", &name[..1]),
        _ => format!("{}/{}", &name[..2], &name[2..4]),
    }
}

/// How the path of a crate's file is made: the `dl` of an index's `config.json`, below its last folder without markers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CrateTemplate(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Piece {
    Text(String),
    Marker(Marker),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Marker {
    Crate,
    Version,
    Prefix,
    LowerPrefix,
    Checksum,
}

const MARKERS: [(&str, Marker); 5] = [
    ("{crate}", Marker::Crate),
    ("{version}", Marker::Version),
    ("{prefix}", Marker::Prefix),
    ("{lowerprefix}", Marker::LowerPrefix),
    ("{sha256-checksum}", Marker::Checksum),
];

impl CrateTemplate {
    /// The usual one, which is meant where `dl` has no markers.
    #[must_use]
    pub fn usual() -> Self {
        Self(vec![
            Piece::Marker(Marker::Crate),
            Piece::Text("/".to_owned()),
            Piece::Marker(Marker::Version),
            Piece::Text("/download".to_owned()),
        ])
    }

    /// What a path below the base reads. A template that does not tell the crate and its version reads nothing: what
    /// cannot be told apart cannot be judged.
    pub(in crate::registry) fn read(&self, below: &str) -> Option<Reading> {
        let mut found = Found::default();
        self.0
            .iter()
            .enumerate()
            .try_fold(below, |rest, (at, piece)| found.take(piece, rest, self.0.get(at + 1)))
            .filter(|rest| rest.is_empty())?;
        let name = found.name.filter(|name| is_name(name))?;
        let version = found.version.filter(|version| is_semantic(version))?;
        let folders = prefix(&name);
        let fits = found.prefix.is_none_or(|given| given == folders)
            && found.lower_prefix.is_none_or(|given| given == folders.to_ascii_lowercase());
        fits.then_some(Reading::Artefact { kind: RegistryKind::Cargo, name, version, whole: true })
    }
}

/// What a path has in the places of the markers.
#[derive(Default)]
struct Found {
    name: Option<String>,
    version: Option<String>,
    prefix: Option<String>,
    lower_prefix: Option<String>,
}

impl Found {
    /// Takes one piece from the front of the rest; what comes after it, or nothing if it does not fit.
    fn take<'a>(&mut self, piece: &Piece, rest: &'a str, next: Option<&Piece>) -> Option<&'a str> {
        let marker = match piece {
            Piece::Text(text) => return rest.strip_prefix(text.as_str()),
            Piece::Marker(marker) => *marker,
        };
        let (value, after) = match marker {
            Marker::Checksum => rest.split_at_checked(64)?,
            // Prefixes are one or two folders.
            Marker::Prefix | Marker::LowerPrefix => {
                let folders = match rest.split('/').next()? {
                    "1" | "2" => 1,
                    _ => 2,
                };
                let length = rest.split('/').take(folders).map(|folder| folder.len() + 1).sum::<usize>() - 1;
                rest.split_at_checked(length)?
            }
            Marker::Crate | Marker::Version => rest.split_at(end(rest, next, marker)?),
        };
        let text = value.to_owned();
        match marker {
            Marker::Crate => agree(&mut self.name, text)?,
            Marker::Version => agree(&mut self.version, text)?,
            Marker::Prefix => agree(&mut self.prefix, text)?,
            Marker::LowerPrefix => agree(&mut self.lower_prefix, text)?,
            Marker::Checksum => super::is_hash(value).then_some(())?,
        }
        Some(after)
    }
}

/// Where a crate's name or version ends: before the text that follows it, and at a slash at the latest. A name that is
/// followed by a hyphen ends before the version's first digit; a version ends where the segment's last such text is.
fn end(rest: &str, next: Option<&Piece>, marker: Marker) -> Option<usize> {
    let segment = rest.split('/').next()?;
    let text = match next {
        None => return Some(segment.len()),
        Some(Piece::Marker(_)) => return None,
        Some(Piece::Text(text)) => text.split('/').next().unwrap_or_default(),
    };
    if text.is_empty() {
        return Some(segment.len());
    }
    match marker {
        Marker::Crate => segment
            .match_indices(text)
            .find(|(at, _)| segment[at + text.len()..].starts_with(|first: char| first.is_ascii_digit()))
            .or_else(|| segment.match_indices(text).next())
            .map(|(at, _)| at),
        Marker::Version | Marker::Prefix | Marker::LowerPrefix | Marker::Checksum => segment.rfind(text),
    }
}

/// What stands in two places must be the same in both.
fn agree(place: &mut Option<String>, text: String) -> Option<()> {
    match place {
        Some(before) => (*before == text).then_some(()),
        None => {
            *place = Some(text);
            Some(())
        }
    }
}

/// The text has a marker that is not one, or does not tell crate and version.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "not a template for downloads: it needs {{crate}} and {{version}} and has no other markers than The Cargo Book names"
)]
pub struct InvalidTemplate;

impl FromStr for CrateTemplate {
    type Err = InvalidTemplate;

    fn from_str(text: &str) -> Result<Self, InvalidTemplate> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some((word, marker)) = MARKERS.iter().find(|(word, _)| rest.starts_with(word)) {
                pieces.push(Piece::Marker(*marker));
                rest = &rest[word.len()..];
                continue;
            }
            let length = rest.find('{').unwrap_or(rest.len());
            let (piece, after) = rest.split_at(length);
            if piece.is_empty() || piece.contains(['}', '?', '#', '%']) {
                return Err(InvalidTemplate);
            }
            pieces.push(Piece::Text(piece.to_owned()));
            rest = after;
        }
        let has = |marker| pieces.contains(&Piece::Marker(marker));
        if has(Marker::Crate) && has(Marker::Version) { Ok(Self(pieces)) } else { Err(InvalidTemplate) }
    }
}

impl fmt::Display for CrateTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Marker(marker) => {
                let word = MARKERS.iter().find(|(_, known)| known == marker).map_or("", |(word, _)| word);
                f.write_str(word)
            }
        })
    }
}

impl Serialize for CrateTemplate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CrateTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn artefact(name: &str, version: &str) -> Option<Reading> {
        let (name, version) = (name.to_owned(), version.to_owned());
        Some(Reading::Artefact { kind: RegistryKind::Cargo, name, version, whole: true })
    }

    #[test]
    fn index_files_are_in_the_folders_of_their_names() {
        for (path, name) in
            [("1/a", "a"), ("2/ab", "ab"), ("3/a/abc", "abc"), ("se/rd/serde_json", "serde_json")]
        {
            let expected = Reading::Index { kind: RegistryKind::Cargo, name: Some(name.to_owned()) };
            assert_eq!(index(path), Some(expected), "{path}");
        }
        assert_eq!(index("config.json"), Some(Reading::Other { kind: RegistryKind::Cargo }));
        for path in
            ["serde", "se/rd/other", "se/rd/Serde", "se/serde", "api/v1/crates", "se/rd/serde/", "", "me"]
        {
            assert_eq!(index(path), None, "{path}");
        }
    }

    #[test]
    fn downloads_by_the_usual_and_other_templates() {
        let usual = CrateTemplate::usual();
        assert_eq!(usual.read("serde/1.0.2/download"), artefact("serde", "1.0.2"));
        assert_eq!(usual.read("serde/1.0.2-rc.1+b/download"), artefact("serde", "1.0.2-rc.1+b"));
        for path in ["serde/1.0.2/yank", "serde/1.0.2", "serde/latest/download", "se%2frde/1.0.0/download"] {
            assert_eq!(usual.read(path), None, "{path}");
        }
        let other: CrateTemplate = "{prefix}/{crate}/{crate}-{version}.crate".parse().unwrap();
        assert_eq!(other.read("se/rd/serde-x/serde-x-1.0.0.crate"), artefact("serde-x", "1.0.0"));
        assert_eq!(other.read("xx/rd/serde-x/serde-x-1.0.0.crate"), None);
        assert_eq!(other.read("se/rd/serde-x/serde-y-1.0.0.crate"), None);
        for bad in ["{crate}", "{crate}/{nothing}", "{crate}/{version}?x", "{crate"] {
            assert_eq!(bad.parse::<CrateTemplate>(), Err(InvalidTemplate), "{bad}");
        }
        assert_eq!(other.to_string().parse(), Ok(other));
    }

    proptest! {
        #[test]
        fn whatever_comes_nothing_but_names_comes_out(path in "[a-z0-9A-Z/._%+-]{0,60}") {
            for reading in [index(&path), CrateTemplate::usual().read(&path)].into_iter().flatten() {
                if let Some(name) = reading.name() {
                    prop_assert!(is_name(name));
                }
            }
        }

        #[test]
        fn every_crate_has_a_place(name in "[a-z][a-z0-9_-]{0,40}") {
            let path = format!("{}/{name}", prefix(&name));
            prop_assert_eq!(index(&path).and_then(|reading| reading.name().map(str::to_owned)), Some(name));
        }
    }
}
