//! What a request shows to say who makes it.

use axum::http::{HeaderMap, header};
use cofferdam_domain::{Actor, Timestamp};
use cofferdam_store::{Directory, Proof, StoreError};

use super::cookies::Cookie;
use crate::{
    origin::Origin,
    proof::{self, Purpose},
};

/// What was shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Presented {
    /// An API token.
    Token(Proof),
    /// A browser's cookie.
    Cookie(Proof),
}

impl Presented {
    /// What a request shows. A token goes before a cookie; one that is malformed is not made up for by a cookie.
    pub(crate) fn of(headers: &HeaderMap, origin: &Origin) -> Option<Self> {
        let mut fields = headers.get_all(header::AUTHORIZATION).iter();
        if let Some(field) = fields.next() {
            let text = field.to_str().ok().filter(|_| fields.next().is_none())?;
            let (scheme, token) = text.split_once(' ')?;
            let token = proof::read(Purpose::Token, token.trim())?;
            return scheme.eq_ignore_ascii_case("bearer").then_some(Self::Token(token));
        }
        let value = Cookie::Stay.of(headers, origin)?;
        proof::read(Purpose::Cookie, value).map(Self::Cookie)
    }

    /// For whom it stands now.
    pub(crate) async fn actor(
        self,
        directory: &dyn Directory,
        at: Timestamp,
    ) -> Result<Option<Actor>, StoreError> {
        match self {
            Self::Token(proof) => directory.actor_by_token(proof, at).await,
            Self::Cookie(proof) => directory.actor_by_sign_in(proof, at).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(fields: &[(&'static str, String)]) -> Option<Presented> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        Presented::of(&headers, &Origin::parse("https://a.example").unwrap())
    }

    #[test]
    fn one_token_or_one_cookie() {
        let token = proof::generate(Purpose::Token).unwrap().0;
        let cookie = proof::generate(Purpose::Cookie).unwrap().0;
        let bearer = ("authorization", format!("Bearer {}", token.expose()));
        let kept = ("cookie", format!("a=b; __Host-cofferdam={}; c=d", cookie.expose()));
        assert!(matches!(presented(std::slice::from_ref(&bearer)), Some(Presented::Token(_))));
        assert!(matches!(presented(std::slice::from_ref(&kept)), Some(Presented::Cookie(_))));
        assert!(matches!(presented(&[bearer.clone(), kept.clone()]), Some(Presented::Token(_))));
        let wrong = ("authorization", "Bearer cfd_1".to_owned());
        for fields in [
            vec![],
            vec![wrong.clone()],
            vec![wrong, kept.clone()],
            vec![bearer.clone(), bearer],
            vec![kept.clone(), kept],
            vec![("authorization", format!("Basic {}", token.expose()))],
            vec![("authorization", format!("Bearer {}", cookie.expose()))],
            vec![("cookie", format!("cofferdam={}", cookie.expose()))],
        ] {
            assert!(presented(&fields).is_none(), "{fields:?}");
        }
    }
}
