//! What bytes can be read as: themselves, and what is left when the usual encodings are undone, one over the other.
//!
//! Undoing is guessing: a decoder is tried wherever its letters stand in a row. A guess that gives neither text nor something compressed was
//! wrong and is dropped, which keeps the number of readings small; depth, number and bytes are bounded besides.

use std::{collections::HashSet, io::Read as _};

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// How thoroughly something is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thoroughness {
    /// Encodings one over the other.
    pub depth: usize,
    /// Readings in all.
    pub readings: usize,
    /// Bytes of all of them together, and as many again of what was compressed.
    pub bytes: usize,
    /// The same as a multiple of what is read.
    pub growth: usize,
}

impl Thoroughness {
    /// For proofs, where time does not matter.
    pub const GREAT: Self = Self { depth: 4, readings: 3_000, bytes: 8 << 20, growth: usize::MAX };
    /// For what somebody waits for.
    pub const QUICK: Self = Self { depth: 2, readings: 200, bytes: 1 << 20, growth: 64 };
}

/// Places in one reading where compressed data may begin.
const MOST_PIECES: usize = 64;
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
    Inflated,
}

/// All readings of these bytes, themselves first.
#[must_use]
pub fn readings(bytes: &[u8], thoroughness: Thoroughness) -> Vec<Vec<u8>> {
    let room = thoroughness.bytes.min(bytes.len().saturating_mul(thoroughness.growth));
    let mut found = Found { left: thoroughness.readings, plain: room, grown: room, ..Found::default() };
    found.seen.insert(bytes.to_vec());
    found.all.push(bytes.to_vec());
    let mut layer = vec![Reading { step: Step::Begin, grown: false, bytes: bytes.to_vec() }];
    for _ in 0..thoroughness.depth {
        let mut next = Vec::new();
        for reading in &layer {
            found.undo(reading, &mut next);
        }
        layer = next;
    }
    found.all
}

struct Reading {
    step: Step,
    /// Whether it comes out of something compressed.
    grown: bool,
    bytes: Vec<u8>,
}

/// What was found, and how much more there is room for.
#[derive(Default)]
struct Found {
    seen: HashSet<Vec<u8>>,
    all: Vec<Vec<u8>>,
    /// Readings.
    left: usize,
    /// Bytes.
    plain: usize,
    /// Bytes of what comes out of something compressed, which would leave no room for anything else.
    grown: usize,
}

impl Found {
    fn undo(&mut self, reading: &Reading, next: &mut Vec<Reading>) {
        let Reading { step, grown, bytes } = reading;
        // Nothing is made that there is no room for: this bounds the work, whatever it is that is read.
        if self.left > 0 && (if *grown { self.grown } else { self.plain }) > 0 {
            for (step, made) in undone(*step, bytes) {
                self.add(step, *grown, made, next);
            }
        }
        if self.left > 0 && self.grown > 0 {
            for made in inflated(bytes, self.grown) {
                self.add(Step::Inflated, true, made, next);
            }
        }
    }

    fn add(&mut self, step: Step, grown: bool, bytes: Vec<u8>, next: &mut Vec<Reading>) {
        let room = if grown { &mut self.grown } else { &mut self.plain };
        if bytes.len() >= SHORTEST && self.left > 0 && *room > 0 && self.seen.insert(bytes.clone()) {
            *room = room.saturating_sub(bytes.len());
            self.left -= 1;
            self.all.push(bytes.clone());
            next.push(Reading { step, grown, bytes });
        }
    }
}

/// The likeliest first, since there is an end to what is tried.
fn undone(last: Step, bytes: &[u8]) -> Vec<(Step, Vec<u8>)> {
    let mut decoded = vec![percent(bytes)];
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

/// What is compressed somewhere in it (RFC 1950, RFC 1952), up to so many bytes.
fn inflated(bytes: &[u8], mut room: usize) -> Vec<Vec<u8>> {
    let begins = |rest: &[u8]| rest.starts_with(&[0x1f, 0x8b, 8]) || is_zlib(rest);
    let starts = (0..bytes.len()).filter(|start| begins(&bytes[*start..]));
    let mut all = Vec::new();
    for rest in starts.take(MOST_PIECES).map(|start| &bytes[start..]) {
        let most = u64::try_from(room).unwrap_or(u64::MAX);
        let mut made = Vec::new();
        let read = if is_zlib(rest) {
            flate2::read::ZlibDecoder::new(rest).take(most).read_to_end(&mut made)
        } else {
            flate2::read::GzDecoder::new(rest).take(most).read_to_end(&mut made)
        };
        // What came before the data went bad counts.
        drop(read);
        room -= made.len();
        all.push(made);
        if room == 0 {
            break;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_through_what_it_is_dressed_up_in() {
        let reads = |bytes: &[u8]| {
            let readings = readings(bytes, Thoroughness::QUICK);
            readings.iter().any(|reading| reading.windows(16).any(|window| window == b"plantedtext23456"))
        };
        assert!(reads(b"x=plantedtext23456"));
        assert!(reads(b"x=%70lantedtext23456&y"));
        assert!(reads(b"auth: cGxhbnRlZHRleHQyMzQ1Ng=="));
        assert!(reads(b"name 706c616e74656474657874323334353600.example"));
        assert!(reads(b"pl-an-te-dt-ex-t2-34-56"));
        assert!(reads(b"65432txetdetnalp"));
        // One over the other: base64 of hexadecimal digits.
        assert!(reads(b"NzA2YzYxNmU3NDY1NjQ3NDY1Nzg3NDMyMzMzNDM1MzY="));
        assert!(!reads(b"plantedtext2345"));
    }

    #[test]
    fn there_is_an_end_to_reading() {
        let long: Vec<u8> = (0..200_000_u32).map(|at| b"abcdef0123456789"[(at * 7 % 16) as usize]).collect();
        let bombs = compressed(&vec![b'a'; 8 << 20]).repeat(7);
        for bytes in [&long, &bombs] {
            let all = readings(bytes, Thoroughness::QUICK);
            assert!(all.len() <= Thoroughness::QUICK.readings + 1);
            let read = all.iter().map(Vec::len).sum::<usize>();
            assert!(read <= 3 * bytes.len() + 2 * Thoroughness::QUICK.bytes, "{read}");
        }
        let brief = compressed(&vec![b'a'; 1 << 20]);
        let read = readings(&brief, Thoroughness::QUICK).iter().map(Vec::len).sum::<usize>();
        assert!(read <= 2 * 65 * brief.len(), "{read} of {}", brief.len());
    }

    #[test]
    fn what_grows_hides_nothing_beside_it() {
        let bomb = compressed(&vec![b'a'; 4 << 20]);
        let decoys = b"\x78\x9c".repeat(20);
        let hidden = compressed(b"x=plantedtext23456&y");
        for bytes in [[&bomb[..], b" cGxhbnRlZHRleHQyMzQ1Ng=="].concat(), [&decoys[..], &hidden].concat()] {
            let all = readings(&bytes, Thoroughness::QUICK);
            assert!(
                all.iter().any(|reading| reading.windows(16).any(|window| window == b"plantedtext23456"))
            );
        }
    }

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    }
}
