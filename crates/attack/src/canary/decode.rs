//! What bytes can be read as: themselves, and what is left when the usual encodings are undone, one over the other.
//!
//! Undoing is guessing: a decoder is tried wherever its letters stand in a row. A guess that gives neither text nor something compressed was
//! wrong and is dropped, which keeps the number of readings small; depth, number and bytes are bounded besides.

use std::{collections::HashSet, io::Read as _};

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Encodings one over the other.
const DEPTH: usize = 4;
/// Readings in all, and their bytes.
const MOST_READINGS: usize = 3_000;
const MOST_BYTES: usize = 8 << 20;
/// What one compressed piece may grow to.
const MOST_INFLATED: u64 = 1 << 20;
/// Shorter runs of an encoding's letters hold nothing worth decoding.
const SHORTEST: usize = 8;

/// How a reading is made from the one before; none is undone twice in a row that undoes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Begin,
    Rot13,
    Reversed,
    Joined,
    Decoded,
}

/// All readings of these bytes, in lower case.
pub(super) fn readings(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut seen = HashSet::from([bytes.to_vec()]);
    let mut total = bytes.len();
    let mut layer = vec![(Step::Begin, bytes.to_vec())];
    let mut all = vec![bytes.to_vec()];
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for (step, reading) in &layer {
            for (how, made) in undone(*step, reading) {
                if made.len() < SHORTEST || total > MOST_BYTES || all.len() > MOST_READINGS {
                    continue;
                }
                if seen.insert(made.clone()) {
                    total += made.len();
                    all.push(made.clone());
                    next.push((how, made));
                }
            }
        }
        layer = next;
    }
    for reading in &mut all {
        reading.make_ascii_lowercase();
    }
    all
}

/// The likeliest first, since there is an end to what is tried.
fn undone(last: Step, bytes: &[u8]) -> Vec<(Step, Vec<u8>)> {
    let mut decoded = inflated(bytes);
    decoded.push(percent(bytes));
    decoded.extend((0..4).map(|skip| runs(bytes, is_base64, |run| base64(run.get(skip..)?))));
    decoded.extend((0..8).map(|skip| runs(bytes, is_base32, |run| base32(run.get(skip..)?))));
    decoded.extend(
        (0..2).map(|skip| runs(bytes, |byte| byte.is_ascii_hexdigit(), |run| hexadecimal(run.get(skip..)?))),
    );
    let decoded = decoded.into_iter().filter(|made| made != bytes);
    let mut made: Vec<(Step, Vec<u8>)> = decoded.map(|made| (Step::Decoded, made)).collect();
    if last != Step::Joined {
        made.push((Step::Joined, joined(bytes)));
        made.push((Step::Joined, without_repeats(bytes)));
    }
    if last != Step::Rot13 {
        made.push((Step::Rot13, rot13(bytes)));
    }
    if last != Step::Reversed {
        made.push((Step::Reversed, bytes.iter().rev().copied().collect()));
    }
    made
}

/// The decoded runs of an encoding's letters, one after the other, as far as they make sense.
fn runs(bytes: &[u8], letter: fn(u8) -> bool, decode: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut all = Vec::new();
    for run in bytes.split(|byte| !letter(*byte)).filter(|run| run.len() >= SHORTEST) {
        if let Some(decoded) = decode(run).filter(|decoded| makes_sense(decoded)) {
            all.extend_from_slice(&decoded);
            all.push(b' ');
        }
    }
    all
}

/// Whether it is text, or begins as compressed data does.
fn makes_sense(bytes: &[u8]) -> bool {
    let text = bytes.iter().filter(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()).count();
    text * 8 >= bytes.len() * 7 || bytes.starts_with(&[0x1f, 0x8b]) || is_zlib(bytes)
}

/// The usual first bytes (RFC 1950, section 2.2).
fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..])
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

const fn is_base32(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'2'..=b'7')
}

fn base64(run: &[u8]) -> Option<Vec<u8>> {
    let lenient = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let standard: Vec<u8> = run
        .iter()
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    let whole = standard.len() - usize::from(standard.len() % 4 == 1);
    GeneralPurpose::new(&base64::alphabet::STANDARD, lenient).decode(&standard[..whole]).ok()
}

fn base32(run: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(run.len() * 5 / 8);
    let (mut buffer, mut bits) = (0_u32, 0);
    for byte in run {
        let value = match byte.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            digit @ b'2'..=b'7' => digit - b'2' + 26,
            _ => return None,
        };
        buffer = (buffer << 5 | u32::from(value)) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            decoded.push(u8::try_from(buffer >> bits & 0xff).ok()?);
        }
    }
    Some(decoded)
}

fn hexadecimal(run: &[u8]) -> Option<Vec<u8>> {
    hex::decode(&run[..run.len() - run.len() % 2]).ok()
}

fn rot13(bytes: &[u8]) -> Vec<u8> {
    let turn = |byte: u8| match byte {
        b'a'..=b'm' | b'A'..=b'M' => byte + 13,
        b'n'..=b'z' | b'N'..=b'Z' => byte - 13,
        other => other,
    };
    bytes.iter().copied().map(turn).collect()
}

/// Without whatever may have been put between pieces.
fn joined(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(u8::is_ascii_alphanumeric).collect()
}

/// Pieces that came as beginnings of lines which otherwise end the same, as labels before one zone do.
fn without_repeats(bytes: &[u8]) -> Vec<u8> {
    bytes
        .split(|byte| *byte == b'\n')
        .flat_map(|line| line.split(|byte| *byte == b'.').next())
        .flatten()
        .copied()
        .collect()
}

fn percent(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        let value =
            (byte == b'%').then(|| after.get(..2)).flatten().and_then(|digits| hex::decode(digits).ok());
        if let Some(value) = value {
            decoded.extend(value);
            rest = &after[2..];
        } else {
            decoded.push(byte);
            rest = after;
        }
    }
    decoded
}

/// What is compressed somewhere in it (RFC 1950, RFC 1952).
fn inflated(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for start in 0..bytes.len() {
        let rest = &bytes[start..];
        let mut made = Vec::new();
        let read = if rest.starts_with(&[0x1f, 0x8b, 8]) {
            flate2::read::GzDecoder::new(rest).take(MOST_INFLATED).read_to_end(&mut made)
        } else if is_zlib(rest) {
            flate2::read::ZlibDecoder::new(rest).take(MOST_INFLATED).read_to_end(&mut made)
        } else {
            continue;
        };
        // What came before the data went bad counts.
        drop(read);
        all.push(made);
        if all.len() == 8 {
            break;
        }
    }
    all
}
