//! Requests that another site's page makes in a signed-in browser (CSRF). The cookie is `SameSite=Strict` already; but to a browser all
//! ports of this machine are one site, so it is asked where the request comes from as well.

use axum::http::{HeaderMap, header};

use crate::{
    origin::Origin,
    problem::{Kind, Problem},
};

/// Refuses a request that is not from one of the server's own pages. Every browser says where a request that changes something comes from, by
/// `Sec-Fetch-Site` (Fetch Metadata), `Origin` (RFC 6454), or both; one that says neither is refused too.
pub(crate) fn refuse_cross_site(headers: &HeaderMap, own: &Origin) -> Result<(), Problem> {
    let refused = || {
        Err(Problem::new(
            Kind::Forbidden,
            format!(
                "the request does not come from a page of this server: do it from {own}, or use an API token"
            ),
        ))
    };
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes() == b"same-origin");
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let origin = origins.next().map(|origin| origin.to_str().is_ok_and(|origin| own.is_origin(origin)));
    let once = origins.next().is_none();
    match (site, origin) {
        (Some(true), Some(true) | None) | (None, Some(true)) if once => Ok(()),
        (_, _) => refused(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_pages_change_something() {
        let own = Origin::parse("https://a.example").unwrap();
        let pass = |fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, value.parse().unwrap());
            }
            refuse_cross_site(&headers, &own).is_ok()
        };
        assert!(pass(&[("sec-fetch-site", "same-origin"), ("origin", "https://a.example")]));
        assert!(pass(&[("sec-fetch-site", "same-origin")]));
        assert!(pass(&[("origin", "https://a.example")]), "an old browser");
        for fields in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "http://a.example")],
            &[("origin", "https://evil.example")],
            &[("sec-fetch-site", "same-site"), ("origin", "https://a.example")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")],
            &[("origin", "https://a.example"), ("origin", "https://evil.example")],
        ] {
            assert!(!pass(fields), "{fields:?}");
        }
    }
}
