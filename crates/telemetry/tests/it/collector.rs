//! A collector as far as HTTP goes: it takes requests, remembers what was in them, and answers as it is told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

/// How a request is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// With this status line, headers and body.
    Says(&'static str, Vec<u8>),
    /// With success and a body that never ends.
    Endless,
    /// Never.
    Silence,
}

pub(crate) fn ok() -> Reply {
    Reply::Says("200 OK", Vec::new())
}

#[derive(Default)]
struct Heard {
    /// How often each span was delivered and taken, by its id.
    spans: BTreeMap<Vec<u8>, usize>,
    heads: Vec<String>,
    replies: Vec<Reply>,
}

/// A collector on loopback.
pub(crate) struct Collector {
    pub(crate) address: String,
    heard: Arc<Mutex<Heard>>,
    news: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Collector {
    /// Answers the first requests so, and all others with success.
    pub(crate) async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Heard { replies, ..Heard::default() }));
        let news = Arc::new(Notify::new());
        let task = tokio::spawn({
            let (heard, news) = (heard.clone(), news.clone());
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, heard.clone(), news.clone()));
                }
            }
        });
        Self { address, heard, news, task }
    }

    /// The spans that it took, and how often each.
    pub(crate) fn spans(&self) -> BTreeMap<Vec<u8>, usize> {
        self.heard.lock().unwrap().spans.clone()
    }

    /// The heads of the requests.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heard.lock().unwrap().heads.clone()
    }

    /// Waits until it has heard so many requests.
    pub(crate) async fn requests(&self, count: usize) {
        while self.heads().len() < count {
            self.news.notified().await;
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, heard: Arc<Mutex<Heard>>, news: Arc<Notify>) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).ok()?.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let reply = {
            let mut heard = heard.lock().unwrap();
            heard.heads.push(head);
            let reply = if heard.replies.is_empty() { ok() } else { heard.replies.remove(0) };
            if matches!(&reply, Reply::Says(status, _) if status.starts_with("200"))
                || matches!(reply, Reply::Endless)
            {
                for span in spans(&body) {
                    *heard.spans.entry(span).or_default() += 1;
                }
            }
            reply
        };
        news.notify_one();
        match reply {
            Reply::Says(status, body) => {
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(&[head.as_bytes(), &body].concat()).await.ok()?;
            }
            Reply::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
                loop {
                    stream.write_all(&[b'x'; 4096]).await.ok()?;
                }
            }
            Reply::Silence => {
                // Until the client goes away.
                stream.read_u8().await.ok();
                return None;
            }
        }
    }
}

/// The fields of a protobuf message that are messages or bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut fields = Vec::new();
    let varint = |bytes: &mut &[u8]| {
        let mut value = 0_u64;
        for shift in (0..).step_by(7) {
            let (byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    };
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let length = match tag & 7 {
            0 => {
                varint(&mut bytes);
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)).unwrap(),
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = bytes.split_at(length);
        bytes = rest;
        if tag & 7 == 2 {
            fields.push((tag >> 3, value));
        }
    }
    fields
}

/// The ids of the spans in a request.
fn spans(request: &[u8]) -> Vec<Vec<u8>> {
    let within = |bytes: &[u8], number: u64| -> Vec<Vec<u8>> {
        fields(bytes)
            .into_iter()
            .filter(|(field, _)| *field == number)
            .map(|(_, value)| value.to_vec())
            .collect()
    };
    let mut ids = Vec::new();
    for resource_spans in within(request, 1) {
        for scope_spans in within(&resource_spans, 2) {
            for span in within(&scope_spans, 2) {
                ids.extend(within(&span, 2).into_iter().next());
            }
        }
    }
    ids
}
