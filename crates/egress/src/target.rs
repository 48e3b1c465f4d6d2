//! URLs, in the one form that is accepted.

use std::str::FromStr;

use cofferdam_domain::egress::{HostName, InvalidHost, InvalidPath, RequestPath, Scheme};

/// Where a request goes: an absolute URL without user information and fragment (RFC 9112, section 3.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Encrypted or not.
    pub scheme: Scheme,
    /// The host.
    pub host: HostName,
    /// The port, if it is not left to the scheme.
    pub port: Option<u16>,
    /// The path; `/` where the URL has none.
    pub path: RequestPath,
    /// What stands behind the question mark, if there is one.
    pub query: Option<String>,
}

/// The text is no URL in the accepted form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// Neither `https://` nor `http://` in small letters stands at its beginning.
    #[error("a URL begins with https:// or http://")]
    Scheme,
    /// The host is none.
    #[error("the URL's host is not in the form that is accepted")]
    Host(#[from] InvalidHost),
    /// The port is no number from 1 to 65535 in its shortest form.
    #[error("the URL's port is not a number from 1 to 65535")]
    Port,
    /// The path is none.
    #[error("the URL's path is not in the form that is accepted")]
    Path(#[from] InvalidPath),
    /// The query has something that ends it or may not be sent.
    #[error(
        "the URL's query has characters that may not stand in one (percent-encode them; a fragment is not sent)"
    )]
    Query,
}

impl Target {
    /// The port that is meant.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(self.scheme.port())
    }
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let (scheme, rest) = [Scheme::Https, Scheme::Http]
            .into_iter()
            .find_map(|scheme| Some((scheme, text.strip_prefix(scheme.as_str())?.strip_prefix("://")?)))
            .ok_or(InvalidTarget::Scheme)?;
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(parse_port(port).ok_or(InvalidTarget::Port)?)),
            None => (authority, None),
        };
        if query.is_some_and(|query| !is_sound_query(query)) {
            return Err(InvalidTarget::Query);
        }
        Ok(Self { scheme, host: host.parse()?, port, path: path.parse()?, query: query.map(str::to_owned) })
    }
}

/// Digits without a sign, without leading zeros, not 0.
pub(crate) fn parse_port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain)
}

/// Whether a query is what every server takes for one (RFC 3986, section 3.4, and what browsers leave as it is:
/// brackets, bars and the like): visible ASCII without `#`.
pub(crate) fn is_sound_query(query: &str) -> bool {
    query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_parts_are_as_they_stand() {
        let target: Target = "https://a.example:8443/x/y%20z?q=[1]|2".parse().unwrap();
        assert_eq!((target.scheme, target.host.as_str(), target.port()), (Scheme::Https, "a.example", 8443));
        assert_eq!((target.path.as_str(), target.query.as_deref()), ("/x/y%20z", Some("q=[1]|2")));
        let target: Target = "http://a.example".parse().unwrap();
        assert_eq!((target.port(), target.path.as_str(), target.query), (80, "/", None));
        assert_eq!("http://a.example?".parse::<Target>().unwrap().query.as_deref(), Some(""));
    }

    #[test]
    fn what_two_parsers_read_differently_is_refused() {
        for text in [
            "",
            "a.example/x",
            "//a.example/x",
            "HTTPS://a.example/",
            "https:/a.example/",
            "https:a.example/",
            "https:///a.example/",
            "https://",
            "https://:443/",
            "ftp://a.example/",
            "https://allowed.test@evil.test/",
            "https://allowed.test:443@evil.test/",
            "https://evil.test\\@allowed.test/",
            "https://allowed.test\\.evil.test/",
            "https://allowed.test/\\evil.test",
            "https://evil.test#@allowed.test/",
            "https://allowed.test/a#b",
            "https://allowed.test?a#b",
            "https://allowed.test\t/",
            " https://allowed.test/",
            "https://allowed.test/ ",
            "https://allowed.test/\r\nhost:evil.test",
            "https://allowed.test/?a\r\nb",
            "https://allowed.test/?a b",
            "https://allowed.test/?é",
            "https://allowed.test\0.evil.test/",
            "https://allowed.test%00.evil.test/",
            "https://allowed.test./",
            "https://Allowed.test/",
            "https://bücher.example/",
            "https://allowed.test:/",
            "https://allowed.test:0/",
            "https://allowed.test:080/",
            "https://allowed.test:+80/",
            "https://allowed.test:65536/",
            "https://allowed.test:80:80/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://allowed.test/../x",
            "https://allowed.test//x",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text:?}");
        }
    }

    proptest! {
        /// What is accepted means the same to a parser as browsers have it (WHATWG URL Standard).
        #[test]
        fn another_parser_reads_the_same(
            text in "(https?:|HTTP:)?/{1,3}(a|b|\\.|-|@|:|80|1|0x7f|\\[|\\]|%|é|xn--){0,6}(/|a|\\.|;|%2f|%2e|\\\\|\\?|#|\t| |é|'){0,8}"
        ) {
            if let Ok(target) = text.parse::<Target>() {
                let other = match url::Url::parse(&text) {
                    Ok(other) => other,
                    // It knows that some xn-- labels mean nothing, which the resolver is left to find out here.
                    Err(_) => {
                        prop_assert!(text.contains("xn--"), "{}", text);
                        return Ok(());
                    }
                };
                prop_assert_eq!(other.scheme(), target.scheme.as_str());
                prop_assert_eq!(other.host(), Some(url::Host::Domain(target.host.as_str())));
                prop_assert_eq!(other.port_or_known_default(), Some(target.port()));
                prop_assert_eq!(other.path(), target.path.as_str());
                let query = other.query().map(|query| query.replace("%27", "'"));
                prop_assert_eq!(query, target.query);
                prop_assert!(other.username().is_empty() && other.fragment().is_none());
            }
        }
    }
}
