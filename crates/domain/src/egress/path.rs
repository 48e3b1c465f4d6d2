//! Paths of requests, in the one form that is accepted, and patterns for them.
//!
//! Rules permit, they never forbid, so a path need not be understood by everybody in the same way: it is enough that no
//! server reads more into it than the rule said. What a star stands for is therefore never anything that some
//! server takes for structure.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The path of a request as it came: `/`, then segments of unreserved characters, sub-delimiters, `:`, `@` and
/// percent-encodings (RFC 3986, section 3.3), at most 4,096 bytes.
///
/// No segment is empty but the last. None is `.` or `..`, nor only dots and spaces, also not after decoding, between
/// encoded slashes or backslashes, or with parameters (`..;x`) cut off. Nothing is encoded that would mean something else decoded once
/// more: `%25`, control characters, letters, digits, `.`, `-` and `_` (some programs encode `~`, which is permitted).
/// What is encoded is UTF-8 (no overlong forms of a slash).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestPath(String);

/// The text is no path in the accepted form.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum InvalidPath {
    /// It does not begin with a slash.
    #[error("a path begins with a slash")]
    NoSlash,
    /// More than 4,096 bytes.
    #[error("the path is longer than 4096 bytes")]
    Length,
    /// An empty segment, `.` or `..`, plain or hidden.
    #[error("a path has no empty segments and none of `.` and `..`")]
    Segment,
    /// A character that must be percent-encoded, or that ends the path.
    #[error("the path has a character that may not stand in one")]
    Character,
    /// An incomplete percent-encoding, or one of something that needs none or hides something.
    #[error("the path has a percent-encoding that is incomplete, unnecessary or hides a meaning")]
    Encoding,
    /// `**` elsewhere than at the end.
    #[error("`**` may only be the last segment of a pattern, and all of it")]
    Star,
}

const LONGEST: usize = 4096;

impl RequestPath {
    /// As it stands.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its segments, decoded by nobody.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').skip(1)
    }
}

impl FromStr for RequestPath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        check(text)?;
        Ok(Self(text.to_owned()))
    }
}

fn check(text: &str) -> Result<(), InvalidPath> {
    let rest = text.strip_prefix('/').ok_or(InvalidPath::NoSlash)?;
    if text.len() > LONGEST {
        return Err(InvalidPath::Length);
    }
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if (segment.is_empty() && !last) || segment.starts_with(';') {
            return Err(InvalidPath::Segment);
        }
        let decoded = decode(segment)?;
        if decoded.split(['/', '\\']).any(is_relative) {
            return Err(InvalidPath::Segment);
        }
    }
    Ok(())
}

/// Whether a decoded segment is `.` or `..` to some server: parameters are cut off, and some file systems drop spaces
/// and dots at the end of a name.
fn is_relative(piece: &str) -> bool {
    let name = piece.split(';').next().unwrap_or_default();
    !name.is_empty() && name.chars().all(|one| one == '.' || one.is_whitespace())
}

/// What a server makes of a segment.
fn decode(segment: &str) -> Result<Cow<'_, str>, InvalidPath> {
    let mut decoded = Vec::new();
    let mut rest = segment.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            if !is_plain(byte) {
                return Err(InvalidPath::Character);
            }
            decoded.push(byte);
            continue;
        }
        let value = encoded(after).ok_or(InvalidPath::Encoding)?;
        // What an unreserved character is encoded as is another name for the same thing (RFC 3986, 6.2.2.2). The
        // tilde came to them late, and programs that still encode it are about (RFC 1738, section 2.2).
        let needless = value.is_ascii_alphanumeric() || b"-._".contains(&value);
        if needless || value.is_ascii_control() || value == b'%' {
            return Err(InvalidPath::Encoding);
        }
        decoded.push(value);
        rest = after.get(2..).unwrap_or_default();
    }
    if decoded == segment.as_bytes() {
        return Ok(Cow::Borrowed(segment));
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| InvalidPath::Encoding)
}

/// Unreserved characters, sub-delimiters, `:` and `@`.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

/// The byte that two hexadecimal digits stand for.
fn encoded(digits: &[u8]) -> Option<u8> {
    let digit =
        |at: usize| char::from(*digits.get(at)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(0)? << 4 | digit(1)?)
}

/// Which paths a rule is about.
///
/// Segments match as they stand, percent-encodings in either case of their letters. `*` stands for any characters
/// of one segment (at least one if it is all of it), and a last segment `**` for any rest, also none. Neither stands
/// for `;` or for an encoded slash, backslash, `?`, `#` or `;`, which some servers take for the end of the segment:
/// they must be written out where they are meant (`/@*%2f*`). Only `/**`, where there is nothing to get out of, is
/// about every path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathPattern(String);

impl PathPattern {
    /// Every path: `/**`.
    #[must_use]
    pub fn everything() -> Self {
        Self("/**".to_owned())
    }

    /// This path and no other; `None` if it has a star, which a pattern cannot say.
    #[must_use]
    pub fn exactly(path: &RequestPath) -> Option<Self> {
        (!path.0.contains('*')).then(|| Self(path.0.clone()))
    }

    /// As it stands.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is about every path.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0 == "/**"
    }

    /// Whether it is about this path.
    #[must_use]
    pub fn matches(&self, path: &RequestPath) -> bool {
        self.is_about(&path.0)
    }

    /// Whether it is about every path that the other is about. Sometimes "no" where it is, never "yes" where it is not.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        // A star of the other is a character like any other here, one for which only a star can stand; so a star
        // of this one takes whatever the other's stands for.
        self.is_about(&other.0)
    }

    fn is_about(&self, path: &str) -> bool {
        if self.is_everything() {
            return true;
        }
        let mut pattern = self.0.split('/').skip(1);
        let mut segments = path.split('/').skip(1);
        loop {
            match (pattern.next(), segments.next()) {
                (Some("**"), rest) => return rest.into_iter().chain(segments).all(is_one_segment),
                // The other's rest, of which a single segment is only a part.
                (Some(_), Some("**")) => return false,
                (Some("*"), Some("")) => return false,
                (Some(wanted), Some(segment)) if segment_matches(wanted, segment) => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }
}

/// A character of a segment, or a percent-encoded byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Plain(u8),
    Encoded(u8),
}

impl Unit {
    const STAR: Self = Self::Plain(b'*');

    fn first(text: &[u8]) -> Option<(Self, &[u8])> {
        let (&byte, rest) = text.split_first()?;
        let value = (byte == b'%').then(|| encoded(rest)).flatten();
        Some(match value {
            Some(value) => (Self::Encoded(value), rest.get(2..).unwrap_or_default()),
            None => (Self::Plain(byte), rest),
        })
    }

    /// Whether no server takes it for anything but a part of its segment.
    const fn stays_inside(self) -> bool {
        !matches!(self, Self::Plain(b';') | Self::Encoded(b'/' | b'\\' | b'?' | b'#' | b';'))
    }
}

/// Whether a segment is one segment to every server.
fn is_one_segment(segment: &str) -> bool {
    let mut rest = segment.as_bytes();
    while let Some((unit, after)) = Unit::first(rest) {
        if !unit.stays_inside() {
            return false;
        }
        rest = after;
    }
    true
}

/// Matches with stars, each of which takes as little as it can; only the last may have to take more, since whatever an
/// earlier one could take in its place, the last one can take too.
fn segment_matches(pattern: &str, segment: &str) -> bool {
    let (mut wanted, mut text) = (pattern.as_bytes(), segment.as_bytes());
    let mut last_star: Option<(&[u8], &[u8])> = None;
    loop {
        match (Unit::first(wanted), Unit::first(text)) {
            (Some((Unit::STAR, after)), _) => {
                last_star = Some((after, text));
                wanted = after;
            }
            (Some((one, after)), Some((other, rest))) if one == other => (wanted, text) = (after, rest),
            (None, None) => return true,
            _ => match last_star.and_then(|(after, from)| Some((after, Unit::first(from)?))) {
                Some((after, (taken, rest))) if taken.stays_inside() => {
                    last_star = Some((after, rest));
                    (wanted, text) = (after, rest);
                }
                _ => return false,
            },
        }
    }
}

impl FromStr for PathPattern {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        check(text)?;
        let (before, last) = text.rsplit_once('/').unwrap_or_default();
        if before.contains("**") || (last.contains("**") && last != "**") {
            return Err(InvalidPath::Star);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for RequestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for PathPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PathPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
