//! What people outside are told of sessions, and where that stands.

use axum::Json;
use cofferdam_domain::{LetterId, Rank, SessionId, Timestamp, ids::LetterKind};
use cofferdam_store::Posted;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    body::Asked,
    paging::{self, Paged},
};
use crate::{
    access::Signed,
    cursor,
    problem::{Kind, Problem},
};

super::resources! {
    (list_letters),
}

/// Something that one channel is told.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Letter)]
struct LetterView {
    /// Its id: the header `webhook-id`
    #[schema(value_type = String)]
    id: LetterId,
    /// Of what: `question`, `frozen`, `pull_request`, …
    kind: String,
    /// Of which session; none for a test
    #[schema(value_type = Option<String>)]
    session: Option<SessionId>,
    /// When it happened, in milliseconds since 1970
    #[schema(value_type = u64)]
    at: Timestamp,
    /// By which channel; nothing while nobody has looked who is to be told
    channel: Option<String>,
    /// How often it was tried
    tries: u32,
    /// Where it stands: `waiting`, `told` or `given_up`
    state: String,
    /// When it was told or given up, in milliseconds since 1970
    #[schema(value_type = Option<u64>)]
    done: Option<Timestamp>,
    /// Why the last try failed
    reason: Option<String>,
}

/// A page of letters.
#[derive(Debug, Serialize, ToSchema)]
struct LetterPage {
    /// The newest first
    letters: Vec<LetterView>,
    /// Where the next page begins; nothing at the end
    next: Option<String>,
}

/// Where a letter stands, in one word.
pub(crate) const fn state(posted: &Posted) -> &'static str {
    match (posted.done, posted.told) {
        (None, _) => "waiting",
        (Some(_), true) => "told",
        (Some(_), false) => "given_up",
    }
}

/// List what people outside are told
///
/// By which channel, how often it was tried, and why it failed. Letters that were told or given up are kept for thirty days.
#[utoipa::path(get, path = "/letters", tag = "Rules", params(Paged), responses((status = 200, description = "The newest first", body = LetterPage)))]
async fn list_letters(signed: Signed, Asked(wanted): Asked<Paged>) -> Result<Json<LetterPage>, Problem> {
    if !signed.actor().may(Rank::Admin) {
        return Err(Problem::new(Kind::Forbidden, "who is told is for admins"));
    }
    let limit = wanted.limit("letters")?;
    let before = wanted.cursor.as_deref().map(cursor::read::<LetterKind>).transpose()?;
    let letters = signed.tenant.letters(before, limit).await?;
    let next = paging::next(&letters, limit, |posted| cursor::after(posted.letter.id));
    let view = |posted: Posted| LetterView {
        id: posted.letter.id,
        kind: posted.letter.kind.name().to_owned(),
        session: posted.letter.session,
        at: posted.letter.at,
        state: state(&posted).to_owned(),
        channel: posted.channel,
        tries: posted.tries,
        done: posted.done,
        reason: posted.reason,
    };
    Ok(Json(LetterPage { letters: letters.into_iter().map(view).collect(), next }))
}
