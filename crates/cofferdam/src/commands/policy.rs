//! `cofferdam policy`: whether the rules for what may leave mean what they say, and what they say to a request.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result};
use cofferdam_domain::{
    amount::counted,
    egress::{Addresses, EgressPolicy, EgressRule, Inspection},
};
use cofferdam_egress::{
    Advice, Body, Credential, Decision, Explanation, InvalidTarget, PolicyProblem, Request, Rules, Target,
    Verdict, advice, problems,
};
use serde_json::json;

use crate::{
    args::{PolicyCheckArguments, PolicyExplainArguments},
    compose::App,
    config,
    exit::Exit,
    terminal::{Style, inert},
    toml_file,
};

/// Where the rules are in a configuration.
const RULES: [&str; 3] = ["policy", "egress", "rules"];

/// Looks a policy over and lists its rules.
pub(crate) fn check(app: &App, arguments: &PolicyCheckArguments) -> Result<Exit> {
    let (policy, credentials) = rules(app, arguments.file.as_deref())?;
    let mistakes = problems(&policy, &names(&credentials));
    let warnings = advice(&policy, &credentials);
    let file = arguments.file.as_deref().or(app.config.file.as_deref());
    let text = file.filter(|_| !mistakes.is_empty()).map(fs::read_to_string).transpose()?.unwrap_or_default();
    let line = |problem: &PolicyProblem| toml_file::line_of(&text, &RULES, problem.number, problem.key);
    if arguments.json {
        let mistakes = mistakes.iter().map(|problem| mistake_as_json(problem, line(problem)));
        let warnings = warnings.iter().map(warning_as_json);
        app.terminal.json(
            &json!({
                "rules": policy.rules,
                "mistakes": mistakes.collect::<Vec<_>>(),
                "warnings": warnings.collect::<Vec<_>>(),
            })
            .to_string(),
        );
    } else {
        table(app, &policy.rules);
        for warning in &warnings {
            let about = warning
                .rule
                .as_ref()
                .map_or_else(String::new, |(number, name)| format!("rule {number} ({name:?}): "));
            let text = inert(&format!("{about}{}", warning.text));
            app.terminal.line(&format!("{} {text}", app.terminal.paint(Style::Warn, "warning:")));
        }
        for problem in &mistakes {
            let place = line(problem).map_or_else(String::new, |line| format!("line {line}: "));
            let text = inert(&format!("{place}{problem}"));
            app.terminal.line(&format!("{} {text}", app.terminal.paint(Style::Bad, "mistake:")));
        }
        app.terminal.line(&format!(
            "{}, {}, {}",
            counted(policy.rules.len() as u64, "rule"),
            counted(mistakes.len() as u64, "mistake"),
            counted(warnings.len() as u64, "warning"),
        ));
    }
    Ok(if mistakes.is_empty() { Exit::Success } else { Exit::Failed })
}

/// The rules of a file, or those that are configured, with the credentials beside them.
fn rules(app: &App, file: Option<&Path>) -> Result<(EgressPolicy, Vec<Credential>)> {
    match file {
        Some(file) => config::rules(file).map(|rules| (rules.policy, rules.credentials)),
        None => Ok((app.config.policy.egress.clone(), app.config.credentials.clone())),
    }
}

fn names(credentials: &[Credential]) -> BTreeSet<String> {
    credentials.iter().map(|credential| credential.name.clone()).collect()
}

fn mistake_as_json(problem: &PolicyProblem, line: Option<usize>) -> serde_json::Value {
    json!({
        "rule": problem.number,
        "name": problem.name,
        "key": problem.key,
        "line": line,
        "message": problem.fault.to_string(),
    })
}

fn warning_as_json(warning: &Advice) -> serde_json::Value {
    let (number, name) = warning.rule.clone().unzip();
    json!({ "rule": number, "name": name, "message": warning.text })
}

/// The rules, one a line.
fn table(app: &App, rules: &[EgressRule]) {
    let rows: Vec<[String; 6]> = rules.iter().enumerate().map(|(index, rule)| row(index + 1, rule)).collect();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths = [0, 1, 2, 3, 4, 5].map(width);
    for row in &rows {
        let padded = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        app.terminal.line(padded.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// Number, name, place, methods, paths, and what is unusual.
fn row(number: usize, rule: &EgressRule) -> [String; 6] {
    let port = rule.port.map_or_else(String::new, |port| format!(":{port}"));
    let place = format!("{}://{}{port}", rule.scheme, rule.host);
    let (methods, paths) = match rule.inspection {
        Inspection::PassThrough => ("anything".to_owned(), "unseen".to_owned()),
        Inspection::Full => (spaced(&rule.methods), spaced(&rule.paths)),
    };
    let mut unusual = Vec::new();
    if rule.query {
        unusual.push("with a query".to_owned());
    }
    if rule.body_limit.0 > 0 {
        unusual.push(format!("bodies up to {}", counted(rule.body_limit.0, "byte")));
    }
    if rule.web_socket {
        unusual.push("WebSocket".to_owned());
    }
    match &rule.addresses {
        Addresses::Public => {}
        Addresses::Private => unusual.push("also private addresses".to_owned()),
        Addresses::At(address) => unusual.push(format!("at {address}")),
    }
    unusual.extend(rule.credential.as_ref().map(|name| format!("with the credential {name}")));
    [number.to_string(), inert(&rule.name), place, methods, paths, inert(&unusual.join(", "))]
}

fn spaced(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Says what would become of a request, and what each rule says to it.
pub(crate) fn explain(app: &App, arguments: &PolicyExplainArguments) -> Result<Exit> {
    let (policy, credentials) = rules(app, arguments.policy.as_deref())?;
    let rules = Rules::new(&policy, Vec::new(), names(&credentials))
        .context("the egress policy is wrong (`cofferdam policy check` lists everything)")?;
    let target: Target = match arguments.url.parse() {
        Ok(target) => target,
        Err(error) => return Ok(malformed(app, arguments, &error)),
    };
    let request = Request {
        scheme: target.scheme,
        host: &target.host,
        port: target.port(),
        method: &arguments.method,
        path: &target.path,
        query: target.query.as_deref(),
        body: arguments.body.map_or(Body::None, Body::Exactly),
        upgrade: arguments.web_socket,
    };
    let explanation = rules.explain(&request);
    if arguments.json {
        app.terminal.json(&as_json(&explanation).to_string());
    } else {
        show(app, &explanation)?;
        let may_be_read = policy.registries.enabled && exit(&explanation) == Exit::Failed;
        if may_be_read {
            app.terminal.line("Reading packages is permitted as well, from the registries that package managers on the worker's host are set to.");
        }
    }
    Ok(exit(&explanation))
}

fn exit(explanation: &Explanation) -> Exit {
    match explanation.verdict {
        Verdict::Request(Decision::Allow(_)) | Verdict::PassThrough { .. } => Exit::Success,
        Verdict::Request(Decision::Refuse(_)) => Exit::Failed,
    }
}

/// A URL that is refused before any rule is asked.
fn malformed(app: &App, arguments: &PolicyExplainArguments, error: &InvalidTarget) -> Exit {
    let reason = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    if arguments.json {
        let refused = json!({ "verdict": "refuse", "code": "malformed", "reason": reason, "rules": [] });
        app.terminal.json(&refused.to_string());
    } else {
        app.terminal.line(&format!("{} malformed: {reason}", app.terminal.paint(Style::Bad, "refused:")));
    }
    Exit::Failed
}

fn show(app: &App, explanation: &Explanation) -> Result<()> {
    for rule in &explanation.rules {
        let style = if rule.miss.is_none() { Style::Good } else { Style::Dim };
        let line = inert(&format!("{:>4}  {:?}: {}", rule.number, rule.name, rule.why));
        app.terminal.line(&app.terminal.paint(style, &line));
    }
    match &explanation.verdict {
        Verdict::Request(Decision::Allow(allowed)) => {
            let credential = allowed
                .credential
                .as_ref()
                .map_or_else(String::new, |name| format!(", with the credential {name:?}"));
            let text = inert(&format!("by rule {:?}{credential}", allowed.rule));
            app.terminal.line(&format!("{} {text}", app.terminal.paint(Style::Good, "passes:")));
        }
        Verdict::PassThrough { rule } => {
            let text = inert(&format!("unseen, by rule {:?}", rule.name));
            app.terminal.line(&format!("{} {text}", app.terminal.paint(Style::Warn, "passes:")));
        }
        Verdict::Request(Decision::Refuse(denied)) => {
            let text = inert(&format!("{}: {}", denied.code.as_str(), denied.reason));
            app.terminal.line(&format!("{} {text}", app.terminal.paint(Style::Bad, "refused:")));
        }
    }
    if let Some(rule) = &explanation.would_permit {
        app.terminal.line("\nThe narrowest rule that would permit it:\n");
        let text = toml::to_string(rule).context("the rule cannot be written as TOML")?;
        app.terminal.line(&format!("[[policy.egress.rules]]\n{}", inert(text.trim_end())));
    }
    Ok(())
}

fn as_json(explanation: &Explanation) -> serde_json::Value {
    let rules = explanation.rules.iter().map(|rule| {
        json!({ "number": rule.number, "name": rule.name, "permits": rule.miss.is_none(), "why": rule.why })
    });
    let rules: Vec<_> = rules.collect();
    match &explanation.verdict {
        Verdict::Request(Decision::Allow(allowed)) => json!({
            "verdict": "allow",
            "rule": &*allowed.rule,
            "credential": allowed.credential,
            "rules": rules,
        }),
        Verdict::PassThrough { rule } => {
            json!({ "verdict": "pass_through", "rule": rule.name, "rules": rules })
        }
        Verdict::Request(Decision::Refuse(denied)) => json!({
            "verdict": "refuse",
            "code": denied.code,
            "reason": denied.reason,
            "would_permit": explanation.would_permit,
            "rules": rules,
        }),
    }
}
