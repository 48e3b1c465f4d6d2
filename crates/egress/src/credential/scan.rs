//! Whether an answer contains a secret that was sent with its request.
//!
//! A host that is given a credential may give it back: in an echo, an error page, a debug trace. The scan looks for
//! each secret as it is and in the encodings that servers usually apply, over the borders of chunks. It takes time
//! linear in what it reads, keeps no more than an encoded secret, and holds back only bytes that may yet turn out
//! to be the beginning of one. Answers must come to it unencoded: the door asks for the identity encoding wherever it adds
//! a credential.

use std::{collections::HashMap, fmt, sync::Arc};

use aho_corasick::{
    Anchored, MatchKind,
    automaton::{Automaton, StateID},
    nfa::{contiguous::NFA as Compact, noncontiguous::NFA},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use cofferdam_domain::Secret;
use http::{HeaderMap, HeaderValue};

/// What is looked for. Cheap to share; made once for each value.
pub struct ReflectionPatterns {
    exact: Machine,
    /// The same in lower case, as the names of header fields are.
    folded: Machine,
    /// How many bytes of a pattern have been seen in each state of the exact one.
    depth: HashMap<StateID, usize>,
}

/// Finds any of some byte strings.
struct Machine {
    automaton: Compact,
    start: StateID,
}

/// Looks through one answer.
pub struct ReflectionScan {
    patterns: Arc<ReflectionPatterns>,
    state: StateID,
    held: Vec<u8>,
}

/// The answer contains the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer contained the credential that was sent with the request")]
pub struct Reflected;

impl ReflectionPatterns {
    /// For these secrets; nothing to look for is no patterns.
    #[must_use]
    pub fn new(secrets: &[Secret]) -> Option<Self> {
        let mut forms: Vec<Vec<u8>> = secrets.iter().flat_map(|secret| forms(secret.expose())).collect();
        forms.sort();
        forms.dedup();
        forms.retain(|form| form.len() >= SHORTEST);
        if forms.is_empty() {
            return None;
        }
        let exact = Machine::new(&forms)?;
        let mut depth = HashMap::new();
        for form in &forms {
            let mut state = exact.start;
            for (seen, byte) in form.iter().enumerate() {
                state = exact.automaton.next_state(Anchored::No, state, *byte);
                depth.insert(state, seen + 1);
            }
        }
        let lower: Vec<Vec<u8>> = forms.iter().map(|form| form.to_ascii_lowercase()).collect();
        Some(Self { exact, folded: Machine::new(&lower)?, depth })
    }

    /// Whether it is in these bytes, which are all there is: a message.
    #[must_use]
    pub fn are_in(&self, bytes: &[u8]) -> bool {
        self.exact.advance(self.exact.start, bytes).is_err()
    }

    /// Whether it is in the names or the values of these fields, also in pieces over several of them, and whatever
    /// has become of upper and lower case on the way.
    #[must_use]
    pub fn are_in_fields(&self, fields: &HeaderMap) -> bool {
        let names: Vec<&[u8]> = fields.iter().map(|(name, _)| name.as_str().as_bytes()).collect();
        let values: Vec<&[u8]> = fields.values().map(HeaderValue::as_bytes).collect();
        let both: Vec<&[u8]> = names.iter().zip(&values).flat_map(|(name, value)| [*name, *value]).collect();
        [names, values, both].into_iter().any(|pieces| {
            let whole = pieces.concat().to_ascii_lowercase();
            self.folded.advance(self.folded.start, &whole).is_err()
        })
    }
}

impl Machine {
    fn new(forms: &[Vec<u8>]) -> Option<Self> {
        let sparse = NFA::builder().match_kind(MatchKind::Standard).build(forms).ok()?;
        let automaton = Compact::builder().build_from_noncontiguous(&sparse).ok()?;
        let start = automaton.start_state(Anchored::No).ok()?;
        Some(Self { automaton, start })
    }

    /// The state after these bytes.
    fn advance(&self, mut state: StateID, bytes: &[u8]) -> Result<StateID, Reflected> {
        for byte in bytes {
            state = self.automaton.next_state(Anchored::No, state, *byte);
            // Matching and dead states are the special ones; there are no dead ones without an anchor.
            if self.automaton.is_special(state) && self.automaton.is_match(state) {
                return Err(Reflected);
            }
        }
        Ok(state)
    }
}

impl fmt::Debug for ReflectionPatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReflectionPatterns(****)")
    }
}

impl ReflectionScan {
    /// For one answer.
    #[must_use]
    pub fn new(patterns: Arc<ReflectionPatterns>) -> Self {
        let state = patterns.exact.start;
        Self { patterns, state, held: Vec::new() }
    }

    /// Takes the next bytes in; gives back what may be passed on now.
    ///
    /// # Errors
    /// When a secret is complete. Nothing of it has been given back, and nothing after it may be.
    pub fn pass(&mut self, chunk: Bytes) -> Result<Bytes, Reflected> {
        self.state = self.patterns.exact.advance(self.state, &chunk)?;
        let open = self.patterns.depth.get(&self.state).copied().unwrap_or(0);
        if self.held.is_empty() && open == 0 {
            return Ok(chunk);
        }
        if self.held.is_empty() {
            let ready = chunk.len().saturating_sub(open);
            self.held.extend_from_slice(&chunk[ready..]);
            return Ok(chunk.slice(..ready));
        }
        self.held.extend_from_slice(&chunk);
        let kept = self.held.split_off(self.held.len().saturating_sub(open));
        Ok(Bytes::from(std::mem::replace(&mut self.held, kept)))
    }

    /// What is left at the answer's end.
    #[must_use]
    pub fn finish(&mut self) -> Bytes {
        self.state = self.patterns.exact.start;
        Bytes::from(std::mem::take(&mut self.held))
    }
}

impl fmt::Debug for ReflectionScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReflectionScan").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

/// Shorter forms would be found in what has nothing to do with the secret.
const SHORTEST: usize = 8;

/// The secret as it is, and as servers write what they echo.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let mut forms = vec![
        bytes.to_vec(),
        bytes.iter().rev().copied().collect(),
        hex::encode(bytes).into_bytes(),
        hex::encode_upper(bytes).into_bytes(),
        bytes.iter().map(|byte| rotated(*byte)).collect(),
        bytes.iter().flat_map(|byte| [*byte, 0]).collect(),
        escaped(
            bytes,
            |byte| is_unreserved(byte).then(|| char::from(byte).to_string()),
            |byte| format!("%{byte:02X}"),
        ),
        escaped(
            bytes,
            |byte| is_unreserved(byte).then(|| char::from(byte).to_string()),
            |byte| format!("%{byte:02x}"),
        ),
        escaped(bytes, |_| None, |byte| format!("%{byte:02X}")),
        escaped(bytes, |_| None, |byte| format!("%{byte:02x}")),
        escaped(bytes, |byte| (byte != b'/').then(|| json(byte)), |_| "\\/".to_owned()),
        escaped(bytes, |byte| Some(json(byte)), |_| String::new()),
        escaped(
            bytes,
            |byte| byte.is_ascii_alphanumeric().then(|| char::from(byte).to_string()),
            |byte| format!("\\u{byte:04x}"),
        ),
        escaped(bytes, |_| None, |byte| format!("\\u{byte:04x}")),
        escaped(bytes, |byte| html(byte).map(str::to_owned), |byte| char::from(byte).to_string()),
    ];
    for before in 0..3 {
        let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(bytes.iter().copied()).collect();
        for text in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            forms.push(inner(text.as_bytes(), before, bytes.len(), 6));
        }
    }
    for before in 0..5 {
        let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(bytes.iter().copied()).collect();
        let upper = inner(&base32(&padded), before, bytes.len(), 5);
        forms.push(upper.to_ascii_lowercase());
        forms.push(upper);
    }
    forms
}

/// The characters of an encoded text that depend on the secret alone, whatever stands before and after it.
fn inner(encoded: &[u8], before: usize, length: usize, bits: usize) -> Vec<u8> {
    let from = (before * 8).div_ceil(bits);
    let to = ((before + length) * 8 / bits).min(encoded.len());
    encoded.get(from..to).unwrap_or_default().to_vec()
}

/// RFC 4648, section 6, without padding.
fn base32(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1));
    (0..(bytes.len() * 8).div_ceil(5))
        .map(|group| ALPHABET[(0..5).fold(0, |value, at| value << 1 | bit(group * 5 + at))])
        .collect()
}

fn escaped(bytes: &[u8], plain: impl Fn(u8) -> Option<String>, otherwise: impl Fn(u8) -> String) -> Vec<u8> {
    bytes.iter().flat_map(|byte| plain(*byte).unwrap_or_else(|| otherwise(*byte)).into_bytes()).collect()
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// RFC 8259, section 7.
fn json(byte: u8) -> String {
    match byte {
        b'"' => "\\\"".to_owned(),
        b'\\' => "\\\\".to_owned(),
        other => char::from(other).to_string(),
    }
}

fn html(byte: u8) -> Option<&'static str> {
    match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'"' => Some("&quot;"),
        b'\'' => Some("&#39;"),
        _ => None,
    }
}

fn rotated(byte: u8) -> u8 {
    let turn = |first: u8| (byte - first + 13) % 26 + first;
    match byte {
        b'a'..=b'z' => turn(b'a'),
        b'A'..=b'Z' => turn(b'A'),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "tok_9/f+\"A&b?c=7Zq~x";

    fn scan_of(secret: &str) -> ReflectionScan {
        ReflectionScan::new(Arc::new(ReflectionPatterns::new(&[Secret::new(secret)]).unwrap()))
    }

    /// What comes out when the text goes in in chunks of this size.
    fn through(secret: &str, text: &[u8], size: usize) -> Result<Vec<u8>, Vec<u8>> {
        let mut scan = scan_of(secret);
        let mut out = Vec::new();
        for chunk in text.chunks(size) {
            match scan.pass(Bytes::copy_from_slice(chunk)) {
                Ok(ready) => out.extend_from_slice(&ready),
                Err(Reflected) => return Err(out),
            }
        }
        out.extend_from_slice(&scan.finish());
        Ok(out)
    }

    fn encodings(text: &str) -> Vec<Vec<u8>> {
        let percent: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let component: String = text
            .bytes()
            .map(
                |byte| {
                    if is_unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
                },
            )
            .collect();
        vec![
            text.as_bytes().to_vec(),
            text.bytes().rev().collect(),
            hex::encode(text).into_bytes(),
            hex::encode_upper(text).into_bytes(),
            percent.into_bytes(),
            component.into_bytes(),
            serde_json::to_string(text).unwrap().into_bytes(),
            STANDARD.encode(text).into_bytes(),
            URL_SAFE.encode(format!("x{text}")).into_bytes(),
            STANDARD.encode(format!("user:{text}!")).into_bytes(),
            STANDARD.encode(format!("xy{text}zzz")).into_bytes(),
        ]
    }

    #[test]
    fn found_in_every_encoding_and_over_every_border() {
        for encoded in encodings(TOKEN) {
            let text = [b"<p>before ".as_slice(), &encoded, b" after</p>"].concat();
            for size in [1, 2, 3, 7, text.len()] {
                let out = through(TOKEN, &text, size).unwrap_err();
                assert!(b"<p>before user:\"".len() + 8 >= out.len(), "{} came out", out.len());
            }
        }
    }

    #[test]
    fn nothing_is_held_back_that_cannot_be_a_secret() {
        let mut scan = scan_of("abcdefghijkl");
        assert_eq!(scan.pass(Bytes::from_static(b"data: one\n\n")).unwrap().as_ref(), b"data: one\n\n");
        assert_eq!(scan.pass(Bytes::from_static(b"two abcd")).unwrap().as_ref(), b"two ");
        assert_eq!(scan.pass(Bytes::from_static(b"efgX")).unwrap().as_ref(), b"abcdefgX");
        assert_eq!(scan.finish().as_ref(), b"");
    }

    #[test]
    fn heads_and_short_secrets() {
        let patterns = ReflectionPatterns::new(&[Secret::new(TOKEN)]).unwrap();
        assert!(patterns.are_in(format!("Bearer {TOKEN}").as_bytes()));
        assert!(!patterns.are_in(b"Bearer"));
        let plain = ReflectionPatterns::new(&[Secret::new("ghs_S3cretValue")]).unwrap();
        let found = |fields: &[(&'static str, &'static str)]| {
            let fields = fields
                .iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
            plain.are_in_fields(&fields.collect())
        };
        assert!(found(&[("x", "a ghs_S3cretValue b")]));
        assert!(found(&[("x", "ghs_S3cr"), ("y", "etValue")]));
        assert!(found(&[("x", "ghs_S3cr"), ("x", "etValue")]));
        assert!(found(&[("x-ghs_s3cretvalue", "")]));
        assert!(found(&[("x-ghs_s3", "cretValue")]));
        assert!(!found(&[("x", "ghs_S3"), ("y", "etValue")]));
        assert!(ReflectionPatterns::new(&[]).is_none());
        assert_eq!(format!("{patterns:?}"), "ReflectionPatterns(****)");
    }

    #[test]
    fn base32_by_the_examples_of_the_standard() {
        for (plain, encoded) in [("f", "MY"), ("fo", "MZXQ"), ("foobar", "MZXW6YTBOI")] {
            assert_eq!(base32(plain.as_bytes()), encoded.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn what_does_not_contain_it_comes_through_unchanged(text in proptest::collection::vec(any::<u8>(), 0..400), size in 1usize..50) {
            prop_assert_eq!(through("zq8Jk2LmN4", &text, size), Ok(text));
        }

        #[test]
        fn found_wherever_it_stands(
            secret in "[!-~]{12,80}",
            before in proptest::collection::vec(any::<u8>(), 0..60),
            after in proptest::collection::vec(any::<u8>(), 0..60),
            which in 0usize..11,
            size in 1usize..40,
        ) {
            let text = [before, encodings(&secret)[which].clone(), after].concat();
            prop_assert!(through(&secret, &text, size).is_err());
        }
    }
}
