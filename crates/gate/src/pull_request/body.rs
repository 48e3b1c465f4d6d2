//! The pull request as a reviewer reads it.
//!
//! The order is the order of trust: what the platform saw, then, clearly apart, what the agent says. Every
//! value that comes from outside (the task, paths, names of tests and branches, commands) stands in code;
//! nothing in it is active.

use std::{fmt::Write as _, time::Duration};

use cofferdam_domain::{
    EvidenceRun, Finding, Origin, Severity, Side, Subject,
    amount::{counted, duration},
    evidence::Exit,
    policy::LimitKind,
    task::Source,
    tool::FinishOutcome,
};

use super::{
    Facts, TreeFact,
    attempts::attempts,
    claims::contradictions,
    fresh_look::fresh_look,
    inline::{cell, code, fenced, words},
    network::network,
    prose::{sanitise_prose, sanitise_title},
};
use crate::{EvidenceSummary, judge, view::bounded};

/// Bytes of the task that are shown; its hash covers all of it.
const MAX_TASK: usize = 4 * 1024;
/// Names in one list.
const MAX_LISTED: usize = 20;
/// Findings of one severity.
const MAX_FINDINGS: usize = 50;
/// Bytes of one name, path or command.
const MAX_NAME: usize = 200;

/// A pull request in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequestText {
    /// One line without markup.
    pub title: String,
    /// Markdown, at most about 60 kB: the smallest limit of the forges is 65,536 characters (GitHub).
    pub body: String,
}

impl PullRequestText {
    /// Puts the facts into words.
    #[must_use]
    pub fn render(facts: &Facts) -> Self {
        let evidence = judge(facts.base_run.as_ref(), facts.head_run.as_ref());
        let mut body = String::new();
        for part in [
            opening(facts, &evidence),
            task(facts),
            beside(facts),
            change(facts),
            tests(facts, &evidence),
            findings(&facts.findings, facts.rounds),
            attempts(facts.session, facts.attempts.as_ref()),
            network(facts.session, facts.egress.as_ref()),
            session(facts),
            reproduce(facts),
            fresh_look(facts.fresh_look.as_ref()),
            prose(facts),
        ] {
            if !part.is_empty() {
                body.push_str(&part);
                body.push('\n');
            }
        }
        Self { title: title(facts), body: body.trim_end().to_owned() + "\n" }
    }
}

fn title(facts: &Facts) -> String {
    [facts.finish.title.as_str(), facts.task.prompt.trim()]
        .into_iter()
        .map(sanitise_title)
        .find(|title| !title.is_empty())
        .unwrap_or_else(|| format!("Change of session {}", facts.session))
}

fn opening(facts: &Facts, evidence: &EvidenceSummary) -> String {
    let mut text = format!("## What the platform saw\n\n**{}**", evidence.headline.sentence());
    let blocking = facts.findings.iter().filter(|finding| finding.severity == Severity::Blocking).count();
    if blocking > 0 {
        _ = write!(text, " **Blocking: {}.**", counted(blocking as u64, "finding"));
    }
    text.push_str(
        "\n\nComputed from git objects and from the platform's own runs. No word of this part was written by the agent.\n",
    );
    if facts.model.recording {
        text.push_str(
            "\n**The model is a recording:** its answers were written beforehand. Everything else is real.\n",
        );
    }
    if let Some(limit) = facts.limit {
        _ = writeln!(
            text,
            "\n**The work was cut short:** {}. This is what there was by then.",
            limit_words(limit)
        );
    }
    let contradictions = contradictions(facts, evidence);
    if !contradictions.is_empty() {
        text.push_str("\n**What the agent says contradicts the facts.**\n\n");
        for contradiction in contradictions {
            _ = writeln!(text, "- {contradiction}");
        }
    }
    text
}

const fn limit_words(limit: LimitKind) -> &'static str {
    match limit {
        LimitKind::Steps => "the limit of steps was reached",
        LimitKind::Tokens => "the limit of tokens was reached",
        LimitKind::Cost => "the limit of cost was reached",
        LimitKind::Wall => "the limit of time was reached",
        LimitKind::Stuck => "the agent went in circles",
        LimitKind::Model => "the model failed or refused again and again",
    }
}

fn task(facts: &Facts) -> String {
    let shown = bounded(facts.task.prompt.clone(), MAX_TASK);
    let source = match facts.task.source {
        Source::Cli => "on the command line",
        Source::Demo => "by the demo",
        Source::Api => "through the API",
        Source::Web => "on the web pages",
        Source::Forge => "on the forge",
        Source::Chat => "in a chat",
        Source::Hook => "by another program's webhook",
        Source::Schedule => "by a schedule",
    };
    format!(
        "### Task\n\n{}\n\nAsked {source} by {}{}; {} bytes, {}.\n{}",
        fenced(&shown),
        name(&facts.task.requester),
        playbook(facts),
        facts.task.prompt.len(),
        code(&facts.task.content_hash.to_string()),
        issue(facts)
    )
}

/// Whose words the task has, where they are a playbook's.
fn playbook(facts: &Facts) -> String {
    facts.task.playbook.as_ref().map_or_else(String::new, |playbook| {
        format!(", by the playbook {} ({})", code(&playbook.name), code(&playbook.digest.short()))
    })
}

/// Which issue this answers, so that the forge links them, and closes the issue with the pull request where the agent calls it done: the one
/// that was asked in and no other, and only in its own repository, where a number alone means it.
fn issue(facts: &Facts) -> String {
    let Some(asked) = facts.task.origin.as_ref().and_then(Origin::on_forge) else { return String::new() };
    let Subject::Issue(number) = asked.thread.subject else { return String::new() };
    let repository = facts.task.repository.trim_end_matches('/').trim_end_matches(".git").to_lowercase();
    let path = asked.thread.path.to_lowercase();
    if !path.contains('/') || !repository.ends_with(&format!("/{path}")) {
        return String::new();
    }
    let done = facts.finish.outcome == FinishOutcome::Done && facts.limit.is_none();
    let word = if done { "Closes" } else { "Part of" };
    format!("\n{word} #{number}\n")
}

/// The other pull requests that belong to this one.
fn beside(facts: &Facts) -> String {
    if facts.beside.is_empty() {
        return String::new();
    }
    let mut text = "### Together with\n\nThe task is about several repositories; each has a pull request of its own.\n\n".to_owned();
    for other in &facts.beside {
        let page = other.page.as_ref().map(|page| format!(": <{page}>")).unwrap_or_default();
        _ = writeln!(text, "- pull request {} of {}{page}", other.number, name(&other.repository));
    }
    text
}

fn change(facts: &Facts) -> String {
    let stat = facts.stat;
    let mut text = format!(
        "### Change\n\n| | branch | commit | tree |\n| --- | --- | --- | --- |\n{}{}\n{} changed, {} added, {} removed.\n",
        tree_row("base", &facts.base),
        tree_row("head", &facts.head),
        counted(stat.files, "file"),
        counted(stat.added, "line"),
        counted(stat.removed, "line")
    );
    if !facts.paths.is_empty() {
        text.push('\n');
        text.push_str(&list(&facts.paths));
    }
    for note in &facts.repository_notes {
        _ = writeln!(text, "\nNote: {}", words(&bounded(note.clone(), 500)));
    }
    text
}

fn tree_row(side: &str, tree: &TreeFact) -> String {
    let short = |text: &str| cell(&bounded(text.to_owned(), MAX_NAME));
    format!("| {side} | {} | {} | {} |\n", short(&tree.branch), short(&tree.commit), short(&tree.tree))
}

fn tests(facts: &Facts, evidence: &EvidenceSummary) -> String {
    let mut text = format!("### Tests\n\n{}\n", evidence.headline.sentence());
    if let Some(reason) = &facts.evidence_missing {
        _ = writeln!(text, "\n{}", words(&bounded(reason.clone(), 500)));
    }
    let runs: Vec<&EvidenceRun> = facts.base_run.iter().chain(&facts.head_run).collect();
    if !runs.is_empty() {
        text.push_str(
            "\n| tree | command | ended | tests | time | output |\n| --- | --- | --- | --- | --- | --- |\n",
        );
        for run in runs {
            text.push_str(&run_row(run));
        }
    }
    let lists = [
        ("Broken by the change (passed before, fail now)", &evidence.pass_to_fail),
        ("Gone (ran before, not seen now)", &evidence.removed),
        ("Skipped now (ran before)", &evidence.newly_skipped),
        ("New and failing", &evidence.new_failing),
        ("Still failing", &evidence.still_failing),
        ("Fixed by the change (failed before, pass now)", &evidence.fail_to_pass),
        ("New and passing", &evidence.new_passing),
    ];
    for (heading, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
        _ = write!(text, "\n{heading}: {}\n\n{}", names.len(), list(names));
    }
    if evidence.compared {
        _ = writeln!(text, "\nPass before and after: {}", evidence.pass_to_pass);
    } else if facts.base_run.is_some() && facts.head_run.is_some() {
        text.push_str(
            "\nSingle tests could not be compared: their report is in no format that the platform reads.\n",
        );
    }
    text
}

fn run_row(run: &EvidenceRun) -> String {
    let side = match run.side {
        Side::Base => "base",
        Side::Head => "head",
    };
    let ended = match run.exit {
        Exit::Code(status) => format!("exit {status}"),
        Exit::Signal(signal) => format!("signal {signal}"),
        Exit::TimedOut => "time limit".to_owned(),
    };
    let counts = run.tests.as_ref().map_or_else(
        || "no report".to_owned(),
        |tests| {
            format!(
                "{} passed, {} failed, {} skipped",
                tests.passed.len(),
                tests.failed.len(),
                tests.skipped.len()
            )
        },
    );
    format!(
        "| {side} | {} | {ended} | {counts} | {} | {} bytes, {} |\n",
        cell(&bounded(run.command.clone(), MAX_NAME)),
        duration(Duration::from_millis(run.millis)),
        run.output.size,
        cell(&run.output.digest.to_string())
    )
}

fn findings(findings: &[Finding], rounds: u32) -> String {
    let mut text = "### Findings\n".to_owned();
    if findings.is_empty() {
        text.push_str("\nNone.\n");
    }
    let groups =
        [(Severity::Blocking, "Blocking"), (Severity::Warning, "Look here first"), (Severity::Note, "Notes")];
    for (severity, heading) in groups {
        let group: Vec<&Finding> = findings.iter().filter(|finding| finding.severity == severity).collect();
        if group.is_empty() {
            continue;
        }
        _ = write!(text, "\n**{heading}**\n\n");
        for finding in group.iter().take(MAX_FINDINGS) {
            let why = words(&bounded(finding.why.clone(), 600));
            _ = writeln!(text, "- {} {}: {why}", code(&finding.rule), place(finding));
        }
        if group.len() > MAX_FINDINGS {
            _ = writeln!(text, "- and {} more", group.len() - MAX_FINDINGS);
        }
    }
    if rounds > 0 {
        _ = writeln!(text, "\nFindings were sent back to the agent {}.", counted(rounds.into(), "time"));
    }
    text
}

fn place(finding: &Finding) -> String {
    if finding.path.is_empty() {
        return "(whole change)".to_owned();
    }
    let path = bounded(finding.path.clone(), MAX_NAME);
    code(&finding.line.map_or(path.clone(), |line| format!("{path}:{line}")))
}

fn session(facts: &Facts) -> String {
    let spent = &facts.spent;
    let recording = if facts.model.recording { " (a recording)" } else { "" };
    format!(
        "### Session\n\n- Session {}, log of {}, last hash {}\n- Model {} of {}{recording}\n- {}, {} tokens in ({} from cache), {} tokens out, {}, {}\n- {} refused by policy\n- Cofferdam {}\n",
        code(&facts.session.to_string()),
        counted(facts.log_length.0, "event"),
        code(&facts.log_head.to_string()),
        name(&facts.model.name),
        name(&facts.model.provider),
        counted(spent.steps.into(), "step"),
        spent.usage.prompt(),
        spent.usage.cache_read,
        spent.usage.output,
        spent.cost,
        duration(Duration::from_millis(spent.wall_ms)),
        counted(facts.refused, "operation"),
        name(&facts.version)
    )
}

fn reproduce(facts: &Facts) -> String {
    let mut commands = String::new();
    for (tree, run) in [(&facts.base, &facts.base_run), (&facts.head, &facts.head_run)] {
        if let Some(run) = run {
            _ = writeln!(commands, "git checkout --detach {}\n{}", tree.commit, run.command);
        }
    }
    _ = write!(commands, "cofferdam show {0}\ncofferdam replay {0}", facts.session);
    format!("### To reproduce\n\n{}\n", fenced(&bounded(commands, MAX_TASK)))
}

fn prose(facts: &Facts) -> String {
    let outcome = match facts.finish.outcome {
        FinishOutcome::Done => "that the task is done",
        FinishOutcome::NothingToDo => "that there is nothing to do",
        FinishOutcome::GaveUp => "that it could not do the task",
    };
    format!(
        "---\n\n## What the agent says (unverified)\n\nWritten by a model, which may be wrong or misled. Links, mentions and markup are switched off. It says {outcome}.\n\n{}",
        sanitise_prose(&facts.finish.summary)
    )
}

fn name(text: &str) -> String {
    code(&bounded(text.to_owned(), MAX_NAME))
}

fn list(names: &[String]) -> String {
    let mut text = String::new();
    for item in names.iter().take(MAX_LISTED) {
        _ = writeln!(text, "- {}", name(item));
    }
    if names.len() > MAX_LISTED {
        _ = writeln!(text, "- and {} more", names.len() - MAX_LISTED);
    }
    text
}
