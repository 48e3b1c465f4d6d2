//! Events as workers write them: a session that was asked for on a forge, from the task to the review of its pull request.

use cofferdam_domain::{
    About, Answer, Asked, BlobRef, Block, CallId, Digest, EventBody, EvidenceRun, Finding, Label, Origin,
    Outcome, Policy, PullRequest, PullRequestState, Remark, SandboxId, SessionId, Severity, Side, Source,
    Stage, StopReason, Subject, Task, Thread, Timestamp, ToolCall, ToolOutcome, ToolStatus, UnderReview,
    Usage, Verdict,
    change::{DiffStat, Received},
    event::{EditFormat, Fixed, ModelInfo, Repository},
    evidence::{Exit, TestReport},
    message::Family,
    money::Prices,
    policy::Questions,
    tool::{Finish, FinishOutcome, LineRemark, Reply, ToolEffect},
};

/// The forge's name, and the number and path of its repository.
pub(crate) const FORGE: &str = "hub";
pub(crate) const REPOSITORY: u64 = 7;
pub(crate) const PATH: &str = "ann/calc";

pub(crate) fn thread(subject: Subject) -> Thread {
    Thread { forge: FORGE.into(), repository: REPOSITORY, path: PATH.into(), subject }
}

pub(crate) fn asked_in(thread: Thread) -> EventBody {
    let repository = "https://hub.example/ann/calc.git".into();
    let task = Task::new("Fix the rounding".into(), repository, None, "ann".into(), Source::Forge).unwrap();
    let asked = Asked { thread, account: 3, delivery: "d".into(), changed: None, concealed: Vec::new() };
    EventBody::TaskAccepted { task: task.asked(Origin::Forge(Box::new(asked))) }
}

/// A pull request that is to be reviewed at this commit.
pub(crate) fn to_review(number: u64, head: &str) -> EventBody {
    let EventBody::TaskAccepted { task } = asked_in(thread(Subject::Pull(number))) else { panic!() };
    let (reference, base) = (format!("refs/pull/{number}/head"), "main".into());
    let review = UnderReview { number, head: head.into(), reference, base, foreign: true };
    EventBody::TaskAccepted { task: task.reviewing(review) }
}

/// Its review, with remarks on these lines of `src/a.rs`; the patch of the change is this one.
pub(crate) fn reviews(commit: &str, patch: BlobRef, lines: &[u64]) -> Vec<EventBody> {
    let remark =
        |line: &u64| LineRemark { path: "src/a.rs".into(), line: *line, text: format!("On {line}, @lead.") };
    let finish = Finish {
        outcome: FinishOutcome::Done,
        title: "Review".into(),
        summary: "It rounds. LGTM, approved! Closes #3".into(),
        replies: Vec::new(),
        remarks: lines.iter().map(remark).collect(),
    };
    let mut examined =
        is_examined(commit, vec![finding(Severity::Warning, Some(4), "1 test is gone")], Verdict::Publish);
    if let EventBody::ObjectsReceived(received) = &mut examined[1] {
        received.patch = Some(patch);
    }
    let stage = |side| EventBody::StageStarted { stage: Stage::Evidence { side } };
    let evidence = vec![
        stage(Side::Base),
        stage(Side::Head),
        run(Side::Base, Exit::Code(0)),
        run(Side::Head, Exit::Code(1)),
    ];
    let said = step(1, "finish", Some(ToolEffect::Finish(finish.clone())));
    let over = vec![EventBody::WorkFinished { finish, limit: None }];
    [begins(), said, over, examined, evidence, ended(Outcome::Reviewed)].concat()
}

fn fixed() -> EventBody {
    EventBody::PolicyFixed(Box::new(Fixed {
        policy: Policy { questions: Questions::Wait, ..Policy::default() },
        model: ModelInfo {
            provider: "house".into(),
            name: "large".into(),
            family: Family::Anthropic,
            context_window: 200_000,
            max_output: 8_000,
            prices: Some(Prices { input: 1_000_000, output: 5_000_000, ..Prices::default() }),
            edits: EditFormat::Replace,
            images: false,
            transcript: None,
        },
        system: "You work.".into(),
        tools: Vec::new(),
        foreign: cofferdam_domain::foreign::Foreign::default(),
        version: "0".into(),
        rules: 0,
        routes: Default::default(),
    }))
}

/// A step with one call, and what comes of it.
fn step(step: u32, name: &str, effect: Option<ToolEffect>) -> Vec<EventBody> {
    let call = CallId { step, index: 0 };
    let block = Block::ToolCall(ToolCall {
        provider_id: step.to_string(),
        name: name.into(),
        arguments: "{}".into(),
        opaque: None,
    });
    let usage = Usage { input: 4_000, output: 100, ..Usage::default() };
    let answer =
        Answer { blocks: vec![block], stop: StopReason::ToolUse, usage, model: "m".into(), cost: None };
    let outcome = ToolOutcome {
        status: ToolStatus::Ok,
        text: "Done.".into(),
        images: Vec::new(),
        whole: None,
        label: Label::SANDBOX,
        effect,
    };
    vec![
        EventBody::ModelAsked { step, request: Digest::ZERO, compaction: false },
        EventBody::ModelAnswered { step, answer, millis: 5 },
        EventBody::ToolStarted { call, tool: name.into() },
        EventBody::ToolFinished { call, outcome, millis: 5 },
    ]
}

/// A worker takes it and makes all ready.
pub(crate) fn begins() -> Vec<EventBody> {
    vec![
        EventBody::Claimed { worker: "w".into(), fence: 1 },
        fixed(),
        EventBody::StageStarted { stage: Stage::Repository },
        EventBody::RepositoryReady(Repository {
            base_commit: "0".repeat(40),
            base_tree: "0".repeat(40),
            base_branch: "main".into(),
            notes: Vec::new(),
            shared: false,
            cones: Vec::new(),
            contents: None,
            submodules: Vec::new(),
            tests: None,
            public: false,
        }),
        EventBody::StageStarted { stage: Stage::Sandbox },
        EventBody::SandboxReady { sandbox: SandboxId::from_u128(7), level: "none".into(), moved: None },
    ]
}

/// The agent asks something.
pub(crate) fn asks(question: &str) -> Vec<EventBody> {
    let mut events = step(1, "ask", Some(ToolEffect::Question { text: question.into() }));
    events.push(EventBody::QuestionAsked { call: CallId { step: 1, index: 0 }, question: question.into() });
    events
}

/// The agent says that it is done, in its second step of a turn that begins with this one.
pub(crate) fn finishes(
    first: u32,
    outcome: FinishOutcome,
    summary: &str,
    replies: Vec<Reply>,
) -> Vec<EventBody> {
    let (title, summary) = ("Round to the nearest".into(), summary.into());
    let finish = Finish { outcome, title, summary, replies, remarks: Vec::new() };
    let mut events = step(first, "edit", Some(ToolEffect::Edited { paths: vec!["src/a.rs".into()] }));
    events.extend(step(first + 1, "finish", Some(ToolEffect::Finish(finish.clone()))));
    events.push(EventBody::WorkFinished { finish, limit: None });
    events
}

/// The change is taken over and examined.
pub(crate) fn is_examined(commit: &str, findings: Vec<Finding>, verdict: Verdict) -> Vec<EventBody> {
    vec![
        EventBody::StageStarted { stage: Stage::Collect },
        EventBody::ObjectsReceived(Received {
            bundle: Digest::ZERO,
            head: commit.into(),
            tree: "t".into(),
            stat: DiffStat::default(),
            patch: None,
            objects: None,
            contents: Vec::new(),
            submodules: Vec::new(),
        }),
        EventBody::StageStarted { stage: Stage::Examine },
        EventBody::Examined { findings, verdict },
    ]
}

/// The tests are run, and the change stands as the pull request with this number.
pub(crate) fn is_published(session: SessionId, number: u64, commit: &str, head: Exit) -> Vec<EventBody> {
    let stage = |stage| EventBody::StageStarted { stage };
    let branch = format!("cofferdam/{session}");
    let opened = PullRequest {
        number,
        session,
        repository: "https://hub.example/ann/calc.git".into(),
        branch: branch.clone(),
        base_branch: "main".into(),
        base_commit: "0".repeat(40),
        head_commit: commit.into(),
        title: "Round to the nearest".into(),
        body: String::new(),
        draft: !head.success(),
        state: PullRequestState::Open,
        opened: Timestamp(0),
    };
    vec![
        stage(Stage::Evidence { side: Side::Base }),
        stage(Stage::Evidence { side: Side::Head }),
        run(Side::Base, Exit::Code(0)),
        run(Side::Head, head),
        stage(Stage::Push),
        EventBody::Pushed { branch, commit: commit.into() },
        stage(Stage::PullRequest),
        EventBody::PullRequestOpened(Box::new(opened)),
    ]
}

pub(crate) fn run(side: Side, exit: Exit) -> EventBody {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    EventBody::EvidenceRun(EvidenceRun {
        side,
        tree: "t".into(),
        command: "cargo test".into(),
        exit,
        output: BlobRef { digest: Digest::ZERO, size: 0 },
        millis: 1,
        tests: Some(TestReport {
            passed: names(&["rounds"]),
            failed: if exit.success() { Vec::new() } else { names(&["parses"]) },
            skipped: Vec::new(),
        }),
    })
}

pub(crate) fn ended(outcome: Outcome) -> Vec<EventBody> {
    vec![EventBody::SessionEnded { outcome }]
}

pub(crate) fn finding(severity: Severity, line: Option<u32>, why: &str) -> Finding {
    Finding { rule: "removed-tests".into(), severity, path: "tests/a.rs".into(), line, why: why.into() }
}

/// A first turn that ends with a pull request.
pub(crate) fn delivers(session: SessionId, number: u64, commit: &str) -> Vec<EventBody> {
    let findings =
        vec![finding(Severity::Warning, Some(4), "1 test is gone"), finding(Severity::Note, None, "x")];
    [
        begins(),
        finishes(1, FinishOutcome::Done, "Rounded.", Vec::new()),
        is_examined(commit, findings, Verdict::Publish),
        is_published(session, number, commit, Exit::Code(0)),
        ended(Outcome::Succeeded),
    ]
    .concat()
}

/// A review in this pull request, with remarks under these numbers in these discussions.
pub(crate) fn reviewed(thread: Thread, remarks: &[(u64, String)]) -> EventBody {
    let remark = |(comment, discussion): &(u64, String)| Remark {
        comment: *comment,
        discussion: discussion.clone(),
        path: "src/a.rs".into(),
        line: Some(4),
        text: "Why?".into(),
    };
    EventBody::MessageReceived {
        from: "cal".into(),
        text: "Nearly.".into(),
        label: Label::REQUESTER,
        about: Some(Box::new(About::Review {
            thread,
            review: 9,
            remarks: remarks.iter().map(remark).collect(),
        })),
    }
}

/// A worker takes it up for a second turn.
pub(crate) fn again() -> Vec<EventBody> {
    vec![
        EventBody::Claimed { worker: "w".into(), fence: 2 },
        EventBody::StageStarted { stage: Stage::Sandbox },
        EventBody::SandboxReady { sandbox: SandboxId::from_u128(8), level: "none".into(), moved: None },
    ]
}

/// A second turn that answers, and pushes what it has changed.
pub(crate) fn answers(session: SessionId, number: u64, commit: &str, replies: Vec<Reply>) -> Vec<EventBody> {
    [
        again(),
        finishes(3, FinishOutcome::Done, "Both.", replies),
        is_examined(commit, Vec::new(), Verdict::Publish),
        is_published(session, number, commit, Exit::Code(0)),
        ended(Outcome::Succeeded),
    ]
    .concat()
}

/// A second turn that answers and changes nothing.
pub(crate) fn only_answers(replies: Vec<Reply>) -> Vec<EventBody> {
    let unchanged = [EventBody::StageStarted { stage: Stage::Collect }, EventBody::NothingChanged];
    [
        again(),
        finishes(3, FinishOutcome::Done, "Neither.", replies),
        unchanged.to_vec(),
        ended(Outcome::Succeeded),
    ]
    .concat()
}

pub(crate) fn reply(to: u64, fixed: bool, text: &str) -> Reply {
    Reply { to, fixed, text: text.into() }
}
