//! What somebody did by a command goes into the organisation's audit log, like what is done on the pages.

use anyhow::Result;
use cofferdam_domain::{AuditId, OrgId};
use cofferdam_store::{AuditEntry, Everything};

use crate::compose::App;

/// Writes down that the user of this program did that to what has this name.
pub(super) async fn account(
    app: &App,
    store: &dyn Everything,
    org: OrgId,
    action: &str,
    name: &str,
    detail: serde_json::Value,
) -> Result<()> {
    let entry = AuditEntry {
        id: AuditId::generate(),
        at: cofferdam_worker::now(),
        by: app.user(),
        action: action.to_owned(),
        subject: name.to_owned(),
        detail: detail.to_string(),
    };
    Ok(store.audit(org, entry).await?)
}
