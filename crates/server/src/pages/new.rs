//! The page on which a task is given.

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
    pub(crate) prompt: String,
    pub(crate) model: String,
    pub(crate) policy: String,
    pub(crate) project: String,
    pub(crate) plan_first: bool,
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
                div.wide-field {
                    label { input type="checkbox" name="plan_first" value="true" checked[filled.plan_first]; " Show me a plan first" }
                    p.hint { "The agent can only read until you have approved what it wants to do." }
                }
                div.row.wide-field { button.primary type="submit" { "Start" } a.button href="/" { "Cancel" } }
            }
        }
    }
}
