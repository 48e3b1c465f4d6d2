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

/// Lists the models.
pub(crate) async fn models(app: &App, arguments: &JsonFlag) -> Result<Exit> {
    let rows = cofferdam_model::list(&app.config.models, &environment).await?;
    for row in &rows {
        app.terminal.line(&if arguments.json { json(row).to_string() } else { line(app, row) });
    }
    if !arguments.json && !rows.iter().any(|row| row.chosen) {
        app.terminal.line("");
        app.terminal.line("No model is ready: set a provider's key, or start Ollama or llama.cpp on this machine.");
        app.terminal.line("Without any, `cofferdam demo` shows the whole thing with a recording.");
    }
    Ok(Exit::Success)
}

fn line(app: &App, row: &ModelRow) -> String {
    let (mark, style) = match (&row.key, row.chosen) {
        (_, true) => ("*", Style::Good),
        (KeyState::Missing(_), false) => ("-", Style::Dim),
        (KeyState::Present | KeyState::NotNeeded, false) => (" ", Style::Bold),
    };
    let prices = row.prices.map_or_else(String::new, |prices| {
        format!("  ${:.2} in, ${:.2} out", dollars(prices.input), dollars(prices.output))
    });
    let key = match &row.key {
        KeyState::Missing(hint) => format!("  ({})", inert(hint)),
        KeyState::Present | KeyState::NotNeeded => String::new(),
    };
    let name = app.terminal.paint(style, &format!("{mark} {:<44}", inert(&row.name)));
    let note = row.note.as_deref().map(|note| format!("  {}", inert(note))).unwrap_or_default();
    let rest = format!("{:>6} tokens{prices}{key}{note}", tokens(row.context_window));
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
