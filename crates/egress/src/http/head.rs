//! The head of an HTTP/1 request (RFC 9112), judged before anybody else reads it: one way to read it, or none.
//!
//! Servers differ in what they mend: bare line feeds, folded lines, two lengths, a length beside chunks. Each
//! difference is a request that one server sees and the next does not. Here nothing is mended, so what the rules
//! judge is what every server behind the door must read.

/// Bytes of a head at most.
pub(crate) const LONGEST_HEAD: usize = 32 << 10;
/// Fields of a head at most.
pub(super) const MOST_FIELDS: usize = 100;

/// Why a message is not in the one accepted form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedHead {
    /// The first line.
    #[error("the request line is not `METHOD target HTTP/1.1`")]
    RequestLine,
    /// A line does not end in CR LF, or has a control character in it.
    #[error("a line of the head does not end in CR LF, or has a control character in it")]
    Line,
    /// A field.
    #[error(
        "a header field is folded, or its name has characters that names have not (or `_`, which some servers take for `-`)"
    )]
    Field,
    /// More than fits.
    #[error("the head is longer than {LONGEST_HEAD} bytes or has more than {MOST_FIELDS} fields")]
    Long,
    /// The length of the body can be read in two ways.
    #[error(
        "the body's length is ambiguous: there must be one plain Content-Length, or `Transfer-Encoding: chunked` without it"
    )]
    Framing,
    /// No `Host`, or several.
    #[error("there must be exactly one Host field")]
    Host,
    /// A chunk.
    #[error("the body's chunks are malformed, or have extensions or trailers, which are not for here")]
    Chunk,
    /// Bytes behind a request to change the protocol, before it was answered.
    #[error("bytes were sent in another protocol before the change to it was agreed on")]
    Early,
}

/// How the body of a request is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By its length; none is 0.
    Length(u64),
    /// By chunks.
    Chunked,
}

/// A head, as far as the door must know it before a library reads it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a str,
    /// The target as it stands.
    pub target: &'a str,
    /// The one `Host` field, without which only CONNECT may be.
    pub host: Option<&'a str>,
    /// The body.
    pub framing: Framing,
    /// Whether it asks to change the protocol.
    pub upgrade: bool,
    /// Bytes that it takes, the empty line included.
    pub length: usize,
}

/// Reads a head from the beginning of `bytes`; `None` when its end is not there yet.
///
/// # Errors
/// When it is not in the one accepted form, as soon as that can be told.
pub fn read_head(bytes: &[u8]) -> Result<Option<Head<'_>>, MalformedHead> {
    let mut lines = Lines { bytes, at: 0 };
    let Some(first) = lines.next_line()? else { return Ok(None) };
    let (method, target, minor) = request_line(first)?;
    let mut fields = Fields::default();
    loop {
        match lines.next_line()? {
            None => return Ok(None),
            Some([]) => break,
            Some(line) => fields.read(line)?,
        }
    }
    let framing = match (fields.length, fields.chunked) {
        (length, false) => Framing::Length(length.unwrap_or(0)),
        (None, true) if minor == 1 => Framing::Chunked,
        (_, true) => return Err(MalformedHead::Framing),
    };
    if fields.upgrade && framing != Framing::Length(0) {
        return Err(MalformedHead::Framing);
    }
    // Some programs open tunnels without it (RFC 2817, section 5.2, is older than the demand for it).
    if fields.host.is_none() && method != "CONNECT" {
        return Err(MalformedHead::Host);
    }
    Ok(Some(Head { method, target, host: fields.host, framing, upgrade: fields.upgrade, length: lines.at }))
}

struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    /// The next line without its end; `None` when that is not there yet.
    fn next_line(&mut self) -> Result<Option<&'a [u8]>, MalformedHead> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let control = rest.iter().position(|byte| byte.is_ascii_control() && *byte != b'\t');
        let Some(end) = control else {
            return if self.bytes.len() > LONGEST_HEAD { Err(MalformedHead::Long) } else { Ok(None) };
        };
        let (line, behind) = rest.split_at(end);
        match behind {
            [b'\r'] if self.at + end < LONGEST_HEAD => Ok(None),
            [b'\r', b'\n', ..] if self.at + end + 2 <= LONGEST_HEAD => {
                self.at += end + 2;
                Ok(Some(line))
            }
            [b'\r'] | [b'\r', b'\n', ..] => Err(MalformedHead::Long),
            _ => Err(MalformedHead::Line),
        }
    }
}

fn request_line(line: &[u8]) -> Result<(&str, &str, u8), MalformedHead> {
    let line = std::str::from_utf8(line).map_err(|_| MalformedHead::RequestLine)?;
    let mut parts = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(MalformedHead::RequestLine);
    };
    let minor = match version {
        "HTTP/1.1" => 1,
        "HTTP/1.0" => 0,
        _ => return Err(MalformedHead::RequestLine),
    };
    let good_method =
        (1..=16).contains(&method.len()) && method.bytes().all(|byte| byte.is_ascii_uppercase());
    // A fragment is never sent; libraries drop it in silence.
    // What the library behind would not take is refused here, where the refusal is written down.
    let good_target = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
        && target.parse::<http::Uri>().is_ok();
    if good_method && good_target { Ok((method, target, minor)) } else { Err(MalformedHead::RequestLine) }
}

#[derive(Default)]
struct Fields<'a> {
    count: usize,
    length: Option<u64>,
    chunked: bool,
    host: Option<&'a str>,
    upgrade: bool,
}

impl<'a> Fields<'a> {
    fn read(&mut self, line: &'a [u8]) -> Result<(), MalformedHead> {
        self.count += 1;
        if self.count > MOST_FIELDS {
            return Err(MalformedHead::Long);
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(MalformedHead::Field)?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err(MalformedHead::Field);
        }
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        if is("content-length") {
            let length = decimal(value).ok_or(MalformedHead::Framing)?;
            if self.length.replace(length).is_some() {
                return Err(MalformedHead::Framing);
            }
        } else if is("transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(MalformedHead::Framing);
            }
            self.chunked = true;
        } else if is("host") {
            let host = std::str::from_utf8(value).map_err(|_| MalformedHead::Host)?;
            if self.host.replace(host).is_some() {
                return Err(MalformedHead::Host);
            }
        } else if is("upgrade") {
            self.upgrade = true;
        } else if name.contains(&b'_') {
            // The same as with `-`, to servers that hand fields on as variables (RFC 3875, section 4.1.18).
            return Err(MalformedHead::Field);
        }
        Ok(())
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Digits and nothing else.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    let plain = !text.is_empty() && text.len() <= 18 && text.iter().all(u8::is_ascii_digit);
    plain.then(|| text.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(fields: &str) -> String {
        format!("POST /a?b HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n")
    }

    #[test]
    fn a_plain_head_is_read_once_it_is_whole() {
        let text = with("Content-Length: 5\r\nX:\t y \r\n") + "hello";
        let head = read_head(text.as_bytes()).unwrap().unwrap();
        assert_eq!((head.method, head.target, head.host), ("POST", "/a?b", Some("a.example")));
        assert_eq!((head.framing, head.upgrade), (Framing::Length(5), false));
        assert_eq!(head.length, text.len() - 5);
        for end in 0..head.length {
            assert_eq!(read_head(&text.as_bytes()[..end]), Ok(None), "{end}");
        }
        let chunked = with("Transfer-Encoding: Chunked\r\n");
        assert_eq!(read_head(chunked.as_bytes()).unwrap().unwrap().framing, Framing::Chunked);
    }

    #[test]
    fn whatever_two_servers_could_read_differently_is_refused() {
        use MalformedHead::{Field, Framing, Host, Line, RequestLine};
        let cases = [
            (with("Content-Length: 5\r\nContent-Length: 5\r\n"), Framing),
            (with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), Framing),
            (with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), Framing),
            (with("Transfer-Encoding: gzip, chunked\r\n"), Framing),
            (with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), Framing),
            (with("Transfer-Encoding: identity\r\n"), Framing),
            (with("Transfer-Encoding: \x0bchunked\r\n"), Line),
            (with("Transfer_Encoding: chunked\r\n"), Field),
            (with("Content-Length: +5\r\n"), Framing),
            (with("Content-Length: 5, 5\r\n"), Framing),
            (with("Content-Length: 0x5\r\n"), Framing),
            (with("Content-Length: \r\n"), Framing),
            (with("Content-Length: 9999999999999999999\r\n"), Framing),
            (with("Content-Length : 5\r\n"), Field),
            (with(" Content-Length: 5\r\n"), Field),
            (with("X: a\r\n b: c\r\n"), Field),
            (with("X\r\n"), Field),
            (with("X y: z\r\n"), Field),
            (with(": z\r\n"), Field),
            (with("X: a\nY: b\r\n"), Line),
            (with("X: a\rY: b\r\n"), Line),
            (with("X: a\0\r\n"), Line),
            (with("Host: b.example\r\n"), Host),
            (with("Upgrade: websocket\r\nContent-Length: 1\r\n"), Framing),
            ("GET / HTTP/1.1\r\n\r\n".into(), Host),
            ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), RequestLine),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n".into(), RequestLine),
            ("GET /\tx HTTP/1.1\r\nHost: a\r\n\r\n".into(), RequestLine),
            ("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n".into(), RequestLine),
            ("GET \\\\b\\a HTTP/1.1\r\nHost: a\r\n\r\n".into(), RequestLine),
            ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n".into(), RequestLine),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".into(), RequestLine),
            ("get / HTTP/1.1\r\nHost: a\r\n\r\n".into(), RequestLine),
            ("GET /\r\n\r\n".into(), RequestLine),
            ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".into(), Framing),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), RequestLine),
        ];
        for (text, problem) in cases {
            assert_eq!(read_head(text.as_bytes()), Err(problem), "{text:?}");
        }
    }

    #[test]
    fn endless_heads_end() {
        let many = with(&"X: y\r\n".repeat(MOST_FIELDS));
        assert_eq!(read_head(many.as_bytes()), Err(MalformedHead::Long));
        let long = format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(LONGEST_HEAD));
        assert_eq!(read_head(long.as_bytes()), Err(MalformedHead::Long));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            read_head(&bytes).ok();
        }

        /// What is accepted means the same to the parser that reads it next.
        #[test]
        fn accepted_heads_mean_the_same_to_others(
            fields in prop::collection::vec("(Content-Length|Transfer-Encoding|X|Upgrade): ?(chunked|[0-9]{1,3}|a b)?", 0..4)
        ) {
            let text = with(&fields.iter().map(|field| format!("{field}\r\n")).collect::<String>());
            if let Ok(Some(head)) = read_head(text.as_bytes()) {
                let lengths = fields.iter().filter(|field| field.starts_with("Content-Length")).count();
                let codings = fields.iter().filter(|field| field.starts_with("Transfer-Encoding")).count();
                prop_assert!(lengths + codings <= 1);
                prop_assert_eq!(codings == 1, head.framing == Framing::Chunked);
            }
        }
    }
}
