//! The one connection of a process that writes events, and the task that owns it.
//!
//! Requests that wait while a transaction is on its way to the disk are written together in the next one: all their sessions' rows are locked
//! by one statement (in the order of their ids, so that processes never wait for each other in a circle), all events are inserted by one, all
//! rows written by one. One that is refused writes nothing and does not disturb the others.
//!
//! When the database goes away, the task waits a while for it to come back. A transaction of which nobody knows whether it was committed is
//! looked for: the ids of its events are its own.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    time::Duration,
};

use cofferdam_domain::{Digest, SessionId, event::SCHEMA};
use serde_json::{Map, Value as Json};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _, postgres::PgConnectOptions};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};

use super::news;
use crate::{
    Letter, StoreError,
    chain::Stamp,
    log::{
        line::{Line, Proposal},
        rings::Matter,
    },
    records::{
        letters, memories,
        sessions::{self, Column},
        spending::Tally,
    },
    sql::{News, Origin, Row, Sql, Value},
    write::{Answer, Kind, MAX_BATCH, Write},
};

/// The most text in one transaction, in bytes; a single request may have more.
const MAX_TEXT: usize = 16 << 20;

/// How long it is waited for a database that is away.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest pause between two tries to reach it.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

type Request = (Write, oneshot::Sender<Answer>);

/// Hands requests to the task that owns the connection.
#[derive(Debug)]
pub(super) struct WriterHandle {
    requests: mpsc::Sender<Request>,
    task: JoinHandle<()>,
}

impl WriterHandle {
    /// Starts the task. It ends when the handle is gone and all requests are answered.
    pub(super) fn start(options: PgConnectOptions, origin: Origin) -> Self {
        let (requests, waiting) = mpsc::channel(MAX_BATCH * 4);
        let desk = Desk { connection: None, options, origin };
        Self { requests, task: tokio::spawn(desk.serve(waiting)) }
    }

    /// Writes; durable on return.
    pub(super) async fn write(&self, write: Write) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.requests.send((write, reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Waits for all that was asked for, and closes the connection.
    pub(super) async fn close(self) -> Result<(), StoreError> {
        drop(self.requests);
        self.task.await.map_err(|_| StoreError::Closed)
    }
}

/// How a transaction went.
enum Outcome {
    /// It is committed, or had nothing to commit.
    Done(Vec<Answer>),
    /// Nothing of it stays.
    Undone(StoreError),
    /// The connection was lost while it was being committed.
    Unknown(Vec<Answer>),
}

struct Desk {
    connection: Option<PgConnection>,
    options: PgConnectOptions,
    origin: Origin,
}

impl Desk {
    async fn serve(mut self, mut waiting: mpsc::Receiver<Request>) {
        let mut requests = Vec::with_capacity(MAX_BATCH);
        while waiting.recv_many(&mut requests, MAX_BATCH).await > 0 {
            while !requests.is_empty() {
                let some = take_some(&mut requests);
                let (batch, replies): (Vec<Write>, Vec<_>) = some.into_iter().unzip();
                let answers = self.answers(&batch).await;
                // A caller that has gone away does not want to know.
                replies.into_iter().zip(answers).for_each(|(reply, answer)| drop(reply.send(answer)));
            }
        }
        if let Some(connection) = self.connection {
            // All is durable already.
            drop(connection.close().await);
        }
    }

    async fn answers(&mut self, batch: &[Write]) -> Vec<Answer> {
        match self.commit(batch).await {
            Outcome::Done(answers) => answers,
            Outcome::Unknown(answers) => self.settle(batch, answers).await,
            Outcome::Undone(error) if batch.len() == 1 && !is_away(&error) => vec![Err(error)],
            Outcome::Undone(_) => self.one_by_one(batch).await,
        }
    }

    /// Each request in a transaction of its own, after one that they shared failed. While the database is away, it is waited for only once.
    async fn one_by_one(&mut self, batch: &[Write]) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(batch.len());
        let mut is_there = self.reconnect().await;
        for write in batch {
            let write = std::slice::from_ref(write);
            let outcome = if is_there { self.commit(write).await } else { Outcome::Undone(self.away()) };
            match outcome {
                Outcome::Done(answer) => answers.extend(answer),
                Outcome::Unknown(answer) => answers.extend(self.settle(write, answer).await),
                Outcome::Undone(error) => {
                    is_there &= !is_away(&error);
                    answers.push(Err(error));
                }
            }
        }
        answers
    }

    /// Finds out what became of a transaction of which the connection was lost. What is not there was undone.
    async fn settle(&mut self, batch: &[Write], answers: Vec<Answer>) -> Vec<Answer> {
        let is_there = self.reconnect().await;
        let mut settled = Vec::with_capacity(answers.len());
        for (write, answer) in batch.iter().zip(answers) {
            settled.push(match answer {
                Ok(stamps) if is_there => match self.is_written(write.session, &stamps).await {
                    Ok(true) => Ok(stamps),
                    Ok(false) => Err(self.away()),
                    Err(error) => Err(error),
                },
                Ok(_) => Err(self.away()),
                Err(refusal) => Err(refusal),
            });
        }
        settled
    }

    /// Whether the last of these events is in the log. Waits for the transaction that writes it, if that still goes on.
    async fn is_written(&mut self, session: SessionId, stamps: &[Stamp]) -> Result<bool, StoreError> {
        let Some(last) = stamps.last() else { return Ok(true) };
        let Some(connection) = &mut self.connection else { return Err(self.away()) };
        let look = async {
            let mut transaction = connection.begin().await?;
            sqlx::query("SELECT id FROM sessions WHERE id = $1 FOR UPDATE")
                .bind(session.to_string())
                .execute(&mut *transaction)
                .await?;
            let found = sqlx::query("SELECT seq FROM events WHERE session = $1 AND seq = $2 AND id = $3")
                .bind(session.to_string())
                .bind(last.seq.0.cast_signed())
                .bind(last.id.to_string())
                .fetch_optional(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(found.is_some())
        };
        look.await.map_err(|error| self.origin.failure(error))
    }

    /// Waits a while for the database. Whether it is there.
    async fn reconnect(&mut self) -> bool {
        let until = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(20);
        while self.connection.is_none() {
            match tokio::time::timeout_at(until, self.options.connect()).await {
                Ok(Ok(connection)) => self.connection = Some(connection),
                Ok(Err(_)) if Instant::now() + pause < until => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Ok(Err(_)) | Err(_) => return false,
            }
        }
        true
    }

    fn away(&self) -> StoreError {
        self.origin.failure(sqlx::Error::Io(io::Error::from(io::ErrorKind::NotConnected)))
    }

    /// One transaction.
    async fn commit(&mut self, batch: &[Write]) -> Outcome {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => match self.options.connect().await {
                Ok(connection) => connection,
                Err(error) => return Outcome::Undone(self.origin.failure(error)),
            },
        };
        let answers = match self.transact(&mut connection, batch).await {
            Ok(answers) => answers,
            Err(error) => {
                // After a failure nothing is assumed of the connection. The server undoes what was not committed.
                drop(connection.close_hard().await);
                return Outcome::Undone(error);
            }
        };
        match sqlx::query("COMMIT").execute(&mut connection).await.map_err(|error| self.origin.failure(error))
        {
            Ok(_) => {
                self.connection = Some(connection);
                Outcome::Done(answers)
            }
            Err(error) => {
                drop(connection.close_hard().await);
                if is_away(&error) { Outcome::Unknown(answers) } else { Outcome::Undone(error) }
            }
        }
    }

    /// All of a transaction but its end.
    async fn transact(
        &self,
        connection: &mut PgConnection,
        batch: &[Write],
    ) -> Result<Vec<Answer>, StoreError> {
        let failed = |error| self.origin.failure(error);
        sqlx::query("BEGIN").execute(&mut *connection).await.map_err(failed)?;
        let lines = find(connection, batch).await.map_err(failed)?;
        let mut page = Page::new(lines);
        let answers = batch.iter().map(|write| page.write(write)).collect();
        let Page { lines: _, rows, events, blobs, tally, letters, proposals, news } = page;
        insert_events(connection, events).await.map_err(failed)?;
        write_rows(connection, &rows).await.map_err(failed)?;
        refer(connection, blobs).await.map_err(failed)?;
        tally.write(&mut Sql::postgres(connection, &self.origin)).await?;
        letters::write(&mut Sql::postgres(connection, &self.origin), &letters).await?;
        memories::propose(&mut Sql::postgres(connection, &self.origin), &proposals).await?;
        news::announce(connection, &news).await.map_err(failed)?;
        Ok(answers)
    }
}

/// As many requests as go into one transaction, at least one.
fn take_some(requests: &mut Vec<Request>) -> Vec<Request> {
    let mut size = 0;
    let fits = requests
        .iter()
        .take_while(|(write, _)| {
            size += write.size();
            size <= MAX_TEXT
        })
        .count();
    requests.drain(..fits.max(1)).collect()
}

const fn is_away(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable { .. })
}

/// What a transaction writes, made up before anything of it is sent.
struct Page<'b> {
    /// What was found, and what has become of it.
    lines: BTreeMap<SessionId, Result<Line, StoreError>>,
    /// Rows to be written, the new ones marked.
    rows: BTreeMap<SessionId, (bool, Line)>,
    events: Events<'b>,
    /// Whether each may expire before the events that refer to it.
    blobs: HashMap<(SessionId, Digest), bool>,
    tally: Tally,
    letters: Vec<Letter>,
    proposals: Vec<Proposal>,
    news: Vec<News>,
}

/// Columns of events.
#[derive(Default)]
struct Events<'b> {
    sessions: Vec<String>,
    places: Vec<i64>,
    ids: Vec<String>,
    times: Vec<i64>,
    bodies: Vec<&'b str>,
    previous: Vec<Vec<u8>>,
    hashes: Vec<Vec<u8>>,
}

impl<'b> Page<'b> {
    fn new(lines: BTreeMap<SessionId, Result<Line, StoreError>>) -> Self {
        Self {
            lines,
            rows: BTreeMap::new(),
            events: Events::default(),
            blobs: HashMap::new(),
            tally: Tally::default(),
            letters: Vec::new(),
            proposals: Vec::new(),
            news: Vec::new(),
        }
    }

    fn write(&mut self, write: &'b Write) -> Answer {
        let line = match self.rows.get(&write.session) {
            Some((_, line)) => Some(line.clone()),
            // One that cannot be read says so to the first who asks; to others it is as good as gone.
            None => self.lines.remove(&write.session).transpose()?,
        };
        let kept = line.clone();
        let mut line = match write.admit(line) {
            Ok(line) => line,
            Err(refusal) => {
                if let Some(kept) = kept
                    && !self.rows.contains_key(&write.session)
                {
                    self.lines.insert(write.session, Ok(kept));
                }
                return Err(refusal);
            }
        };
        let extension = line.extend(write.at, &write.entries);
        self.events.add(write, &extension.stamps);
        for (blob, passing) in &extension.blobs {
            let all_passing = self.blobs.entry((line.id, blob.digest)).or_insert(true);
            *all_passing &= *passing;
        }
        self.tally.add(line.owner, line.head.at, extension.spent);
        if !extension.stamps.is_empty() {
            self.news.push(News::Session(line.id, line.owner.org));
        }
        if extension.stirs {
            self.news.push(News::Matter(Matter::Queue));
        }
        if !extension.letters.is_empty() {
            self.news.push(News::Matter(Matter::Letters));
            self.letters.extend(extension.letters);
        }
        self.proposals.extend(extension.proposals);
        let is_new = matches!(write.kind, Kind::Create(_));
        let (was_new, _) = self.rows.remove(&write.session).unwrap_or((false, line.clone()));
        self.rows.insert(write.session, (is_new || was_new, line));
        Ok(extension.stamps)
    }
}

impl<'b> Events<'b> {
    fn add(&mut self, write: &'b Write, stamps: &[Stamp]) {
        for (Stamp { seq, id, at, previous, hash }, entry) in stamps.iter().zip(&write.entries) {
            self.sessions.push(write.session.to_string());
            self.places.push(seq.0.cast_signed());
            self.ids.push(id.to_string());
            self.times.push(at.0.cast_signed());
            self.bodies.push(&entry.text);
            self.previous.push(previous.as_bytes().to_vec());
            self.hashes.push(hash.as_bytes().to_vec());
        }
    }
}

/// The rows of all sessions that are written to, kept from others until the end of the transaction.
async fn find(
    connection: &mut PgConnection,
    batch: &[Write],
) -> sqlx::Result<BTreeMap<SessionId, Result<Line, StoreError>>> {
    let mut ids: Vec<String> = batch.iter().map(|write| write.session.to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    let rows = sqlx::query("SELECT * FROM sessions WHERE id = ANY($1) ORDER BY id FOR UPDATE")
        .bind(ids)
        .fetch_all(connection)
        .await?;
    let mut lines = BTreeMap::new();
    for row in rows {
        let id: String = row.try_get("id")?;
        if let Ok(session) = id.parse::<SessionId>() {
            lines.insert(session, Line::decode(&Row::Postgres(row)));
        }
    }
    Ok(lines)
}

async fn insert_events(connection: &mut PgConnection, events: Events<'_>) -> sqlx::Result<()> {
    if events.sessions.is_empty() {
        return Ok(());
    }
    let Events { sessions, places, ids, times, bodies, previous, hashes } = events;
    sqlx::query(
        "INSERT INTO events (session, seq, id, at, schema, body, previous, hash)
         SELECT e.session, e.seq, e.id, e.at, $8, e.body, e.previous, e.hash
         FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::bytea[], $7::bytea[])
             AS e (session, seq, id, at, body, previous, hash)",
    )
    .bind(sessions)
    .bind(places)
    .bind(ids)
    .bind(times)
    .bind(bodies)
    .bind(previous)
    .bind(hashes)
    .bind(i64::from(SCHEMA))
    .execute(connection)
    .await
    .map(drop)
}

/// Writes the rows: new ones whole, of the others what follows from the log.
async fn write_rows(
    connection: &mut PgConnection,
    rows: &BTreeMap<SessionId, (bool, Line)>,
) -> sqlx::Result<()> {
    let lines = |new: bool| rows.values().filter(move |(is_new, _)| *is_new == new).map(|(_, line)| line);
    let new: Vec<Json> = lines(true).map(|line| json(sessions::whole(line))).collect();
    if !new.is_empty() {
        sqlx::query(
            "INSERT INTO sessions SELECT * FROM json_populate_recordset(NULL::sessions, $1::text::json)",
        )
        .bind(Json::from(new).to_string())
        .execute(&mut *connection)
        .await?;
        let (orgs, sessions): (Vec<_>, Vec<_>) =
            lines(true).map(|line| (line.owner.org.to_string(), line.id.to_string())).unzip();
        sqlx::query("INSERT INTO search_tail (org, session) SELECT * FROM unnest($1::text[], $2::text[])")
            .bind(orgs)
            .bind(sessions)
            .execute(&mut *connection)
            .await?;
    }
    let changed: Vec<Json> = lines(false)
        .map(|line| {
            let mut columns = sessions::derived(line);
            columns.push(("id", line.id.into()));
            json(columns)
        })
        .collect();
    if let Some(line) = lines(false).next() {
        let set: Vec<String> =
            sessions::derived(line).iter().map(|(name, _)| format!("{name} = n.{name}")).collect();
        let text = format!(
            "UPDATE sessions s SET {} FROM json_populate_recordset(NULL::sessions, $1::text::json) n WHERE s.id = n.id",
            set.join(", ")
        );
        sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(Json::from(changed).to_string())
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// A row as PostgreSQL takes it from JSON.
fn json(columns: Vec<Column>) -> Json {
    let value = |value: Value| match value {
        Value::Text(text) => text.map_or(Json::Null, Json::from),
        Value::Int(number) => number.map_or(Json::Null, Json::from),
        Value::Bytes(bytes) => bytes.map_or(Json::Null, |bytes| Json::from(hex(&bytes))),
    };
    let row: Map<String, Json> =
        columns.into_iter().map(|(name, column)| (name.to_owned(), value(column))).collect();
    Json::Object(row)
}

/// Bytes as PostgreSQL reads them: <https://www.postgresql.org/docs/current/datatype-binary.html>.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("\\x"), |mut text, byte| {
        text.push_str(&format!("{byte:02x}"));
        text
    })
}

async fn refer(connection: &mut PgConnection, blobs: HashMap<(SessionId, Digest), bool>) -> sqlx::Result<()> {
    if blobs.is_empty() {
        return Ok(());
    }
    let (mut sessions, mut digests, mut passing) = (Vec::new(), Vec::new(), Vec::new());
    for ((session, digest), passes) in blobs {
        sessions.push(session.to_string());
        digests.push(digest.as_bytes().to_vec());
        passing.push(i64::from(passes));
    }
    sqlx::query(
        "INSERT INTO session_blobs (session, digest, at, passing)
         SELECT b.session, b.digest, CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT), b.passing
         FROM unnest($1::text[], $2::bytea[], $3::bigint[]) AS b (session, digest, passing)
         ON CONFLICT (session, digest) DO UPDATE
             SET at = excluded.at, passing = session_blobs.passing * excluded.passing",
    )
    .bind(sessions)
    .bind(digests)
    .bind(passing)
    .execute(connection)
    .await
    .map(drop)
}
