//! Which packages a policy lets through, and of what age.

use cofferdam_domain::{
    Timestamp,
    egress::{HostName, Refusal, Registries},
};

use super::{Reading, RegistryKind};

/// A policy's rules about packages, ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct PackageRules {
    cool_down_days: u32,
    deny: Vec<PackagePattern>,
    only_from: Vec<(PackagePattern, Vec<HostName>)>,
}

/// Why a package does not come through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRefusal {
    /// As a stable name.
    pub code: Refusal,
    /// For people and for the program that asked.
    pub reason: String,
}

/// A rule about packages is not in the form that it should have.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum InvalidPackageRule {
    /// A registry that is none.
    #[error("the registry {url:?} cannot be used: {problem}")]
    Registry {
        /// Its URL as it is written.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Not `kind:name`.
    #[error(
        "{text:?} names no packages: write the kind of registry (cargo, pip, npm, apt, go, maven), a colon and a name, in which `*` stands for any text: npm:@company/*"
    )]
    Pattern {
        /// As it is written.
        text: String,
    },
    /// Not a host, or several.
    #[error(
        "{text:?} is not where {pattern:?} may come from: write a host name, or several with spaces between them"
    )]
    Host {
        /// The packages.
        pattern: String,
        /// As it is written.
        text: String,
    },
}

/// Packages of one kind of registry, by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PackagePattern {
    kind: RegistryKind,
    name: String,
}

impl PackagePattern {
    fn new(text: &str) -> Result<Self, InvalidPackageRule> {
        let invalid = || InvalidPackageRule::Pattern { text: text.to_owned() };
        let (kind, name) = text.split_once(':').ok_or_else(invalid)?;
        let kind = RegistryKind::ALL.into_iter().find(|known| known.as_str() == kind).ok_or_else(invalid)?;
        let visible = |byte: u8| (b'!'..=b'~').contains(&byte);
        if name.is_empty() || name.len() > 256 || !name.bytes().all(visible) {
            return Err(invalid());
        }
        Ok(Self { kind, name: plain(kind, name) })
    }

    fn matches(&self, kind: RegistryKind, name: &str) -> bool {
        self.kind == kind && star(&self.name, &plain(kind, name))
    }
}

/// One spelling for names that a registry takes for the same.
fn plain(kind: RegistryKind, name: &str) -> String {
    match kind {
        RegistryKind::Pip => name.to_ascii_lowercase().replace(['_', '.'], "-"),
        RegistryKind::Cargo => name.to_ascii_lowercase().replace('_', "-"),
        RegistryKind::Npm | RegistryKind::Apt | RegistryKind::Go | RegistryKind::Maven => name.to_owned(),
    }
}

/// Whether the text is the pattern with something in the place of each star.
fn star(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

impl PackageRules {
    /// Of a policy.
    ///
    /// # Errors
    /// With the first that cannot be read.
    pub fn new(registries: &Registries) -> Result<Self, InvalidPackageRule> {
        let deny = registries.deny.iter().map(|text| PackagePattern::new(text)).collect::<Result<_, _>>()?;
        let pins = registries.only_from.iter().map(|(pattern, text)| {
            let invalid = || InvalidPackageRule::Host { pattern: pattern.clone(), text: text.clone() };
            let hosts: Vec<HostName> =
                text.split_whitespace().map(str::parse).collect::<Result<_, _>>().map_err(|_| invalid())?;
            if hosts.is_empty() { Err(invalid()) } else { Ok((PackagePattern::new(pattern)?, hosts)) }
        });
        Ok(Self {
            cool_down_days: registries.cool_down_days,
            deny,
            only_from: pins.collect::<Result<_, _>>()?,
        })
    }

    /// Whether a package may be read from this host at all.
    ///
    /// # Errors
    /// When it is denied, or may come from another host only.
    pub fn judge(&self, host: &HostName, reading: &Reading) -> Result<(), PackageRefusal> {
        let (kind, Some(name)) = (reading.kind(), reading.name()) else { return Ok(()) };
        let refusal = |reason| Err(PackageRefusal { code: Refusal::Package, reason });
        if self.deny.iter().any(|pattern| pattern.matches(kind, name)) {
            return refusal(format!("the package {kind}:{name} is denied by the policy"));
        }
        // A package that is pinned is pinned by the first pattern that names it.
        match self.only_from.iter().find(|(pattern, _)| pattern.matches(kind, name)) {
            Some((_, hosts)) if !hosts.contains(host) => {
                let hosts = hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(" and ");
                refusal(format!("the package {kind}:{name} may only come from {hosts}, not from {host}"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the age of this reading matters, also where it need not be asked for any more.
    #[must_use]
    pub const fn asks_age(&self, reading: &Reading) -> bool {
        self.cool_down_days > 0 && matches!(reading, Reading::Artefact { whole: true, .. })
    }

    /// Whether a version that was published then may pass now. One whose age nobody knows may.
    ///
    /// # Errors
    /// When it is too young.
    pub fn judge_age(
        &self,
        reading: &Reading,
        published: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), PackageRefusal> {
        const DAY: u64 = 24 * 60 * 60 * 1000;
        let Some(published) = published.filter(|_| self.asks_age(reading)) else { return Ok(()) };
        let age = now.millis_since(published);
        if age >= u64::from(self.cool_down_days) * DAY {
            return Ok(());
        }
        let (kind, name, version) =
            (reading.kind(), reading.name().unwrap_or_default(), reading.version().unwrap_or_default());
        let age =
            if age < DAY { format!("{} hours", age / (DAY / 24)) } else { format!("{} days", age / DAY) };
        let reason = format!(
            "{kind}:{name} {version} was published {age} ago, and the policy wants {} days: use an older version",
            self.cool_down_days
        );
        Err(PackageRefusal { code: Refusal::CoolDown, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Result<PackageRules, InvalidPackageRule> {
        PackageRules::new(&toml::from_str(text).unwrap())
    }

    fn index(kind: RegistryKind, name: &str) -> Reading {
        Reading::Index { kind, name: Some(name.to_owned()) }
    }

    #[test]
    fn denied_and_pinned() {
        let rules = rules(
            r#"
            deny = ["npm:left-pad", "cargo:*-sys", "pip:Evil_Thing"]
            only_from = { "npm:@company/*" = "npm.company.example", "pip:company-*" = "index.company.example files.company.example" }
            "#,
        )
        .unwrap();
        let public: HostName = "registry.example".parse().unwrap();
        let own: HostName = "npm.company.example".parse().unwrap();
        let files: HostName = "files.company.example".parse().unwrap();
        for (kind, name, host, passes) in [
            (RegistryKind::Npm, "left-pad", &public, false),
            (RegistryKind::Npm, "left-padding", &public, true),
            (RegistryKind::Cargo, "left-pad", &public, true),
            (RegistryKind::Cargo, "open_ssl-sys", &public, false),
            (RegistryKind::Cargo, "open_ssl_sys", &public, false),
            (RegistryKind::Pip, "evil-thing", &public, false),
            (RegistryKind::Npm, "@company/x", &public, false),
            (RegistryKind::Npm, "@company/x", &own, true),
            (RegistryKind::Npm, "@companyx/x", &public, true),
            (RegistryKind::Pip, "company-lib", &files, true),
            (RegistryKind::Pip, "company-lib", &own, false),
        ] {
            let judged = rules.judge(host, &index(kind, name));
            assert_eq!(judged.is_ok(), passes, "{kind}:{name} from {host}: {judged:?}");
        }
        let reason = rules.judge(&public, &index(RegistryKind::Npm, "@company/x")).unwrap_err().reason;
        assert!(reason.contains("npm.company.example"), "{reason}");
    }

    #[test]
    fn mistakes() {
        for text in [
            "deny = ['left-pad']",
            "deny = ['gem:x']",
            "deny = ['npm:']",
            "only_from = { 'npm:x' = '' }",
            "only_from = { 'npm:x' = 'Not A Host' }",
        ] {
            assert!(rules(text).is_err(), "{text}");
        }
    }

    #[test]
    fn young_versions_wait() {
        let rules = rules("cool_down_days = 7").unwrap();
        let version = Reading::Artefact {
            kind: RegistryKind::Npm,
            name: "x".to_owned(),
            version: "1.0.0".to_owned(),
            whole: true,
        };
        let day = 24 * 60 * 60 * 1000;
        let now = Timestamp(100 * day);
        for (published, passes) in
            [(Some(99), false), (Some(94), false), (Some(93), true), (None, true), (Some(101), false)]
        {
            let published = published.map(|days| Timestamp(days * day));
            assert_eq!(rules.judge_age(&version, published, now).is_ok(), passes, "{published:?}");
        }
        let refusal = rules.judge_age(&version, Some(Timestamp(now.0 - 3 * day / 24)), now).unwrap_err();
        assert!(refusal.reason.contains("3 hours ago") && refusal.code == Refusal::CoolDown, "{refusal:?}");
        assert!(!rules.asks_age(&index(RegistryKind::Npm, "x")));
    }
}
