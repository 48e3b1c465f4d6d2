//! Refusals in a sentence: what was tried, and what is permitted there.

use cofferdam_domain::{
    amount::counted,
    egress::{EgressRule, HostName, HostPattern, Inspection, Method, PathPattern},
};

use crate::{
    decide::{Body, Miss, Request},
    registry::RegistryKind,
};

/// Rules, methods or paths that a sentence names at most.
const MOST: usize = 4;
/// Characters of something that was tried, at most.
const LONGEST: usize = 300;

/// Why a request is refused whose nearest miss is this one.
pub(crate) fn refused(request: &Request<'_>, miss: Miss, missed: &[(Miss, &EgressRule)]) -> String {
    let tried = cut(&request.to_string());
    let why = match miss {
        Miss::Host | Miss::Scheme | Miss::Port | Miss::PassThrough | Miss::Registry => {
            let rules = missed.iter().map(|(_, rule)| *rule).collect::<Vec<_>>();
            return format!("{tried} is not permitted: {}", reachable(request.host, &rules));
        }
        Miss::Method | Miss::Path => String::new(),
        Miss::Query => " with a query".to_owned(),
        Miss::Upgrade => " as a WebSocket".to_owned(),
        Miss::Body => body(request.body),
    };
    let near = missed.iter().filter(|(other, _)| *other == miss).map(|(_, rule)| permits(rule, miss));
    format!("{tried}{why} is not permitted: on {} {}", request.host, listed(near, "; "))
}

/// Why a connection is refused.
pub(crate) fn no_connection(host: &HostName, port: u16, about: &[&EgressRule]) -> String {
    format!("a connection to {host}:{port} is not permitted: {}", reachable(host, about))
}

/// Why a request is refused that a rule permits.
pub(crate) fn held_back(request: &Request<'_>, rule: &EgressRule, asks: bool, why: &str) -> String {
    let tried = cut(&request.to_string());
    let person = if asks {
        "a person has to permit it too"
    } else {
        "nobody is asked here (an operator changes that with `access = \"ask\"`, or with `mixed = \"allow\"`)"
    };
    format!("{tried} could change something outside by the rule {:?}, and {person}: {why}", rule.name)
}

/// Why a request to a registry is refused.
pub(crate) fn not_reading(request: &Request<'_>, kind: RegistryKind) -> String {
    let tried = cut(&request.to_string());
    let query = if request.query.is_some() { " with a query" } else { "" };
    format!(
        "{tried}{query} is not permitted: on this {kind} registry indexes and packages are read, and nothing else"
    )
}

/// Why a request that reads at a registry's place is refused, whatever the rules say.
pub(crate) fn no_rule_reads(request: &Request<'_>, kind: RegistryKind) -> String {
    let body = if matches!(request.body, Body::None | Body::Exactly(0)) { "" } else { " with a body" };
    let tried =
        not_reading(request, kind).replacen(" is not permitted", &format!("{body} is not permitted"), 1);
    format!(
        "{tried}; rules do not apply to GET and HEAD here, as they would go past what the policy says about packages"
    )
}

/// Why a rule does not permit a request, beside that rule.
pub(crate) fn missed(rule: &EgressRule, request: &Request<'_>, miss: Miss) -> String {
    match miss {
        Miss::Host => match &rule.host {
            HostPattern::Exactly(name) => format!("it is about the host {name}"),
            HostPattern::Below(name) => format!("it is about hosts below {name}"),
        },
        Miss::Scheme => format!("it is about {}", rule.scheme),
        Miss::Port => format!("it is about port {}", rule.port()),
        Miss::Registry => {
            "a registry is there, where no rule applies to GET and HEAD: only what its protocol reads passes"
                .to_owned()
        }
        Miss::PassThrough => "it passes whole connections through, which this one is not".to_owned(),
        Miss::Method => format!("its methods are {}", methods(&rule.methods)),
        Miss::Path => format!("its paths are {}", paths(&rule.paths)),
        Miss::Query => "it permits no query".to_owned(),
        Miss::Upgrade => "it permits no WebSocket".to_owned(),
        Miss::Body => format!("it permits {}, not{}", limit(rule), body(request.body)),
    }
}

/// What may be reached on a host where a request finds nothing to fit.
fn reachable(host: &HostName, about: &[&EgressRule]) -> String {
    if about.is_empty() {
        return format!("no rule is about {host}");
    }
    let places = about.iter().map(|rule| {
        let through = if rule.inspection == Inspection::PassThrough { " (passed through)" } else { "" };
        format!("{} at port {}{through}", rule.scheme, rule.port())
    });
    format!("{host} may be reached by {} only", listed(places, ", "))
}

/// What a rule permits, with the part that was missed.
fn permits(rule: &EgressRule, miss: Miss) -> String {
    let operation = format!("{} {}", methods(&rule.methods), paths(&rule.paths));
    let how = match miss {
        Miss::Host
        | Miss::Scheme
        | Miss::Port
        | Miss::PassThrough
        | Miss::Registry
        | Miss::Method
        | Miss::Path => String::new(),
        Miss::Query => " without a query".to_owned(),
        Miss::Upgrade => " without an upgrade".to_owned(),
        Miss::Body => format!(" with {}", limit(rule)),
    };
    format!("rule {:?} permits {operation}{how}", rule.name)
}

fn limit(rule: &EgressRule) -> String {
    match rule.body_limit.0 {
        0 => "no body".to_owned(),
        bytes => format!("a body of at most {}", counted(bytes, "byte")),
    }
}

fn body(body: Body) -> String {
    match body {
        Body::None => " without a body".to_owned(),
        Body::Exactly(bytes) => format!(" with a body of {}", counted(bytes, "byte")),
        Body::Unknown => " with a body of unknown length".to_owned(),
    }
}

fn methods(methods: &[Method]) -> String {
    listed(methods.iter().map(Method::to_string), ", ")
}

fn paths(paths: &[PathPattern]) -> String {
    listed(paths.iter().map(|path| cut(path.as_str())), ", ")
}

/// The first few of them, each once, and whether there are more.
fn listed(items: impl Iterator<Item = String>, separator: &str) -> String {
    let mut shown: Vec<String> = Vec::new();
    for item in items {
        if shown.contains(&item) {
            continue;
        }
        if shown.len() == MOST {
            return format!("{}{separator}and more", shown.join(separator));
        }
        shown.push(item);
    }
    shown.join(separator)
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}
