//! The page about MCP servers: which are configured, and what was approved of each. A server is looked at in a sandbox, which a worker's machine has, so
//! approving is the command line's.

use cofferdam_domain::Timestamp;
use cofferdam_store::ApprovedServer;
use maud::{Markup, html};
use serde_json::Value;

use super::{
    text::{inert, line},
    words::ago,
};

/// Tools that are listed by their names.
const LISTED: usize = 100;

/// A server: its name, whether it is configured, and what was approved.
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) configured: bool,
    pub(crate) approved: Option<ApprovedServer>,
}

/// The list.
pub(crate) fn list(servers: &[Seen], now: Timestamp) -> Markup {
    html! {
        header.section {
            h1 { "MCP servers" }
            p.quiet { "Other programs whose tools sessions may call, exactly as somebody has approved them." }
        }
        @if servers.is_empty() { p.empty { "There is no " code { "[[mcp]]" } " in the configuration." } }
        @for server in servers { (entry(server, now)) }
    }
}

fn entry(server: &Seen, now: Timestamp) -> Markup {
    let Seen { name, configured, approved } = server;
    html! {
        section.card {
            h2 {
                (line(name, 80)) " "
                @match (configured, approved) {
                    (true, Some(_)) => span.tag.good { "approved" },
                    (true, None) => span.tag.warn { "not approved: not used" },
                    (false, _) => span.tag.warn { "not in the configuration: not used" },
                }
            }
            @if let Some(approved) = approved { (what(approved, now)) }
            p.quiet { "On the worker's machine:" }
            @if *configured {
                pre tabindex="0" { "cofferdam mcp inspect " (inert(name)) "\ncofferdam mcp approve " (inert(name)) " sha256:…" @if approved.is_some() { "\ncofferdam mcp revoke " (inert(name)) } }
            } @else {
                pre tabindex="0" { "cofferdam mcp revoke " (inert(name)) }
            }
        }
    }
}

/// What was approved: its own words, shown as they are and not believed.
fn what(approved: &ApprovedServer, now: Timestamp) -> Markup {
    let catalogue: Value = serde_json::from_str(&approved.tools).unwrap_or_default();
    let tools = catalogue["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let exact = serde_json::to_string_pretty(&catalogue).unwrap_or_default();
    html! {
        p { "Approved by " (line(&approved.by, 60)) ", " (ago(approved.at, now)) ": " code.id { (approved.digest) } }
        @if !tools.is_empty() {
            p { "Tools: "
                @for (place, tool) in tools.iter().take(LISTED).enumerate() {
                    @if place > 0 { ", " } code { (line(tool["name"].as_str().unwrap_or("?"), 80)) }
                }
                @if tools.len() > LISTED { " and " (tools.len() - LISTED) " more" }
            }
        }
        details data-key=(format!("exact-{}", approved.name)) {
            summary { "All that was approved, in the server's own words" }
            pre.exact tabindex="0" { "\n" (inert(&exact)) }
        }
    }
}
