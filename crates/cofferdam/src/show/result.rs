//! What came of a session, after its timeline.

use cofferdam_agent::Agent;
use cofferdam_domain::{Event, Severity, SessionId, evidence::Exit, event::EventBody};

use super::{duration, timeline::describe_outcome, tokens};
use crate::terminal::{Style, Terminal, inert};

/// Shows what came of a session: branch, size of the change, evidence, findings, cost, and where to look.
pub(crate) fn show_result(terminal: Terminal, session: SessionId, events: &[Event]) {
    let mut agent = Agent::new(session);
    for event in events {
        agent.apply(event.at, &event.body);
    }
    let row = |name: &str, text: &str| {
        terminal.line(&format!("{} {text}", terminal.paint(Style::Dim, &format!("{name:>10}"))));
    };
    terminal.line("");
    match agent.outcome() {
        Some(outcome) => {
            let (text, style) = describe_outcome(outcome);
            row("result", &terminal.paint(style, &text));
        }
        None => row("result", &terminal.paint(Style::Warn, "not finished; `cofferdam resume` goes on")),
    }
    row("session", &session.to_string());
    for event in events {
        match &event.body {
            EventBody::ObjectsReceived(received) => {
                let stat = received.stat;
                row("change", &format!("{} files, +{} −{}", stat.files, stat.added, stat.removed));
            }
            EventBody::EvidenceRun(run) => {
                let (word, style) = match run.exit {
                    Exit::Code(0) => ("green", Style::Good),
                    Exit::Code(_) | Exit::Signal(_) | Exit::TimedOut => ("red", Style::Bad),
                };
                let side = format!("{:?}", run.side).to_lowercase();
                row("evidence", &format!("{} on {side}: `{}`", terminal.paint(style, word), inert(&run.command)));
            }
            EventBody::EvidenceMissing { reason } => row("evidence", &inert(reason)),
            EventBody::Examined { findings, .. } => {
                let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
                row(
                    "findings",
                    &format!(
                        "{} blocking, {} warnings, {} notes",
                        count(Severity::Blocking),
                        count(Severity::Warning),
                        count(Severity::Note)
                    ),
                );
            }
            EventBody::Pushed { branch, .. } => row("branch", &inert(branch)),
            EventBody::PullRequestOpened(pull_request) => {
                let kind = if pull_request.draft { "draft" } else { "open" };
                row("request", &format!("#{} ({kind}) {}", pull_request.number, inert(&pull_request.title)));
            }
            _ => {}
        }
    }
    let spent = agent.spent();
    let cost = if spent.cost.0 == 0 { String::new() } else { format!(", {}", spent.cost) };
    row(
        "spent",
        &format!("{} steps, {} tokens{cost}, {}", spent.steps, tokens(spent.usage.total()), duration(spent.wall_ms)),
    );
    row("look at", &format!("cofferdam pr {session} · diff · show · merge · close"));
}
