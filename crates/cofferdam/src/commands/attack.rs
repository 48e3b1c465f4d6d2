//! `cofferdam attack`: the hostile suite against this executable, on this machine.

use std::{num::NonZeroUsize, thread::available_parallelism};

use anyhow::{Context, Result};
use cofferdam_attack::{Driver, Options, Report, Selection, Verdict};

use crate::{
    args::{AttackArguments, ProbeArguments},
    compose::App,
    exit::Exit,
    terminal::{Style, Terminal, complain, cut_line, inert},
};

/// More at once would measure the machine's patience rather than the product's.
const MOST_AT_ONCE: usize = 4;

/// Carries out the cases, says what came of each, and succeeds if all hold.
pub(crate) async fn attack(app: &App, arguments: &AttackArguments) -> Result<Exit> {
    let options = Options {
        executable: std::env::current_exe().context("this program does not know where it is")?,
        runtime: tokio::runtime::Handle::current(),
        remove_layer: cofferdam_sandbox::remove_layer,
        at_once: available_parallelism().map_or(1, NonZeroUsize::get).min(MOST_AT_ONCE),
    };
    let selection = Selection { group: arguments.group.clone(), case: arguments.case.clone() };
    let (terminal, json) = (app.terminal, arguments.json);
    let carried_out = tokio::task::spawn_blocking(move || {
        cofferdam_attack::run(&options, &selection, |report| {
            if !json {
                show(terminal, report);
            }
        })
    });
    let reports = carried_out.await.context("the suite broke off")??;
    if json {
        for report in &reports {
            terminal.json(&serde_json::to_string(report)?);
        }
    } else {
        sum_up(terminal, &reports);
    }
    let failed = reports.iter().any(|report| report.verdict == Verdict::Failed);
    Ok(if failed { Exit::Failed } else { Exit::Success })
}

/// One try of the hostile program, inside a sandbox.
pub(crate) fn probe(arguments: &ProbeArguments) -> Exit {
    match cofferdam_attack::probe(&arguments.arguments) {
        Ok(said) => {
            Terminal::standard(true).line(&said);
            Exit::Success
        }
        Err(problem) => {
            complain(&problem);
            Exit::Failed
        }
    }
}

/// A case in a line: which, by whom, what came of it, where it was stopped, what the log has, what a reviewer sees.
fn show(terminal: Terminal, report: &Report) {
    let (word, style) = match report.verdict {
        Verdict::Stopped => ("stopped", Style::Good),
        Verdict::PassedBenign => ("works", Style::Good),
        Verdict::Failed => ("FAILED", Style::Bad),
        Verdict::Skipped => ("skipped", Style::Warn),
        Verdict::NotYetApplicable => return,
    };
    let driver = match report.driver {
        Some(Driver::Model) => "model",
        Some(Driver::Program) => "program",
        Some(Driver::Root) => "root",
        None => "",
    };
    terminal.line(&format!(
        "{:<7}{:<8} {:<13}{} {:<54} {:<22} {:<28} {}",
        report.id,
        driver,
        report.channel,
        terminal.paint(style, &format!("{word:<8}")),
        cut_line(&report.title, 54),
        cut_line(&report.stopped_at, 22),
        cut_line(&report.events.join(", "), 28),
        cut_line(&report.reviewer_sees, 80),
    ));
    if !report.reason.is_empty() {
        terminal.line(&format!("       {}", inert(&report.reason).replace('\n', "\n       ")));
    }
}

fn sum_up(terminal: Terminal, reports: &[Report]) {
    let count = |verdict: Verdict| reports.iter().filter(|report| report.verdict == verdict).count();
    terminal.line("");
    terminal.line(&format!(
        "{} stopped, {} benign twins work, {} failed, {} skipped; {} wait for parts that are not there yet and are not counted",
        count(Verdict::Stopped),
        count(Verdict::PassedBenign),
        count(Verdict::Failed),
        count(Verdict::Skipped),
        count(Verdict::NotYetApplicable),
    ));
}
