//! What comes in from a server, one JSON-RPC message a line, before anybody reads it: bounded in length, in how much it says, in number,
//! and in how much of it may be no message at all.

use std::{
    io,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use cofferdam_domain::structure::has_at_most;
use rmcp::{
    RoleClient,
    model::{ErrorCode, ErrorData, JsonRpcMessage, RequestId},
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::Transport,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::Mutex as AsyncMutex,
};

/// Bytes of one message: a picture of some megabytes in base64 fits.
pub(crate) const MAX_MESSAGE: usize = 8 << 20;
/// Things that one message says. A short text can be much in memory, which this bounds: to some tens of MiB.
const MAX_THINGS: usize = 200_000;
/// Messages between two of ours, progress and log messages included.
const MAX_MESSAGES: u64 = 5_000;
/// Bytes between two of ours.
const MAX_BYTES: u64 = 32 << 20;
/// Lines of a connection that may be no message: some programs greet their user.
const MAX_STRAY: u32 = 50;
/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// What a connection has been ended for, for whoever waits for an answer on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ending(Arc<Mutex<Option<String>>>);

impl Ending {
    pub(crate) fn set(&self, why: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why.into());
    }

    pub(crate) fn why(&self) -> String {
        let why = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        why.unwrap_or_else(|| "it closed the connection".to_owned())
    }
}

/// How much a server may send before it is asked something again.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Allowance {
    /// We send something: another answer is expected. What is only said back to it, or called off, earns it nothing.
    pub(crate) fn earn(&self, item: &TxJsonRpcMessage<RoleClient>) {
        if matches!(item, JsonRpcMessage::Request(_)) {
            self.messages.store(0, Ordering::Relaxed);
            self.bytes.store(0, Ordering::Relaxed);
        }
    }

    /// Takes a message of so many bytes; says what there was too much of.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), String> {
        let messages = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
        let length = u64::try_from(bytes).unwrap_or(u64::MAX);
        let all = self.bytes.fetch_add(length, Ordering::Relaxed).saturating_add(length);
        if messages > MAX_MESSAGES {
            return Err(format!("it sent more than {MAX_MESSAGES} messages that nobody had asked for"));
        }
        if all > MAX_BYTES {
            return Err(format!("it sent more than {} MiB that nobody had asked for", MAX_BYTES >> 20));
        }
        Ok(())
    }
}

/// A server at the other end of two streams.
pub(crate) struct Wire<R, W> {
    read: R,
    write: Arc<AsyncMutex<W>>,
    /// What has been read and was not a whole line when it was looked through last.
    rest: Vec<u8>,
    /// How much of that was taken line by line since.
    taken: usize,
    /// How far it has been looked through for the end of a line.
    searched: usize,
    stray: u32,
    allowance: Arc<Allowance>,
    ending: Ending,
}

impl<R, W> Wire<R, W> {
    pub(crate) fn new(read: R, write: W, ending: Ending) -> Self {
        let write = Arc::new(AsyncMutex::new(write));
        let (rest, allowance) = (Vec::new(), Arc::default());
        Self { read, write, rest, taken: 0, searched: 0, stray: 0, allowance, ending }
    }

    /// Where the next whole line of what has been read is.
    fn line(&mut self) -> Option<Range<usize>> {
        let unseen = self.rest.get(self.searched..).unwrap_or_default();
        let Some(end) = unseen.iter().position(|byte| *byte == b'\n') else {
            // All lines of a piece go at once: one by one, each would move all that comes after it.
            self.rest.drain(..std::mem::take(&mut self.taken));
            self.searched = self.rest.len();
            return None;
        };
        let line = self.taken..self.searched + end + 1;
        (self.taken, self.searched) = (line.end, line.end);
        Some(line)
    }

    /// What a line says; `Ok(None)` for one that is no message and does no harm.
    fn read_line(&mut self, line: Range<usize>) -> Result<Option<RxJsonRpcMessage<RoleClient>>, String> {
        // Lines with nothing on them have an end too.
        self.allowance.take(line.len())?;
        let line = self.rest.get(line).unwrap_or_default().trim_ascii();
        if line.is_empty() {
            return Ok(None);
        }
        if let Some(message) = understood(line) {
            return Ok(Some(message));
        }
        self.stray += 1;
        if self.stray > MAX_STRAY {
            return Err(format!(
                "more than {MAX_STRAY} lines of what it sent are no messages of the protocol"
            ));
        }
        Ok(None)
    }
}

/// A message; an answer that is none becomes an error to the same question, so that nobody waits for another one.
pub(crate) fn understood(bytes: &[u8]) -> Option<RxJsonRpcMessage<RoleClient>> {
    let wrong = if !has_at_most(bytes, MAX_THINGS) {
        "the answer says more things than are taken"
    } else {
        // serde_json nests 128 deep and no deeper.
        match serde_json::from_slice(bytes) {
            Ok(message) => return Some(message),
            Err(_) => "the answer is not of the protocol's form",
        }
    };
    let head: Head = serde_json::from_slice(bytes).ok()?;
    let answers = head.result.is_some() || head.error.is_some();
    let error = ErrorData::new(ErrorCode::PARSE_ERROR, wrong, None);
    Some(JsonRpcMessage::error(error, Some(head.id.filter(|_| answers)?)))
}

/// Which question is answered, whatever the answer is: no more of that is looked at than that it is there.
#[derive(Deserialize)]
struct Head<'a> {
    id: Option<RequestId>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl<R, W> Transport<RoleClient> for Wire<R, W>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        let (write, allowance) = (self.write.clone(), self.allowance.clone());
        async move {
            let mut line = serde_json::to_vec(&item)?;
            line.push(b'\n');
            allowance.earn(&item);
            let mut write = write.lock().await;
            write.write_all(&line).await?;
            write.flush().await
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        loop {
            while let Some(line) = self.line() {
                match self.read_line(line) {
                    Ok(Some(message)) => return Some(message),
                    Ok(None) => {}
                    Err(why) => {
                        self.ending.set(why);
                        return None;
                    }
                }
            }
            if self.rest.len() > MAX_MESSAGE {
                self.ending.set(format!("it sent a message of more than {} MiB", MAX_MESSAGE >> 20));
                return None;
            }
            // Whatever is dropped here has read nothing.
            let mut piece = vec![0; PIECE];
            match self.read.read(&mut piece).await {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.rest.extend_from_slice(piece.get(..length).unwrap_or_default()),
            }
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.write.lock().await.shutdown().await
    }
}
