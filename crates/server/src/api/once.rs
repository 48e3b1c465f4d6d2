//! Requests that may be sent again without doing anything twice: under an `Idempotency-Key`, a request that was answered is answered with
//! the same bytes, for a day.

use axum::{
    body::Body as Content,
    extract::FromRequestParts,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use cofferdam_domain::{Digest, SessionId, Timestamp};
use cofferdam_store::Repeat;
use serde::Serialize;

use crate::{
    access::Signed,
    problem::{Kind, Problem},
    shared::Shared,
};

/// The value of `Idempotency-Key`, if there is one.
#[derive(Debug, Clone)]
pub(crate) struct Key(Option<String>);

impl FromRequestParts<Shared> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all("idempotency-key").iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        let text = value.to_str().ok().filter(|text| {
            (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        });
        match (text, values.next()) {
            (Some(text), None) => Ok(Self(Some(text.to_owned()))),
            (_, _) => Err(Problem::new(
                Kind::Malformed,
                "Idempotency-Key has 1 to 128 visible ASCII characters, and is sent once",
            )),
        }
    }
}

/// An answer that can be given again.
pub(crate) struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

impl Answer {
    /// Something was made, and this is it.
    pub(crate) fn created(view: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(view).map_err(|error| Problem::internal(&error))?;
        Ok(Self { status: StatusCode::CREATED, body })
    }
}

/// Does the work, unless the same was asked under the same key before. The work gets the id that a session it makes should have: the same
/// however often it is tried. It is done to its end whether or not anybody waits for the answer.
pub(crate) async fn once<W, F>(
    signed: Signed,
    key: Key,
    request: Digest,
    work: W,
) -> Result<Response, Problem>
where
    W: FnOnce(Signed, SessionId) -> F + Send + 'static,
    F: Future<Output = Result<Answer, Problem>> + Send + 'static,
{
    let running = tokio::spawn(async move {
        let Some(key) = key.0 else {
            return Ok(answered(work(signed, SessionId::generate()).await?));
        };
        let since = match signed.tenant.begin_once(&key, request, signed.now()).await? {
            Repeat::First(since) => since,
            Repeat::Same(status, body) => {
                let status = StatusCode::from_u16(status).map_err(|error| Problem::internal(&error))?;
                return Ok(answered(Answer { status, body }));
            }
            Repeat::UnderWay => {
                return Err(Problem::new(
                    Kind::UnderWay,
                    "the request with this Idempotency-Key has no answer yet",
                ));
            }
            Repeat::Different => {
                return Err(Problem::new(
                    Kind::Meaningless,
                    "another request was made with this Idempotency-Key: take a new key for each",
                ));
            }
        };
        let id = derived(&signed, &key, since);
        match work(signed.clone(), id).await {
            Ok(answer) => {
                signed.tenant.end_once(&key, answer.status.as_u16(), &answer.body).await?;
                Ok(answered(answer))
            }
            Err(problem) => {
                signed.tenant.abandon_once(&key).await?;
                Err(problem)
            }
        }
    });
    running.await.map_err(|error| Problem::internal(&error))?
}

/// A session's id from a key and the time at which it was first used: an id of its usual form (RFC 9562, section 5.7), and the same each time.
fn derived(signed: &Signed, key: &str, since: Timestamp) -> SessionId {
    let actor = signed.actor();
    let digest = Digest::of(format!("{} {} {key}", actor.org, actor.user).as_bytes());
    let mut random = [0; 16];
    random.copy_from_slice(&digest.as_bytes()[..16]);
    let random = u128::from_be_bytes(random);
    let time = u128::from(since.0 & 0xffff_ffff_ffff) << 80;
    let rest = random & ((1 << 80) - 1) & !(0xf << 76) & !(0b11 << 62);
    SessionId::from_u128(time | rest | 7 << 76 | 0b10 << 62)
}

fn answered(answer: Answer) -> Response {
    let mut response = (answer.status, Content::from(answer.body)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
