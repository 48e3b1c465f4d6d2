//! The one connection that writes, and the task that owns it.
//!
//! Events that wait while a transaction is on its way to the disk are written together in the next one,
//! so that many sessions at once share the cost of a flush. A request that is refused writes nothing and does not
//! disturb the others; when the database itself fails, nothing of the transaction stays, and each request is
//! tried again alone, on a new connection. Whatever is no append is gathered in the same way, but apart from the
//! appends, and cannot be tried twice: when the database fails under it, whoever asked is told so.
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
    records::{letters, memories, sessions, spending::Tally},
    sql::{self, Origin, Sql, Work},
    write::{Answer, Kind, MAX_BATCH, Write},
};

enum Request {
    Write(Write, oneshot::Sender<Answer>),
    Work(Work<()>, Reply),
}

/// Undoes what one request of a transaction has written: <https://www.sqlite.org/lang_savepoint.html>.
const UNDO: &str = "ROLLBACK TO work; RELEASE work";

type Reply = oneshot::Sender<Result<(), StoreError>>;

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
    /// Carries something out as a whole or not at all; durable on return.
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

    /// Answers in the order in which it was asked, as far as anybody can tell.
    async fn answer(&mut self, batch: VecDeque<Request>) {
        let (mut writes, mut works) = (Vec::new(), VecDeque::new());
        for request in batch {
            match request {
                Request::Write(write, reply) => {
                    self.carry_out(&mut works).await;
                    writes.push((write, reply));
                }
                Request::Work(work, reply) => {
                    self.write(&mut writes).await;
                    works.push_back((work, reply));
                }
            }
        }
        self.write(&mut writes).await;
        self.carry_out(&mut works).await;
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

    /// Carries out what is no append, in one transaction, or in several where the database fails.
    async fn carry_out(&mut self, works: &mut VecDeque<(Work<()>, Reply)>) {
        while !works.is_empty() {
            let mut begun = Vec::with_capacity(works.len());
            let outcome = self.commit_works(works, &mut begun).await;
            if begun.is_empty() {
                // The transaction could not begin: whoever is first hears of it, and it is tried anew for the others.
                begun.extend(works.pop_front().map(|(_, reply)| (Ok(()), reply)));
            }
            for (result, reply) in begun {
                let result = result.and_then(|()| outcome.as_ref().copied().map_err(StoreError::repeated));
                // A caller that has gone away does not want to know.
                drop(reply.send(result));
            }
        }
    }

    /// One transaction, of as many as can be begun. An error means that nothing of it stays.
    async fn commit_works(
        &mut self,
        works: &mut VecDeque<(Work<()>, Reply)>,
        begun: &mut Vec<(Result<(), StoreError>, Reply)>,
    ) -> Result<(), StoreError> {
        let mut connection = self.connect().await?;
        let outcome = self.transact_works(&mut connection, works, begun).await;
        self.keep(connection, outcome.is_ok()).await;
        outcome
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
        self.run(connection, "COMMIT").await?;
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
        memories::propose(&mut sql, &extension.proposals).await?;
        tally.add(line.owner, line.head.at, extension.spent);
        Ok((extension, bells))
    }

    async fn transact_works(
        &self,
        connection: &mut SqliteConnection,
        works: &mut VecDeque<(Work<()>, Reply)>,
        begun: &mut Vec<(Result<(), StoreError>, Reply)>,
    ) -> Result<(), StoreError> {
        self.run(connection, "BEGIN IMMEDIATE").await?;
        let mut bells = Vec::new();
        while let Some((work, reply)) = works.pop_front() {
            let result = self.transact_work(connection, work, &mut bells).await;
            let undone = match &result {
                // Where even that fails, the database has undone everything because of what it refuses here.
                Err(refusal) => self.run(connection, UNDO).await.map_err(|_| refusal.repeated()),
                Ok(()) => Ok(()),
            };
            begun.push((result, reply));
            undone?;
        }
        self.run(connection, "COMMIT").await?;
        drop(bells);
        Ok(())
    }

    /// One request within a transaction. After an error, what it has written is still to be undone.
    async fn transact_work(
        &self,
        connection: &mut SqliteConnection,
        work: Work<()>,
        bells: &mut Vec<Bell>,
    ) -> Result<(), StoreError> {
        self.run(connection, "SAVEPOINT work").await?;
        let mut sql = Sql::sqlite(connection, &self.origin);
        work(&mut sql).await?;
        let news = sql.news().to_vec();
        let rung: Vec<Bell> =
            news.into_iter().map(|news| self.news.bell(news)).collect::<Result<_, StoreError>>()?;
        self.run(connection, "RELEASE work").await?;
        bells.extend(rung);
        Ok(())
    }

    async fn run(&self, connection: &mut SqliteConnection, text: &'static str) -> Result<(), StoreError> {
        sqlx::query(text).execute(connection).await.map(drop).map_err(|error| self.origin.failure(error))
    }
}
