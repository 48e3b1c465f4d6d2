//! The host's tools run inside, without a network.

use crate::support::{Place, run, sh, shell, text};

/// Runs a script if the program is there, and expects what it prints to end so.
async fn expect(program: &str, script: &str, end: &str) {
    let Some(place) = Place::new().await else { return };
    let sandbox = place.sandbox("layer").await;
    if sh(&*sandbox, &format!("command -v {program}")).await.is_empty() {
        eprintln!("SKIPPED: no {program} in the sandbox");
        return;
    }
    let finished = run(&*sandbox, shell(script)).await;
    assert!(
        finished.exit.success() && text(&finished).ends_with(end),
        "{:?}\n{}",
        finished.exit,
        text(&finished)
    );
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn git() {
    let script = "git init -q . && git config user.name a && git config user.email a@b && git add -A && git commit -qm one && \
                  git log --format=%s && git clone -q . ../home/agent/copy && git -C ~/copy status --porcelain --branch";
    expect("git", script, "one\n## master...origin/master\n").await;
}

#[tokio::test]
async fn python() {
    let script = "python3 -c 'import multiprocessing, ssl, tempfile, threading\n\
                  with multiprocessing.Pool(2) as pool: print(sum(pool.map(abs, [-1, -2, -3])))'";
    expect("python3", script, "6\n").await;
}

#[tokio::test]
async fn node() {
    let script = "node -e 'const os = require(\"os\"); os.cpus(); require(\"child_process\").execSync(\"true\"); console.log(1 + 1)'";
    expect("node", script, "2\n").await;
}

#[tokio::test]
async fn cargo() {
    expect(
        "cargo",
        "cargo init -q --vcs none --name hello . && cargo test -q 2>&1 && cargo run -q",
        "Hello, world!\n",
    )
    .await;
}

#[tokio::test]
async fn go() {
    let script = "mkdir g && cd g && go mod init example.com/g 2>/dev/null && printf 'package main\\nfunc main() { println(\"hi\") }\\n' > m.go && go run . 2>&1";
    expect("go", script, "hi\n").await;
}

#[tokio::test]
async fn java() {
    expect("java", "java -version 2>&1 | grep -c -i version", "1\n").await;
}
