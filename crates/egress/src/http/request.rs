//! A request as a library read it, read once more: strictly, into the values that the rules judge and that are sent.

use std::str::FromStr as _;

use cofferdam_domain::egress::{HostName, Method, Operation, Refusal, RequestPath, Scheme};
use http::{HeaderMap, HeaderName, Version, header, request::Parts};
use http_body::Body as _;
use hyper::body::Incoming;

use super::head::{MOST_FIELDS, MalformedHead, decimal};
use crate::{
    decide::{Body, Denied, Request},
    refuse::denied,
    target::parse_port,
};

/// Bytes of a query at most.
const LONGEST_QUERY: usize = 8 << 10;

/// Fields by which some servers are told another method, path, host or sender than the request's own.
const OVERRIDES: [&str; 13] = [
    "client-ip",
    "forwarded",
    "true-client-ip",
    "x-client-ip",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-http-path-override",
    "x-method-override",
    "x-override-url",
    "x-real-ip",
    "x-rewrite-url",
];
/// How the names of more such fields begin.
const OVERRIDE_FAMILIES: [&str; 2] = ["x-forwarded-", "x-original-"];

/// Where a program is, as far as it knows: the host that it named to reach the door.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Site {
    pub(crate) scheme: Scheme,
    pub(crate) host: HostName,
    pub(crate) port: u16,
}

impl Site {
    /// Reads `host` or `host:port` as it stands in an authority (RFC 3986, section 3.2): no user, no address.
    pub(crate) fn read(scheme: Scheme, authority: &str) -> Option<Self> {
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, parse_port(port)?),
            None => (authority, scheme.port()),
        };
        Some(Self { scheme, host: host.parse().ok()?, port })
    }

    /// As it stands in an authority, without the port that is meant anyway.
    pub(crate) fn authority(&self) -> String {
        if self.port == self.scheme.port() {
            self.host.as_str().to_owned()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// What a program wants, in accepted form.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) site: Site,
    pub(crate) method: Method,
    pub(crate) path: RequestPath,
    pub(crate) query: Option<String>,
    pub(crate) body: Body,
    pub(crate) upgrade: bool,
}

impl Wanted {
    /// Reads a request that came over a connection to `site`, or to the door itself as a proxy.
    pub(crate) fn read(parts: &Parts, body: &Incoming, site: Option<&Site>) -> Result<Self, Denied> {
        let site = which_site(parts, site)?;
        let method = Method::from_str(parts.method.as_str()).map_err(|problem| {
            let code = if parts.method == http::Method::CONNECT || parts.method == http::Method::TRACE {
                Refusal::Method
            } else {
                Refusal::Malformed
            };
            denied(code, &problem.to_string())
        })?;
        let path = RequestPath::from_str(parts.uri.path())
            .map_err(|problem| denied(Refusal::Malformed, &problem.to_string()))?;
        let query = read_query(parts.uri.query())?;
        check_fields(&parts.headers)?;
        let upgrade = is_web_socket(parts)?;
        let body = match (body.is_end_stream(), body.size_hint().exact()) {
            (true, _) | (_, Some(0)) => Body::None,
            (false, Some(length)) => Body::Exactly(length),
            (false, None) => Body::Unknown,
        };
        Ok(Self { site, method, path, query, body, upgrade })
    }

    pub(crate) fn as_request(&self) -> Request<'_> {
        Request {
            scheme: self.site.scheme,
            host: &self.site.host,
            port: self.site.port,
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            body: self.body,
            upgrade: self.upgrade,
        }
    }

    /// For the log.
    pub(crate) fn operation(&self) -> Operation {
        Operation::Http {
            scheme: self.site.scheme,
            method: self.method.as_str().to_owned(),
            host: self.site.host.as_str().to_owned(),
            port: self.site.port,
            path: cut(self.path.as_str(), 1024),
            query: self.query.is_some(),
        }
    }
}

/// What came, for the log, when it could not be read.
pub(crate) fn raw_operation(parts: &Parts, site: Option<&Site>) -> Operation {
    let named = parts.uri.authority().map(http::uri::Authority::as_str);
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    Operation::Http {
        scheme: site.map_or(Scheme::Http, |site| site.scheme),
        method: cut(parts.method.as_str(), 32),
        host: cut(named.or(host).unwrap_or_default(), 256),
        port: site.map_or(Scheme::Http.port(), |site| site.port),
        path: cut(parts.uri.path(), 1024),
        query: parts.uri.query().is_some(),
    }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// The one host that the target, the `Host` field and the connection name.
fn which_site(parts: &Parts, site: Option<&Site>) -> Result<Site, Denied> {
    let malformed = |what: &str| denied(Refusal::Malformed, what);
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host =
        hosts.next().map(|host| host.to_str().map_err(|_| malformed("the Host field has odd characters")));
    if hosts.next().is_some() {
        return Err(malformed("there is more than one Host field"));
    }
    let named: Vec<&str> = parts
        .uri
        .authority()
        .map(http::uri::Authority::as_str)
        .into_iter()
        .chain(host.transpose()?)
        .collect();
    // A proxy is told the whole URL (RFC 9112, section 3.2.2); TLS through a proxy comes by CONNECT.
    let scheme = site.map_or(Scheme::Http, |site| site.scheme);
    let same_scheme = parts.uri.scheme_str().is_none_or(|named| named == scheme.as_str());
    let absolute = parts.uri.scheme().is_some();
    if !same_scheme || named.is_empty() || (site.is_none() && !absolute) {
        return Err(malformed(
            "the request names no host, or another scheme than its connection has: a proxy needs the whole URL of plain HTTP, and CONNECT for HTTPS",
        ));
    }
    let mut found: Option<Site> = None;
    for authority in named {
        let named = Site::read(scheme, authority).ok_or_else(|| {
            malformed("the host is not a host name in the accepted form (lower case, no address, no user, no final dot)")
        })?;
        let expected = found.as_ref().or(site);
        if expected.is_some_and(|expected| *expected != named) {
            return Err(denied(
                Refusal::Mismatch,
                "the request names another host or port than its connection was made to",
            ));
        }
        found = Some(named);
    }
    found.ok_or_else(|| malformed("the request names no host"))
}

/// The query as it is; the rules say what may stand in one.
fn read_query(query: Option<&str>) -> Result<Option<String>, Denied> {
    match query {
        Some(query) if query.len() > LONGEST_QUERY => {
            Err(denied(Refusal::Malformed, "the query is longer than 8192 bytes"))
        }
        _ => Ok(query.map(str::to_owned)),
    }
}

/// Fields that change what a request means, or how it is to be read, whichever protocol they came by.
fn check_fields(headers: &HeaderMap) -> Result<(), Denied> {
    let malformed = |problem: MalformedHead| Err(denied(Refusal::Malformed, &problem.to_string()));
    // HTTP/2 may cut cookies into any number of pieces.
    if headers.len() - headers.get_all(header::COOKIE).iter().count() > MOST_FIELDS {
        return malformed(MalformedHead::Long);
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let plain = lengths.next().is_none_or(|length| decimal(length.as_bytes()).is_some());
    if !plain || lengths.next().is_some() {
        return malformed(MalformedHead::Framing);
    }
    if headers.keys().any(|name| name.as_str().contains('_')) {
        return malformed(MalformedHead::Field);
    }
    let overrides = |name: &&HeaderName| {
        let name = name.as_str();
        OVERRIDES.contains(&name) || OVERRIDE_FAMILIES.iter().any(|family| name.starts_with(family))
    };
    if let Some(name) = headers.keys().find(overrides) {
        let reason = format!(
            "the field {name} names another host, path, method or sender than the request itself: leave it out"
        );
        return Err(denied(Refusal::Malformed, &reason));
    }
    let only = |name: HeaderName, values: &[&str]| {
        headers.get_all(name).iter().all(|value| {
            value
                .to_str()
                .is_ok_and(|value| values.iter().any(|known| value.trim().eq_ignore_ascii_case(known)))
        })
    };
    if !only(header::EXPECT, &["100-continue"]) {
        return Err(denied(Refusal::Protocol, "an expectation is not for here: only 100-continue is known"));
    }
    if !only(header::TE, &["trailers", ""]) {
        return Err(denied(Refusal::Encoding, "a transfer coding was offered that is not for here"));
    }
    // A coded body is as long as it is; but only what is in daily use.
    if !only(header::CONTENT_ENCODING, &["identity", "gzip", "x-gzip"]) {
        return Err(denied(
            Refusal::Encoding,
            "the body is in an encoding that nobody could look into: send it plain or as gzip",
        ));
    }
    Ok(())
}

/// Whether the connection should become a WebSocket (RFC 6455, section 4.1); any other change is refused.
fn is_web_socket(parts: &Parts) -> Result<bool, Denied> {
    let headers = &parts.headers;
    let mut upgrades = headers.get_all(header::UPGRADE).iter();
    let Some(upgrade) = upgrades.next() else { return Ok(false) };
    let agrees = |name: HeaderName, wanted: &str| {
        headers.get_all(name).iter().any(|value| {
            value
                .to_str()
                .is_ok_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(wanted)))
        })
    };
    let web_socket = upgrade.as_bytes().eq_ignore_ascii_case(b"websocket")
        && upgrades.next().is_none()
        && agrees(header::CONNECTION, "upgrade")
        && agrees(header::SEC_WEBSOCKET_VERSION, "13")
        && headers.contains_key(header::SEC_WEBSOCKET_KEY)
        && parts.method == http::Method::GET
        && parts.version == Version::HTTP_11;
    if web_socket {
        Ok(true)
    } else {
        Err(denied(
            Refusal::Upgrade,
            "a change to this protocol is not for here: only WebSocket can be permitted",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(uri: &str, headers: &[(&'static str, &'static str)]) -> Parts {
        let mut request = http::Request::builder().uri(uri).method("GET").body(()).unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, http::HeaderValue::from_static(value));
        }
        request.into_parts().0
    }

    fn code<T>(result: Result<T, Denied>) -> Option<Refusal> {
        result.err().map(|denied| denied.code)
    }

    #[test]
    fn one_host_is_named_everywhere() {
        let site = Site::read(Scheme::Https, "a.example").unwrap();
        let cases: [(&str, &[_], Option<Refusal>); 13] = [
            ("/", &[("host", "a.example")], None),
            ("/", &[("host", "a.example:443")], None),
            ("https://a.example/", &[], None),
            ("https://a.example/", &[("host", "a.example")], None),
            ("https://a.example/", &[("host", "b.example")], Some(Refusal::Mismatch)),
            ("https://b.example/", &[("host", "a.example")], Some(Refusal::Mismatch)),
            ("/", &[("host", "b.example")], Some(Refusal::Mismatch)),
            ("/", &[("host", "a.example:8443")], Some(Refusal::Mismatch)),
            ("/", &[("host", "a.example"), ("host", "a.example")], Some(Refusal::Malformed)),
            ("/", &[("host", "a.example.")], Some(Refusal::Malformed)),
            ("/", &[("host", "A.example")], Some(Refusal::Malformed)),
            ("http://a.example/", &[], Some(Refusal::Malformed)),
            ("/", &[], Some(Refusal::Malformed)),
        ];
        for (uri, headers, expected) in cases {
            assert_eq!(code(which_site(&parts(uri, headers), Some(&site))), expected, "{uri} {headers:?}");
        }
    }

    #[test]
    fn a_proxy_needs_the_whole_url() {
        let whole =
            which_site(&parts("http://a.example:8080/x", &[("host", "a.example:8080")]), None).unwrap();
        assert_eq!((whole.host.as_str(), whole.port), ("a.example", 8080));
        for (uri, host) in [("/", "a.example"), ("https://a.example/", "a.example")] {
            assert!(which_site(&parts(uri, &[("host", host)]), None).is_err(), "{uri}");
        }
        assert!(which_site(&parts("http://allowed.example@evil.example/", &[]), None).is_err());
    }

    #[test]
    fn ports_have_one_form() {
        for good in ["a.example:1", "a.example:65535"] {
            assert!(Site::read(Scheme::Http, good).is_some(), "{good}");
        }
        for bad in [
            "a.example:",
            "a.example:080",
            "a.example:+80",
            "a.example:65536",
            "a.example:80:80",
            "[::1]:80",
            "127.0.0.1",
            "u@a.example",
        ] {
            assert!(Site::read(Scheme::Http, bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn fields_that_say_something_else_than_the_request_are_refused() {
        for (field, expected) in [
            (("x-http-method-override", "DELETE"), Some(Refusal::Malformed)),
            (("x-original-url", "/admin"), Some(Refusal::Malformed)),
            (("x-original-host", "b.example"), Some(Refusal::Malformed)),
            (("x-http-path-override", "/admin"), Some(Refusal::Malformed)),
            (("x-forwarded-for", "127.0.0.1"), Some(Refusal::Malformed)),
            (("x_kept", "1"), Some(Refusal::Malformed)),
            (("content-length", "+5"), Some(Refusal::Malformed)),
            (("content-length", "5"), None),
            (("expect", "100-continue"), None),
            (("expect", "magic"), Some(Refusal::Protocol)),
            (("te", "trailers"), None),
            (("te", "gzip"), Some(Refusal::Encoding)),
            (("content-encoding", "gzip"), None),
            (("content-encoding", "br"), Some(Refusal::Encoding)),
            (("content-encoding", "gzip, br"), Some(Refusal::Encoding)),
        ] {
            assert_eq!(code(check_fields(&parts("/", &[field]).headers)), expected, "{field:?}");
        }
        let twice = parts("/", &[("content-length", "5"), ("content-length", "5")]);
        assert_eq!(code(check_fields(&twice.headers)), Some(Refusal::Malformed));
    }

    #[test]
    fn only_a_web_socket_is_a_change_of_protocol() {
        let whole = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        assert_eq!(is_web_socket(&parts("/", &whole)).ok(), Some(true));
        assert_eq!(is_web_socket(&parts("/", &[])).ok(), Some(false));
        for left_out in 0..whole.len() {
            let rest: Vec<_> =
                whole.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, field)| *field).collect();
            let expected = if whole[left_out].0 == "upgrade" { None } else { Some(Refusal::Upgrade) };
            assert_eq!(code(is_web_socket(&parts("/", &rest))), expected, "without {:?}", whole[left_out]);
        }
        assert_eq!(
            code(is_web_socket(&parts("/", &[("connection", "upgrade"), ("upgrade", "h2c")]))),
            Some(Refusal::Upgrade)
        );
    }
}
