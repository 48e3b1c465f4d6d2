//! All that a store can do, in one, and opening one by its address.

use std::{path::Path, sync::Arc};

use crate::{
    ApprovedServers, Apps, BucketOptions, Directory, Export, Intake, Ledger, Notebook, Outbox, Playbooks,
    PostgresStore, Queue, Registry, SqliteStore, Store, StoreError, Upkeep,
};

/// All that a store can do: what the composition root hands down.
pub trait Everything:
    Store
    + Queue
    + Directory
    + Ledger
    + Upkeep
    + Outbox
    + Intake
    + Export
    + Apps
    + ApprovedServers
    + Registry
    + Notebook
    + Playbooks
{
}

impl<
    S: Store
        + Queue
        + Directory
        + Ledger
        + Upkeep
        + Outbox
        + Intake
        + Export
        + Apps
        + ApprovedServers
        + Registry
        + Notebook
        + Playbooks,
> Everything for S
{
}

/// Opens a store: a PostgreSQL database by its URL (`postgres://…`), or the directory with this path.
///
/// # Errors
/// As [`SqliteStore::open`] and [`PostgresStore::open`]; [`StoreError::Address`] for another kind of URL.
pub async fn open(address: &str) -> Result<Arc<dyn Everything>, StoreError> {
    open_with(address, None).await
}

/// The same, with content in a bucket of an object store.
///
/// # Errors
/// As [`open`]. Nothing is asked of the bucket yet: see [`Store::try_bucket`].
pub async fn open_with(
    address: &str,
    bucket: Option<&BucketOptions>,
) -> Result<Arc<dyn Everything>, StoreError> {
    if ["postgres://", "postgresql://"].iter().any(|scheme| address.starts_with(scheme)) {
        return Ok(Arc::new(PostgresStore::open_with(address, bucket).await?));
    }
    if address.contains("://") {
        let scheme = address.split_once("://").map_or(address, |(scheme, _)| scheme);
        let reason = "give a directory, or a URL that begins with postgres://";
        return Err(StoreError::Address { address: scheme.to_owned(), reason });
    }
    Ok(Arc::new(SqliteStore::open_with(Path::new(address), bucket).await?))
}
