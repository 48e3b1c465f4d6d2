//! What left the sandboxes and what was refused, as a reviewer reads it.

use std::fmt::Write as _;

use cofferdam_domain::{
    SessionId,
    amount::counted,
    egress::{Access, AccessAsk},
};

use super::inline::{cell, code, words};
use crate::{
    EgressFacts,
    egress::{PackageFact, Passage, RefusedFact},
    view::bounded,
};

/// Entries of one list.
const MAX_LISTED: usize = 20;
/// Bytes of one entry.
const MAX_ENTRY: usize = 200;

/// The section about the network; nothing where the sandboxes had none.
pub(super) fn network(session: SessionId, facts: Option<&EgressFacts>) -> String {
    let Some(facts) = facts else { return String::new() };
    let mut text = "### Network\n\n".to_owned();
    _ = writeln!(
        text,
        "{} let out by policy, {} refused, {} fetched. `cofferdam show {session} --egress` lists all.",
        counted(facts.requests, "request"),
        facts.refusals,
        counted(facts.fetched, "package")
    );
    for reason in &facts.frozen {
        _ = writeln!(text, "\n**A sandbox was frozen:** {}", words(&bounded(reason.clone(), MAX_ENTRY)));
    }
    if !facts.passed.is_empty() {
        text.push_str("\n| host | rule | requests | seen by the door |\n| --- | --- | --- | --- |\n");
        push_listed(&mut text, facts.passed.iter().map(passage));
    }
    if !facts.refused.is_empty() {
        text.push_str("\nRefused:\n\n");
        push_listed(&mut text, facts.refused.iter().map(refusal));
    }
    if !facts.packages.is_empty() {
        text.push_str("\nPackages:\n\n");
        push_listed(&mut text, facts.packages.iter().map(package));
    }
    if !facts.accesses.is_empty() {
        text.push_str("\nAsked for by the agent:\n\n");
        push_listed(&mut text, facts.accesses.iter().map(access));
    }
    text
}

fn push_listed(text: &mut String, lines: impl ExactSizeIterator<Item = String>) {
    let more = lines.len().saturating_sub(MAX_LISTED);
    text.extend(lines.take(MAX_LISTED));
    if more > 0 {
        _ = writeln!(text, "\nand {more} more");
    }
}

fn shown(text: &str) -> String {
    code(&bounded(text.to_owned(), MAX_ENTRY))
}

fn passage(passage: &Passage) -> String {
    let seen = if passage.inspected { "yes" } else { "**no: passed through**" };
    let credential = match &passage.credential {
        Some(name) => format!(", with credential {}", cell(&bounded(name.clone(), MAX_ENTRY))),
        None => String::new(),
    };
    format!(
        "| {} | {}{credential} | {} | {seen} |\n",
        cell(&bounded(passage.host.clone(), MAX_ENTRY)),
        cell(&bounded(passage.rule.clone(), MAX_ENTRY)),
        passage.count
    )
}

fn refusal(refused: &RefusedFact) -> String {
    let times = if refused.count > 1 { format!(", {} times", refused.count) } else { String::new() };
    let command = match &refused.command {
        Some(command) => format!(", by {}", shown(command)),
        None => String::new(),
    };
    format!("- {} ({}){times}{command}\n", shown(&refused.operation), refused.code.as_str())
}

fn package(package: &PackageFact) -> String {
    let age = package
        .age_days
        .map_or_else(|| "age unknown".to_owned(), |days| format!("{} old", counted(days, "day")));
    let cached = if package.fetched.cached { ", from the cache" } else { "" };
    format!(
        "- {}: {age}, {}, {}{cached}\n",
        shown(&package.to_string()),
        code(&package.fetched.digest.to_string()),
        shown(package.fetched.host.as_str())
    )
}

fn access((ask, decided): &(AccessAsk, Option<Access>)) -> String {
    let methods: Vec<String> = ask.rule.methods.iter().map(ToString::to_string).collect();
    let paths: Vec<String> = ask.rule.paths.iter().map(ToString::to_string).collect();
    let what =
        format!("{} {}://{} {}", methods.join(" "), ask.rule.scheme.as_str(), ask.rule.host, paths.join(" "));
    let decision = match decided {
        None => "nobody has decided".to_owned(),
        Some(access) => {
            let word = if access.granted { "granted" } else { "denied" };
            let limited = if access.until.is_some() { ", for a limited time" } else { "" };
            format!("{word} by {}{limited}", shown(&access.by))
        }
    };
    format!("- {}: {decision}\n", shown(&what))
}
