//! A worker, a model, tools, a gate and a forge in memory, which drive an agent exactly as the real worker
//! does (facts, decisions and intents in one append) and hold it to its promises at every event.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use cofferdam_agent::{Action, Agent};
use cofferdam_domain::{
    Answer, Block, CallId, Cost, Digest, Event, EventBody, EventId, EvidenceRun, Finding, Label,
    ModelRequest, Outcome, Part, PullRequest, PullRequestState, Role, SandboxId, SelfReview, Seq, SessionId,
    SessionState, Severity, Side, Spent, Stage, Task, Timestamp, ToolCall, ToolOutcome, Usage, Verdict,
    change::{DiffStat, Received},
    digest::BlobRef,
    effective::effective,
    event::{self, Fixed, ModelFailure, Moved, Repository},
    evidence::Exit,
    tool::LineRemark,
};

use crate::{
    attempts::check_chosen,
    script::{self, Reply},
};

/// More events than any session of these tests may need.
const BOUND: usize = 6_000;

/// Something under way.
#[derive(Debug, Clone)]
pub(crate) enum Flight {
    Stage(Stage),
    /// On another one of the session's repositories.
    Beside(Part, Stage),
    Model {
        step: u32,
        compaction: bool,
        request: ModelRequest,
    },
    Tool {
        call: CallId,
        tool: ToolCall,
    },
}

type Model = Box<dyn FnMut(&ModelRequest, u32, bool) -> Reply>;
type Tools = Box<dyn FnMut(&ToolCall) -> (ToolOutcome, u64)>;

/// The world around one agent.
pub(crate) struct World {
    pub(crate) events: Vec<Event>,
    pub(crate) agent: Agent,
    pub(crate) session: SessionId,
    pub(crate) in_flight: Vec<Flight>,
    /// Every request, in order, with whether it was for a summary.
    pub(crate) requests: Vec<(ModelRequest, bool)>,
    pub(crate) fixed: Fixed,
    pub(crate) model: Model,
    pub(crate) tools: Tools,
    /// The gate's verdicts, one for each examination; the last is given again.
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) changed: bool,
    /// Repositories in which nothing is changed, whatever is in the others.
    pub(crate) unchanged: Vec<Part>,
    /// In which others push first, once.
    pub(crate) overtaken: Option<Part>,
    pub(crate) notes: Vec<String>,
    /// Whether everybody may read the repositories.
    pub(crate) public: bool,
    /// What others have pushed by the time the next sandbox is made.
    pub(crate) moved: Option<Moved>,
    pub(crate) tests: Option<(Exit, Exit)>,
    /// Whether fresh looks refute the change, one after the other; the last is given again, and `None` cannot be taken.
    pub(crate) looks: Vec<Option<bool>>,
    /// What a look that refutes says.
    pub(crate) finds: String,
    pub(crate) fail_stage: Option<Stage>,
    /// Milliseconds that pass before each event.
    pub(crate) tick: u64,
    clock: u64,
    fence: u64,
    examined: usize,
    looked: usize,
    finished: HashSet<CallId>,
    /// How many requests there had been when the model was opened last.
    opened_anew: usize,
}

impl World {
    /// A world whose model gives these replies, then finishes.
    pub(crate) fn scripted(fixed: Fixed, replies: Vec<Reply>) -> Self {
        let mut replies = replies.into_iter();
        Self::new(fixed, move |_, _, _| replies.next().unwrap_or_else(|| script::finish("done")))
    }

    pub(crate) fn new(fixed: Fixed, model: impl FnMut(&ModelRequest, u32, bool) -> Reply + 'static) -> Self {
        Self::on(script::task(), fixed, model)
    }

    /// A world in which this is asked.
    pub(crate) fn on(
        task: Task,
        fixed: Fixed,
        model: impl FnMut(&ModelRequest, u32, bool) -> Reply + 'static,
    ) -> Self {
        let mut world = Self {
            events: Vec::new(),
            agent: Agent::new(session()),
            session: session(),
            in_flight: Vec::new(),
            requests: Vec::new(),
            fixed,
            model: Box::new(model),
            tools: Box::new(|call| (script::carry_out(call), 10)),
            verdicts: vec![Verdict::Publish],
            changed: true,
            unchanged: Vec::new(),
            overtaken: None,
            notes: Vec::new(),
            public: false,
            moved: None,
            tests: Some((Exit::Code(1), Exit::Code(0))),
            looks: vec![Some(false)],
            finds: "It overflows.".into(),
            fail_stage: None,
            tick: 1,
            clock: 1_000,
            fence: 0,
            examined: 0,
            looked: 0,
            finished: HashSet::new(),
            opened_anew: 0,
        };
        world.append(EventBody::TaskAccepted { task });
        world
    }

    /// Takes up a log where it was cut.
    pub(crate) fn resume(&mut self, log: &[Event]) {
        self.agent = Agent::of(self.session, log);
        self.events.clear();
        self.recount(log);
        for event in log {
            self.clock = self.clock.max(event.at.0);
            if let EventBody::Claimed { fence, .. } = event.body {
                self.fence = fence;
            }
            self.examined += usize::from(matches!(event.body.in_part().1, EventBody::Examined { .. }));
            self.looked += usize::from(matches!(event.body, EventBody::SelfReviewed(_)));
            self.events.push(event.clone());
        }
    }

    /// A worker takes the session; whatever was under way is gone.
    pub(crate) fn claim(&mut self) {
        self.in_flight.clear();
        self.fence += 1;
        self.happen(vec![EventBody::Claimed { worker: "w".into(), fence: self.fence }]);
    }

    /// Somebody takes the session back; the worker drops everything and takes it up again.
    pub(crate) fn roll_back(&mut self, to: u64, instruction: Option<&str>) {
        let instruction = instruction.map(str::to_owned);
        self.in_flight.clear();
        self.append(EventBody::RolledBack { to: Seq(to), by: "ann".into(), instruction });
        self.agent = Agent::of(self.session, &self.events);
        let events = self.events.clone();
        self.recount(&events);
        // Whoever asks the model now has no bytes of an earlier request.
        self.opened_anew = self.requests.len();
        self.claim();
    }

    /// Something that nobody who has the session is there to see.
    pub(crate) fn arrives(&mut self, body: EventBody) {
        self.append(body);
    }

    /// Nobody has had this log's session under its own id.
    pub(crate) fn unclaimed(&mut self) {
        self.fence = 0;
    }

    /// Which calls have their result, as far as it counts.
    fn recount(&mut self, log: &[Event]) {
        self.finished.clear();
        effective(log).into_iter().for_each(|event| self.note(&event.body));
    }

    /// The worker comes to the end of what is under way, and lets go of a session that waits.
    pub(crate) fn come_to_rest(&mut self) {
        while !self.in_flight.is_empty() {
            self.complete(0);
        }
        assert!(self.agent.next().is_empty() && self.agent.idle(), "{:?}", self.names());
    }

    /// The last event with this name.
    pub(crate) fn last(&self, name: &str) -> &EventBody {
        let found = self.events.iter().rev().find(|event| event.body.name() == name);
        &found.unwrap_or_else(|| panic!("no {name} in {:?}", self.names())).body
    }

    /// Claims and works to the end.
    pub(crate) fn run(&mut self) -> Outcome {
        self.claim();
        self.go_on()
    }

    /// Time passes.
    pub(crate) fn wait(&mut self, millis: u64) {
        self.clock += millis;
    }

    /// Works to the end, the oldest effect first.
    pub(crate) fn go_on(&mut self) -> Outcome {
        while self.agent.outcome().is_none() {
            assert!(!self.in_flight.is_empty(), "nothing to do and not over: {:?}", self.names());
            self.complete(0);
        }
        assert!(self.agent.next().is_empty());
        assert_eq!(self.agent.oddities(), [] as [String; 0], "{:?}", self.names());
        self.agent.outcome().cloned().unwrap()
    }

    /// Completes one effect.
    pub(crate) fn complete(&mut self, index: usize) {
        let fact = match self.in_flight.remove(index) {
            Flight::Stage(stage) => self.do_stage(Part::FIRST, stage),
            Flight::Beside(part, stage) => self.do_stage(part, stage).about_part(part),
            Flight::Model { step, compaction, request } => self.ask(step, compaction, &request),
            Flight::Tool { call, tool } => {
                let (outcome, millis) = (self.tools)(&tool);
                self.clock += millis;
                EventBody::ToolFinished { call, outcome, millis }
            }
        };
        self.happen(vec![fact]);
    }

    /// Completes the first effect of the kind that `wanted` picks.
    pub(crate) fn complete_first(&mut self, wanted: impl Fn(&Flight) -> bool) {
        let index = self.in_flight.iter().position(wanted).expect("it is under way");
        self.complete(index);
    }

    /// Appends facts, then whatever the agent decides, then the intents of what it wants, as one append of
    /// the worker would.
    pub(crate) fn happen(&mut self, facts: Vec<EventBody>) {
        facts.into_iter().for_each(|fact| self.append(fact));
        loop {
            let actions = self.agent.next();
            assert_eq!(show(&actions), show(&self.agent.next()), "asking twice gives the same");
            if actions.is_empty() {
                break;
            }
            assert!(
                actions.len() == 1 || !actions.iter().any(|action| matches!(action, Action::Append(_))),
                "a decision comes alone"
            );
            for action in actions {
                self.begin(action);
            }
        }
        if self.agent.outcome().is_some() && !self.agent.closing() {
            self.in_flight.clear();
        }
    }

    fn begin(&mut self, action: Action) {
        match action {
            Action::Fix => self.append(EventBody::PolicyFixed(Box::new(self.fixed.clone()))),
            Action::Append(body) => self.append(*body),
            Action::Stage(stage) => {
                check_chosen(self, stage);
                self.append(EventBody::StageStarted { stage });
                self.in_flight.push(Flight::Stage(stage));
            }
            Action::Beside(part, stage) => {
                check_chosen(self, stage);
                self.append(EventBody::StageStarted { stage }.about_part(part));
                self.in_flight.push(Flight::Beside(part, stage));
            }
            Action::AskModel { step, compaction, request } => {
                self.check_request(&request);
                let offered = request.tools.iter().all(|tool| tool.read_only || !self.agent.planning());
                assert!(offered, "nothing may be changed yet");
                self.requests.push((request.clone(), compaction));
                self.append(EventBody::ModelAsked { step, request: request.digest, compaction });
                self.in_flight.push(Flight::Model { step, compaction, request });
            }
            Action::RunTool { call, tool } => {
                assert!(!self.finished.contains(&call), "{call} has its result already");
                assert!(self.agent.sandbox().is_some(), "{call} without a sandbox");
                assert!(self.agent.waiting().is_none() && !self.agent.taken_over(), "{call} while it waits");
                let reads = self.fixed.tools.iter().any(|known| known.name == tool.name && known.read_only);
                assert!(reads || !self.agent.planning(), "{} before a plan is approved", tool.name);
                self.append(EventBody::ToolStarted { call, tool: tool.name.clone() });
                self.in_flight.push(Flight::Tool { call, tool });
            }
        }
    }

    fn append(&mut self, body: EventBody) {
        assert!(self.events.len() < BOUND, "the session does not end: {:?}", &self.names()[BOUND - 60..]);
        self.clock += self.tick;
        let at = Timestamp(self.clock);
        self.note(&body);
        self.agent.apply(at, &body);
        let seq = Seq(self.events.len() as u64 + 1);
        let previous = self.events.last().map_or(Digest::ZERO, |event| event.hash);
        let event = sealed(seq, at, previous, body);
        self.events.push(Event { session: self.session, ..event });
    }

    fn note(&mut self, body: &EventBody) {
        if let EventBody::ToolFinished { call, .. } = body {
            assert!(self.finished.insert(*call), "{call} has two results");
        }
    }

    fn do_stage(&mut self, part: Part, stage: Stage) -> EventBody {
        if self.fail_stage == Some(stage) {
            return EventBody::StageFailed { stage, reason: "it is not there".into() };
        }
        match stage {
            Stage::Repository => EventBody::RepositoryReady(Repository {
                base_commit: "c0".into(),
                base_tree: "t0".into(),
                base_branch: "main".into(),
                notes: self.notes.clone(),
                cones: Vec::new(),
                contents: None,
                submodules: Vec::new(),
                tests: None,
                public: self.public,
                shared: self.public,
            }),
            Stage::Sandbox => {
                let sandbox = SandboxId::from_u128(7);
                EventBody::SandboxReady { sandbox, level: "none".into(), moved: self.moved.clone() }
            }
            Stage::Collect if !self.changed || self.unchanged.contains(&part) => EventBody::NothingChanged,
            Stage::Collect => EventBody::ObjectsReceived(Received {
                bundle: Digest::of(b"bundle"),
                head: "c1".into(),
                tree: "t1".into(),
                stat: DiffStat::default(),
                patch: None,
                objects: None,
                contents: Vec::new(),
                submodules: Vec::new(),
            }),
            Stage::Examine => self.examine(),
            Stage::Evidence { side } => self.evidence(side),
            Stage::SelfReview => self.look(),
            Stage::Push if self.overtaken.take_if(|overtaken| *overtaken == part).is_some() => {
                EventBody::Overtaken { found: "c9".into() }
            }
            Stage::Push => EventBody::Pushed { branch: "cofferdam/x".into(), commit: "c2".into() },
            Stage::PullRequest => EventBody::PullRequestOpened(Box::new(self.pull_request(part))),
            Stage::Merge => {
                EventBody::PullRequestClosed { state: PullRequestState::Merged { commit: "c3".into() } }
            }
            Stage::Close => EventBody::PullRequestClosed { state: PullRequestState::Closed },
        }
    }

    fn examine(&mut self) -> EventBody {
        let verdict = self.verdicts[self.examined.min(self.verdicts.len() - 1)];
        self.examined += 1;
        let finding = Finding {
            rule: "secret".into(),
            severity: Severity::Blocking,
            path: "a.rs".into(),
            line: Some(3),
            why: "a key".into(),
        };
        let findings = if verdict == Verdict::Publish { vec![] } else { vec![finding] };
        EventBody::Examined { findings, verdict }
    }

    fn look(&mut self) -> EventBody {
        let reviewer = self.agent.reviewer().expect("somebody looks");
        let refuted = self.looks[self.looked.min(self.looks.len() - 1)];
        self.looked += 1;
        let finds = refuted == Some(true);
        let line = LineRemark { path: "a.rs".into(), line: 3, text: "Here.".into() };
        EventBody::SelfReviewed(Box::new(SelfReview {
            round: reviewer.round,
            session: reviewer.session,
            commit: "c1".into(),
            refuted: finds,
            summary: if finds { self.finds.clone() } else { "Nothing.".into() },
            remarks: if finds { vec![line] } else { vec![] },
            failed: refuted.is_none().then(|| "the model failed".into()),
            frozen: None,
            spent: Spent {
                steps: 2,
                usage: Usage { input: 100, ..Usage::default() },
                cost: Cost(7),
                wall_ms: 9,
            },
        }))
    }

    fn evidence(&self, side: Side) -> EventBody {
        let Some((base, head)) = self.tests else {
            return EventBody::EvidenceMissing { reason: "no test command".into() };
        };
        EventBody::EvidenceRun(EvidenceRun {
            side,
            tree: "t".into(),
            command: "test".into(),
            exit: if side == Side::Base { base } else { head },
            output: BlobRef { digest: Digest::ZERO, size: 0 },
            millis: 1,
            tests: None,
        })
    }

    fn pull_request(&self, part: Part) -> PullRequest {
        PullRequest {
            number: u64::from(part.0) + 1,
            session: session(),
            repository: "/repo".into(),
            branch: "cofferdam/x".into(),
            base_branch: "main".into(),
            base_commit: "c0".into(),
            head_commit: if part == Part::FIRST { "c2".into() } else { format!("c2-{}", part.0) },
            title: "t".into(),
            body: String::new(),
            draft: self.agent.is_draft(),
            state: PullRequestState::Open,
            opened: Timestamp(self.clock),
        }
    }

    fn ask(&mut self, step: u32, compaction: bool, request: &ModelRequest) -> EventBody {
        match (self.model)(request, step, compaction) {
            Reply::Fail(kind) => EventBody::ModelFailed { step, kind, message: "It did not work.".into() },
            Reply::Answer(answer) => {
                let size: usize =
                    request.messages.iter().map(|message| serde_json::to_vec(message).unwrap().len()).sum();
                let counted = Usage { input: size as u64 / 4 + 10, output: 20, ..Usage::default() };
                let usage = if answer.usage == Usage::default() { counted } else { answer.usage };
                EventBody::ModelAnswered { step, answer: Answer { usage, ..answer }, millis: 5 }
            }
        }
    }

    /// What every provider demands of a conversation, and what ours demands of requests in one epoch.
    fn check_request(&self, request: &ModelRequest) {
        check_conversation(request);
        let by_this_model = self.requests.get(self.opened_anew..).unwrap_or_default();
        let Some((before, _)) = by_this_model.last().filter(|(before, _)| before.epoch == request.epoch)
        else {
            return;
        };
        let again = self.events.iter().rev().any(|event| matches!(event.body, EventBody::Claimed { .. }));
        assert!(request.messages.len() > before.messages.len() || again, "nothing new to say");
        assert!(request.messages.len() >= before.messages.len());
        for (place, (old, new)) in before.messages.iter().zip(request.messages.iter()).enumerate() {
            let same = Arc::ptr_eq(old, new)
                || serde_json::to_string(old).unwrap() == serde_json::to_string(new).unwrap();
            assert!(same, "message {place} changed within an epoch: {:?}", self.names());
        }
    }

    /// Somebody writes to the session.
    pub(crate) fn write(&mut self, text: &str) {
        self.happen(vec![EventBody::MessageReceived {
            from: "ann".into(),
            text: text.into(),
            label: Label::REQUESTER,
            about: None,
        }]);
    }

    /// The names of all events.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.events.iter().map(|event| event.body.name()).collect()
    }

    pub(crate) fn count(&self, name: &str) -> usize {
        self.names().iter().filter(|known| **known == name).count()
    }

    /// All messages of the request with this place, as JSON.
    pub(crate) fn said(&self, request: usize) -> String {
        serde_json::to_string(&self.requests[request].0.messages.iter().collect::<Vec<_>>()).unwrap()
    }

    /// The last message of the request with this place, as JSON.
    pub(crate) fn last_message(&self, request: usize) -> String {
        serde_json::to_string(self.requests[request].0.messages.last().unwrap()).unwrap()
    }

    pub(crate) fn state(&self) -> SessionState {
        self.agent.state()
    }
}

pub(crate) fn session() -> SessionId {
    SessionId::from_u128(42)
}

/// An event with its place in the chain.
pub(crate) fn sealed(seq: Seq, at: Timestamp, previous: Digest, body: EventBody) -> Event {
    let id = EventId::from_u128(u128::from(seq.0));
    let text = serde_json::to_string(&body).unwrap();
    let hash = event::hash(session(), seq, id, at, previous, &text);
    Event { seq, id, session: session(), at, body, previous, hash }
}

fn check_conversation(request: &ModelRequest) {
    assert!(request.max_output_tokens > 0);
    let mut open: BTreeMap<String, String> = BTreeMap::new();
    for (place, message) in request.messages.iter().enumerate() {
        let role = if place % 2 == 0 { Role::User } else { Role::Assistant };
        assert_eq!(message.role, role, "message {place}");
        assert!(!message.blocks.is_empty(), "message {place} is empty");
        for block in &message.blocks {
            match block {
                Block::Text { text } => assert!(!text.trim().is_empty(), "empty text in message {place}"),
                Block::ToolCall(call) => {
                    assert_eq!(role, Role::Assistant);
                    let twice = open.insert(call.provider_id.clone(), call.name.clone());
                    assert_eq!(twice, None, "one id for two calls in message {place}");
                }
                Block::ToolResult(result) => {
                    assert_eq!(role, Role::User);
                    assert!(!result.text.trim().is_empty() || !result.images.is_empty());
                    assert_eq!(open.remove(&result.provider_id).as_deref(), Some(result.name.as_str()));
                }
                Block::Reasoning(_) => assert_eq!(role, Role::Assistant),
                Block::Image(_) => panic!("no picture stands alone"),
            }
        }
        if role == Role::User {
            assert!(open.is_empty(), "calls without results before message {place}: {open:?}");
        }
    }
    assert_eq!(request.messages.len() % 2, 1, "ends with the platform");
}

/// Actions as text, to compare them. A request's digest stands for its messages.
pub(crate) fn show(actions: &[Action]) -> String {
    let show = |action: &Action| match action {
        Action::AskModel { step, compaction, request } => {
            let ModelRequest { max_output_tokens, epoch, digest, messages, .. } = request;
            format!("ask {step} {compaction} {max_output_tokens} {epoch} {digest} {}", messages.len())
        }
        Action::Fix | Action::Stage(_) | Action::Beside(..) | Action::RunTool { .. } | Action::Append(_) => {
            format!("{action:?}")
        }
    };
    actions.iter().map(show).collect::<Vec<_>>().join("\n")
}

/// Picks the model's call.
pub(crate) fn is_model(flight: &Flight) -> bool {
    matches!(flight, Flight::Model { .. })
}

/// Picks tool calls.
pub(crate) fn is_tool(flight: &Flight) -> bool {
    matches!(flight, Flight::Tool { .. })
}

/// Picks one stage.
pub(crate) fn is_stage(stage: Stage) -> impl Fn(&Flight) -> bool {
    move |flight| matches!(flight, Flight::Stage(under_way) if *under_way == stage)
}

/// A model that fails at this step with this kind, once, and otherwise gives the replies.
pub(crate) fn failing_at(
    at: u32,
    kind: ModelFailure,
    replies: Vec<Reply>,
) -> impl FnMut(&ModelRequest, u32, bool) -> Reply {
    let mut replies = replies.into_iter();
    let mut failed = false;
    move |_, step, _| {
        if step == at && !failed {
            failed = true;
            return Reply::Fail(kind);
        }
        replies.next().unwrap_or_else(|| script::finish("done"))
    }
}
