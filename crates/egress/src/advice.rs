//! What an administrator should know about a policy that is valid.

use cofferdam_domain::egress::{
    Addresses, EgressPolicy, EgressRule, HostName, HostPattern, Inspection, PathPattern, Scheme,
};

use crate::credential::Credential;

/// Something that is permitted to be so, and may not be what was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The rule's place in the policy from 1 and its name, if it is about one.
    pub rule: Option<(usize, String)>,
    /// What it means.
    pub text: String,
}

/// What an administrator should know about a valid policy and the credentials that are configured.
#[must_use]
pub fn advice(policy: &EgressPolicy, credentials: &[Credential]) -> Vec<Advice> {
    let mut found = Vec::new();
    for (index, rule) in policy.rules.iter().enumerate() {
        let about = (index + 1, rule.name.clone());
        let texts = about_rule(rule)
            .into_iter()
            .chain(about_credential(rule, credentials))
            .chain(about_registry(rule, policy));
        found.extend(texts.map(|text| Advice { rule: Some(about.clone()), text }));
    }
    let used = |name: &str| policy.rules.iter().any(|rule| rule.credential.as_deref() == Some(name));
    let unused = credentials.iter().map(|credential| &credential.name).filter(|name| !used(name));
    found.extend(
        unused.map(|name| Advice { rule: None, text: format!("no rule uses the credential {name:?}") }),
    );
    found
}

/// A rule does not apply to what reads where a registry is. Where registries are is discovered later, but those that packages
/// are pinned to are named in the policy.
fn about_registry(rule: &EgressRule, policy: &EgressPolicy) -> Option<String> {
    let reads = rule.methods.iter().any(|method| matches!(method.as_str(), "GET" | "HEAD"));
    let mut pinned = policy.registries.only_from.values().flat_map(|hosts| hosts.split_whitespace());
    let registry = pinned.find(|host| host.parse::<HostName>().is_ok_and(|host| rule.host.matches(&host)));
    registry.filter(|_| policy.registries.enabled && reads).map(|host| {
        format!(
            "{host} is a package registry: this rule does not apply to GET and HEAD there, which pass as its protocol reads or not at all"
        )
    })
}

/// A credential is used where it says itself, whatever a rule says.
fn about_credential(rule: &EgressRule, credentials: &[Credential]) -> Option<String> {
    let credential =
        credentials.iter().find(|credential| Some(&credential.name) == rule.credential.as_ref())?;
    let elsewhere = !rule.host.matches(&credential.host)
        || (credential.scheme, credential.port()) != (rule.scheme, rule.port());
    let method = rule.methods.iter().find(|method| !credential.methods.contains(method));
    let (name, host) = (&credential.name, &credential.host);
    if elsewhere {
        let place = format!("{}://{host}:{}", credential.scheme, credential.port());
        return Some(format!(
            "the credential {name:?} is for {place}, so every request by this rule is refused"
        ));
    }
    method.map(|method| {
        format!("the credential {name:?} is not for {method}, so such requests by this rule are refused")
    })
}

fn about_rule(rule: &EgressRule) -> Vec<String> {
    if rule.inspection == Inspection::PassThrough {
        let text =
            format!("nobody sees what is sent to {}: methods, paths and bodies are not checked", rule.host);
        return std::iter::once(text).chain(broad_host(rule)).collect();
    }
    let everywhere = rule.paths.iter().any(PathPattern::is_everything);
    let writes: Vec<&str> =
        rule.methods.iter().map(|method| method.as_str()).filter(|method| !is_reading(method)).collect();
    let wide = rule.paths.iter().any(|path| path.as_str().ends_with("/**"));
    let by_loopback = matches!(rule.addresses, Addresses::At(address) if address.ip().is_loopback());
    let no_body = rule.body_limit.0 == 0;
    let on = &rule.host;
    let advice = [
        (
            rule.query && wide,
            format!(
                "query = true on all paths lets anything be sent to {on} in a URL: if strangers can publish or read logs there, name the paths that need it"
            ),
        ),
        (
            !writes.is_empty() && everywhere,
            format!("{} may be sent to every path on {on}: name the paths", writes.join(" and ")),
        ),
        (
            !writes.is_empty() && no_body,
            format!("{} is permitted, but no body: set body_limit if one is sent", writes.join(" and ")),
        ),
        (
            writes.is_empty() && !no_body && !rule.web_socket,
            "body_limit lets requests that only read send bytes".to_owned(),
        ),
        (
            rule.credential.is_some() && everywhere,
            format!("the credential is added on every path of {on}: name the paths that need it"),
        ),
        (
            rule.scheme == Scheme::Http && !by_loopback,
            format!(
                "what goes to {on} can be read and changed on the way: scheme = \"https\" if the host has it"
            ),
        ),
    ];
    let said = advice.into_iter().filter(|(applies, _)| *applies).map(|(_, text)| text);
    broad_host(rule).into_iter().chain(said).collect()
}

fn broad_host(rule: &EgressRule) -> Option<String> {
    match &rule.host {
        HostPattern::Exactly(_) => None,
        HostPattern::Below(name) => Some(format!(
            "it is about every host below {name}, also those that are made tomorrow: name the hosts"
        )),
    }
}

/// Methods that do not change anything (RFC 9110, section 9.2.1), as far as they may leave.
fn is_reading(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(change: impl FnOnce(&mut EgressRule)) -> Vec<String> {
        let mut rule = EgressRule::new("r", "api.example.com".parse().unwrap());
        change(&mut rule);
        let policy = EgressPolicy { rules: vec![rule], ..EgressPolicy::default() };
        advice(&policy, &[]).into_iter().map(|advice| advice.text).collect()
    }

    #[test]
    fn a_rule_that_only_reads_one_host_is_fine() {
        assert_eq!(texts(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn what_is_wide_is_said() {
        let only = |change: fn(&mut EgressRule), wanted: &str| {
            let texts = texts(change);
            assert!(texts.len() == 1 && texts[0].contains(wanted), "{wanted}: {texts:?}");
        };
        only(|rule| rule.host = "*.example.com".parse().unwrap(), "every host below example.com");
        only(|rule| rule.query = true, "query = true");
        only(|rule| rule.body_limit.0 = 5, "only read");
        only(|rule| rule.scheme = Scheme::Http, "on the way");
        only(|rule| rule.inspection = Inspection::PassThrough, "nobody sees");
        only(|rule| rule.credential = Some("c".into()), "added on every path");
        only(
            |rule| {
                rule.methods = vec!["POST".parse().unwrap()];
                rule.body_limit.0 = 1;
            },
            "POST may be sent to every path",
        );
        only(
            |rule| {
                rule.methods = vec!["POST".parse().unwrap()];
                rule.paths = vec!["/upload".parse().unwrap()];
            },
            "set body_limit",
        );
    }

    #[test]
    fn rules_about_registries_are_said_to_permit_no_reading() {
        let said = |host: &str, method: &str, enabled| {
            let rule = EgressRule {
                methods: vec![method.parse().unwrap()],
                paths: vec!["/a".parse().unwrap()],
                body_limit: cofferdam_domain::egress::BodyLimit(u64::from(method == "POST")),
                ..EgressRule::new("r", host.parse().unwrap())
            };
            let mut policy = EgressPolicy { rules: vec![rule], ..EgressPolicy::default() };
            policy.registries.enabled = enabled;
            let hosts = "other.example npm.company.example".to_owned();
            policy.registries.only_from.insert("npm:@company/*".to_owned(), hosts);
            advice(&policy, &[]).iter().any(|advice| advice.text.contains("is a package registry"))
        };
        assert!(said("npm.company.example", "GET", true) && said("*.company.example", "HEAD", true));
        assert!(!said("npm.company.example", "POST", true), "it applies");
        assert!(!said("npm.company.example", "GET", false) && !said("www.company.example", "GET", true));
    }

    #[test]
    fn credentials_that_no_rule_uses_are_said() {
        let found = advice(&EgressPolicy::default(), &[forge()]);
        assert_eq!(found.len(), 1);
        assert!(found[0].rule.is_none() && found[0].text.contains("forge"));
    }

    fn forge() -> Credential {
        let text = "name = \"forge\"\nhost = \"forge.example.com\"\nsource = { env = \"FORGE_TOKEN\" }";
        toml::from_str(text).unwrap()
    }

    #[test]
    fn credentials_that_are_for_something_else_are_said() {
        let said = |change: fn(&mut EgressRule)| {
            let mut rule = EgressRule::new("r", "forge.example.com".parse().unwrap());
            rule.paths = vec!["/a".parse().unwrap()];
            rule.credential = Some("forge".into());
            change(&mut rule);
            let policy = EgressPolicy { rules: vec![rule], ..EgressPolicy::default() };
            advice(&policy, &[forge()]).into_iter().map(|advice| advice.text).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(said(|_| {}), "");
        assert!(said(|rule| rule.host = "other.example.com".parse().unwrap()).contains("every request"));
        assert!(said(|rule| rule.port = Some(8443)).contains("every request"));
        assert!(said(|rule| rule.methods.push("DELETE".parse().unwrap())).contains("not for DELETE"));
    }
}
