//! `request_access`: the agent asks that something be let out of the sandbox. A person decides.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use cofferdam_domain::{
    ToolOutcome,
    egress::{Addresses, BodyLimit, EgressRule, HostPattern, Inspection, Method, PathPattern, Scheme},
    tool::ToolEffect,
};
use serde_json::{Map, Value};

use crate::{
    call::{Arguments, Definition, Field, Kind},
    tool::{Context, Failure, Tool, noted},
};

/// Requests that people are asked about while a worker has the session: who is asked more often looks less closely.
const MOST_ASKED: usize = 12;
/// Characters of a reason.
const MAX_REASON: usize = 1000;
/// Methods or paths of one request: a person reads them.
const MAX_LIST: usize = 16;
/// Bytes of one path.
const MAX_PATH: usize = 300;
/// Bytes of a request's body where the methods send one.
const BODY: BodyLimit = BodyLimit(64 << 10);

static DEFINITION: Definition = Definition {
    name: "request_access",
    description: "Ask a person to let requests out of the sandbox that policy refuses. Ask for the least that the task needs. You are told \
                  what was decided; it may be nothing.",
    fields: &[
        Field::required("host", Kind::Text, "its name alone, or *.example.com for all below it")
            .or(&["domain"]),
        Field::optional("methods", Kind::Text, "separated by spaces; default GET HEAD").or(&["method"]),
        Field::optional(
            "paths",
            Kind::Text,
            "separated by spaces; * within a segment, /** at the end; default /**",
        )
        .or(&["path"]),
        Field::optional("query", Kind::Flag, "whether a query (?…) is needed"),
        Field::optional("scheme", Kind::Choice { words: &["https", "http"], aliases: &[] }, "default https"),
        Field::optional("port", Kind::Count { least: 1, most: 65_535 }, "default the scheme's own"),
        Field::required("reason", Kind::Text, "what the task needs it for"),
    ],
    parallel: false,
    read_only: true,
    example: r#"{"host":"docs.example.com","paths":"/api/**","reason":"the format that the task names is described there"}"#,
    adapt: join_lists,
    bare: None,
};

/// Models like to write lists as lists.
fn join_lists(arguments: &mut Map<String, Value>) {
    for name in ["methods", "method", "paths", "path"] {
        let Some(Value::Array(items)) = arguments.get(name) else { continue };
        let words: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
        if let Some(words) = words {
            let joined = words.join(" ");
            arguments.insert(name.to_owned(), joined.into());
        }
    }
}

/// The tool.
#[derive(Debug, Default)]
pub(crate) struct RequestAccess {
    asked: AtomicUsize,
}

#[async_trait]
impl Tool for RequestAccess {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let reason = arguments.text("reason").trim();
        if reason.is_empty() || reason.chars().count() > MAX_REASON {
            return Err(Failure(format!("A reason has 1 to {MAX_REASON} characters.")));
        }
        let rule = rule(format!("access-{}", context.call), arguments)?;
        if self.asked.fetch_add(1, Ordering::Relaxed) >= MOST_ASKED {
            return Err(Failure(format!(
                "A person has been asked {MOST_ASKED} times, and is not asked again: go on without this access, and say in the end what it was for."
            )));
        }
        let effect = ToolEffect::Access { rule: Box::new(rule), reason: reason.to_owned() };
        Ok(noted(
            "Recorded for a person to decide, once for the same. Nobody may be there: do not wait and do not ask again; go on with \
             what needs no access. You will be told what was decided.",
            effect,
        ))
    }
}

fn rule(name: String, arguments: &Arguments) -> Result<EgressRule, Failure> {
    let host: HostPattern = arguments.text("host").trim().parse().map_err(|error| {
        Failure(format!("`host`: {error}. Scheme, port and path have arguments of their own."))
    })?;
    let mut methods: Vec<Method> = list(arguments, "methods")?;
    if methods.is_empty() {
        methods = vec![Method::GET, Method::HEAD];
    }
    let mut paths: Vec<PathPattern> = list(arguments, "paths")?;
    if paths.is_empty() {
        paths = vec![PathPattern::everything()];
    }
    let sends = methods.iter().any(|method| *method != Method::GET && *method != Method::HEAD);
    let scheme = if arguments.text("scheme") == "http" { Scheme::Http } else { Scheme::Https };
    Ok(EgressRule {
        name,
        scheme,
        host,
        port: arguments.count("port").and_then(|port| u16::try_from(port).ok()),
        methods,
        paths,
        query: arguments.flag("query"),
        body_limit: if sends { BODY } else { BodyLimit::default() },
        web_socket: false,
        inspection: Inspection::Full,
        addresses: Addresses::Public,
        credential: None,
    })
}

/// The words of a list, each in its one accepted form.
fn list<T: std::str::FromStr<Err: std::fmt::Display>>(
    arguments: &Arguments,
    name: &str,
) -> Result<Vec<T>, Failure> {
    let words: Vec<&str> =
        arguments.text(name).split([' ', ',', '\n']).filter(|word| !word.is_empty()).collect();
    if words.len() > MAX_LIST || words.iter().any(|word| word.len() > MAX_PATH) {
        return Err(Failure(format!("`{name}`: at most {MAX_LIST}, each of at most {MAX_PATH} bytes.")));
    }
    words
        .into_iter()
        .map(|word| word.parse().map_err(|error| Failure(format!("`{name}`: {word:?}: {error}."))))
        .collect()
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::ToolCall;

    use super::*;

    fn asked(arguments: &str) -> Result<EgressRule, String> {
        let call =
            ToolCall { provider_id: "x".into(), name: "".into(), arguments: arguments.into(), opaque: None };
        let arguments = Arguments::of(&call, &DEFINITION).map_err(|failure| failure.0)?;
        rule("access".to_owned(), &arguments).map_err(|failure| failure.0)
    }

    #[test]
    fn the_least_is_the_default() {
        let rule = asked(r#"{"host":"docs.example.com","reason":"x"}"#).unwrap();
        assert_eq!(
            (rule.methods, rule.query, rule.body_limit),
            (vec![Method::GET, Method::HEAD], false, BodyLimit(0))
        );
        let rule =
            asked(r#"{"host":"a.example","methods":["POST"],"path":"/a, /b/**","port":8443,"reason":"x"}"#)
                .unwrap();
        assert_eq!((rule.methods, rule.body_limit, rule.port), (vec![Method::POST], BODY, Some(8443)));
        assert_eq!(rule.paths.iter().map(ToString::to_string).collect::<Vec<_>>(), ["/a", "/b/**"]);
    }

    #[test]
    fn what_is_no_rule_is_refused_with_the_reason() {
        for (arguments, wanted) in [
            (r#"{"host":"https://a.example/x","reason":"x"}"#, "arguments of their own"),
            (r#"{"host":"10.0.0.1","reason":"x"}"#, "address"),
            (r#"{"host":"a.example","paths":"/../x","reason":"x"}"#, "`paths`"),
            (r#"{"host":"a.example","methods":"CONNECT","reason":"x"}"#, "`methods`"),
            (r#"{"host":"a.example"}"#, "reason"),
        ] {
            let problem = asked(arguments).unwrap_err();
            assert!(problem.contains(wanted), "{arguments}: {problem}");
        }
    }
}
