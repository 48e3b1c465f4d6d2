//! Canaries: a random text in every place that matters, and finding it again however it was dressed up.
//!
//! A canary that turns up where it may not be is proof; one that does not turn up proves only as much as the search is thorough. So the
//! search undoes the usual encodings, several deep, before it compares ([`readings`]), and takes pieces for the whole when there are enough of
//! them.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
};

use cofferdam_domain::readings::{Thoroughness, readings};

/// The letters of a canary: those that every encoding and every name keeps apart.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Letters after the mark: 120 bits.
const LENGTH: usize = 24;
/// Every canary begins with this, so that a person recognises one.
const MARK: &str = "cnry";
/// Pieces of this many letters are counted. By chance a text of a hundred kilobytes has one in three hundred of a canary's.
const PIECE: usize = 5;

/// A place that holds a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// The value of a credential that the door injects.
    Credential,
    /// The worker's environment.
    Environment,
    /// A file in the home directory of whoever runs the worker.
    Home,
    /// The configuration file.
    Configuration,
    /// The data directory: another session's log.
    OtherSession,
    /// A repository that the session is not about.
    OtherRepository,
    /// A file in the repository that the session is about.
    Repository,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Credential,
        Self::Environment,
        Self::Home,
        Self::Configuration,
        Self::OtherSession,
        Self::OtherRepository,
        Self::Repository,
    ];

    /// Whether it may be seen inside a sandbox.
    #[must_use]
    pub const fn is_for_the_sandbox(self) -> bool {
        match self {
            Self::Repository => true,
            Self::Credential
            | Self::Environment
            | Self::Home
            | Self::Configuration
            | Self::OtherSession
            | Self::OtherRepository => false,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Credential => "the credential",
            Self::Environment => "the worker's environment",
            Self::Home => "the home directory",
            Self::Configuration => "the configuration",
            Self::OtherSession => "another session",
            Self::OtherRepository => "another repository",
            Self::Repository => "the repository",
        })
    }
}

/// A random text that stands in one place only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary(String);

impl Canary {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        let letter = |_| char::from(LETTERS[fastrand::usize(..LETTERS.len())]);
        Self(MARK.chars().chain((0..LENGTH).map(letter)).collect())
    }

    /// As it stands in its place.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it can be read off these bytes by somebody who tries the usual encodings.
    #[must_use]
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        !found(std::slice::from_ref(self), bytes).is_empty()
    }

    /// Its pieces, each as a number.
    fn pieces(&self) -> impl Iterator<Item = u64> {
        let secret = &self.0.as_bytes()[MARK.len()..];
        secret.windows(PIECE).map(|piece| piece.iter().fold(0, |key, byte| key << 8 | u64::from(*byte)))
    }
}

/// Which of the canaries, by their numbers, stand in some reading of these bytes, or so many pieces of them that the rest can be guessed.
fn found(canaries: &[Canary], bytes: &[u8]) -> Vec<usize> {
    let mut owners: HashMap<u64, Vec<usize>> = HashMap::new();
    for (number, canary) in canaries.iter().enumerate() {
        for piece in canary.pieces() {
            owners.entry(piece).or_default().push(number);
        }
    }
    let mut found = BTreeSet::new();
    for mut reading in readings(bytes, Thoroughness::GREAT) {
        reading.make_ascii_lowercase();
        let mut seen: HashSet<u64> = HashSet::new();
        let mut key = 0;
        for byte in &reading {
            key = (key << 8 | u64::from(*byte)) & (u64::MAX >> (64 - 8 * PIECE));
            if owners.contains_key(&key) {
                seen.insert(key);
            }
        }
        for (number, canary) in canaries.iter().enumerate() {
            let there = canary.pieces().filter(|piece| seen.contains(piece)).count();
            if there * 5 >= canary.pieces().count() * 2 {
                found.insert(number);
            }
        }
    }
    found.into_iter().collect()
}

/// One canary for each place.
#[derive(Debug, Clone)]
pub struct Canaries(Vec<(Place, Canary)>);

impl Canaries {
    /// New ones.
    #[must_use]
    pub fn generate() -> Self {
        Self(Place::ALL.map(|place| (place, Canary::generate())).into())
    }

    /// The one of a place.
    #[must_use]
    pub fn of(&self, place: Place) -> &str {
        self.0.iter().find(|(of, _)| *of == place).map_or("", |(_, canary)| canary.as_str())
    }

    /// Whose canaries can be read off these bytes.
    #[must_use]
    pub fn found_in(&self, bytes: &[u8]) -> Vec<Place> {
        let (places, canaries): (Vec<Place>, Vec<Canary>) = self.0.iter().cloned().unzip();
        found(&canaries, bytes).into_iter().filter_map(|number| places.get(number).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use base64::{Engine as _, engine::general_purpose};

    use super::*;

    fn base32(bytes: &[u8]) -> String {
        let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
        let letters = bits.as_bytes().chunks(5).map(|chunk| {
            let text = format!("{:0<5}", String::from_utf8_lossy(chunk));
            char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[usize::from_str_radix(&text, 2).unwrap()])
        });
        letters.collect()
    }

    fn rot13(text: &str) -> String {
        let turn = |letter: char, first: u8| char::from((letter as u8 - first + 13) % 26 + first);
        text.chars()
            .map(|letter| match letter {
                'a'..='z' => turn(letter, b'a'),
                'A'..='Z' => turn(letter, b'A'),
                other => other,
            })
            .collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Every way to dress a text up, alone and one over the other.
    fn dressed(canary: &str) -> Vec<(String, Vec<u8>)> {
        type Dress = fn(&[u8]) -> Vec<u8>;
        let single: Vec<(&str, Dress)> = vec![
            ("plain", <[u8]>::to_vec),
            ("upper case", <[u8]>::to_ascii_uppercase),
            ("base64", |bytes| general_purpose::STANDARD.encode(bytes).into_bytes()),
            ("base64 for URLs", |bytes| general_purpose::URL_SAFE_NO_PAD.encode(bytes).into_bytes()),
            ("base32", |bytes| base32(bytes).into_bytes()),
            ("base32 in lower case", |bytes| base32(bytes).to_ascii_lowercase().into_bytes()),
            ("hexadecimal", |bytes| hex::encode(bytes).into_bytes()),
            ("hexadecimal in upper case", |bytes| hex::encode_upper(bytes).into_bytes()),
            ("URL", |bytes| bytes.iter().flat_map(|byte| format!("%{byte:02X}").into_bytes()).collect()),
            ("rot13", |bytes| rot13(&String::from_utf8_lossy(bytes)).into_bytes()),
            ("reversed", |bytes| bytes.iter().rev().copied().collect()),
            ("gzip", gzip),
            ("zlib", zlib),
        ];
        let mut all = Vec::new();
        for (outer, over) in &single {
            for (inner, under) in &single {
                let text = under(canary.as_bytes());
                // Turning letters and sides around is for text.
                if text.is_ascii() || !["rot13", "upper case", "reversed"].contains(outer) {
                    all.push((format!("{outer} over {inner}"), over(&text)));
                }
            }
        }
        let three = general_purpose::STANDARD.encode(hex::encode(gzip(canary.as_bytes())));
        all.push(("base64 over hexadecimal over gzip".to_owned(), three.into_bytes()));
        all
    }

    #[test]
    fn a_canary_is_found_in_every_dress() {
        for _ in 0..4 {
            let canary = Canary::generate();
            for (how, bytes) in dressed(canary.as_str()) {
                // Base64 in the wrong case says something else.
                if how.starts_with("upper case over base64") {
                    continue;
                }
                for (before, after) in
                    [(&b""[..], &b""[..]), (b"GET /x?data=", b" HTTP/1.1\r\nhost: a.test\r\n\r\n")]
                {
                    let text = [before, &bytes, after].concat();
                    assert!(canary.is_in(&text), "{how}: {}", String::from_utf8_lossy(&text));
                }
            }
        }
    }

    #[test]
    fn a_canary_is_found_in_pieces() {
        let canary = Canary::generate();
        let pieces = |text: &str, size: usize| -> Vec<String> {
            text.as_bytes().chunks(size).map(|piece| String::from_utf8_lossy(piece).into_owned()).collect()
        };
        let labels = |text: &str| -> String {
            pieces(text, 12).iter().map(|piece| format!("{piece}.evil.test\n")).collect()
        };
        assert!(canary.is_in(pieces(canary.as_str(), 7).join(".").as_bytes()));
        assert!(canary.is_in(pieces(canary.as_str(), 1).join("-").as_bytes()));
        assert!(canary.is_in(labels(canary.as_str()).as_bytes()));
        assert!(canary.is_in(pieces(&hex::encode(canary.as_str()), 16).join(".").as_bytes()));
        let backwards: Vec<String> = pieces(canary.as_str(), 12).into_iter().rev().collect();
        assert!(canary.is_in(backwards.join(" ").as_bytes()));
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        let canaries = Canaries::generate();
        let other = Canary::generate();
        for (how, bytes) in dressed(other.as_str()) {
            assert_eq!(canaries.found_in(&bytes), [], "{how}");
        }
        let noise: Vec<u8> = (0..200_000).map(|_| LETTERS[fastrand::usize(..LETTERS.len())]).collect();
        assert_eq!(canaries.found_in(&noise), []);
        let noise: Vec<u8> = (0..100_000).map(|_| fastrand::u8(..)).collect();
        assert_eq!(canaries.found_in(&noise), []);
        assert_eq!(canaries.found_in(include_bytes!("mod.rs")), []);
    }

    #[test]
    fn each_place_has_its_own() {
        let canaries = Canaries::generate();
        for place in Place::ALL {
            let encoded = general_purpose::STANDARD.encode(canaries.of(place));
            assert_eq!(canaries.found_in(encoded.as_bytes()), [place]);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_searched_in_bounded_time(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..4096)) {
            let canary = Canary::generate();
            proptest::prop_assert!(!canary.is_in(&bytes));
            let with = [bytes.as_slice(), b" ", canary.as_str().as_bytes(), b" "].concat();
            proptest::prop_assert!(canary.is_in(&with));
        }
    }
}
