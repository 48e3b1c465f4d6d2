//! How pages are answered with.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use cofferdam_domain::{Rank, SessionId};
use maud::Markup;

use crate::{
    access::Signed,
    pages::{
        shell::{self, Place, Viewer},
        sign_in,
    },
    problem::{Kind, Problem},
};

/// Markup with the header fields that all pages have. What stands on a page is for whoever asked alone.
pub(super) struct Html(pub(super) Markup);

impl IntoResponse for Html {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        (headers, self.0.into_string()).into_response()
    }
}

/// Who looks at a page.
pub(super) fn viewer(signed: &Signed) -> Viewer {
    let actor = signed.actor();
    Viewer { name: actor.name.clone(), acts: actor.may(Rank::Member), administers: actor.may(Rank::Admin) }
}

/// A whole page.
pub(super) fn page(signed: &Signed, place: Place, title: &str, content: &Markup) -> Html {
    Html(shell::page(Some(&viewer(signed)), place, title, content))
}

/// To another page, after a form: it is got, so that going back does not send the form again.
pub(super) fn to(address: &str) -> Response {
    let location = HeaderValue::from_str(address).unwrap_or_else(|_| HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// To a session's page.
pub(super) fn to_session(session: SessionId) -> Response {
    to(&format!("/sessions/{session}"))
}

/// Shows a problem as a page. Whoever is not signed in is sent to where that can be done.
pub(super) async fn problem_as_page(response: Response) -> Response {
    let Some(problem) = response.extensions().get::<Problem>().cloned() else { return response };
    if problem.kind == Kind::Unauthenticated {
        return to("/sign-in");
    }
    let signed_in = problem.kind != Kind::Misdirected;
    let content = sign_in::problem(problem.kind.title(), &problem.detail, signed_in);
    let page = Html(shell::page(None, Place::Elsewhere, problem.kind.title(), &content));
    let mut shown = (problem.kind.status(), page).into_response();
    // What else the answer says (when to try again) stays.
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            shown.headers_mut().insert(name, value.clone());
        }
    }
    shown
}
