//! Logs to look at: one of every kind of event, one that is hostile in every field, one that is long. Only for tests.

use cofferdam_domain::{
    About, Answer, Asked, BlobRef, Block, CallId, Cost, Digest, Event, EventBody, EventId, EvidenceRun,
    Finding, Label, Memories, Memory, MemoryId, MemoryProposal, MemorySource, Origin, Outcome, Part, Policy,
    PullRequest, Remark, SandboxId, Seq, SessionId, Severity, Side, Source, Spent, Stage, StopReason,
    Subject, Task, Thread, Timestamp, ToolCall, ToolOutcome, ToolStatus, Usage, Verdict,
    change::{DiffStat, Received},
    egress::{Access, AccessAsk, EgressRule, Operation, Passed, Refusal, Refused, Scheme},
    event::{
        Applies, EditFormat, Fixed, Giver, Instruction, InstructionKind, Instructions, ModelInfo,
        NudgeReason, PlanDecision, Repository,
    },
    evidence::{Exit, TestReport},
    label::{Audience, Integrity},
    message::{Family, Reasoning},
    policy::LimitKind,
    pull_request::PullRequestState,
    tool::{Finish, FinishOutcome, LineRemark, PlanItem, PlanState, Reply, ToolEffect},
};

/// The session that all samples are of.
pub(crate) const SESSION: SessionId = SessionId::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001);

/// When they begin: 2026-05-28, 20:26 UTC.
const START: u64 = 1_780_000_000_000;

/// Events in the order of these bodies, a few seconds apart.
pub(crate) fn log(bodies: Vec<EventBody>) -> Vec<Event> {
    (1..)
        .zip(bodies)
        .map(|(seq, body)| Event {
            seq: Seq(seq),
            id: EventId::from_u128(u128::from(seq)),
            session: SESSION,
            at: Timestamp(START + seq * 2_300),
            body,
            previous: Digest::ZERO,
            hash: Digest::ZERO,
        })
        .collect()
}

/// Fills the texts that somebody else than the platform writes.
pub(crate) type Words = fn(&str) -> String;

pub(crate) fn task(words: Words) -> EventBody {
    let prompt = words(
        "Parse durations with more than one unit\n\n`parse(\"1h 30m\")` fails. It should give 5,400 seconds. Add tests, and keep the error for `1h 1h`.",
    );
    // A task is checked before it is accepted: hostile ones are as long as they may be, and not empty.
    let prompt = format!("{}.", &prompt[..prompt.floor_char_boundary(500 * 1024)]).replace('\0', "");
    let mut task = Task::new(
        prompt,
        words("https://forge.example/ann/durations.git"),
        Some(words("main")),
        words("ann"),
        Source::Web,
    )
    .unwrap();
    task.wishes.plan_first = true;
    let origin = Origin::Forge(Box::new(Asked {
        thread: thread(words, Subject::Issue(12)),
        account: 3,
        delivery: words("d-1"),
        changed: None,
        concealed: vec![(words("in hidden comments, left out"), 120), (words("invisible, written out"), 1)],
    }));
    EventBody::TaskAccepted { task: task.asked(origin) }
}

fn thread(words: Words, subject: Subject) -> Thread {
    Thread { forge: words("hub"), repository: 7, path: words("ann/durations"), subject }
}

fn reviewed(words: Words) -> EventBody {
    let remark = Remark {
        comment: 31,
        discussion: words("31"),
        path: words("src/lib.rs"),
        line: Some(14),
        text: words("Is `1h 1h` still an error?"),
    };
    EventBody::MessageReceived {
        from: words("cal"),
        text: words("Nearly there."),
        label: Label { integrity: Integrity::Member, audience: Audience::Repository },
        about: Some(Box::new(About::Review {
            thread: thread(words, Subject::Pull(13)),
            review: 9,
            remarks: vec![remark],
        })),
    }
}

pub(crate) fn fixed(words: Words) -> EventBody {
    EventBody::PolicyFixed(Box::new(Fixed {
        policy: Policy::default(),
        model: ModelInfo {
            provider: words("house"),
            name: words("large-2"),
            family: Family::Anthropic,
            context_window: 200_000,
            max_output: 32_000,
            prices: None,
            edits: EditFormat::Replace,
            images: false,
            transcript: None,
        },
        system: words("You are an agent."),
        tools: Vec::new(),
        foreign: cofferdam_domain::foreign::Foreign::default(),
        version: "0.1.0".to_owned(),
        rules: 0,
        routes: Default::default(),
    }))
}

pub(crate) fn asked(step: u32) -> EventBody {
    EventBody::ModelAsked { step, request: Digest::of(&step.to_be_bytes()), compaction: false }
}

pub(crate) fn answered(
    words: Words,
    step: u32,
    reasoning: &str,
    text: &str,
    calls: &[(&str, String)],
) -> EventBody {
    let mut blocks = Vec::new();
    if !reasoning.is_empty() {
        blocks.push(Block::Reasoning(Reasoning { text: words(reasoning), opaque: None }));
    }
    blocks.push(Block::text(words(text)));
    for (index, (name, arguments)) in calls.iter().enumerate() {
        blocks.push(Block::ToolCall(ToolCall {
            provider_id: index.to_string(),
            name: words(name),
            arguments: arguments.clone(),
            opaque: None,
        }));
    }
    let usage = Usage { input: 1_200, cache_read: 14_300, cache_write: 900, output: 410, reasoning: 120 };
    let answer = Answer {
        blocks,
        stop: StopReason::ToolUse,
        usage,
        model: words("large-2"),
        cost: Some(Cost(18_400)),
    };
    EventBody::ModelAnswered { step, answer, millis: 4_210 }
}

pub(crate) fn finished(
    call: CallId,
    status: ToolStatus,
    text: String,
    effect: Option<ToolEffect>,
) -> EventBody {
    let whole = (text.len() > 5_000)
        .then(|| BlobRef { digest: Digest::of(text.as_bytes()), size: text.len() as u64 });
    let label = Label { integrity: Integrity::Untrusted, audience: Audience::Requester };
    EventBody::ToolFinished {
        call,
        outcome: ToolOutcome { status, text, images: Vec::new(), whole, label, effect },
        millis: 2_140,
    }
}

/// One step with one call, from the question to the result.
pub(crate) fn step(
    words: Words,
    number: u32,
    text: &str,
    call: (&str, String),
    status: ToolStatus,
    output: &str,
) -> Vec<EventBody> {
    let id = CallId { step: number, index: 0 };
    vec![
        asked(number),
        answered(
            words,
            number,
            "The failing case is in the middle of the list, so I read the parser first.",
            text,
            &[call],
        ),
        EventBody::ToolStarted { call: id, tool: words("shell") },
        finished(id, status, words(output), None),
    ]
}

fn json(name: &str, value: &str) -> String {
    serde_json::json!({ name: value }).to_string()
}

fn run(words: Words, side: Side, exit: Exit, passed: &[&str], failed: &[&str]) -> EventBody {
    let names = |names: &[&str]| names.iter().map(|name| words(name)).collect();
    EventBody::EvidenceRun(EvidenceRun {
        side,
        tree: "4b825dc642cb6eb9a060e54bf8d69288fbee4904".to_owned(),
        command: words("cargo test --offline"),
        exit,
        output: BlobRef { digest: Digest::of(b"output"), size: 4_812 },
        millis: 8_400,
        tests: Some(TestReport { passed: names(passed), failed: names(failed), skipped: Vec::new() }),
    })
}

pub(crate) fn rule() -> EgressRule {
    let mut rule = EgressRule::new("docs", "docs.units.example".parse().unwrap());
    rule.paths = vec!["/si/**".parse().unwrap()];
    rule
}

pub(crate) fn ask(words: Words) -> AccessAsk {
    AccessAsk {
        call: CallId { step: 4, index: 0 },
        rule: rule(),
        reason: words("The table of SI prefixes is there."),
    }
}

/// Everything up to the agent's work.
pub(crate) fn beginning(words: Words) -> Vec<EventBody> {
    let sandbox = SandboxId::from_u128(7);
    vec![
        task(words),
        EventBody::Claimed { worker: words("worker-2"), fence: 1 },
        fixed(words),
        EventBody::StageStarted { stage: Stage::Repository },
        EventBody::RepositoryReady(Repository {
            base_commit: "9fceb02d0ae598e95dc970b74767f19372d61af8".to_owned(),
            base_tree: "4b825dc642cb6eb9a060e54bf8d69288fbee4904".to_owned(),
            base_branch: words("main"),
            notes: vec![words("2 submodules are left out")],
            cones: Vec::new(),
            contents: None,
            submodules: Vec::new(),
            tests: None,
            public: false,
            shared: false,
        }),
        EventBody::InstructionsFound(Box::new(Instructions {
            files: vec![Instruction {
                path: words("web/AGENTS.md"),
                kind: InstructionKind::Agents,
                giver: Giver::Repository,
                applies: Applies::Below { directory: words("web") },
                digest: Digest::of(b"advice"),
                size: 321,
                author: Some(words("Ann <ann@example.com>")),
                changed: Some(Timestamp(1_700_000_000_000)),
                hidden: 2,
                name: None,
                description: Some(words("About the pages")),
                text: words("Use the components that there are."),
                imports: Vec::new(),
                shape: None,
            }],
            notices: vec![words("AGENTS.md is not used: it is a symbolic link, and links are not followed")],
            skills: None,
        })),
        EventBody::StageStarted { stage: Stage::Sandbox },
        EventBody::SandboxReady {
            sandbox,
            level: words("native, hardened: namespaces, Landlock, seccomp, cgroup v2"),
            moved: None,
        },
    ]
}

/// A few steps.
pub(crate) fn work(words: Words) -> Vec<EventBody> {
    let sandbox = SandboxId::from_u128(7);
    let mut bodies = step(
        words,
        1,
        "I look at what there is first.",
        ("shell", json("command", "rg -n 'fn parse' src && cargo test --offline 2>&1 | tail -n 20")),
        ToolStatus::Ok,
        "exit 101\n\nrunning 14 tests\ntest parse::one_unit ... ok\ntest parse::two_units ... FAILED\n\nfailures:\n    parse::two_units\n\ntest result: FAILED. 13 passed; 1 failed",
    );
    let plan = CallId { step: 2, index: 0 };
    let items = [
        ("Read the parser", PlanState::Done),
        ("Accept several units", PlanState::InProgress),
        ("Add tests", PlanState::Pending),
    ];
    let items = items.map(|(text, state)| PlanItem { text: words(text), state }).to_vec();
    bodies.extend([
        asked(2),
        answered(words, 2, "", "Here is what I am going to do.", &[("plan", "{}".to_owned())]),
        EventBody::ToolStarted { call: plan, tool: words("plan") },
        finished(plan, ToolStatus::Ok, words("noted"), Some(ToolEffect::Plan { items })),
    ]);
    bodies.extend(step(
        words,
        3,
        "The loop stops after the first unit. I make it go on **until the text ends**, and refuse a unit that comes twice:\n\n- `1h 30m` is 5,400 s\n- `1h 1h` stays an error\n\nSee [the grammar](https://docs.units.example/si/grammar).",
        ("edit", serde_json::json!({"path": words("src/parse.rs"), "old_text": words("return Ok(total);"), "new_text": words("if rest.is_empty() {\n    return Ok(total);\n}")}).to_string()),
        ToolStatus::Ok,
        "src/parse.rs: 1 replacement",
    ));
    bodies.push(EventBody::Checkpointed { step: 3, snapshot: words("snp_3") });
    bodies.extend(step(
        words,
        4,
        "The names of the prefixes should come from the standard.",
        (
            "shell",
            json("command", "curl -fsS https://docs.units.example/si/prefixes.txt -o /tmp/prefixes.txt"),
        ),
        ToolStatus::Error,
        "exit 22\ncurl: (22) The requested URL returned error: 403",
    ));
    let operation = |path: &str| Operation::Http {
        scheme: Scheme::Https,
        method: "GET".to_owned(),
        host: words("docs.units.example"),
        port: 443,
        path: words(path),
        query: false,
    };
    let refused = EventBody::EgressRefused(Box::new(Refused {
        sandbox,
        operation: operation("/si/prefixes.txt"),
        code: Refusal::Host,
        reason: words("no rule is about docs.units.example"),
        ask: Some(Box::new(rule())),
        count: 1,
        calls: vec![CallId { step: 4, index: 0 }],
    }));
    let allowed = EventBody::EgressAllowed(Passed {
        sandbox,
        operation: operation("/si/index.html"),
        rule: words("docs"),
        credential: None,
        calls: Vec::new(),
    });
    let place = bodies.len() - 1;
    bodies.splice(place..place, [allowed, refused]);
    bodies
}

fn pull_request(words: Words) -> PullRequest {
    PullRequest {
        number: 4,
        session: SESSION,
        repository: words("https://forge.example/ann/durations.git"),
        branch: words("cofferdam/parse-durations-01jd3v"),
        base_branch: words("main"),
        base_commit: "9fceb02d0ae598e95dc970b74767f19372d61af8".to_owned(),
        head_commit: "7c1fa2ee09d4d3b8f02a4b2c9a7d5c1e6f9081a3".to_owned(),
        title: words("Parse durations with several units"),
        body: words(
            "## What the platform saw\n\n**The tests failed before the change and pass with it.**\n\n### Change\n\n| | branch | commit |\n| --- | --- | --- |\n| base | `main` | `9fceb02d0a` |\n| head | `cofferdam/parse-durations` | `7c1fa2ee09` |\n\n---\n\n## What the agent says (unverified)\n\n> `parse` accepts several units.",
        ),
        draft: false,
        state: PullRequestState::Open,
        opened: Timestamp(START),
    }
}

/// What comes after the agent has finished, with a pull request at the end.
pub(crate) fn delivery(words: Words) -> Vec<EventBody> {
    let sandbox = SandboxId::from_u128(7);
    let summary = "`parse` accepts several units, largest first.\n\n* the loop goes on until the text ends\n* a unit that comes twice is refused as before\n\n```rust\nassert_eq!(parse(\"1h 30m\"), Ok(5_400));\n```";
    let finish = Finish {
        outcome: FinishOutcome::Done,
        title: words("Parse durations with several units"),
        summary: words(summary),
        replies: vec![Reply { to: 31, fixed: true, text: words("Yes, and now a test says so.") }],
        remarks: vec![LineRemark {
            path: words("src/duration.rs"),
            line: 12,
            text: words("This overflows."),
        }],
    };
    let finding = |severity, rule: &str, path: &str, line, why: &str| Finding {
        rule: words(rule),
        severity,
        path: words(path),
        line,
        why: words(why),
    };
    let mut bodies = vec![
        EventBody::WorkFinished { finish, limit: None },
        EventBody::StageStarted { stage: Stage::Collect },
        EventBody::ObjectsReceived(Received {
            bundle: Digest::of(b"bundle"),
            head: "e83c5163316f89bfbde7d9ab23ca2e25604af290".to_owned(),
            tree: "4b825dc642cb6eb9a060e54bf8d69288fbee4904".to_owned(),
            stat: DiffStat { files: 4, added: 58, removed: 11 },
            patch: Some(BlobRef { digest: Digest::of(b"patch"), size: 5_120 }),
            objects: Some(BlobRef { digest: Digest::of(b"bundle"), size: 9_216 }),
            contents: Vec::new(),
            submodules: Vec::new(),
        }),
        EventBody::StageStarted { stage: Stage::Examine },
        EventBody::Examined {
            findings: vec![
                finding(
                    Severity::Warning,
                    "dependency",
                    "Cargo.lock",
                    None,
                    "A dependency was added: units 1.4.0.",
                ),
                finding(
                    Severity::Note,
                    "protected-path",
                    ".github/workflows/test.yml",
                    Some(12),
                    "Continuous integration runs what this file says.",
                ),
            ],
            verdict: Verdict::Publish,
        },
        EventBody::StageStarted { stage: Stage::Evidence { side: Side::Base } },
        run(words, Side::Base, Exit::Code(101), &["parse::one_unit", "parse::zero"], &["parse::two_units"]),
        EventBody::StageStarted { stage: Stage::Evidence { side: Side::Head } },
        run(
            words,
            Side::Head,
            Exit::Code(0),
            &["parse::one_unit", "parse::zero", "parse::two_units", "parse::twice_is_an_error"],
            &[],
        ),
        EventBody::StageStarted { stage: Stage::Push },
        EventBody::Pushed {
            branch: words("cofferdam/parse-durations-01jd3v"),
            commit: "7c1fa2ee09d4d3b8f02a4b2c9a7d5c1e6f9081a3".to_owned(),
        },
        EventBody::StageStarted { stage: Stage::PullRequest },
        EventBody::PullRequestOpened(Box::new(pull_request(words))),
        EventBody::SessionEnded { outcome: Outcome::Succeeded },
    ];
    let frozen = [
        EventBody::SandboxFrozen { sandbox, reason: words("20 refusals in a minute") },
        EventBody::SandboxReleased { sandbox, by: words("ann") },
    ];
    bodies.splice(0..0, frozen);
    bodies
}

/// The kinds of events that the other samples have none of.
#[expect(clippy::too_many_lines, reason = "one of each kind of event")]
pub(crate) fn rest(words: Words) -> Vec<EventBody> {
    let call = CallId { step: 9, index: 0 };
    let text = words("1. Read\n2. Change\n3. Test");
    let digest = Digest::of(text.as_bytes());
    let ask = ask(words);
    let rule = ask.digest();
    vec![
        EventBody::StageFailed { stage: Stage::Sandbox, reason: words("no user namespaces") },
        EventBody::ModelAsked { step: 8, request: Digest::ZERO, compaction: true },
        EventBody::ModelFailed {
            step: 8,
            kind: cofferdam_domain::event::ModelFailure::Unavailable,
            message: words("overloaded"),
        },
        answered(words, 8, "", "A summary.", &[]),
        EventBody::Compacted { summary: words("so far"), replaced: 12, size: 100, facts: None },
        EventBody::Nudged { reason: NudgeReason::PingPong, text: words("Stop it.") },
        asked(9),
        answered(words, 9, "r", "t", &[("shell", words("not json"))]),
        EventBody::ToolStarted { call, tool: words("shell") },
        EventBody::ToolLost { call },
        EventBody::MemoriesRecalled(Box::new(Memories {
            memories: vec![Memory {
                id: MemoryId::from_u128(5),
                repository: None,
                text: words("Run the tests with `make check`."),
                source: MemorySource::Session { session: SESSION, approved_by: words("ann") },
                at: Timestamp(1_700_000_000_000),
                private: false,
            }],
            left_out: 2,
        })),
        finished(
            call,
            ToolStatus::Ok,
            "Proposed.".to_owned(),
            Some(ToolEffect::Remember(MemoryProposal {
                text: words("The tests need a port."),
                everywhere: false,
                private: false,
            })),
        ),
        EventBody::FilesDeleted { step: 9, files: 30, of: 40 },
        EventBody::AlarmRaised {
            rule: words("deleted_percent"),
            what: words("30 of 40 files were deleted"),
            then: cofferdam_domain::Consequence::Tell,
        },
        EventBody::Claimed { worker: words("worker-3"), fence: 2 },
        EventBody::AccessAsked(Box::new(ask)),
        EventBody::AccessDecided(Access {
            call: CallId { step: 4, index: 0 },
            rule,
            granted: true,
            by: words("ann"),
            until: None,
        }),
        EventBody::MessageReceived {
            from: words("bob"),
            text: words("Please keep the public names."),
            label: Label { integrity: Integrity::Member, audience: Audience::Requester },
            about: None,
        },
        reviewed(words),
        EventBody::LimitReached { limit: LimitKind::Cost, spent: Spent::default() },
        EventBody::PauseAsked { by: words("ann") },
        EventBody::ContinueAsked { by: words("ann") },
        EventBody::QuestionAsked { call, question: words("Which one?") },
        EventBody::QuestionAnswered { call, by: words("ann"), text: words("The first.") },
        EventBody::PlanProposed { call, text: text.clone(), digest },
        EventBody::PlanDecided {
            digest,
            by: words("ann"),
            decision: PlanDecision::Rejected { text: words("No.") },
        },
        EventBody::PlanProposed { call, text, digest },
        EventBody::PlanDecided {
            digest,
            by: words("ann"),
            decision: PlanDecision::Approved { text: Some(words("1. Read")) },
        },
        EventBody::Checkpointed { step: 9, snapshot: words("snp_9") },
        EventBody::EvidenceMissing { reason: words("no test command") }.about_part(Part(1)),
        EventBody::MergeFailed { reason: words("the base has moved on") }.about_part(Part(2)),
        EventBody::RolledBack { to: Seq(3), by: words("ann"), instruction: Some(words("Simpler.")) },
        EventBody::Forked { from: SESSION, at: Seq(3), by: words("ann"), model: None, instruction: None },
        EventBody::TerminalOpened { by: words("ann") },
        EventBody::TerminalClosed { by: words("ann"), recording: BlobRef { digest: Digest::ZERO, size: 1 } },
        EventBody::BudgetExceeded { what: words("The project's $5.00 of today are spent.") },
        EventBody::CancelAsked { by: words("ann") },
        EventBody::NothingChanged,
        EventBody::EvidenceMissing { reason: words("no test command is known") },
        EventBody::MergeAsked {
            by: words("ann"),
            commit: "7c1fa2ee09d4d3b8f02a4b2c9a7d5c1e6f9081a3".to_owned(),
        },
        EventBody::MergeFailed { reason: words("the base has moved on") },
        EventBody::CloseAsked { by: words("ann") },
        EventBody::PullRequestClosed { state: PullRequestState::Closed },
    ]
}

/// A whole session with every kind of event in it.
pub(crate) fn everything(words: Words) -> Vec<Event> {
    log([beginning(words), work(words), delivery(words), rest(words)].concat())
}

/// Words as they are.
pub(crate) fn as_they_are(text: &str) -> String {
    text.to_owned()
}
