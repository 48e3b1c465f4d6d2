//! `edit`.

use cofferdam_domain::tool::ToolEffect;
use serde_json::json;

use crate::suite::Bench;

/// Makes a file and reads it.
async fn seen(bench: &Bench, path: &str, content: &str) {
    bench.put(path, content).await;
    bench.ok("read", json!({"path": path})).await;
}

pub(crate) async fn edits_what_was_read(bench: Bench) {
    seen(&bench, "a.py", "def f():\n    return 1\n\n\ndef g():\n    return 2\n").await;
    let edits = json!([
        {"old_text": "    return 2", "new_text": "    return 20"},
        {"old_text": "def f():", "new_text": "def f(x):\n    \"\"\"Doc.\"\"\""},
    ]);
    let outcome = bench.call("edit", json!({"path": "a.py", "edits": edits})).await;
    insta::assert_snapshot!("edited", outcome.text);
    assert_eq!(outcome.effect, Some(ToolEffect::Edited { paths: vec!["a.py".into()] }));
    assert_eq!(
        bench.text("a.py").await,
        "def f(x):\n    \"\"\"Doc.\"\"\"\n    return 1\n\n\ndef g():\n    return 20\n"
    );
    // Its own edit is no change behind its back.
    bench.ok("edit", json!({"path": "a.py", "edits": [{"old_text": "g()", "new_text": "h()"}]})).await;
    let all = json!({"old_text": "return", "new_text": "yield", "replace_all": true});
    assert!(
        bench.ok("edit", json!({"path": "a.py", "edits": [all]})).await.starts_with("Edited a.py (+2 -2).")
    );
}

pub(crate) async fn must_have_been_read_and_unchanged(bench: Bench) {
    let edit = || json!({"path": "a", "edits": [{"old_text": "x", "new_text": "y"}]});
    bench.put("a", "x\n").await;
    assert_eq!(
        bench.error("edit", edit()).await,
        "You have not read a yet. Read the part to be changed first."
    );
    bench.ok("read", json!({"path": "a"})).await;
    bench.ok("shell", json!({"command": "echo more >> a"})).await;
    assert_eq!(bench.error("edit", edit()).await, "a has changed since you read it. Read it again first.");
    assert_eq!(bench.text("a").await, "x\nmore\n");
    bench.ok("read", json!({"path": "/workspace/a"})).await;
    bench.ok("edit", edit()).await;
    assert_eq!(bench.text("a").await, "y\nmore\n");
}

pub(crate) async fn keeps_ends_and_mode(bench: Bench) {
    seen(&bench, "run.bat", "\u{feff}a\r\nb\r\nc").await;
    bench.ok("shell", json!({"command": "chmod 755 run.bat"})).await;
    bench.ok("read", json!({"path": "run.bat"})).await;
    bench
        .ok("edit", json!({"path": "run.bat", "edits": [{"old_text": "a\nb", "new_text": "1\n2\n3"}]}))
        .await;
    assert_eq!(bench.text("run.bat").await, "\u{feff}1\r\n2\r\n3\r\nc");
    assert_eq!(bench.ok("shell", json!({"command": "stat -c %a run.bat"})).await, "[exit 0 after T]\n755");
}

pub(crate) async fn refusals(bench: Bench) {
    seen(&bench, "a.rs", "fn a() {\n\tone();\n}\nfn b() {\n\tone();\n}\n").await;
    let one = |old: &str, new: &str| json!({"path": "a.rs", "edits": [{"old_text": old, "new_text": new}]});
    let mut texts = Vec::new();
    for arguments in [
        one("    one();", "two();"),
        one("one();", "two();"),
        one("", "x"),
        json!({"path": "a.rs", "edits": [{"old_text": "fn a", "new_text": "fn c"}, {"old_text": "fn z()", "new_text": ""}]}),
        json!({"path": "a.rs", "edits": []}),
        json!({"path": "a.rs"}),
    ] {
        texts.push(bench.error("edit", arguments).await);
    }
    insta::assert_snapshot!("edit_refused", texts.join("\n---\n"));
    assert_eq!(bench.text("a.rs").await, "fn a() {\n\tone();\n}\nfn b() {\n\tone();\n}\n", "all or nothing");
    bench.put("latin", b"caf\xe9").await;
    bench.ok("read", json!({"path": "latin"})).await;
    assert_eq!(
        bench.error("edit", json!({"path": "latin", "edits": [{"old_text": "caf", "new_text": "x"}]})).await,
        "latin is not UTF-8 text. Change it with a command in the shell."
    );
}

pub(crate) async fn foreign_shapes(bench: Bench) {
    seen(&bench, "a", "1\n2\n3\n").await;
    bench.ok("edit", json!({"file_path": "a", "old_string": "1", "new_string": "one"})).await;
    bench.ok("edit", json!({"path": "a", "old_str": "2", "new_str": "two", "replace_all": false})).await;
    bench.ok("edit", json!({"path": "a", "edits": {"oldText": "3", "newText": "three"}})).await;
    assert_eq!(bench.text("a").await, "one\ntwo\nthree\n");
}

pub(crate) async fn lists_as_text(bench: Bench) {
    seen(&bench, "a", "1\n2\n").await;
    let edits = r#"[{"old_text":"1","new_text":"one"},{"old_text":"2","new_text":""}]"#;
    bench.ok("edit", json!({"path": "a", "edits": edits})).await;
    assert_eq!(bench.text("a").await, "one\n\n");
}
