//! What came of a session: the change, the evidence, the pull request, and contents that the log refers to.

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, header},
};
use cofferdam_domain::{Digest, EvidenceRun, SessionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Named;
use crate::{access::Signed, actions::standing, problem::Problem};

super::resources! {
    (get_diff),
    (get_evidence),
    (get_pull_request),
    (get_blob),
}

/// See what a session changed
#[utoipa::path(
    get,
    path = "/sessions/{id}/diff",
    tag = "Results",
    params(("id" = String, Path, description = "The session")),
    responses((status = 200, description = "A patch as git writes it. Untrusted bytes", body = String, content_type = "text/plain"))
)]
async fn get_diff(
    signed: Signed,
    Named(session): Named<SessionId>,
) -> Result<([(HeaderName, HeaderValue); 1], Vec<u8>), Problem> {
    let patch = standing(&signed, session).await?.patch;
    let patch = patch.ok_or_else(|| Problem::not_found("change: the session has not come that far"))?;
    let bytes = signed.tenant.blob(session, patch.digest).await?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], bytes))
}

/// What the platform itself ran and saw.
#[derive(Debug, Serialize, ToSchema)]
struct Evidence {
    /// The latest run of the tests on each tree
    #[schema(value_type = Vec<Object>)]
    runs: Vec<EvidenceRun>,
    /// Why there is none
    missing: Option<String>,
    /// What the gate decided
    #[schema(value_type = Option<String>)]
    verdict: Option<cofferdam_domain::Verdict>,
    /// What the gate saw
    #[schema(value_type = Vec<Object>)]
    findings: Vec<cofferdam_domain::Finding>,
}

/// See the evidence
#[utoipa::path(
    get,
    path = "/sessions/{id}/evidence",
    tag = "Results",
    params(("id" = String, Path, description = "The session")),
    responses((status = 200, description = "Facts, not the agent's words", body = Evidence))
)]
async fn get_evidence(signed: Signed, Named(session): Named<SessionId>) -> Result<Json<Evidence>, Problem> {
    let standing = standing(&signed, session).await?;
    let (verdict, findings) =
        standing.examined.map_or((None, Vec::new()), |(verdict, findings)| (Some(verdict), findings));
    Ok(Json(Evidence { runs: standing.evidence, missing: standing.evidence_missing, verdict, findings }))
}

/// See the pull request
#[utoipa::path(
    get,
    path = "/sessions/{id}/pull-request",
    tag = "Results",
    params(("id" = String, Path, description = "The session")),
    responses((status = 200, description = "As a reviewer reads it", body = Object))
)]
async fn get_pull_request(
    signed: Signed,
    Named(session): Named<SessionId>,
) -> Result<Json<cofferdam_domain::PullRequest>, Problem> {
    let pull_request = standing(&signed, session).await?.pull_request;
    pull_request
        .map(Json)
        .ok_or_else(|| Problem::not_found("pull request: the session has not come that far"))
}

/// Which content.
#[derive(Debug, Deserialize)]
struct Content {
    id: SessionId,
    digest: Digest,
}

/// See a content that a session's log refers to
#[utoipa::path(
    get,
    path = "/sessions/{id}/blobs/{digest}",
    tag = "Results",
    params(
        ("id" = String, Path, description = "The session"),
        ("digest" = String, Path, description = "The content's digest, as the log names it")
    ),
    responses((status = 200, description = "Untrusted bytes", content(
        (Vec<u8> = "application/octet-stream"),
        (Vec<u8> = "image/png"),
        (Vec<u8> = "image/jpeg")
    )))
)]
async fn get_blob(signed: Signed, Named(wanted): Named<Content>) -> Result<(HeaderMap, Vec<u8>), Problem> {
    let bytes = signed.tenant.blob(wanted.id, wanted.digest).await?;
    let mut headers = HeaderMap::new();
    // Content under its digest never changes; whether somebody may see it can.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=300"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    match picture(&bytes) {
        Some(kind) => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        None => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
        }
    }
    Ok((headers, bytes))
}

/// The type of a picture that begins and ends as one (PNG, ISO/IEC 15948; JPEG, ITU-T T.81). Nothing else is shown by a browser: a page or a
/// drawing could have scripts.
fn picture(bytes: &[u8]) -> Option<&'static str> {
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const PNG_END: &[u8] = b"IEND\xaeB`\x82";
    const JPEG: &[u8] = b"\xff\xd8\xff";
    const JPEG_END: &[u8] = b"\xff\xd9";
    if bytes.starts_with(PNG) && bytes.ends_with(PNG_END) {
        Some("image/png")
    } else if bytes.starts_with(JPEG) && bytes.ends_with(JPEG_END) {
        Some("image/jpeg")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_are_shown() {
        let png = [&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], b"...", b"IEND\xaeB`\x82"].concat();
        assert_eq!(picture(&png), Some("image/png"));
        assert_eq!(picture(b"\xff\xd8\xff\xe0 \xff\xd9"), Some("image/jpeg"));
        for other in [&b""[..], b"<svg onload=alert(1)>", b"GIF89a", b"\x89PNG\r\n\x1a\n<script>", &png[..20]]
        {
            assert_eq!(picture(other), None);
        }
    }
}
