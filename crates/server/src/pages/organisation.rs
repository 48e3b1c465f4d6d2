//! The pages about an organisation: what was written down, what was spent, who belongs to it, what its rules are.

use cofferdam_domain::{Cost, Rank, Timestamp};
use maud::{Markup, html};

use super::{
    shell::Viewer,
    text::{inert, line, number, plain},
    words::{ago, millis, time},
};

/// What a name may be that stands in a path. Browsers read patterns with the flag `v`, under which a `-` is escaped.
const PATH_NAME: &str = r"[a-z0-9][a-z0-9._\-]*";

/// Something that was written down.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) at: Timestamp,
    pub(crate) by: String,
    pub(crate) action: String,
    pub(crate) subject: String,
    pub(crate) detail: String,
}

/// What was written down.
pub(crate) fn audit(entries: &[Entry], next: Option<&str>) -> Markup {
    html! {
        header.section {
            h1 { "Audit" }
            p.quiet { "Each entry holds the hash of the one before. " code { "cofferdam audit verify" } " checks them all. " a href="/told" { "What people outside were told" } ", " a href="/deliveries" { "what they sent" } "." }
        }
        @if entries.is_empty() { p.empty { "Nothing has been written down yet." } }
        @else {
            div.card.table tabindex="0" {
                table {
                    thead { tr { th { "When" } th { "Who" } th { "What" } th { "To what" } th { "More" } } }
                    tbody {
                        @for entry in entries {
                            tr.alarm[entry.action.starts_with("tenancy.") || entry.action.contains("refused")] {
                                td.nowrap { (time(entry.at)) }
                                td { (line(&entry.by, 80)) }
                                td { code { (line(&entry.action, 80)) } }
                                td { (subject(&entry.subject)) }
                                td.quiet { @if entry.detail != "{}" { code { (line(&entry.detail, 200)) } } }
                            }
                        }
                    }
                }
            }
        }
        @if let Some(next) = next { p.row { a.button href=(format!("/audit?before={next}")) { "Earlier" } } }
    }
}

fn subject(subject: &str) -> Markup {
    match subject.parse::<cofferdam_domain::SessionId>() {
        Ok(id) => html! { a href=(format!("/sessions/{id}")) { (id) } },
        Err(_) => line(subject, 120),
    }
}

/// What somebody may spend in a day, and has spent today. `None` is no limit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Purse {
    /// `organisation`, or the id of a project or user.
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) cost: (u64, Option<u64>),
    pub(crate) tokens: (u64, Option<u64>),
    pub(crate) sandbox_ms: (u64, Option<u64>),
    pub(crate) pull_requests: (u64, Option<u64>),
    pub(crate) sessions: u64,
    pub(crate) concurrent: Option<u64>,
}

/// What was spent today.
pub(crate) fn usage(purses: &[Purse], now: Timestamp) -> Markup {
    html! {
        header.section { h1 { "Usage" } p.quiet { "Today, in universal time, as of " (time(now)) "." } }
        div.purses { @for purse in purses { (self::purse(purse)) } }
    }
}

fn purse(purse: &Purse) -> Markup {
    let money = |amount: u64| Cost(amount).to_string();
    html! {
        section.card {
            h2 { (line(&purse.name, 80)) }
            (measure("Money", purse.cost, money))
            (measure("Tokens", purse.tokens, number))
            (measure("Sandbox time", purse.sandbox_ms, millis))
            (measure("Pull requests", purse.pull_requests, number))
            p.quiet { (purse.sessions) " sessions" @if let Some(most) = purse.concurrent { ", at most " (most) " at once" } }
        }
    }
}

fn measure(name: &str, (used, most): (u64, Option<u64>), shown: impl Fn(u64) -> String) -> Markup {
    html! {
        div.measure {
            p { (name) " " b { (shown(used)) } @if let Some(most) = most { span.quiet { " of " (shown(most)) } } }
            @if let Some(most) = most { progress.full[used >= most] max=(most.max(1)) value=(used.min(most)) aria-label=(name) {} }
        }
    }
}

/// A token as it is listed.
#[derive(Debug, Clone)]
pub(crate) struct TokenLine {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) rank: Rank,
    pub(crate) expires: Timestamp,
    pub(crate) used: Option<Timestamp>,
}

/// A member as they are listed.
#[derive(Debug, Clone)]
pub(crate) struct MemberLine {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) rank: Rank,
    /// 0 for who came with the store.
    pub(crate) since: Timestamp,
}

/// What the settings page shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) members: Vec<MemberLine>,
    pub(crate) tokens: Vec<TokenLine>,
    /// Name and text.
    pub(crate) policies: Vec<(String, String)>,
    /// Name, and when it was put there.
    pub(crate) credentials: Vec<(String, Timestamp)>,
    /// Id and name.
    pub(crate) projects: Vec<(String, String)>,
    pub(crate) budgets: Vec<Purse>,
    /// Something that is shown this once: what it is, and itself.
    pub(crate) once: Option<(&'static str, String)>,
}

/// The settings.
pub(crate) fn settings(settings: &Settings, viewer: &Viewer, now: Timestamp) -> Markup {
    html! {
        header.section {
            h1 { "Settings" }
            p.quiet.administer { a href="/skills" { "Skills" } ", " a href="/mcp" { "MCP servers" } "." }
        }
        @if let Some((what, secret)) = &settings.once { (once(what, secret)) }
        div.settings {
            (tokens(settings, viewer, now))
            (members(settings, now))
            (policies(settings))
            (credentials(settings, now))
            (projects(settings))
            (budgets(settings))
        }
    }
}

/// Something that nobody can read here again.
fn once(what: &str, secret: &str) -> Markup {
    html! {
        section.card.ask role="status" {
            h2 { (what) }
            p { "Copy it now: it is shown this once." }
            pre tabindex="0" { (inert(secret)) }
        }
    }
}

fn ranks(id: &str, most: Rank) -> Markup {
    html! {
        select #(id) name="rank" {
            @for rank in [Rank::Viewer, Rank::Member, Rank::Admin] {
                @if rank <= most { option value=(rank.name()) selected[rank == Rank::Member.min(most)] { (rank.name()) } }
            }
        }
    }
}

fn tokens(settings: &Settings, viewer: &Viewer, now: Timestamp) -> Markup {
    let most = if viewer.administers {
        Rank::Admin
    } else if viewer.acts {
        Rank::Member
    } else {
        Rank::Viewer
    };
    html! {
        section.card aria-labelledby="tokens-title" {
            h2 #tokens-title { "API tokens" }
            @if settings.tokens.is_empty() { p.quiet { "None." } }
            ul.things {
                @for TokenLine { id, name, rank, expires, used } in &settings.tokens {
                    li {
                        div { b { (line(name, 80)) } " " span.tag { (rank.name()) } br;
                            span.quiet { "until " (time(*expires)) ", " @if let Some(used) = used { "used " (ago(*used, now)) } @else { "never used" } } }
                        form method="post" action=(format!("/settings/tokens/{id}/revoke")) { button.danger type="submit" { "Revoke" } }
                    }
                }
            }
            form.inline method="post" action="/settings/tokens" {
                div { label for="token-name" { "Name" } input #token-name name="name" required maxlength="80" autocomplete="off"; }
                div { label for="token-rank" { "May act as" } (ranks("token-rank", most)) }
                div { label for="token-days" { "Days" } input #token-days name="days" type="number" min="1" max="366" value="30" required; }
                button.primary type="submit" { "Make a token" }
            }
        }
    }
}

fn members(settings: &Settings, now: Timestamp) -> Markup {
    html! {
        section.card aria-labelledby="members-title" {
            h2 #members-title { "Members" }
            ul.things {
                @for MemberLine { id, name, rank, since } in &settings.members {
                    li {
                        div { b { (line(name, 80)) } " " span.tag { (rank.name()) } @if since.0 > 0 { br; span.quiet { "since " (ago(*since, now)) } } }
                        div.administer.row {
                            form.row method="post" action=(format!("/settings/members/{id}")) {
                                label.unseen for=(format!("rank-{id}")) { "Rank" }
                                select #(format!("rank-{id}")) name="rank" {
                                    @for one in [Rank::Viewer, Rank::Member, Rank::Admin] { option value=(one.name()) selected[*rank == one] { (one.name()) } }
                                }
                                button type="submit" { "Set" }
                            }
                            form method="post" action=(format!("/settings/members/{id}/link")) { button type="submit" { "Sign-in link" } }
                            form method="post" action=(format!("/settings/members/{id}/remove")) { button.danger type="submit" { "Remove" } }
                        }
                    }
                }
            }
            form.inline.administer method="post" action="/settings/members" {
                div { label for="member-name" { "Name" } input #member-name name="name" required maxlength="80" autocomplete="off"; }
                div { label for="member-rank" { "Rank" } (ranks("member-rank", Rank::Admin)) }
                button.primary type="submit" { "Invite" }
            }
        }
    }
}

fn policies(settings: &Settings) -> Markup {
    html! {
        section.card aria-labelledby="policies-title" {
            h2 #policies-title { "Policies" }
            p.quiet { "A policy narrows what the workers' own permits. Sessions that have begun keep theirs." }
            @for (name, text) in &settings.policies {
                details data-key=(name) {
                    summary { b { (line(name, 80)) } }
                    form.administer method="post" action=(format!("/settings/policies/{}", plain(name))) {
                        label.unseen for=(format!("policy-{}", plain(name))) { "Its text" }
                        textarea.code #(format!("policy-{}", plain(name))) name="text" rows="12" spellcheck="false" { (plain(text)) }
                        div.row {
                            button.primary type="submit" { "Keep" }
                            button.danger type="submit" formaction=(format!("/settings/policies/{}/remove", plain(name))) { "Remove" }
                        }
                    }
                }
            }
            form.administer.stack method="post" action="/settings/policies" {
                label for="policy-name" { "Name" }
                input #policy-name name="name" required maxlength="80" autocomplete="off" pattern=(PATH_NAME);
                label for="policy-text" { "Text, in JSON" }
                textarea.code #policy-text name="text" rows="5" required spellcheck="false" { "{}" }
                div.row { button.primary type="submit" { "Add a policy" } }
            }
        }
    }
}

fn credentials(settings: &Settings, now: Timestamp) -> Markup {
    html! {
        section.card aria-labelledby="credentials-title" {
            h2 #credentials-title { "Credentials" }
            p.quiet { "Kept encrypted, used by the egress door alone. Nobody can read them here again." }
            ul.things {
                @for (name, at) in &settings.credentials {
                    li {
                        div { b { (line(name, 80)) } " " span.quiet { "put there " (ago(*at, now)) } }
                        form.administer method="post" action=(format!("/settings/credentials/{}/remove", plain(name))) { button.danger type="submit" { "Remove" } }
                    }
                }
            }
            form.inline.administer method="post" action="/settings/credentials" {
                div { label for="credential-name" { "Name" } input #credential-name name="name" required maxlength="80" autocomplete="off" pattern=(PATH_NAME); }
                div { label for="credential-secret" { "Secret" } input #credential-secret name="secret" type="password" required maxlength="65536" autocomplete="new-password"; }
                button.primary type="submit" { "Keep" }
            }
        }
    }
}

fn projects(settings: &Settings) -> Markup {
    html! {
        section.card aria-labelledby="projects-title" {
            h2 #projects-title { "Projects" }
            ul.things { @for (id, name) in &settings.projects { li { div { b { (line(name, 80)) } " " code.id.quiet { (id) } } } } }
            form.inline.administer method="post" action="/settings/projects" {
                div { label for="project-name" { "Name" } input #project-name name="name" required maxlength="80" autocomplete="off"; }
                button.primary type="submit" { "Add a project" }
            }
        }
    }
}

fn budgets(settings: &Settings) -> Markup {
    html! {
        section.card aria-labelledby="budgets-title" {
            h2 #budgets-title { "Budgets for a day" }
            p.quiet { "An empty field is no limit. A session that meets one waits until the day is over or somebody continues it." }
            @for purse in &settings.budgets {
                details data-key=(purse.key) {
                    summary { b { (line(&purse.name, 80)) } }
                    form.inline.administer method="post" action=(format!("/settings/budgets/{}", purse.key)) {
                        (limit(purse, "cost", "Dollars", purse.cost.1.map(|cost| cost / 1_000_000)))
                        (limit(purse, "tokens", "Tokens", purse.tokens.1))
                        (limit(purse, "minutes", "Sandbox minutes", purse.sandbox_ms.1.map(|millis| millis / 60_000)))
                        (limit(purse, "concurrent", "Sessions at once", purse.concurrent))
                        (limit(purse, "pull_requests", "Pull requests", purse.pull_requests.1))
                        button.primary type="submit" { "Set" }
                    }
                }
            }
        }
    }
}

fn limit(purse: &Purse, name: &str, words: &str, value: Option<u64>) -> Markup {
    let id = format!("{name}-{}", purse.key);
    html! { div { label for=(id) { (words) } input #(id) name=(name) type="number" min="0" max="1000000000000" value=[value]; } }
}
