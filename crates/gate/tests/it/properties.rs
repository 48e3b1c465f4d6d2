//! No bytes make the gate panic, grow, or let prose act.

use cofferdam_domain::{Change, FileMode, Policy};
use cofferdam_gate::{GatePolicy, PullRequestText, examine, parse_report, sanitise_prose, sanitise_title};
use proptest::prelude::*;

use crate::{
    changes::{commit, file, side},
    pull_request::{active, facts},
};

/// Bytes that often come near what the rules look for.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        any::<Vec<u8>>(),
        "\\PC{0,40}".prop_map(String::into_bytes),
        prop::sample::select(FRAGMENTS).prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(fragment, 0..12).prop_map(|parts| parts.concat())
}

const FRAGMENTS: &[&str] = &[
    "-----BEGIN PRIVATE KEY-----",
    "-----END",
    "\n",
    "\r\n",
    "eyJhbGciOi",
    "postgres://a:b@",
    "AKIA",
    "ghp_",
    "token = \"",
    "#[test]\nfn ",
    "assert!(true)",
    "def test_",
    "it('",
    "|| true",
    "\"test\": \"",
    "\u{202e}",
    "\u{200d}",
    "\u{e0041}",
    "\u{fe0f}",
    "a\u{430}b",
    "test a ... ok\n",
    "ok 1 - x\n",
    "1..3\n",
    "# Subtest: x\n",
    "    ",
    "✓ x (1 ms)\n",
    "▶ x\n",
    "--- PASS: T (0.00s)\n",
    "ok  \tp\t0.1s\n",
    "a.py::t PASSED\n",
    "=== short test summary info ===\n",
    "FAILED a.py::t[ - ]\n",
    "t (m.T) ... ok\n",
    "Tests run: 1, Failures: 0,",
    "`",
    "```",
    "~~~",
    "@lead",
    "#12",
    "GH-1",
    "![",
    "](",
    "https://evil.example",
    "<img src=x>",
    "<!--",
    "-->",
    "&#64;x",
    "[x]: //y",
    "\\",
    "|",
    "---",
    "===",
    "# ",
    "> ",
    "- ",
    "* ",
    "Signed-off-by: x",
    "$x$",
    "www.evil.example",
    "*",
    "_",
    "**",
    "a@b.example",
    "{",
    "}",
    "\t",
    "    code",
    "1. ",
    "\u{b}",
    "\u{2028}",
    "[^1]",
    "[^1]: x",
    "+++",
    ":",
    "!",
    "^",
    "mailto:x",
    "/close",
    "!1",
    "http://",
    "//",
];

const PATHS: &[&str] = &[
    "src/lib.rs",
    "tests/test_a.py",
    "a.test.ts",
    "package.json",
    "Cargo.lock",
    "Makefile",
    ".github/workflows/a.yml",
    "a.md",
    "k.pem",
    "x_test.go",
    "a.min.js",
    "AGENTS.md",
    "conftest.py",
];

fn modes() -> impl Strategy<Value = FileMode> {
    prop::sample::select(&[FileMode::Regular, FileMode::Executable, FileMode::Symlink, FileMode::Gitlink])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_change_can_be_examined(
        entries in prop::collection::vec(
            (prop_oneof![hostile(), prop::sample::select(PATHS).prop_map(|path| path.as_bytes().to_vec())], hostile(), hostile(), modes(), modes(), 0..3_u8),
            0..5,
        ),
        message in "\\PC{0,80}",
    ) {
        let files = entries.into_iter().map(|(path, old, new, before, after, kind)| {
            let (old, new) = (side(before, &old), side(after, &new));
            match kind {
                0 => file(path, None, Some(new)),
                1 => file(path, Some(old), Some(new)),
                _ => file(path, Some(old), None),
            }
        }).collect();
        let change = Change { files, commits: vec![commit(&message)], ..Change::default() };
        let policy = GatePolicy::new(&Policy::default()).unwrap();
        let findings = examine(&change, &policy);
        prop_assert!(findings.len() < 12 * 44);
        for finding in &findings {
            prop_assert!(finding.why.len() <= 1_100 && finding.path.len() <= 400);
        }
        prop_assert_eq!(findings, examine(&change, &policy));
    }

    #[test]
    fn any_output_can_be_read(output in hostile(), command in prop::sample::select(&["cargo test", "pytest", "go test", "node --test", "make"])) {
        if let Some(report) = parse_report(command, &output) {
            for name in report.passed.iter().chain(&report.failed).chain(&report.skipped) {
                prop_assert!(name.len() <= 320 && !name.contains('\n'));
            }
        }
    }

    #[test]
    fn prose_never_acts(prose in hostile(), title in hostile()) {
        let (prose, title) = (String::from_utf8_lossy(&prose), String::from_utf8_lossy(&title));
        let text = PullRequestText::render(&facts(&title, &prose));
        prop_assert_eq!(active(&text.body), Vec::<String>::new(), "{}", text.body);
        let plain = !text.title.contains(['\n', '@', '<', '#', '`', '\u{202e}']) && !text.title.contains("://");
        prop_assert!(plain, "{:?}", text.title);
        let quote = sanitise_prose(&prose);
        prop_assert!(quote.lines().all(|line| line.starts_with('>')), "{}", quote);
        prop_assert!(!sanitise_title(&title).contains('\r'));
    }
}
