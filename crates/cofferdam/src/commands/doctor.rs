//! `cofferdam doctor`: what this host offers, what is missing, and how to mend it.

use std::path::Path;

use anyhow::Result;
use cofferdam_forge::{Git, SigningError, SigningKey};
use cofferdam_sandbox::{Finding, HostReport, State};

use super::forge::{kept_forges, left_out};
use crate::{
    args::JsonFlag,
    compose::App,
    config::DriverName,
    exit::Exit,
    terminal::{Style, inert},
};

/// Looks at the host; fails where no session could be worked on.
pub(crate) async fn doctor(app: &App, arguments: &JsonFlag) -> Result<Exit> {
    let mut report = match app.config.driver {
        DriverName::Native => HostReport::probe().await,
        DriverName::Docker => engine(app).await?,
    };
    report.findings.push(git());
    if let Some(file) = &app.config.signing_key {
        report.findings.push(signing_key(file).await);
    }
    report.findings.extend(browser(app));
    report.findings.extend(display(app));
    report.findings.extend(forges(app).await);
    for finding in &report.findings {
        if arguments.json {
            app.terminal.json(&json(finding).to_string());
        } else {
            show(app, finding);
        }
    }
    if !arguments.json {
        app.terminal.line("");
        match &report.level {
            Some(level) => app.terminal.line(&format!("sandboxes here: {}", inert(level))),
            None => app.terminal.line(&app.terminal.paint(Style::Bad, "no sandboxes can be made here")),
        }
    }
    Ok(match report.state() {
        State::Ok | State::Weak => Exit::Success,
        State::Missing => Exit::Failed,
    })
}

/// What the container engine offers, which is all that sandboxes need of this host then.
async fn engine(app: &App) -> Result<HostReport> {
    let options = app.config.docker()?;
    let findings = cofferdam_sandbox_docker::probe(&options).await;
    let missing = findings.iter().any(|finding| finding.state == State::Missing);
    let level = findings.first().filter(|_| !missing).map(|finding| finding.found.clone());
    Ok(HostReport { findings, level })
}

fn git() -> Finding {
    let meaning = "repositories, the change, branches";
    match Git::find() {
        Ok(git) => Finding {
            what: "git",
            state: State::Ok,
            found: format!("{} at {}", git.version(), git.program().display()),
            meaning,
            remedy: None,
        },
        Err(error) => Finding {
            what: "git",
            state: State::Missing,
            found: error.to_string(),
            meaning,
            remedy: Some("install git 2.39 or newer".to_owned()),
        },
    }
}

/// Whether the browser that is configured is there.
fn browser(app: &App) -> Option<Finding> {
    let program = app.config.browser.program.as_deref()?;
    let remedy = "install Chromium (Debian: the package chromium), or correct [browser] program";
    Some(inside(app, "browser", program, "the browser of sessions", remedy))
}

/// Whether the programs of the display that is configured are there.
fn display(app: &App) -> Vec<Finding> {
    let Some(display) = app.config.display.display() else { return Vec::new() };
    let server = "install Xvfb (Debian: the package xvfb), or correct [display] server";
    let input = "install xdotool (Debian: the package xdotool), or correct [display] input";
    vec![
        inside(app, "display", &display.server, "the display of sessions", server),
        inside(app, "display input", &display.input, "pointer and keyboard of the display", input),
    ]
}

/// Whether a program is there that runs in sandboxes. Of an image nothing is known here.
fn inside(
    app: &App,
    what: &'static str,
    program: &str,
    meaning: &'static str,
    install: &'static str,
) -> Finding {
    let found = program.to_owned();
    if app.config.driver != DriverName::Native {
        let found = format!("{found}, if the image has it");
        return Finding { what, state: State::Ok, found, meaning, remedy: None };
    }
    // Where a directory of the host's stands inside under another name, the program is looked for in that.
    let places = app
        .config
        .read_only
        .iter()
        .filter_map(|place| Some(place.host.join(Path::new(program).strip_prefix(&place.inside).ok()?)));
    let there = places.chain([Path::new(program).to_owned()]).any(|place| place.is_file());
    let shown = ["/usr/", "/opt/"].iter().any(|place| program.starts_with(place))
        || app.config.read_only.iter().any(|place| Path::new(program).starts_with(&place.inside));
    let (state, found, remedy) = match (there, shown) {
        (true, true) => (State::Ok, found, None),
        (true, false) => {
            let remedy = "put it below /usr or /opt, or name its directory in [[sandbox.read_only]]";
            (State::Weak, format!("{found} is not seen in sandboxes"), Some(remedy.to_owned()))
        }
        (false, _) => (State::Weak, format!("there is no {found}"), Some(install.to_owned())),
    };
    Finding { what, state, found, meaning, remedy }
}

/// Whether the forges that are configured, and those that were connected on the pages, know us.
async fn forges(app: &App) -> Vec<Finding> {
    let trouble = |error: &anyhow::Error, remedy: &str| Finding {
        what: "forges",
        state: State::Missing,
        found: format!("{error:#}"),
        meaning: "work that is asked for on a forge",
        remedy: Some(remedy.to_owned()),
    };
    let mut forges = match app.open_forges() {
        Ok(forges) => forges,
        Err(error) => return vec![trouble(&error, "see [[forge]] in cofferdam.example.toml")],
    };
    let mut findings = Vec::new();
    // Nothing is kept where no store was made yet, and looking at a host makes none.
    let is_there =
        app.config.data.exists() || app.config.store.address().is_ok_and(|address| address.is_some());
    let kept = if is_there { kept_forges(app).await } else { Ok(Default::default()) };
    match kept {
        Ok((kept, closed)) => {
            forges.extend(kept);
            let closed = closed.into_iter().map(|(name, why)| left_out(&format!("{name}: {why}")));
            findings.extend(closed.map(super::forge::finding));
        }
        Err(error) => findings.push(trouble(&error, "mend the store, or the name that is there twice")),
    }
    for forge in forges {
        // Without a repository only the account is looked at: `cofferdam forge check` says more.
        let found = forge.check(None, "").await;
        findings.extend(found.into_iter().map(super::forge::finding));
    }
    findings
}

/// Whether commits can be signed, as is configured.
async fn signing_key(file: &Path) -> Finding {
    let key = match Git::find() {
        Ok(git) => SigningKey::open(&git, file).await,
        Err(_) => Err(SigningError::NoProgram),
    };
    let (state, found, remedy) = match key {
        Ok(key) => (State::Ok, key.public().to_owned(), None),
        Err(error) => (State::Missing, error.to_string(), Some("see [commits] signing_key".to_owned())),
    };
    Finding { what: "signing key", state, found, meaning: "signatures of the platform's commits", remedy }
}

/// Shows a finding to people.
pub(crate) fn show(app: &App, finding: &Finding) {
    let (name, style) = state(finding.state);
    let mark = app.terminal.paint(style, &format!("{name:<8}"));
    let found = app.terminal.paint(Style::Dim, &inert(&finding.found));
    app.terminal.line(&format!("{mark} {}: {found}", finding.what));
    if finding.state != State::Ok {
        app.terminal.line(&format!("{:>8} needed for {}", "", finding.meaning));
    }
    if let Some(remedy) = &finding.remedy {
        app.terminal.line(&format!("{:>8} to mend it: {}", "", inert(remedy)));
    }
}

const fn state(state: State) -> (&'static str, Style) {
    match state {
        State::Ok => ("ok", Style::Good),
        State::Weak => ("weak", Style::Warn),
        State::Missing => ("missing", Style::Bad),
    }
}

/// A finding for programs.
pub(crate) fn json(finding: &Finding) -> serde_json::Value {
    serde_json::json!({
        "what": finding.what,
        "state": state(finding.state).0,
        "found": finding.found,
        "meaning": finding.meaning,
        "remedy": finding.remedy,
    })
}
