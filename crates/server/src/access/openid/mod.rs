//! Sign-in by OpenID Connect: the authorization code flow (OpenID Connect Core 1.0, section 3.1) with PKCE (RFC 7636), as RFC 9700 wants it.
//!
//! The browser goes to the provider and comes back with a code. What ties the way out to the way back is in a cookie of this browser
//! ([`attempt`]); the code is given back, over a connection of the server's own, for an id token, of which everything is checked ([`token`], [`keys`]);
//! who that is here is decided last ([`admit`]). Then the browser stays as after a link, with a new cookie, and the provider is not asked again:
//! signing out is signing out here.
//!
//! This is written out instead of taken from a library: the one that there is brings sixty others, a second implementation of every
//! signature among them, for what `ring` has already.

mod admit;
mod attempt;
mod claims;
mod failure;
mod kept;
mod keys;
mod provider;
mod settings;
mod token;

use std::sync::{Mutex, PoisonError};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use cofferdam_domain::{Timestamp, UserId};
use serde::Deserialize;

pub use self::settings::{Admit, InvalidOpenId, OpenId, OpenIdSettings, Who};
use self::{
    admit::Person,
    attempt::Attempt,
    failure::Failure,
    provider::{Code, Metadata},
    token::Expected,
};
use super::{cookies::Cookie, sign_in::begin};
use crate::{
    api::Asked,
    pages,
    problem::{Kind, Problem},
    shared::Shared,
};

/// Where a sign-in begins.
const START: &str = "/sign-in/openid";
/// Where the provider sends the browser back to.
const BACK: &str = "/sign-in/openid/return";

pub(super) fn router() -> Router<Shared> {
    Router::new().route(START, get(start)).route(BACK, get(back))
}

/// How many who were not let in are written down: anybody may have an account at a provider that is for everybody.
#[derive(Debug, Default)]
struct Refusals(Mutex<(u64, u32)>);

impl Refusals {
    const A_MINUTE: u32 = 10;

    /// Whether one more may be written down in this minute. All are in the server's log.
    fn may_write(&self, now: Timestamp) -> bool {
        let minute = now.0 / 60_000;
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.0 != minute {
            *counted = (minute, 0);
        }
        counted.1 += 1;
        counted.1 <= Self::A_MINUTE
    }
}

fn openid(shared: &Shared) -> Result<&OpenId, Problem> {
    shared.openid().ok_or_else(|| Problem::not_found("page"))
}

/// Sends the browser to the provider.
async fn start(State(shared): State<Shared>, headers: HeaderMap) -> Result<Response, Problem> {
    let openid = openid(&shared)?;
    let origin = shared.origin();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !origin.is_secure() && origin.to_string() != format!("http://{host}") {
        // This machine has several names, and the browser is sent back to one of them: that must have the cookie.
        return Ok(to(&format!("{origin}{START}"))?.into_response());
    }
    let slot = openid.provider.slot()?;
    let metadata = openid.provider.metadata(shared.limits().provider_time).await?;
    drop(slot);
    let attempt = Attempt::begin(shared.now())?;
    let mut response =
        to(&question(openid, &metadata, &attempt, &format!("{origin}{BACK}")))?.into_response();
    let cookie = Cookie::Attempt.set(origin, &attempt.kept(), attempt::TIME.as_secs())?;
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}

/// What the provider is asked, as an address.
fn question(openid: &OpenId, metadata: &Metadata, attempt: &Attempt, back: &str) -> String {
    let settings = &openid.settings;
    let mut scope = "openid".to_owned();
    for one in settings.scopes.iter().filter(|one| *one != "openid") {
        scope.push(' ');
        scope.push_str(one);
    }
    let mut address = metadata.authorize.clone();
    address
        .query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &settings.client)
        .append_pair("redirect_uri", back)
        .append_pair("scope", &scope)
        .append_pair("state", &attempt.state())
        .append_pair("nonce", &attempt.nonce())
        .append_pair("code_challenge", &attempt.challenge())
        .append_pair("code_challenge_method", "S256");
    address.into()
}

fn to(address: &str) -> Result<(StatusCode, [(header::HeaderName, HeaderValue); 1]), Problem> {
    let address = HeaderValue::from_str(address).map_err(|error| Problem::internal(&error))?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, address)]))
}

/// What the provider sends the browser back with. Providers add things of their own.
#[derive(Deserialize)]
struct Answer {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

/// Takes the browser back. Whatever comes of it, this attempt is over.
async fn back(
    State(shared): State<Shared>,
    Asked(answer): Asked<Answer>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let openid = openid(&shared)?;
    let attempt = Attempt::of(&headers, shared.origin(), shared.now());
    let state = answer.state.as_deref().unwrap_or_default();
    let Some(attempt) = attempt.filter(|attempt| attempt.has_state(state)) else {
        tracing::warn!("a sign-in by OpenID Connect came back that this browser has not begun");
        return Err(Problem::new(
            Kind::Forbidden,
            "this sign-in was not begun in this browser, or more than ten minutes ago: begin again",
        ));
    };
    let mut response = match arrived(&shared, openid, &attempt, answer).await {
        Ok(cookie) => {
            let mut response = pages::arrived();
            response.headers_mut().append(header::SET_COOKIE, cookie);
            response
        }
        Err(problem) => problem.into_response(),
    };
    response.headers_mut().append(header::SET_COOKIE, Cookie::Attempt.set(shared.origin(), "", 0)?);
    Ok(response)
}

/// Finds out who it is, and begins their stay. Gives the cookie.
async fn arrived(
    shared: &Shared,
    openid: &OpenId,
    attempt: &Attempt,
    answer: Answer,
) -> Result<HeaderValue, Problem> {
    let _slot = openid.provider.slot()?;
    let metadata = openid.provider.metadata(shared.limits().provider_time).await?;
    // RFC 9207: a code of one provider must not be given to another.
    let is_issuer = |issuer: &String| *issuer == openid.settings.issuer;
    if !answer.iss.as_ref().map_or(!metadata.names_itself, is_issuer) {
        return Err(Failure::MixedUp.into());
    }
    let code = match (answer.error, answer.code) {
        (None, Some(code)) if !code.is_empty() => code,
        (error, _) => return Err(Failure::Denied(failure::code(&error.unwrap_or_default())).into()),
    };
    let user = identified(shared, openid, &metadata, attempt, &code).await?;
    begin(shared, openid.settings.org, user, "openid").await
}

/// Who it is, here.
async fn identified(
    shared: &Shared,
    openid: &OpenId,
    metadata: &Metadata,
    attempt: &Attempt,
    code: &str,
) -> Result<UserId, Problem> {
    let (settings, provider, time) = (&openid.settings, &openid.provider, shared.limits().provider_time);
    let (verifier, back, nonce) = (attempt.verifier(), format!("{}{BACK}", shared.origin()), attempt.nonce());
    let code = Code { code, verifier: &verifier, back: &back };
    let tokens = provider.exchange(metadata, settings, code, time).await?;
    let expected = Expected {
        issuer: &settings.issuer,
        client: &settings.client,
        nonce: &nonce,
        begun: attempt.begun().0 / 1000,
        now: shared.now().0 / 1000,
    };
    let mut claims = provider.claims(metadata, &tokens.id_token, expected, time).await?;
    let subject = claims.subject().unwrap_or_default().to_owned();
    if let Some(user) = admit::known(shared, openid, &subject).await? {
        return Ok(user);
    }
    claims.complete(provider.userinfo(metadata, &tokens, &subject, time).await?);
    let person = Person { subject: &subject, claims: &claims };
    match admit::newcomer(shared, openid, &person).await? {
        Some(user) => Ok(user),
        None => Err(admit::refuse(shared, openid, &person).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_do_not_fill_the_audit_log() {
        let refusals = Refusals::default();
        let written =
            |minute: u64| (0..100).filter(|_| refusals.may_write(Timestamp(minute * 60_000))).count();
        assert_eq!((written(1), written(2), written(2)), (10, 10, 0));
    }
}
