//! What runs in a process of its own: this test binary again, told by its environment what to do.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    time::Duration,
};

use cofferdam_domain::{Seq, SessionId, Timestamp};
use cofferdam_store::{SqliteStore, Store as _, StoreError, Writer};
use futures_util::StreamExt as _;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use crate::{
    events::{message, say},
    intake,
    queue::shares,
};

const ROLE: &str = "STORE_TEST_ROLE";
const FOLDER: &str = "STORE_TEST_FOLDER";
const SESSION: &str = "STORE_TEST_SESSION";

/// A process with a role, killed when it is dropped. What it reports comes line by line.
pub(crate) struct Process {
    child: Child,
    reports: std::io::Lines<BufReader<ChildStderr>>,
}

impl Process {
    pub(crate) fn start(role: &str, folder: &Path, session: SessionId) -> Self {
        let mut child = command(role, folder, session).stderr(Stdio::piped()).spawn().unwrap();
        let reports = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, reports }
    }

    /// The next report that starts with `word`, without it; `None` when the process has ended.
    pub(crate) fn report(&mut self, word: &str) -> Option<String> {
        let found = self.reports.by_ref().map_while(Result::ok).find(|line| {
            assert!(!line.contains("panicked"), "the process failed: {line}");
            line.starts_with(word)
        });
        found.map(|line| line[word.len()..].trim().to_owned())
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop((self.child.kill(), self.child.wait()));
    }
}

/// This test binary, set to run [`role`] alone.
pub(crate) fn command(role: &str, folder: &Path, session: SessionId) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child::role", "--ignored", "--nocapture"])
        .env(ROLE, role)
        .env(FOLDER, folder)
        .env(SESSION, session.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

#[tokio::test]
#[ignore = "other tests run this in processes of its own"]
async fn role() {
    let Ok(role) = std::env::var(ROLE) else {
        eprintln!("SKIPPED: other tests run this in processes of its own");
        return;
    };
    // Nothing is left running when a test ends in whatever way.
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    let folder = std::env::var_os(FOLDER).unwrap();
    let session = std::env::var(SESSION).unwrap().parse().unwrap();
    let patience = match role.as_str() {
        "work" => Some(Duration::from_millis(600)),
        "work for an hour" => Some(Duration::from_secs(3600)),
        _ => None,
    };
    if let Some(patience) = patience {
        return work(folder.to_str().unwrap(), patience).await;
    }
    let address = folder.to_str().unwrap();
    match role.as_str() {
        "arrive" => return intake::send(&*cofferdam_store::open(address).await.unwrap()).await,
        "take an arrival" => return intake::hold(&*cofferdam_store::open(address).await.unwrap()).await,
        _ => {}
    }
    let store = SqliteStore::open(Path::new(&folder)).await.unwrap();
    match role.as_str() {
        "append" => append(&store, session, u64::MAX).await,
        "append 100" => append(&store, session, 100).await,
        "claim" => {
            let claim = store.claim(session, "the child").await.unwrap();
            tell(&format!("claimed {}", claim.fence));
            std::future::pending::<()>().await;
        }
        "follow" => {
            let mut events = store.follow(session, Seq::START).await.unwrap();
            while let Some(event) = events.next().await {
                tell(&format!("seen {}", event.unwrap().hash));
            }
        }
        "fill" => crate::full::fill(&store, Path::new(&folder), session).await,
        _ => panic!("there is no role {role}"),
    }
}

/// Takes a session from the queue of the store at this address and writes to it until that is refused.
async fn work(address: &str, patience: Duration) {
    let store = cofferdam_store::open(address).await.unwrap();
    let presence = store.enter("the child", patience).await.unwrap();
    let taken = store.next(&presence, shares(9)).await.unwrap().unwrap();
    let mut last = store.session(None, taken.claim.session).await.unwrap().unwrap().last;
    tell(&format!("taken {}", taken.claim.fence));
    let refusal = loop {
        let writer = Writer::Worker { claim: &taken.claim, after: last };
        match store.append(taken.claim.session, writer, Timestamp(1), vec![message("at work")]).await {
            Ok(events) => {
                last = events[0].seq;
                tell("written");
            }
            Err(StoreError::Behind { last: seen, .. }) => last = Seq(seen),
            Err(error) => break error,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    tell(&format!("refused {refusal:?}"));
    let mut lost = presence.lost.clone();
    lost.wait_for(|lost| *lost).await.unwrap();
    tell("lost");
}

/// Appends and reports each event once it is acknowledged.
async fn append(store: &SqliteStore, session: SessionId, count: u64) {
    for number in 0..count {
        let event = say(store, session, &format!("{} {number}", std::process::id())).await;
        tell(&format!("acknowledged {} {}", event.seq.0, event.hash));
    }
}

/// Reports a line to the test that started the process. Standard output belongs to the test harness.
#[expect(clippy::print_stderr, reason = "it is the way to whoever started the process")]
pub(crate) fn tell(line: &str) {
    eprintln!("{line}");
}
