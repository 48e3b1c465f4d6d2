//! What came of a session, after its timeline.

use std::time::Duration;

use cofferdam_agent::Agent;
use cofferdam_domain::{
    Event, EvidenceRun, Finding, Outcome, Part, SessionId, Severity, Side, WaitingFor,
    amount::{counted, duration},
    event::{EventBody, Fixed},
    evidence::Exit,
    mixture::mixed_since,
};

use cofferdam_gate::EgressFacts;

use super::{size, timeline::describe_outcome, tokens};
use crate::terminal::{Style, Terminal, inert};

/// Whether the session has tools that change the world outside, or rules by which programs of its sandboxes reach that.
fn acts_outside(events: &[Event]) -> bool {
    let acts = |fixed: &Fixed| {
        !fixed.policy.egress.rules.is_empty() || fixed.foreign.tools.iter().any(|tool| !tool.read_only)
    };
    events.iter().any(|event| matches!(&event.body, EventBody::PolicyFixed(fixed) if acts(fixed)))
}

/// Shows what came of a session: branch, size of the change, evidence, findings, cost, and where to look.
pub(crate) fn show_result(terminal: Terminal, session: SessionId, events: &[Event]) {
    let agent = Agent::of(session, events);
    let row = |name: &str, text: &str| {
        terminal.line(&format!("{} {text}", terminal.paint(Style::Dim, &format!("{name:>10}"))));
    };
    terminal.line("");
    match agent.outcome() {
        Some(outcome) => {
            let (text, style) = describe_outcome(outcome);
            row("result", &terminal.paint(style, &text));
        }
        None if agent.waiting() == Some(WaitingFor::Choice) => {
            row("result", &terminal.paint(Style::Bold, "ready, to be chosen among the attempts"));
        }
        None => row("result", &terminal.paint(Style::Warn, "not finished; `cofferdam resume` goes on")),
    }
    row("session", &session.to_string());
    if let Some(attempt) = agent.attempt() {
        let text = format!("{} of {}: cofferdam compare {session}", attempt.number, attempt.of);
        row("attempt", &text);
    }
    if let Some(received) = agent.received() {
        row("change", &size(received.stat));
    }
    if let Some(text) = evidence(terminal, agent.evidence()) {
        row("evidence", &text);
    }
    if let Some(reason) = agent.evidence_missing() {
        row("evidence", &inert(reason));
    }
    if events.iter().any(|event| matches!(event.body, EventBody::Examined { .. })) {
        row("findings", &count(agent.findings()));
    }
    let egress = EgressFacts::of(events);
    if !egress.is_empty() {
        row("network", &network(session, &egress));
    }
    // Where nothing could be done outside, nothing follows from it.
    if let Some((mixture, with)) = mixed_since(events).filter(|_| acts_outside(events)) {
        let text = format!("since event {}: {}; {}", with.0, mixture.in_words(), mixture.consequence());
        row("labels", &inert(&text));
    }
    if let Some((branch, _)) = agent.pushed() {
        row("branch", &inert(branch));
    }
    let opened = agent.pull_request();
    if let Some(pull_request) = opened {
        let kind = if pull_request.draft { "draft" } else { "open" };
        row("request", &format!("#{} ({kind}) {}", pull_request.number, inert(&pull_request.title)));
    }
    let others = agent.pull_requests().into_iter().filter(|(part, _)| *part != Part::FIRST);
    for (_, request) in others {
        row("request", &format!("#{} of {}", request.number, inert(&request.repository)));
    }
    let spent = agent.spent();
    let cost = if spent.cost.0 == 0 { String::new() } else { format!(", {}", spent.cost) };
    row(
        "spent",
        &format!(
            "{}, {} tokens{cost}, {}",
            counted(spent.steps.into(), "step"),
            tokens(spent.usage.total()),
            duration(Duration::from_millis(spent.wall_ms))
        ),
    );
    if matches!(agent.outcome(), Some(Outcome::Stopped { .. })) {
        row("go on", &format!("cofferdam continue {session}"));
    }
    if agent.has_pull_request() {
        row("review", &format!("cofferdam pr {session}"));
        row("then", &format!("cofferdam merge {session}, or cofferdam close {session}"));
    } else if agent.review().is_some() {
        row("review", &format!("cofferdam pr {session}"));
        row("look at", &format!("cofferdam diff {session}"));
    } else if agent.received().is_some() {
        row("look at", &format!("cofferdam diff {session}"));
    }
}

/// What left the sandboxes: `12 requests let out, 3 refused, 4 packages`.
fn network(session: SessionId, egress: &EgressFacts) -> String {
    format!(
        "{} let out, {} refused, {}; cofferdam show {session} --egress",
        counted(egress.requests, "request"),
        egress.refusals,
        counted(egress.fetched, "package")
    )
}

/// What the tests said, the base first: `red on base, green on head: …`.
fn evidence(terminal: Terminal, runs: &[EvidenceRun]) -> Option<String> {
    let last = |side| runs.iter().rev().find(|run: &&EvidenceRun| run.side == side);
    let sides = [("base", last(Side::Base)), ("head", last(Side::Head))];
    let words: Vec<String> = sides
        .iter()
        .filter_map(|(name, run)| {
            let (word, style) = match run.as_ref()?.exit {
                Exit::Code(0) => ("green", Style::Good),
                Exit::Code(_) | Exit::Signal(_) | Exit::TimedOut => ("red", Style::Bad),
            };
            Some(format!("{} on {name}", terminal.paint(style, word)))
        })
        .collect();
    // Found from the base tree, so it is the same on both sides.
    let command = &runs.first()?.command;
    Some(format!("{}: `{}`", words.join(", "), inert(command)))
}

fn count(findings: &[Finding]) -> String {
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count() as u64;
    format!(
        "{} blocking, {}, {}",
        of(Severity::Blocking),
        counted(of(Severity::Warning), "warning"),
        counted(of(Severity::Note), "note")
    )
}
