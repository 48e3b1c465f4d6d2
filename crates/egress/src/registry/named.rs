//! Registries that a policy names itself.

use cofferdam_domain::egress::RegistryPlace;

use super::{InvalidPackageRule, Part, Registry, RegistryKind};
use crate::target::Target;

/// The registry at a place that a policy names.
///
/// # Errors
/// When there is no such kind or part, the URL is not in canonical form, or the kind has no such part.
pub(crate) fn named(place: &RegistryPlace) -> Result<Registry, InvalidPackageRule> {
    let wrong = |problem: &'static str| InvalidPackageRule::Registry { url: place.url.clone(), problem };
    let kind = RegistryKind::ALL.into_iter().find(|kind| kind.as_str() == place.kind);
    let kind = kind.ok_or_else(|| wrong("its kind is cargo, pip, npm, apt, go or maven"))?;
    let part = match (place.part.as_str(), kind) {
        ("whole", RegistryKind::Cargo) => {
            return Err(wrong(
                "cargo has index and crates at different paths: name the index here (part = \"index\") and permit the downloads by a rule, or configure it for cargo on the host",
            ));
        }
        ("whole", _) => Part::Whole,
        ("index", _) => Part::Index,
        ("files", kind) if kind != RegistryKind::Cargo => Part::Files,
        ("sums", RegistryKind::Go) => Part::Sums,
        _ => return Err(wrong("its part is whole, index or files, or for go sums")),
    };
    let target: Target = place.url.parse().map_err(|_| wrong("its URL is not in canonical form"))?;
    if target.query.is_some() {
        return Err(wrong("its URL has a query"));
    }
    Ok(Registry {
        kind,
        part,
        scheme: target.scheme,
        port: target.port(),
        base: target.path.as_str().trim_end_matches('/').to_owned(),
        host: target.host,
        addresses: place.addresses.clone(),
        credential: place.credential.clone(),
    })
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::egress::{Method, Scheme};

    use super::*;

    fn place(text: &str) -> Result<Registry, InvalidPackageRule> {
        named(&toml::from_str(text).unwrap())
    }

    #[test]
    fn a_place_is_read_strictly() {
        let registry = place("kind = \"npm\"\nurl = \"https://npm.company.example:8443/all/\"").unwrap();
        assert_eq!((registry.scheme, registry.port, registry.base.as_str()), (Scheme::Https, 8443, "/all"));
        assert!(registry.read(&Method::GET, &"/all/left-pad".parse().unwrap(), None).is_some());
        let flat = place("kind = \"apt\"\nurl = \"http://deb.company.example/flat/\"").unwrap();
        assert!(flat.read(&Method::GET, &"/flat/tool_1.0_all.deb".parse().unwrap(), None).is_some());
        for wrong in [
            "kind = \"gem\"\nurl = \"https://a.example/\"",
            "kind = \"npm\"\npart = \"sums\"\nurl = \"https://a.example/\"",
            "kind = \"npm\"\nurl = \"https://10.0.0.1/\"",
            "kind = \"npm\"\nurl = \"https://a.example/?x\"",
            "kind = \"cargo\"\nurl = \"https://a.example/\"",
        ] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }
}
