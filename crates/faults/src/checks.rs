//! What must hold afterwards, whatever happened.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use cofferdam_domain::{CallId, Event, EventBody, Outcome, Seq, SessionId};

use crate::{
    books::Accepted,
    program::last_words,
    site::Site,
    world::{COMMANDS, MENDED, RAN, below, git, succeeded},
};

/// What a data directory may have of a session that has ended: what is shown of it, and what it can be forked from.
const KEPT: [&str; 2] = ["quarantine.git", "checkpoints"];

/// What was counted on the way.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sessions: usize,
    pub(crate) events: usize,
    pub(crate) taken_over: usize,
    pub(crate) lost_calls: usize,
}

/// That every task that was accepted has ended once and well, that its log is whole, and that nothing is left on disk that should not be.
pub(crate) fn check(site: &dyn Site, accepted: &[Accepted]) -> Result<Counts> {
    let mut counts = Counts::default();
    let command = |arguments: &[&str]| -> Result<String> {
        let mut command = site.world().command(&site.configuration(), "commands");
        succeeded(&arguments.join(" "), command.args(arguments).output()?)
    };
    for Accepted { session, .. } in accepted {
        let text = command(&["show", "--json", &session.to_string()])?;
        let events: Vec<Event> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let story = || {
            let names: Vec<_> =
                events.iter().map(|event| format!("{} {}", event.seq.0, event.body.name())).collect();
            names.join(", ")
        };
        log(&events)
            .and_then(|()| delivered(site, *session, &events))
            .with_context(|| format!("{session}: {}", story()))?;
        let count = |name: &str| events.iter().filter(|event| event.body.name() == name).count();
        counts.sessions += 1;
        counts.events += events.len();
        counts.taken_over += count("claimed").saturating_sub(1);
        counts.lost_calls += count("tool_lost");
    }
    let verified = command(&["audit", "verify"])?;
    ensure!(verified.contains("are as they were written"), "{verified}");
    for data in site.data() {
        disk(&site.world().path(data))?;
    }
    for log in
        below(site.world().folder()).iter().filter(|path| path.extension().is_some_and(|end| end == "log"))
    {
        let text = fs::read_to_string(log)?;
        let defect = text.contains("panicked at") || text.contains("has a defect");
        ensure!(!defect, "{} tells of a defect: {}", log.display(), last_words(log));
    }
    Ok(counts)
}

/// That a log has every event, one end, and every tool call once.
fn log(events: &[Event]) -> Result<()> {
    for (event, place) in events.iter().zip(1..) {
        ensure!(event.seq == Seq(place), "event {place} is missing");
    }
    for (one, next) in events.iter().zip(events.iter().skip(1)) {
        ensure!(next.previous == one.hash, "event {} does not follow from the one before", next.seq.0);
    }
    let ends: Vec<_> = events
        .iter()
        .filter_map(
            |event| if let EventBody::SessionEnded { outcome } = &event.body { Some(outcome) } else { None },
        )
        .collect();
    ensure!(ends == [&Outcome::Succeeded], "it has ended so: {ends:?}");
    let mut fence = 0;
    let mut calls: BTreeMap<CallId, (u32, u32)> = BTreeMap::new();
    for event in events {
        if let EventBody::Claimed { fence: next, .. } = &event.body {
            ensure!(*next > fence, "event {} is written under a fence that was not new", event.seq.0);
            fence = *next;
        } else if let EventBody::ToolStarted { call, .. } = &event.body {
            calls.entry(*call).or_default().0 += 1;
        } else if let EventBody::ToolFinished { call, .. } | EventBody::ToolLost { call } = &event.body {
            calls.entry(*call).or_default().1 += 1;
        }
    }
    let once = calls.values().all(|count| *count == (1, 1));
    ensure!(once, "not every call was started once and ended once: {calls:?}");
    Ok(())
}

/// That there is one branch, one pull request, and what was asked for on it.
fn delivered(site: &dyn Site, session: SessionId, events: &[Event]) -> Result<()> {
    let count = |name: &str| events.iter().filter(|event| event.body.name() == name).count();
    ensure!(count("pull_request_opened") == 1, "{} pull requests were opened", count("pull_request_opened"));
    let opened = events.iter().find_map(|event| {
        if let EventBody::PullRequestOpened(opened) = &event.body { Some(opened) } else { None }
    });
    let opened = opened.context("there is no pull request")?;
    let repository = Path::new(&opened.repository);
    let branches = git(
        repository,
        &["for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads/cofferdam"],
    )?;
    let session = session.to_string();
    let ours: Vec<&str> = branches.lines().filter(|line| line.contains(&session)).collect();
    ensure!(ours == [format!("{} {}", opened.branch, opened.head_commit)], "branches: {ours:?}");
    let records = below(&site.world().path(site.data().first().context("no data")?).join("forge/pulls"));
    let mut times = 0;
    for record in records {
        let text = fs::read_to_string(&record)?;
        times +=
            usize::from(text.contains(&session) && serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }
    ensure!(times == 1, "{times} pull requests are recorded");
    let file = |name: &str| git(repository, &["show", &format!("{}:{name}", opened.head_commit)]);
    ensure!(file("sum.sh")? == MENDED, "what was asked for is not done");
    let ran = file(RAN)?;
    let mut lines: Vec<&str> = ran.lines().collect();
    let many = lines.len();
    lines.sort_unstable();
    lines.dedup();
    ensure!(lines.len() == many && many <= COMMANDS, "a command ran twice: {ran:?}");
    Ok(())
}

/// That a data directory has nothing of sessions that have ended but what is meant to stay, and nothing half made.
fn disk(data: &Path) -> Result<()> {
    for session in below(&data.join("sessions")) {
        for left in below(&session) {
            let name = left.file_name().unwrap_or_default().to_string_lossy().into_owned();
            ensure!(KEPT.contains(&name.as_str()), "{} is left", left.display());
        }
    }
    for base in below(&data.join("bases")) {
        let name = base.file_name().unwrap_or_default().to_string_lossy().into_owned();
        ensure!(!name.starts_with("new-"), "{} is left", base.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::{Digest, EventId, Timestamp};

    use super::*;

    fn log_of(bodies: Vec<EventBody>) -> Vec<Event> {
        let mut previous = Digest::ZERO;
        let event = |(body, seq): (EventBody, u64)| {
            let hash = Digest::of(&seq.to_be_bytes());
            let event = Event {
                session: SessionId::from_u128(1),
                seq: Seq(seq),
                id: EventId::generate(),
                at: Timestamp(seq),
                previous,
                hash,
                body,
            };
            previous = hash;
            event
        };
        bodies.into_iter().zip(1..).map(event).collect()
    }

    fn whole() -> Vec<EventBody> {
        let call = CallId { step: 1, index: 0 };
        vec![
            EventBody::Claimed { worker: "a".to_owned(), fence: 1 },
            EventBody::ToolStarted { call, tool: "shell".to_owned() },
            EventBody::Claimed { worker: "b".to_owned(), fence: 3 },
            EventBody::ToolLost { call },
            EventBody::SessionEnded { outcome: Outcome::Succeeded },
        ]
    }

    #[test]
    fn what_is_wrong_with_a_log_is_seen() {
        log(&log_of(whole())).unwrap();
        let broken = |change: fn(&mut Vec<EventBody>)| {
            let mut bodies = whole();
            change(&mut bodies);
            log(&log_of(bodies)).unwrap_err().to_string()
        };
        assert!(broken(|bodies| bodies.push(bodies[4].clone())).contains("ended so"));
        assert!(broken(|bodies| drop(bodies.pop())).contains("ended so"));
        assert!(broken(|bodies| bodies.push(bodies[1].clone())).contains("started once"));
        assert!(broken(|bodies| drop(bodies.remove(3))).contains("started once"));
        assert!(broken(|bodies| bodies.push(bodies[0].clone())).contains("fence"));
        let mut events = log_of(whole());
        events.remove(2);
        assert!(log(&events).unwrap_err().to_string().contains("event 3 is missing"));
        let mut events = log_of(whole());
        events[2].previous = Digest::ZERO;
        assert!(log(&events).unwrap_err().to_string().contains("does not follow"));
    }
}
