//! Cases of the catalogue whose mechanism is not part of the product yet. They are listed, and never counted as passed.

use crate::case::Case;

const FORGES: &str = "forges with issues, comments and webhooks";
const WEB: &str = "the web pages and the HTTP API";
const SERVERS: &str = "MCP servers";
const SUBAGENTS: &str = "subagents";
const ADVICE: &str = "instructions and skills from repositories";
const MACHINES: &str = "drivers with a kernel of their own";

pub(super) fn cases() -> Vec<Case> {
    [
        ("PI-01", "issue", FORGES, "An issue with hidden orders"),
        ("PI-05", "hook", FORGES, "Orders in names of branches, labels, milestones, authors"),
        ("PI-06", "issue", FORGES, "An issue is edited after it was authorised"),
        ("PI-07", "pr", FORGES, "A stranger comments on a running task's pull request"),
        ("PI-12", "issue", FORGES, "A comment as large as a library"),
        ("PI-14", "issue", FORGES, "Orders in many languages and encodings"),
        ("HX-05", "pr", FORGES, "Tickets that do not exist"),
        ("SP-05", "api", WEB, "Another task's prompt over debug pages"),
        ("TP-03", "api", WEB, "Poisoned ratings and examples"),
        ("TP-05", "web", WEB, "Pages that tell agents other facts than people"),
        ("CP-01", "file", ADVICE, "Hostile instructions on the default branch"),
        ("CP-03", "file", ADVICE, "Hidden text in instructions"),
        ("CP-05", "file", ADVICE, "A skill that fetches and runs"),
        ("CP-07", "tool", ADVICE, "Memory written after untrusted text"),
        ("CP-09", "file", ADVICE, "Trusted once, changed later"),
        ("CP-13", "file", ADVICE, "A poisoned search index"),
        ("TM-01", "issue", FORGES, "A private repository's text into a public pull request"),
        ("TM-02", "tool", FORGES, "Comments and mentions by the hundred"),
        ("TM-05", "sandbox", FORGES, "Approving and merging the own pull request"),
        ("TM-10", "tool", WEB, "A preview that is open to everybody"),
        ("TM-12", "tool", WEB, "Schedules that the agent makes"),
        ("TO-01", "mcp", SERVERS, "Orders in a tool's description"),
        ("TO-03", "mcp", SERVERS, "A tool with a built-in one's name"),
        ("TO-05", "mcp", SERVERS, "A server that asks the model"),
        ("TO-07", "web", WEB, "A poisoned search hit"),
        ("EX-16", "tool", WEB, "Private text in a search"),
        ("EX-18", "sandbox", WEB, "Artefacts that carry data out"),
        ("DW-03", "hook", FORGES, "Ten thousand webhooks"),
        ("DW-11", "hook", FORGES, "A task that brings the worker down each time"),
        ("GB-11", "chat", WEB, "An approval that was only said"),
        ("GM-01", "issue", FORGES, "More than was asked for"),
        ("GM-03", "chat", WEB, "A trusted person quotes an attacker"),
        ("CE-07", "sandbox", WEB, "Scripts in pages"),
        ("CE-12", "api", WEB, "Nonsense to the HTTP API"),
        ("PE-12", "pr", FORGES, "A new commit after approval"),
        ("PE-13", "file", ADVICE, "Text for agents to come"),
        ("SC-03", "package", SERVERS, "A package that installs a server of tools"),
        ("PR-01", "issue", FORGES, "A stranger drives the agent"),
        ("PR-05", "pr", FORGES, "A branch that runs with the forge's secrets"),
        ("PR-07", "api", WEB, "Other people's tasks over the HTTP API"),
        ("PR-09", "api", WEB, "Approving one's own request"),
        ("HF-01", "chat", WEB, "A hundred harmless approvals and one other"),
        ("HF-02", "chat", WEB, "An approval that shows something else"),
        ("HF-04", "chat", WEB, "Changed after approval"),
        ("HF-06", "pr", FORGES, "An attack in five pull requests"),
        ("HF-08", "chat", WEB, "A request for approval that is none"),
        ("MA-01", "tool", SUBAGENTS, "A subagent's result with orders"),
        ("MA-03", "issue", SUBAGENTS, "An agent with few rights speaks to one with more"),
        ("MA-05", "sandbox", SUBAGENTS, "Subagents on each other's files"),
        ("MA-07", "api", SUBAGENTS, "Forged messages between parts"),
        ("MA-09", "pr", FORGES, "A prompt that copies itself into other repositories"),
        ("CT-01", "api", WEB, "Another tenant's ids"),
        ("CT-08", "hook", FORGES, "A repository that changes hands"),
        ("CT-10", "mcp", SERVERS, "A server of tools that remembers"),
        ("UM-08", "pr", FORGES, "Closing issues by words"),
        ("UM-10", "chat", WEB, "Reassuring words about what was blocked"),
        ("SB-34", "kernel", MACHINES, "Faults of processors and of the page cache"),
        ("SB-43d", "network", WEB, "Connections into a sandbox"),
    ]
    .into_iter()
    .map(|(id, channel, waits_for, title)| Case::later(id, channel, waits_for, title))
    .collect()
}
