//! `cofferdam mcp`: the MCP servers whose tools sessions may call: what they are, what was approved of them, and approving it.

use std::{fs, sync::Arc};

use anyhow::{Context as _, Result, bail};
use cofferdam_domain::{
    Digest, OrgId, SandboxId,
    foreign::{ArgumentRule, Permit},
    hidden::Hidden,
};
use cofferdam_mcp::{Catalogue, ServerSettings, Tool, differences};
use cofferdam_store::{ApprovedServer, Everything};
use cofferdam_worker::Found;
use serde_json::json;

use super::{accounted::account, admin::org_named};
use crate::{
    args::{McpApproveArguments, McpArguments, McpCommand, McpListArguments},
    compose::App,
    exit::Exit,
    terminal::{Style, inert},
};

/// Where in the data directory a server's files are while it is looked at.
const LOOKING: &str = "mcp";

/// Does one thing.
pub(crate) async fn mcp(app: &App, command: &McpCommand) -> Result<Exit> {
    match command {
        McpCommand::List(arguments) => list(app, arguments).await,
        McpCommand::Inspect(arguments) => inspect(app, arguments).await,
        McpCommand::Approve(arguments) => approve(app, arguments).await,
        McpCommand::Revoke(arguments) => revoke(app, arguments).await,
    }
}

async fn list(app: &App, arguments: &McpListArguments) -> Result<Exit> {
    let store = app.store().await?;
    let org = org_named(&*store, &arguments.org).await?;
    let approved = store.approved_servers(org).await?;
    for settings in &app.config.mcp {
        let name = settings.name.as_str();
        let known = approved.iter().find(|approved| approved.name == name);
        let stands = known.map(|known| (known, is_still(known, settings)));
        if arguments.json {
            let line = json!({
                "name": name,
                "approved": stands.is_some_and(|(_, still)| still),
                "digest": known.map(|known| known.digest.to_string()),
                "by": known.map(|known| &known.by),
                "at": known.map(|known| known.at.utc()),
            });
            app.terminal.json(&line.to_string());
            continue;
        }
        let state = match stands {
            Some((known, true)) => {
                format!("approved by {} at {}: {}", inert(&known.by), known.at.utc(), known.digest)
            }
            Some((_, false)) => {
                "started in another way than was approved: not used until it is approved again".to_owned()
            }
            None => format!("not approved: not used. See `cofferdam mcp inspect {name}`"),
        };
        app.terminal.line(&format!("{}  {state}", app.terminal.paint(Style::Bold, name)));
    }
    if app.config.mcp.is_empty() && !arguments.json {
        app.terminal.line("there is no [[mcp]] in the configuration: cofferdam.example.toml shows one");
    }
    Ok(Exit::Success)
}

/// Whether what was approved is started or reached as it was then.
fn is_still(approved: &ApprovedServer, settings: &ServerSettings) -> bool {
    let catalogue = serde_json::from_str::<Catalogue>(&approved.tools);
    catalogue.is_ok_and(|catalogue| catalogue.digest(&settings.reached()) == approved.digest)
}

async fn inspect(app: &App, arguments: &McpArguments) -> Result<Exit> {
    let store = app.store().await?;
    let org = org_named(&*store, &arguments.org).await?;
    let settings = configured(app, &arguments.name)?;
    let found = look(app, &store, org, settings).await?;
    let before = store.approved_servers(org).await?;
    let before = before.into_iter().find(|approved| approved.name == arguments.name);
    if arguments.json {
        app.terminal.json(&as_json(settings, &found).to_string());
    } else {
        show(app, settings, &found, before.as_ref());
    }
    Ok(Exit::Success)
}

async fn approve(app: &App, arguments: &McpApproveArguments) -> Result<Exit> {
    let store = app.store().await?;
    let org = org_named(&*store, &arguments.org).await?;
    let settings = configured(app, &arguments.name)?;
    let found = look(app, &store, org, settings).await?;
    if found.digest != arguments.digest {
        bail!(
            "{} is now {}, and not what was to be approved: look at it again with `cofferdam mcp inspect {}`",
            arguments.name,
            found.digest,
            arguments.name
        );
    }
    let server = ApprovedServer {
        name: arguments.name.clone(),
        digest: found.digest,
        tools: serde_json::to_string(&found.catalogue)?,
        at: cofferdam_worker::now(),
        by: app.user(),
    };
    let detail = json!({ "digest": found.digest, "tools": found.catalogue.tools.len() });
    account(app, &*store, org, "mcp.approved", &arguments.name, detail).await?;
    store.approve_server(org, server).await?;
    app.terminal.line(&format!("{} is approved: sessions that begin from now on may use it", arguments.name));
    Ok(Exit::Success)
}

async fn revoke(app: &App, arguments: &McpArguments) -> Result<Exit> {
    let store = app.store().await?;
    let org = org_named(&*store, &arguments.org).await?;
    account(app, &*store, org, "mcp.revoked", &arguments.name, json!({})).await?;
    if !store.disapprove_server(org, &arguments.name).await? {
        bail!("{} was not approved", inert(&arguments.name));
    }
    app.terminal
        .line(&format!("{} is approved no more: no session that begins now uses it", inert(&arguments.name)));
    Ok(Exit::Success)
}

fn configured<'a>(app: &'a App, name: &str) -> Result<&'a ServerSettings> {
    let known = app.config.mcp.iter().find(|settings| settings.name.as_str() == name);
    known.with_context(|| format!("there is no [[mcp]] called {} in the configuration", inert(name)))
}

/// Starts a server in a sandbox that is no session's, and asks what it has.
async fn look(
    app: &App,
    store: &Arc<dyn Everything>,
    org: OrgId,
    settings: &ServerSettings,
) -> Result<Found> {
    let parts = app.parts(store.clone(), app.host()?, app.config.policy.clone()).await?;
    let directory = app.data()?.join(LOOKING).join(SandboxId::generate().to_string());
    fs::create_dir_all(&directory).with_context(|| format!("failed to make {}", directory.display()))?;
    let name = settings.name.as_str();
    let found = cofferdam_worker::inspect(&parts, org, &directory, name).await;
    // Its layer is gone by then; what is left is nobody's.
    fs::remove_dir_all(&directory).ok();
    found.with_context(|| format!("{name} cannot be looked at"))
}

fn as_json(settings: &ServerSettings, found: &Found) -> serde_json::Value {
    let tools = found.catalogue.tools.iter().map(|tool| {
        let ruling = settings.ruling(&tool.name);
        json!({
            "name": tool.name,
            "called": settings.name.tool(&tool.name),
            "description": tool.description,
            "parameters": tool.parameters,
            "hidden": !tool.hidden().is_empty(),
            "permit": ruling.permit,
            "read_only": ruling.read_only,
        })
    });
    let left_out = found.left_out.iter().map(|left| json!({ "name": left.name, "why": left.why }));
    json!({
        "name": settings.name,
        "digest": found.digest,
        "revision": found.revision,
        "instructions": found.catalogue.instructions,
        "tools": tools.collect::<Vec<_>>(),
        "resources": { "offered": found.catalogue.resources, "permit": settings.resources },
        "prompts": { "offered": found.catalogue.prompts, "permit": settings.prompts },
        "left_out": left_out.collect::<Vec<_>>(),
        "refused": found.refused,
    })
}

fn show(app: &App, settings: &ServerSettings, found: &Found, before: Option<&ApprovedServer>) {
    let name = &settings.name;
    let dim = |text: &str| app.terminal.paint(Style::Dim, text);
    app.terminal.line(&dim(
        "What follows are the server's own words; characters that cannot be seen are written out.",
    ));
    for tool in &found.catalogue.tools {
        show_tool(app, settings, tool);
    }
    show_beside(app, settings, &found.catalogue);
    for left in &found.left_out {
        app.terminal.line(&format!("{} cannot be offered: {}", inert(&left.name), left.why));
    }
    if let Some(instructions) = &found.catalogue.instructions {
        app.terminal
            .line(&dim(&format!("Its instructions, which no model is shown: {}", inert(instructions))));
    }
    for refused in &found.refused {
        app.terminal.line(&format!("It asked its client for {refused}, which is not offered to servers."));
    }
    app.terminal.line(&format!(
        "{name}: {} tools, protocol {}, {}",
        found.catalogue.tools.len(),
        inert(&found.revision),
        found.digest
    ));
    match before {
        Some(before) if before.digest == found.digest => {
            app.terminal.line(&format!("Approved by {} at {}.", inert(&before.by), before.at.utc()));
            return;
        }
        Some(before) => {
            app.terminal.line("It is not what was approved:");
            let old: Catalogue = serde_json::from_str(&before.tools).unwrap_or_default();
            for line in differences(&old, &found.catalogue) {
                app.terminal.line(&format!("  {}", inert(&line)));
            }
        }
        None => {}
    }
    app.terminal
        .line(&format!("To let sessions use exactly this: cofferdam mcp approve {name} {}", found.digest));
}

fn show_tool(app: &App, settings: &ServerSettings, tool: &Tool) {
    let ruling = settings.ruling(&tool.name);
    let permit = match (ruling.permit, ruling.read_only) {
        (Permit::Deny, _) => "denied",
        (Permit::Ask, _) => "a person is asked about each call",
        (Permit::Allow, true) => "allowed, only reads",
        (Permit::Allow, false) => "allowed",
    };
    let title = app.terminal.paint(Style::Bold, &settings.name.tool(&tool.name));
    app.terminal.line(&format!("{title}  {permit}"));
    let kinds: Vec<&'static str> = tool.hidden().into_iter().map(kind).collect();
    if !kinds.is_empty() {
        app.terminal.line(&format!("    has what nobody sees: {}", kinds.join(", ")));
    }
    let (description, parameters) = tool.visible();
    for line in description.lines() {
        app.terminal.line(&format!("    {}", inert(line)));
    }
    app.terminal.line(&app.terminal.paint(Style::Dim, &format!("    {}", inert(&parameters.to_string()))));
    show_rules(app, ruling.arguments);
}

/// What a server has beside its tools, as far as that is to be used.
fn show_beside(app: &App, settings: &ServerSettings, catalogue: &Catalogue) {
    let asked = |permit| if permit == Permit::Ask { "a person is asked each time" } else { "allowed" };
    let title = |text: &str| app.terminal.paint(Style::Bold, text);
    if catalogue.resources {
        let permit = asked(settings.resources);
        app.terminal
            .line(&format!("{}  {permit}; which ones there are may change at any time", title("resources")));
        show_rules(app, &settings.resource_arguments);
    }
    if let Some(prompts) = &catalogue.prompts {
        app.terminal.line(&format!("{}  {}", title("prompts"), asked(settings.prompts)));
        for prompt in prompts {
            app.terminal.line(&format!("    {}", inert(&prompt.line())));
        }
        show_rules(app, &settings.prompt_arguments);
    }
}

fn show_rules(app: &App, rules: &[ArgumentRule]) {
    for rule in rules {
        let must = serde_json::to_string(&rule.must).unwrap_or_default();
        app.terminal.line(&format!("    policy: {} must be {}", inert(&rule.name), inert(&must)));
    }
}

const fn kind(hidden: Hidden) -> &'static str {
    match hidden {
        Hidden::BidiControl => "controls of direction",
        Hidden::BidiMark => "marks of direction",
        Hidden::Tag => "tags",
        Hidden::VariationSelector => "variation selectors",
        Hidden::ZeroWidth => "characters without width",
        Hidden::Filler => "fillers",
        Hidden::Control => "control characters",
    }
}

/// The digest as it is typed.
pub(crate) fn digest(text: &str) -> Result<Digest, String> {
    text.parse()
        .map_err(|_| "not a digest: `cofferdam mcp inspect` shows it, sha256: and 64 digits".to_owned())
}
