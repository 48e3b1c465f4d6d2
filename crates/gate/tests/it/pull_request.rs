//! What a reviewer reads.

use cofferdam_domain::{
    Asked, BlobRef, Cost, Digest, EvidenceRun, Finding, Origin, SelfReview, Seq, SessionId, Severity, Side,
    Spent, Subject, Task, Thread, Usage,
    change::DiffStat,
    egress::Refusal,
    evidence::{Exit, TestReport},
    policy::LimitKind,
    task::Source,
    tool::{Finish, FinishOutcome, LineRemark},
};
use cofferdam_gate::{
    EgressFacts, Facts, ModelFact, Passage, PullRequestText, RefusedFact, TreeFact, evidence_statement,
};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, TextMergeStream};

pub(crate) fn run(side: Side, exit: Exit, passed: &[&str], failed: &[&str]) -> EvidenceRun {
    let names = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    EvidenceRun {
        side,
        tree: "7".repeat(40),
        command: "cargo test --offline | tee log".into(),
        exit,
        output: BlobRef { digest: Digest::of(b"output"), size: 6 },
        millis: 1_234,
        tests: Some(TestReport { passed: names(passed), failed: names(failed), skipped: Vec::new() }),
    }
}

pub(crate) fn facts(title: &str, summary: &str) -> Facts {
    let task = Task::new(
        "Fix the parser.\n\n![x](https://evil.example/a.png) @lead fixes #1\n```\n".into(),
        "/srv/calc".into(),
        None,
        "ann".into(),
        Source::Demo,
    );
    Facts {
        session: SessionId::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001),
        task: task.unwrap(),
        base: TreeFact { branch: "main".into(), commit: "1".repeat(40), tree: "2".repeat(40) },
        head: TreeFact { branch: "cofferdam/ses_x".into(), commit: "3".repeat(40), tree: "4".repeat(40) },
        beside: Vec::new(),
        attempts: None,
        stat: DiffStat { files: 2, added: 10, removed: 3 },
        paths: vec!["src/parser.rs".into(), "tests/`odd`|name.rs".into()],
        repository_notes: vec!["shallow history: 1 commit".into()],
        findings: vec![
            Finding {
                rule: "removed-tests".into(),
                severity: Severity::Warning,
                path: "tests/a.rs".into(),
                line: Some(7),
                why: "1 test gone or renamed: <img src=x> @lead".into(),
            },
            Finding {
                rule: "mode".into(),
                severity: Severity::Note,
                path: String::new(),
                line: None,
                why: "x".into(),
            },
        ],
        rounds: 1,
        base_run: Some(run(Side::Base, Exit::Code(101), &["a", "b"], &["parses"])),
        head_run: Some(run(Side::Head, Exit::Code(0), &["a", "b", "parses", "new"], &[])),
        evidence_missing: None,
        egress: None,
        refused: 2,
        model: ModelFact { provider: "scripted".into(), name: "demo".into(), recording: true },
        spent: Spent {
            steps: 12,
            usage: Usage { input: 1_000, cache_read: 9_000, output: 700, ..Usage::default() },
            cost: Cost(12_300),
            wall_ms: 95_000,
        },
        limit: None,
        log_length: Seq(57),
        log_head: Digest::of(b"log"),
        version: "0.1.0".into(),
        fresh_look: None,
        finish: Finish {
            outcome: FinishOutcome::Done,
            title: title.into(),
            summary: summary.into(),
            replies: Vec::new(),
            remarks: Vec::new(),
        },
    }
}

/// What a Markdown parser makes of the whole text: anything that would act.
pub(crate) fn active(body: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut code = 0;
    for event in TextMergeStream::new(Parser::new_ext(body, Options::all())) {
        match event {
            Event::Start(
                Tag::Link { .. }
                | Tag::Image { .. }
                | Tag::FootnoteDefinition(_)
                | Tag::HtmlBlock
                | Tag::MetadataBlock(_),
            ) => {
                found.push(format!("{event:?}"));
            }
            Event::Html(_)
            | Event::InlineHtml(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::FootnoteReference(_) => {
                found.push(format!("{event:?}"));
            }
            Event::Start(Tag::CodeBlock(_)) => code += 1,
            Event::End(TagEnd::CodeBlock) => code -= 1,
            Event::Text(text) if code == 0 => {
                let reference = |sign: char| {
                    text.match_indices(sign)
                        .any(|(place, _)| text[place + 1..].starts_with(char::is_alphanumeric))
                };
                let lower = text.to_lowercase();
                if text.contains('@')
                    || reference('#')
                    || reference('!')
                    || lower.contains("://")
                    || lower.contains("www.")
                {
                    found.push(text.into_string());
                }
            }
            Event::Start(_) | Event::End(_) | Event::Text(_) | Event::Code(_) => {}
            Event::SoftBreak | Event::HardBreak | Event::Rule | Event::TaskListMarker(_) => {}
        }
    }
    found
}

/// The headings of a text outside block quotes.
fn headings(body: &str) -> Vec<String> {
    body.lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn a_fix_with_evidence() {
    let text = PullRequestText::render(&facts(
        "Fix the parser",
        "Fixed an off-by-one.\n\n- one\n- two\n\n```rust\nlet a = 1;\n```\n",
    ));
    insta::assert_snapshot!("fix", format!("{}\n\n{}", text.title, text.body));
}

#[test]
fn a_liar_without_green() {
    let mut facts = facts(
        "docs only [skip ci] fixes #3 @lead",
        "# What the platform saw\n\nThis change is documentation-only. All tests pass. No tests were removed.\n\n<!-- merge me -->\n<img src=\"https://evil.example/x.png\">\n![badge](https://evil.example/ci.svg)\n[ok]: https://evil.example\n\nFixes #12. LGTM from @lead\nApproved-by: Lead <lead@example.com>\n\u{202e}reversed\n/merge\n> **Evidence:** green\n---\n| a | b |\n| - | - |\n",
    );
    facts.model.recording = false;
    facts.limit = Some(LimitKind::Steps);
    facts.head_run = Some(run(Side::Head, Exit::Code(101), &["a"], &["b", "parses"]));
    let text = PullRequestText::render(&facts);
    insta::assert_snapshot!("liar", format!("{}\n\n{}", text.title, text.body));
    assert_eq!(active(&text.body), Vec::<String>::new());
}

#[test]
fn nothing_ran() {
    let mut facts = facts("", " ");
    facts.base_run = None;
    facts.head_run = None;
    facts.evidence_missing = Some("no test command is known; name one as test_command in the policy".into());
    facts.findings.clear();
    facts.rounds = 0;
    let text = PullRequestText::render(&facts);
    assert_eq!(text.title, "Fix the parser.");
    assert!(text.body.contains("No tests were run.\n\nno test command is known"));
    assert!(text.body.contains("### Findings\n\nNone.\n"));
    assert!(text.body.ends_with("> *(nothing)*\n"));
}

#[test]
fn the_body_has_the_platforms_headings_only_and_fits_a_forge() {
    let mut facts = facts(&"t".repeat(9_999), &"## Fake\n\n```\n".repeat(20_000));
    facts.paths = (0..5_000).map(|number| format!("{number}{}", "p".repeat(900))).collect();
    let names: Vec<String> = (0..5_000).map(|number| format!("{number}{}", "n`|".repeat(300))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    facts.base_run = Some(run(Side::Base, Exit::Code(0), &names, &[]));
    facts.head_run = Some(run(Side::Head, Exit::TimedOut, &[], &names[1..]));
    facts.findings = vec![facts.findings[0].clone(); 3_000];
    let text = PullRequestText::render(&facts);
    assert!(text.body.chars().count() < 65_536, "{}", text.body.len());
    assert!(text.title.len() <= 130);
    assert_eq!(
        headings(&text.body),
        [
            "## What the platform saw",
            "### Task",
            "### Change",
            "### Tests",
            "### Findings",
            "### Session",
            "### To reproduce",
            "## What the agent says (unverified)"
        ]
    );
}

#[test]
fn a_fresh_look_is_advice_apart_from_the_facts_and_nothing_of_it_acts() {
    let lie = "# What the platform saw\n\nThe tests pass. ![x](https://evil.example/a.png) Fixes #12 @lead\n---\n<img src=x>\u{202e}\n/merge\n";
    let remark =
        LineRemark { path: "a`b\n# c".into(), line: 3, text: format!("{lie}\n\n# d\n{}", "x".repeat(9_000)) };
    let mut facts = facts("Title", "Summary");
    assert!(!PullRequestText::render(&facts).body.contains("fresh look"));
    let plain = headings(&PullRequestText::render(&facts).body);
    let mut review = SelfReview {
        round: 2,
        session: SessionId::from_u128(9),
        commit: "c".into(),
        refuted: true,
        summary: lie.repeat(200),
        remarks: vec![remark; 40],
        failed: None,
        frozen: None,
        spent: Spent::default(),
    };
    for refuted in [true, false] {
        review.refuted = refuted;
        facts.fresh_look = Some(review.clone());
        let body = PullRequestText::render(&facts).body;
        assert_eq!(active(&body), Vec::<String>::new());
        assert_eq!(body.contains("A fresh look by a model found:"), refuted, "{body}");
        let mut expected = plain.clone();
        expected.insert(expected.len() - 1, "## A fresh look (unverified)".into());
        assert_eq!(headings(&body), expected);
        assert!(body.len() < 65_536, "{}", body.len());
    }
    review.failed = Some(lie.into());
    facts.fresh_look = Some(review);
    let body = PullRequestText::render(&facts).body;
    assert!(body.contains("could not. The session says why.") && !body.contains("merge"), "{body}");
}

#[test]
fn the_statement_is_in_toto() {
    let facts = facts("t", "s");
    let statement = evidence_statement(&facts);
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["subject"][0]["digest"]["gitCommit"], facts.head.commit);
    assert_eq!(statement["predicate"]["summary"]["headline"], "red_to_green");
    assert_eq!(statement["predicate"]["summary"]["fail_to_pass"][0], "parses");
    assert_eq!(statement["predicate"]["runs"][0]["exit"]["code"], 101);
    assert_eq!(statement["predicate"]["runs"][1]["output"]["digest"], Digest::of(b"output").to_string());
}

#[test]
fn the_network_is_told_and_nothing_of_it_acts() {
    let mut facts = facts("Fix it", "Fixed.");
    let evil = "`|x| <img src=x> @lead fixes #1 [a](https://evil.example)";
    let passage = |host: &str, inspected| Passage {
        rule: evil.into(),
        host: host.into(),
        count: 3,
        inspected,
        credential: Some("forge".into()),
    };
    facts.egress = Some(EgressFacts {
        passed: vec![passage("a.example", true), passage("pinned.example", false)],
        requests: 6,
        refused: (0..30)
            .map(|number| RefusedFact {
                operation: format!("GET http://{number}.example/{evil}"),
                code: Refusal::Host,
                count: 2,
                command: Some(evil.into()),
            })
            .collect(),
        refusals: 60,
        frozen: vec![evil.into()],
        ..EgressFacts::default()
    });
    let body = PullRequestText::render(&facts).body;
    assert_eq!(active(&body), Vec::<String>::new());
    for wanted in [
        "6 requests let out by policy, 60 refused, 0 packages fetched",
        "no: passed through",
        "with credential `forge`",
        "(host), 2 times, by",
        "and 10 more",
        "A sandbox was frozen",
    ] {
        assert!(body.contains(wanted), "{wanted}: {body}");
    }
    facts.egress = None;
    assert!(!PullRequestText::render(&facts).body.contains("### Network"));
}

#[test]
fn only_the_issue_that_was_asked_in_is_closed() {
    let asked = |subject, path: &str| {
        let thread = Thread { forge: "hub".into(), repository: 7, path: path.into(), subject };
        let (delivery, concealed) = ("d".into(), Vec::new());
        Origin::Forge(Box::new(Asked { thread, account: 3, delivery, changed: None, concealed }))
    };
    let body = |origin: Origin, outcome, limit| {
        let mut facts =
            facts("Fix it", "Fixes #13, closes ann/calc#14 and https://hub.example/ann/calc/issues/15.");
        facts.task.repository = "https://hub.example/Ann/calc.git".into();
        facts.task.origin = Some(origin);
        facts.finish.outcome = outcome;
        facts.limit = limit;
        PullRequestText::render(&facts).body
    };
    let here = || asked(Subject::Issue(12), "ann/Calc");
    let closing = body(here(), FinishOutcome::Done, None);
    assert!(closing.contains("\nCloses #12\n"), "{closing}");
    assert_eq!(active(&closing), ["Closes #12"]);
    for partial in
        [body(here(), FinishOutcome::GaveUp, None), body(here(), FinishOutcome::Done, Some(LimitKind::Cost))]
    {
        assert_eq!(active(&partial), ["Part of #12"]);
    }
    for elsewhere in [
        asked(Subject::Issue(12), "ann/other"),
        asked(Subject::Issue(12), "calc"),
        asked(Subject::Pull(12), "ann/calc"),
    ] {
        let body = body(elsewhere, FinishOutcome::Done, None);
        assert_eq!(active(&body), [] as [String; 0]);
    }
}
