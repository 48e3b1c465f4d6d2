//! The pages about forges, and the way to one and back.

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use url::Url;

use super::{
    answer::{Html, page, to, viewer},
    fields::{Fields, optional},
};
use crate::{
    access::Signed,
    actions::{self, Connected},
    api::{Asked, Named},
    forges::{AppSeen, AppWish, BelongTogether, ForgeSeen, ForgeWish, Forges},
    headers,
    pages::{
        forges::{self, Known},
        shell::{self, Place},
    },
    problem::{Kind, Problem},
};

const FORGES: &str = "/forges";
/// Deliveries among which a forge's last one is looked for.
const LATE: u32 = 200;

/// The forges, for whoever administers the whole organisation.
fn known(signed: &Signed) -> Result<&dyn Forges, Problem> {
    signed.tenant.makes_apps()?;
    signed.shared.forges().ok_or_else(|| Problem::not_found("page"))
}

pub(super) async fn list(signed: Signed) -> Result<Html, Problem> {
    let known = known(&signed)?;
    let seen = known.of(signed.actor().org).await;
    let arrived = signed.tenant.arrived(None, LATE).await?;
    let last = |name: &str| arrived.iter().find(|arrived| arrived.arrival.source == name).cloned();
    let is_free = |name: &String| seen.iter().all(|forge| forge.name != *name);
    let names = std::iter::once("github".to_owned()).chain((2..100).map(|number| format!("github-{number}")));
    let shown = Known {
        free: names.into_iter().find(is_free).unwrap_or_default(),
        places: known.places(),
        forges: seen.iter().map(|forge| (forge.clone(), last(&forge.name))).collect(),
    };
    Ok(page(&signed, Place::Forges, "Forges", &forges::forges(&shown, signed.now())))
}

/// An app that somebody wants.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    name: String,
    web: String,
    #[serde(default)]
    owner: String,
}

/// A page that leads to the forge, and the only one whose form may.
pub(super) async fn connect(signed: Signed, Fields(form): Fields<Wanted>) -> Result<Response, Problem> {
    known(&signed)?;
    let Wanted { name, web, owner } = form;
    let owner = optional(owner.trim().to_owned());
    let form = actions::connect(&signed, AppWish { name: name.clone(), web, owner }).await?;
    let action = Url::parse(&form.action).map_err(|error| Problem::internal(&error))?;
    let policy = headers::policy_with_form_to(&action.origin().ascii_serialization());
    let policy = HeaderValue::from_str(&policy).map_err(|error| Problem::internal(&error))?;
    let content = forges::plan(&form, &name);
    let page = Html(shell::leading_out(&viewer(&signed), Place::Forges, "Connect GitHub", &content));
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, HeaderValue::from_static("strict-origin")),
    ];
    Ok((headers, page).into_response())
}

/// What a forge sends the browser back with.
#[derive(Debug, Deserialize)]
pub(super) struct Returned {
    code: Option<String>,
    state: Option<String>,
}

/// Shows the browser how it goes on. Nothing is known of who it is, and nothing happens yet.
pub(super) async fn back(Asked(returned): Asked<Returned>) -> Result<Html, Problem> {
    let code = returned.code.filter(|code| actions::is_code(code));
    let state = returned.state.filter(|state| actions::is_state(state));
    let (Some(code), Some(state)) = (code, state) else {
        return Err(Problem::new(
            Kind::Malformed,
            "this is not what GitHub sends a browser back with: begin again at /forges",
        ));
    };
    Ok(Html(shell::page(None, Place::Elsewhere, "Connect GitHub", &forges::back(&code, &state, None))))
}

/// What the page of [`back`] sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Finished {
    code: String,
    state: String,
}

pub(super) async fn finish(signed: Signed, Fields(form): Fields<Finished>) -> Result<Response, Problem> {
    known(&signed)?;
    match actions::connected(&signed, &form.state, &form.code).await? {
        Connected::Kept(name) => Ok(to(&format!("{FORGES}#forge-{name}"))),
        Connected::Later(reason) => {
            let content = forges::back(&form.code, &form.state, Some(&reason));
            let problem = Kind::Unavailable.status();
            Ok((problem, page(&signed, Place::Forges, "Connect GitHub", &content)).into_response())
        }
    }
}

/// A forge whose app is kept.
async fn kept(signed: &Signed, name: &str) -> Result<(ForgeSeen, AppSeen), Problem> {
    let seen = known(signed)?.of(signed.actor().org).await;
    let found = seen.into_iter().find(|forge| forge.name == name);
    let kept = found.and_then(|forge| forge.app.clone().map(|app| (forge, app)));
    kept.ok_or_else(|| Problem::not_found("app"))
}

/// How the forge of an app is to be worked with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    #[serde(default)]
    every: String,
    #[serde(default)]
    together: String,
}

pub(super) async fn set(
    signed: Signed,
    Named(name): Named<String>,
    Fields(form): Fields<Settings>,
) -> Result<Response, Problem> {
    known(&signed)?;
    let Settings { every, together } = form;
    let every = optional(every.trim().to_owned());
    let together = BelongTogether::read(&together).map_err(|why| Problem::new(Kind::Meaningless, why))?;
    actions::set_forge(&signed, &name, &ForgeWish { every, together }).await?;
    Ok(to(&format!("{FORGES}#forge-{name}")))
}

pub(super) async fn ask_to_remove(signed: Signed, Named(name): Named<String>) -> Result<Html, Problem> {
    let (forge, app) = kept(&signed, &name).await?;
    Ok(page(&signed, Place::Forges, "Remove a forge", &forges::removal(&forge, &app)))
}

pub(super) async fn remove(signed: Signed, Named(name): Named<String>) -> Result<Response, Problem> {
    known(&signed)?;
    actions::disconnect(&signed, &name).await?;
    Ok(to(FORGES))
}
