//! What every page has around it: the head, the bar with its water line, the way to the content.
//!
//! No page has a script or a style of its own, inline or otherwise: the policy that the server sends with it forbids them.

use maud::{DOCTYPE, Markup, html};

use super::{
    assets,
    text::{inert, plain},
};

/// Who looks at a page, as far as pages care.
#[derive(Debug, Clone)]
pub(crate) struct Viewer {
    /// Their name.
    pub(crate) name: String,
    /// Whether they may act on sessions.
    pub(crate) acts: bool,
    /// Whether they may administer.
    pub(crate) administers: bool,
}

/// The parts of the bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Sessions,
    Memory,
    Playbooks,
    Usage,
    Audit,
    Forges,
    Settings,
    /// None of them.
    Elsewhere,
}

const BAR: [(Place, &str, &str); 7] = [
    (Place::Sessions, "/", "Sessions"),
    (Place::Memory, "/memory", "Memory"),
    (Place::Playbooks, "/playbooks", "Playbooks"),
    (Place::Usage, "/usage", "Usage"),
    (Place::Audit, "/audit", "Audit"),
    (Place::Forges, "/forges", "Forges"),
    (Place::Settings, "/settings", "Settings"),
];

/// A whole page.
pub(crate) fn page(viewer: Option<&Viewer>, place: Place, title: &str, content: &Markup) -> Markup {
    referring("same-origin", viewer, (place, title), content)
}

/// A whole page with a form that leads to another site, which is told the origin that it comes from: without that, what is posted there has the
/// origin `null` (Fetch, "append a request `Origin` header").
pub(crate) fn leading_out(viewer: &Viewer, place: Place, title: &str, content: &Markup) -> Markup {
    referring("strict-origin", Some(viewer), (place, title), content)
}

fn referring(
    referrer: &str,
    viewer: Option<&Viewer>,
    (place, title): (Place, &str),
    content: &Markup,
) -> Markup {
    // Forms that would be refused are not shown; that they are refused does not rest on this.
    let rank = match viewer {
        Some(viewer) if viewer.administers => "admin",
        Some(viewer) if viewer.acts => "member",
        Some(_) | None => "viewer",
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (plain(title)) " · Cofferdam" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content=(referrer);
                link rel="icon" href=(assets::ICON.path()) type="image/svg+xml";
                link rel="stylesheet" href=(assets::STYLE.path());
                script src=(assets::SCRIPT.path()) defer {}
            }
            body class=(rank) {
                a.skip href="#content" { "Skip to the content" }
                (bar(viewer, place))
                main #content tabindex="-1" { (content) }
                (keys())
                p #told .unseen role="status" aria-live="polite" {}
            }
        }
    }
}

fn bar(viewer: Option<&Viewer>, place: Place) -> Markup {
    html! {
        header.bar {
            div.inner {
                a.brand href="/" aria-label="Cofferdam, all sessions" { (mark()) span { "Cofferdam" } }
                @if let Some(viewer) = viewer {
                    nav aria-label="Main" {
                        @for (target, address, name) in BAR.iter().filter(|(target, ..)| viewer.administers || !matches!(target, Place::Audit | Place::Forges)) {
                            a href=(address) aria-current=[(*target == place).then_some("page")] { (name) }
                        }
                    }
                    div.who {
                        a.button.primary.act href="/new" { "New task" }
                        details.menu {
                            summary { span.avatar aria-hidden="true" { (initial(&viewer.name)) } span.name { (inert(&viewer.name)) } }
                            form method="post" action="/sign-out" { button type="submit" { "Sign out" } }
                        }
                    }
                }
            }
        }
    }
}

fn initial(name: &str) -> String {
    name.chars()
        .find(|character| character.is_alphanumeric())
        .map_or_else(|| "·".to_owned(), |first| first.to_uppercase().collect())
}

/// Two walls, water on both sides, and a dry floor below the water line between them.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" {
            path.water d="M0 10q1.75-2 3.5 0T7 10v12H0zM17 10q1.75-2 3.5 0T24 10v12h-7z" {}
            path.wall d="M7 4v18M17 4v18" {}
            path.floor d="M9.5 19.5h5" {}
        }
    }
}

/// The keys, for whoever asks with `?`.
fn keys() -> Markup {
    const KEYS: [(&str, &str); 7] = [
        ("j", "next step or session"),
        ("k", "the one before"),
        ("o", "open or fold it"),
        ("/", "filter"),
        ("m", "write a message"),
        ("g", "to the newest"),
        ("?", "these keys"),
    ];
    html! {
        dialog #keys aria-labelledby="keys-title" {
            h2 #keys-title { "Keys" }
            dl {
                @for (key, meaning) in KEYS { div { dt { kbd { (key) } } dd { (meaning) } } }
            }
            form method="dialog" { button type="submit" { "Close" } }
        }
    }
}
