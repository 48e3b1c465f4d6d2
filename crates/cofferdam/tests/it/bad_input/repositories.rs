//! Repositories that are large, odd or not there.

use super::*;

/// What a log says about the repository, or why it cannot be worked on.
fn about_the_repository(events: &[Event]) -> String {
    let said = events.iter().find_map(|event| match &event.body {
        EventBody::RepositoryReady(repository) => Some(repository.notes.join("\n")),
        EventBody::StageFailed { stage: Stage::Repository, reason } => Some(reason.clone()),
        _ => None,
    });
    said.unwrap_or_else(|| panic!("{events:?}"))
}

#[test]
fn repositories_of_every_kind() {
    let Some(world) = World::with_sandboxes() else { return };
    let plain = notes(&world);
    plain.replace("notes.txt", "one", "two");
    plain.commit("Go on");
    let clone = |name: &str, options: &[&str]| {
        let to = Repository::at(world.path(name));
        git(&[&["clone", "--quiet"], options, &[&format!("file://{}", plain.address()), to.address()]]
            .concat());
        to
    };
    let dirty = clone("dirty", &[]);
    dirty.replace("notes.txt", "two", "three");
    fs::write(dirty.path.join("new"), "").unwrap();
    dirty.git(&["add", "new"]);
    let lfs = world.repository(
        "lfs",
        &[
            (".gitattributes", "*.bin filter=lfs -text\n"),
            (
                "a.bin",
                &format!(
                    "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 5\n",
                    "0".repeat(64)
                ),
            ),
        ],
    );
    let link = format!("160000,{},inner", plain.refs()["refs/heads/main"]);
    let submodule = world
        .repository("outer", &[(".gitmodules", "[submodule \"inner\"]\n\tpath = inner\n\turl = ../inner\n")]);
    submodule.git(&["update-index", "--add", "--cacheinfo", &link]);
    submodule.git(&["commit", "--quiet", "--no-gpg-sign", "--message=Add"]);
    let hostile = world.repository("hostile", &[(
        ".gitmodules",
        "[submodule \"../../x\"]\n\tpath = -u./owned\n\turl = ext::sh -c touch% owned\n\tupdate = !touch owned\n",
    )]);
    let empty = Repository::at(world.path("empty"));
    git(&["init", "--quiet", empty.address()]);

    let model = idle(&world);
    for (repository, status, words) in [
        (&dirty, 3, &["Uncommitted changes", "are not included (2 paths)"][..]),
        (&clone("shallow", &["--depth=1"]), 3, &["shallow clone"]),
        (&clone("bare.git", &["--bare"]), 3, &[]),
        (&clone("mirror.git", &["--mirror"]), 3, &[]),
        (&lfs, 3, &["1 file is kept by Git LFS", "only pointers"]),
        (&submodule, 3, &["1 submodule is left out"]),
        (&hostile, 1, &["dangerous object", "gitmodules", "git fsck"]),
        (&empty, 1, &["has no commits yet", "make a first commit"]),
    ] {
        let before = repository.contents();
        let output = world.run(&run(repository.address(), &model, &["Do it"]));
        assert_eq!(output.status, status, "{output}");
        let said = about_the_repository(&world.events(None));
        for word in words {
            assert!(said.contains(word) && output.stdout.contains(word), "{word:?}: {output}");
        }
        assert!(!words.is_empty() || said.is_empty(), "{said}");
        assert_eq!(repository.contents(), before, "{output}");
    }
    let output = world.run(&run(plain.address(), &model, &["--base", "mian", "Do it"]));
    assert!(output.status == 1 && output.stdout.contains("did you mean main?"), "{output}");
    assert!(!world.path("owned").exists() && !hostile.path.join("owned").exists());

    // What cannot be reached now may be reached later: the session waits for that.
    let output = world.run(&run("https://127.0.0.1:1/a", &model, &["Do it"]));
    says(&output, 1, &["failed to fetch https://127.0.0.1:1/a", "address is right", "cofferdam resume"]);
    world.ok(&["cancel"]);
    world.assert_nothing_is_left();
}

#[test]
fn names_and_output_that_are_no_text() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = notes(&world);
    for name in [&b"caf\xe9.txt"[..], b"new\nline", b"esc\x1b[31m", b"\xf0\x9f\xa6\x80", b"-rf", b" "] {
        fs::write(repository.path.join(std::ffi::OsStr::from_bytes(name)), "one\n").unwrap();
    }
    repository.commit("Odd names");
    let look = json!({ "call": [
        { "tool": "shell", "args": { "command": "ls; printf '\\377\\033]0;owned\\007\\n'; for f in *; do echo two >> \"./$f\"; done" } },
        { "tool": "list", "args": {} },
        { "tool": "glob", "args": { "pattern": "**" } },
        { "tool": "grep", "args": { "pattern": "two" } },
    ] });
    // The gate refuses changes under names that no reviewer can read: those are undone.
    let undo = shell("git checkout --quiet . && printf two > notes.txt && rm -f -- -rf");
    let model = world.recording(&json!([look, finish("done"), undo, finish("done")]));
    let test = "cat *; printf '\\377\\033]0;owned\\007'";
    let output = world.run(&run(repository.address(), &model, &["--test", test, "Do it"]));
    assert_eq!(output.status, 0, "{output}");
    assert!(output.stdout.contains("caf\\xe9.txt"), "{output}");
    for shown in [&["show", "--full"][..], &["pr"], &["sessions"]] {
        let output = world.ok(shown);
        let acts = |letter: char| letter.is_control() && letter != '\n' && letter != '\t';
        assert!(!output.stdout.contains(acts), "{shown:?}: {output}");
    }
    world.ok(&["replay"]);
    world.assert_nothing_is_left();
}

#[test]
fn a_hundred_thousand_files() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = Repository::at(world.path("large.git"));
    git(&["init", "--quiet", "--bare", "--initial-branch=main", repository.address()]);
    let mut import = String::from(
        "blob\nmark :1\ndata 2\nx\n\ncommit refs/heads/main\ncommitter a <a@b> 1 +0000\ndata 1\nx\n",
    );
    for file in 0..100_000 {
        import.push_str(&format!("M 100644 :1 {}/{}/{file}\n", file / 10_000, file / 100));
    }
    fs::write(world.path("import"), import).unwrap();
    let input = fs::File::open(world.path("import")).unwrap();
    let imported = Command::new("git")
        .args(["-C", repository.address(), "fast-import", "--quiet"])
        .stdin(input)
        .status();
    assert!(imported.unwrap().success());

    let model = idle(&world);
    let work = || {
        let output = world.run(&run(repository.address(), &model, &["Do it"]));
        assert!(output.status == 3 && output.stdout.contains("100000 files"), "{output}");
        let events = world.events(Some(output.session()));
        let at = |wanted: fn(&EventBody) -> bool| events.iter().find(|event| wanted(&event.body)).unwrap().at;
        let ready = at(|body| matches!(body, EventBody::SandboxReady { .. }));
        ready.millis_since(at(|body| matches!(body, EventBody::TaskAccepted { .. })))
    };
    // The base tree is prepared once; a second session on the same commit does not wait for it.
    let (first, second) = (work(), work());
    assert!(second < 10_000 && second * 2 < first, "{first} ms, then {second} ms");
    world.assert_nothing_is_left();
}
