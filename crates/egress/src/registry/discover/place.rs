//! Addresses of registries as configurations have them, and what becomes of them.

use std::net::{Ipv4Addr, SocketAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cofferdam_domain::{
    Secret,
    egress::{Addresses, HostName, Method, Scheme},
};
use http::header;

use super::{Discovery, Sight};
use crate::{
    credential::{Credential, CredentialSource, HeaderFormat, PathTemplate},
    registry::{Part, Registry, RegistryKind},
};

/// A registry's address, without anything secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) scheme: Scheme,
    pub(super) host: HostName,
    pub(super) port: u16,
    /// Without a final slash.
    pub(super) base: String,
}

/// What an address had in front of the host, or what a configuration has for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Login {
    /// A user and a password.
    Basic { user: String, password: Secret },
    /// Both, encoded already.
    Encoded(Secret),
    /// A token.
    Bearer(Secret),
    /// A token with nothing around it.
    Bare(Secret),
}

/// Where an address came from, which says how far it is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The tool has it built in: a public registry.
    BuiltIn,
    /// Somebody configured it: a mirror, perhaps in the company's network or on this machine.
    Configured,
}

impl Place {
    /// Reads `scheme://[user[:password]@]host[:port][/path]`.
    pub(super) fn parse(text: &str) -> Option<(Self, Option<Login>)> {
        let (scheme, rest) = text.trim().split_once("://")?;
        let scheme = match scheme {
            "https" | "sparse+https" => Scheme::Https,
            "http" | "sparse+http" => Scheme::Http,
            _ => return None,
        };
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let (login, server) = match authority.rsplit_once('@') {
            Some((login, server)) => (Some(login), server),
            None => (None, authority),
        };
        let (host, port) = match server.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (server, scheme.port()),
        };
        let base = path.trim_end_matches('/');
        // A base is compared with paths as they are written, so it has to be written as they are.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~+@:".contains(&byte);
        let segments = base.split('/').skip(1);
        if !base.bytes().all(plain) || segments.into_iter().any(|segment| matches!(segment, "" | "." | ".."))
        {
            return None;
        }
        let host = host.to_ascii_lowercase().parse().ok()?;
        let login = login.and_then(|login| {
            let (user, password) = login.split_once(':').unwrap_or(("", login));
            let (user, password) = (decoded(user)?, decoded(password)?);
            (!password.is_empty()).then(|| Login::Basic { user, password: Secret::new(password) })
        });
        Some((Self { scheme, host, port, base: base.to_owned() }, login))
    }

    pub(super) fn url(&self) -> String {
        let port = if self.port == self.scheme.port() { String::new() } else { format!(":{}", self.port) };
        format!("{}://{}{port}{}", self.scheme.as_str(), self.host, self.base)
    }

    /// The same host, another path.
    pub(super) fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// The path above the last segment.
    pub(super) fn above(&self) -> Self {
        self.at(self.base.rsplit_once('/').map_or("", |(above, _)| above))
    }

    fn addresses(&self, origin: Origin) -> Addresses {
        match origin {
            Origin::BuiltIn => Addresses::Public,
            // A mirror on the machine itself is reached by the name that its administrator wrote down for it.
            Origin::Configured if self.host.as_str() == "localhost" => {
                Addresses::At(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
            }
            Origin::Configured => Addresses::Private,
        }
    }
}

/// What percent-encodings in a user's name or password stand for.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

impl Login {
    fn format(&self) -> Option<(HeaderFormat, Secret)> {
        match self {
            Self::Basic { user, password } => {
                // What users' names are made of can be written into a format; the others are encoded here.
                match format!("Basic {user}:{{}}").parse() {
                    Ok(format) if !user.contains(['{', '}']) => Some((format, password.clone())),
                    _ => {
                        let both = STANDARD.encode(format!("{user}:{}", password.expose()));
                        Some(("Basic {}".parse().ok()?, Secret::new(both)))
                    }
                }
            }
            Self::Encoded(secret) => Some(("Basic {}".parse().ok()?, secret.clone())),
            Self::Bearer(secret) => Some((HeaderFormat::default(), secret.clone())),
            Self::Bare(secret) => Some(("{}".parse().ok()?, secret.clone())),
        }
    }
}

impl Discovery {
    /// Adds a part of a registry, with the secret that belongs to it.
    pub(super) fn add(
        &mut self,
        sight: &Sight<'_>,
        (kind, part): (RegistryKind, Part),
        place: &Place,
        login: Option<Login>,
        origin: Origin,
    ) {
        let login = login.or_else(|| sight.netrc.login(place));
        let credential = login.and_then(|login| self.credential(kind, place, &login));
        self.registries.push(Registry {
            kind,
            part,
            scheme: place.scheme,
            host: place.host.clone(),
            port: place.port,
            base: place.base.clone(),
            addresses: place.addresses(origin),
            credential,
        });
    }

    /// Makes a secret a credential for reading at this place, once; its name.
    fn credential(&mut self, kind: RegistryKind, place: &Place, login: &Login) -> Option<String> {
        let (format, secret) = login.format()?;
        let source = CredentialSource::Given(secret);
        let same = |known: &&Credential| {
            known.host == place.host
                && known.port() == place.port
                && known.format == format
                && known.source == source
        };
        let path: PathTemplate = format!("{}/**", place.base).parse().ok()?;
        if let Some(known) = self.credentials.iter().find(same).map(|known| known.name.clone()) {
            let entry = self.credentials.iter_mut().find(|entry| entry.name == known)?;
            if !entry.paths.contains(&path) {
                entry.paths.push(path);
            }
            return Some(known);
        }
        let number = self.credentials.len() + 1;
        let host: String = place.host.as_str().chars().take(40).collect();
        let name = format!("{kind}-registry-{number}-{host}");
        self.credentials.push(Credential {
            name: name.clone(),
            host: place.host.clone(),
            scheme: place.scheme,
            port: Some(place.port),
            methods: vec![Method::GET, Method::HEAD],
            paths: vec![path],
            header: header::AUTHORIZATION,
            format,
            placeholder: Vec::new(),
            source,
        });
        Some(name)
    }

    /// Says that an address is of no use, without what is secret in it.
    pub(super) fn unusable(&mut self, kind: RegistryKind, text: &str) {
        let shown: String =
            text.rsplit_once('@').map_or(text, |(_, after)| after).chars().take(120).collect();
        self.notes.push(format!(
            "{kind}: {shown:?} cannot be used as a registry: an https:// or http:// address with a host's name is needed"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, url) in [
            ("https://mirror.example.com/pypi/simple/", "https://mirror.example.com/pypi/simple"),
            ("sparse+https://mirror.example.com/", "https://mirror.example.com"),
            ("http://Mirror.example.com:8081/a", "http://mirror.example.com:8081/a"),
            ("https://mirror.example.com:443", "https://mirror.example.com"),
        ] {
            assert_eq!(Place::parse(text).map(|(place, _)| place.url()).as_deref(), Some(url));
        }
        for text in [
            "mirror.example.com",
            "ftp://m.example.com",
            "https://10.0.0.1/",
            "https://m.example.com/a//b",
            "https://m.example.com/%41",
            "https://m.example.com/../x",
            "https:///x",
        ] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_secret_is_kept_apart() {
        let (place, login) = Place::parse("https://us%40er:p%3Ass@m.example.com/x").unwrap();
        assert_eq!(place.url(), "https://m.example.com/x");
        assert_eq!(login, Some(Login::Basic { user: "us@er".to_owned(), password: Secret::new("p:ss") }));
        let (_, token) = Place::parse("https://tok3n@m.example.com/x").unwrap();
        assert_eq!(token, Some(Login::Basic { user: String::new(), password: Secret::new("tok3n") }));
    }
}
