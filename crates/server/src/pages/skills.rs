//! The pages about the skills that an organisation gives its sessions: which there are, and what is in each, character by character, because that is what
//! somebody approves.

use std::collections::BTreeMap;

use cofferdam_domain::Timestamp;
use cofferdam_store::KeptSkill;
use maud::{Markup, html};

use super::{
    text::{inert, line, plain, size},
    words::ago,
};

/// The list.
pub(crate) fn list(skills: &[KeptSkill], now: Timestamp) -> Markup {
    html! {
        header.section {
            h1 { "Skills" }
            p.quiet { "What sessions of this organisation are taught, and the kinds of subagents that they have beside those that are built in. They have a version once somebody has approved exactly that." }
        }
        @if skills.is_empty() { p.empty { "There are none yet. " code { "cofferdam skill add" } " puts one there." } }
        @else {
            ul.things.card aria-label="Skills" {
                @for skill in skills {
                    li {
                        div {
                            a href=(address(skill)) { b { (line(&skill.name, 80)) } } " " code { (skill.digest.short()) } " " (state(skill)) br;
                            span.quiet { "added by " (line(&skill.by, 60)) ", " (ago(skill.at, now)) }
                        }
                        a.button href=(address(skill)) { "Look at it" }
                    }
                }
            }
        }
    }
}

fn address(skill: &KeptSkill) -> String {
    format!("/skills/{}/{}", plain(&skill.name), skill.digest)
}

fn state(skill: &KeptSkill) -> Markup {
    html! {
        @match &skill.approved {
            Some(_) => span.tag.good { "approved" },
            None => span.tag.warn { "not approved" },
        }
    }
}

/// What is in one version of a skill.
pub(crate) struct Seen {
    pub(crate) skill: KeptSkill,
    pub(crate) files: BTreeMap<String, String>,
    /// What whoever approves it should know.
    pub(crate) notices: Vec<String>,
    /// Why it is not what its digest says, if it is not.
    pub(crate) wrong: Option<String>,
}

/// One version, and what can be decided about it.
pub(crate) fn show(seen: &Seen, now: Timestamp) -> Markup {
    let Seen { skill, files, notices, wrong } = seen;
    let place = format!("/skills/{}", plain(&skill.name));
    html! {
        p.crumb { a href="/skills" { "Skills" } }
        h1 { (line(&skill.name, 80)) }
        p { (state(skill)) " " code.id { (skill.digest) } }
        p.quiet {
            "Added by " (line(&skill.by, 60)) ", " (ago(skill.at, now)) "."
            @if let Some((by, at)) = &skill.approved { " Approved by " (line(by, 60)) ", " (ago(*at, now)) "." }
        }
        @if let Some(wrong) = wrong { p.banner.bad role="alert" { "It is not what its digest says, and no session is given it: " (inert(wrong)) } }
        @for notice in notices { p.banner.warn { (inert(notice)) } }
        @for (path, text) in files {
            section.card {
                h2 { code { (inert(path)) } " " span.quiet { (size(text.len() as u64)) } }
                // HTML drops a line end right after the tag: this one, instead of one of the text's.
                pre.exact tabindex="0" { "\n" (inert(text)) }
            }
        }
        section.card.ask aria-labelledby="decide-title" {
            h2 #decide-title { "Decide" }
            p.quiet { "You approve exactly these files, " code { (skill.digest.short()) } ". Sessions that begin from then on have them, in the place of any other version. Revoking removes all versions; sessions that have begun keep what they have." }
            div.row {
                @if skill.approved.is_none() && wrong.is_none() {
                    form method="post" action=(format!("{place}/approval")) {
                        button.primary type="submit" { "Approve" }
                        input type="hidden" name="digest" value=(skill.digest);
                    }
                }
                details.sure data-key="revoke" {
                    summary.button { "Revoke" }
                    form method="post" action=(format!("{place}/revoke")) { button.danger type="submit" { "Revoke all versions" } }
                }
            }
        }
    }
}
