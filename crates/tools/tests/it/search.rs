//! `grep` and `glob`.

use serde_json::json;

use crate::suite::Bench;

async fn tree(bench: &Bench) {
    bench.put("src/a.rs", "fn one() {}\nfn two() {\n    one();\n}\n").await;
    bench.put("src/deep/b.rs", "// nothing\nuse one;\n").await;
    bench.put("notes.md", "One (of many)\n").await;
    bench.put(".gitignore", "ignored/\n").await;
    bench.put("ignored/c.rs", "one\n").await;
}

pub(crate) async fn greps(bench: Bench) {
    tree(&bench).await;
    let texts = [
        bench.ok("grep", json!({"pattern": r"\bone\b"})).await,
        bench.ok("grep", json!({"pattern": "one", "-i": true, "path": "notes.md"})).await,
        bench.ok("grep", json!({"pattern": "use", "path": "src", "context": 1})).await,
        bench.ok("grep", json!({"pattern": "(of many)", "literal": true, "include": "*.md"})).await,
        bench.ok("grep", json!({"pattern": "one", "hidden": true, "glob": "ignored/*"})).await,
        bench.ok("grep", json!({"pattern": r"two\(\) \{\n.*one", "multiline": true})).await,
        bench.ok("grep", json!({"pattern": "one", "limit": 1})).await,
    ];
    insta::assert_snapshot!("grep", texts.join("\n---\n"));
}

pub(crate) async fn greps_files_and_counts(bench: Bench) {
    tree(&bench).await;
    let texts = [
        bench.ok("grep", json!({"pattern": "one", "mode": "files"})).await,
        bench.ok("grep", json!({"pattern": "one", "output_mode": "count"})).await,
        bench.ok("grep", json!({"pattern": "one", "output_mode": "files_with_matches", "limit": 1})).await,
    ];
    insta::assert_snapshot!("grep_files", texts.join("\n---\n"));
}

pub(crate) async fn bad_patterns(bench: Bench) {
    tree(&bench).await;
    let text = bench.error("grep", json!({"pattern": "f(x"})).await;
    assert!(
        text.contains("unclosed group") && text.ends_with("To search for it as plain text, set literal."),
        "{text}"
    );
    let text = bench.error("glob", json!({"pattern": "a{b"})).await;
    assert!(text.contains("a{b"), "{text}");
    assert_eq!(
        bench.error("grep", json!({"pattern": ""})).await,
        "The pattern is empty. To find files by name, use `glob`."
    );
}

pub(crate) async fn globs(bench: Bench) {
    tree(&bench).await;
    let mut found: Vec<String> =
        bench.ok("glob", json!({"pattern": "*.rs"})).await.lines().map(str::to_owned).collect();
    found.sort();
    assert_eq!(found, ["src/a.rs", "src/deep/b.rs"]);
    assert_eq!(bench.ok("glob", json!({"pattern": "**/b.*", "path": "src"})).await, "src/deep/b.rs");
    assert_eq!(bench.ok("glob", json!({"pattern": "/workspace/src/*.rs"})).await, "src/a.rs");
    let cut = bench.ok("glob", json!({"pattern": "*.rs", "limit": 1})).await;
    assert!(cut.ends_with("\n[cut after 1 files: narrow the pattern or the path]"), "{cut}");
}

pub(crate) async fn nothing_found(bench: Bench) {
    tree(&bench).await;
    assert_eq!(
        bench.ok("grep", json!({"pattern": "absent"})).await,
        "No matches. Hidden and ignored files were left out; hidden: true searches them."
    );
    assert_eq!(bench.ok("grep", json!({"pattern": "absent", "hidden": true})).await, "No matches.");
    assert_eq!(bench.ok("glob", json!({"pattern": "*.zig"})).await, "No files match *.zig.");
}
