//! The pages for whoever is not signed in.

use maud::{Markup, html};

use super::text::{inert, plain};

/// How one can sign in here. `service` is the host of a sign-in service, if there is one, and whether links are for emergencies alone.
pub(crate) fn offer(service: Option<(&str, bool)>) -> Markup {
    let only = service.is_some_and(|(_, only)| only);
    html! {
        section.told {
            h1 { "Sign in" }
            @if let Some((host, _)) = service {
                p.row { a.button.primary href="/sign-in/openid" { "Sign in with " (plain(host)) } }
            }
            @if !only {
                p { @if service.is_some() { "Or open" } @else { "Open" } " the link that an administrator gave you. It works once, for fifteen minutes." }
                p.quiet { "On the machine that Cofferdam runs on, " code { "cofferdam admin link" } " makes one." }
            }
        }
    }
}

/// What a browser sees for a moment when it comes back from a sign-in service. It goes on by itself, from a page of the server's own: to a
/// request that another site began, no cookie of ours comes.
pub(crate) fn arrived() -> Markup {
    html! {
        section.told {
            h1 { "You are signed in" }
            p.row { a.button.primary href="/" { "All sessions" } }
        }
    }
}

/// The page that a link leads to. Only the button uses the link up, so that a program which looks at links does not.
pub(crate) fn confirm(secret: &str) -> Markup {
    html! {
        section.told {
            h1 { "Sign in" }
            p { "This link signs this browser in, once." }
            form method="post" action=(format!("/sign-in/{}", path_part(secret))) { button.primary type="submit" autofocus { "Sign in" } }
        }
    }
}

/// What may stand in the path of a form; anything else is no link that was ever given.
fn path_part(secret: &str) -> &str {
    let plain = secret.len() <= 200
        && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if plain { secret } else { "unknown" }
}

/// What is shown when something cannot be done.
pub(crate) fn problem(title: &str, detail: &str, signed_in: bool) -> Markup {
    let way = if signed_in { ("/", "All sessions") } else { ("/sign-in", "Sign in") };
    html! {
        section.told role="alert" {
            h1 { (title) }
            p { (inert(detail)) }
            p.row { a.button.primary href=(way.0) { (way.1) } }
        }
    }
}
