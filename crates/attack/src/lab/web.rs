//! The lab's web server (RFC 9112): hosts that are allowed, hosts that are not, and what both are told.
//!
//! What a host does follows from the path, so that every name can do everything: `…/echo` gives the request back, `…/to/SCHEME/REST` redirects, `/ws`
//! becomes a WebSocket that echoes, `…/bomb` hardly ends, `…/pkg/NAME` is a package registry in the layout that npm reads. Whatever is
//! answered begins with [`REACHED`].

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{Server, Visits};

/// What every answer of the lab has in it: a program that sees this has been somewhere.
pub(crate) const REACHED: &str = "LAB-REACHED";

const MOST_HEAD: usize = 64 << 10;
const MOST_BODY: usize = 4 << 20;
/// The answer to the key of RFC 6455, section 1.3, which is the one that the probe sends.
const WEB_SOCKET_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// One request as it came.
struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Answers requests until the other side has none. `name` is the one that TLS was asked for.
pub(super) async fn serve<S>(mut stream: S, at: Server, name: &str, visits: &Visits) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = Vec::new();
    loop {
        let request = match read(&mut stream, &mut buffer).await {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) => {
                visits.note(at, name, &buffer);
                return Err(error);
            }
        };
        let host = request.header("host").unwrap_or(name).split(':').next().unwrap_or_default().to_owned();
        visits.note(at, &host, &[request.head.as_bytes(), &request.body].concat());
        if request.path() == "/ws" {
            return web_socket(stream, at, &host, visits, buffer).await;
        }
        if request.path().ends_with("/bomb") {
            return bomb(stream).await;
        }
        let answer = answer(&request, &host);
        stream.write_all(&answer).await?;
        stream.flush().await?;
    }
}

/// The next request; `buffer` holds what was read beyond it.
async fn read<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let end = loop {
        if let Some(end) = position(buffer, b"\r\n\r\n") {
            break end + 4;
        }
        if buffer.len() > MOST_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if stream.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    };
    let rest = buffer.split_off(end);
    let head = String::from_utf8_lossy(buffer).into_owned();
    *buffer = rest;
    let mut request = Request { head, body: Vec::new() };
    let chunked = request.header("transfer-encoding").is_some_and(|value| value.contains("chunked"));
    let length = request.header("content-length").and_then(|value| value.parse::<usize>().ok()).unwrap_or(0);
    loop {
        let whole = if chunked { position(buffer, b"0\r\n\r\n").map(|end| end + 5) } else { Some(length) };
        match whole {
            Some(whole) if buffer.len() >= whole => {
                let rest = buffer.split_off(whole);
                request.body = std::mem::replace(buffer, rest);
                return Ok(Some(request));
            }
            _ if buffer.len() > MOST_BODY => return Err(io::ErrorKind::InvalidData.into()),
            _ => {}
        }
        if stream.read_buf(buffer).await? == 0 {
            request.body = std::mem::take(buffer);
            return Ok(Some(request));
        }
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn answer(request: &Request, host: &str) -> Vec<u8> {
    let path = request.path();
    let reached = format!("{REACHED} {host}\n");
    let (status, kind, more, body) = if let Some((_, target)) = path.split_once("/to/") {
        let url = target.replacen('/', "://", 1);
        ("302 Found", "text/plain", format!("location: {url}\r\n"), reached)
    } else if path.contains("/echo") {
        (
            "200 OK",
            "text/plain",
            String::new(),
            reached + &request.head + &String::from_utf8_lossy(&request.body),
        )
    } else if let Some((_, name)) = path.split_once("/pkg/") {
        ("200 OK", "application/json", String::new(), package(name, host))
    } else {
        ("200 OK", "text/plain", String::new(), reached)
    };
    let body = body.into_bytes();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{more}content-length: {}\r\n\r\n", body.len());
    let body = if request.head.starts_with("HEAD ") { Vec::new() } else { body };
    [head.into_bytes(), body].concat()
}

/// A package's page with a version from long ago and one from a moment ago.
fn package(name: &str, host: &str) -> String {
    let now = jiff::Timestamp::now().to_string();
    let version = |version: &str| {
        serde_json::json!({ "name": name, "version": version,
            "dist": { "tarball": format!("https://{host}/pkg/{name}/-/{name}-{version}.tgz") } })
    };
    serde_json::json!({
        "name": name,
        "dist-tags": { "latest": "2.0.0" },
        "versions": { "1.0.0": version("1.0.0"), "2.0.0": version("2.0.0") },
        "time": { "1.0.0": "2015-01-01T00:00:00.000Z", "2.0.0": now },
    })
    .to_string()
}

async fn web_socket<S>(
    mut stream: S,
    at: Server,
    host: &str,
    visits: &Visits,
    mut seen: Vec<u8>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {WEB_SOCKET_ACCEPT}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&seen).await?;
    while seen.len() < MOST_BODY {
        let before = seen.len();
        let read = stream.read_buf(&mut seen).await;
        visits.note(at, host, &seen);
        if read? == 0 {
            break;
        }
        stream.write_all(&seen[before..]).await?;
    }
    Ok(())
}

/// More than anybody wants: a gigabyte, if it is taken.
async fn bomb<S: AsyncWrite + Unpin>(mut stream: S) -> io::Result<()> {
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n")
        .await?;
    let piece = [b"10000\r\n".as_slice(), &[b'x'; 0x1_0000], b"\r\n"].concat();
    for _ in 0..16_384 {
        stream.write_all(&piece).await?;
    }
    stream.write_all(b"0\r\n\r\n").await
}
