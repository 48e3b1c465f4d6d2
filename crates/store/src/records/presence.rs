//! A worker's presence: one row, renewed by one task.

use std::{any::Any, time::Duration};

use cofferdam_domain::WorkerId;
use tokio::sync::{oneshot, watch};

use super::queue;
use crate::{
    Presence, StoreError,
    sql::{self, Database, Sql, values},
};

/// The shortest patience: below, one slow flush of a disk would look like a death.
const LEAST: Duration = Duration::from_millis(100);

/// Makes a worker known and keeps it so until what is returned is dropped. `ground` is what the machine holds for it meanwhile.
pub(crate) async fn enter(
    base: impl Database,
    worker: WorkerId,
    name: &str,
    patience: Duration,
    ground: impl Any + Send + Sync,
) -> Result<Presence, StoreError> {
    let patience = patience.max(LEAST);
    let name: String = name.chars().filter(|character| !character.is_control()).take(200).collect();
    let shown = name.clone();
    let millis = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX / 4);
    base.transact(sql::work(move |sql| {
        Box::pin(async move {
            let now = sql.now().await?;
            sql.run(
                "INSERT INTO workers (id, name, patience, seen) VALUES ($1, $2, $3, $4)",
                values![worker, shown, millis, now],
            )
            .await
            .map(drop)
        })
    }))
    .await?;
    let (tell, lost) = watch::channel(false);
    let (stay, gone) = oneshot::channel::<()>();
    tokio::spawn(keep(base, worker, patience, gone, tell));
    Ok(Presence { worker, name, lost, _hold: Box::new((stay, ground)) })
}

async fn keep(
    base: impl Database,
    worker: WorkerId,
    patience: Duration,
    mut gone: oneshot::Receiver<()>,
    lost: watch::Sender<bool>,
) {
    loop {
        let dropped = tokio::select! {
            _ = &mut gone => true,
            () = tokio::time::sleep(patience / 3) => false,
        };
        let done =
            if dropped { leave(&base, worker).await.map(|()| false) } else { renew(&base, worker).await };
        match done {
            Ok(true) => {}
            Ok(false) if dropped => return,
            Ok(false) => {
                lost.send_replace(true);
                return;
            }
            Err(StoreError::Closed) => return,
            // It is tried again; and if it was dropped, its silence says the same a little later.
            Err(_) if dropped => return,
            Err(_) => {}
        }
    }
}

/// `false` when others have taken its place.
async fn renew(base: &impl Database, worker: WorkerId) -> Result<bool, StoreError> {
    base.transact(sql::work(move |sql: &mut Sql<'_>| {
        Box::pin(async move {
            let now = sql.now().await?;
            let renewed = sql.run("UPDATE workers SET seen = $2 WHERE id = $1", values![worker, now]).await?;
            Ok(renewed > 0)
        })
    }))
    .await
}

/// Ends a presence; what the worker still has is given to others.
pub(crate) async fn leave(base: &impl Database, worker: WorkerId) -> Result<(), StoreError> {
    base.transact(sql::work(move |sql: &mut Sql<'_>| Box::pin(queue::abandon(sql, worker, None)))).await
}
