//! The least that asks an HTTP server: one connection that stays open, one request at a time, and streams of events.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    sync::mpsc::UnboundedSender,
};

/// The longest head or body that is read, in bytes.
const MOST: usize = 64 << 20;
/// How the first line of an answer begins that is no refusal.
const GOOD: &str = "http/1.1 2";

/// A connection of somebody's.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    host: String,
    token: String,
}

impl Client {
    pub(crate) async fn connect(address: &str, token: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), host: address.to_owned(), token: token.to_owned() })
    }

    /// Asks for a page or a list.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Vec<u8>> {
        self.ask("GET", path, "", "").await
    }

    /// The same, as JSON.
    pub(crate) async fn list(&mut self, path: &str) -> Result<Value> {
        Ok(serde_json::from_slice(&self.get(path).await?)?)
    }

    /// Gives a task; under a key if one is given. Gives the session's id.
    pub(crate) async fn accept(&mut self, task: &str, key: Option<usize>) -> Result<String> {
        let key = key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
        let answer = self.ask("POST", "/api/v1/sessions", &key, task).await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        Ok(answer["id"].as_str().context("the answer has no id")?.to_owned())
    }

    /// Posts something that is to be kept, with more headers.
    pub(crate) async fn post(&mut self, path: &str, headers: &str, body: &str) -> Result<()> {
        let length = usize::try_from(self.send("POST", path, headers, body, "http/1.1 202").await?)?;
        self.stream.read_exact(&mut vec![0; length.min(MOST)]).await?;
        Ok(())
    }

    async fn send(&mut self, method: &str, path: &str, more: &str, body: &str, good: &str) -> Result<u64> {
        let (host, token, length) = (&self.host, &self.token, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n{more}\r\n{body}"
        );
        self.stream.write_all(request.as_bytes()).await?;
        let (mut line, mut size, mut length) = (String::new(), 0, 0);
        let mut status = String::new();
        loop {
            line.clear();
            size += self.stream.read_line(&mut line).await?;
            ensure!(line.ends_with('\n') && size < MOST, "{method} {path}: the connection was closed");
            let lower = line.trim_end().to_ascii_lowercase();
            if status.is_empty() {
                status = lower;
            } else if lower.is_empty() {
                break;
            } else if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        if !status.starts_with(good) {
            let mut body = String::new();
            (&mut self.stream).take(length).read_to_string(&mut body).await?;
            anyhow::bail!("{method} {path}: {status}: {body}");
        }
        Ok(length)
    }

    async fn ask(&mut self, method: &str, path: &str, more: &str, body: &str) -> Result<Vec<u8>> {
        let length = usize::try_from(self.send(method, path, more, body, GOOD).await?)?;
        ensure!(length < MOST, "{method} {path}: an answer of {length} bytes");
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    /// Follows a stream of server-sent events, and tells when each is there, until nobody listens any more.
    pub(crate) async fn watch(mut self, path: String, heard: UnboundedSender<Instant>) -> Result<()> {
        self.send("GET", &path, "", "", GOOD).await?;
        tokio::spawn(async move {
            let mut line = Vec::new();
            while let Ok(1..) = self.stream.read_until(b'\n', &mut line).await {
                if line.starts_with(b"id: ") && heard.send(Instant::now()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        Ok(())
    }
}
