//! How much of everything a client may have.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cofferdam_domain::UserId;

use crate::problem::{Kind, Problem};

/// Limits on what all clients and each of them may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// How long a client may take to send a request's head, and to begin another one on the same connection.
    pub head_time: Duration,
    /// How long it may take to send a request's body.
    pub body_time: Duration,
    /// How long the server may take for an answer, up to its first byte.
    pub answer_time: Duration,
    /// How long an OpenID provider may take for one answer.
    pub provider_time: Duration,
    /// How often a live stream says that it is there, and looks whether its reader may still read.
    pub heartbeat: Duration,
    /// Live streams of one user at once.
    pub streams: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            head_time: Duration::from_secs(20),
            body_time: Duration::from_secs(20),
            answer_time: Duration::from_secs(60),
            provider_time: Duration::from_secs(8),
            heartbeat: Duration::from_secs(15),
            streams: 64,
        }
    }
}

/// The longest body of a request, in bytes: a prompt of the longest kind, written with many escapes.
pub(crate) const MAX_BODY: usize = 2 << 20;
/// The most bytes of something that is posted by another program: GitHub sends none above 25 MB.
pub(crate) const MAX_POSTED: usize = 25 << 20;
/// Bytes of what is posted that are held at once, of all who post together, and how long it is waited for room among them.
pub(crate) const POSTED_AT_ONCE: usize = 96 << 20;
pub(crate) const HOOK_WAIT: Duration = Duration::from_secs(5);
/// The most bytes that a request's head may have.
pub(crate) const MAX_HEAD: usize = 64 << 10;
/// The most header fields.
pub(crate) const MAX_FIELDS: usize = 96;

/// Who has how many live streams.
#[derive(Debug, Clone, Default)]
pub(crate) struct Streams(Arc<Mutex<HashMap<UserId, usize>>>);

impl Streams {
    /// Opens one more for this user. It counts until the value is dropped.
    pub(crate) fn open(&self, user: UserId, most: usize) -> Result<Stream, Problem> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(user).or_default();
        if *count >= most {
            return Err(Problem::new(
                Kind::TooMany,
                format!("you have {most} live streams open already: close some of them"),
            ));
        }
        *count += 1;
        Ok(Stream { all: self.clone(), user })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

/// An open live stream.
#[derive(Debug)]
pub(crate) struct Stream {
    all: Streams,
    user: UserId,
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut open = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_counted_for_each_user() {
        let streams = Streams::default();
        let (ann, bob) = (UserId::from_u128(1), UserId::from_u128(2));
        let first = streams.open(ann, 1).unwrap();
        assert_eq!(streams.open(ann, 1).unwrap_err().kind, Kind::TooMany);
        let other = streams.open(bob, 1).unwrap();
        assert_eq!(streams.count(), 2);
        drop(first);
        drop(streams.open(ann, 1).unwrap());
        drop(other);
        assert_eq!(streams.count(), 0);
    }
}
