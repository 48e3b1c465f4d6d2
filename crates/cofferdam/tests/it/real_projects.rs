//! The main job on published projects of three languages, with their own test suites and a bug put into each.
//!
//! The projects come from their package registries through the ordinary clients when the tests run, at one exact version, and are kept
//! below the target directory. The dependencies of their tests come in by the product's own way: a read-only directory.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cofferdam_domain::PullRequestState;
use serde_json::json;

use crate::harness::{Output, Repository, World, skip};

/// A bug, as the text that is replaced.
struct Bug {
    file: &'static str,
    right: &'static str,
    wrong: &'static str,
}

/// What is asked for and what must come out.
struct Job<'a> {
    /// The directory with the project's sources.
    sources: &'a Path,
    bug: Bug,
    task: &'static str,
    /// The command that tests it; what the platform finds out by itself if there is none.
    test: Option<&'static str>,
    /// The command that the agent tests with.
    tried: &'static str,
    /// What the tests' output says when all pass.
    green: &'static str,
    /// What is searched for, to find the place.
    search: &'static str,
    /// The tests that the bug breaks.
    broken: &'static [&'static str],
}

#[test]
fn a_crate() {
    let Some(world) = World::with_sandboxes() else { return };
    let Some(folder) = fetched("strsim-0.11.1", |folder| {
        // The empty table keeps cargo from looking for a workspace above.
        let manifest = "[package]\nname = \"scratch\"\nedition = \"2021\"\n[workspace]\n[dependencies]\nstrsim = \"=0.11.1\"\n";
        write(&folder.join("Cargo.toml"), manifest);
        write(&folder.join("src/lib.rs"), "");
        client(folder, &["cargo", "vendor", "--quiet", "--versioned-dirs", "vendor"])
    }) else {
        return;
    };
    work(
        &world,
        &Job {
            sources: &folder.join("vendor/strsim-0.11.1"),
            bug: Bug {
                file: "src/lib.rs",
                right: "min(curr_distances[j + 1], prev_two_distances[j - 1] + 1)",
                wrong: "min(curr_distances[j + 1], prev_distances[j - 1] + 1)",
            },
            task: "The optimal string alignment distance is too large when two letters are swapped. Find out why and mend it.",
            test: None,
            tried: "cargo test --offline --lib 2>&1",
            green: "test result: ok. 88 passed",
            search: "pub fn osa_distance",
            broken: &[
                "strsim::tests::osa_distance_beginning_transposition",
                "strsim::tests::osa_distance_diff_reversed",
                "strsim::tests::osa_distance_diff_short",
                "strsim::tests::osa_distance_end_transposition",
                "strsim::tests::osa_distance_many_transpositions",
            ],
        },
    );
}

#[test]
fn a_python_package() {
    let Some(world) = World::with_sandboxes() else { return };
    let Some(folder) = fetched("inflection-0.5.1", |folder| {
        let download = [
            "python3",
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            "inflection",
            "inflection==0.5.1",
        ];
        client(folder, &download)?;
        client(folder, &["tar", "-xzf", "inflection-0.5.1.tar.gz"])
    }) else {
        return;
    };
    let Some(pytest) = fetched("pytest-8.3.4", |folder| {
        client(
            folder,
            &["python3", "-m", "pip", "install", "--quiet", "--target", "packages", "pytest==8.3.4"],
        )
    }) else {
        return;
    };
    world.add_to_configuration(&format!(
        "[[sandbox.read_only]]\nhost = \"{}\"\ninside = \"/dependencies\"\n",
        pytest.join("packages").display()
    ));
    let test = "PYTHONPATH=/dependencies python3 -m pytest -v -p no:cacheprovider";
    work(
        &world,
        &Job {
            sources: &folder.join("inflection-0.5.1"),
            bug: Bug {
                file: "inflection/__init__.py",
                right: "if number % 100 in (11, 12, 13):",
                wrong: "if number % 100 in (11, 12):",
            },
            task: "`ordinalize(13)` says 13rd. It should say 13th.",
            test: Some(test),
            tried: test,
            green: " 455 passed",
            search: "^def ordinal\\(",
            broken: &[
                "test_inflection.py::test_ordinal[-113--113th]",
                "test_inflection.py::test_ordinal[-13--13th]",
                "test_inflection.py::test_ordinal[113-113th]",
                "test_inflection.py::test_ordinal[13-13th]",
                "test_inflection.py::test_ordinalize[-113--113th]",
                "test_inflection.py::test_ordinalize[-13--13th]",
                "test_inflection.py::test_ordinalize[113-113th]",
                "test_inflection.py::test_ordinalize[13-13th]",
            ],
        },
    );
}

#[test]
fn an_npm_package() {
    let Some(world) = World::with_sandboxes() else { return };
    let Some(folder) = fetched("process-warning-5.0.0", |folder| {
        client(folder, &["npm", "pack", "--silent", "process-warning@5.0.0"])?;
        client(folder, &["tar", "-xzf", "process-warning-5.0.0.tgz"])
    }) else {
        return;
    };
    work(
        &world,
        &Job {
            sources: &folder.join("package"),
            bug: Bug {
                file: "index.js",
                right: "if (warning.emitted === true && warning.unlimited !== true) {",
                wrong: "if (warning.emitted === true && warning.unlimited === true) {",
            },
            task: "A warning is emitted every time instead of once.",
            test: Some("node --test"),
            tried: "node --test",
            green: "# fail 0",
            search: "if \\(warning.emitted",
            broken: &[
                "Must not overwrite config",
                "a limited warning can be re-set",
                "emit should emit a given code only once",
                "emit should set the emitted state",
                "emit with interpolated string",
            ],
        },
    );
}

/// Puts the bug in, has it found and mended, and looks at everything that came out.
fn work(world: &World, job: &Job<'_>) {
    let repository = published(world, job);
    let bare = world.path("project.git");
    repository.git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    let bare = Repository::at(bare);
    let (untouched, refs) = (repository.contents(), repository.refs());

    let model = recording(world, job);
    let mut arguments = vec!["run", "--repo", bare.address(), "--model", &model, job.task];
    if let Some(test) = job.test {
        arguments.extend(["--test", test]);
    }
    let output = world.run(&arguments);
    assert_eq!(output.status, 0, "{output}");

    evidence(world, job);
    let head = format!("cofferdam/{}", output.session());
    repository.git(&["fetch", "--quiet", bare.address(), &head]);
    assert_eq!(
        repository.git(&["diff", "HEAD", "FETCH_HEAD"]),
        repository.git(&["diff", "HEAD", "HEAD~1"]),
        "the change is the bug's inverse"
    );
    commands(world, job, &output);
    world.ok(&["merge"]);
    assert!(matches!(world.pull_request().state, PullRequestState::Merged { .. }));
    assert_eq!(bare.git(&["rev-parse", "main^{tree}"]), repository.git(&["rev-parse", "HEAD~1^{tree}"]));
    fs::remove_file(repository.path.join(".git/FETCH_HEAD")).unwrap();
    assert_eq!((repository.contents(), repository.refs()), (untouched, refs));
    world.assert_nothing_is_left();
}

/// A repository with the project as it was published, whose suite is green in a sandbox, and then the bug.
fn published(world: &World, job: &Job<'_>) -> Repository {
    let repository = Repository::at(world.path("project"));
    copy(job.sources, &repository.path);
    write(&repository.path.join(".gitignore"), "/target\n/Cargo.lock\n__pycache__/\n");
    repository.git(&["init", "--quiet", "--initial-branch=main", "--template="]);
    repository.commit("As it was published");
    let output =
        world.run(&["sandbox", "run", "--workspace", repository.address(), "--", "sh", "-c", job.tried]);
    assert!(output.status == 0 && output.stdout.contains(job.green), "green as published: {output}");
    repository.replace(job.bug.file, job.bug.right, job.bug.wrong);
    repository.commit("Change something");
    repository
}

/// The model: tests, searches, reads what it found, edits, tests again.
fn recording(world: &World, job: &Job<'_>) -> String {
    let failing = job.broken[0].rsplit("::").next().unwrap();
    world.recording(&json!([
        { "text": "First the tests.", "call": [{ "tool": "shell", "args": { "command": job.tried } }] },
        {
            "expect": { "contains": [failing] },
            "text": "There it is. Where does that come from?",
            "call": [{ "tool": "grep", "args": { "pattern": job.search, "glob": job.bug.file } }],
        },
        {
            "expect": { "matches": r"(?m)^\s*(?<line>\d+):" },
            "call": [{ "tool": "read", "raw": format!(r#"{{"path": "{}", "offset": ${{line}}, "limit": 40}}"#, job.bug.file) }],
        },
        {
            "expect": { "contains": [job.bug.wrong] },
            "text": "This condition is wrong.",
            "call": [{
                "tool": "edit",
                "args": { "path": job.bug.file, "edits": [{ "old_text": job.bug.wrong, "new_text": job.bug.right }] },
            }],
        },
        { "call": [{ "tool": "shell", "args": { "command": job.tried } }] },
        {
            "expect": { "contains": [job.green] },
            "call": [{
                "tool": "finish",
                "args": { "outcome": "done", "title": "Mend it", "summary": "One expression was wrong. The tests pass." },
            }],
        },
    ]))
}

/// Red on the base and green on the head, by exactly the tests that the bug breaks.
fn evidence(world: &World, job: &Job<'_>) {
    let [base, head] = world.evidence(None);
    assert!(!base.exit.success() && head.exit.success(), "{base:?} {head:?}");
    let [mut base, head] = [base, head].map(|run| run.tests.unwrap());
    base.failed.sort();
    assert_eq!(base.failed, job.broken);
    assert_eq!(head.failed, [""; 0]);
    assert!(job.broken.iter().all(|name| head.passed.iter().any(|passed| passed == name)), "{head:?}");
    let body = world.pull_request().body;
    assert!(body.contains("**The tests failed before the change and pass with it.**"), "{body}");
    assert!(
        body.contains(&format!("Fixed by the change (failed before, pass now): {}", job.broken.len())),
        "{body}"
    );
}

/// What the other commands say of the session.
fn commands(world: &World, job: &Job<'_>, run: &Output) {
    let diff = world.ok(&["diff"]).stdout;
    assert!(diff.contains(&format!("-{}", indented(&diff, job.bug.wrong))), "{diff}");
    assert!(diff.contains(&format!("+{}", indented(&diff, job.bug.right))), "{diff}");
    let shown = world.ok(&["show"]).stdout;
    assert!(
        shown.contains("evidence on base") && shown.contains(job.task.split_once(' ').unwrap().0),
        "{shown}"
    );
    let replayed = world.ok(&["replay", &run.session().to_string()]).stdout;
    assert!(replayed.contains("6 model requests, byte for byte"), "{replayed}");
    assert!(world.ok(&["pr"]).stdout.contains("#1 open Mend it"));
}

/// The part of the diff's line from its sign to the end of `code`.
fn indented(diff: &str, code: &str) -> String {
    let line =
        diff.lines().find(|line| line.contains(code)).unwrap_or_else(|| panic!("{code:?} is not in {diff}"));
    line[1..line.find(code).unwrap() + code.len()].to_owned()
}

/// A directory that `fetch` has filled, now or in an earlier run; `None`, loudly, where the registry cannot be reached.
fn fetched(name: &str, fetch: impl Fn(&Path) -> Result<(), String>) -> Option<PathBuf> {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects");
    let place = cache.join(name);
    if place.exists() {
        return Some(place);
    }
    fs::create_dir_all(&cache).unwrap();
    let new = tempfile::tempdir_in(&cache).unwrap();
    if let Err(reason) = fetch(new.path()) {
        skip(&format!("{name} cannot be had: {reason}"));
        return None;
    }
    // Whole, or not there. Somebody else may have been faster.
    let made = new.keep();
    if fs::rename(&made, &place).is_err() {
        fs::remove_dir_all(made).unwrap();
    }
    Some(place)
}

/// Runs a package manager or tar.
fn client(folder: &Path, command: &[&str]) -> Result<(), String> {
    let output = Command::new(command[0]).args(&command[1..]).current_dir(folder).output();
    let output = output.map_err(|error| format!("{}: {error}", command[0]))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Copies a directory without the marks of the package manager.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_name().to_string_lossy().starts_with(".cargo") {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
