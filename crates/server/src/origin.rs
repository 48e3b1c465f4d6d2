//! Under which address browsers know the server. What is sent to another name does not get in: a page of somebody else's that points a
//! name of its own at this machine (DNS rebinding) is refused by its `Host`.

use std::{fmt, net::SocketAddr};

use axum::http::Uri;
use url::{Host, Url};

/// Why a text is no origin.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidOrigin {
    /// Not a URL, or one with more than scheme, host and port.
    #[error(
        "{0:?} is not an origin: give scheme and host, and a port where it is unusual, such as https://cofferdam.example.com"
    )]
    Form(String),
    /// Everything that is sent could be read on the way.
    #[error(
        "{0:?} is not encrypted: put a server that ends TLS in front and give its https:// origin; only on this machine itself does http:// do"
    )]
    Plain(String),
}

/// An origin (RFC 6454): scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// As browsers send it in `Origin`.
    text: String,
    /// The values of `Host` that mean it.
    hosts: Vec<String>,
    secure: bool,
}

impl Origin {
    /// The origin that people are told, from configuration.
    ///
    /// # Errors
    /// When it is no origin, or neither encrypted nor of this machine.
    pub fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        let form = || InvalidOrigin::Form(text.chars().take(200).collect());
        let url = Url::parse(text).map_err(|_| form())?;
        let bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        let host = url.host().filter(|_| bare).ok_or_else(form)?;
        let secure = match url.scheme() {
            "https" => true,
            "http" if is_loopback(&host) => false,
            "http" => return Err(InvalidOrigin::Plain(text.chars().take(200).collect())),
            _ => return Err(form()),
        };
        let name = host.to_string();
        let hosts = match url.port() {
            Some(port) => vec![format!("{name}:{port}")],
            None => vec![format!("{name}:{}", if secure { 443 } else { 80 }), name],
        };
        Ok(Self { text: url.origin().ascii_serialization(), hosts, secure })
    }

    /// The origin of a server that only this machine can reach.
    #[must_use]
    pub fn of_loopback(address: SocketAddr) -> Self {
        let port = address.port();
        let hosts = [
            address.to_string(),
            format!("localhost:{port}"),
            format!("127.0.0.1:{port}"),
            format!("[::1]:{port}"),
        ];
        Self { text: format!("http://{address}"), hosts: hosts.into(), secure: false }
    }

    /// Whether what is sent to it is encrypted.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether a request with this `Host` is meant for it.
    pub(crate) fn is_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
    }

    /// Whether a browser that sends this `Origin` shows a page of the server.
    pub(crate) fn is_origin(&self, origin: &str) -> bool {
        let scheme = if self.secure { "https://" } else { "http://" };
        origin == self.text
            || origin
                .strip_prefix(scheme)
                .is_some_and(|host| host.parse::<Uri>().is_ok() && self.is_host(host))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_names_are_its_own() {
        let public = Origin::parse("https://cofferdam.example.com").unwrap();
        assert!(public.is_secure());
        assert_eq!(public.to_string(), "https://cofferdam.example.com");
        for (host, own) in [
            ("cofferdam.example.com", true),
            ("Cofferdam.Example.com:443", true),
            ("cofferdam.example.com:80", false),
            ("cofferdam.example.com.evil.example", false),
            ("evil.example", false),
            ("127.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(public.is_host(host), own, "{host}");
        }
        assert!(public.is_origin("https://cofferdam.example.com"));
        for foreign in ["http://cofferdam.example.com", "https://evil.example", "null", ""] {
            assert!(!public.is_origin(foreign), "{foreign}");
        }
    }

    #[test]
    fn this_machine_has_several_names() {
        let local = Origin::of_loopback("127.0.0.1:8080".parse().unwrap());
        for host in ["127.0.0.1:8080", "localhost:8080", "[::1]:8080"] {
            assert!(local.is_host(host), "{host}");
            assert!(local.is_origin(&format!("http://{host}")), "{host}");
        }
        for host in ["127.0.0.1", "localhost:8081", "rebound.example:8080"] {
            assert!(!local.is_host(host), "{host}");
            assert!(!local.is_origin(&format!("http://{host}")), "{host}");
        }
    }

    #[test]
    fn what_is_no_origin_is_said() {
        for text in [
            "",
            "cofferdam",
            "ftp://a.example",
            "https://a.example/x",
            "https://u@a.example",
            "https://a.example?q",
        ] {
            assert!(matches!(Origin::parse(text), Err(InvalidOrigin::Form(_))), "{text}");
        }
        assert!(matches!(Origin::parse("http://a.example"), Err(InvalidOrigin::Plain(_))));
        assert!(!Origin::parse("http://localhost:4000").unwrap().is_secure());
    }
}
