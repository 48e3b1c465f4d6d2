//! The session log, the queue, blobs, claims, and who there is: the only SQL in Cofferdam.
//!
//! What this crate is for: [`Store`] keeps what must not be lost. Appends are durable when they return;
//! readers follow a log live without polling. [`Queue`] gives sessions to workers, [`Directory`] knows
//! organisations and their people, [`Ledger`] what was spent, [`Upkeep`] removes what has expired. [`SqliteStore`] is one directory on one
//! machine, shared by any number of processes; [`PostgresStore`] is shared by many machines. Both do the same;
//! [`open`] takes either.
//!
//! What it never does: interpret events beyond their place in the chain and the line that they leave in a
//! list of sessions, or decide anything.
//!
//! Where to start reading: [`Store`], then `chain` (how events are linked), `log` (how logs are kept in
//! either database), `records` (what is kept beside them), then `sqlite`.

#![forbid(unsafe_code)]

mod apps;
mod blobs;
mod bucket;
mod chain;
mod checkpoint;
mod content;
mod directory;
mod error;
mod everything;
mod export;
mod held;
mod intake;
mod ledger;
mod log;
mod notebook;
mod outbox;
mod playbooks;
mod postgres;
mod queue;
mod records;
mod registry;
pub mod seal;
mod search;
mod servers;
mod sql;
mod sqlite;
mod store;
mod summary;
mod tenant;
mod upkeep;
mod write;

pub use apps::{AppAttempt, Apps, KeptApp};
pub use bucket::BucketOptions;
pub use checkpoint::{
    Checked, CheckpointError, CheckpointKey, audit_checkpoint, check_checkpoint, checkpoint, verify_all,
};
pub use directory::{AuditEntry, Directory, Member, NewToken, Org, Project, Proof, Repeat, Sealed, Token};
pub use error::StoreError;
pub use everything::{Everything, open, open_with};
pub use export::{
    CheckedExport, Export, ExportError, Exported, ExportedEntry, ExportedEvent, audit_title, check_export,
    export, export_audit,
};
pub use held::while_held;
pub use intake::{Arrival, Arrived, Dealt, Intake, TakenArrival};
pub use ledger::{DayBudget, Ledger, Purse, Spending};
pub use notebook::{Notebook, Noted, Proposed, is_crowded};
pub use outbox::{Delivery, Letter, Outbox, Posted, Sent};
pub use playbooks::{KeptPlaybook, MOST_PLAYBOOKS, PlaybookVersion, Playbooks, PutPlaybook};
pub use postgres::PostgresStore;
pub use queue::{Depth, MOST_CRASHES, Placement, Presence, Queue, Release, Shares, Standing, Taken, Ticket};
pub use registry::{KeptSkill, Registry};
pub use search::look::LOOKED_THROUGH;
pub use servers::{ApprovedServer, ApprovedServers};
pub use sqlite::SqliteStore;
pub use store::{Claim, SessionFilter, SessionRow, Store, Verified, Writer};
pub use tenant::{NewSession, Tenant, TenantError};
pub use upkeep::{Duty, GRACE, Keeping, Kept, Retention, Upkeep, expiry, upkeep};
