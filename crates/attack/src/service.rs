//! The service of a world: started as people start it, asked over plain HTTP by whoever has a token, a cookie, or nothing.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    net::TcpStream,
    os::unix::process::CommandExt as _,
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{
    problem::{Problem, Result},
    waiting::wait_for,
    world::World,
};

/// Longer than it may take to start, to answer, and to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is read of an answer.
const MOST: u64 = 16 << 20;

/// A service that runs. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    /// `127.0.0.1:4711`.
    host: String,
    /// The way in for its first admin, once.
    link: String,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asker<'a> {
    Nobody,
    Token(&'a str),
    Cookie(&'a str),
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The head in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Service {
    /// Starts the service on the world's data.
    pub(crate) fn start(world: &World) -> Result<Self> {
        let mut command = world.command(&["up", "--listen", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(Problem::at("cofferdam up"))?;
        let (heard, lines) = channel();
        let streams: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|stream| Box::new(stream) as _),
            child.stderr.take().map(|stream| Box::new(stream) as _),
        ];
        for stream in streams.into_iter().flatten() {
            let heard = heard.clone();
            // Whoever listens no more need not be told.
            thread::spawn(move || {
                BufReader::new(stream)
                    .lines()
                    .map_while(std::result::Result::ok)
                    .for_each(|line| drop(heard.send(line)));
            });
        }
        let mut service = Self { child, host: String::new(), link: String::new() };
        let deadline = Instant::now() + PATIENCE;
        let line = until(&lines, "listening on ", deadline)?;
        service.host = line.rsplit("http://").next().unwrap_or_default().trim().to_owned();
        let link = until(&lines, "/sign-in/", deadline)?;
        let start = link.find("/sign-in/").unwrap_or_default();
        service.link = link[start..].split_whitespace().next().unwrap_or_default().to_owned();
        thread::spawn(move || lines.into_iter().for_each(drop));
        Ok(service)
    }

    /// Kills it, with what it has started, as a crash does.
    pub(crate) fn kill(mut self) {
        kill_process_group(Pid::from_child(&self.child), Signal::KILL).ok();
        wait_for(&mut self.child, PATIENCE).ok();
    }

    /// A token for a user of an organisation.
    pub(crate) fn token(world: &World, user: &str, org: &str) -> Result<String> {
        let made = world.ok(&["admin", "token", user, "--rank", "admin", "--org", org])?;
        Ok(made.stdout.trim().to_owned())
    }

    /// Signs a browser in, as the first admin. Gives its cookie.
    pub(crate) fn sign_in(&self) -> Result<String> {
        let answer = self.ask(Asker::Nobody, "POST", &self.link, b"")?;
        let cookie = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        let cookie = cookie.and_then(|cookie| cookie.split(';').next());
        cookie.map(str::to_owned).ok_or_else(|| Problem::Broken(format!("nobody can sign in: {answer:?}")))
    }

    /// Asks for something.
    pub(crate) fn ask(&self, asker: Asker<'_>, method: &str, path: &str, body: &[u8]) -> Result<Answer> {
        let who = match asker {
            Asker::Nobody => String::new(),
            Asker::Token(token) => format!("authorization: Bearer {token}\r\n"),
            Asker::Cookie(cookie) => format!("cookie: {cookie}\r\n"),
        };
        let host = &self.host;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\n{who}origin: http://{host}\r\nsec-fetch-site: same-origin\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.send(&[head.as_bytes(), body].concat())
    }

    /// Sends these bytes, and reads what is answered. A server that has heard enough may answer and close before it has heard all.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<Answer> {
        let at = || Problem::at(format!("http://{}", self.host));
        let mut stream = TcpStream::connect(&self.host).map_err(at())?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(at())?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(at())?;
        let sent = stream.write_all(bytes);
        let mut answer = Vec::new();
        let read = Read::by_ref(&mut stream).take(MOST).read_to_end(&mut answer);
        if answer.is_empty() {
            sent.and(read.map(drop)).map_err(at())?;
        }
        let text = String::from_utf8_lossy(&answer);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Ok(Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // It ends by itself when it is asked to, and otherwise with its group.
        kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
        wait_for(&mut self.child, PATIENCE).ok();
    }
}

fn until(lines: &Receiver<String>, wanted: &str, deadline: Instant) -> Result<String> {
    let mut said = Vec::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) if line.contains(wanted) => return Ok(line),
            Ok(line) => said.push(line),
            Err(_) => return Err(Problem::Broken(format!("the service does not start: {said:?}"))),
        }
    }
}
