//! What is wrong with a policy: mistakes that would make a rule mean nothing, or more than its author thinks.

use std::collections::BTreeSet;

use cofferdam_domain::{
    egress::{Addresses, EgressPolicy, EgressRule, HostPattern, Inspection, Method, Scheme},
    hidden::Hidden,
    nearest::nearest,
};

/// Characters of a rule's name at most.
pub(crate) const LONGEST_NAME: usize = 100;
/// Rules of a policy at most. Each is compared with all before it.
pub(crate) const MOST_RULES: usize = 4096;

/// What is wrong with a rule, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule {number} ({name:?}), key `{key}`: {fault}")]
pub struct PolicyProblem {
    /// The rule's place in the policy, from 1.
    pub number: usize,
    /// Its name, cut where it is too long for one.
    pub name: String,
    /// The key that is wrong.
    pub key: &'static str,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More rules than are compared.
    #[error("a policy has at most {MOST_RULES} rules")]
    TooMany,
    /// A name that cannot be shown.
    #[error("a name has 1 to {LONGEST_NAME} visible characters")]
    Name,
    /// A name that another rule has.
    #[error("rule {0} has the same name, and the log could not tell them apart")]
    Duplicate(usize),
    /// A list without an entry.
    #[error(
        "the list is empty, so the rule can never match: leave the key out for its default, or take out the rule"
    )]
    Empty,
    /// Port 0.
    #[error("nothing listens at port 0: leave the key out for the scheme's own port")]
    PortZero,
    /// An address that nothing can be at.
    #[error("nothing can be reached at {0}: name the address and port where the host is")]
    Unreachable(std::net::SocketAddr),
    /// A name that means the worker's own machine.
    #[error(
        "{0} is the worker's own machine, which no name may lead to: say where the host is with addresses = {{ at = \"127.0.0.1:PORT\" }}, or take out the rule"
    )]
    Localhost(String),
    /// A WebSocket without the method that opens one.
    #[error("a WebSocket is opened with GET (RFC 6455, section 4.1), which is not among the methods")]
    WebSocketWithoutGet,
    /// A WebSocket with a credential.
    #[error(
        "nobody could look for the credential in what comes back over a WebSocket: permit the WebSocket in a rule without `credential`, or take out the key"
    )]
    WebSocketWithCredential,
    /// A credential that nobody configured.
    #[error("there is no credential {name:?}{}", suggestion(.nearest.as_deref()))]
    UnknownCredential {
        /// What the rule says.
        name: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// A credential for hosts that are not named.
    #[error(
        "a credential is sent to one host that is named, never to all below {0}: name each host in a rule of its own"
    )]
    CredentialBelow(String),
    /// A credential that everybody on the way could read.
    #[error(
        "a credential is not sent in the clear: use scheme = \"https\" (or addresses at a loopback address)"
    )]
    CredentialInClear,
    /// A rule about connections that says something about requests.
    #[error(
        "a rule with inspection = \"pass_through\" is about the host alone, and nobody sees what this would apply to: take out the key"
    )]
    PassThroughLooks,
    /// A rule about connections that are not TLS.
    #[error("only TLS is passed through: use scheme = \"https\"")]
    PassThroughInClear,
    /// A rule behind one that takes all that it is about.
    #[error(
        "it can never match, because rule {number} ({name:?}) matches everything that it is about: put it before that one, or take it out"
    )]
    Shadowed {
        /// The earlier rule's place.
        number: usize,
        /// Its name.
        name: String,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean {name:?}?"))
}

/// Everything that is wrong with a policy's rules, in their order. `credentials` are the names of those that are
/// configured.
#[must_use]
pub fn problems(policy: &EgressPolicy, credentials: &BTreeSet<String>) -> Vec<PolicyProblem> {
    let rules = policy.rules.get(..MOST_RULES).unwrap_or(&policy.rules);
    let mut found = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let earlier = rules.get(..index).unwrap_or_default();
        let faults = faults(rule, credentials).into_iter().chain(beside(rule, earlier));
        found.extend(faults.map(|(key, fault)| at(index + 1, rule, key, fault)));
    }
    if let Some(rule) = policy.rules.get(MOST_RULES) {
        found.push(at(MOST_RULES + 1, rule, "rules", Fault::TooMany));
    }
    found
}

/// The first thing that is wrong with a rule that is granted beside a policy, where its name may be another's.
pub(crate) fn of_grant(
    number: usize,
    rule: &EgressRule,
    credentials: &BTreeSet<String>,
) -> Option<PolicyProblem> {
    faults(rule, credentials).into_iter().next().map(|(key, fault)| at(number, rule, key, fault))
}

fn at(number: usize, rule: &EgressRule, key: &'static str, fault: Fault) -> PolicyProblem {
    PolicyProblem { number, name: short(&rule.name), key, fault }
}

/// A name of any length, for a message.
fn short(name: &str) -> String {
    name.chars().take(LONGEST_NAME).collect()
}

/// What is wrong with a rule by itself.
fn faults(rule: &EgressRule, credentials: &BTreeSet<String>) -> Vec<(&'static str, Fault)> {
    let mut found = Vec::new();
    let mut expect = |holds: bool, key: &'static str, fault: Fault| {
        if !holds {
            found.push((key, fault));
        }
    };
    let length = rule.name.chars().count();
    let shown = (1..=LONGEST_NAME).contains(&length) && rule.name.trim() == rule.name;
    expect(shown && rule.name.chars().all(|one| Hidden::of(one).is_none()), "name", Fault::Name);
    expect(rule.port != Some(0), "port", Fault::PortZero);
    expect(!rule.methods.is_empty(), "methods", Fault::Empty);
    expect(!rule.paths.is_empty(), "paths", Fault::Empty);
    let opens = !rule.web_socket || rule.methods.is_empty() || rule.methods.contains(&Method::GET);
    expect(opens, "web_socket", Fault::WebSocketWithoutGet);
    // Neither has a place in a rule that passes through, which has a fault of its own.
    let seen = rule.inspection == Inspection::Full;
    expect(
        !(seen && rule.web_socket && rule.credential.is_some()),
        "web_socket",
        Fault::WebSocketWithCredential,
    );
    match &rule.addresses {
        Addresses::At(address) => {
            let ip = address.ip();
            let reachable = address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast();
            expect(reachable, "addresses", Fault::Unreachable(*address));
        }
        Addresses::Public | Addresses::Private => {
            let name = rule.host.name();
            expect(!name.is_localhost(), "host", Fault::Localhost(name.to_string()));
        }
    }
    found.extend(rule.credential.as_deref().and_then(|name| credential_fault(rule, name, credentials)));
    if rule.inspection == Inspection::PassThrough {
        found.extend(pass_through_faults(rule));
    }
    found
}

fn credential_fault(
    rule: &EgressRule,
    name: &str,
    credentials: &BTreeSet<String>,
) -> Option<(&'static str, Fault)> {
    let by_loopback = matches!(rule.addresses, Addresses::At(address) if address.ip().is_loopback());
    let fault = if !credentials.contains(name) {
        let nearest = nearest(name, credentials.iter().map(String::as_str)).map(str::to_owned);
        Fault::UnknownCredential { name: short(name), nearest }
    } else if matches!(rule.host, HostPattern::Below(_)) {
        Fault::CredentialBelow(rule.host.name().to_string())
    } else if rule.scheme == Scheme::Http && !by_loopback {
        Fault::CredentialInClear
    } else {
        return None;
    };
    Some(("credential", fault))
}

/// A rule about connections may say what every rule says, and nothing that is about requests.
fn pass_through_faults(rule: &EgressRule) -> impl Iterator<Item = (&'static str, Fault)> {
    let plain = EgressRule::new("", rule.host.clone());
    let looks = [
        ("methods", rule.methods != plain.methods),
        ("paths", rule.paths != plain.paths),
        ("query", rule.query != plain.query),
        ("body_limit", rule.body_limit != plain.body_limit),
        ("web_socket", rule.web_socket != plain.web_socket),
        ("credential", rule.credential != plain.credential),
    ];
    let in_clear = (rule.scheme == Scheme::Http).then_some(("scheme", Fault::PassThroughInClear));
    let looks = looks.into_iter().filter(|(_, said)| *said).map(|(key, _)| (key, Fault::PassThroughLooks));
    in_clear.into_iter().chain(looks)
}

/// What is wrong with a rule because of those before it.
fn beside(rule: &EgressRule, earlier: &[EgressRule]) -> Vec<(&'static str, Fault)> {
    let mut found = Vec::new();
    if let Some(index) = earlier.iter().position(|other| other.name == rule.name) {
        found.push(("name", Fault::Duplicate(index + 1)));
    }
    if let Some((index, other)) = earlier.iter().enumerate().find(|(_, other)| takes_all_of(other, rule)) {
        found.push(("host", Fault::Shadowed { number: index + 1, name: short(&other.name) }));
    }
    found
}

/// Whether the earlier rule takes everything that the later is about. A connection is passed through or looked into as
/// the first rule about its host says, whatever else the two say.
fn takes_all_of(earlier: &EgressRule, later: &EgressRule) -> bool {
    let same_place = earlier.port() == later.port() && earlier.host.covers(&later.host);
    if !same_place {
        return false;
    }
    let through = |rule: &EgressRule| rule.inspection == Inspection::PassThrough;
    if through(earlier) || through(later) {
        return true;
    }
    earlier.scheme == later.scheme
        && later.methods.iter().all(|method| earlier.methods.contains(method))
        && later.paths.iter().all(|path| earlier.paths.iter().any(|pattern| pattern.covers(path)))
        && earlier.query >= later.query
        && earlier.body_limit >= later.body_limit
        && earlier.web_socket >= later.web_socket
        && !later.methods.is_empty()
        && !later.paths.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rules: &[&str]) -> Vec<(usize, &'static str, Fault)> {
        let rules = rules.iter().map(|text| toml::from_str(text).unwrap()).collect();
        let policy = EgressPolicy { rules, ..EgressPolicy::default() };
        let credentials = BTreeSet::from(["forge".to_owned()]);
        problems(&policy, &credentials)
            .into_iter()
            .map(|problem| (problem.number, problem.key, problem.fault))
            .collect()
    }

    /// The only problem of a rule for `api.example.com` with these keys.
    fn only(keys: &str) -> (&'static str, Fault) {
        let host = if keys.contains("host =") { "" } else { "host = \"api.example.com\"\n" };
        let mut found = found(&[&format!("name = \"r\"\n{host}{keys}")]);
        assert_eq!(found.len(), 1, "{keys}: {found:?}");
        let (number, key, fault) = found.remove(0);
        assert_eq!(number, 1);
        (key, fault)
    }

    #[test]
    fn each_mistake_has_its_key() {
        assert_eq!(only("port = 0"), ("port", Fault::PortZero));
        assert_eq!(only("methods = []"), ("methods", Fault::Empty));
        assert_eq!(only("paths = []"), ("paths", Fault::Empty));
        assert_eq!(
            only("web_socket = true\nmethods = [\"POST\"]"),
            ("web_socket", Fault::WebSocketWithoutGet)
        );
        assert_eq!(
            only("web_socket = true\ncredential = \"forge\""),
            ("web_socket", Fault::WebSocketWithCredential)
        );
        assert_eq!(only("host = \"localhost\""), ("host", Fault::Localhost("localhost".into())));
        assert!(matches!(only("addresses = { at = \"127.0.0.1:0\" }"), ("addresses", Fault::Unreachable(_))));
        assert!(matches!(only("addresses = { at = \"0.0.0.0:80\" }"), ("addresses", Fault::Unreachable(_))));
        let unknown = Fault::UnknownCredential { name: "forg".into(), nearest: Some("forge".into()) };
        assert!(unknown.to_string().ends_with("did you mean \"forge\"?"));
        assert_eq!(only("credential = \"forg\""), ("credential", unknown));
        let below = "host = \"*.example.com\"\ncredential = \"forge\"";
        assert_eq!(only(below), ("credential", Fault::CredentialBelow("example.com".into())));
        let clear = "scheme = \"http\"\ncredential = \"forge\"";
        assert_eq!(only(clear), ("credential", Fault::CredentialInClear));
        let elsewhere = format!("{clear}\naddresses = {{ at = \"10.0.0.1:80\" }}");
        assert_eq!(only(&elsewhere), ("credential", Fault::CredentialInClear));
        for (key, keys) in [
            ("methods", "methods = [\"POST\"]"),
            ("paths", "paths = [\"/a\"]"),
            ("query", "query = true"),
            ("body_limit", "body_limit = 1"),
            ("web_socket", "web_socket = true"),
            ("credential", "credential = \"forge\""),
        ] {
            let keys = format!("inspection = \"pass_through\"\n{keys}");
            assert_eq!(only(&keys), (key, Fault::PassThroughLooks));
        }
        let clear = "inspection = \"pass_through\"\nscheme = \"http\"";
        assert_eq!(only(clear), ("scheme", Fault::PassThroughInClear));
    }

    #[test]
    fn what_is_right_is_no_problem() {
        let rules = [
            "name = \"a\"\nhost = \"a.example.com\"\ncredential = \"forge\"",
            "name = \"b\"\nhost = \"localhost\"\naddresses = { at = \"127.0.0.1:8443\" }",
            "name = \"c\"\nhost = \"c.example.com\"\nscheme = \"http\"\ncredential = \"forge\"\naddresses = { at = \"[::1]:80\" }",
            "name = \"d\"\nhost = \"*.example.com\"\ninspection = \"pass_through\"",
        ];
        assert_eq!(found(&rules), Vec::new());
    }

    #[test]
    fn names_can_be_shown() {
        let long = "x".repeat(LONGEST_NAME + 1);
        for name in ["", " ", "a ", "a\u{202e}b", "a\u{200b}", "a\u{7}", &long] {
            let rule = EgressRule::new(name, "example.com".parse().unwrap());
            let policy = EgressPolicy { rules: vec![rule], ..EgressPolicy::default() };
            let problems = problems(&policy, &BTreeSet::new());
            assert!(matches!(&problems[..], [PolicyProblem { fault: Fault::Name, .. }]), "{name:?}");
            assert!(problems[0].to_string().len() < 300);
        }
    }

    #[test]
    fn a_rule_behind_one_that_takes_everything_is_found() {
        let shadows = |one: &str, two: &str| {
            let rules = [format!("name = \"one\"\n{one}"), format!("name = \"two\"\n{two}")];
            let found = found(&[&rules[0], &rules[1]]);
            assert!(found.len() < 2, "{found:?}");
            found.first().is_some_and(|(number, _, fault)| {
                *number == 2 && *fault == Fault::Shadowed { number: 1, name: "one".into() }
            })
        };
        let host = "host = \"a.example.com\"";
        assert!(shadows(host, host));
        assert!(shadows("host = \"*.example.com\"", host));
        assert!(shadows(host, &format!("{host}\nport = 443\npaths = [\"/x/*\"]\nmethods = [\"GET\"]")));
        assert!(shadows(host, &format!("{host}\ncredential = \"forge\"")));
        let through = format!("{host}\ninspection = \"pass_through\"");
        assert!(shadows(&through, host));
        assert!(shadows(host, &through));
        for wider in [
            "query = true",
            "body_limit = 1",
            "methods = [\"POST\"]",
            "port = 8443",
            "scheme = \"http\"",
            "web_socket = true",
        ] {
            assert!(!shadows(host, &format!("{host}\n{wider}")), "{wider}");
        }
        assert!(!shadows(host, "host = \"*.example.com\""));
        assert!(!shadows(&format!("{host}\npaths = [\"/x/*\"]"), &format!("{host}\npaths = [\"/x/**\"]")));
    }

    #[test]
    fn names_are_unique_and_rules_not_too_many() {
        let rule = |name: &str, host: String| EgressRule::new(name, host.parse().unwrap());
        let rules = vec![rule("a", "a.example".into()), rule("a", "b.example".into())];
        let policy = EgressPolicy { rules, ..EgressPolicy::default() };
        let problem = problems(&policy, &BTreeSet::new()).remove(0);
        assert_eq!(
            problem.to_string(),
            "rule 2 (\"a\"), key `name`: rule 1 has the same name, and the log could not tell them apart"
        );
        let rules =
            (0..=MOST_RULES).map(|number| rule(&number.to_string(), format!("h{number}.example"))).collect();
        let policy = EgressPolicy { rules, ..EgressPolicy::default() };
        let problems = problems(&policy, &BTreeSet::new());
        assert!(matches!(&problems[..], [PolicyProblem { fault: Fault::TooMany, .. }]));
    }
}
