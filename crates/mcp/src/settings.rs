//! What the operator says of a server: how it is started or reached, and what may be done with its tools.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use cofferdam_domain::{
    egress::{Addresses, BodyLimit, EgressPolicy, EgressRule, Inspection, Method, Scheme},
    foreign::{ArgumentRule, Permit},
};
use globset::{Glob, GlobMatcher};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use crate::{Beside, arguments::check};

/// Bytes of a request to a server at a URL.
const MAX_BODY: u64 = 1 << 20;
/// Characters of a server's name.
const MAX_NAME: usize = 14;

/// A server's name: it stands before the names of its tools.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerName(String);

impl ServerName {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a model calls one of its tools by.
    #[must_use]
    pub fn tool(&self, tool: &str) -> String {
        format!("{}__{}", self.0, tool.replace(['.', '/'], "_"))
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text cannot be a server's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a server's name has 1 to {MAX_NAME} lower-case letters, digits and -, and begins with a letter")]
pub struct InvalidServerName;

impl FromStr for ServerName {
    type Err = InvalidServerName;

    fn from_str(text: &str) -> Result<Self, InvalidServerName> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if begins && text.len() <= MAX_NAME && text.bytes().all(known) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidServerName)
        }
    }
}

impl TryFrom<String> for ServerName {
    type Error = InvalidServerName;

    fn try_from(text: String) -> Result<Self, InvalidServerName> {
        text.parse()
    }
}

impl From<ServerName> for String {
    fn from(name: ServerName) -> Self {
        name.0
    }
}

/// One server, as the operator has configured it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// What it is called.
    pub name: ServerName,
    /// The program that is the server, with its arguments; it runs in a sandbox of its own and speaks on its standard input and output.
    #[serde(default)]
    pub command: Vec<String>,
    /// Or where it is, `https://…`: it is reached through an egress door that lets out requests to exactly this, with the credential below.
    #[serde(default)]
    pub url: Option<Url>,
    /// The name of the credential that the door adds to those requests.
    #[serde(default)]
    pub credential: Option<String>,
    /// At which addresses the URL's host may be.
    #[serde(default)]
    pub addresses: Option<Addresses>,
    /// Variables for the program. They are no place for secrets: it can read them.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Directories of the host that its sandbox may read, beside those of all sandboxes.
    #[serde(default)]
    pub read_only: Vec<Directory>,
    /// What may leave its sandbox: nothing, if it is not said.
    #[serde(default)]
    pub egress: EgressPolicy,
    /// Globs of the addresses of repositories whose sessions have it; all if there are none.
    #[serde(default)]
    pub repositories: Vec<String>,
    /// Whether all that it tells may be seen by anybody. What another one tells is taken for private.
    #[serde(default)]
    pub public: bool,
    /// What may be done with its tools; the first that fits a tool counts, and what none fits is denied.
    #[serde(default)]
    pub tools: Vec<ToolRule>,
    /// Whether its resources may be listed and read: no, if it is not said.
    #[serde(default = "denied")]
    pub resources: Permit,
    /// What must be true of the arguments of reading one: `uri` is its address.
    #[serde(default)]
    pub resource_arguments: Vec<ArgumentRule>,
    /// Whether its prompts may be got: no, if it is not said.
    #[serde(default = "denied")]
    pub prompts: Permit,
    /// What must be true of the arguments of getting one: `name` is its name.
    #[serde(default)]
    pub prompt_arguments: Vec<ArgumentRule>,
    /// How long things may take.
    #[serde(default)]
    pub limits: CallLimits,
}

const fn denied() -> Permit {
    Permit::Deny
}

/// A directory of the host, and where it is inside.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// On the host; absolute.
    pub host: PathBuf,
    /// Inside; absolute.
    pub inside: PathBuf,
}

/// How long things may take, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallLimits {
    /// Until the program has said which tools it has.
    pub start_seconds: u64,
    /// One call.
    pub call_seconds: u64,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self { start_seconds: 60, call_seconds: 120 }
    }
}

/// What may be done with some tools.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolRule {
    /// Globs of their names, as the server has them.
    pub names: Vec<String>,
    /// Whether they may be called.
    pub permit: Permit,
    /// Whether they leave everything as it is. What the server says of that counts for nothing.
    #[serde(default)]
    pub read_only: bool,
    /// What must be true of the arguments of a call.
    #[serde(default)]
    pub arguments: Vec<ArgumentRule>,
}

/// What is said of one tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Ruling<'a> {
    /// Whether it may be called.
    pub permit: Permit,
    /// Whether it leaves everything as it is.
    pub read_only: bool,
    /// What must be true of its arguments.
    pub arguments: &'a [ArgumentRule],
}

impl ServerSettings {
    /// What is wrong with it, in words for whoever wrote it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), String> {
        self.check_place()?;
        if self.command.first().is_some_and(String::is_empty)
            || self.command.iter().any(|word| word.contains('\0'))
        {
            return Err("`command` has an empty program, or a zero byte".to_owned());
        }
        for directory in &self.read_only {
            if !directory.host.is_absolute() || !directory.inside.is_absolute() {
                return Err("`read_only`: `host` and `inside` are absolute paths".to_owned());
            }
        }
        if self.limits.start_seconds == 0 || self.limits.call_seconds == 0 {
            return Err("`limits`: at least one second".to_owned());
        }
        let names = self.tools.iter().flat_map(|rule| &rule.names);
        for pattern in names.chain(&self.repositories) {
            glob(pattern).map_err(|error| format!("{pattern:?} is no glob: {error}"))?;
        }
        let rules = self.tools.iter().flat_map(|rule| &rule.arguments);
        for rule in rules.chain(&self.resource_arguments).chain(&self.prompt_arguments) {
            check(rule)?;
        }
        Ok(())
    }

    /// A server is a program or at a URL, and what only one of them has is not said of the other.
    fn check_place(&self) -> Result<(), String> {
        let Some(url) = &self.url else {
            return match (self.command.is_empty(), &self.credential, &self.addresses) {
                (true, _, _) => Err("`command` names no program, and there is no `url`".to_owned()),
                (false, None, None) => Ok(()),
                (false, _, _) => Err("`credential` and `addresses` are for servers with a `url`".to_owned()),
            };
        };
        if !self.command.is_empty() || !self.environment.is_empty() || !self.read_only.is_empty() {
            return Err("it has a `url`, and so no `command`, `environment` or `read_only`".to_owned());
        }
        if self.egress != EgressPolicy::default() {
            return Err(
                "it has a `url`: what its door lets out follows from that, and `egress` says nothing more"
                    .to_owned(),
            );
        }
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if !plain || url.password().is_some() {
            return Err(
                "`url` has no query, fragment, user or password: secrets are for `credential`".to_owned()
            );
        }
        self.door().map(drop)
    }

    /// What may leave for it: its own rules, or exactly what its URL needs.
    ///
    /// # Errors
    /// When no rule can be made of its URL.
    pub fn door(&self) -> Result<EgressPolicy, String> {
        let Some(url) = &self.url else { return Ok(self.egress.clone()) };
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            other => return Err(format!("`url`: {other} is neither https nor http")),
        };
        let host = url.host_str().unwrap_or_default();
        let rule = EgressRule {
            name: format!("mcp-{}", self.name),
            scheme,
            host: host.parse().map_err(|error| format!("`url`: {host:?}: {error}"))?,
            port: url.port(),
            methods: methods().collect(),
            paths: vec![url.path().parse().map_err(|error| format!("`url`: {:?}: {error}", url.path()))?],
            query: false,
            body_limit: BodyLimit(MAX_BODY),
            web_socket: false,
            inspection: Inspection::Full,
            addresses: self.addresses.clone().unwrap_or(Addresses::Public),
            credential: self.credential.clone(),
        };
        Ok(EgressPolicy { rules: vec![rule], ..EgressPolicy::default() })
    }

    /// What is to be used of it beside its tools.
    #[must_use]
    pub fn beside(&self) -> Beside {
        Beside { resources: self.resources != Permit::Deny, prompts: self.prompts != Permit::Deny }
    }

    /// How it is started or reached, and what is to be used of it beside its tools: part of what is approved.
    #[must_use]
    pub fn reached(&self) -> Value {
        let mut reached = match &self.url {
            Some(url) => json!({ "url": url.as_str() }),
            None => json!({ "command": self.command, "environment": self.environment }),
        };
        let Beside { resources, prompts } = self.beside();
        for (what, used) in [("resources", resources), ("prompts", prompts)] {
            if let Some(reached) = reached.as_object_mut().filter(|_| used) {
                reached.insert(what.to_owned(), true.into());
            }
        }
        reached
    }

    /// Whether sessions on a repository have it.
    #[must_use]
    pub fn serves(&self, repository: &str) -> bool {
        let fits = |pattern: &String| glob(pattern).is_ok_and(|glob| glob.is_match(repository));
        self.repositories.is_empty() || self.repositories.iter().any(fits)
    }

    /// What is said of a tool.
    #[must_use]
    pub fn ruling(&self, tool: &str) -> Ruling<'_> {
        let fits = |rule: &&ToolRule| {
            rule.names.iter().any(|pattern| glob(pattern).is_ok_and(|glob| glob.is_match(tool)))
        };
        match self.tools.iter().find(fits) {
            Some(rule) => {
                Ruling { permit: rule.permit, read_only: rule.read_only, arguments: &rule.arguments }
            }
            None => Ruling { permit: Permit::Deny, read_only: false, arguments: &[] },
        }
    }
}

/// Messages are posted, a stream is read, and at the end a session is deleted.
fn methods() -> impl Iterator<Item = Method> {
    ["POST", "GET", "DELETE"].into_iter().filter_map(|method| method.parse().ok())
}

fn glob(pattern: &str) -> Result<GlobMatcher, globset::Error> {
    Ok(Glob::new(pattern)?.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(more: Value) -> ServerSettings {
        let mut all = json!({"name": "files", "command": ["server"]});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn names_are_short_and_cannot_be_mistaken() {
        for good in ["a", "docs-2", "jira"] {
            assert!(good.parse::<ServerName>().is_ok());
        }
        for bad in ["", "A", "a_b", "-a", "2a", "a b", "averyveryverylongname"] {
            assert!(bad.parse::<ServerName>().is_err(), "{bad}");
        }
        let name: ServerName = "docs".parse().unwrap();
        assert_eq!(name.tool("pages.read/one"), "docs__pages_read_one");
    }

    #[test]
    fn the_first_rule_that_fits_counts_and_none_is_no() {
        let settings = settings(json!({"tools": [
            {"names": ["delete_*"], "permit": "deny"},
            {"names": ["get_*", "list"], "permit": "allow", "read_only": true},
        ]}));
        assert_eq!(settings.check(), Ok(()));
        let ruling = |tool| (settings.ruling(tool).permit, settings.ruling(tool).read_only);
        assert_eq!(ruling("get_page"), (Permit::Allow, true));
        assert_eq!(ruling("delete_page"), (Permit::Deny, false));
        assert_eq!(ruling("put_page"), (Permit::Deny, false));
    }

    #[test]
    fn what_is_beside_tools_is_denied_unless_it_is_said() {
        let plain = settings(json!({}));
        assert_eq!(
            (plain.beside(), plain.resources, plain.prompts),
            (Beside::default(), Permit::Deny, Permit::Deny)
        );
        assert_eq!(
            plain.reached(),
            json!({"command": ["server"], "environment": {}}),
            "as it was approved ever"
        );
        let rule = json!([{"name": "uri", "must": {"prefix": "docs:"}}]);
        let some = settings(json!({"resources": "ask", "resource_arguments": rule}));
        assert_eq!((some.check(), some.beside()), (Ok(()), Beside { resources: true, prompts: false }));
        assert_ne!(some.reached(), plain.reached(), "another one to approve");
        let wrong = json!([{"name": "uri", "must": {"regex": "("}}]);
        for key in ["resource_arguments", "prompt_arguments"] {
            assert!(settings(json!({key: wrong})).check().is_err());
        }
    }

    #[test]
    fn mistakes_are_named() {
        let with = |name: &str, must: Value| {
            let rule = json!({"names": ["x"], "permit": "ask", "arguments": [{"name": name, "must": must}]});
            json!({"tools": [rule]})
        };
        for (more, wanted) in [
            (json!({"command": []}), "`command`"),
            (json!({"url": "https://a.example/mcp"}), "no `command`"),
            (json!({"command": [], "url": "https://a.example/mcp?key=1"}), "no query"),
            (json!({"command": [], "url": "https://10.0.0.1/mcp"}), "address"),
            (json!({"command": [], "url": "ftp://a.example/mcp"}), "neither https"),
            (json!({"credential": "x"}), "`credential`"),
            (json!({"read_only": [{"host": "a", "inside": "/b"}]}), "absolute"),
            (json!({"tools": [{"names": ["[x"], "permit": "allow"}]}), "no glob"),
            (json!({"limits": {"call_seconds": 0}}), "second"),
            (with("a", json!({"one_of": []})), "one_of"),
            (with("a", json!({"regex": "("})), "regular expression"),
        ] {
            let problem = settings(more).check().unwrap_err();
            assert!(problem.contains(wanted), "{problem}");
        }
    }

    #[test]
    fn exactly_a_url_is_let_out() {
        let at =
            settings(json!({"command": [], "url": "https://a.example:8443/v1/mcp", "credential": "docs"}));
        assert_eq!(at.check(), Ok(()));
        let [rule] = &at.door().unwrap().rules[..] else { panic!("one rule") };
        assert_eq!((rule.port, rule.paths[0].to_string(), rule.query), (Some(8443), "/v1/mcp".into(), false));
        assert_eq!(rule.credential.as_deref(), Some("docs"));
        assert!(settings(json!({})).door().unwrap().is_closed());
    }

    #[test]
    fn sessions_have_it_by_their_repository() {
        assert!(settings(json!({})).serves("https://x.example/a"));
        let some = settings(json!({"repositories": ["https://forge.example/team/*"]}));
        assert!(some.serves("https://forge.example/team/a") && !some.serves("https://forge.example/b"));
    }
}
