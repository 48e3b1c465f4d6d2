//! The one connection that writes, and the task that owns it.
//!
//! Events that wait while a transaction is on its way to the disk are written together in the next one,
//! so that many sessions at once share the cost of a flush. A request that is refused writes nothing and does not
//! disturb the others; when the database itself fails, nothing of the transaction stays, and each request is
//! tried again alone, on a new connection. Whatever is not an append has a transaction of its own.
//!
//! A request is carried out whether or not its caller still waits for it.

use std::{collections::VecDeque, sync::Arc};

use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    line::{self, BEGIN_AND_FIND, FIND},
    news::{Bell, News},
};
use crate::{
    StoreError,
    log::{
        line::{Extension, Line},
        rings::Matter,
    },
    records::{letters, sessions, spending::Tally},
    sql::{self, Origin, Sql, Work},
    write::{Answer, Kind, MAX_BATCH, Write},
};

enum Request {
    Write(Write, oneshot::Sender<Answer>),
    Work(Work<()>, oneshot::Sender<Result<(), StoreError>>),
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
        let origin = Origin::Sqlite(options.get_filename().to_owned());
        let desk = Desk { connection: Some(connection), options, origin, news };
        Self { requests, task: tokio::spawn(desk.serve(waiting)) }
    }

    /// The way to the task, for those that outlive the handle or may not keep it alive.
    pub(super) fn door(&self) -> Door {
        Door { requests: self.requests.downgrade() }
    }

    /// Writes; durable on return.
    pub(super) async fn write(&self, write: Write) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Write(write, reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Waits for all that was asked for, and closes the connection.
    pub(super) async fn close(self) -> Result<(), StoreError> {
        drop(self.requests);
        self.task.await.map_err(|_| StoreError::Closed)
    }
}

/// The way to the task that writes, for as long as the store is open.
#[derive(Debug, Clone)]
pub(super) struct Door {
    requests: mpsc::WeakSender<Request>,
}

impl Door {
    /// Carries something out in a transaction of its own; durable on return.
    pub(super) async fn work<T: Send + 'static>(&self, work: Work<T>) -> Result<T, StoreError> {
        let (result, made) = oneshot::channel();
        let work = sql::work(move |sql| {
            Box::pin(async move {
                // Who does not wait for it any more does not need it.
                drop(result.send(work(sql).await?));
                Ok(())
            })
        });
        let (reply, answer) = oneshot::channel();
        let requests = self.requests.upgrade().ok_or(StoreError::Closed)?;
        requests.send(Request::Work(work, reply)).await.map_err(|_| StoreError::Closed)?;
        drop(requests);
        answer.await.map_err(|_| StoreError::Closed)??;
        made.await.map_err(|_| StoreError::Closed)
    }
}

struct Desk {
    connection: Option<SqliteConnection>,
    options: SqliteConnectOptions,
    origin: Origin,
    news: Arc<News>,
}

impl Desk {
    async fn serve(mut self, mut waiting: mpsc::Receiver<Request>) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        while waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
            self.answer(batch.drain(..).collect()).await;
        }
        if let Some(connection) = self.connection {
            // All is durable already; a failure here only leaves the log of the database longer than it could
            // be.
            drop(connection.close().await);
        }
    }

    async fn answer(&mut self, mut batch: VecDeque<Request>) {
        let mut writes = Vec::new();
        while let Some(request) = batch.pop_front() {
            match request {
                Request::Write(write, reply) => writes.push((write, reply)),
                Request::Work(work, reply) => {
                    self.write(&mut writes).await;
                    // A caller that has gone away does not want to know; so below.
                    drop(reply.send(self.carry_out(work).await));
                }
            }
        }
        self.write(&mut writes).await;
    }

    async fn write(&mut self, writes: &mut Vec<(Write, oneshot::Sender<Answer>)>) {
        let (batch, replies): (Vec<Write>, Vec<_>) = writes.drain(..).unzip();
        if batch.len() > 1
            && let Ok(answers) = self.commit(&batch).await
        {
            replies.into_iter().zip(answers).for_each(|(reply, answer)| drop(reply.send(answer)));
            return;
        }
        for (write, reply) in batch.into_iter().zip(replies) {
            let answers = self.commit(std::slice::from_ref(&write)).await;
            let answer = answers.and_then(|mut answers| answers.pop().unwrap_or(Err(StoreError::Closed)));
            drop(reply.send(answer));
        }
    }

    /// One transaction. An error means that nothing of it stays.
    async fn commit(&mut self, batch: &[Write]) -> Result<Vec<Answer>, StoreError> {
        let mut connection = self.connect().await?;
        let outcome = self.transact(&mut connection, batch).await;
        self.keep(connection, outcome.is_ok()).await;
        outcome
    }

    /// One transaction for something that is no append.
    async fn carry_out(&mut self, work: Work<()>) -> Result<(), StoreError> {
        let mut connection = self.connect().await?;
        let outcome = self.transact_work(&mut connection, work).await;
        self.keep(connection, outcome.is_ok()).await;
        outcome?
    }

    async fn connect(&mut self) -> Result<SqliteConnection, StoreError> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.options.connect().await.map_err(|error| self.origin.failure(error)),
        }
    }

    async fn keep(&mut self, connection: SqliteConnection, is_well: bool) {
        if is_well {
            self.connection = Some(connection);
        } else {
            // After a failure nothing is assumed of the connection. Whatever closing it says, the transaction
            // is not committed.
            drop(connection.close().await);
        }
    }

    async fn transact(
        &self,
        connection: &mut SqliteConnection,
        batch: &[Write],
    ) -> Result<Vec<Answer>, StoreError> {
        let mut answers = Vec::with_capacity(batch.len());
        let mut bells = Vec::with_capacity(batch.len());
        let mut tally = Tally::default();
        for (place, write) in batch.iter().enumerate() {
            // A connection that is left in the middle of a transaction is closed, which undoes it: see
            // `commit`.
            let find = if place == 0 { BEGIN_AND_FIND } else { FIND };
            let line = line::find(connection, &self.origin, write.session, find).await?;
            let line = match line.and_then(|line| write.admit(line)) {
                Ok(line) => line,
                Err(refusal) => {
                    answers.push(Err(refusal));
                    continue;
                }
            };
            let (extension, rung) = self.extend(connection, write, line, &mut tally).await?;
            bells.extend(rung);
            answers.push(Ok(extension.stamps));
        }
        tally.write(&mut Sql::sqlite(connection, &self.origin)).await?;
        self.end(connection).await?;
        drop(bells);
        Ok(answers)
    }

    /// Writes a session's events, and takes the bells in hand that are to ring for them.
    async fn extend(
        &self,
        connection: &mut SqliteConnection,
        write: &Write,
        mut line: Line,
        tally: &mut Tally,
    ) -> Result<(Extension, Vec<Bell>), StoreError> {
        let extension = line.extend(write.at, &write.entries);
        if extension.stamps.is_empty() {
            return Ok((extension, Vec::new()));
        }
        let mut bells = vec![self.news.bell(sql::News::Session(line.id, line.owner.org))?];
        if extension.stirs {
            bells.push(self.news.bell(sql::News::Matter(Matter::Queue))?);
        }
        if !extension.letters.is_empty() {
            bells.push(self.news.bell(sql::News::Matter(Matter::Letters))?);
        }
        let is_new = matches!(write.kind, Kind::Create(_));
        line::write(connection, &line, is_new, &extension.stamps, &write.entries)
            .await
            .map_err(|error| self.origin.failure(error))?;
        let mut sql = Sql::sqlite(connection, &self.origin);
        for (blob, passing) in &extension.blobs {
            sessions::refer(&mut sql, line.id, blob.digest, *passing).await?;
        }
        letters::write(&mut sql, &extension.letters).await?;
        tally.add(line.owner, line.head.at, extension.spent);
        Ok((extension, bells))
    }

    /// The outer error is the database's; the inner one is a refusal, and nothing of it stays.
    async fn transact_work(
        &self,
        connection: &mut SqliteConnection,
        work: Work<()>,
    ) -> Result<Result<(), StoreError>, StoreError> {
        let failed = |error| self.origin.failure(error);
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await.map_err(failed)?;
        let mut sql = Sql::sqlite(connection, &self.origin);
        let done = work(&mut sql).await;
        let news = sql.news().to_vec();
        if let Err(refusal) = done {
            sqlx::query("ROLLBACK").execute(connection).await.map_err(failed)?;
            return Ok(Err(refusal));
        }
        let bells =
            news.into_iter().map(|news| self.news.bell(news)).collect::<Result<Vec<_>, StoreError>>()?;
        self.end(connection).await?;
        drop(bells);
        Ok(Ok(()))
    }

    async fn end(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let done = sqlx::query("COMMIT").execute(connection).await;
        done.map(drop).map_err(|error| self.origin.failure(error))
    }
}
