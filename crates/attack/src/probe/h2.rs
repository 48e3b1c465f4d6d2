//! A try over HTTP/2 (RFC 9113), with whatever pseudo-headers are wanted.

use std::io::{Read as _, Write as _};

use super::{
    Options, Outcome, shown,
    web::{self, Url},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACKNOWLEDGE: u8 = 1;

/// A request to the target; `--authority`, `--header name: value` and `--send` (a body) are sent as given.
pub(super) fn request(options: &Options) -> Outcome {
    let url = Url::parse(&options.target)?;
    let mut stream = web::open(options, &url, b"h2")?;
    let authority = options.get("authority").map_or_else(|| url.authority(), str::to_owned);
    let method = options.get("method").unwrap_or("GET");
    let mut block = Vec::new();
    for (name, value) in [
        (":method", method),
        (":scheme", if url.encrypted { "https" } else { "http" }),
        (":authority", &authority),
        (":path", &url.path),
    ] {
        literal(&mut block, name, value)?;
    }
    for header in options.all("header") {
        let (name, value) = header.split_once(": ").ok_or("a header is `name: value`")?;
        literal(&mut block, name, value)?;
    }
    let body = options.get("send").unwrap_or_default();
    let end = if body.is_empty() { END_STREAM } else { 0 };
    let mut bytes = PREFACE.to_vec();
    frame(&mut bytes, SETTINGS, 0, 0, &[]);
    frame(&mut bytes, HEADERS, END_HEADERS | end, 1, &block);
    if !body.is_empty() {
        frame(&mut bytes, DATA, END_STREAM, 1, body.as_bytes());
    }
    stream.write_all(&bytes)?;
    stream.flush()?;
    let mut told = Vec::new();
    loop {
        let mut head = [0; 9];
        if let Err(error) = stream.read_exact(&mut head) {
            return Ok(format!("CLOSED {error} {}", shown(&told)));
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length)?];
        stream.read_exact(&mut payload)?;
        match head[3] {
            SETTINGS if head[4] & ACKNOWLEDGE == 0 => {
                let mut answer = Vec::new();
                frame(&mut answer, SETTINGS, ACKNOWLEDGE, 0, &[]);
                stream.write_all(&answer)?;
                stream.flush()?;
            }
            RESET => return Ok(format!("RESET {payload:?}")),
            GO_AWAY => return Ok(format!("GOAWAY {}", shown(&payload))),
            DATA => told.extend_from_slice(&payload),
            _ => {}
        }
        if (head[3] == DATA || head[3] == HEADERS) && head[4] & END_STREAM != 0 {
            return Ok(format!("ANSWERED {}", shown(&told)));
        }
    }
}

/// A header as itself, without compression (RFC 7541, section 6.2.2).
fn literal(block: &mut Vec<u8>, name: &str, value: &str) -> Result<(), Box<dyn std::error::Error>> {
    block.push(0);
    for text in [name, value] {
        // Longer ones would need a second byte.
        block.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).ok_or("too long a header")?);
        block.extend_from_slice(text.as_bytes());
    }
    Ok(())
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    bytes.extend_from_slice(&length[1..]);
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}
