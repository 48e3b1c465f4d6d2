//! `apply_patch`.

use cofferdam_domain::{ToolStatus, tool::ToolEffect};
use serde_json::json;

use crate::suite::Bench;

async fn patch(bench: &Bench, body: &str) -> (ToolStatus, String) {
    let text = format!("*** Begin Patch\n{body}\n*** End Patch");
    let outcome = bench.call("apply_patch", json!({"patch": text})).await;
    (outcome.status, outcome.text)
}

async fn patched(bench: &Bench, body: &str) -> String {
    let (status, text) = patch(bench, body).await;
    assert_eq!(status, ToolStatus::Ok, "{text}");
    text
}

async fn refused(bench: &Bench, body: &str) -> String {
    let (status, text) = patch(bench, body).await;
    assert_eq!(status, ToolStatus::Error, "{text}");
    text
}

pub(crate) async fn changes_several_files(bench: Bench) {
    bench.put("src/a.py", "def f():\n    return 1\n\ndef g():\n    return 1\n").await;
    bench.put("old.txt", "gone\n").await;
    bench.put("from.txt", "a\nb\n").await;
    let body = "*** Update File: src/a.py\n@@ def g():\n-    return 1\n+    return 2\n*** Add File: new/b.txt\n+one\n+\n+two\n\
                *** Delete File: old.txt\n*** Update File: from.txt\n*** Move to: to.txt\n@@\n-b\n+c";
    let text = format!("*** Begin Patch\n{body}\n*** End Patch");
    let outcome = bench.call("apply_patch", json!({"input": text})).await;
    insta::assert_snapshot!("patched", outcome.text);
    let Some(ToolEffect::Edited { paths }) = outcome.effect else { panic!("{:?}", outcome.effect) };
    assert_eq!(paths, ["src/a.py", "new/b.txt", "old.txt", "from.txt", "to.txt"]);
    assert_eq!(bench.text("src/a.py").await, "def f():\n    return 1\n\ndef g():\n    return 2\n");
    assert_eq!(bench.text("new/b.txt").await, "one\n\ntwo\n");
    assert_eq!(bench.text("to.txt").await, "a\nc\n");
    assert!(!bench.exists("old.txt").await && !bench.exists("from.txt").await);
}

pub(crate) async fn all_or_nothing(bench: Bench) {
    bench.put("a.py", "def f():\n    return 1\n").await;
    bench.put("b.py", "x = 1\n").await;
    let texts = [
        refused(&bench, "*** Update File: b.py\n@@\n-x = 1\n+x = 2\n*** Update File: a.py\n@@\n def f():\n-    return 3\n+    return 4").await,
        refused(&bench, "*** Add File: new\n+x\n*** Add File: b.py\n+y").await,
        refused(&bench, "*** Delete File: bb.py\n*** Update File: b.py\n*** Move to: a.py\n@@\n-x = 1\n+x = 2").await,
        refused(&bench, "*** Update File: b.py\n@@\nx = 1").await,
        refused(&bench, "*** Add File: /etc/cofferdam-test\n+x").await,
    ];
    insta::assert_snapshot!("patch_refused", texts.join("\n---\n"));
    assert_eq!(bench.text("a.py").await, "def f():\n    return 1\n");
    assert_eq!(bench.text("b.py").await, "x = 1\n");
    assert!(!bench.exists("new").await);
}

pub(crate) async fn takes_back_what_it_wrote(bench: Bench) {
    bench.put("a", "1\n").await;
    bench.put("gone", "2\n").await;
    let body = "*** Update File: a\n@@\n-1\n+one\n*** Add File: made\n+x\n*** Delete File: gone\n*** Add File: /etc/cofferdam-test\n+x";
    let text = refused(&bench, body).await;
    assert!(text.ends_with("can be written).\nNothing was changed."), "{text}");
    assert_eq!(bench.text("a").await, "1\n");
    assert_eq!(bench.text("gone").await, "2\n");
    assert!(!bench.exists("made").await);
}

pub(crate) async fn keeps_the_mode_of_what_it_moves(bench: Bench) {
    bench.put("run.sh", "echo 1\n").await;
    bench.put("plain", "1\n").await;
    bench.ok("shell", json!({"command": "chmod +x run.sh"})).await;
    patched(&bench, "*** Update File: run.sh\n*** Move to: bin/go.sh\n@@\n-echo 1\n+echo 2\n*** Update File: plain\n*** Move to: moved").await;
    let modes = bench.ok("shell", json!({"command": "bin/go.sh; test -x moved || echo plain"})).await;
    assert_eq!(modes, "[exit 0 after T]\n2\nplain");
}

pub(crate) async fn several_operations_on_one_file(bench: Bench) {
    bench.put("a", "1\n2\n3\n").await;
    patched(&bench, "*** Update File: a\n@@\n-1\n+one\n*** Update File: a\n@@\n one\n 2\n-3\n+three").await;
    assert_eq!(bench.text("a").await, "one\n2\nthree\n");
    patched(&bench, "*** Delete File: a\n*** Add File: a\n+new").await;
    assert_eq!(bench.text("a").await, "new\n");
}

pub(crate) async fn bare_text_is_a_patch(bench: Bench) {
    bench.put("a", "1\n").await;
    let outcome =
        bench.raw("apply_patch", "*** Begin Patch\n*** Update File: a\n@@\n-1\n+one\n*** End Patch\n").await;
    assert_eq!(outcome.text, "Applied.\nM a (+1 -1)");
    let patch = "*** Begin Patch\n*** Update File: a\n@@\n-one\n+1\n*** End Patch";
    bench.ok("apply_patch", json!({"command": ["apply_patch", patch]})).await;
    assert_eq!(bench.text("a").await, "1\n");
}

pub(crate) async fn deletes_what_is_no_text(bench: Bench) {
    bench.put("data", b"\xff\0\xfe").await;
    assert_eq!(patched(&bench, "*** Delete File: data").await, "Applied.\nD data");
    assert!(!bench.exists("data").await);
    bench.put("data", b"\xff\0\xfe").await;
    let text = refused(&bench, "*** Update File: data\n@@\n-a\n+b").await;
    assert_eq!(
        text,
        "Nothing was changed.\ndata is not text of moderate length. Change it with a command in the shell."
    );
}
