//! Labels have few values, whoever asks for what.

use std::{collections::BTreeSet, time::Duration};

use cofferdam_domain::{
    Answer, CallId, Digest, Event, EventBody, EventId, Finding, Outcome, SandboxId, Seq, SessionId, Severity,
    Stage, StopReason, Timestamp, ToolOutcome, ToolStatus, Usage, Verdict,
    egress::{Operation, Passed, Refusal, Refused},
    event::{EditFormat, ModelFailure, ModelInfo},
    message::Family,
};
use cofferdam_telemetry::{GivenBack, Page, Tally};

/// Stands in every text that somebody wrote.
const PLANTED: &str = "planted-7f3a";

fn event(number: u64, body: EventBody) -> Event {
    Event {
        seq: Seq(number),
        id: EventId::generate(),
        session: SessionId::from_u128(u128::from(number % 50)),
        at: Timestamp(number),
        body,
        previous: Digest::ZERO,
        hash: Digest::ZERO,
    }
}

fn bodies(number: u64) -> Vec<EventBody> {
    let call = CallId { step: u32::try_from(number).unwrap(), index: 0 };
    let text = || format!("{PLANTED}-{number}.example");
    let operation = || Operation::Connection { host: text(), port: 443 };
    let sandbox = SandboxId::generate();
    let outcome = ToolOutcome {
        status: ToolStatus::Ok,
        text: text(),
        images: Vec::new(),
        whole: None,
        label: cofferdam_domain::Label::SANDBOX,
        effect: None,
    };
    let refused = Refused {
        sandbox,
        operation: operation(),
        code: Refusal::Name,
        reason: text(),
        ask: None,
        count: 2,
        calls: Vec::new(),
    };
    let finding =
        Finding { rule: text(), severity: Severity::Warning, path: text(), line: None, why: text() };
    vec![
        EventBody::Claimed { worker: text(), fence: 1 },
        EventBody::StageStarted { stage: Stage::Sandbox },
        EventBody::SandboxReady { sandbox, level: text(), moved: None },
        EventBody::ToolStarted {
            call,
            tool: if number.is_multiple_of(2) { "shell".to_owned() } else { text() },
        },
        EventBody::EgressAllowed(Passed {
            sandbox,
            operation: operation(),
            rule: text(),
            credential: Some(text()),
            calls: Vec::new(),
        }),
        EventBody::EgressRefused(Box::new(refused)),
        EventBody::ToolFinished { call, outcome, millis: 1 },
        EventBody::SandboxFrozen { sandbox, reason: text() },
        EventBody::AlarmRaised {
            rule: if number.is_multiple_of(2) { "canary".to_owned() } else { text() },
            what: text(),
            then: serde_json::from_str("\"tell\"").unwrap(),
        },
        EventBody::Examined { findings: vec![finding], verdict: Verdict::Hold },
        EventBody::SessionEnded { outcome: Outcome::Failed { reason: text() } },
    ]
}

fn model(name: String) -> ModelInfo {
    ModelInfo {
        provider: "work".to_owned(),
        name,
        family: Family::OpenaiChat,
        context_window: 1,
        max_output: 1,
        prices: None,
        edits: EditFormat::Replace,
        images: false,
        transcript: Some(format!("/srv/{PLANTED}")),
    }
}

#[test]
fn no_id_path_host_or_text_is_ever_a_label() {
    let tally = Tally::new(["shell".to_owned(), "read".to_owned()]);
    for number in 0..300 {
        for body in bodies(number) {
            tally.event(&event(number, body));
        }
        tally.taken(SessionId::generate());
        tally.given_back(SessionId::generate(), GivenBack::Failed);
        let usage = Usage { input: 1, output: 1, ..Usage::default() };
        let stop = StopReason::Other { name: PLANTED.to_owned() };
        let answer = Answer { blocks: Vec::new(), stop, usage, model: PLANTED.to_owned(), cost: None };
        // Whoever may name models may name many.
        let info = model(format!("model-{number}"));
        tally.model_called(&info, Ok(&answer), Duration::from_millis(number));
        let recording = ModelInfo { family: Family::Scripted, ..model(format!("/srv/{PLANTED}/{number}")) };
        tally.model_called(&recording, Err(ModelFailure::Rejected), Duration::ZERO);
        tally.appended(Duration::from_millis(number));
    }
    let mut page = Page::default();
    tally.write(&mut page);
    let text = page.into_text();
    assert!(!text.contains(PLANTED), "{text}");
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(samples.len() < 1_500, "{} samples", samples.len());
    let mut values: BTreeSet<(&str, &str)> = BTreeSet::new();
    for line in &samples {
        let labels =
            line.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(labels, _)| labels);
        for pair in labels.split(',').filter(|pair| !pair.is_empty()) {
            let (label, value) = pair.split_once('=').unwrap();
            values.insert((label, value.trim_matches('"')));
        }
    }
    let of = |label: &str| {
        values.iter().filter(|(known, _)| *known == label).map(|(_, value)| *value).collect::<Vec<_>>()
    };
    assert_eq!(of("tool"), ["other", "shell"]);
    assert_eq!(of("rule"), ["canary", "own"]);
    assert_eq!(of("provider"), ["scripted", "work"]);
    assert!(of("model").len() <= 33 && of("model").contains(&"other") && of("model").contains(&"recording"));
    assert!(values.iter().all(|(_, value)| {
        value.len() <= 64
            && !value.starts_with('/')
            && !["ses_", "evt_", "sbx_", "wrk_", "org_", "usr_"]
                .iter()
                .any(|prefix| value.starts_with(prefix))
    }));
    assert!(text.contains("cofferdam_egress_refused_total{why=\"name\"} 600"), "{text}");
    assert!(text.contains("cofferdam_sandbox_seconds_count 300"), "{text}");
}
