//! `cofferdam models`: what can be used, and what is missing to use the rest.

use anyhow::Result;
use cofferdam_model::{KeyState, ModelRow};

use crate::{
    args::JsonFlag,
    compose::{App, environment},
    exit::Exit,
    show::tokens,
    terminal::{Style, inert},
};

/// Lists the models, by provider.
pub(crate) async fn models(app: &App, arguments: &JsonFlag) -> Result<Exit> {
    let rows = cofferdam_model::list(&app.config.models, &environment).await?;
    if arguments.json {
        for row in &rows {
            app.terminal.json(&json(row).to_string());
        }
        return Ok(Exit::Success);
    }
    for provider in rows.chunk_by(|one, next| one.provider == next.provider) {
        let Some(first) = provider.first() else { continue };
        let state = match &first.key {
            KeyState::Missing(hint) => app.terminal.paint(Style::Dim, &inert(hint)),
            KeyState::Present => app.terminal.paint(Style::Good, "has a key"),
            KeyState::NotNeeded => app.terminal.paint(Style::Good, "needs no key"),
        };
        app.terminal.line(&format!("{}: {state}", app.terminal.paint(Style::Bold, &inert(&first.provider))));
        for row in provider {
            app.terminal.line(&line(app, row));
        }
    }
    app.terminal.line("");
    if rows.iter().any(|row| row.chosen) {
        app.terminal.line("* is used when none is named. Prices are US dollars for a million tokens; --json says where they are from.");
    } else {
        app.terminal
            .line("No model is ready: set a provider's key, or start Ollama or llama.cpp on this machine.");
        app.terminal.line("Without any, `cofferdam demo` shows the whole thing with a recording.");
    }
    Ok(Exit::Success)
}

fn line(app: &App, row: &ModelRow) -> String {
    let (mark, style) = match (&row.key, row.chosen) {
        (_, true) => ("*", Style::Good),
        (KeyState::Missing(_), false) => (" ", Style::Dim),
        (KeyState::Present | KeyState::NotNeeded, false) => (" ", Style::Bold),
    };
    let prices = row.prices.map_or_else(String::new, |prices| {
        format!("  ${:.2} in, ${:.2} out", dollars(prices.input), dollars(prices.output))
    });
    let name = app.terminal.paint(style, &format!("{mark} {:<44}", inert(&row.name)));
    let rest = format!("{:>6} tokens{prices}", tokens(row.context_window));
    format!("{name} {}", app.terminal.paint(Style::Dim, &rest))
}

#[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
fn dollars(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn json(row: &ModelRow) -> serde_json::Value {
    let (ready, missing) = match &row.key {
        KeyState::Missing(hint) => (false, Some(hint)),
        KeyState::Present | KeyState::NotNeeded => (true, None),
    };
    serde_json::json!({
        "name": row.name,
        "provider": row.provider,
        "family": row.family,
        "ready": ready,
        "missing": missing,
        "context_window": row.context_window,
        "max_output": row.max_output,
        "prices": row.prices,
        "chosen": row.chosen,
        "note": row.note,
    })
}
