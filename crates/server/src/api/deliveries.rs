//! What forges, chats and other programs sent, and what became of it.

use axum::Json;
use cofferdam_domain::{SessionId, Timestamp};
use cofferdam_store::Arrived;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    body::Asked,
    paging::{self, Paged},
};
use crate::{access::Signed, cursor, problem::Problem};

super::resources! {
    (list_deliveries),
}

/// Something that was sent here.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
struct DeliveryView {
    /// The name in the configuration of where it came from
    source: String,
    /// What the sender calls it
    id: String,
    /// What kind of thing it is, in the sender's words
    event: String,
    /// What it was dealt with in order with: a repository, a conversation
    line: String,
    /// When it arrived, in milliseconds since 1970
    #[schema(value_type = u64)]
    at: Timestamp,
    /// How often it was tried
    tries: u32,
    /// Where it stands: `waiting`, `done` or `given_up`
    state: String,
    /// When it was dealt with or given up, in milliseconds since 1970
    #[schema(value_type = Option<u64>)]
    done: Option<Timestamp>,
    /// The session that was begun, or that it was for
    #[schema(value_type = Option<String>)]
    session: Option<SessionId>,
    /// What was made of it, or why the last try failed
    what: Option<String>,
}

/// A page of deliveries.
#[derive(Debug, Serialize, ToSchema)]
struct DeliveryPage {
    /// The newest first
    deliveries: Vec<DeliveryView>,
    /// Where the next page begins; nothing at the end
    next: Option<String>,
}

/// Where a delivery stands, in one word.
pub(crate) const fn state(arrived: &Arrived) -> &'static str {
    match (arrived.done, arrived.given_up) {
        (None, _) => "waiting",
        (Some(_), false) => "done",
        (Some(_), true) => "given_up",
    }
}

/// List what was sent here
///
/// What forges, chats and other programs have sent, proved to come from them: how often it was tried, and what became of it. What was dealt with or
/// given up is kept for thirty days.
#[utoipa::path(get, path = "/deliveries", tag = "Rules", params(Paged), responses((status = 200, description = "The newest first", body = DeliveryPage)))]
async fn list_deliveries(signed: Signed, Asked(wanted): Asked<Paged>) -> Result<Json<DeliveryPage>, Problem> {
    let limit = wanted.limit("deliveries")?;
    let before = wanted.cursor.as_deref().map(cursor::read_number).transpose()?;
    let arrived = signed.tenant.arrived(before, limit).await?;
    let next = paging::next(&arrived, limit, |last| cursor::after_number(last.number));
    Ok(Json(DeliveryPage { deliveries: arrived.into_iter().map(view).collect(), next }))
}

fn view(arrived: Arrived) -> DeliveryView {
    let state = state(&arrived).to_owned();
    let Arrived { number: _, arrival, tries, done, given_up: _, session, what } = arrived;
    DeliveryView {
        source: arrival.source,
        id: arrival.id,
        event: arrival.event,
        line: arrival.line,
        at: arrival.at,
        tries,
        state,
        done,
        session,
        what,
    }
}
