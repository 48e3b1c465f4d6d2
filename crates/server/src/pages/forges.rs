//! The pages about forges: how each stands, and making an app on one, which leads out to the forge and back.

use cofferdam_domain::Timestamp;
use cofferdam_store::Arrived;
use maud::{Markup, html};

use super::{
    text::{inert, line, plain},
    words::{ago, time},
};
use crate::{
    api::delivery_state,
    forges::{AppForm, AppSeen, BelongTogether, BudgetSeen, ForgeSeen},
};

/// What the page shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Each with what arrived of it last, if that is not too long ago.
    pub(crate) forges: Vec<(ForgeSeen, Option<Arrived>)>,
    /// The addresses at which apps can be made.
    pub(crate) places: Vec<String>,
    /// What the next one may be called.
    pub(crate) free: String,
}

/// The forges, and the form with which one is connected.
pub(crate) fn forges(known: &Known, now: Timestamp) -> Markup {
    html! {
        header.section {
            h1 { "Forges" }
            p.quiet { "Where work is asked for and answered, of this organisation. " a href="/deliveries" { "What they sent" } "." }
        }
        div.settings.forges {
            @for (forge, last) in &known.forges { (card(forge, last.as_ref(), now)) }
            (connect(known))
        }
    }
}

fn card(forge: &ForgeSeen, last: Option<&Arrived>, now: Timestamp) -> Markup {
    let id = format!("forge-{}", plain(&forge.name));
    html! {
        section.card #(id) aria-labelledby=(format!("{id}-title")) {
            h2 #(format!("{id}-title")) { (line(&forge.name, 80)) " " span.tag { (line(&forge.kind, 40)) } }
            @if let Some(trouble) = &forge.trouble { p.banner.bad role="alert" { (inert(trouble)) } }
            dl {
                div.fact { dt { "Address" } dd { code { (line(&forge.web, 200)) } } }
                div.fact { dt { "API" } dd { code { (line(&forge.api, 200)) } } }
                div.fact { dt { "Hears by" } dd { (hears(forge)) } }
                div.fact { dt { "Last delivery" } dd { (delivered(forge, last, now)) } }
                @if !forge.budgets.is_empty() { div.fact { dt { "May still ask" } dd { @for budget in &forge.budgets { (self::budget(budget)) } } } }
                @if !forge.together.is_empty() { div.fact { dt { "Together" } dd { (together(&forge.together)) } } }
                div.fact { dt { "Kept" } dd { (kept(forge.app.as_ref(), now)) } }
            }
            @if forge.app.is_some() { (settings(forge, &id)) }
            @if let Some(app) = &forge.app {
                p.row {
                    a.button.primary href=(format!("{}/installations/new", plain(app.page.trim_end_matches('/')))) rel="noreferrer" { "Install on repositories" }
                    a.button href=(plain(&app.page)) rel="noreferrer" { "The app there" }
                    a.button.danger href=(format!("/forges/{}/remove", plain(&forge.name))) { "Remove" }
                }
            }
        }
    }
}

fn together(all: &[BelongTogether]) -> Markup {
    html! {
        @for (place, one) in all.iter().enumerate() {
            @if place > 0 { br; }
            code { (line(&one.repository, 200)) } " with "
            @for (place, other) in one.also.iter().enumerate() { @if place > 0 { ", " } code { (line(other, 200)) } }
        }
    }
}

/// How it is worked with, which for one of the configuration is said there.
fn settings(forge: &ForgeSeen, id: &str) -> Markup {
    let rows = forge.together.len().clamp(2, 10);
    html! {
        details {
            summary { "Settings" }
            form.stack method="post" action=(format!("/forges/{}/settings", plain(&forge.name))) {
                label for=(format!("{id}-every")) { "Asked every" }
                input #(format!("{id}-every")) name="every" maxlength="20" autocomplete="off" spellcheck="false" value=(plain(forge.every.as_deref().unwrap_or_default())) placeholder=(if forge.hook.is_some() { "1h" } else { "1m" }) aria-describedby=(format!("{id}-every-hint"));
                p.hint #(format!("{id}-every-hint")) { "What has happened there: " code { "30s" } ", " code { "5m" } ", " code { "2h" } ". Then also in repositories of which nothing has arrived. Empty: as usual." }
                label for=(format!("{id}-together")) { "Repositories that belong together" }
                textarea #(format!("{id}-together")) name="together" rows=(rows) maxlength="20000" spellcheck="false" aria-describedby=(format!("{id}-together-hint")) { (plain(&BelongTogether::written(&forge.together))) }
                p.hint #(format!("{id}-together-hint")) { "One line each: " code { "owner/app: owner/library owner/docs#branch" } ". What is asked for in an issue of the first is about the others as well." }
                div.row { button type="submit" { "Keep" } }
            }
        }
    }
}

fn hears(forge: &ForgeSeen) -> Markup {
    html! {
        @if let Some(hook) = &forge.hook { "webhooks at " code { (line(hook, 300)) } }
        @else { "asking it" }
        @if let Some(every) = &forge.every { @if forge.hook.is_some() { ", and asking it" } " every " (line(every, 20)) }
    }
}

/// What came last, and whether it was taken: what is refused is never kept, so only the process that refused it knows.
fn delivered(forge: &ForgeSeen, last: Option<&Arrived>, now: Timestamp) -> Markup {
    let refused = forge.refused.as_ref().filter(|(at, _)| last.is_none_or(|last| last.arrival.at < *at));
    html! {
        @if let Some((at, why)) = refused {
            span.tag.bad { "refused" } " " (ago(*at, now)) ": " (line(why, 300))
            @if last.is_some() { br; "Before that: " }
        }
        @if let Some(last) = last {
            span.tag.good { "accepted" } " " (ago(last.arrival.at, now)) ": " code { (line(&last.arrival.event, 80)) }
            @if let Some(what) = &last.what { ", " (line(what, 200)) }
            @else if delivery_state(last) == "waiting" { ", waiting" }
        } @else if refused.is_none() { span.quiet { "none of late" } }
    }
}

fn budget(budget: &BudgetSeen) -> Markup {
    html! {
        span.limit {
            (line(&budget.name, 40)) ": " b { (budget.left) } @if let Some(of) = budget.of { " of " (of) }
            @if let Some(again) = budget.again { ", anew at " (time(again)) }
        }
    }
}

fn kept(app: Option<&AppSeen>, now: Timestamp) -> Markup {
    html! {
        @if let Some(app) = app { "here, encrypted; made by " (line(&app.by, 80)) " " (ago(app.at, now)) " as app " (app.number) }
        @else { "in the configuration, " code { "[[forge]]" } }
    }
}

fn connect(known: &Known) -> Markup {
    html! {
        section.card #connect aria-labelledby="connect-title" {
            h2 #connect-title { "Connect GitHub" }
            p {
                "Makes a GitHub App of your own: you look at it at GitHub and agree, and its key comes here without anybody seeing it. Its tokens are for one \
                 repository at a time. You then choose on which repositories it is installed."
            }
            form.stack method="post" action="/forges/connect" {
                @if let [only] = &known.places[..] {
                    input type="hidden" name="web" value=(plain(only));
                } @else {
                    label for="app-web" { "GitHub" }
                    select #app-web name="web" { @for place in &known.places { option value=(plain(place)) { (plain(place)) } } }
                }
                label for="app-owner" { "Organisation there" }
                input #app-owner name="owner" maxlength="39" autocomplete="off" spellcheck="false" pattern=r"[A-Za-z0-9\-]*" placeholder="your own account" aria-describedby="app-owner-hint";
                p.hint #app-owner-hint { "The app can be installed on the repositories of its owner. Empty: the account that is signed in there." }
                label for="app-name" { "Its name here" }
                input #app-name name="name" required maxlength="40" autocomplete="off" spellcheck="false" pattern=r"[a-z0-9\-]+" value=(plain(&known.free)) aria-describedby="app-name-hint";
                p.hint #app-name-hint { "Its webhooks are posted to " code { "/hooks/" } " and this name." }
                div.row { button.primary type="submit" { "Connect GitHub" } }
            }
        }
    }
}

/// What the app is to be, before the browser goes to the forge.
pub(crate) fn plan(form: &AppForm, name: &str) -> Markup {
    let host = plain(form.web.split_once("://").map_or(&form.web, |(_, host)| host));
    html! {
        section.told {
            h1 { "To GitHub, and back" }
            p { "An app is made at " b { (host) } ", called " b { (line(name, 80)) } " here, with what it needs and no more:" }
            ul.grants { @for (what, level) in &form.permissions { li { (line(&what.replace('_', " "), 60)) ": " b { (line(level, 20)) } } } }
            @if !form.hears {
                p.quiet { "GitHub cannot reach this server (it takes only https:// addresses), so it is asked every minute instead of posting what happens." }
            }
            p.quiet { "Be signed in there in this browser first. You have half an hour." }
            form method="post" action=(plain(&form.action)) {
                input type="hidden" name="manifest" value=(plain(&form.manifest));
                div.row { button.primary type="submit" autofocus { "Go on to " (host) } a.button href="/forges" { "Cancel" } }
            }
        }
    }
}

/// What a browser sees that comes back. To a request that another site began, no cookie of ours comes, so it goes on from here: by itself, where there
/// is script. `wrong` says why it has to be tried again.
pub(crate) fn back(code: &str, state: &str, wrong: Option<&str>) -> Markup {
    html! {
        section.told {
            @if let Some(wrong) = wrong {
                h1 { "Not yet" }
                p.banner.bad role="alert" { (inert(wrong)) }
                p { "The app is made there already, and what came back for it holds for an hour: try again, and nothing has to be done twice." }
            } @else {
                h1 { "The app is made" }
                p { "One step is left: its key is fetched and kept here, encrypted." }
            }
            form method="post" action="/forges/apps" data-go[wrong.is_none()] {
                input type="hidden" name="code" value=(plain(code));
                input type="hidden" name="state" value=(plain(state));
                div.row { button.primary type="submit" autofocus { @if wrong.is_some() { "Try again" } @else { "Finish" } } }
            }
        }
    }
}

/// Whether it is really meant.
pub(crate) fn removal(forge: &ForgeSeen, app: &AppSeen) -> Markup {
    html! {
        section.told {
            h1 { "Remove " (line(&forge.name, 80)) "?" }
            p { "Its key is deleted here, and its webhooks are no longer taken. Sessions that were asked for there can neither be answered nor published there any more." }
            p { "The app itself stays at " code { (line(&forge.web, 200)) } " until you delete it: " a href=(plain(&app.page)) rel="noreferrer" { (line(&app.page, 200)) } "." }
            form method="post" action=(format!("/forges/{}/remove", plain(&forge.name))) {
                div.row { button.danger type="submit" { "Remove" } a.button href="/forges" autofocus { "Keep it" } }
            }
        }
    }
}
