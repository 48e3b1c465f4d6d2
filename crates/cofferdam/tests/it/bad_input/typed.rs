//! What people type and configure that cannot be: refused with one message, and nothing has been asked of a model.

use super::*;

#[test]
fn repositories_that_cannot_be_named() {
    let world = World::new();
    fs::create_dir(world.path("folder")).unwrap();
    let (folder, file) = (world.path("folder"), world.file("file", ""));
    let (folder, file) = (folder.to_str().unwrap(), file.to_str().unwrap());
    for (repository, words) in [
        ("/no/such/place", &["/no/such/place", "does not exist", "https://"][..]),
        (folder, &["is not a git repository", "git init"]),
        (file, &["is not a git repository"]),
        ("", &["it is empty"]),
        ("--upload-pack=touch owned", &["starts with a dash"]),
        ("ext::sh -c 'touch owned'", &["not allowed", "give a local path"]),
        ("git://example.org/a", &["git://", "not allowed", "https:// or ssh://"]),
        ("http://example.org/a", &["http://", "not allowed"]),
        ("file://elsewhere/a", &["may not name another host"]),
        ("https://example.org/a/../b", &["the path"]),
        ("https://ann:hunter2@example.org/a", &["password", "leave it out"]),
    ] {
        let arguments = [&["run", "--model", "scripted:x", "Do it"][..], &["--repo", repository]].concat();
        let arguments = if repository.starts_with('-') {
            vec!["run", "Do it", "--repo=--upload-pack=touch owned"]
        } else {
            arguments
        };
        refused(&world, world.cofferdam(&arguments), words);
        assert!(!world.run(&arguments).stderr.contains("hunter2"), "passwords are not repeated");
    }
    assert!(!world.path("owned").exists());
}

#[test]
fn tasks_that_cannot_be_accepted() {
    let world = World::new();
    let repository = notes(&world);
    let long = "x".repeat(FIVE_MEGABYTES);
    let task = |task: &str| world.cofferdam(&run(repository.address(), "scripted:x", &[task]));
    let file = |name: &str, content: &[u8]| {
        fs::write(world.path(name), content).unwrap();
        world.cofferdam(&run(repository.address(), "scripted:x", &["--task-file", name]))
    };
    let too_long = &["longer than 524288 bytes", "in a file of the repository"][..];
    for (invocation, words) in [
        (task(""), &["the task is empty", "--task-file"][..]),
        (task(" \n\t"), &["the task is empty"]),
        (task("-").input(b""), &["the task is empty"]),
        (task("-").input(long.as_bytes()), too_long),
        (file("long", long.as_bytes()), too_long),
        (file("bytes", b"\xff\xfe"), &["bytes is not UTF-8 text"]),
        (file("nul", b"a\0b"), &["NUL"]),
        (world.cofferdam(&["run", "--task-file", "no-such-file"]), &["no-such-file", "No such file"]),
        (world.cofferdam(&["run", "--task-file", "."]), &["Is a directory"]),
    ] {
        refused(&world, invocation, words);
    }
    for limit in [
        "--max-cost=nan",
        "--max-cost=-1",
        "--max-cost=inf",
        "--max-steps=0",
        "--max-minutes=0",
        "--max-minutes=-5",
    ] {
        let output = world.run(&run(repository.address(), "scripted:x", &[limit, "Do it"]));
        let name = limit.split('=').next().unwrap();
        assert!(output.status == 2 && output.stderr.contains(name), "{output}");
    }
    assert_eq!(sessions(&world), 0);
}

#[test]
fn sessions_that_are_none() {
    let world = World::new();
    let unknown = "ses_00000000000000000000000000";
    for command in ["show", "diff", "pr", "merge", "close", "replay", "resume", "cancel"] {
        for wrong in
            ["ses_1", "evt_00000000000000000000000000", "../../etc/passwd", "SES_00000000000000000000000000"]
        {
            let output = world.run(&[command, wrong]);
            assert!(output.status == 2 && output.stderr.contains("is not an id of this kind"), "{output}");
        }
        let words = ["there is no session ses_00000000000000000000000000", "`cofferdam sessions` lists them"];
        refused(&world, world.cofferdam(&[command, unknown]), &words);
    }
    assert_eq!(world.ok(&["sessions", "--before", unknown]).stdout, "There are no earlier sessions.\n");
}

#[test]
fn configurations_that_mean_nothing() {
    let world = World::new();
    for (text, words) in [
        ("[policy]\nstep = 3\n", &["step", "line 2", "budget"][..]),
        ("[policy.budget]\nsteps = \"many\"\n", &["many", "line 2"]),
        ("[policy\n", &["line 1"]),
        ("data = 3\n", &["data", "line 1"]),
        ("[models.providers.mine]\nkey = \"k\"\n", &["key", "key_env"]),
    ] {
        let path = world.file("broken.toml", text);
        let output = world.run(&["--config", path.to_str().unwrap(), "sessions"]);
        says(&output, 1, &[&["broken.toml is not valid"], words].concat());
    }
    fs::write(world.path("broken.toml"), b"\xff").unwrap();
    says(&world.run(&["--config", "broken.toml", "sessions"]), 1, &["broken.toml", "UTF-8"]);
    says(&world.run(&["--config", "/no/such/file", "sessions"]), 1, &["/no/such/file", "No such file"]);

    let file = world.file("file", "");
    for place in [file.clone(), file.join("below"), Path::new("/proc/no-such-place").to_owned()] {
        let output = world.run(&["--data", place.to_str().unwrap(), "sessions"]);
        says(&output, 1, &[place.to_str().unwrap(), "--data", "COFFERDAM_DATA"]);
    }
}

#[test]
fn models_that_cannot_be_had() {
    let Some(world) = World::with_sandboxes() else { return };
    // Nobody answers at the first port.
    let local = ["ollama", "llamacpp"]
        .map(|name| format!("[models.providers.{name}]\nbase_url = \"http://127.0.0.1:1\"\n"));
    world.add_to_configuration(&local.concat());
    let repository = notes(&world);
    let transcript = world.transcript("name = \"x\"\n[[step]]\ntexts = \"a\"\n");
    let empty = world.transcript("name = \"x\"\n");
    for (model, words) in [
        ("no-such-model", &["no-such-model", "PROVIDER/MODEL", "`cofferdam models` lists"][..]),
        ("openai/gpt-5", &["no key for openai", "OPENAI_API_KEY"]),
        ("ollama/x", &["no ollama server answers at http://127.0.0.1:1", "start it"]),
        ("scripted:/no/such/file", &["the transcript /no/such/file", "No such file"]),
        (&transcript, &["cannot be played", "unknown field `texts`", "line 3"]),
        (&empty, &["has no [[step]]"]),
    ] {
        refused(&world, world.cofferdam(&run(repository.address(), model, &["Do it"])), words);
    }
    let ways = ["no model is at hand", "ANTHROPIC_API_KEY", "Ollama", "`cofferdam demo`"];
    refused(&world, world.cofferdam(&["run", "--repo", repository.address(), "Do it"]), &ways);
    world.assert_nothing_is_left();
}
