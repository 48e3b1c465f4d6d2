//! What was written down about an organisation: in pages, and whole, to be checked elsewhere.

use axum::{
    Json,
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use cofferdam_domain::{Rank, Seq, Timestamp, ids::AuditKind};
use cofferdam_store::{AuditEntry, ExportedEntry, Tenant, TenantError, audit_title};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    body::{Asked, NoQuery},
    paging,
};
use crate::{
    access::Signed,
    cursor,
    problem::{Kind, Problem},
};

super::resources! {
    (list_audit),
    (export_audit),
    (sign_audit),
}

/// Which entries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Where the page begins, as the page before said
    #[param(max_length = 100)]
    cursor: Option<String>,
    /// At most this many; 100 where it is not said
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// Something that was written down.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
struct EntryView {
    /// Its id
    #[schema(value_type = String)]
    id: cofferdam_domain::AuditId,
    /// When, in milliseconds since 1970
    #[schema(value_type = u64)]
    at: Timestamp,
    /// Who
    by: String,
    /// What was done or tried
    action: String,
    /// To what
    subject: String,
    /// More
    #[schema(value_type = Object)]
    detail: serde_json::Value,
}

/// A page of the audit log.
#[derive(Debug, Serialize, ToSchema)]
struct AuditPage {
    /// The newest first
    entries: Vec<EntryView>,
    /// Where the next page begins; nothing at the end
    next: Option<String>,
}

/// List what was written down
///
/// What happened outside of the sessions' own logs: who signed in, who changed what, who tried what they may not.
#[utoipa::path(get, path = "/audit", tag = "Rules", params(Wanted), responses((status = 200, description = "The newest first", body = AuditPage)))]
async fn list_audit(signed: Signed, Asked(wanted): Asked<Wanted>) -> Result<Json<AuditPage>, Problem> {
    admins(&signed)?;
    let limit = paging::limit(wanted.limit, 100, 500, "entries")?;
    let before = wanted.cursor.as_deref().map(cursor::read::<AuditKind>).transpose()?;
    let entries = signed.tenant.audited(before, limit).await?;
    let next = paging::next(&entries, limit, |entry| cursor::after(entry.id));
    let view = |entry: AuditEntry| EntryView {
        id: entry.id,
        at: entry.at,
        by: entry.by,
        action: entry.action,
        subject: entry.subject,
        detail: serde_json::from_str(&entry.detail).unwrap_or(serde_json::Value::Null),
    };
    Ok(Json(AuditPage { entries: entries.into_iter().map(view).collect(), next }))
}

/// Entries that are read at once for an export.
const PAGE: u32 = 200;

/// Take what was written down along
///
/// All entries as they are kept, one a line as JSON after a line that says whose they are: `cofferdam audit check` checks them anywhere. An
/// export that cannot be finished is cut off.
#[utoipa::path(
    get,
    path = "/audit/export",
    tag = "Rules",
    responses((status = 200, description = "A line for each entry, the oldest first", body = String, content_type = "application/jsonl"))
)]
async fn export_audit(signed: Signed, _: NoQuery) -> Result<Response, Problem> {
    admins(&signed)?;
    let tenant = signed.tenant.clone();
    // The first entries before the answer begins, so that what is wrong with them is said.
    let first = tenant.exported_audit(Seq::START, PAGE).await?;
    let title = audit_title(signed.actor().org).map_err(|error| Problem::internal(&error))?;
    let begin = stream::once(async move { Ok::<_, TenantError>(Bytes::from(title + "\n")) });
    let entries = stream::unfold(Some((tenant, first)), next_page);
    let mut response = Response::new(Body::from_stream(begin.chain(entries)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"audit.jsonl\""),
    );
    Ok(response)
}

type Pages = Option<(Tenant, Vec<ExportedEntry>)>;

/// A page as lines, and what comes after it.
async fn next_page(pages: Pages) -> Option<(Result<Bytes, TenantError>, Pages)> {
    let (tenant, entries) = pages?;
    let last = entries.last()?.seq;
    let lines: Result<Vec<String>, _> = entries.iter().map(ExportedEntry::line).collect();
    let text = match lines {
        Ok(lines) => lines.join("\n") + "\n",
        Err(error) => return Some((Err(error.into()), None)),
    };
    match tenant.exported_audit(last, PAGE).await {
        Ok(next) => Some((Ok(text.into()), Some((tenant, next)))),
        Err(error) => Some((Err(error), None)),
    }
}

/// Where an audit log ends, signed.
#[derive(Debug, Serialize, ToSchema)]
struct SignedEnd {
    /// The checkpoint, to be kept where whoever runs the store cannot reach it
    checkpoint: String,
    /// The public key that checks its signature: 64 hexadecimal digits. Take it from whoever runs the server, too, another way
    key: String,
}

/// Sign where the audit log ends
///
/// Checks the whole log and signs the place and hash of its last entry with the server's key. Later it shows, with an export, that all
/// that there was is there still.
#[utoipa::path(
    get,
    path = "/audit/checkpoint",
    tag = "Rules",
    responses((status = 200, description = "The checkpoint", body = SignedEnd))
)]
async fn sign_audit(signed: Signed, _: NoQuery) -> Result<Json<SignedEnd>, Problem> {
    admins(&signed)?;
    let key = signed.shared.audit_key().map_err(|error| Problem::internal(&*error))?;
    let checkpoint = signed.tenant.audit_checkpoint(&key, signed.now()).await?;
    let key = key.public().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Json(SignedEnd { checkpoint, key }))
}

fn admins(signed: &Signed) -> Result<(), Problem> {
    if signed.actor().may(Rank::Admin) {
        Ok(())
    } else {
        Err(Problem::new(Kind::Forbidden, "the audit log is for admins"))
    }
}
