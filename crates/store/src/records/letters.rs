//! Letters: written with the events that say so, addressed, taken for a while, and told or given up.

use async_trait::async_trait;
use cofferdam_domain::{AuditId, LetterId, NoticeKind, OrgId, Owner, Timestamp};
use futures_util::stream::BoxStream;
use sqlx::AssertSqlSafe;

use super::{
    audit,
    stirred::{Due, Hearing, stirred},
};
use crate::{
    AuditEntry, Delivery, Letter, Outbox, Posted, Sent, StoreError,
    log::{line::DAY, rings::Matter},
    sql::{self, Database as _, News, Origin, Row, Sql, Value, any_of, values},
};

/// How long letters are kept that were told or given up: thirty days.
const KEPT: u64 = 30 * DAY;
/// The longest reason of a failure, in characters.
const LONGEST_REASON: usize = 500;
/// The most letters that are listed at once.
const MOST: u32 = 200;

/// Writes letters that nobody has addressed.
pub(crate) async fn write(sql: &mut Sql<'_>, letters: &[Letter]) -> Result<(), StoreError> {
    for letter in letters {
        // At once, whatever the clock says of whoever wrote the event.
        insert(sql, letter, "", Timestamp(0)).await?;
    }
    Ok(())
}

async fn insert(sql: &mut Sql<'_>, letter: &Letter, channel: &str, due: Timestamp) -> Result<(), StoreError> {
    let Letter { id, kind, owner, session, seq, at, title, text, pull_request } = letter;
    sql.run(
        "INSERT INTO letters (id, channel, org, project, person, session, seq, kind, title, words, pull_request, made,
             due, tries, holder, done, told, reason)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, NULL, 0, 0, NULL)
         ON CONFLICT (id, channel) DO NOTHING",
        values![
            *id,
            channel,
            owner.org,
            owner.project,
            owner.user,
            *session,
            *seq,
            kind.name(),
            title,
            text.as_deref(),
            *pull_request,
            *at,
            due,
        ],
    )
    .await
    .map(drop)
}

#[async_trait]
impl<B: Hearing> Outbox for B {
    async fn post(&self, letter: Letter, channels: &[String]) -> Result<(), StoreError> {
        let channels = channels.to_vec();
        let post = sql::work(move |sql| {
            Box::pin(async move {
                let now = sql.now().await?;
                for channel in &channels {
                    insert(sql, &letter, channel, now).await?;
                }
                sql.tell(News::Matter(Matter::Letters));
                Ok(())
            })
        });
        self.base().transact(post).await
    }

    async fn take(
        &self,
        holder: &str,
        channels: &[String],
        lease_ms: u64,
    ) -> Result<Option<Delivery>, StoreError> {
        loop {
            let (holder, channels) = (holder.to_owned(), channels.to_vec());
            let take =
                sql::work(move |sql| Box::pin(async move { take(sql, holder, &channels, lease_ms).await }));
            match self.base().transact(take).await? {
                Found::Taken(delivery) => return Ok(Some(*delivery)),
                Found::Busy => {}
                Found::Nothing => return Ok(None),
            }
        }
    }

    async fn hold(&self, delivery: &Delivery, lease_ms: u64) -> Result<bool, StoreError> {
        let delivery = delivery.clone();
        let hold = sql::work(move |sql| {
            Box::pin(async move {
                let Delivery { letter, channel, tries, holder } = &delivery;
                let until = Timestamp(sql.now().await?.0.saturating_add(lease_ms.max(1)));
                let channel = channel.as_deref().unwrap_or_default();
                let text = "UPDATE letters SET due = $5
                            WHERE id = $1 AND channel = $2 AND holder = $3 AND tries = $4 AND done = 0";
                let held = sql.run(text, values![letter.id, channel, holder.as_str(), *tries, until]).await?;
                Ok(held > 0)
            })
        });
        self.base().transact(hold).await
    }

    async fn address(&self, delivery: &Delivery, channels: &[String]) -> Result<(), StoreError> {
        let (letter, channels) = (delivery.letter.clone(), channels.to_vec());
        let address = sql::work(move |sql| {
            Box::pin(async move {
                let gone =
                    sql.run("DELETE FROM letters WHERE id = $1 AND channel = ''", values![letter.id]).await?;
                let now = sql.now().await?;
                for channel in channels.iter().filter(|_| gone > 0) {
                    insert(sql, &letter, channel, now).await?;
                }
                let old = Timestamp(now.0.saturating_sub(KEPT));
                sql.run("DELETE FROM letters WHERE done > 0 AND done < $1", values![old]).await?;
                sql.tell(News::Matter(Matter::Letters));
                Ok(())
            })
        });
        self.base().transact(address).await
    }

    async fn sent(&self, delivery: &Delivery, sent: Sent) -> Result<(), StoreError> {
        let delivery = delivery.clone();
        let note = sql::work(move |sql| Box::pin(async move { note(sql, &delivery, sent).await }));
        self.base().transact(note).await
    }

    async fn posted(&self, channels: &[String]) -> Result<BoxStream<'static, ()>, StoreError> {
        let (places, values) = addressed(channels, 0);
        // One that waits for another letter of its session is due with that.
        let text = format!(
            "SELECT MIN(due) FROM letters WHERE done = 0 AND {places} AND NOT {}",
            busy("letters.due")
        );
        let due = Due { text, values };
        Ok(stirred(self.base().readers().clone(), self.listen(Matter::Letters)?, due))
    }

    async fn letters(
        &self,
        org: OrgId,
        before: Option<LetterId>,
        limit: u32,
    ) -> Result<Vec<Posted>, StoreError> {
        let mut values: Vec<Value> = vec![org.into(), limit.clamp(1, MOST).into()];
        let mut text = String::from("SELECT * FROM letters WHERE org = $1");
        if let Some(before) = before {
            values.push(before.into());
            text.push_str(" AND id < $3");
        }
        text.push_str(" ORDER BY id DESC, channel LIMIT $2");
        let rows = self.base().readers().all(AssertSqlSafe(text), &values).await?;
        rows.iter().map(|row| posted(row).map_err(Origin::unreadable)).collect()
    }
}

/// Which letters are for one of these channels, or not addressed, with the parameters for that after the first few.
fn addressed(channels: &[String], first: usize) -> (String, Vec<Value>) {
    let (any, values) = any_of(channels.iter().map(String::as_str).chain([""]), first);
    (format!("channel IN {any}"), values)
}

/// Whether another letter of the session is being told by the channel, until after this time: two at once would both find that nothing was said
/// yet.
fn busy(until: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM letters AS other WHERE other.session = letters.session AND other.channel = letters.channel
             AND other.channel <> '' AND other.done = 0 AND other.holder IS NOT NULL AND other.due > {until})"
    )
}

/// What there was to take.
enum Found {
    Taken(Box<Delivery>),
    /// Somebody took another letter of the session in the same moment: there may be more to take.
    Busy,
    Nothing,
}

async fn take(
    sql: &mut Sql<'_>,
    holder: String,
    channels: &[String],
    lease_ms: u64,
) -> Result<Found, StoreError> {
    let now = sql.now().await?;
    let (places, names) = addressed(channels, 1);
    let text = format!(
        "SELECT * FROM letters WHERE done = 0 AND due <= $1 AND {places} AND NOT {} ORDER BY due, id LIMIT 1{}",
        busy("$1"),
        sql.either("", " FOR UPDATE SKIP LOCKED")
    );
    let values: Vec<Value> = std::iter::once(now.into()).chain(names).collect();
    let Some(row) = sql.first(AssertSqlSafe(text), &values).await? else { return Ok(Found::Nothing) };
    let Posted { letter, channel, tries, .. } = posted(&row).map_err(Origin::unreadable)?;
    if taken_meanwhile(sql, &letter, channel.as_deref(), now).await? {
        return Ok(Found::Busy);
    }
    let tries = tries.saturating_add(1);
    let until = Timestamp(now.0.saturating_add(lease_ms.max(1)));
    sql.run(
        "UPDATE letters SET holder = $3, tries = $4, due = $5 WHERE id = $1 AND channel = $2",
        values![letter.id, channel.as_deref().unwrap_or_default(), holder.as_str(), tries, until],
    )
    .await?;
    Ok(Found::Taken(Box::new(Delivery { letter, channel, tries, holder })))
}

/// Two that are taken in the same moment do not see each other on PostgreSQL, where many write at once: the second one waits here until the
/// first is seen.
async fn taken_meanwhile(
    sql: &mut Sql<'_>,
    letter: &Letter,
    channel: Option<&str>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (Some(session), Some(channel)) = (letter.session, channel) else { return Ok(false) };
    if !sql.either(false, true) {
        return Ok(false);
    }
    // Held until the transaction ends: https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
    let wait = "SELECT 1 AS held FROM (SELECT pg_advisory_xact_lock(hashtextextended($1, 0))) AS lock";
    sql.first(wait, values![format!("letters of {session} for {channel}")]).await?;
    let text = format!("SELECT 1 AS taken FROM letters WHERE id = $2 AND channel = $3 AND {}", busy("$1"));
    Ok(sql.first(AssertSqlSafe(text), values![now, letter.id, channel]).await?.is_some())
}

async fn note(sql: &mut Sql<'_>, delivery: &Delivery, sent: Sent) -> Result<(), StoreError> {
    let Delivery { letter, channel, tries, holder } = delivery;
    let now = sql.now().await?;
    let short = |reason: String| reason.chars().take(LONGEST_REASON).collect::<String>();
    let (due, done, told, reason) = match sent {
        Sent::Told => (now, now, true, None),
        Sent::Again { at, reason } => (at, Timestamp(0), false, Some(short(reason))),
        Sent::GivenUp { reason } => (now, now, false, Some(short(reason))),
    };
    let changed = sql
        .run(
            "UPDATE letters SET due = $5, done = $6, told = $7, reason = $8, holder = NULL
             WHERE id = $1 AND channel = $2 AND holder = $3 AND tries = $4 AND done = 0",
            values![
                letter.id,
                channel.as_deref().unwrap_or_default(),
                holder.as_str(),
                *tries,
                due,
                done,
                told,
                reason.as_deref(),
            ],
        )
        .await?;
    if changed > 0 && done.0 > 0 && !told {
        let subject = letter.session.map_or_else(|| letter.id.to_string(), |session| session.to_string());
        let detail = serde_json::json!({
            "letter": letter.id.to_string(),
            "kind": letter.kind.name(),
            "channel": channel,
            "tries": tries,
            "reason": reason,
        });
        let entry = AuditEntry {
            id: AuditId::generate(),
            at: now,
            by: "cofferdam".to_owned(),
            action: "letter.given_up".to_owned(),
            subject,
            detail: detail.to_string(),
        };
        audit::append(sql, letter.owner.org, entry).await?;
    }
    // When it is due again may be earlier than whoever listens knows.
    sql.tell(News::Matter(Matter::Letters));
    Ok(())
}

fn posted(row: &Row) -> sqlx::Result<Posted> {
    let letter = Letter {
        id: row.parsed("id")?,
        kind: row.named("kind", NoticeKind::named)?,
        owner: Owner {
            org: row.parsed("org")?,
            project: row.parsed("project")?,
            user: row.parsed("person")?,
        },
        session: row.parsed_or_null("session")?,
        seq: row.seq("seq")?,
        at: row.time("made")?,
        title: row.text("title")?,
        text: row.text_or_null("words")?,
        pull_request: row.count_or_null("pull_request")?,
    };
    Ok(Posted {
        letter,
        channel: Some(row.text("channel")?).filter(|channel| !channel.is_empty()),
        tries: u32::try_from(row.int("tries")?).unwrap_or(u32::MAX),
        done: Some(row.time("done")?).filter(|done| done.0 > 0),
        told: row.is("told")?,
        reason: row.text_or_null("reason")?,
    })
}
