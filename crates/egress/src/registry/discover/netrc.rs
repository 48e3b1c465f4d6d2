//! Logins in `.netrc` (as curl, pip and Go read it) and in apt's `auth.conf` (`apt_auth.conf(5)`), which has the same form.

use std::path::{Path, PathBuf};

use cofferdam_domain::Secret;

use super::{
    Sight,
    place::{Login, Place},
};

/// Logins by host.
#[derive(Debug, Default)]
pub(crate) struct Netrc(Vec<Machine>);

#[derive(Debug)]
struct Machine {
    /// A host, perhaps with a scheme, a port or a path.
    name: String,
    login: String,
    password: Secret,
}

impl Netrc {
    pub(super) fn read(sight: &Sight<'_>) -> Self {
        let usual = sight.variable("NETRC").map(PathBuf::from).or_else(|| sight.in_home(".netrc"));
        let mut files: Vec<PathBuf> = usual.into_iter().collect();
        files.push(PathBuf::from("/etc/apt/auth.conf"));
        files.extend(sight.files.list(Path::new("/etc/apt/auth.conf.d")));
        Self(
            files.iter().filter_map(|file| sight.files.read(file)).flat_map(|text| machines(&text)).collect(),
        )
    }

    /// The login for a place.
    pub(super) fn login(&self, place: &Place) -> Option<Login> {
        let at = format!("{}:{}{}/", place.host, place.port, place.base);
        let machine = self.0.iter().find(|machine| {
            let name = machine.name.split_once("://").map_or(machine.name.as_str(), |(_, rest)| rest);
            let (server, path) = name.split_once('/').unwrap_or((name, ""));
            let server =
                if server.contains(':') { server.to_owned() } else { format!("{server}:{}", place.port) };
            let path = path.trim_end_matches('/');
            at.starts_with(&if path.is_empty() { format!("{server}/") } else { format!("{server}/{path}/") })
        })?;
        Some(Login::Basic { user: machine.login.clone(), password: machine.password.clone() })
    }
}

fn machines(text: &str) -> Vec<Machine> {
    let mut machines: Vec<Machine> = Vec::new();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut words = lines.flat_map(str::split_whitespace);
    while let Some(word) = words.next() {
        match word {
            "machine" => machines.extend(words.next().map(|name| Machine {
                name: name.to_owned(),
                login: String::new(),
                password: Secret::new(""),
            })),
            // What follows is for any host: for none, here.
            "default" => machines.push(Machine {
                name: String::new(),
                login: String::new(),
                password: Secret::new(""),
            }),
            "login" | "password" => {
                let value = words.next().unwrap_or_default();
                match machines.last_mut() {
                    Some(machine) if word == "login" => value.clone_into(&mut machine.login),
                    Some(machine) => machine.password = Secret::new(value),
                    None => {}
                }
            }
            // A macro's definition goes on to the end.
            "macdef" => break,
            _ => {}
        }
    }
    machines.retain(|machine| !machine.name.is_empty() && !machine.password.expose().is_empty());
    machines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_and_their_paths() {
        let netrc = Netrc(machines(
            "# x\nmachine a.example login u password p1\nmachine b.example/repo\n login v\n password p2\ndefault login w password p3",
        ));
        let user = |url: &str| {
            let (place, _) = Place::parse(url).unwrap();
            match netrc.login(&place) {
                Some(Login::Basic { user, .. }) => Some(user),
                _ => None,
            }
        };
        assert_eq!(user("https://a.example/x").as_deref(), Some("u"));
        assert_eq!(user("https://b.example/repo").as_deref(), Some("v"));
        assert_eq!(user("https://b.example/repository"), None);
        assert_eq!(user("https://c.example"), None);
    }
}
