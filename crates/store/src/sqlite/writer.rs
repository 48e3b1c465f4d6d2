//! The one connection that writes, and the task that owns it.
//!
//! Requests that wait while a transaction is on its way to the disk are carried out together in the next one,
//! so that many sessions at once share the cost of a flush. One that is refused writes nothing and does not
//! disturb the others; when the database itself fails, nothing of the transaction stays, and each request is
//! tried again alone, on a new connection.
//!
//! A request is carried out whether or not its caller still waits for it.

use std::sync::Arc;

use cofferdam_domain::{SessionId, Timestamp};
use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteRow},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    line::{BEGIN_AND_FIND, FIND, Guard, Line, find_row, raise_fence},
    news::{Bell, News},
    schema::failure,
};
use crate::{
    StoreError,
    chain::{Entry, Stamp},
};

/// The most requests in one transaction: bounds how long each of them waits.
const MAX_BATCH: usize = 64;

/// What is to be written to a session.
#[derive(Debug)]
pub(super) enum Write {
    /// A new session with its first event.
    Create { at: Timestamp, entries: Vec<Entry> },
    /// More events; under a guard if a worker writes them.
    Append { guard: Option<Guard>, at: Timestamp, entries: Vec<Entry> },
    /// The next claim's fence.
    Claim,
}

/// What was written.
#[derive(Debug)]
pub(super) struct Written {
    /// The stamps of the new events, in order.
    pub(super) stamps: Vec<Stamp>,
    /// The fence in force.
    pub(super) fence: u64,
}

/// What became of one request of a transaction that did not fail.
type Answer = Result<Written, StoreError>;

#[derive(Debug)]
struct Request {
    session: SessionId,
    write: Write,
    reply: oneshot::Sender<Answer>,
}

/// Hands requests to the task that owns the connection.
#[derive(Debug)]
pub(super) struct WriterHandle {
    requests: mpsc::Sender<Request>,
    task: JoinHandle<()>,
}

impl WriterHandle {
    /// Starts the task. It ends when the handle is gone and all requests are answered.
    pub(super) fn start(
        connection: SqliteConnection,
        options: SqliteConnectOptions,
        news: Arc<News>,
    ) -> Self {
        let (requests, waiting) = mpsc::channel(MAX_BATCH * 4);
        let desk = Desk { connection: Some(connection), options, news };
        Self { requests, task: tokio::spawn(desk.serve(waiting)) }
    }

    /// Writes; durable on return.
    pub(super) async fn write(&self, session: SessionId, write: Write) -> Answer {
        let (reply, answer) = oneshot::channel();
        let request = Request { session, write, reply };
        self.requests.send(request).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Waits for all that was asked for, and closes the connection.
    pub(super) async fn close(self) -> Result<(), StoreError> {
        drop(self.requests);
        self.task.await.map_err(|_| StoreError::Closed)
    }
}

struct Desk {
    connection: Option<SqliteConnection>,
    options: SqliteConnectOptions,
    news: Arc<News>,
}

impl Desk {
    async fn serve(mut self, mut waiting: mpsc::Receiver<Request>) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        while waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
            self.answer(&mut batch).await;
        }
        if let Some(connection) = self.connection {
            // All is durable already; a failure here only leaves the log of the database longer than it could
            // be.
            drop(connection.close().await);
        }
    }

    async fn answer(&mut self, batch: &mut Vec<Request>) {
        if batch.len() > 1
            && let Ok(answers) = self.commit(batch).await
        {
            batch.drain(..).zip(answers).for_each(|(request, answer)| request.answer(answer));
        }
        for request in batch.drain(..) {
            let answer = self.commit(std::slice::from_ref(&request)).await;
            request.answer(answer.and_then(|mut answers| answers.pop().unwrap_or(Err(StoreError::Closed))));
        }
    }

    /// One transaction. An error means that nothing of it stays.
    async fn commit(&mut self, batch: &[Request]) -> Result<Vec<Answer>, StoreError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(|error| self.failure(error))?,
        };
        let outcome = self.transact(&mut connection, batch).await;
        if outcome.is_ok() {
            self.connection = Some(connection);
        } else {
            // After a failure nothing is assumed of the connection. Whatever closing it says, the transaction
            // is not committed.
            drop(connection.close().await);
        }
        outcome
    }

    async fn transact(
        &self,
        connection: &mut SqliteConnection,
        batch: &[Request],
    ) -> Result<Vec<Answer>, StoreError> {
        let mut answers = Vec::with_capacity(batch.len());
        let mut bells = Vec::with_capacity(batch.len());
        for (place, request) in batch.iter().enumerate() {
            // A connection that is left in the middle of a transaction is closed, which undoes it: see
            // `commit`.
            let find = if place == 0 { BEGIN_AND_FIND } else { FIND };
            let row =
                find_row(connection, request.session, find).await.map_err(|error| self.failure(error))?;
            match self.carry_out(connection, request, row).await? {
                Ok((written, bell)) => {
                    bells.push(bell);
                    answers.push(Ok(written));
                }
                Err(refusal) => answers.push(Err(refusal)),
            }
        }
        sqlx::query("COMMIT").execute(connection).await.map_err(|error| self.failure(error))?;
        drop(bells);
        Ok(answers)
    }

    /// One request. The outer error is the database's and ends the transaction; the inner one is a refusal,
    /// and nothing was written.
    async fn carry_out(
        &self,
        connection: &mut SqliteConnection,
        request: &Request,
        row: Option<SqliteRow>,
    ) -> Result<Result<(Written, Option<Bell>), StoreError>, StoreError> {
        let session = request.session;
        let line = match row.map(|row| Line::decode(session, &row)).transpose() {
            Ok(line) => line,
            Err(corrupt) => return Ok(Err(corrupt)),
        };
        let (line, at, entries) = match (&request.write, line) {
            (Write::Create { .. }, Some(_)) => return Ok(Err(StoreError::Exists(session))),
            (Write::Create { at, entries }, None) => {
                let line = Line::default();
                line.insert(connection, session, *at).await.map_err(|error| self.failure(error))?;
                (line, *at, entries.as_slice())
            }
            (Write::Append { .. } | Write::Claim, None) => {
                return Ok(Err(StoreError::UnknownSession(session)));
            }
            (Write::Claim, Some(_)) => {
                let fence = raise_fence(connection, session).await.map_err(|error| self.failure(error))?;
                return Ok(Ok((Written { stamps: Vec::new(), fence }, None)));
            }
            (Write::Append { guard, at, entries }, Some(line)) => {
                if let Some(refusal) = guard.and_then(|guard| guard.refuses(session, &line)) {
                    return Ok(Err(refusal));
                }
                (line, *at, entries.as_slice())
            }
        };
        let bell = self.news.bell(session)?;
        let fence = line.fence;
        let stamps =
            line.extend(connection, session, at, entries).await.map_err(|error| self.failure(error))?;
        Ok(Ok((Written { stamps, fence }, Some(bell))))
    }

    fn failure(&self, error: sqlx::Error) -> StoreError {
        failure("write events to the database", self.options.get_filename(), error)
    }
}

impl Request {
    fn answer(self, answer: Answer) {
        // A caller that has gone away does not want to know.
        drop(self.reply.send(answer));
    }
}
