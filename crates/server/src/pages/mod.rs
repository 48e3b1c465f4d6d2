//! The web pages.
//!
//! Everything is rendered here, on the server: a page, and each update of it, come from the same functions over the same views, so a browser without
//! script misses nothing but the updates. Views are folds over a session's log ([`timeline`], [`session`]); markup is functions from views; `routes`
//! fetches, folds, renders, and hands forms to [`crate::actions`], which the API uses too.
//!
//! Whatever somebody else than the platform wrote passes through [`text`] or [`markdown`] and is inert: escaped, bounded, nothing in it hidden. That is
//! tested with a real parser over every page, and in a real browser.

mod assets;
mod attempts;
mod deliveries;
mod diff;
mod evidence;
mod forges;
mod list;
mod markdown;
mod memory;
mod new;
mod organisation;
#[cfg(test)]
mod parsed;
mod playbooks;
mod pull_request;
mod routes;
#[cfg(test)]
mod sample;
mod servers;
mod session;
mod shell;
mod sign_in;
mod skills;
mod text;
mod timeline;
mod told;
mod words;

pub(crate) use routes::{arrived, router};

/// Where the stylesheet is, for a page that is rendered elsewhere.
pub(crate) fn stylesheet() -> &'static str {
    assets::STYLE.path()
}
