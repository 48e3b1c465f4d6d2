//! The page on which a task is given.

use cofferdam_domain::attempt::MOST_ATTEMPTS;
use maud::{Markup, html};

use super::text::plain;

/// What may be chosen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Offered {
    pub(crate) models: Vec<String>,
    pub(crate) policies: Vec<String>,
    /// Each with its id and name.
    pub(crate) projects: Vec<(String, String)>,
    /// Repositories of earlier tasks, to be chosen from.
    pub(crate) repositories: Vec<String>,
}

/// What was filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filled {
    pub(crate) repository: String,
    pub(crate) base: String,
    /// The repositories that it is about beside that one, one in a line.
    pub(crate) also: String,
    pub(crate) prompt: String,
    pub(crate) model: String,
    pub(crate) policy: String,
    pub(crate) project: String,
    pub(crate) plan_first: bool,
    /// How many attempts are made, as it was typed.
    pub(crate) attempts: String,
    /// Who chooses among them.
    pub(crate) choose: String,
}

/// The page. `wrong` says what was not accepted of what was filled in.
pub(crate) fn page(offered: &Offered, filled: &Filled, wrong: Option<&str>) -> Markup {
    html! {
        div.narrow {
            h1 { "New task" }
            @if let Some(wrong) = wrong { p.banner.bad role="alert" { (super::text::inert(wrong)) } }
            form.card.form.act method="post" action="/new" {
                div {
                    label for="repository" { "Repository" }
                    input #repository name="repository" required maxlength="1000" value=(plain(&filled.repository)) list="repositories" autocomplete="off" spellcheck="false" aria-describedby="repository-hint";
                    datalist #repositories { @for one in &offered.repositories { option value=(plain(one)) {} } }
                    p.hint #repository-hint { "An address that git understands, or a path on the worker's machine." }
                }
                div {
                    label for="base" { "Start from" }
                    input #base name="base" maxlength="250" value=(plain(&filled.base)) placeholder="the default branch" autocomplete="off" spellcheck="false";
                }
                div.wide-field {
                    label for="also" { "Other repositories that it is about" }
                    textarea #also name="also" rows="2" maxlength="6000" spellcheck="false" aria-describedby="also-hint" { (plain(&filled.also)) }
                    p.hint #also-hint { "One in a line, five at the most, each with # and the ref to start from if need be. Each that is changed gets a pull request of its own." }
                }
                div.wide-field {
                    label for="prompt" { "What is to be done" }
                    textarea #prompt name="prompt" rows="10" required maxlength="524288" aria-describedby="prompt-hint" { (plain(&filled.prompt)) }
                    p.hint #prompt-hint { "Say what should be true afterwards, and how one can tell. Markdown is welcome." }
                }
                div {
                    label for="model" { "Model" }
                    select #model name="model" {
                        option value="" { "The usual one" }
                        @for one in &offered.models { option value=(plain(one)) selected[*one == filled.model] { (plain(one)) } }
                    }
                }
                div {
                    label for="policy" { "Policy" }
                    select #policy name="policy" {
                        option value="" { "The usual one" }
                        @for one in &offered.policies { option value=(plain(one)) selected[*one == filled.policy] { (plain(one)) } }
                    }
                }
                @if offered.projects.len() > 1 {
                    div {
                        label for="project" { "Project" }
                        select #project name="project" {
                            @for (id, name) in &offered.projects { option value=(id) selected[*id == filled.project] { (plain(name)) } }
                        }
                    }
                }
                (attempts(filled))
                div.wide-field {
                    label { input type="checkbox" name="plan_first" value="true" checked[filled.plan_first]; " Show me a plan first" }
                    p.hint { "The agent can only read until you have approved what it wants to do." }
                }
                div.row.wide-field { button.primary type="submit" { "Start" } a.button href="/" { "Cancel" } }
            }
        }
    }
}

/// How many attempts, and who chooses.
fn attempts(filled: &Filled) -> Markup {
    let number = if filled.attempts.is_empty() { "1" } else { &filled.attempts };
    html! {
        div {
            label for="attempts" { "Attempts" }
            input #attempts name="attempts" type="number" min="1" max=(MOST_ATTEMPTS) value=(plain(number)) aria-describedby="attempts-hint";
            p.hint #attempts-hint { "Each is a session of its own with a sandbox and the whole budget. Only one of them is delivered." }
        }
        div {
            label for="choose" { "Which attempt is delivered" }
            select #choose name="choose" {
                option value="ask" selected[filled.choose != "best"] { "I choose" }
                option value="best" selected[filled.choose == "best"] { "The one that is ranked first" }
            }
        }
    }
}
