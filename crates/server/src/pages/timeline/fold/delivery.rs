//! What comes of a session, and what becomes of that.

use cofferdam_domain::{
    Event, EventBody, Outcome, PullRequestState, SelfReview, Stage,
    tool::{Finish, FinishOutcome},
};

use super::{done, open_stage, short, told};
use crate::pages::{
    timeline::{Note, StageEntry, StageResult, Timeline, Tone, What},
    words,
};

/// Findings that one examination lists.
const MOST_FINDINGS: usize = 50;

/// What an event of this kind does; nothing for any other.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "`super::fold` lists every event; here is one kind of them"
)]
pub(super) fn fold(timeline: &mut Timeline, event: &Event) {
    let (part, body) = event.body.in_part();
    match body {
        EventBody::Overtaken { found } => {
            let note = Note::quoting(Tone::Warn, "Others have pushed to the branch meanwhile:", found);
            done(timeline, event, Stage::Push, StageResult::Told(note));
        }
        EventBody::MergeFailed { reason } => {
            let note = Note::quoting(Tone::Bad, "The forge did not do it:", reason);
            let stage = [Stage::Merge, Stage::Close]
                .into_iter()
                .find(|stage| open_stage(timeline, part, *stage).is_some());
            done(timeline, event, stage.unwrap_or(Stage::Merge), StageResult::Told(note));
        }
        EventBody::WorkFinished { finish, .. } => timeline.note(event, finished(finish)),
        EventBody::ObjectsReceived(received) => {
            let words = format!("Change received: {}", words::stat(received.stat));
            done(timeline, event, Stage::Collect, StageResult::Told(Note::new(Tone::Plain, words)));
        }
        EventBody::NothingChanged => {
            let note = Note::new(Tone::Plain, "The workspace is as it was");
            done(timeline, event, Stage::Collect, StageResult::Told(note));
        }
        EventBody::Examined { findings, verdict } => {
            let findings = findings.iter().take(MOST_FINDINGS).cloned().collect();
            done(timeline, event, Stage::Examine, StageResult::Examined(findings, *verdict));
            timeline.weigh(event);
        }
        EventBody::EvidenceRun(run) => {
            let stage = Stage::Evidence { side: run.side };
            done(timeline, event, stage, StageResult::Evidence(Box::new(run.clone())));
        }
        EventBody::SelfReviewed(review) => fresh_look(timeline, event, review),
        EventBody::EvidenceMissing { reason } => no_evidence(timeline, event, reason),
        EventBody::Pushed { branch, commit } => {
            let words = format!("Pushed {} to", short(commit));
            done(timeline, event, Stage::Push, told(Tone::Plain, words, branch));
        }
        EventBody::PullRequestOpened(opened) => {
            let kind = if opened.draft { "Draft pull request" } else { "Pull request" };
            let words = format!("{kind} #{}:", opened.number);
            done(timeline, event, Stage::PullRequest, told(Tone::Good, words, &opened.title));
        }
        EventBody::SessionEnded { outcome } => timeline.note(event, over(outcome)),
        EventBody::PullRequestClosed { state } => {
            let stage = [Stage::Merge, Stage::Close]
                .into_iter()
                .find(|stage| open_stage(timeline, part, *stage).is_some());
            match stage {
                Some(stage) => done(timeline, event, stage, StageResult::Told(closed(state))),
                None => timeline.note(event, closed(state)),
            }
        }
        _ => {}
    }
}

fn finished(finish: &Finish) -> Note {
    let (tone, words) = match finish.outcome {
        FinishOutcome::Done => (Tone::Plain, "The agent says it is done:"),
        FinishOutcome::NothingToDo => (Tone::Plain, "The agent found nothing to do:"),
        FinishOutcome::GaveUp => (Tone::Warn, "The agent gave up:"),
    };
    Note::quoting(tone, words, &finish.title)
}

/// What a model found that took a fresh look: its words, not the platform's.
fn fresh_look(timeline: &mut Timeline, event: &Event, review: &SelfReview) {
    let by = format!("Look {} by {}", review.round, review.session);
    let note = match (&review.failed, review.refuted) {
        (Some(why), _) => Note::quoting(Tone::Warn, format!("{by} could not be taken:"), why),
        (None, true) => Note::quoting(Tone::Warn, format!("{by}; a model found:"), &review.summary),
        (None, false) => {
            let words = format!("{by}; a model found nothing to send the change back for:");
            Note::quoting(Tone::Plain, words, &review.summary)
        }
    };
    done(timeline, event, Stage::SelfReview, StageResult::Told(note));
    for remark in review.remarks.iter().take(MOST_FINDINGS) {
        let quote = format!("{}:{}: {}", remark.path, remark.line, remark.text);
        timeline.note(event, Note::quoting(Tone::Quiet, "On a line, a model says:", &quote));
    }
}

fn no_evidence(timeline: &mut Timeline, event: &Event, reason: &str) {
    let part = event.body.in_part().0;
    let stage = timeline.entries.iter().rev().find_map(|entry| match &entry.what {
        What::Stage(StageEntry { part: of, stage: stage @ Stage::Evidence { .. }, result: None })
            if *of == part =>
        {
            Some(*stage)
        }
        What::Stage(_) | What::Step(_) | What::Said(_) | What::Traffic(_) | What::Note(_) => None,
    });
    let result = told(Tone::Warn, "No evidence:", reason);
    done(timeline, event, stage.unwrap_or(Stage::Evidence { side: cofferdam_domain::Side::Head }), result);
}

fn over(outcome: &Outcome) -> Note {
    let (tone, words, quote) = words::outcome(outcome);
    Note::quoting(tone, words, quote)
}

fn closed(state: &PullRequestState) -> Note {
    match state {
        PullRequestState::Open => Note::new(Tone::Plain, "Pull request opened again"),
        PullRequestState::Merged { commit } => Note::new(Tone::Good, format!("Merged as {}", short(commit))),
        PullRequestState::Closed => Note::new(Tone::Plain, "Pull request closed without merging"),
    }
}
