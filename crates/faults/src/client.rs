//! Somebody who asks over HTTP and does not give up: the same request under the same key until it is answered.

use std::{
    io::{self, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use cofferdam_domain::SessionId;
use serde_json::Value;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long the answer may take.
const ANSWER: Duration = Duration::from_secs(40);
/// Before the same is asked again.
const PAUSE: Duration = Duration::from_millis(150);
/// So long it may take until a task is accepted, whatever happens to the service meanwhile.
const GIVES_UP: Duration = Duration::from_secs(180);

/// Asks the server, wherever it is by now.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    place: Arc<Mutex<String>>,
    token: String,
    again: Arc<AtomicU64>,
    /// What was said when something could not be done.
    refusals: Arc<Mutex<Vec<String>>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Client {
    pub(crate) fn new(token: String) -> Self {
        Self { place: Arc::default(), token, again: Arc::default(), refusals: Arc::default() }
    }

    /// The server is at this address now.
    pub(crate) fn moves(&self, address: &str) {
        address
            .trim_start_matches("http://")
            .clone_into(&mut self.place.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// How often something had to be asked again.
    pub(crate) fn again(&self) -> u64 {
        self.again.load(Ordering::Relaxed)
    }

    /// What was said since the last time when something could not be done.
    pub(crate) fn refusals(&self) -> Vec<String> {
        std::mem::take(&mut *self.refusals.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has a task accepted; the session that it becomes.
    pub(crate) fn accept(&self, key: &str, task: &Value) -> Result<SessionId> {
        let body = task.to_string();
        let answer = self.insist("POST", "/sessions", Some(key), &body)?;
        ensure!(answer.status == 201, "a task is answered with {}: {}", answer.status, answer.body);
        session(&serde_json::from_str(&answer.body)?)
    }

    /// Reads something.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let answer = self.insist("GET", path, None, "")?;
        ensure!(answer.status == 200, "{path} is answered with {}: {}", answer.status, answer.body);
        Ok(serde_json::from_str(&answer.body)?)
    }

    /// All sessions that there are.
    pub(crate) fn sessions(&self) -> Result<Vec<Value>> {
        let mut sessions = Vec::new();
        let mut more = String::new();
        loop {
            let mut page = self.get(&format!("/sessions?limit=200{more}"))?;
            let rows =
                page["sessions"].as_array_mut().map(std::mem::take).context("a page without sessions")?;
            sessions.extend(rows);
            match page["next"].as_str() {
                Some(next) => more = format!("&cursor={next}"),
                None => return Ok(sessions),
            }
        }
    }

    /// Asks until there is an answer that says more than that it cannot be done now.
    fn insist(&self, method: &str, path: &str, key: Option<&str>, body: &str) -> Result<Answer> {
        let deadline = Instant::now() + GIVES_UP;
        loop {
            let seen = match self.ask(method, path, key, body) {
                Ok(answer) if answer.status < 500 && !matches!(answer.status, 409 | 429) => {
                    return Ok(answer);
                }
                Ok(answer) => {
                    let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
                    refusals.push(answer.body.clone());
                    format!("{}: {}", answer.status, answer.body)
                }
                Err(error) => error.to_string(),
            };
            if Instant::now() > deadline {
                bail!("{method} {path} has no answer for {GIVES_UP:?}; the last: {seen}");
            }
            self.again.fetch_add(1, Ordering::Relaxed);
            thread::sleep(PAUSE);
        }
    }

    /// Sends one request.
    fn ask(&self, method: &str, path: &str, key: Option<&str>, body: &str) -> io::Result<Answer> {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let address = place.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let mut stream = TcpStream::connect_timeout(&address, CONNECT)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        let key = key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
        let (token, length) = (&self.token, body.len());
        write!(
            stream,
            "{method} /api/v1{path} HTTP/1.1\r\nhost: {place}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
             {key}{kind}content-length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// A whole answer; one that was cut is none.
fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    (length? == body.len()).then(|| Answer { status, body: body.to_owned() })
}

/// The session that an answer is about.
pub(crate) fn session(answer: &Value) -> Result<SessionId> {
    let id = answer["id"].as_str().context("an answer without a session")?;
    Ok(id.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_cut_is_none() {
        let whole = "HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\n{\"a\"";
        assert_eq!(parse(whole).map(|answer| answer.status), Some(201));
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut]).is_none(), "{cut}");
        }
    }
}
