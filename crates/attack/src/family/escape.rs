//! Cases in which a program asks the kernel, or the files it finds, for more than a sandbox has.
//!
//! A case is a list of questions ([`Row`]), each a program of its own that is run in the sandbox as its agent and as its root. The very same
//! program is run outside as well: a question that is refused there too says nothing about the sandbox and does not count.

use std::{any::Any, collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, process::Command};

use crate::{
    case::{Case, Driver, Held},
    probe::syscalls::{Call, program},
    problem::{Problem, Result, ensure},
    waiting::{start_written, wait_for},
    world::{Host, World},
};

/// When a way is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// When the last call succeeds.
    Success,
    /// When it gets as far as having its arguments looked at: a harmless question about something that must not be done outside either.
    LookedAt,
}

/// One question.
pub(crate) struct Row {
    name: &'static str,
    ask: Ask,
    open: Open,
}

enum Ask {
    /// System calls, one after the other.
    Calls(Vec<Call>),
    /// A shell command that prints `OPEN` if it gets what it wants.
    Script(&'static str),
}

/// A question that is open if the last of these calls succeeds.
pub(crate) fn row(name: &'static str, calls: Vec<Call>) -> Row {
    Row { name, ask: Ask::Calls(calls), open: Open::Success }
}

impl Row {
    /// A question whose arguments are nonsense on purpose: open if the kernel says so rather than that it is forbidden.
    pub(crate) fn harmless(mut self) -> Self {
        self.open = Open::LookedAt;
        self
    }

    /// A shell command that prints `OPEN` if it gets what it wants. It is run inside only.
    pub(crate) fn script(name: &'static str, script: &'static str) -> Self {
        Self { name, ask: Ask::Script(script), open: Open::Success }
    }

    fn is_open(&self, status: i32) -> bool {
        match self.open {
            Open::Success => status == 0,
            // 128 and more: killed by a signal, as a filter does.
            Open::LookedAt => {
                let closed =
                    [libc::EPERM, libc::EACCES, libc::ENOSYS, libc::ENOENT, libc::ESRCH, libc::EROFS];
                !closed.contains(&status) && status < 128
            }
        }
    }
}

/// A case of this family.
pub(crate) struct Escape {
    id: &'static str,
    title: &'static str,
    rows: Vec<Row>,
    /// What on the host is asked for, for as long as it may be.
    bait: Option<Box<dyn Any + Send + Sync>>,
}

/// A case of this family. See the module.
pub(crate) fn escape(id: &'static str, title: &'static str, rows: Vec<Row>) -> Escape {
    Escape { id, title, rows, bait: None }
}

impl Escape {
    /// Something on the host, such as a server, that is there as long as the case is.
    pub(crate) fn bait(mut self, bait: impl Any + Send + Sync) -> Self {
        self.bait = Some(Box::new(bait));
        self
    }

    /// The case as agent and as root.
    pub(crate) fn cases(self) -> Vec<Case> {
        let (id, title) = (self.id, self.title);
        let shared = std::sync::Arc::new(self);
        [Driver::Program, Driver::Root]
            .map(|driver| {
                let this = std::sync::Arc::clone(&shared);
                Case::new(id, driver, title, move |host| this.carry_out(host, driver)).by("kernel")
            })
            .into()
    }

    fn carry_out(&self, host: &Host, driver: Driver) -> Result<Held> {
        let world = World::new(host, "")?;
        let calls = || {
            self.rows.iter().enumerate().filter_map(|(number, row)| match &row.ask {
                Ask::Calls(calls) => Some((number, row, calls)),
                Ask::Script(_) => None,
            })
        };
        if cfg!(not(target_arch = "x86_64")) && calls().next().is_some() {
            return Err(Problem::Skipped("the programs that ask are for x86-64".to_owned()));
        }
        fs::create_dir_all(world.path("tree")).map_err(Problem::at("tree"))?;
        for (number, _, calls) in calls() {
            let path = world.path(&format!("tree/row{number}"));
            fs::write(&path, program(calls)).map_err(Problem::at(&path))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(Problem::at(&path))?;
        }
        let mut without_control = Vec::new();
        for (number, row, _) in calls() {
            if !row.is_open(asked_outside(&world, number)?) {
                without_control.push(row.name);
            }
        }
        let answers = self.asked_inside(&world, driver)?;
        let mut held = Held::at("the sandbox");
        for (number, row) in self.rows.iter().enumerate() {
            let answer = answers.get(&number).map_or("", String::as_str);
            let closed = match (&row.ask, answer.parse::<i32>()) {
                (Ask::Calls(_), Ok(status)) => !row.is_open(status),
                (Ask::Script(_), _) => answer == "closed",
                (Ask::Calls(_), Err(_)) => false,
            };
            ensure(closed, || format!("{} is open ({answer})", row.name))?;
            held = held.because(format!("{}: {answer}", row.name));
        }
        let scripts = self.rows.iter().any(|row| matches!(row.ask, Ask::Script(_)));
        if without_control.len() == self.rows.len() && !scripts {
            return Err(Problem::Skipped(format!(
                "closed outside the sandbox too: {}",
                without_control.join(", ")
            )));
        }
        if !without_control.is_empty() {
            held = held
                .because(format!("closed outside too, so without weight: {}", without_control.join(", ")));
        }
        world.ensure_nothing_is_left()?;
        Ok(held)
    }

    /// Every answer, by number: a status, or `open` or `closed` of a script.
    fn asked_inside(&self, world: &World, driver: Driver) -> Result<BTreeMap<usize, String>> {
        use std::fmt::Write as _;
        let mut script = String::from("cd /workspace\n");
        for (number, row) in self.rows.iter().enumerate() {
            let filled;
            let line = match &row.ask {
                Ask::Calls(_) => format!("./row{number}; echo \"row {number} $?\""),
                Ask::Script(script) => {
                    filled = world.filled(script);
                    format!(
                        "if {{ {filled}\n}} 2>&1 | grep -q OPEN; then echo 'row {number} open'; else echo 'row {number} closed'; fi"
                    )
                }
            };
            // Writing to a text does not fail.
            writeln!(script, "{line}").ok();
        }
        let tree = world.path("tree").display().to_string();
        let mut arguments = vec!["sandbox", "run", "--timeout", "60", "--workspace", &tree];
        if driver == Driver::Root {
            arguments.push("--root");
        }
        arguments.extend(["--", "sh", "-c", &script]);
        let output = world.run(&arguments)?;
        let answers: BTreeMap<usize, String> = output
            .stdout
            .lines()
            .filter_map(|line| {
                let (number, answer) = line.strip_prefix("row ")?.split_once(' ')?;
                Some((number.parse().ok()?, answer.to_owned()))
            })
            .collect();
        if answers.len() == self.rows.len() {
            Ok(answers)
        } else {
            Err(Problem::Broken(format!("the questions were not all asked: {}", output.all())))
        }
    }
}

/// The status of a row's program outside: the positive control.
fn asked_outside(world: &World, number: usize) -> Result<i32> {
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    let path = world.path(&format!("tree/row{number}"));
    let mut command = Command::new(&path);
    command.current_dir(world.path("tree")).process_group(0);
    let mut child = start_written(&mut command).map_err(Problem::at(&path))?;
    let status = wait_for(&mut child, std::time::Duration::from_secs(10)).map_err(Problem::at(&path))?;
    let status =
        status.and_then(|status| status.code().or_else(|| status.signal().map(|signal| 128 + signal)));
    Ok(status.unwrap_or(libc::ETIMEDOUT))
}
