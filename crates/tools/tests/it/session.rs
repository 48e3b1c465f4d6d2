//! `plan`, `ask`, `finish`, and calls that cannot be understood.

use cofferdam_domain::{
    Label, MemoryProposal, ToolStatus,
    policy::Questions,
    tool::{Finish, FinishOutcome, PlanState, Reply, ToolEffect},
};
use cofferdam_tools::Notes;
use serde_json::json;

use crate::suite::Bench;

pub(crate) async fn plans(bench: Bench) {
    let todos =
        json!([{"content": "Look", "status": "completed"}, {"content": "Fix", "status": "in_progress"}]);
    let outcome = bench.call("plan", json!({"todos": todos})).await;
    assert_eq!(outcome.text, "Plan noted: 1 done, 1 in progress, 0 pending.");
    let Some(ToolEffect::Plan { items }) = outcome.effect else { panic!("{:?}", outcome.effect) };
    assert_eq!((items[0].state, items[1].text.as_str()), (PlanState::Done, "Fix"));
    let many: Vec<_> = (0..51).map(|_| json!({"text": "x", "state": "pending"})).collect();
    assert_eq!(
        bench.error("plan", json!({"items": many})).await,
        "A plan has at most 50 items, this one 51: join some."
    );
}

pub(crate) async fn asks(mut bench: Bench) {
    let outcome = bench.call("ask", json!({"question": "Which one?"})).await;
    assert_eq!(outcome.effect, Some(ToolEffect::Question { text: "Which one?".into() }));
    assert_eq!(outcome.label, Label::PLATFORM);
    let mut texts = vec![outcome.text];
    bench.questions = Questions::Stop;
    texts.push(bench.ok("ask", json!({"question": "Which one?"})).await);
    bench.questions = Questions::Wait;
    texts.push(bench.ok("ask", json!({"question": "Which one?"})).await);
    texts.push(bench.error("ask", json!({"question": ""})).await);
    insta::assert_snapshot!("ask", texts.join("\n"));
}

pub(crate) async fn remembers(mut bench: Bench) {
    let outcome = bench.call("remember", json!({"text": " Run `make fixtures` first.\u{200b} "})).await;
    let with = |text: &str, everywhere, private| {
        Some(ToolEffect::Remember(MemoryProposal { text: text.into(), everywhere, private }))
    };
    let proposal = |text: &str, everywhere| with(text, everywhere, false);
    assert_eq!(outcome.effect, proposal("Run `make fixtures` first.\u{200b}", false), "as it was written");
    assert_eq!(outcome.label, Label::PLATFORM);
    let outcome = bench.call("remember", json!({"note": "x", "everywhere": true})).await;
    assert_eq!(outcome.effect, proposal("x", true));
    for (text, wanted) in [
        (" ".to_owned(), "nothing in it"),
        ("x".repeat(2_001), "2001 bytes"),
        ("a\u{1b}[2J".to_owned(), "control"),
    ] {
        let refused = bench.error("remember", json!({ "text": text })).await;
        assert!(refused.contains(wanted), "{refused}");
    }
    // What the platform knows of the session counts, and it is said where nothing can be kept.
    bench.notes = Notes { private: true, nameless: true, proposed: 9 };
    let refused = bench.error("remember", json!({"text": "x"})).await;
    assert!(refused.contains("cannot be kept"), "{refused}");
    let outcome = bench.call("remember", json!({"text": "x", "everywhere": true})).await;
    assert_eq!(outcome.effect, with("x", true, true));
    assert!(outcome.text.contains("dropped"), "{}", outcome.text);
    bench.notes = Notes { proposed: 10, ..Notes::default() };
    let refused = bench.call("remember", json!({"text": "one more"})).await;
    assert_eq!((refused.status, &refused.effect), (ToolStatus::Error, &None));
    assert!(refused.text.contains("which is the most"), "{}", refused.text);
}

pub(crate) async fn finishes(mut bench: Bench) {
    let outcome = bench
        .call("finish", json!({"outcome": "done", "title": " Fix it ", "summary": "It was wrong."}))
        .await;
    let finish = Finish {
        outcome: FinishOutcome::Done,
        title: "Fix it".into(),
        summary: "It was wrong.".into(),
        replies: Vec::new(),
        remarks: Vec::new(),
    };
    assert_eq!(outcome.effect, Some(ToolEffect::Finish(finish)));
    let mut texts = Vec::new();
    for (title, summary) in
        [("x".repeat(121), "s"), ("two\nlines".into(), "s"), (String::new(), "s"), ("t".into(), " ")]
    {
        let arguments = json!({"outcome": "gave_up", "title": title, "summary": summary});
        let outcome = bench.call("finish", arguments).await;
        assert_eq!((outcome.status, &outcome.effect), (ToolStatus::Error, &None));
        texts.push(outcome.text);
    }
    texts.push(bench.error("finish", json!({"outcome": "won", "title": "t"})).await);
    let reply = |to: u64, text: &str| json!({"to": to, "fixed": true, "text": text});
    let with = |replies: serde_json::Value| json!({"outcome": "done", "title": "t", "summary": "s", "replies": replies});
    texts.push(bench.error("finish", with(json!([reply(12, "Done.")]))).await);
    bench.remarks = vec![12, 9_007_199_254_740_993];
    texts.push(bench.error("finish", with(json!([reply(12, "Done."), reply(13, "Done.")]))).await);
    texts.push(bench.error("finish", with(json!([reply(12, "Done."), reply(12, "Again.")]))).await);
    texts.push(bench.error("finish", with(json!([reply(12, " ")]))).await);
    texts.push(bench.error("finish", with(json!([reply(12, &"x".repeat(4_001))]))).await);
    let outcome = bench.call("finish", with(json!([reply(9_007_199_254_740_993, " Done. ")]))).await;
    let Some(ToolEffect::Finish(finish)) = outcome.effect else { panic!("{outcome:?}") };
    assert_eq!(finish.replies, [Reply { to: 9_007_199_254_740_993, fixed: true, text: "Done.".into() }]);
    bench.ok("finish", with(json!([]))).await;
    insta::assert_snapshot!("finish_refused", texts.join("\n"));
}

pub(crate) async fn unknown_tools(bench: Bench) {
    let mut texts = Vec::new();
    for tool in ["bash", "str_replace", "raed", "zzz", ""] {
        texts.push(bench.error(tool, json!({})).await);
    }
    insta::assert_snapshot!("unknown_tools", texts.join("\n"));
    assert_eq!(bench.ok("functions.shell", json!({"command": "echo hi"})).await, "[exit 0 after T]\nhi");
}

pub(crate) async fn broken_arguments(bench: Bench) {
    let mut texts = Vec::new();
    for (tool, arguments) in [
        ("shell", r#"{"command": "echo "hi""}"#),
        ("write", r#"{"path": "a", "content": "half"#),
        ("read", ""),
        ("read", r#"{"path": 5, "ofset": 3}"#),
        ("list", "true"),
    ] {
        let outcome = bench.raw(tool, arguments).await;
        assert_eq!(outcome.status, ToolStatus::Error);
        texts.push(outcome.text);
    }
    insta::assert_snapshot!("broken_arguments", texts.join("\n---\n"));
}

/// The bench checks the bound on every outcome; here are the calls that come closest to it.
pub(crate) async fn nothing_is_unbounded(bench: Bench) {
    let wide = "€".repeat(100_000);
    let tall = "needle\n".repeat(100_000);
    bench.put("wide", format!("{wide}\n{wide}\n{wide}")).await;
    bench.put("tall", &tall).await;
    for number in 0..300 {
        bench.put(&format!("many/{number}-{}", "n".repeat(200)), "needle\n").await;
    }
    for path in ["wide", "tall"] {
        bench.ok("read", json!({"path": path})).await;
        bench.ok("shell", json!({"command": format!("cat {path}")})).await;
        let old = bench.text(path).await;
        bench.ok("edit", json!({"path": path, "edits": [{"old_text": old, "new_text": "x"}]})).await;
        bench.error("edit", json!({"path": path, "edits": [{"old_text": old, "new_text": "y"}]})).await;
    }
    bench.put("tall", &tall).await;
    for arguments in [
        json!({"pattern": "needle", "limit": 100000}),
        json!({"pattern": "needle", "mode": "files", "limit": 100000}),
        json!({"pattern": "needle", "mode": "count"}),
    ] {
        bench.ok("grep", arguments).await;
    }
    bench.ok("glob", json!({"pattern": "many/*", "limit": 1000})).await;
    bench.ok("list", json!({"path": "many"})).await;
    bench.ok("shell", json!({"command": "head -c 300000 /dev/zero"})).await;
    bench.error(&wide, json!({})).await;
    bench.error("read", json!({"path": wide})).await;
    bench.error("read", json!({ "path": "x", "a": wide, wide.as_str(): 1 })).await;
    bench.raw("read", &format!("{{\"path\": {wide}")).await;
    let unknown: serde_json::Map<String, serde_json::Value> =
        (0..5000).map(|number| (format!("field_{number}"), json!(1))).collect();
    bench.error("read", unknown.into()).await;
}
