//! What leaves sandboxes or is kept from it, and what stops them.

use cofferdam_domain::{
    Event, EventBody,
    amount::counted,
    egress::{Access, AccessAsk, Refused},
};

use crate::pages::{
    text::cut,
    timeline::{Note, Timeline, Tone, Traffic, What},
    words,
};

/// Refusals that one step lists.
const MOST_REFUSALS: usize = 8;

/// What an event of this kind does; nothing for any other.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "`super::fold` lists every event; here is one kind of them"
)]
pub(super) fn fold(timeline: &mut Timeline, event: &Event) {
    match &event.body {
        EventBody::EgressAllowed(_) => traffic(timeline, event, |traffic| traffic.passed += 1),
        EventBody::EgressRefused(refused) => traffic(timeline, event, |traffic| refuse(traffic, refused)),
        EventBody::PackageFetched(_) => traffic(timeline, event, |traffic| traffic.packages += 1),
        EventBody::AccessAsked(ask) => timeline.note(event, access_asked(ask)),
        EventBody::AccessDecided(access) => timeline.note(event, access_decided(access)),
        EventBody::AlarmRaised { what, .. } => timeline.note(event, Note::quoting(Tone::Bad, "Alarm:", what)),
        EventBody::FilesDeleted { files, of, .. } => {
            let words = format!("{files} of {} of the repository deleted", counted(*of, "file"));
            timeline.note(event, Note::new(Tone::Warn, words));
        }
        EventBody::SandboxFrozen { reason, .. } => {
            timeline.note(event, Note::quoting(Tone::Bad, "Sandbox frozen:", reason));
        }
        EventBody::SandboxReleased { by, .. } => {
            timeline.note(event, Note::quoting(Tone::Warn, "Sandbox released by", by));
        }
        _ => {}
    }
}

/// Counts with the step under way, or by itself where there is none.
fn traffic(timeline: &mut Timeline, event: &Event, count: impl FnOnce(&mut Traffic)) {
    if timeline.closed {
        return;
    }
    if !matches!(timeline.entries.back().map(|entry| &entry.what), Some(What::Step(_) | What::Traffic(_))) {
        // A note since the step (a question, a freeze) does not make it another step's traffic.
        let step_under_way = timeline.entries.iter().rev().find_map(|entry| match &entry.what {
            What::Step(_) => Some(true),
            What::Stage(_) | What::Traffic(_) => Some(false),
            What::Said(_) | What::Note(_) => None,
        });
        if step_under_way != Some(true) {
            timeline.push(event, What::Traffic(Traffic::default()));
        }
    }
    let place = timeline.entries.iter_mut().rev().find_map(|entry| {
        entry.changed =
            if matches!(entry.what, What::Step(_) | What::Traffic(_)) { event.seq } else { entry.changed };
        match &mut entry.what {
            What::Step(step) => Some(&mut step.traffic),
            What::Traffic(traffic) => Some(traffic),
            What::Stage(_) | What::Said(_) | What::Note(_) => None,
        }
    });
    if let Some(traffic) = place {
        count(traffic);
    }
}

fn refuse(traffic: &mut Traffic, refused: &Refused) {
    traffic.refused += u64::from(refused.count.max(1));
    if traffic.refusals.len() < MOST_REFUSALS {
        traffic.refusals.push((cut(&refused.operation.to_string(), 200), cut(&refused.reason, 300)));
    }
}

fn access_asked(ask: &AccessAsk) -> Note {
    Note::quoting(Tone::Warn, "The agent asks for access:", &words::rule(&ask.rule))
}

fn access_decided(access: &Access) -> Note {
    let (tone, word) = if access.granted { (Tone::Good, "granted") } else { (Tone::Bad, "denied") };
    Note::quoting(tone, format!("Access {word} by"), &access.by)
}
