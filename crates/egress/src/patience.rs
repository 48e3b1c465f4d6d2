//! How long the door waits, for programs and for hosts.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// How long the door waits. Whoever takes longer has the connection closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For what a program says first on a connection.
    pub beginning: Duration,
    /// For the whole head of a request, and for the next request on a connection.
    pub head: Duration,
    /// For a connection to a host, its TLS included.
    pub connect: Duration,
    /// For the head of an answer, from the last byte of the request that the host took.
    pub answer: Duration,
    /// For the next bytes of anything that is under way.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            beginning: Duration::from_secs(10),
            head: Duration::from_secs(60),
            connect: Duration::from_secs(20),
            answer: Duration::from_mins(5),
            stall: Duration::from_mins(2),
        }
    }
}

/// Notices when something has not moved for too long. There is a timer only while somebody waits.
#[derive(Debug)]
pub(crate) struct Stall {
    patience: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Stall {
    pub(crate) const fn new(patience: Duration) -> Self {
        Self { patience, timer: None, waiting: false }
    }

    /// It has moved.
    pub(crate) const fn moved(&mut self) {
        self.waiting = false;
    }

    /// It has not moved: ready once that has lasted too long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let late = Instant::now() + self.patience;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(late)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(late);
        }
        timer.as_mut().poll(cx)
    }
}
