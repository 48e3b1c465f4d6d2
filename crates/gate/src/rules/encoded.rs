//! One layer of base64 or hexadecimal, taken off: what looks like noise may be a text.
//!
//! Lenient on purpose, since it looks for what somebody wants to hide: both alphabets, with or without
//! padding, one line or several. The output is never longer than the input, so the work stays linear.

use std::sync::LazyLock;

use super::{Pattern, pattern};
use crate::lines::Line;

/// Long enough to hold the shortest credential.
static BASE64: Pattern = LazyLock::new(|| pattern(r"[A-Za-z0-9+/_\-]{20,}={0,2}"));
static HEXADECIMAL: Pattern = LazyLock::new(|| pattern(r"(?:[0-9a-fA-F]{2}){16,}"));
static ALL_BASE64: Pattern = LazyLock::new(|| pattern(r"^\s*[A-Za-z0-9+/_\-]{20,}={0,2}\s*$"));

/// What stands behind base64 or hexadecimal in added lines: the line where it starts, the encoding's name,
/// the text.
pub(super) fn decoded(added: &[Line<'_>]) -> Vec<(u32, &'static str, Vec<u8>)> {
    let mut found = Vec::new();
    let mut block: Option<(u32, Vec<u8>)> = None;
    for line in added {
        if let Some((first, bytes)) = block.take_if(|_| !ALL_BASE64.is_match(line.text)) {
            keep(&mut found, first, "base64", base64(&bytes));
        }
        if ALL_BASE64.is_match(line.text) {
            let (_, bytes) = block.get_or_insert((line.number, Vec::new()));
            bytes.extend_from_slice(line.text.trim_ascii());
        }
        for run in BASE64.find_iter(line.text) {
            keep(&mut found, line.number, "base64", base64(run.as_bytes()));
        }
        for run in HEXADECIMAL.find_iter(line.text) {
            keep(&mut found, line.number, "hexadecimal", hexadecimal(run.as_bytes()));
        }
    }
    if let Some((first, bytes)) = block {
        keep(&mut found, first, "base64", base64(&bytes));
    }
    found
}

/// Keeps what is text: everything else is a digest, a picture, or chance.
fn keep(found: &mut Vec<(u32, &'static str, Vec<u8>)>, line: u32, encoding: &'static str, bytes: Vec<u8>) {
    let printable = bytes.iter().filter(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~')).count();
    if bytes.len() >= 12 && printable * 20 >= bytes.len() * 19 {
        found.push((line, encoding, bytes));
    }
}

/// The bytes behind base64 (RFC 4648, sections 4 and 5); padding ends a group, an incomplete group is cut.
fn base64(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => {
                (bits, held) = (0, 0);
                continue;
            }
        };
        held = (held << 6) | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    bytes
}

fn hexadecimal(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default() as u8;
    text.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!(base64(b"aGVsbG8gd29ybGQ="), b"hello world");
        assert_eq!(base64(b"aGVsbG8gd29ybGQ"), b"hello world");
        assert_eq!(base64(b"-_-_"), [0xfb, 0xff, 0xbf]);
        assert_eq!(hexadecimal(b"68656C6c6f"), b"hello");
    }

    #[test]
    fn lines_are_joined_and_noise_is_left_out() {
        let text = ["bGluZSBvbmUgb2YgYSBsb25nIHRleHQg", "YW5kIGxpbmUgdHdvIG9mIHRoZSB0ZXh0"];
        let lines: Vec<Line<'_>> =
            text.iter().zip(1..).map(|(text, number)| Line { number, text: text.as_bytes() }).collect();
        let texts: Vec<_> =
            decoded(&lines).into_iter().map(|(_, _, bytes)| String::from_utf8(bytes).unwrap()).collect();
        assert!(texts.contains(&"line one of a long text and line two of the text".to_owned()), "{texts:?}");
        let digest =
            [Line { number: 1, text: b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" }];
        assert!(decoded(&digest).is_empty());
    }
}
