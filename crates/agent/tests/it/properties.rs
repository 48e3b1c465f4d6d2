//! What holds in every world: random models, tools, gates, crashes, messages, cancellations and orders of
//! completion.

use cofferdam_agent::{Agent, replay};
use cofferdam_domain::{
    BlobRef, Block, Budget, Digest, Event, EventBody, Outcome, SandboxId, SessionId, StopReason, Timestamp,
    Verdict, WaitingFor,
    attempt::{Attempt, Choose},
    egress::{Access, AccessPolicy},
    event::{ModelFailure, PlanDecision},
    message::Reasoning,
    policy::Questions,
};
use proptest::prelude::*;

use crate::{
    script::{self, Reply, call, fixed, planned, planned_task, says, stops, text},
    world::{World, session, show},
};

/// Numbers from a seed: the world must be the same each time a failure is looked at (SplitMix64).
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

fn random_reply(dice: &mut Dice, compaction: bool) -> Reply {
    if compaction && !dice.one_in(4) {
        return says(vec![text("A summary.")]);
    }
    match dice.below(40) {
        0 => Reply::Fail(ModelFailure::ContextOverflow),
        1 => Reply::Fail(ModelFailure::Unavailable),
        2 => script::refuses(),
        3 => says(vec![]),
        4 => says(vec![text("I am done."), Block::text("")]),
        5 => stops(vec![text("so"), call("edit", "{\"a")], StopReason::MaxTokens),
        6 => stops(vec![call("edit", "")], StopReason::ContextFull),
        7 => script::finish(["done", "gave_up", "nothing_to_do", "?"][dice.below(4) as usize]),
        8 => says(vec![call("finish", "done"), call("read", "x"), call("finish", "done")]),
        9 => says(vec![Block::Reasoning(Reasoning { text: "hm".into(), opaque: None })]),
        10 => says(vec![call("request_access", ["a.example", "b.example"][dice.below(2) as usize])]),
        11..15 => says(vec![call("same", "x")]),
        15..17 => says(vec![call("propose_plan", "Do it."), call("edit", "x")]),
        _ => {
            let names = ["read", "read", "poll", "edit", "shell", "plan", "ask", "fail", "nonsense"];
            let count = 1 + dice.below(6);
            let calls = (0..count).map(|_| {
                let longest = if dice.one_in(8) { 6_000 } else { 4 };
                let argument = "y".repeat(dice.below(longest) as usize);
                call(names[dice.below(names.len() as u64) as usize], &argument)
            });
            says(calls.collect())
        }
    }
}

fn random_world(seed: u64) -> World {
    let mut dice = Dice(seed);
    let plan_first = dice.one_in(4);
    let (mut task, mut given) =
        if plan_first { (planned_task(), planned()) } else { (script::task(), fixed()) };
    let mut others = Dice(seed ^ 7);
    if others.one_in(3) {
        task = script::with_others(task, 1 + others.below(2) as usize);
    }
    let mut several = Dice(seed ^ 13);
    if several.one_in(3) {
        let number = 1 + several.below(3) as u16;
        let group = if number == 1 { session() } else { SessionId::from_u128(9) };
        task = task.attempted(Attempt { group, number, of: 3, choose: Choose::Ask });
    }
    given.policy.budget = Budget {
        steps: 1 + dice.below(40) as u32,
        tokens: if dice.one_in(3) { 20_000 } else { 10_000_000 },
        wall_ms: if dice.one_in(3) { 3_000 } else { 10_000_000 },
        ..Budget::default()
    };
    given.policy.gate_rounds = dice.below(3) as u32;
    let mut looks = Dice(seed ^ 11);
    given.policy.self_review = looks.below(4) as u8;
    let questions = [Questions::Stop, Questions::Wait, Questions::Proceed, Questions::Proceed];
    given.policy.questions = questions[dice.below(4) as usize];
    given.policy.egress.access = if dice.one_in(2) { AccessPolicy::Ask } else { AccessPolicy::Refuse };
    given.model.context_window = [0, 2_000, 6_000, 200_000][dice.below(4) as usize];
    let mut replies = Dice(seed ^ 1);
    let mut world = World::on(task, given, move |_, _, compaction| random_reply(&mut replies, compaction));
    world.changed = !dice.one_in(4);
    world.unchanged = world.agent.parts().filter(|_| others.one_in(4)).collect();
    world.overtaken = world.agent.parts().find(|_| others.one_in(4));
    let verdicts = [Verdict::Publish, Verdict::Publish, Verdict::SendBack, Verdict::Hold];
    world.verdicts = (0..4).map(|_| verdicts[dice.below(4) as usize]).collect();
    world.looks = (0..4).map(|_| [Some(true), Some(false), None][looks.below(3) as usize]).collect();
    if dice.one_in(4) {
        world.tests = None;
    }
    world.tick = 1 + dice.below(5);
    world
}

/// Somebody decides about the first request for access that nobody has decided about.
fn decide(world: &mut World, dice: &mut Dice) {
    let open = world.agent.accesses().find(|request| request.decided.is_none()).map(|request| Access {
        call: request.ask.call,
        rule: request.ask.digest(),
        granted: dice.one_in(2),
        by: "ann".into(),
        until: dice.one_in(2).then_some(Timestamp(1 << 40)),
    });
    if let Some(access) = open {
        world.happen(vec![EventBody::AccessDecided(access)]);
    }
}

/// Somebody does something that the agent has not asked for.
fn meddle(world: &mut World, dice: &mut Dice) {
    let by = || "ann".to_owned();
    match dice.below(8) {
        0 => world.happen(vec![EventBody::PauseAsked { by: by() }]),
        1 => world.happen(vec![EventBody::ContinueAsked { by: by() }]),
        2 => world.happen(vec![EventBody::BudgetExceeded { what: "the day's".into() }]),
        3 => {
            let recording = BlobRef { digest: Digest::ZERO, size: 0 };
            world.happen(vec![EventBody::TerminalOpened { by: by() }]);
            world.happen(vec![EventBody::TerminalClosed { by: by(), recording }]);
        }
        4 => {
            let instruction = dice.one_in(2).then_some("Another way.");
            let to = 1 + dice.below(world.events.len() as u64);
            world.roll_back(to, instruction);
        }
        5 if world.agent.attempt().is_some() => {
            let (chosen, commit) = (SessionId::from_u128(99), "c1".to_owned());
            world.happen(vec![EventBody::AttemptPassedOver { by: by(), chosen, commit }]);
        }
        5 => world.arrives(EventBody::MergeAsked { by: by(), commit: "c2".into() }),
        _ => {
            let step = world.agent.step();
            world.happen(vec![EventBody::Checkpointed { step, snapshot: format!("snp_{step}") }]);
        }
    }
}

/// Somebody does what the session waits for, or comes near to it.
fn help(world: &mut World, dice: &mut Dice, waiting: WaitingFor) {
    let by = || "ann".to_owned();
    let body = match waiting {
        WaitingFor::Pause | WaitingFor::Budget => EventBody::ContinueAsked { by: by() },
        WaitingFor::Answer if dice.one_in(3) => EventBody::ContinueAsked { by: by() },
        WaitingFor::Answer => {
            let asked = world.events.iter().filter_map(|event| match &event.body {
                EventBody::QuestionAsked { call, .. } => Some(*call),
                _ => None,
            });
            let answers =
                asked.map(|call| EventBody::QuestionAnswered { call, by: by(), text: "So.".into() });
            return world.happen(answers.collect());
        }
        WaitingFor::Plan => {
            let EventBody::PlanProposed { digest, .. } = *world.last("plan_proposed") else { panic!() };
            let decision = if dice.one_in(3) {
                PlanDecision::Rejected { text: "No.".into() }
            } else {
                PlanDecision::Approved { text: dice.one_in(2).then(|| "Do it well.".into()) }
            };
            EventBody::PlanDecided { digest, by: by(), decision }
        }
        WaitingFor::Choice => return choose(world, dice),
    };
    world.happen(vec![body]);
}

/// Somebody chooses this attempt, or another one, or what this one was before.
fn choose(world: &mut World, dice: &mut Dice) {
    let by = || "ann".to_owned();
    let EventBody::AttemptReady { commit } = world.last("attempt_ready").clone() else { panic!() };
    world.happen(vec![match dice.below(4) {
        0 => EventBody::AttemptPassedOver { by: by(), chosen: SessionId::from_u128(99), commit },
        1 => EventBody::AttemptChosen { by: by(), commit: "another".into() },
        _ => EventBody::AttemptChosen { by: by(), commit },
    }]);
}

/// More than any world needs to come to its end.
const MOST_ROUNDS: usize = 60_000;

/// Runs a world to its end in random order, with up to `crashes` crashes, and messages. Returns how it ended.
fn run(world: &mut World, seed: u64, mut crashes: u32, cancels: bool) -> Outcome {
    let mut dice = Dice(seed ^ 2);
    let sandbox = SandboxId::from_u128(7);
    let mut meddling = if cancels { 6 } else { 0 };
    world.claim();
    for _ in 0..MOST_ROUNDS {
        if let Some(outcome) = world.agent.outcome().cloned() {
            if world.agent.frozen().is_some() {
                world.happen(vec![EventBody::SandboxReleased { sandbox, by: "ann".into() }]);
                world.claim();
                continue;
            }
            // Somebody mends the model, a few times.
            if !world.agent.resumable() || crashes == 0 {
                return outcome;
            }
            crashes -= 1;
            world.claim();
            continue;
        }
        if world.in_flight.is_empty() {
            let waiting = world.agent.waiting();
            help(world, &mut dice, waiting.unwrap_or_else(|| panic!("nothing to do: {:?}", world.names())));
        } else if meddling > 0 && dice.one_in(30) {
            meddling -= 1;
            meddle(world, &mut dice);
        } else if crashes > 0 && dice.one_in(12) {
            crashes -= 1;
            world.claim();
        } else if dice.one_in(40) {
            world.write("One more thing.");
        } else if dice.one_in(40) {
            decide(world, &mut dice);
        } else if cancels && dice.one_in(300) {
            world.happen(vec![EventBody::SandboxFrozen { sandbox, reason: "a canary was seen".into() }]);
        } else if cancels && dice.one_in(150) {
            world.happen(vec![EventBody::CancelAsked { by: "ann".into() }]);
        } else {
            let index = dice.below(world.in_flight.len() as u64) as usize;
            world.complete(index);
        }
    }
    panic!("it does not end: {:?}", &world.names()[world.events.len().saturating_sub(60)..]);
}

/// How many turns there were at the most.
fn turns(world: &World) -> usize {
    let overtaken = world.events.iter().filter(|event| event.body.in_part().1.name() == "overtaken");
    1 + world.count("message_received") + world.count("rolled_back") + overtaken.count()
}

/// How often a pull request is written in one turn: with several, once more when all are known.
fn rounds(world: &World) -> usize {
    if world.agent.parts().count() > 1 { 2 } else { 1 }
}

/// Few, unless the environment says how many.
fn cases() -> u32 {
    if std::env::var_os("PROPTEST_CASES").is_some() { ProptestConfig::default().cases } else { 100 }
}

proptest! {
    // Some worlds have no decision to leave out.
    #![proptest_config(ProptestConfig { cases: cases(), max_global_rejects: 1 << 20, ..ProptestConfig::default() })]

    /// The world itself asserts that requests are well-formed and extend each other, that no call is run
    /// twice, that a decision comes alone, that `next` is stable, and that the session ends within its bound.
    #[test]
    fn every_world_ends_and_its_log_replays(seed: u64, crashes in 0u32..8) {
        let mut world = random_world(seed);
        run(&mut world, seed, crashes, true);
        prop_assert_eq!(world.agent.oddities(), [] as [String; 0]);
        let replayed = replay(&world.events);
        prop_assert_eq!(replayed.map(|done| done.events), Ok(world.events.len() as u64));
        let turns = turns(&world);
        prop_assert!(world.count("pull_request_opened") <= turns * rounds(&world));
        let each = world.fixed.policy.budget.steps as usize + 1;
        // The stand-in's fresh looks take their two steps even where their share is less.
        let looks = 2 * world.count("self_reviewed");
        prop_assert!(world.agent.spent().steps as usize <= turns * each + looks, "one last answer at most");
    }

    /// What people do can happen at any moment: the log is cut there, it happens, and the session goes on to its end.
    #[test]
    fn people_may_do_anything_at_any_moment(seed: u64, cut: prop::sample::Index) {
        let mut world = random_world(seed);
        run(&mut world, seed, 0, false);
        let log = world.events.clone();
        let cut = cut.index(log.len()) + 1;
        let mut dice = Dice(seed ^ 5);
        for _ in 0..4 {
            let mut again = random_world(seed ^ 6);
            again.fixed = world.fixed.clone();
            again.resume(&log[..cut]);
            meddle(&mut again, &mut dice);
            let over = |agent: &Agent| agent.outcome().is_some() && !agent.resumable();
            if !over(&again.agent) {
                run(&mut again, seed, 1, false);
            }
            prop_assert_eq!(replay(&again.events).err(), None);
            prop_assert_eq!(again.agent.oddities(), [] as [String; 0]);
        }
    }

    #[test]
    fn folding_piece_by_piece_is_folding_at_once(seed: u64, crashes in 0u32..4, cut: prop::sample::Index) {
        let mut world = random_world(seed);
        run(&mut world, seed, crashes, true);
        let cut = cut.index(world.events.len()) + 1;
        let log = &world.events[..cut];
        // What was spent on what was taken back is known from the log alone: a roll back is folded anew, as a worker does.
        let taken_back = |event: &Event| matches!(event.body, EventBody::RolledBack { .. });
        let anew = log.iter().rposition(taken_back).map_or(0, |at| at + 1);
        let mut whole = Agent::of(session(), &log[..anew]);
        for event in &log[anew..] {
            let copy = whole.clone();
            whole.apply(event.at, &event.body);
            drop(copy);
        }
        let read = serde_json::from_str::<Vec<Event>>(&serde_json::to_string(log).unwrap()).unwrap();
        let stored = Agent::of(session(), &read);
        prop_assert_eq!(show(&whole.next()), show(&stored.next()), "the log says it all");
        prop_assert_eq!(whole.spent(), stored.spent());
        prop_assert_eq!(whole.state(), stored.state());
    }

    /// A crash after any event: another worker ends the session, and runs no call with a result again.
    #[test]
    fn a_log_cut_anywhere_goes_on(seed: u64, cut: prop::sample::Index) {
        let mut world = random_world(seed);
        run(&mut world, seed, 0, false);
        let log = world.events.clone();
        let cut = cut.index(log.len()) + 1;
        let mut again = random_world(seed ^ 3);
        again.fixed = world.fixed.clone();
        again.resume(&log[..cut]);
        if again.agent.resumable() {
            run(&mut again, seed, 2, false);
        }
        prop_assert_eq!(replay(&again.events).err(), None);
        prop_assert!(again.count("pull_request_opened") <= turns(&again) * rounds(&again));
    }

    /// Without crashes every decision is needed: a log that lacks one is refused.
    #[test]
    fn a_log_without_one_of_its_decisions_is_refused(seed: u64, which: prop::sample::Index) {
        let mut world = random_world(seed);
        run(&mut world, seed, 0, false);
        let decided = |body: &EventBody| matches!(
            body,
            EventBody::Nudged { .. } | EventBody::Compacted { .. } | EventBody::LimitReached { .. }
            | EventBody::WorkFinished { .. }
        );
        let places: Vec<usize> = (0..world.events.len()).filter(|at| decided(&world.events[*at].body)).collect();
        prop_assume!(!places.is_empty());
        let mut log = world.events.clone();
        log.remove(places[which.index(places.len())]);
        prop_assert!(replay(&log).is_err());
    }

    /// Events in any order, as a broken store might give them: nothing panics, and the agent stays one that
    /// can be asked.
    #[test]
    fn nonsense_does_no_harm(seed: u64, crashes in 0u32..3) {
        let mut world = random_world(seed);
        run(&mut world, seed, crashes, true);
        let mut dice = Dice(seed ^ 4);
        let mut agent = Agent::new(session());
        for _ in 0..world.events.len() * 2 {
            let event = &world.events[dice.below(world.events.len() as u64) as usize];
            let early = event.at.0.saturating_sub(dice.below(50));
            agent.apply(Timestamp(early), &event.body);
            prop_assert_eq!(show(&agent.next()), show(&agent.next()));
            prop_assert!(agent.oddities().len() <= 32);
        }
    }

    /// A log with pieces left out or doubled.
    #[test]
    fn a_torn_log_does_no_harm(seed: u64, holes in prop::collection::vec(any::<prop::sample::Index>(), 1..6)) {
        let mut world = random_world(seed);
        run(&mut world, seed, 2, true);
        let mut log = world.events.clone();
        for hole in &holes {
            let place = hole.index(log.len());
            if place % 2 == 0 { log.insert(place, log[place].clone()); } else { log.remove(place); }
        }
        let mut agent = Agent::new(session());
        for event in &log {
            agent.apply(event.at, &event.body);
            prop_assert_eq!(show(&agent.next()), show(&agent.next()));
        }
    }
}
