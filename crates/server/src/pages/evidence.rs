//! The page that shows what the platform itself ran: the tests without the change and with it, each in a fresh sandbox.

use cofferdam_domain::{EvidenceRun, Side, amount::counted};
use maud::{Markup, html};

use super::{
    session::{Facts, ResultPage, Row, Tab, head, headline_tone, lights},
    text::{Excerpt, cut, inert, line, printed, size},
    words::{self, millis},
};

/// Names that one list shows at once.
const LISTED: usize = 200;
/// Bytes of the end of an output.
const OUTPUT: usize = 6 * 1024;

/// The ends of the outputs, as far as they could be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outputs {
    pub(crate) base: Option<Vec<u8>>,
    pub(crate) head: Option<Vec<u8>>,
}

/// The page.
pub(crate) fn page(row: &Row, facts: &Facts, outputs: &Outputs) -> Markup {
    let evidence = facts.evidence();
    let lists = [
        ("Fixed by the change", "failed before, pass now", "good", &evidence.fail_to_pass),
        ("Broken by the change", "passed before, fail now", "bad", &evidence.pass_to_fail),
        ("Gone", "ran before, not seen now", "bad", &evidence.removed),
        ("Skipped now", "ran before", "warn", &evidence.newly_skipped),
        ("New and failing", "", "bad", &evidence.new_failing),
        ("Still failing", "", "warn", &evidence.still_failing),
        ("New and passing", "", "good", &evidence.new_passing),
    ];
    let runs: Vec<(&EvidenceRun, Option<&[u8]>)> = [(Side::Base, &outputs.base), (Side::Head, &outputs.head)]
        .into_iter()
        .filter_map(|(side, output)| Some((facts.run(side)?, output.as_deref())))
        .collect();
    let content = html! {
            @if runs.is_empty() {
                p.empty {
                    @if let Some(reason) = &facts.standing.evidence_missing { "No evidence: " (line(reason, 400)) }
                    @else { "The tests have not run yet. They run when there is a change." }
                }
            } @else {
                section.card.result.(headline_tone(evidence.headline).class()) aria-labelledby="evidence-title" {
                    h2 #evidence-title { (evidence.headline.sentence()) }
                    p.quiet { "Run by the platform in fresh sandboxes, from git objects. The agent had no hand in it." }
                    (lights(facts, &evidence))
                }
                @for (title, meaning, tone, names) in lists { (self::names(title, meaning, tone, names)) }
                @if evidence.compared { p.quiet.alike { (counted(evidence.pass_to_pass, "test")) " pass before and after." } }
                @else if runs.len() == 2 { p.quiet.alike { "Single tests could not be compared: their report is in no format that the platform reads." } }
                div.sides { @for (run, output) in runs { (side(row, run, output)) } }
            }
    };
    ResultPage::Evidence.around(row, facts, &content)
}

fn names(title: &str, meaning: &str, tone: &str, names: &[String]) -> Markup {
    html! {
        @if !names.is_empty() {
            section.card.names {
                h2 { span.tag.(tone) { (names.len()) } " " (title) @if !meaning.is_empty() { span.quiet.light-weight { ", " (meaning) } } }
                ul { @for name in names.iter().take(LISTED) { li { code { (line(name, 300)) } } } }
                @if names.len() > LISTED { p.quiet { "and " (names.len() - LISTED) " more" } }
            }
        }
    }
}

fn side(row: &Row, run: &EvidenceRun, output: Option<&[u8]>) -> Markup {
    let (tone, ended) = words::exit(run.exit);
    let title = match run.side {
        Side::Base => "Without the change",
        Side::Head => "With the change",
    };
    html! {
        section.card {
            h2 { (title) ": " span.(tone.class()) { (ended) } }
            dl {
                div.fact { dt { "Command" } dd { code { (line(&run.command, 300)) } } }
                div.fact { dt { "Tree" } dd { code { (cut(&run.tree, 40)) } } }
                div.fact { dt { "Time" } dd { (millis(run.millis)) } }
                @if let Some(tests) = &run.tests {
                    div.fact { dt { "Tests" } dd { (tests.passed.len()) " passed, " (tests.failed.len()) " failed, " (tests.skipped.len()) " skipped" } }
                }
                div.fact { dt { "Output" } dd { code { (run.output.digest.short()) } } }
            }
            @if let Some(output) = output {
                @let text = printed(&String::from_utf8_lossy(output));
                pre.output tabindex="0" aria-label="The end of the output" { (Excerpt::ends(&text, 0, OUTPUT).markup()) }
            }
            p { a.whole href=(format!("/sessions/{}/output/{}", row.id, run.output.digest)) { "The whole output, " (size(run.output.size)) } }
        }
    }
}

/// A long text, one piece of it at a time: an output, an event.
pub(crate) fn raw(
    row: &Row,
    facts: &Facts,
    title: &str,
    content: &[u8],
    from: usize,
    address: &str,
) -> Markup {
    /// Bytes of one piece.
    const PIECE: usize = 256 * 1024;
    let from = from.min(content.len());
    let to = (from + PIECE).min(content.len());
    let text = printed(&String::from_utf8_lossy(&content[from..to]));
    html! {
        div.session data-session=(row.id) {
            (head(row, facts, Tab::None))
            header.section {
                h2 { (title) }
                p.quiet { (size(content.len() as u64)) @if from > 0 || to < content.len() { ", bytes " (from) " to " (to) } }
            }
            (pieces(from, to, content.len(), PIECE, address))
            pre.raw tabindex="0" { (inert(&text)) }
            (pieces(from, to, content.len(), PIECE, address))
        }
    }
}

fn pieces(from: usize, to: usize, all: usize, piece: usize, address: &str) -> Markup {
    html! {
        @if from > 0 || to < all {
            nav.row aria-label="Pieces" {
                @if from > 0 { a.button href=(format!("{address}?from={}", from.saturating_sub(piece))) { "Before" } }
                @if to < all {
                    a.button href=(format!("{address}?from={to}")) { "After" }
                    a.button href=(format!("{address}?from={}", all.saturating_sub(piece))) { "The end" }
                }
            }
        }
    }
}
