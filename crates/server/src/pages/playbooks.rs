//! The pages about playbooks: which there are, and a form for each, made from its parameters.

use std::collections::BTreeMap;

use cofferdam_domain::{Digest, Timestamp};
use cofferdam_instructions::{Accepts, Parameter, Playbook};
use cofferdam_store::{KeptPlaybook, PlaybookVersion};
use maud::{Markup, html};

use super::{
    new::Offered,
    text::{inert, line, plain},
    words::ago,
};

/// What stands before a parameter's name in the name of its field.
pub(crate) const FIELD: &str = "value-";

/// A playbook in the list.
pub(crate) struct Listed {
    pub(crate) latest: PlaybookVersion,
    /// Versions that there are of it.
    pub(crate) versions: usize,
}

/// The list. `text` is what was to be added, where `wrong` says that it was not.
pub(crate) fn list(listed: &[Listed], text: &str, wrong: Option<&str>, now: Timestamp) -> Markup {
    html! {
        header.section {
            h1 { "Playbooks" }
            p.quiet { "Tasks that somebody has worded already: choose one, and say what it asks for." }
        }
        @if let Some(wrong) = wrong { p.banner.bad role="alert" { "It was not added: " (inert(wrong)) } }
        @if listed.is_empty() { p.empty { "There are none yet. An admin adds them here, or with " code { "cofferdam playbook add" } "." } }
        @else {
            ul.things.card aria-label="Playbooks" { @for one in listed { li { (entry(one, now)) } } }
        }
        (add(text))
    }
}

fn entry(listed: &Listed, now: Timestamp) -> Markup {
    let Listed { latest, versions } = listed;
    html! {
        div {
            a href=(address(&latest.name)) { b { (line(&latest.name, 80)) } }
            p { (line(&latest.description, 300)) }
            p.quiet {
                "Version " (latest.version) ", " code { (latest.digest.short()) } ", by " (line(&latest.by, 60)) ", " (ago(latest.at, now))
                @if *versions > 1 { "; " (versions - 1) " earlier" }
            }
        }
        form.administer method="post" action=(format!("{}/remove", address(&latest.name))) {
            button.danger type="submit" aria-label=(format!("Remove {}", plain(&latest.name))) { "Remove" }
        }
    }
}

fn address(name: &str) -> String {
    format!("/playbooks/{}", plain(name))
}

fn add(text: &str) -> Markup {
    const EXAMPLE: &str = "---\nname: bump-dependency\ndescription: Brings one dependency up to date.\nparameters:\n  - name: package\n    description: Its name\n---\nBring {{package}} up to its latest version, and mend what that breaks.";
    html! {
        section.card.administer aria-labelledby="add-title" {
            h2 #add-title { "Add a playbook" }
            p.quiet { "A text of the same name becomes its next version. Sessions that have begun keep their task." }
            form.stack method="post" action="/playbooks" {
                label for="text" { "Its text" }
                textarea.code #text name="text" rows="12" required maxlength="65536" spellcheck="false" placeholder=(EXAMPLE) { (plain(text)) }
                div.row { button.primary type="submit" { "Add" } }
            }
        }
    }
}

/// What was filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filled {
    pub(crate) repository: String,
    pub(crate) base: String,
    pub(crate) project: String,
    pub(crate) plan_first: bool,
    /// The version that was looked at.
    pub(crate) digest: Option<Digest>,
    pub(crate) values: BTreeMap<String, String>,
}

/// The page on which a playbook is begun. `wrong` says what was not accepted of what was filled in.
pub(crate) fn form(
    (kept, playbook): (&KeptPlaybook, &Playbook),
    offered: &Offered,
    filled: &Filled,
    wrong: Option<&str>,
) -> Markup {
    html! {
        div.narrow {
            p.crumb { a href="/playbooks" { "Playbooks" } }
            h1 { (line(&kept.name, 80)) }
            p { (line(&playbook.description, 1_100)) }
            @if let Some(wrong) = wrong { p.banner.bad role="alert" { (inert(wrong)) } }
            form.card.form.act method="post" action=(address(&kept.name)) {
                input type="hidden" name="digest" value=(kept.digest);
                div {
                    label for="repository" { "Repository" }
                    input #repository name="repository" required maxlength="1000" value=(plain(&filled.repository)) list="repositories" autocomplete="off" spellcheck="false";
                    datalist #repositories { @for one in &offered.repositories { option value=(plain(one)) {} } }
                }
                @for parameter in &playbook.parameters {
                    (field(parameter, filled.values.get(&parameter.name).map(String::as_str)))
                }
                @if playbook.base.is_none() {
                    div {
                        label for="base" { "Start from" }
                        input #base name="base" maxlength="250" value=(plain(&filled.base)) placeholder="the default branch" autocomplete="off" spellcheck="false";
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
                (said(playbook, filled))
                div.row.wide-field { button.primary type="submit" { "Start" } a.button href="/playbooks" { "Cancel" } }
            }
            details.card data-key="text" {
                summary { "What the agent is asked, version " (kept.version) ", " code { (kept.digest.short()) } }
                // HTML drops a line end right after the tag: this one, instead of one of the text's.
                pre.exact tabindex="0" { "\n" (inert(&kept.text)) }
            }
        }
    }
}

/// A field for a parameter. What may stand in it is looked at when it is sent; an empty one is left out.
fn field(parameter: &Parameter, value: Option<&str>) -> Markup {
    let Parameter { name, description, required, default, accepts } = parameter;
    let (id, hint) = (format!("{FIELD}{name}"), format!("hint-{name}"));
    let value = plain(value.or(default.as_deref()).unwrap_or_default());
    html! {
        div.wide-field {
            label for=(id) { (line(name, 60)) @if !required { " " span.quiet { "(may be left out)" } } }
            @match accepts {
                Accepts::OneOf(choices) => select #(id) name=(id) required[*required] aria-describedby=(hint) {
                    @if default.is_none() { option value="" { "Choose" } }
                    @for one in choices { option value=(plain(one)) selected[plain(one) == value] { (plain(one)) } }
                },
                Accepts::Text { max_length, multiline: true, .. } => {
                    textarea #(id) name=(id) rows="4" required[*required] maxlength=(max_length) aria-describedby=(hint) { (value) }
                },
                Accepts::Text { max_length, .. } => {
                    input #(id) name=(id) required[*required] maxlength=(max_length) value=(value) autocomplete="off" spellcheck="false" aria-describedby=(hint);
                },
            }
            p.hint #(hint) {
                (line(description, 300))
                @if let Accepts::Text { pattern: Some(pattern), .. } = accepts { " (fits " code { (inert(pattern)) } ")" }
            }
        }
    }
}

/// What the playbook says of how its task is worked on, and what is left to say.
fn said(playbook: &Playbook, filled: &Filled) -> Markup {
    let says = [("Model", &playbook.model), ("Policy", &playbook.policy), ("Start from", &playbook.base)];
    html! {
        div.wide-field {
            @if playbook.plan_first { p { "The agent shows a plan first, and can only read until somebody has approved it." } }
            @else { label { input type="checkbox" name="plan_first" value="true" checked[filled.plan_first]; " Show me a plan first" } }
            @for (what, value) in says {
                @if let Some(value) = value { p.quiet { (what) ": " (line(value, 200)) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::parsed::Parsed;

    /// What wants to leave its place, in every field that people fill.
    const ATTACK: &str = "\"'><script>alert(1)</script></textarea></pre><img src=x onerror=alert(2)>";

    fn kept(text: &str) -> (KeptPlaybook, Playbook) {
        let playbook = Playbook::parse(text).unwrap();
        let kept = KeptPlaybook {
            name: playbook.name.to_string(),
            digest: playbook.digest,
            version: 1,
            description: playbook.description.clone(),
            text: text.to_owned(),
            by: ATTACK.to_owned(),
            at: Timestamp(0),
        };
        (kept, playbook)
    }

    #[test]
    fn nothing_in_a_playbook_or_a_value_becomes_markup() {
        let text = format!(
            "---\nname: x\ndescription: 'd {}'\nparameters:\n  - name: a\n    description: 'e {}'\n    multiline: true\n  - name: b\n    one_of: ['{}', other]\n  - name: c\n---\n{{{{a}}}} {{{{b}}}} {{{{c}}}} {ATTACK}\u{202e}\n",
            ATTACK.replace('\'', "''"),
            ATTACK.replace('\'', "''"),
            ATTACK.replace('\'', "''"),
        );
        let (kept, playbook) = kept(&text);
        let values =
            ["a", "b", "c"].map(|name| (name.to_owned(), format!("{ATTACK}{{{{b}}}}\u{200b}"))).into();
        let filled = Filled { values, repository: ATTACK.to_owned(), ..Filled::default() };
        let page = form((&kept, &playbook), &Offered::default(), &filled, Some(ATTACK)).into_string();
        assert!(page.contains("U+202E"), "what is hidden in the text is shown");
        assert!(page.contains("\\u{200b}"), "what is hidden in a value is shown");
        let KeptPlaybook { name, digest, version, description, by, at, .. } = kept;
        let latest = PlaybookVersion { name, digest, version, description, by, at };
        let listed = Listed { latest, versions: 2 };
        let list = list(&[listed], ATTACK, Some(ATTACK), Timestamp(0)).into_string();
        for markup in [page, list] {
            let parsed = Parsed::piece(&markup);
            let odd = ["script", "img", "iframe", "style"];
            assert!(!parsed.elements.iter().any(|element| odd.contains(&&*element.name)), "{markup}");
            let handlers = parsed
                .elements
                .iter()
                .flat_map(|element| &element.attributes)
                .filter(|(name, _)| name.starts_with("on"));
            assert_eq!(handlers.count(), 0, "{markup}");
        }
    }

    #[test]
    fn every_parameter_has_a_field_with_a_name_that_is_read() {
        let (kept, playbook) = kept(
            "---\nname: x\ndescription: y\nparameters:\n  - name: a\n  - name: b\n    one_of: [p, q]\n    default: q\n  - name: c\n    required: false\n    multiline: true\n---\n{{a}} {{b}} {{c}}\n",
        );
        let page = form((&kept, &playbook), &Offered::default(), &Filled::default(), None).into_string();
        let parsed = Parsed::piece(&page);
        let field = |name: &str| {
            let found =
                parsed.elements.iter().find(|element| element.attribute("name") == Some(name)).unwrap();
            (found.name.clone(), found.attribute("required").is_some(), found.attribute("id") == Some(name))
        };
        assert_eq!(field("value-a"), ("input".to_owned(), true, true));
        assert_eq!(field("value-b"), ("select".to_owned(), false, true));
        assert_eq!(field("value-c"), ("textarea".to_owned(), false, true));
        for label in parsed.elements.iter().filter_map(|element| element.attribute("for")) {
            assert!(parsed.elements.iter().any(|element| element.attribute("id") == Some(label)), "{label}");
        }
    }
}
