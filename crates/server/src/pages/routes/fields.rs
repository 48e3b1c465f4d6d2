//! The fields of a form, parsed strictly.

use axum::{
    Form,
    extract::{FromRequest, Request},
};
use serde::de::DeserializeOwned;

use crate::{
    problem::{Kind, Problem},
    shared::Shared,
};

/// What was filled in.
pub(super) struct Fields<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Shared> for Fields<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Shared) -> Result<Self, Problem> {
        let form = tokio::time::timeout(shared.limits().body_time, Form::<T>::from_request(request, shared));
        let form = form.await.map_err(|_| Problem::new(Kind::Slow, "the form did not arrive in time"))?;
        form.map(|Form(fields)| Self(fields)).map_err(|rejected| {
            let kind = match rejected.status().as_u16() {
                413 => Kind::TooLarge,
                415 => Kind::MediaType,
                _other => Kind::Malformed,
            };
            let text = format!("the form is not what is expected here: {}", rejected.body_text());
            Problem::new(kind, text.chars().take(400).collect::<String>())
        })
    }
}

/// A text that may be left out: an empty field is none. Browsers write line ends as CR LF (HTML, form submission).
pub(super) fn optional(text: String) -> Option<String> {
    let text = unix(text);
    (!text.trim().is_empty()).then_some(text)
}

/// The text with the line ends that everybody else uses.
pub(super) fn unix(text: String) -> String {
    if text.contains('\r') { text.replace("\r\n", "\n") } else { text }
}
