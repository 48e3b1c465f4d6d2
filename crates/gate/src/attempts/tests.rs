//! Ranking and choosing, on facts and on logs.

use cofferdam_domain::{
    BlobRef, Digest, Event, EventBody, EventId, EvidenceRun, Finding, Outcome, Seq, SessionId, Severity,
    Side, Source, Task, Timestamp, Verdict,
    attempt::{Attempt, Choose, MOST_ATTEMPTS},
    change::{DiffStat, Received},
    evidence::{Exit, TestReport},
};

use super::*;

const HEAD: &str = "1111111111111111111111111111111111111111";

fn group_id() -> SessionId {
    SessionId::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)
}

fn attempt(number: u16, choose: Choose) -> Attempt {
    Attempt { group: group_id(), number, of: 3, choose }
}

fn task(attempt: Attempt) -> Task {
    Task::new("fix it".into(), "/r".into(), None, "ann".into(), Source::Api).unwrap().attempted(attempt)
}

/// The log of an attempt.
fn log(attempt: Attempt, bodies: Vec<EventBody>) -> Vec<Event> {
    let first = EventBody::TaskAccepted { task: task(attempt) };
    let event = |(seq, body)| Event {
        seq: Seq(seq),
        id: EventId::from_u128(u128::from(seq)),
        session: attempt.session(),
        at: Timestamp(seq * 1000),
        body,
        previous: Digest::ZERO,
        hash: Digest::ZERO,
    };
    (1..).zip(std::iter::once(first).chain(bodies)).map(event).collect()
}

fn run(side: Side, exit: i32, passed: &[&str], failed: &[&str]) -> EventBody {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    EventBody::EvidenceRun(EvidenceRun {
        side,
        tree: "t".into(),
        command: "make test".into(),
        exit: Exit::Code(exit),
        output: BlobRef { digest: Digest::ZERO, size: 0 },
        millis: 1,
        tests: Some(TestReport { passed: names(passed), failed: names(failed), skipped: Vec::new() }),
    })
}

fn change(added: u64) -> EventBody {
    EventBody::ObjectsReceived(Received {
        bundle: Digest::ZERO,
        head: HEAD.into(),
        tree: "t".into(),
        stat: DiffStat { files: 1, added, removed: 0 },
        patch: None,
        objects: None,
        contents: Vec::new(),
        submodules: Vec::new(),
    })
}

fn examined(warnings: usize) -> EventBody {
    let finding = Finding {
        rule: "r".into(),
        severity: Severity::Warning,
        path: String::new(),
        line: None,
        why: "w".into(),
    };
    EventBody::Examined { findings: vec![finding; warnings], verdict: Verdict::Publish }
}

fn ready() -> EventBody {
    EventBody::AttemptReady { commit: HEAD.into() }
}

/// An attempt that has come to be ready: whether its tests pass, how much it changes.
fn came_to(number: u16, choose: Choose, passes: bool, added: u64, warnings: usize) -> AttemptFacts {
    let head = if passes { run(Side::Head, 0, &["a", "b"], &[]) } else { run(Side::Head, 1, &["a"], &["b"]) };
    let bodies = vec![change(added), examined(warnings), run(Side::Base, 1, &["a"], &["b"]), head, ready()];
    AttemptFacts::of(&log(attempt(number, choose), bodies)).unwrap()
}

fn ended(number: u16, choose: Choose, outcome: Outcome) -> AttemptFacts {
    AttemptFacts::of(&log(attempt(number, choose), vec![EventBody::SessionEnded { outcome }])).unwrap()
}

fn numbers(group: &Group) -> Vec<u16> {
    ranked(group).iter().map(|facts| facts.attempt.number).collect()
}

/// Says all that is to be said, as a worker does, and gives the decisions in order of number.
fn settled(mut group: Group) -> Vec<(u16, Option<SessionId>)> {
    for _ in 0..2 * MOST_ATTEMPTS {
        let Some(word) = group.next_word() else { break };
        say(&mut group, &word);
    }
    assert_eq!(group.next_word(), None);
    let of =
        |facts: &AttemptFacts| (facts.attempt.number, facts.decided.as_ref().map(|decided| decided.chosen));
    group.attempts().iter().map(of).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "there are two words")]
fn say(group: &mut Group, word: &Word) {
    let mut facts = group.of(word.session).unwrap().clone();
    assert_eq!(word.after, facts.last);
    assert_eq!(facts.decided, None, "told twice");
    facts.last = Seq(facts.last.0 + 1);
    facts.decided = match &word.body {
        EventBody::AttemptChosen { by, commit } => {
            facts.taken = facts.ready() == Some(commit);
            Some(Decided { by: by.clone(), chosen: word.session, commit: commit.clone() })
        }
        EventBody::AttemptPassedOver { by, chosen, commit } => {
            Some(Decided { by: by.clone(), chosen: *chosen, commit: commit.clone() })
        }
        other => panic!("{other:?}"),
    };
    group.renew(facts);
}

#[test]
fn facts_are_those_of_the_log() {
    let facts = came_to(2, Choose::Ask, true, 7, 1);
    assert_eq!(facts.standing, Standing::Ready(HEAD.into()));
    assert_eq!((facts.tests.fail_to_pass.len(), facts.tests.pass_to_pass), (1, 1));
    assert_eq!((facts.stat.added, facts.warnings, facts.blocking), (7, 1, 0));
    assert_eq!(facts.millis, 5_000);
    let passed_over = EventBody::SessionEnded { outcome: Outcome::PassedOver { chosen: group_id() } };
    let waited =
        AttemptFacts::of(&log(attempt(2, Choose::Ask), vec![change(7), ready(), passed_over])).unwrap();
    assert_eq!((waited.millis, waited.offers), (2_000, true), "waiting is not counted");
    assert!(facts.is_through() && facts.decided.is_none());
    assert_eq!(facts.tests_in_words(), "red before, green now: 1 mended, 1 still pass, 0 broken");
    let plain = Task::new("fix it".into(), "/r".into(), None, "ann".into(), Source::Api).unwrap();
    let mut events = log(attempt(1, Choose::Ask), Vec::new());
    events[0].body = EventBody::TaskAccepted { task: plain };
    assert_eq!(AttemptFacts::of(&events), None);
}

#[test]
fn what_somebody_wrote_since_is_not_ready() {
    let message = EventBody::MessageReceived {
        from: "ann".into(),
        text: "and more".into(),
        label: cofferdam_domain::Label::PLATFORM,
        about: None,
    };
    let facts = AttemptFacts::of(&log(attempt(1, Choose::Ask), vec![change(1), ready(), message])).unwrap();
    assert_eq!(facts.standing, Standing::AtWork);
    let failed = EventBody::SessionEnded { outcome: Outcome::NothingToDo };
    let message = EventBody::MessageReceived {
        from: "ann".into(),
        text: "and more".into(),
        label: cofferdam_domain::Label::PLATFORM,
        about: None,
    };
    let facts = AttemptFacts::of(&log(attempt(1, Choose::Ask), vec![failed, message])).unwrap();
    assert!(!facts.is_through());
}

#[test]
fn tests_come_first_then_findings_then_size_then_cost() {
    use Choose::Ask;
    let wrong_and_tiny = came_to(1, Ask, false, 1, 0);
    let right_and_large = came_to(2, Ask, true, 400, 0);
    let right_and_small = came_to(3, Ask, true, 4, 0);
    let group =
        Group::new(vec![wrong_and_tiny.clone(), right_and_large.clone(), right_and_small.clone()], false);
    assert_eq!(numbers(&group), [3, 2, 1]);
    let with_a_warning = came_to(3, Ask, true, 4, 1);
    let group = Group::new(vec![wrong_and_tiny, right_and_large, with_a_warning], false);
    assert_eq!(numbers(&group), [2, 3, 1]);
    let dear = AttemptFacts { cost: 9, ..came_to(1, Ask, true, 4, 0) };
    let cheap = AttemptFacts { cost: 3, ..right_and_small.clone() };
    assert_eq!(numbers(&Group::new(vec![dear, cheap], false)), [3, 1]);
    let cut = AttemptFacts { cut_short: true, ..came_to(1, Ask, true, 1, 0) };
    assert_eq!(numbers(&Group::new(vec![cut, right_and_small.clone()], false)), [3, 1]);
    let nothing = ended(1, Ask, Outcome::NothingToDo);
    assert_eq!(numbers(&Group::new(vec![nothing, came_to(2, Ask, false, 9, 9)], false)), [2, 1]);
    let same = Group::new(vec![came_to(2, Ask, true, 4, 0), came_to(1, Ask, true, 4, 0)], false);
    assert_eq!(numbers(&same), [1, 2]);
}

#[test]
fn the_rule_waits_for_all_and_says_it_once_to_each() {
    use Choose::Best;
    let (one, two) = (came_to(1, Best, false, 1, 0), came_to(2, Best, true, 4, 0));
    let at_work = AttemptFacts::of(&log(attempt(3, Best), vec![change(1)])).unwrap();
    let group = Group::new(vec![one.clone(), two.clone(), at_work], false);
    assert_eq!(group.next_word(), None);
    let unmade = Group::new(vec![one.clone(), two.clone()], true);
    assert_eq!(unmade.next_word(), None);
    let failed = ended(3, Best, Outcome::Failed { reason: "x".into() });
    let group = Group::new(vec![failed, two.clone(), one.clone()], false);
    assert_eq!(chosen_by_rule(&group).map(|facts| facts.session), Some(two.session));
    let all = Some(two.session);
    assert_eq!(settled(group.clone()), [(1, all), (2, all), (3, all)]);
    let word = group.next_word().unwrap();
    assert_eq!(word.session, one.session, "the first one is told first");
    let EventBody::AttemptPassedOver { by, .. } = word.body else { panic!("{word:?}") };
    assert_eq!(by, RULE);
    // One that was deleted is not waited for.
    assert_eq!(settled(Group::new(vec![two.clone(), one], false)).len(), 2);
    assert_eq!(settled(Group::new(vec![two], false)), [(2, all)]);
}

#[test]
fn a_person_decides_where_the_rule_finds_nothing_good_or_is_not_asked() {
    let wrong = Group::new(vec![came_to(1, Choose::Best, false, 1, 0)], false);
    assert!(chosen_by_rule(&wrong).is_none() && wrong.next_word().is_none());
    let asked = Group::new(vec![came_to(1, Choose::Ask, true, 1, 0)], false);
    assert_eq!(asked.next_word(), None);
    let nothing = Group::new(vec![ended(1, Choose::Best, Outcome::NothingToDo)], false);
    assert_eq!(nothing.next_word(), None);
    assert_eq!(Group::new(Vec::new(), false).next_word(), None);
}

#[test]
fn tests_that_broke_or_vanished_are_never_chosen_by_rule() {
    let broken = vec![
        change(1),
        examined(0),
        run(Side::Base, 0, &["a", "b"], &[]),
        run(Side::Head, 1, &["a"], &["b"]),
        ready(),
    ];
    let vanished =
        vec![change(1), examined(0), run(Side::Base, 0, &["a"], &[]), run(Side::Head, 0, &[], &[]), ready()];
    for bodies in [broken, vanished] {
        let facts = AttemptFacts::of(&log(attempt(1, Choose::Best), bodies)).unwrap();
        assert!(chosen_by_rule(&Group::new(vec![facts], false)).is_none());
    }
}

#[test]
fn what_cannot_be_chosen_is_refused_with_a_reason() {
    use Choose::Ask;
    let (one, two) = (came_to(1, Ask, true, 1, 0), came_to(2, Ask, true, 2, 0));
    let failed = ended(3, Ask, Outcome::Failed { reason: "x".into() });
    let mut group = Group::new(vec![one.clone(), two.clone(), failed.clone()], false);
    let choice = |session, commit| Choice { session, commit, by: "ann" };
    let stranger = SessionId::from_u128(7);
    assert_eq!(group.choose(choice(stranger, HEAD)), Err(Unchoosable::Foreign(stranger)));
    assert!(matches!(group.choose(choice(two.session, "2222")), Err(Unchoosable::Moved { .. })));
    assert!(matches!(group.choose(choice(failed.session, HEAD)), Err(Unchoosable::Ended { .. })));
    let at_work = AttemptFacts { standing: Standing::AtWork, ..one.clone() };
    let busy = Group::new(vec![at_work, two.clone()], false);
    assert_eq!(busy.choose(choice(one.session, HEAD)), Err(Unchoosable::AtWork(one.session)));
    let word = group.choose(choice(two.session, HEAD)).unwrap();
    assert_eq!(word.session, one.session);
    say(&mut group, &word);
    assert!(matches!(group.choose(choice(one.session, HEAD)), Err(Unchoosable::Other { .. })));
    assert_eq!(
        settled(group.clone()),
        [(1, Some(two.session)), (2, Some(two.session)), (3, Some(two.session))]
    );
    while let Some(word) = group.next_word() {
        say(&mut group, &word);
    }
    // Told, and not gone on yet.
    let again = group.choose(choice(two.session, HEAD));
    assert!(matches!(again, Err(Unchoosable::Already { .. })), "{again:?}");
}

#[test]
fn what_was_chosen_while_somebody_wrote_to_it_is_chosen_once_more() {
    for (choose, by) in [(Choose::Ask, "ann"), (Choose::Best, RULE)] {
        let message = || EventBody::MessageReceived {
            from: "bob".into(),
            text: "and this".into(),
            label: cofferdam_domain::Label::PLATFORM,
            about: None,
        };
        let chosen = || EventBody::AttemptChosen { by: by.into(), commit: HEAD.into() };
        let over = EventBody::AttemptPassedOver {
            by: by.into(),
            chosen: attempt(1, choose).session(),
            commit: HEAD.into(),
        };
        let ended =
            EventBody::SessionEnded { outcome: Outcome::PassedOver { chosen: attempt(1, choose).session() } };
        let group = |first: Vec<EventBody>| {
            let logs = [(1, first), (2, vec![ready(), over.clone(), ended.clone()])];
            let facts =
                logs.map(|(number, bodies)| AttemptFacts::of(&log(attempt(number, choose), bodies)).unwrap());
            Group::new(facts.into(), false)
        };
        let choice = Choice { session: attempt(1, choose).session(), commit: HEAD, by: "ann" };
        let told = group(vec![ready(), chosen()]);
        assert!(told.attempts()[0].taken && told.next_word().is_none());
        assert!(matches!(told.choose(choice), Err(Unchoosable::Already { .. })));
        let at_work = group(vec![ready(), message(), chosen()]);
        assert_eq!((at_work.next_word(), at_work.attempts()[0].choosable()), (None, None));
        // The same head is ready once more: what bob wrote asked for nothing.
        let again = group(vec![ready(), message(), chosen(), ready()]);
        assert_eq!(again.attempts()[0].in_words(), "chosen, and ready anew");
        let word = again.choose(choice).unwrap();
        assert_eq!(word.session, attempt(1, choose).session());
        assert_eq!(again.next_word().map(|word| word.body), (choose == Choose::Best).then(chosen));
        let delivered = group(vec![ready(), message(), chosen(), ready(), chosen()]);
        assert!(delivered.attempts()[0].taken && delivered.next_word().is_none());
    }
}

#[test]
fn of_two_who_choose_at_once_the_first_counts_wherever_it_stops() {
    use Choose::Ask;
    let all = || (1..=3).map(|number| came_to(number, Ask, true, number.into(), 0)).collect::<Vec<_>>();
    let group = Group::new(all(), false);
    let (two, three) = (attempt(2, Ask).session(), attempt(3, Ask).session());
    let first = group.choose(Choice { session: two, commit: HEAD, by: "ann" }).unwrap();
    let second = group.choose(Choice { session: three, commit: HEAD, by: "bob" }).unwrap();
    // Both are to be said at the same place, so that the store takes only one.
    assert_eq!((first.session, first.after), (second.session, second.after));
    for words in 1..=3 {
        // Whoever was telling it died after so many of them.
        let mut group = Group::new(all(), false);
        say(&mut group, &first);
        for _ in 1..words {
            let word = group.next_word().unwrap();
            say(&mut group, &word);
        }
        assert!(matches!(
            group.choose(Choice { session: three, commit: HEAD, by: "bob" }),
            Err(Unchoosable::Other { .. })
        ));
        assert!(settled(group).iter().all(|(_, chosen)| *chosen == Some(two)));
    }
}
