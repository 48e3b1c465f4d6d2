//! `read`, `write` and `list`.

use cofferdam_domain::tool::ToolEffect;
use serde_json::json;

use crate::suite::Bench;

pub(crate) async fn reads_with_numbers(bench: Bench) {
    bench.put("a.txt", "one\ntwo\n").await;
    assert_eq!(bench.ok("read", json!({"path": "a.txt"})).await, "1\tone\n2\ttwo");
    assert_eq!(bench.ok("read", json!({"file_path": "/workspace/./a.txt"})).await, "1\tone\n2\ttwo");
    bench.put("empty", "").await;
    assert_eq!(bench.ok("read", json!({"path": "empty"})).await, "[empty file]");
    bench.put("long", format!("{}\nnext", "x".repeat(5000))).await;
    let long = bench.ok("read", json!({"path": "long"})).await;
    assert!(long.ends_with("x[… 3000 more characters]\n2\tnext"), "{long}");
    assert_eq!(bench.error("read", json!({"path": "."})).await, ". is a directory: use `list` or `glob`.");
    // The rest of the machine may be looked at too.
    assert!(bench.ok("read", json!({"path": "/proc/self/status"})).await.starts_with("1\tName:"));
}

pub(crate) async fn reads_in_pages(bench: Bench) {
    let text: String = (1..=5000).map(|number| format!("line {number}\n")).collect();
    bench.put("big", &text).await;
    let first = bench.ok("read", json!({"path": "big"})).await;
    assert!(first.ends_with("2000\tline 2000\n[lines 1 to 2000 of 5000; go on with offset 2001]"));
    let last = bench.ok("read", json!({"path": "big", "offset": 4001})).await;
    assert!(last.starts_with("4001\t") && last.ends_with("5000\tline 5000\n[lines 4001 to 5000 of 5000]"));
    assert_eq!(
        bench.ok("read", json!({"path": "big", "offset": "7", "limit": 1})).await,
        "7\tline 7\n[lines 7 to 7 of 5000; go on with offset 8]"
    );
    assert_eq!(
        bench.error("read", json!({"path": "big", "offset": 5001})).await,
        "big has 5000 lines; there is no line 5001."
    );
    // Pages of wide lines end before the bound on bytes, and together show everything.
    let wide: String = (0..300).map(|number| format!("{number} {}\n", "w".repeat(900))).collect();
    bench.put("wide", &wide).await;
    let (mut offset, mut seen) = (1, String::new());
    while offset <= 300 {
        let page = bench.ok("read", json!({"path": "wide", "offset": offset})).await;
        for line in page.lines().filter_map(|line| line.split_once('\t')) {
            seen.push_str(line.1);
            seen.push('\n');
            offset += 1;
        }
    }
    assert_eq!(seen, wide);
}

pub(crate) async fn pictures_are_shown(bench: Bench) {
    let dot = painted(3, 2);
    bench.put("dot.png", &dot).await;
    let outcome = bench.call("read", json!({"path": "dot.png"})).await;
    assert_eq!(outcome.text, format!("[dot.png: image/png, {} B]", dot.len()));
    assert_eq!(outcome.images[0].media_type, "image/png");
    assert_eq!(bench.blobs.0.lock().unwrap()[&outcome.images[0].blob.digest], dot);
    // What models do not take so is scaled down, and whole beside it.
    let wide = painted(3_000, 20);
    bench.put("wide.png", &wide).await;
    let outcome = bench.call("read", json!({"path": "wide.png"})).await;
    assert!(outcome.text.ends_with("; 3000 by 20 pixels, shown as 1568 by 10]"), "{}", outcome.text);
    let whole = outcome.whole.unwrap().digest;
    assert_eq!(bench.blobs.0.lock().unwrap()[&whole], wide);
    assert_ne!(outcome.images[0].blob.digest, whole);
    // What is none, or would be very large, is told.
    let mut bomb = Vec::new();
    let mut writer = png::Encoder::new(&mut bomb, 50_000, 50_000).write_header().unwrap();
    writer.write_chunk(png::chunk::IDAT, &[0x78, 0x9c, 1, 0]).unwrap();
    drop(writer);
    for (name, bytes, wanted) in [
        ("bomb.png", bomb, "50000 by 50000 pixels"),
        ("broken.png", dot[..dot.len() / 2].to_vec(), "malformed"),
        ("none.gif", b"GIF89a, or so it says".to_vec(), "cannot be shown"),
    ] {
        bench.put(name, &bytes).await;
        let told = bench.error("read", json!({"path": name})).await;
        assert!(told.contains(wanted), "{told}");
    }
    bench.put("huge.gif", [b"GIF89a".as_slice(), &vec![0; 21 << 20]].concat()).await;
    let outcome = bench.call("read", json!({"path": "huge.gif"})).await;
    assert!(outcome.images.is_empty());
    assert_eq!(
        outcome.text,
        "huge.gif: image/gif, 21.0 MB. Too large to be shown: scale it down below 20.0 MB."
    );
}

fn painted(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = png::Encoder::new(&mut bytes, width, height).write_header().unwrap();
    writer.write_image_data(&vec![90; (width * height) as usize]).unwrap();
    drop(writer);
    bytes
}

pub(crate) async fn what_is_no_text_is_described(bench: Bench) {
    bench.put("program", b"\x7fELF\x02\x01\x01\0").await;
    bench.put("data", b"\x01\x02\0\x03").await;
    bench.put("latin", b"caf\xe9\n").await;
    let mut texts = Vec::new();
    for path in ["program", "data", "latin"] {
        texts.push(bench.ok("read", json!({"path": path})).await);
    }
    insta::assert_snapshot!("not_text", texts.join("\n---\n"));
}

pub(crate) async fn missing_files_have_suggestions(bench: Bench) {
    bench.put("src/parser.rs", "").await;
    bench.put("docs/guide.md", "").await;
    let mut texts = Vec::new();
    for path in ["src/parse.rs", "guide.md", "lib/parser.rs", "nothing/like/it"] {
        texts.push(bench.error("read", json!({"path": path})).await);
    }
    texts.push(
        bench
            .error("edit", json!({"path": "src/Parser.rs", "edits": [{"old_text": "a", "new_text": "b"}]}))
            .await,
    );
    texts.push(bench.error("list", json!({"path": "doc"})).await);
    texts.push(bench.error("grep", json!({"path": "dosc", "pattern": "x"})).await);
    insta::assert_snapshot!("missing", texts.join("\n"));
}

pub(crate) async fn writes(bench: Bench) {
    let outcome = bench.call("write", json!({"path": "deep/er/new.txt", "content": "a\nb\n"})).await;
    assert_eq!(outcome.text, "Made deep/er/new.txt: 2 lines.");
    assert_eq!(outcome.effect, Some(ToolEffect::Edited { paths: vec!["deep/er/new.txt".into()] }));
    assert_eq!(bench.text("deep/er/new.txt").await, "a\nb\n");
    assert_eq!(
        bench.ok("write", json!({"path": "deep/er/new.txt", "contents": "c"})).await,
        "Replaced deep/er/new.txt: 1 line, 1 B (was 4 B)."
    );
    // What was written counts as read.
    bench.ok("edit", json!({"path": "deep/er/new.txt", "edits": [{"old_text": "c", "new_text": "d"}]})).await;
    assert_eq!(bench.text("deep/er/new.txt").await, "d");
    assert_eq!(
        bench.error("write", json!({"path": "deep", "content": ""})).await,
        "deep is a directory: give the path of a file."
    );
    let outcome = bench.call("write", json!({"path": "~/notes", "content": "x"})).await;
    assert_eq!((outcome.effect, outcome.text.as_str()), (None, "Made /home/agent/notes: 1 line."));
    assert_eq!(
        bench.error("write", json!({"path": "/etc/cofferdam-test", "content": "x"})).await,
        "/etc/cofferdam-test: permission denied (only /workspace and /home/agent can be written)."
    );
}

pub(crate) async fn writes_nothing_over_unseen_changes(bench: Bench) {
    bench.put("a", "first").await;
    bench.ok("read", json!({"path": "a"})).await;
    bench.ok("shell", json!({"command": "echo changed > a"})).await;
    assert_eq!(
        bench.error("write", json!({"path": "a", "content": "mine"})).await,
        "a has changed since you read it. Read it again first."
    );
    assert_eq!(bench.text("a").await, "changed\n");
    bench.ok("read", json!({"path": "a"})).await;
    bench.ok("write", json!({"path": "a", "content": "mine"})).await;
    bench.ok("shell", json!({"command": "rm a"})).await;
    assert_eq!(bench.ok("write", json!({"path": "a", "content": "again"})).await, "Made a: 1 line.");
}

pub(crate) async fn lists_trees(bench: Bench) {
    for path in ["src/a/deep/x.rs", "src/main.rs", "node_modules/left/pad.js", "README.md", "empty/.keep"] {
        bench.put(path, "12345").await;
    }
    bench.ok("shell", json!({"command": "rm empty/.keep; ln -s README.md link; mkfifo pipe"})).await;
    insta::assert_snapshot!("tree", bench.ok("list", json!({})).await);
    insta::assert_snapshot!("tree_below", bench.ok("list", json!({"path": "src", "depth": 9})).await);
    assert_eq!(bench.error("list", json!({"path": "README.md"})).await, "README.md is a file: use `read`.");
    bench.ok("shell", json!({"command": "mkdir many; cd many; seq 1 700 | xargs touch"})).await;
    let many = bench.ok("list", json!({"path": "many"})).await;
    assert!(many.starts_with("many/ (700 entries)\n") && many.ends_with("[… 200 more]"), "{many}");
}

pub(crate) async fn whole_outputs_can_be_paged(bench: Bench) {
    bench.ok("shell", json!({"command": "seq 1 5000"})).await;
    let path = "/home/agent/.cofferdam/outputs/call_1_0.txt";
    assert_eq!(
        bench.ok("read", json!({"path": path, "offset": 2500, "limit": 1})).await,
        "2500\t2500\n[lines 2500 to 2500 of 5000; go on with offset 2501]"
    );
    assert_eq!(
        bench.ok("grep", json!({"path": path, "pattern": "^2500$"})).await,
        format!("{path}\n2500:2500")
    );
}
