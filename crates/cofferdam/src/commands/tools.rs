//! `cofferdam tools`: what the model is offered.

use anyhow::Result;
use cofferdam_domain::event::EditFormat;
use cofferdam_tools::Toolbox;

use crate::{args::JsonFlag, compose::App, exit::Exit, terminal::Style};

/// Lists the tools. Each model family is offered the edit tool that it was trained on; both are listed.
pub(crate) fn tools(app: &App, arguments: &JsonFlag) -> Result<Exit> {
    let access = app.config.policy.egress.access;
    let standard = Toolbox::standard(EditFormat::Replace);
    let mut specs = standard
        .with_access(access)
        .with_system(app.config.system)
        .with_browser(app.config.browser.program.is_some(), None)
        .with_display(app.config.display.display().is_some(), None)
        .specs();
    for spec in Toolbox::standard(EditFormat::ApplyPatch).specs() {
        if !specs.iter().any(|known| known.name == spec.name) {
            specs.push(spec);
        }
    }
    for spec in specs {
        if arguments.json {
            app.terminal.line(&serde_json::to_string(&spec)?);
            continue;
        }
        app.terminal.line(&app.terminal.paint(Style::Bold, &spec.name));
        for line in spec.description.lines() {
            app.terminal.line(&format!("    {line}"));
        }
        let names: Vec<&str> = spec
            .parameters
            .get("properties")
            .and_then(|properties| properties.as_object())
            .map(|properties| properties.keys().map(String::as_str).collect())
            .unwrap_or_default();
        app.terminal.line(&app.terminal.paint(Style::Dim, &format!("    arguments: {}", names.join(", "))));
    }
    Ok(Exit::Success)
}
