//! The fold alone, on made-up logs.

use cofferdam_domain::{
    Answer, Policy, StopReason, Usage,
    egress::Operation,
    event::{EditFormat, ModelInfo},
    message::Family,
};
use proptest::prelude::*;

use super::*;

fn fixed(alarms: Option<Alarms>, refusals: u32) -> EventBody {
    let mut policy = Policy { alarms, ..Policy::default() };
    policy.egress.limits.refusals_before_freeze = refusals;
    let model = ModelInfo {
        provider: "p".into(),
        name: "m".into(),
        family: Family::Scripted,
        context_window: 1,
        max_output: 1,
        prices: None,
        edits: EditFormat::Replace,
        images: false,
        transcript: None,
    };
    EventBody::PolicyFixed(Box::new(Fixed {
        policy,
        model,
        system: String::new(),
        tools: Vec::new(),
        foreign: cofferdam_domain::foreign::Foreign::default(),
        version: "0".into(),
        rules: 0,
        routes: Default::default(),
    }))
}

fn ready() -> EventBody {
    EventBody::SandboxReady { sandbox: SandboxId::from_u128(7), level: "none".into(), moved: None }
}

fn refused(code: Refusal, count: u32) -> EventBody {
    EventBody::EgressRefused(Box::new(Refused {
        sandbox: SandboxId::from_u128(7),
        operation: Operation::Name { name: "a.example".into() },
        code,
        reason: String::new(),
        ask: None,
        count,
        calls: Vec::new(),
    }))
}

fn answered(cost: u64, tokens: u64) -> EventBody {
    let usage = Usage { output: tokens, ..Usage::default() };
    let answer = Answer {
        blocks: Vec::new(),
        stop: StopReason::EndTurn,
        usage,
        model: "m".into(),
        cost: Some(Cost(cost)),
    };
    EventBody::ModelAnswered { step: 1, answer, millis: 1 }
}

fn deleted(files: u64, of: u64) -> EventBody {
    EventBody::FilesDeleted { step: 1, files, of }
}

fn rule(name: &str, event: &str, count: u32, seconds: u32, then: Consequence) -> AlarmRule {
    AlarmRule { name: name.into(), event: event.into(), of: None, count, seconds, then }
}

/// A log as a worker writes it: every alarm right after what met its rule. Gives the places of events, and their alarms.
fn raised(alarms: Option<Alarms>, refusals: u32, events: &[(u64, EventBody)]) -> Vec<(usize, EventBody)> {
    let mut watchman = Watchman::default();
    watchman.apply(Timestamp(0), &fixed(alarms, refusals));
    watchman.apply(Timestamp(0), &ready());
    let mut found = Vec::new();
    for (place, (at, body)) in events.iter().enumerate() {
        watchman.apply(Timestamp(*at), body);
        while let Some(alarm) = watchman.due().map(Alarm::body) {
            watchman.apply(Timestamp(*at), &alarm);
            found.push((place, alarm));
        }
    }
    found
}

fn names(raised: &[(usize, EventBody)]) -> Vec<(usize, String)> {
    let name = |body: &EventBody| {
        let EventBody::AlarmRaised { rule, .. } = body else { panic!("{body:?}") };
        rule.clone()
    };
    raised.iter().map(|(place, body)| (*place, name(body))).collect()
}

fn of(alarms: &Alarms, events: &[(u64, EventBody)]) -> Vec<(usize, String)> {
    names(&raised(Some(alarms.clone()), 0, events))
}

#[test]
fn what_always_stands_does_so_without_any_rule() {
    let events =
        [(1, refused(Refusal::Name, 1)), (2, refused(Refusal::Canary, 1)), (3, refused(Refusal::Secret, 1))];
    let expected = [(1, "canary".to_owned()), (2, "secret".to_owned())];
    assert_eq!(names(&raised(None, 0, &events)), expected);
    assert_eq!(of(&Alarms::default(), &events), expected);
    // An answer with a credential is for those who count refusals.
    let reflected = [(1, refused(Refusal::Reflected, 1))];
    assert_eq!(names(&raised(None, 0, &reflected)), []);
    assert_eq!(names(&raised(None, 9, &reflected)), [(0, "reflected".to_owned())]);
}

#[test]
fn refusals_and_escapes_are_counted_as_often_as_they_happened() {
    let events =
        [(1, refused(Refusal::Name, 2)), (2, refused(Refusal::Host, 3)), (3, refused(Refusal::Host, 4))];
    assert_eq!(names(&raised(None, 5, &events)), [(1, "refusals".to_owned())]);
    let alarms = Alarms { escapes: 3, ..Alarms::default() };
    let events = [
        (1, refused(Refusal::Mismatch, 1)),
        (2, refused(Refusal::Name, 9)),
        (3, refused(Refusal::Address, 1)),
        (4, refused(Refusal::Malformed, 1)),
        (5, refused(Refusal::Protocol, 2)),
    ];
    assert_eq!(of(&alarms, &events), [(3, "escapes".to_owned())]);
}

#[test]
fn spending_is_measured_over_a_minute() {
    let alarms = Alarms { cost_per_minute: Cost(100), tokens_per_minute: 1_000, ..Alarms::default() };
    let slow: Vec<_> = (0..50).map(|number| (number * 30_000, answered(50, 500))).collect();
    assert_eq!(of(&alarms, &slow), []);
    let fast = [(0, answered(60, 0)), (59_999, answered(41, 0)), (60_500, answered(60, 0))];
    assert_eq!(of(&alarms, &fast), [(1, "spending".to_owned())], "once for what was spent once");
    let tokens = [(0, answered(0, 600)), (10, answered(0, 600))];
    assert_eq!(of(&alarms, &tokens), [(1, "spending".to_owned())]);
}

#[test]
fn a_sudden_multiple_of_the_usual_is_noticed_once_there_is_a_usual() {
    let alarms = Alarms { times_usual: 10, ..Alarms::default() };
    let mut events: Vec<_> = (0..4).map(|minute| (minute * 60_000, answered(10, 100))).collect();
    events.push((240_000, answered(1_000, 100)));
    assert_eq!(of(&alarms, &events), [], "nothing is usual yet");
    let mut events: Vec<_> = (0..6).map(|minute| (minute * 60_000, answered(10, 100))).collect();
    // A long wait in between changes nothing about what is usual.
    events.push((90_000_000, answered(90, 100)));
    events.push((90_001_000, answered(11, 100)));
    assert_eq!(of(&alarms, &events), [(7, "sudden_spending".to_owned())]);
    let mut events: Vec<_> = (0..6).map(|minute| (minute * 60_000, answered(0, 100))).collect();
    events.push((400_000, answered(0, 1_001)));
    assert_eq!(
        of(&alarms, &events),
        [(6, "sudden_spending".to_owned())],
        "tokens, where nothing has a price"
    );
}

#[test]
fn mass_deletion_is_a_number_or_a_part() {
    let alarms = Alarms { deleted_files: 300, ..Alarms::default() };
    let rule = |files, of_all| {
        let found = of(&alarms, &[(1, deleted(files, of_all))]);
        found.into_iter().next().map(|(_, rule)| rule)
    };
    assert_eq!(rule(300, 10_000), None);
    assert_eq!(rule(301, 10_000).as_deref(), Some("deleted_files"));
    assert_eq!(rule(21, 40).as_deref(), Some("deleted_percent"));
    assert_eq!(rule(20, 40), None, "half is not more than half");
    assert_eq!(rule(19, 19), None, "a few files are soon all that there are");
    let never = Alarms { deleted_percent: 0, ..Alarms::default() };
    assert_eq!(of(&never, &[(1, deleted(5_000, 5_000))]), []);
}

#[test]
fn a_rule_of_ones_own_counts_within_its_time() {
    let alarms = Alarms {
        rules: vec![
            rule("nudges", "nudged", 3, 10, Consequence::Tell),
            AlarmRule {
                of: Some("host".into()),
                ..rule("hosts", "egress_refused", 4, 60, Consequence::Freeze)
            },
        ],
        ..Alarms::default()
    };
    let nudge = || EventBody::Nudged {
        reason: cofferdam_domain::event::NudgeReason::RepeatedCall,
        text: String::new(),
    };
    let at = |times: &[u64]| times.iter().map(|at| (*at, nudge())).collect::<Vec<_>>();
    assert_eq!(of(&alarms, &at(&[0, 5_000, 10_000])), [], "the first is ten seconds old");
    assert_eq!(of(&alarms, &at(&[0, 5_000, 9_999, 10_500])), [(2, "nudges".to_owned())]);
    let hosts =
        [(0, refused(Refusal::Name, 9)), (1, refused(Refusal::Host, 3)), (2, refused(Refusal::Host, 1))];
    assert_eq!(of(&alarms, &hosts), [(2, "hosts".to_owned())]);
}

#[test]
fn what_freezes_waits_for_a_sandbox_and_what_was_looked_at_is_over() {
    let alarms = Alarms { cost_per_minute: Cost(1), ..Alarms::default() };
    let mut watchman = Watchman::default();
    watchman.apply(Timestamp(0), &fixed(Some(alarms), 3));
    watchman.apply(Timestamp(1), &answered(2, 0));
    assert_eq!(watchman.due(), None);
    watchman.apply(Timestamp(2), &ready());
    assert_eq!(watchman.due().unwrap().rule, "spending");
    watchman.apply(Timestamp(3), &refused(Refusal::Name, 2));
    watchman.apply(
        Timestamp(4),
        &EventBody::SandboxReleased { sandbox: SandboxId::from_u128(7), by: "ann".into() },
    );
    assert_eq!(watchman.due(), None);
    watchman.apply(Timestamp(5), &refused(Refusal::Name, 2));
    assert_eq!(watchman.due(), None, "two and two, but a person has looked in between");
    watchman.apply(Timestamp(6), &refused(Refusal::Name, 1));
    assert_eq!(watchman.due().unwrap().rule, "refusals");
}

fn any_event() -> impl Strategy<Value = EventBody> {
    let code = prop::sample::select(vec![
        Refusal::Name,
        Refusal::Host,
        Refusal::Mismatch,
        Refusal::Canary,
        Refusal::Secret,
        Refusal::Reflected,
    ]);
    prop_oneof![
        4 => (code, 1..6u32).prop_map(|(code, count)| refused(code, count)),
        4 => (0..40u64, 0..400u64).prop_map(|(cost, tokens)| answered(cost, tokens)),
        1 => (0..400u64, 1..500u64).prop_map(|(files, of)| deleted(files, of)),
        1 => Just(EventBody::SandboxReleased { sandbox: SandboxId::from_u128(7), by: "ann".into() }),
        1 => Just(ready()),
    ]
}

fn any_log() -> impl Strategy<Value = Vec<(u64, EventBody)>> {
    prop::collection::vec((0..20_000u64, any_event()), 0..120).prop_map(|events| {
        let mut now = 0;
        events
            .into_iter()
            .map(|(later, body)| {
                now += later;
                (now, body)
            })
            .collect()
    })
}

proptest! {
    /// Whoever folds a log finds each alarm that is in it due at its place, and none beside it.
    #[test]
    fn the_same_log_raises_the_same_alarms(events in any_log(), refusals in 0..20u32, times in 0..5u32) {
        let alarms = Alarms {
            cost_per_minute: Cost(120),
            times_usual: times,
            escapes: 6,
            rules: vec![rule("r", "egress_refused", 5, 30, Consequence::Tell)],
            ..Alarms::default()
        };
        let found = raised(Some(alarms.clone()), refusals, &events);
        let mut watchman = Watchman::default();
        watchman.apply(Timestamp(0), &fixed(Some(alarms), refusals));
        watchman.apply(Timestamp(0), &ready());
        let mut next = found.iter().peekable();
        for (place, (at, body)) in events.iter().enumerate() {
            watchman.apply(Timestamp(*at), body);
            while let Some((_, alarm)) = next.next_if(|(there, _)| *there == place) {
                prop_assert_eq!(watchman.due().map(Alarm::body), Some(alarm.clone()));
                watchman.apply(Timestamp(*at), alarm);
            }
            prop_assert_eq!(watchman.due(), None);
        }
    }

    /// A rule of one's own is met by other events each time, enough of them and close enough together; and it is when they are.
    #[test]
    fn a_rule_never_fires_twice_for_the_same(times in prop::collection::vec(0..4_000u64, 0..80), count in 1..6u32) {
        let mut now = 0;
        let events: Vec<(u64, EventBody)> = times
            .iter()
            .map(|later| {
                now += later;
                (now, EventBody::ModelAsked { step: 1, request: cofferdam_domain::Digest::ZERO, compaction: false })
            })
            .collect();
        let alarms = Alarms {
            deleted_percent: 0,
            rules: vec![rule("r", "model_asked", count, 5, Consequence::Freeze)],
            ..Alarms::default()
        };
        let mut since: Vec<u64> = Vec::new();
        let mut expected = Vec::new();
        for (place, (at, _)) in events.iter().enumerate() {
            since.push(*at);
            since.retain(|then| at - then < 5_000);
            if since.len() >= count as usize {
                since.clear();
                expected.push((place, "r".to_owned()));
            }
        }
        prop_assert_eq!(of(&alarms, &events), expected);
    }
}
