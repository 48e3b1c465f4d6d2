//! `POST /hooks/{name}`: what forges, chats and other programs post.
//!
//! Nobody is signed in here and no cookie counts: whoever posts proves it by what is posted, which is for those to judge who know the name's
//! secrets. This is only where it comes in: bounded in bytes for each and for all together, and in time.

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::post,
};
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    api::Named,
    limits::{HOOK_WAIT, MAX_POSTED},
    problem::{Kind, Problem},
    shared::Shared,
};

/// Where it comes in.
pub(crate) const BASE: &str = "/hooks/";

/// Takes what is posted.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// Judges and keeps something that was posted under a name. It is acknowledged when this says that it is kept, and not before.
    async fn take(&self, name: &str, headers: &HeaderMap, body: Vec<u8>) -> Posted;
}

/// What becomes of something that was posted. Texts are for whoever set the sender up, and have nothing of a secret in them.
#[derive(Debug)]
pub enum Posted {
    /// It is kept.
    Kept,
    /// It is answered with this at once.
    Said {
        /// The answer's content type.
        content_type: &'static str,
        /// The answer.
        body: String,
    },
    /// Nothing is posted under this name.
    Unknown,
    /// Its proof is missing or wrong.
    Unproved(String),
    /// It is not what is sent under this name.
    Malformed(String),
    /// It is too large.
    TooLarge(String),
    /// It is of another type than is taken.
    MediaType(String),
    /// It cannot be kept now.
    Away(Box<dyn std::error::Error + Send + Sync>),
}

pub(crate) fn router() -> Router<Shared> {
    Router::new().route("/hooks/{name}", post(take)).layer(DefaultBodyLimit::disable())
}

async fn take(
    State(shared): State<Shared>,
    Named(name): Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let Some(hooks) = shared.hooks() else { return Err(Problem::not_found("hook")) };
    let (bytes, _held) = tokio::time::timeout(shared.limits().body_time, read(shared.posted(), body))
        .await
        .map_err(|_| Problem::new(Kind::Slow, "the request's body did not arrive in time"))??;
    match hooks.take(&name, &parts.headers, bytes).await {
        Posted::Kept => Ok(StatusCode::ACCEPTED.into_response()),
        Posted::Said { content_type, body } => {
            let content_type = HeaderValue::from_static(content_type);
            Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
        }
        Posted::Unknown => Err(Problem::not_found("hook")),
        Posted::Unproved(why) => Err(Problem::new(Kind::Unauthenticated, why)),
        Posted::Malformed(why) => Err(Problem::new(Kind::Malformed, why)),
        Posted::TooLarge(why) => Err(Problem::new(Kind::TooLarge, why)),
        Posted::MediaType(why) => Err(Problem::new(Kind::MediaType, why)),
        Posted::Away(error) => Err(Problem::unavailable(&*error)),
    }
}

/// Reads a body. Each of its bytes takes room that all who post have together, and keeps it as long as the second value is there.
async fn read(
    room: &std::sync::Arc<Semaphore>,
    body: Body,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Problem> {
    let too_large = || Problem::new(Kind::TooLarge, format!("at most {MAX_POSTED} bytes are taken here"));
    let mut bytes = Vec::new();
    let mut held: Option<OwnedSemaphorePermit> = None;
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece =
            piece.map_err(|_| Problem::new(Kind::Malformed, "the request's body did not arrive whole"))?;
        if bytes.len() + piece.len() > MAX_POSTED {
            return Err(too_large());
        }
        let more = u32::try_from(piece.len()).map_err(|_| too_large())?;
        let more = tokio::time::timeout(HOOK_WAIT, room.clone().acquire_many_owned(more)).await;
        let Ok(Ok(more)) = more else {
            return Err(Problem::new(Kind::TooMany, "too much is posted at once: send it again"));
        };
        match &mut held {
            Some(held) => held.merge(more),
            None => held = Some(more),
        }
        bytes.extend_from_slice(&piece);
    }
    Ok((bytes, held))
}
