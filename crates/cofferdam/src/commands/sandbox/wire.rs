//! What is said over the control socket of a kept sandbox: frames, and the messages in them.
//!
//! A frame is a byte for its kind (`m` for a message as JSON, `d` for bytes of a stream), its length as four bytes, the first the highest,
//! and so many bytes. A connection is for one request; while a command runs, bytes go both ways. Both ends are this program and of the same
//! user, which each of them checks; still nothing is read without a bound.

use std::io;

use cofferdam_domain::SandboxId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Bytes of a message.
const MESSAGE: usize = 1 << 20;
/// Bytes of a stream in one frame.
pub(super) const PIECE: usize = 64 << 10;
/// Bytes before the content of a frame.
const HEADER: usize = 5;

/// What a person asks of a kept sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Request {
    /// How it is.
    Look,
    /// To run a command.
    Exec(Exec),
    /// To stop all of its processes.
    Freeze,
    /// To let them go on.
    Thaw,
    /// To keep its files as they are.
    Snapshot {
        /// How people call it.
        name: Option<String>,
    },
    /// To go back to a snapshot.
    RollBack {
        /// Its id.
        snapshot: String,
    },
    /// To end, with everything that it has.
    Destroy,
}

/// A command to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exec {
    /// Program and arguments.
    pub(super) command: Vec<String>,
    /// Whether it runs as root of the sandbox.
    pub(super) root: bool,
    /// Its terminal, if it has one.
    pub(super) terminal: Option<Size>,
    /// After so many seconds it is killed.
    pub(super) timeout: Option<u64>,
}

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Size {
    /// Characters in a line.
    pub(super) columns: u16,
    /// Lines.
    pub(super) rows: u16,
}

/// What is said of a running command, beside its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Meanwhile {
    /// The terminal has this size now.
    Resized(Size),
    /// There is no more input.
    InputEnded,
}

/// What is answered. While a command runs, its output comes before that, as bytes of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Answer {
    /// How it is.
    Seen(Seen),
    /// How the command ended.
    Ended(Ended),
    /// The snapshot's id.
    Snapshot(String),
    /// It is done.
    Done,
    /// It cannot be done, for this reason.
    Refused(String),
}

/// How a kept sandbox is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seen {
    /// Which it is.
    pub(super) id: SandboxId,
    /// Whether its processes are stopped.
    pub(super) frozen: bool,
    /// Why, if nobody asked for it.
    pub(super) reason: Option<String>,
    /// How many commands people have running in it.
    pub(super) commands: u32,
    /// The isolation in force.
    pub(super) level: String,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ended {
    /// Its status, as shells report it.
    pub(super) status: u8,
    /// What is to be told of it: limits that it reached, what the egress door refused meanwhile.
    pub(super) notes: Vec<String>,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// A message, not yet understood.
    Message(Vec<u8>),
    /// Bytes of a stream.
    Bytes(Vec<u8>),
}

impl Frame {
    /// The message in it.
    pub(super) fn message<T: DeserializeOwned>(&self) -> io::Result<T> {
        match self {
            Self::Message(text) => serde_json::from_slice(text).map_err(invalid),
            Self::Bytes(_) => Err(invalid("there are bytes where a message belongs")),
        }
    }
}

/// Reads a frame; `None` at the end.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut header = [0; HEADER];
    if from.read(&mut header[..1]).await? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut header[1..]).await?;
    let [kind, length @ ..] = header;
    let most = match kind {
        b'm' => MESSAGE,
        b'd' => PIECE,
        _ => return Err(invalid("there is no such kind of frame")),
    };
    let length = u32::from_be_bytes(length) as usize;
    if length > most {
        return Err(invalid("a frame is too long"));
    }
    let mut content = vec![0; length];
    from.read_exact(&mut content).await?;
    Ok(Some(if kind == b'm' { Frame::Message(content) } else { Frame::Bytes(content) }))
}

/// Writes a message.
pub(super) async fn send(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(message).map_err(invalid)?;
    if text.len() > MESSAGE {
        return Err(invalid(format!("a message has at most {MESSAGE} bytes, this one {}", text.len())));
    }
    write(to, b'm', &text).await
}

/// Writes bytes of a stream, in as many frames as they need; one without any if there are none.
pub(super) async fn send_bytes(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return write(to, b'd', bytes).await;
    }
    for piece in bytes.chunks(PIECE) {
        write(to, b'd', piece).await?;
    }
    Ok(())
}

async fn write(to: &mut (impl AsyncWrite + Unpin), kind: u8, content: &[u8]) -> io::Result<()> {
    let length = u32::try_from(content.len()).map_err(invalid)?;
    let mut frame = Vec::with_capacity(HEADER + content.len());
    frame.push(kind);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(content);
    to.write_all(&frame).await
}

fn invalid(problem: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn what_is_sent_is_what_is_read() {
        let exec =
            Exec { command: vec!["sh".into(), "ü\n".into()], root: true, terminal: None, timeout: Some(3) };
        let long = vec![7; PIECE + 1];
        now(async {
            let mut line = Vec::new();
            send(&mut line, &Request::Exec(exec.clone())).await.unwrap();
            send_bytes(&mut line, &long).await.unwrap();
            send(&mut line, &Answer::Done).await.unwrap();
            let mut from = line.as_slice();
            let request: Request = read(&mut from).await.unwrap().unwrap().message().unwrap();
            assert_eq!(request, Request::Exec(exec));
            assert_eq!(read(&mut from).await.unwrap(), Some(Frame::Bytes(vec![7; PIECE])));
            assert_eq!(read(&mut from).await.unwrap(), Some(Frame::Bytes(vec![7])));
            let done = read(&mut from).await.unwrap().unwrap();
            assert_eq!(done.message::<Answer>().unwrap(), Answer::Done);
            assert!(done.message::<Request>().is_err());
            assert_eq!(read(&mut from).await.unwrap(), None);
        });
    }

    #[test]
    fn what_is_too_long_is_neither_sent_nor_read() {
        now(async {
            let command = vec!["x".repeat(MESSAGE)];
            let exec = Request::Exec(Exec { command, root: false, terminal: None, timeout: None });
            let mut line = Vec::new();
            assert!(send(&mut line, &exec).await.is_err() && line.is_empty());
            for header in [*b"m\x00\x10\x00\x01", *b"d\x00\x01\x00\x01", *b"d\xff\xff\xff\xff", *b"x\0\0\0\0"]
            {
                let sent = [header.as_slice(), &[b' '; 100]].concat();
                assert_eq!(read(&mut sent.as_slice()).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
            }
            for cut in 1..HEADER + 2 {
                let sent = &b"m\0\0\0\x02{}"[..cut];
                assert_eq!(read(&mut &*sent).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            }
        });
    }

    #[test]
    fn messages_are_taken_strictly() {
        for text in [
            r#"{"exec":{"command":["a"],"root":false,"terminal":null,"timeout":null,"more":1}}"#,
            r#"{"exec":{"command":["a"]}}"#,
            r#""explode""#,
            r#"{"look":{}}"#,
            r#""look" "look""#,
            "",
        ] {
            assert!(Frame::Message(text.into()).message::<Request>().is_err(), "{text}");
        }
        assert_eq!(Frame::Message(br#""look""#.to_vec()).message::<Request>().unwrap(), Request::Look);
    }

    proptest! {
        #[test]
        fn anything_at_all_is_read_within_bounds(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            now(async {
                let mut from = bytes.as_slice();
                while let Ok(Some(frame)) = read(&mut from).await {
                    drop(frame.message::<Request>());
                    drop(frame.message::<Answer>());
                }
            });
        }
    }
}
