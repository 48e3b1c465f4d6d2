//! What left the sandboxes and what did not, as lines for people.

use std::collections::BTreeSet;

use cofferdam_domain::{
    amount::counted,
    egress::{Access, AccessAsk, Fetched, Operation, Passed, Refused},
};

use super::Detail;
use crate::terminal::{Style, Terminal, excerpt, inert};

/// Characters of one request.
const OPERATION: usize = 160;
/// Passages that are told from each other.
const MOST: usize = 1_000;

/// What has been let out so far: in brief, each host is shown once for each rule.
pub(super) struct Passages(BTreeSet<(String, String)>);

impl Passages {
    pub(super) const fn new() -> Self {
        Self(BTreeSet::new())
    }

    /// Something was let out.
    pub(super) fn passed(&mut self, terminal: Terminal, detail: Detail, passed: &Passed) -> Vec<String> {
        let host = match &passed.operation {
            Operation::Http { host, .. } | Operation::Connection { host, .. } => host,
            Operation::Name { name } => name,
        };
        let new = self.0.len() < MOST && self.0.insert((passed.rule.clone(), host.clone()));
        if detail == Detail::Brief && !new {
            return Vec::new();
        }
        let unseen = match passed.operation {
            Operation::Connection { .. } => ", passed through unseen",
            Operation::Http { .. } | Operation::Name { .. } => "",
        };
        let credential = match &passed.credential {
            Some(name) => format!(", with the credential {}", inert(name)),
            None => String::new(),
        };
        let text =
            format!("let out: {} by {}{credential}{unseen}", shown(&passed.operation), inert(&passed.rule));
        vec![terminal.paint(Style::Dim, &text)]
    }
}

fn shown(operation: &Operation) -> String {
    excerpt(&operation.to_string(), OPERATION)
}

/// Something was refused, while `cause` ran.
pub(super) fn refused(terminal: Terminal, refused: &Refused, cause: Option<String>) -> Vec<String> {
    let times = if refused.count > 1 {
        format!(", {}", counted(refused.count.into(), "time"))
    } else {
        String::new()
    };
    let cause = cause.map_or_else(String::new, |cause| format!(", by {cause}"));
    let text = format!(
        "egress refused: {} ({}{times}{cause}): {}",
        shown(&refused.operation),
        refused.code.as_str(),
        excerpt(&refused.reason, OPERATION)
    );
    vec![terminal.paint(Style::Warn, &text)]
}

/// A package came in. There may be hundreds, so in brief only their number is told, at the end.
pub(super) fn fetched(terminal: Terminal, detail: Detail, fetched: &Fetched) -> Vec<String> {
    if detail == Detail::Brief {
        return Vec::new();
    }
    let cached = if fetched.cached { ", from the cache" } else { "" };
    let compared = if fetched.compared { ", as its index says" } else { "" };
    let text = format!(
        "package {}:{} {} from {}{cached} ({}{compared})",
        inert(&fetched.registry),
        inert(&fetched.name),
        inert(&fetched.version),
        fetched.host,
        fetched.digest
    );
    vec![terminal.paint(Style::Dim, &text)]
}

/// The agent asks for access.
pub(super) fn asked(terminal: Terminal, ask: &AccessAsk) -> Vec<String> {
    let list = |items: Vec<String>| excerpt(&items.join(" "), OPERATION);
    let text = format!(
        "asks for access ({}): {} {}://{} {}",
        ask.call,
        list(ask.rule.methods.iter().map(ToString::to_string).collect()),
        ask.rule.scheme.as_str(),
        ask.rule.host,
        list(ask.rule.paths.iter().map(ToString::to_string).collect())
    );
    vec![terminal.paint(Style::Warn, &text), format!("  because: {}", excerpt(&ask.reason, OPERATION))]
}

/// Somebody has decided.
pub(super) fn decided(terminal: Terminal, access: &Access) -> Vec<String> {
    let (word, style) = if access.granted { ("granted", Style::Good) } else { ("denied", Style::Bad) };
    vec![terminal.paint(style, &format!("access {word} by {} ({})", inert(&access.by), access.call))]
}
