//! What searches find in small trees.

use std::{
    fs,
    io::{Read, Seek},
    path::Path,
};

use cofferdam_hand::protocol::{records::Decoder, text::SandboxPath};

use super::*;

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    root
}

fn request(root: &Path, pattern: Option<&str>) -> Search {
    Search {
        root: SandboxPath::new(root.as_os_str().as_encoded_bytes()).unwrap(),
        pattern: pattern.map(str::to_owned),
        glob: None,
        literal: false,
        ignore_case: false,
        multiline: false,
        context: 0,
        hidden: false,
        limit: 1000,
        timeout_ms: 60_000,
    }
}

/// Results as `name` and `name:number:text` (or `-` for context), and whether they were cut.
fn found(request: &Search) -> (Vec<String>, bool) {
    let mut out = tempfile::tempfile().unwrap();
    let cut = run(request, out.try_clone().unwrap()).unwrap();
    out.rewind().unwrap();
    let mut decoder = Decoder::default();
    let mut bytes = Vec::new();
    out.read_to_end(&mut bytes).unwrap();
    decoder.push(&bytes);
    let (mut shown, mut file) = (Vec::new(), String::new());
    while let Some(record) = decoder.next_record::<Found>().unwrap() {
        shown.push(match record {
            Found::File(Bytes(name)) => {
                file = String::from_utf8(name).unwrap();
                file.clone()
            }
            Found::Line { number, text, is_match } => {
                let mark = if is_match { ':' } else { '-' };
                format!("{file}:{number}{mark}{}", String::from_utf8(text.0).unwrap())
            }
        });
    }
    decoder.finish().unwrap();
    (shown, cut)
}

#[test]
fn files_in_the_order_of_their_paths_with_lines_and_context() {
    let root =
        tree(&[("b.txt", "one\ntwo\nthree\n"), ("a/z.txt", "two\r\n"), ("a-b.txt", "two"), ("none", "x")]);
    let mut search = request(root.path(), Some("^two"));
    let expected = ["a/z.txt", "a/z.txt:1:two", "a-b.txt", "a-b.txt:1:two", "b.txt", "b.txt:2:two"];
    assert_eq!(found(&search), (expected.map(str::to_owned).to_vec(), false));
    search.context = 1;
    search.root = SandboxPath::new(root.path().join("b.txt").into_os_string().into_encoded_bytes()).unwrap();
    let name = root.path().join("b.txt").display().to_string();
    let expected =
        [name.clone(), format!("{name}:1-one"), format!("{name}:2:two"), format!("{name}:3-three")];
    assert_eq!(found(&search).0, expected);
}

#[test]
fn ignore_rules_hold_without_a_repository_and_git_is_never_searched() {
    let files = [
        (".gitignore", "target/\n"),
        ("target/x.txt", "hit"),
        (".hidden", "hit"),
        (".git/config", "hit"),
        ("sub/.ignore", "skip"),
        ("sub/skip", "hit"),
        ("sub/keep", "hit"),
    ];
    let root = tree(&files);
    let mut search = request(root.path(), Some("hit"));
    assert_eq!(found(&search).0, ["sub/keep", "sub/keep:1:hit"]);
    search.hidden = true;
    let names = found(&search).0.into_iter().filter(|line| !line.contains(':')).collect::<Vec<_>>();
    assert_eq!(names, [".hidden", "sub/keep", "sub/skip", "target/x.txt"]);
}

#[test]
fn rules_of_a_parent_directory_hold_too() {
    let root = tree(&[(".gitignore", "*.log\n"), ("sub/a.log", "hit"), ("sub/a.txt", "hit")]);
    assert_eq!(found(&request(&root.path().join("sub"), Some("hit"))).0, ["a.txt", "a.txt:1:hit"]);
}

#[test]
fn globs_are_about_names_or_about_paths() {
    let root =
        tree(&[("a.rs", ""), ("src/b.rs", ""), ("src/deep/c.rs", ""), ("src/d.ts", ""), ("e.tsx", "")]);
    let names = |glob: &str| {
        let mut names = found(&Search { glob: Some(glob.into()), ..request(root.path(), None) }).0;
        names.sort();
        names
    };
    assert_eq!(names("*.rs"), ["a.rs", "src/b.rs", "src/deep/c.rs"]);
    assert_eq!(names("src/*.rs"), ["src/b.rs"]);
    assert_eq!(names("**/*.rs"), ["a.rs", "src/b.rs", "src/deep/c.rs"]);
    assert_eq!(names("./src/**"), ["src/b.rs", "src/d.ts", "src/deep/c.rs"]);
    assert_eq!(names("*.{ts,tsx}"), ["e.tsx", "src/d.ts"]);
}

#[test]
fn without_a_pattern_the_newest_come_first() {
    let root = tree(&[("old", ""), ("new", ""), ("mid", "")]);
    for (name, age) in [("old", 300), ("mid", 200), ("new", 100)] {
        let changed = std::time::SystemTime::now() - Duration::from_secs(age);
        File::options().write(true).open(root.path().join(name)).unwrap().set_modified(changed).unwrap();
    }
    let mut search = request(root.path(), None);
    assert_eq!(found(&search), (["new", "mid", "old"].map(str::to_owned).to_vec(), false));
    search.limit = 2;
    assert_eq!(found(&search), (["new", "mid"].map(str::to_owned).to_vec(), true));
}

#[test]
fn limit_and_time_cut_and_say_so() {
    let root = tree(&[("a", "x\nx\nx\n"), ("b", "x\nx\n")]);
    let mut search = Search { limit: 4, ..request(root.path(), Some("x")) };
    assert_eq!(
        found(&search),
        (["a", "a:1:x", "a:2:x", "a:3:x", "b", "b:1:x"].map(str::to_owned).to_vec(), true)
    );
    search.limit = 5;
    assert!(!found(&search).1);
    search.timeout_ms = 0;
    assert_eq!(found(&search), (Vec::new(), true));
}

#[test]
fn literal_case_and_lines() {
    let root = tree(&[("a", "fn f(x)\nend\nF(X)\n")]);
    let mut search = Search { literal: true, ..request(root.path(), Some("f(x)")) };
    assert_eq!(found(&search).0, ["a", "a:1:fn f(x)"]);
    search.ignore_case = true;
    assert_eq!(found(&search).0, ["a", "a:1:fn f(x)", "a:3:F(X)"]);
    let across = Search { multiline: true, ..request(root.path(), Some(r"\(x\).*end")) };
    assert_eq!(found(&across).0, ["a", "a:1:fn f(x)", "a:2:end"]);
}

#[test]
fn binary_files_are_passed_over_and_long_lines_cut() {
    let root = tree(&[("bin", "hit\nhit\0hit\n"), ("long", &"y".repeat(5000)), ("none", "")]);
    assert_eq!(found(&request(root.path(), Some("hit"))).0, Vec::<String>::new());
    assert_eq!(
        found(&request(root.path(), Some("y"))).0,
        ["long".to_owned(), format!("long:1:{}", "y".repeat(1000))]
    );
}

#[test]
fn problems_say_where() {
    let root = tree(&[("a", "")]);
    let problem = |search: Search| run(&search, tempfile::tempfile().unwrap()).unwrap_err();
    let pattern = problem(request(root.path(), Some("a(b")));
    assert!(
        matches!(&pattern, SearchProblem::Pattern(text) if text.as_str().contains("unclosed group")),
        "{pattern}"
    );
    let newline = problem(request(root.path(), Some("a\\nb")));
    assert!(
        matches!(&newline, SearchProblem::Pattern(text) if text.as_str().contains("multiline")),
        "{newline}"
    );
    let glob = problem(Search { glob: Some("{a".into()), ..request(root.path(), None) });
    assert!(matches!(&glob, SearchProblem::Glob(text) if text.as_str().contains("{a")), "{glob}");
    let missing = problem(request(&root.path().join("no"), None));
    assert_eq!(missing, SearchProblem::Root(cofferdam_hand::protocol::message::FileProblem::Missing));
}

#[test]
fn nothing_that_waits_is_opened() {
    let root = tree(&[("a", "hit")]);
    rustix::fs::mkfifoat(rustix::fs::CWD, root.path().join("fifo"), rustix::fs::Mode::RUSR).unwrap();
    std::os::unix::fs::symlink("/dev/zero", root.path().join("zero")).unwrap();
    assert_eq!(found(&request(root.path(), Some("hit"))).0, ["a", "a:1:hit"]);
    let fifo = run(&request(&root.path().join("fifo"), Some("hit")), tempfile::tempfile().unwrap());
    assert!(matches!(fifo, Err(SearchProblem::Root(_))));
}
