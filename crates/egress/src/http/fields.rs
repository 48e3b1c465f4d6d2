//! Header fields on their way through: what is about one connection stays there (RFC 9110, section 7.6.1).

use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version, header, uri::PathAndQuery};

use super::Site;

/// Fields that are about a connection, whether `Connection` names them or not.
const HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Removes what is about the connection that the message came over.
pub(crate) fn remove_hops(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            // Whose length it is, and where it goes, is not for a message to take away.
            .filter(|name| *name != header::CONTENT_LENGTH && *name != header::HOST)
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP {
        headers.remove(name);
    }
}

/// Makes one field of the pieces into which HTTP/2 may cut cookies (RFC 9113, section 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let pieces: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(whole) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        headers.insert(header::COOKIE, whole);
    }
}

/// Makes a request as HTTP/1.1 has it: the host in a field of its own.
pub(crate) fn for_one<B>(request: &mut Request<B>, site: &Site) {
    *request.version_mut() = Version::HTTP_11;
    // Would have to be named in `Connection`, and no host waits for it.
    request.headers_mut().remove(header::TE);
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = target.map(Uri::from).unwrap_or_default();
    if let Ok(host) = HeaderValue::try_from(site.authority()) {
        request.headers_mut().insert(header::HOST, host);
    }
}

/// Makes a request as HTTP/2 has it: the host in the target.
pub(crate) fn for_two<B>(request: &mut Request<B>, site: &Site) {
    *request.version_mut() = Version::HTTP_2;
    let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let whole = Uri::builder()
        .scheme(site.scheme.as_str())
        .authority(site.authority())
        .path_and_query(target)
        .build();
    // Parts of what was a URI already.
    *request.uri_mut() = whole.unwrap_or_default();
    request.headers_mut().remove(header::HOST);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_the_connection_stays_there() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Own"),
            ("connection", "content-length"),
            ("x-own", "1"),
            ("te", "trailers"),
            ("keep-alive", "5"),
            ("proxy-authorization", "Basic x"),
            ("transfer-encoding", "chunked"),
            ("content-length", "4"),
            ("accept", "*/*"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        remove_hops(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "content-length"]);
    }

    #[test]
    fn the_host_is_where_the_protocol_has_it() {
        let site = Site::read(cofferdam_domain::egress::Scheme::Https, "a.example:8443").unwrap();
        let mut request = Request::builder().uri("/x?y").body(()).unwrap();
        for_two(&mut request, &site);
        assert_eq!(request.uri(), "https://a.example:8443/x?y");
        for_one(&mut request, &site);
        assert_eq!(
            (request.uri().to_string().as_str(), &request.headers()["host"]),
            ("/x?y", &HeaderValue::from_static("a.example:8443"))
        );
        for_two(&mut request, &site);
        assert!(request.headers().get("host").is_none());
    }

    #[test]
    fn cookies_become_one_field() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1"));
        headers.append(header::COOKIE, HeaderValue::from_static("b=2"));
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(header::COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }
}
