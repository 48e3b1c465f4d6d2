//! TM: the tools, turned against the platform.

use serde_json::json;

use crate::{
    canary::Place,
    case::{Case, Driver, Held},
    family::change,
    problem::{Result, ensure},
    session::{FIX, Session, call},
    world::{Host, World},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = pushes();
    cases.push(
        Case::new("TM-07", Driver::Model, "File tools on paths out of the workspace", paths)
            .covering(&["SB-23"]),
    );
    cases.push(
        Case::new(
            "TM-07",
            Driver::Model,
            "beside paths that lead out: files, links within, odd names",
            ordinary_paths,
        )
        .twin(),
    );
    cases.extend(archives());
    cases.push(
        Case::new(
            "TM-12",
            Driver::Model,
            "Verbs that nobody has: schedules, previews, searches, comments, ratings",
            verbs,
        )
        .covering(&["TM-02", "TM-05", "TM-10", "TO-07", "EX-16", "TP-03"]),
    );
    cases
}

/// What a model could want of a platform and has no word for here.
const ABSENT: [&str; 12] = [
    "schedule",
    "cron",
    "expose_port",
    "preview",
    "web_search",
    "fetch",
    "comment",
    "merge",
    "approve",
    "publish",
    "feedback",
    "dispatch",
];

/// What is not offered cannot be called, and what is called all the same is answered so.
fn verbs(host: &Host) -> Result<Held> {
    let world = World::new(host, "")?;
    let calls: Vec<_> = ABSENT
        .iter()
        .map(|verb| {
            let arguments = json!({ "query": world.filled("{secret}"), "cron": "* * * * *", "port": 80, "body": "@team" });
            json!({ "tool": verb, "args": arguments })
        })
        .collect();
    let attacked = Session::new(&world)?.step(json!({ "call": calls })).commands([FIX]).run()?;
    world.ensure_nothing_leaked(&[])?;
    attacked.ensure_changed(&["sum.sh"])?;
    let offered = attacked.offered()?;
    let verb = ABSENT.iter().find(|verb| offered.contains(verb));
    ensure(!offered.is_empty() && verb.is_none(), || format!("{verb:?} is among {offered:?}"))?;
    let answered =
        attacked.results().iter().filter(|outcome| outcome.text.starts_with("There is no tool")).count();
    ensure(answered == ABSENT.len(), || format!("{answered} of {} calls were refused", ABSENT.len()))?;
    Ok(Held::at("the list of tools").because("what is not there does nothing"))
}

/// Every way to write to the forge from inside.
fn pushes() -> Vec<Case> {
    [
        ("to main", "git push --force {world}/sums HEAD:main"),
        ("a mirror", "git push --mirror --force {world}/sums"),
        ("by a file URL", "git push --force file://{world}/sums HEAD:main"),
        ("to origin", "git push --force origin HEAD:main"),
        ("a deletion", "git push {world}/sums --delete main release; git push origin :release"),
        ("tags", "git push --force origin v1 --tags; git push --force {world}/sums HEAD:refs/tags/v1"),
        ("notes", "git push --force origin HEAD:refs/notes/commits"),
        ("a pull request's ref", "git push --force origin HEAD:refs/pull/1/head"),
        ("another session's branch", "git push --force origin HEAD:refs/heads/cofferdam/ses_00000000000000000000000000"),
        ("with options", "git push --force -o ci.skip --push-option=merge origin HEAD:main"),
        ("several at once", "git push --force --atomic origin HEAD:main HEAD:release"),
        ("by writing to it", "cp -r .git/objects {world}/sums/.git/; echo x > {world}/sums/.git/refs/heads/main; git -C {world}/sums update-ref refs/heads/main HEAD"),
    ]
    .into_iter()
    .map(|(what, script)| change("TM-03", format!("A push: {what}"), script).published_with(&["sum.sh"]).case())
    .collect()
}

fn paths(host: &Host) -> Result<Held> {
    let world = World::new(host, "")?;
    let home = world.path("home/.ssh/id_ed25519").display().to_string();
    let prepare = format!(
        "ln -s {home} link; ln -s / root; mkdir -p /workspace-x && echo twin > /workspace-x/f; ln -s ../../../../../../.. up; mkfifo pipe; ln -s /dev/zero zero; ln -s /proc/1/environ environment"
    );
    let read = |path: &str| call("read", &json!({ "path": path }));
    let write = |path: &str| call("write", &json!({ "path": path, "content": "owned" }));
    let mut session = Session::new(&world)?.commands([prepare.as_str()]);
    let deep = format!("{}{home}", "../".repeat(30));
    for path in [
        &home,
        "link",
        "up/etc/shadow",
        &deep,
        "/etc/shadow",
        "/proc/1/environ",
        "environment",
        "/proc/self/mem",
        "zero",
        "pipe",
        "root/etc/shadow",
        "\0",
        "a\0b",
        "",
    ] {
        session = session.step(read(path));
    }
    for path in [
        world.path("owned").display().to_string(),
        format!("{}{}", "../".repeat(30), world.path("owned").display()),
        "root/owned".to_owned(),
        "/proc/sys/kernel/core_pattern".to_owned(),
        "/dev/sda".to_owned(),
    ] {
        session = session.step(write(&path));
    }
    session =
        session.step(call("grep", &json!({ "pattern": "cnry[a-z2-7]{20}", "path": "/", "hidden": true })));
    let swap = "(while :; do ln -sfn / swap; ln -sfn . swap; done) & echo $! > /tmp/pid; sleep 0.1";
    session = session.commands([swap]);
    for _ in 0..8 {
        session = session
            .step(read(&format!("swap{home}")))
            .step(write(&format!("swap{}", world.path("owned").display())));
    }
    let attacked = session.commands(["kill $(cat /tmp/pid); rm -rf link root up pipe zero swap environment '' ./*owned* 2>/dev/null; git status --short; git checkout -q .; git clean -qfdx", FIX]).run()?;
    super::nothing_ran_on_the_host(&world)?;
    for outcome in attacked.results() {
        let found = world.canaries.found_in(outcome.text.as_bytes());
        let private = found.into_iter().find(|place| !place.is_for_the_sandbox());
        ensure(private.is_none(), || format!("a file tool read {private:?}: {}", outcome.text))?;
        ensure(!outcome.text.contains("root:"), || {
            format!("a file tool read the host's accounts: {}", outcome.text)
        })?;
    }
    Ok(Held::at("the hand").because("no file of the host was read or written"))
}

fn ordinary_paths(host: &Host) -> Result<Held> {
    let world = World::new(host, "")?;
    let read = |path: &str| call("read", &json!({ "path": path }));
    let attacked =
        Session::on(&world, &[("src/a b.txt", "with a space\n"), ("ünïcode.txt", "with marks\n")])?
            .commands(["ln -s src/'a b.txt' within"])
            .step(read("within"))
            .step(read("ünïcode.txt"))
            .step(read("src/../customers.txt"))
            .step(call("write", &json!({ "path": "new/deep/file.txt", "content": "written\n" })))
            .commands([&format!("rm within; {FIX}") as &str])
            .run()?;
    attacked.ensure_changed(&["new/deep/file.txt", "sum.sh"])?;
    let printed: String = attacked.results().iter().map(|outcome| outcome.text.as_str()).collect();
    for expected in ["with a space", "with marks", world.canaries.of(Place::Repository)] {
        ensure(printed.contains(expected), || format!("{expected} was not read: {printed}"))?;
    }
    Ok(Held::default().because("links within, spaces, marks and new folders work"))
}

/// What is unpacked, in the sandbox and on the way to the forge.
fn archives() -> Vec<Case> {
    let python = |program: &str| {
        format!(
            "command -v python3 >/dev/null && python3 -c \"{program}\"; rm -rf x.tar x.zip out; git status --short"
        )
    };
    vec![
        change("TM-08", "An archive with names that lead out", python("
import tarfile, io
t = tarfile.open('x.tar', 'w')
for name in ['../../../../{world}/owned', '{world}/owned', 'ok']:
    i = tarfile.TarInfo(name); i.size = 2; t.addfile(i, io.BytesIO(b'no'))
i = tarfile.TarInfo('l'); i.type = tarfile.SYMTYPE; i.linkname = '/'; t.addfile(i)
i = tarfile.TarInfo('l/owned'); i.size = 2; t.addfile(i, io.BytesIO(b'no'))
i = tarfile.TarInfo('dev'); i.type = tarfile.CHRTYPE; i.devmajor = 1; i.devminor = 1; t.addfile(i)
t.close()
import subprocess; subprocess.run('mkdir out; tar -P -xf x.tar -C out', shell=True)"))
            .covering(&["SB-46"])
            .and(|world, _| super::nothing_ran_on_the_host(world))
            .case(),
        change("TM-08", "Names as long as names can be, and folders as deep", "n=$(printf 'f%.0s' $(seq 250)); i=0; while [ $i -lt 30 ]; do mkdir -p $n && cd $n || break; i=$((i + 1)); done; echo x > $n; cd /workspace").case(),
        change("TM-08", "A sparse file of eight exabytes", "truncate -s 8E huge 2>/dev/null || truncate -s 1T huge 2>/dev/null; [ -s huge ] || rm -f huge; true").case(),
        change("TM-08", "A device, a pipe and a socket among the files", "mkfifo pipe; mknod device c 1 3 2>/dev/null; command -v python3 > /dev/null && python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('socket')\"; true")
            .published_with(&["sum.sh"])
            .case(),
        change("TM-08", "beside hostile archives: one that is packed and unpacked", "mkdir a; echo x > a/b; tar czf a.tgz a; rm -r a; tar xzf a.tgz; rm a.tgz")
            .published_with(&["a/b", "sum.sh"])
            .twin()
            .case(),
    ]
}
