//! Hearing of what others have committed: one connection of this process listens, and passes on what it hears.

use std::{sync::Arc, time::Duration};

use sqlx::{PgConnection, PgPool, postgres::PgListener};
use tokio::task::JoinHandle;

use crate::{log::rings::Rings, sql};

/// The channel of this store's notifications.
const CHANNEL: &str = "cofferdam";

/// How long nothing may be heard before the connection is tried: one that was cut says nothing.
const SILENCE: Duration = Duration::from_secs(10);

/// The longest wait before the next try to listen.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Hears and passes on, for as long as somebody holds it.
#[derive(Debug)]
pub(super) struct News {
    rings: Rings,
    ear: Arc<Ear>,
}

/// The task that listens; it ends with the last who holds it.
#[derive(Debug)]
pub(super) struct Ear(JoinHandle<()>);

impl Drop for Ear {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl News {
    pub(super) fn start(pool: PgPool) -> Self {
        let rings = Rings::new();
        let ear = Arc::new(Ear(tokio::spawn(listen(pool, rings.clone()))));
        Self { rings, ear }
    }

    pub(super) const fn rings(&self) -> &Rings {
        &self.rings
    }

    /// Keeps it listening.
    pub(super) fn hold(&self) -> Arc<Ear> {
        Arc::clone(&self.ear)
    }
}

/// Listens for ever, over as many connections as it takes. At the beginning of each, something may have been missed.
async fn listen(pool: PgPool, rings: Rings) {
    let mut pause = Duration::from_millis(50);
    while !pool.is_closed() {
        if let Ok(mut listener) = PgListener::connect_with(&pool).await
            && listener.listen(CHANNEL).await.is_ok()
        {
            listener.eager_reconnect(false);
            pause = Duration::from_millis(50);
            rings.ring_all();
            pass_on(&mut listener, &rings).await;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    rings.end();
}

/// Passes on what is heard, until the connection is lost.
async fn pass_on(listener: &mut PgListener, rings: &Rings) {
    loop {
        match tokio::time::timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(heard))) => rings.pass_on(heard.payload()),
            Ok(Ok(None) | Err(_)) => return,
            Err(_silence) => {
                let alive = sqlx::query("SELECT 1").execute(&mut *listener);
                if !matches!(tokio::time::timeout(SILENCE, alive).await, Ok(Ok(_))) {
                    return;
                }
            }
        }
    }
}

/// Has others told once the transaction is committed.
pub(super) async fn announce(connection: &mut PgConnection, news: &[sql::News]) -> sqlx::Result<()> {
    if news.is_empty() {
        return Ok(());
    }
    let mut payloads: Vec<String> = news.iter().map(|news| news.name()).collect();
    payloads.sort_unstable();
    payloads.dedup();
    sqlx::query("SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload")
        .bind(CHANNEL)
        .bind(payloads)
        .execute(connection)
        .await
        .map(drop)
}
