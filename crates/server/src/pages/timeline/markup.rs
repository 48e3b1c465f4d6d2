//! Entries as markup. The same for the first load and for a live update.

use cofferdam_domain::{
    Digest, EvidenceRun, Finding, Part, Seq, SessionId, Severity, ToolStatus, Verdict,
    amount::counted,
    tool::{PlanItem, PlanState},
};
use maud::{Markup, html};

use super::{
    Call, CallState, Ended, Entry, Note, Reply, Said, StageEntry, StageResult, Step, Timeline, Tone, Traffic,
    What, fold::tokens,
};
use crate::pages::{
    markdown::prose,
    text::{Excerpt, inert, line, number, size},
    words::{self, millis},
};

/// Findings that are open to be read at once.
const LISTED: usize = 12;

/// The id of an entry's element.
pub(crate) fn entry_id(first: Seq) -> String {
    format!("e{}", first.0)
}

/// All entries that a timeline holds, and the way to earlier ones.
pub(crate) fn entries(session: SessionId, timeline: &Timeline) -> Markup {
    html! {
        @if timeline.earlier() > 0 && let Some(first) = timeline.entries().next() {
            li.earlier #earlier {
                a.button href=(format!("/sessions/{session}?before={}#timeline", first.first.0)) data-earlier=(first.first.0) {
                    "Show earlier"
                }
                span.quiet { " " (counted(timeline.earlier(), "earlier entry").replace("entrys", "entries")) }
            }
        }
        @for one in timeline.entries() { (entry(session, one)) }
    }
}

/// One entry.
pub(crate) fn entry(session: SessionId, entry: &Entry) -> Markup {
    let tone = tone(&entry.what);
    let kind = match &entry.what {
        What::Step(_) => "step",
        What::Stage(_) => "stage",
        What::Said(_) => "said",
        What::Traffic(_) | What::Note(_) => "note",
    };
    html! {
        li.entry.(kind).(tone.class()).undone[entry.undone] #(entry_id(entry.first)) tabindex="-1" data-seq=(entry.first.0) {
            div.when { (clock(entry)) }
            div.what {
                @if entry.undone { p.undone-note { "Taken back: the session was rolled back to before this." } }
                @match &entry.what {
                    What::Step(one) => (step(session, one)),
                    What::Stage(one) => (stage(session, one)),
                    What::Said(one) => (said(session, one)),
                    What::Traffic(one) => (traffic(one)),
                    What::Note(one) => p.line { (note(one)) },
                }
            }
        }
    }
}

/// When an entry began: the script shows the reader's own time.
fn clock(entry: &Entry) -> Markup {
    html! { a.clock href=(format!("#{}", entry_id(entry.first))) title=(format!("event {}", entry.first.0)) { (words::clock(entry.at)) } }
}

fn tone(what: &What) -> Tone {
    match what {
        What::Step(step) if step.failure.is_some() => Tone::Bad,
        What::Step(step) if step.reply.is_none() || step.calls.iter().any(is_running) => Tone::Live,
        What::Step(step) if step.traffic.refused > 0 || step.calls.iter().any(is_problem) => Tone::Warn,
        What::Step(_) | What::Said(_) => Tone::Plain,
        What::Stage(stage) => match &stage.result {
            None => Tone::Live,
            Some(StageResult::Told(note)) => note.tone,
            Some(StageResult::Examined(_, verdict)) => words::verdict(*verdict).0,
            Some(StageResult::Evidence(run)) => words::exit(run.exit).0,
            Some(StageResult::Failed(_)) => Tone::Bad,
        },
        What::Traffic(traffic) if traffic.refused > 0 => Tone::Warn,
        What::Traffic(_) => Tone::Quiet,
        What::Note(note) => note.tone,
    }
}

const fn is_running(call: &Call) -> bool {
    matches!(call.state, CallState::Waiting | CallState::Running(_))
}

fn is_problem(call: &Call) -> bool {
    match &call.state {
        CallState::Ended(ended) => ended.status != ToolStatus::Ok,
        CallState::Lost => true,
        CallState::Waiting | CallState::Running(_) => false,
    }
}

fn note(note: &Note) -> Markup {
    html! { (note.words) @if !note.quote.is_empty() { " " q { (inert(&note.quote)) } } }
}

/// Where all of an event is.
fn whole_event(session: SessionId, seq: Seq, words: &str) -> Markup {
    html! { a.whole href=(format!("/sessions/{session}/events/{}", seq.0)) { (words) } }
}

fn step(session: SessionId, step: &Step) -> Markup {
    html! {
        header.line {
            b.n { @if step.compaction { "Summary" } @else { "Step " (step.number) } }
            @if let Some(reply) = &step.reply {
                span.meta {
                    (tokens(reply))
                    @if let Some(cost) = reply.cost { " · " (cost) }
                    " · " (millis(reply.millis))
                }
            } @else if step.failure.is_none() {
                span.meta.working { "The model is thinking" }
            }
            @if let Some(checkpoint) = step.checkpoint {
                a.meta.checkpoint href=(format!("#checkpoint-{}", checkpoint.0)) { "checkpoint" }
            }
        }
        @if let Some(failure) = &step.failure { p.problem { "The model could not be asked: " q { (inert(failure)) } } }
        @if let Some(reply) = &step.reply { (answer(session, reply)) }
        @for call in &step.calls { (self::call(session, call)) }
        @if !step.traffic.is_empty() { (traffic(&step.traffic)) }
    }
}

fn answer(session: SessionId, reply: &Reply) -> Markup {
    html! {
        @if !reply.reasoning.is_empty() {
            details.why data-key="why" {
                summary { "Reasoning" }
                div.reasoning { (reply.reasoning.markup()) }
                @if reply.reasoning.left_out > 0 { (whole_event(session, reply.seq, "All of it")) }
            }
        }
        @if !reply.text.is_empty() {
            (prose(&reply.text.head))
            @if reply.text.left_out > 0 {
                p.gap { "… " (size(reply.text.left_out)) " left out. " (whole_event(session, reply.seq, "The whole answer")) }
            }
        }
        @if let Some(cut) = &reply.cut { p.problem { "The answer was " q { (inert(cut)) } } }
    }
}

fn call(session: SessionId, call: &Call) -> Markup {
    let (tone, state) = call_state(call);
    let ended = match &call.state {
        CallState::Ended(ended) => Some(ended.as_ref()),
        CallState::Waiting | CallState::Running(_) | CallState::Lost => None,
    };
    if let Some(ended) = ended.filter(|ended| !ended.plan.is_empty()) {
        return html! { div.call { (plan(&ended.plan)) } };
    }
    html! {
        details.call.(tone.class()) data-key=(call.id) {
            summary {
                span.dot aria-hidden="true" {}
                b.tool { (inert(&call.tool)) }
                code.subject { (inert(&call.subject)) }
                span.meta { (state) }
            }
            div.inside {
                @for (name, value) in &call.arguments { (argument(name, value)) }
                @if let Some(ended) = ended { (output(session, ended)) }
            }
        }
    }
}

fn call_state(call: &Call) -> (Tone, Markup) {
    match &call.state {
        CallState::Waiting => (Tone::Quiet, html! { "waiting" }),
        CallState::Running(since) => {
            (Tone::Live, html! { span.working { "running" } " since " (words::clock(*since)) })
        }
        CallState::Lost => (Tone::Warn, html! { "cut short; its effect is unknown" }),
        CallState::Ended(ended) => {
            let (tone, word) = match ended.status {
                ToolStatus::Ok if ended.failed => (Tone::Warn, ""),
                ToolStatus::Ok => (Tone::Good, ""),
                ToolStatus::Error => (Tone::Warn, "error · "),
                ToolStatus::TimedOut => (Tone::Warn, "timed out · "),
                ToolStatus::Refused => (Tone::Bad, "refused · "),
            };
            let brief = html! {
                @if !ended.head.is_empty() { span.head { (line(&ended.head, 80)) } " · " }
                (word) (millis(ended.millis))
            };
            (tone, brief)
        }
    }
}

fn argument(name: &str, value: &Excerpt) -> Markup {
    html! {
        @if value.left_out == 0 && value.head.len() < 80 && !value.head.contains('\n') {
            p.argument { span.name { (inert(name)) } " " code { (inert(&value.head)) } }
        } @else {
            p.argument { span.name { (inert(name)) } }
            pre tabindex="0" { (value.markup()) }
        }
    }
}

/// Where a picture is. Whatever is no picture is not shown as one there.
fn picture(session: SessionId, digest: Digest) -> String {
    format!("/api/v1/sessions/{session}/blobs/{digest}")
}

fn output(session: SessionId, ended: &Ended) -> Markup {
    html! {
        @if ended.output.is_empty() {
            p.argument.quiet { "No output." }
        } @else {
            pre.output tabindex="0" aria-label="Output" { (ended.output.markup()) }
        }
        @for (shown, full) in &ended.pictures {
            a.picture href=(picture(session, *full)) { img.picture loading="lazy" alt="A picture that the agent looked at" src=(picture(session, *shown)); }
        }
        @if let Some(whole) = &ended.whole {
            a.whole href=(format!("/sessions/{session}/output/{}", whole.digest)) { "The whole output, " (size(whole.size)) }
        } @else if ended.output.left_out > 0 {
            (whole_event(session, ended.seq, "The whole answer"))
        }
    }
}

/// The agent's own list of what is to be done.
pub(crate) fn plan(items: &[PlanItem]) -> Markup {
    html! {
        ol.plan {
            @for item in items {
                @let (class, word) = match item.state {
                    PlanState::Pending => ("pending", "to do: "),
                    PlanState::InProgress => ("now", "under way: "),
                    PlanState::Done => ("done", "done: "),
                };
                li.(class) { span.unseen { (word) } (line(&item.text, 200)) }
            }
        }
    }
}

fn said(session: SessionId, said: &Said) -> Markup {
    html! {
        header.line { b { (inert(&said.by)) } " " span.quiet { (said.how) } }
        (prose(&said.text.head))
        @if said.text.left_out > 0 {
            p.gap { "… " (size(said.text.left_out)) " left out. " (whole_event(session, said.seq, "All of it")) }
        }
    }
}

fn traffic(traffic: &Traffic) -> Markup {
    html! {
        div.traffic {
            p.line {
                "Network: "
                @if traffic.passed > 0 { (counted(traffic.passed, "request")) " let out" }
                @if traffic.packages > 0 { @if traffic.passed > 0 { ", " } (counted(traffic.packages, "package")) " fetched" }
                @if traffic.refused > 0 {
                    @if traffic.passed + traffic.packages > 0 { ", " }
                    span.bad { (number(traffic.refused)) " refused" }
                }
            }
            @if !traffic.refusals.is_empty() {
                ul.refusals {
                    @for (operation, reason) in &traffic.refusals {
                        li { code { (inert(operation)) } " " span.quiet { (inert(reason)) } }
                    }
                }
            }
        }
    }
}

fn stage(session: SessionId, entry: &StageEntry) -> Markup {
    html! {
        @if entry.part != Part::FIRST { p.line.quiet { "Repository " (entry.part.to_string()) ":" } }
        (result(session, entry))
    }
}

fn result(session: SessionId, entry: &StageEntry) -> Markup {
    match &entry.result {
        None => html! { p.line { span.working { (words::stage(entry.stage)) } } },
        Some(StageResult::Told(told)) => html! { p.line { (note(told)) } },
        Some(StageResult::Failed(reason)) => {
            html! { p.line.problem { (words::stage(entry.stage)) ": not possible. " q { (inert(reason)) } } }
        }
        Some(StageResult::Examined(found, verdict)) => examined(session, found, *verdict),
        Some(StageResult::Evidence(run)) => evidence(session, run),
    }
}

fn examined(session: SessionId, found: &[Finding], verdict: Verdict) -> Markup {
    let (tone, words) = words::verdict(verdict);
    html! {
        p.line {
            "Gate: " b.(tone.class()) { (words) }
            @if found.is_empty() { ", no findings" } @else { ", " a href=(format!("/sessions/{session}/diff")) { (counted(found.len() as u64, "finding")) } }
        }
        (findings(found))
    }
}

/// What the gate saw, what blocks first.
pub(crate) fn findings(found: &[Finding]) -> Markup {
    let mut sorted: Vec<&Finding> = found.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    html! {
        @if !sorted.is_empty() {
            ul.findings {
                @for finding in sorted.iter().take(LISTED) { (self::finding(finding)) }
            }
            @if sorted.len() > LISTED {
                details data-key="findings" {
                    summary { (sorted.len() - LISTED) " more" }
                    ul.findings { @for finding in sorted.iter().skip(LISTED) { (self::finding(finding)) } }
                }
            }
        }
    }
}

fn finding(finding: &Finding) -> Markup {
    let (tone, word) = words::severity(finding.severity);
    html! {
        li.(tone.class()) {
            span.tag.(tone.class()) { (word) }
            " " b { (line(&finding.rule, 60)) }
            @if !finding.path.is_empty() {
                " " code { (line(&finding.path, 160)) @if let Some(at) = finding.line { ":" (at) } }
            }
            " " span.because { (line(&finding.why, 600)) }
            @if finding.severity == Severity::Blocking { span.unseen { " This keeps the change from being published." } }
        }
    }
}

fn evidence(session: SessionId, run: &EvidenceRun) -> Markup {
    let (tone, words) = words::exit(run.exit);
    let side = match run.side {
        cofferdam_domain::Side::Base => "without the change",
        cofferdam_domain::Side::Head => "with the change",
    };
    html! {
        p.line {
            "Tests " (side) ": " b.(tone.class()) { (words) }
            @if let Some(tests) = &run.tests {
                span.meta { (tests.passed.len()) " passed, " (tests.failed.len()) " failed" }
            }
            span.meta { (millis(run.millis)) }
        }
        p.line { code { (line(&run.command, 200)) } " " a.whole href=(format!("/sessions/{session}/output/{}", run.output.digest)) { "Output, " (size(run.output.size)) } }
    }
}
