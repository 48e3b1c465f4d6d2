//! Which functions of the release executable lie beside one another: `cargo run -p xtask -- order`.
//!
//! The kernel maps 64 KiB around each page of the executable that is touched. The functions that a session runs are a quarter of the code; strewn
//! over all of it they keep nearly all of it resident in every worker. So sessions are run under a tracer that sees which functions are entered, and
//! a linker script is written that lays these beside one another: `crates/cofferdam/order.ld`.

mod prefixes;
mod script;
mod symbols;
mod trace;

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use self::{
    prefixes::{Bytes, Prefixes},
    symbols::Function,
    trace::Tracer,
};
use crate::say;

const USAGE: &str = "order [--program UNSTRIPPED-RELEASE-EXECUTABLE]";
/// Where the script is kept.
const SCRIPT: &str = "crates/cofferdam/order.ld";
/// The recorded sessions: the form in which the provider speaks, and how many steps. The long one is there for what happens late.
const SESSIONS: [(&str, &str); 3] = [("anthropic", "60"), ("gemini", "9"), ("openai_chat", "9")];

/// Runs sessions, and writes which functions they entered.
pub(crate) fn order(root: &Path, arguments: &[String]) -> Result<()> {
    let program = match arguments {
        [] => build(root)?,
        [option, program] if option == "--program" => PathBuf::from(program),
        _ => bail!("{USAGE}"),
    };
    let program = program.canonicalize().with_context(|| format!("there is no {}", program.display()))?;
    let benchmark = benchmark(root)?;
    let functions = symbols::read(&program)?;
    let mut tracer = Tracer::new(&program, functions.iter().map(|function| function.address).collect());
    for (wire, steps) in SESSIONS {
        let options =
            ["loop", "--runs", "1", "--steps", steps, "--wire", wire, "--program"].map(OsString::from);
        let command = [&[benchmark.clone().into()], &options[..], &[program.clone().into()]].concat();
        tracer.run(&command, &[]).with_context(|| format!("failed to run sessions over {wire}"))?;
    }
    demo(&mut tracer, &program)?;

    let entered = tracer.entered();
    let prefixes = prefixes(&functions, entered);
    let path = root.join(SCRIPT);
    fs::write(&path, script::write(&prefixes.covering()))
        .with_context(|| format!("failed to write {}", path.display()))?;
    report(&functions, entered, &prefixes);
    Ok(())
}

/// The release executable with its symbols.
fn build(root: &Path) -> Result<PathBuf> {
    let mut cargo = cargo(root);
    cargo.args(["build", "--release", "--package", "cofferdam"]).env("CARGO_PROFILE_RELEASE_STRIP", "none");
    ensure!(cargo.status().context("run cargo")?.success(), "the program does not build");
    Ok(root.join("target/release/cofferdam"))
}

/// What runs recorded sessions; how fast it is itself does not matter.
fn benchmark(root: &Path) -> Result<PathBuf> {
    let built = cargo(root).args(["build", "--quiet", "--package", "cofferdam-bench"]).status();
    ensure!(built.context("run cargo")?.success(), "the benchmark does not build");
    Ok(root.join("target/debug/cofferdam-bench"))
}

fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).env("CARGO_TARGET_DIR", root.join("target"));
    cargo
}

/// The demo, which writes to the terminal what `run --json` does not.
fn demo(tracer: &mut Tracer, program: &Path) -> Result<()> {
    let folder = tempfile::tempdir().context("failed to make a directory")?;
    let configuration = folder.path().join("cofferdam.toml");
    fs::write(&configuration, "[sandbox]\nlimits = \"weak\"\n")?;
    let settings = [("COFFERDAM_CONFIG", configuration), ("COFFERDAM_DATA", folder.path().join("data"))]
        .map(|(name, path)| (name.to_owned(), path.into_os_string()));
    tracer.run(&[program.into(), "demo".into()], &settings).context("failed to run the demo")
}

/// Every name's bytes, entered or not.
fn prefixes(functions: &[Function], entered: &BTreeSet<u64>) -> Prefixes {
    functions
        .iter()
        .map(|function| {
            let bytes = if entered.contains(&function.address) {
                Bytes { entered: function.size, idle: 0 }
            } else {
                Bytes { entered: 0, idle: function.size }
            };
            (symbols::lasting(&function.name), bytes)
        })
        .collect()
}

fn report(functions: &[Function], entered: &BTreeSet<u64>, prefixes: &Prefixes) {
    let all: u64 = functions.iter().map(|function| function.size).sum();
    let ours = functions.iter().filter(|function| entered.contains(&function.address));
    let covering = prefixes.covering();
    say(&format!(
        "{} of {} functions were entered: {} of {} kB; {} prefixes in {SCRIPT} select {} kB",
        entered.len(),
        functions.len(),
        ours.map(|function| function.size).sum::<u64>() / 1000,
        all / 1000,
        covering.len(),
        prefixes.selected(&covering) / 1000,
    ));
}
