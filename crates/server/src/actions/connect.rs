//! Making an app on a forge, in two steps between which a person is at the forge, and removing it.
//!
//! What ties the steps together is a state: a secret that the browser takes to the forge and back. It holds once, for half an hour, and in
//! the stay of the browser in which it was begun, for whoever administers the whole organisation then. Only a forge that cannot be reached gives it
//! back, as the app is made already and its code holds for an hour.

use std::time::Duration;

use cofferdam_domain::{Secret, SignInId, Timestamp};
use cofferdam_store::{AppAttempt, KeptApp, StoreError, TenantError};
use serde_json::json;

use super::{administer::note, conflict, meaningless};
use crate::{
    access::Signed,
    forges::{AppForm, AppWish, ForgeWish, Forges, NewApp},
    problem::{Kind, Problem},
    proof::{self, Purpose},
};

/// How long somebody may be at the forge: to sign in there, to find their second factor, to read.
const APP_TIME: Duration = Duration::from_secs(30 * 60);
/// Characters of a code, which have 40 today.
const LONGEST_CODE: usize = 200;
/// What begins the name under which an app's secrets are encrypted. No credential is called so, and none can be read in its place.
const SEALED_AS: &str = "forge app:";

/// What came of it.
pub(crate) enum Connected {
    /// It is kept under this name.
    Kept(String),
    /// It may do later, with the same state and code.
    Later(String),
}

fn forges(signed: &Signed) -> Result<&dyn Forges, Problem> {
    signed.shared.forges().ok_or_else(|| Problem::not_found("page"))
}

/// The stay of the browser in which an admin of the whole organisation asks.
fn stay(signed: &Signed) -> Result<SignInId, Problem> {
    signed.tenant.makes_apps()?.ok_or_else(|| {
        Problem::new(Kind::Forbidden, "an app is made in a browser: sign in, and open /forges there")
    })
}

/// Begins to make an app. Gives what the browser is to post to the forge.
pub(crate) async fn connect(signed: &Signed, wish: AppWish) -> Result<AppForm, Problem> {
    let sign_in = stay(signed)?;
    let (state, proof) = proof::generate(Purpose::App)?;
    let form = forges(signed)?.plan(signed.actor().org, &wish, &state).await.map_err(meaningless)?;
    // Otherwise it would be found out when the app is made and its key is lost.
    seal(signed, &wish.name, &Secret::new("tried")).await?;
    let now = signed.now();
    let time = u64::try_from(APP_TIME.as_millis()).unwrap_or(u64::MAX);
    let attempt = AppAttempt {
        proof,
        org: signed.actor().org,
        sign_in,
        name: wish.name.clone(),
        web: form.web.clone(),
        hears: form.hears,
        expires: Timestamp(now.0.saturating_add(time)),
    };
    signed.tenant.begin_app(attempt, now).await?;
    let detail = json!({ "web": form.web, "owner": wish.owner });
    note(signed, "forge.connect_begun", &wish.name, detail).await?;
    Ok(form)
}

/// Whether a text has the form of a state.
pub(crate) fn is_state(state: &str) -> bool {
    proof::read(Purpose::App, state).is_some()
}

/// Whether a text has the form of a code.
pub(crate) fn is_code(code: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LONGEST_CODE).contains(&code.len()) && code.bytes().all(plain)
}

/// Ends what was begun in this browser: exchanges the code, and keeps the app.
pub(crate) async fn connected(signed: &Signed, state: &str, code: &str) -> Result<Connected, Problem> {
    let sign_in = stay(signed)?;
    let (forges, now) = (forges(signed)?, signed.now());
    let taken = match proof::read(Purpose::App, state).filter(|_| is_code(code)) {
        Some(proof) => signed.tenant.take_app_attempt(sign_in, proof, now).await?,
        None => None,
    };
    let Some(attempt) = taken else {
        note(signed, "forge.connect_refused", "an app", json!({ "reason": "not begun here, or used" }))
            .await?;
        return Err(Problem::new(
            Kind::Forbidden,
            "this was not begun in this browser, was ended already, or more than half an hour ago. Begin again at /forges; an app that was made \
             meanwhile and is not listed there is of no use: delete it at the forge",
        ));
    };
    match forges.exchange(&attempt.web, code).await {
        Ok(app) => keep(signed, attempt, app).await,
        Err(none) => {
            let detail = json!({ "web": attempt.web, "reason": none.reason });
            note(signed, "forge.connect_failed", &attempt.name, detail).await?;
            if !none.again {
                return Err(conflict(none.reason));
            }
            signed.tenant.begin_app(attempt, now).await?;
            Ok(Connected::Later(none.reason))
        }
    }
}

async fn keep(signed: &Signed, attempt: AppAttempt, app: NewApp) -> Result<Connected, Problem> {
    let AppAttempt { org, name, web, hears, .. } = attempt;
    let NewApp { number, page, secrets } = app;
    let lost = |why: String| {
        conflict(format!(
            "the app was made, and its key could not be kept ({why}): delete it at {page}, and begin again"
        ))
    };
    let sealed = seal(signed, &name, &secrets).await.map_err(|problem| lost(problem.detail))?;
    let (at, by) = (signed.now(), signed.name());
    let kept = KeptApp {
        name: name.clone(),
        org,
        web: web.clone(),
        number,
        page: page.clone(),
        hears,
        settings: String::new(),
        sealed,
        at,
        by,
    };
    match signed.tenant.keep_app(kept).await {
        Ok(()) => {}
        Err(TenantError::Store(error @ StoreError::Taken { .. })) => return Err(lost(error.to_string())),
        Err(error) => {
            let problem = Problem::from(error);
            return Err(lost(problem.detail));
        }
    }
    note(signed, "forge.connected", &name, json!({ "web": web, "app": number, "page": page })).await?;
    forges(signed)?.look_again().await;
    Ok(Connected::Kept(name))
}

async fn seal(signed: &Signed, name: &str, secret: &Secret) -> Result<Vec<u8>, Problem> {
    let place = sealed_as(name);
    signed.shared.seal().seal(signed.actor().org, &place, secret).await.map_err(|error| {
        tracing::warn!(error = %cofferdam_domain::causes::with_causes(&error), "an app's key could not be encrypted");
        conflict(error.reason)
    })
}

/// The name under which the secrets of an app are encrypted.
#[must_use]
pub fn sealed_as(name: &str) -> String {
    format!("{SEALED_AS}{name}")
}

/// Changes how the forge of an app is worked with.
pub(crate) async fn set_forge(signed: &Signed, name: &str, wish: &ForgeWish) -> Result<(), Problem> {
    let settings = forges(signed)?.settings(wish).map_err(meaningless)?;
    if !signed.tenant.set_app(name, settings).await? {
        return Err(Problem::not_found("app"));
    }
    let together: Vec<&str> = wish.together.iter().map(|one| one.repository.as_str()).collect();
    note(signed, "forge.set", name, json!({ "every": wish.every, "together": together })).await?;
    forges(signed)?.look_again().await;
    Ok(())
}

/// Forgets an app. What was asked for on its forge is worked on no further; the app itself stays until somebody deletes it there.
pub(crate) async fn disconnect(signed: &Signed, name: &str) -> Result<(), Problem> {
    if !signed.tenant.remove_app(name).await? {
        return Err(Problem::not_found("app"));
    }
    note(signed, "forge.removed", name, json!({})).await?;
    forges(signed)?.look_again().await;
    Ok(())
}
