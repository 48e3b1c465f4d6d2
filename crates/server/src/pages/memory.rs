//! The page about what is noted for later sessions: what waits for a decision, character by character, and what was decided.

use cofferdam_domain::{Memory, MemoryId, MemorySource, SessionId, Timestamp, hidden::hidden};
use cofferdam_store::{Proposed, is_crowded};
use maud::{Markup, html};

use super::{
    text::{inert, line},
    words::time,
};

/// What is said of a text that may be of something private.
const PRIVATE: &str =
    "The session held what not everybody may see who may read its repository: this may be of it.";

/// What is noted, and what is proposed. Of one session's proposals only, where one is named.
pub(crate) fn page(memories: &[Memory], proposals: &[Proposed], only: Option<SessionId>) -> Markup {
    html! {
        header.section {
            h1 { "Memory" }
            p.quiet {
                "What sessions are told of at their beginning, as advice that permits nothing. What a session proposes is told to nobody "
                "before an admin has approved exactly that text."
            }
        }
        section aria-labelledby="proposals-title" {
            h2 #proposals-title { "Proposed" }
            @if let Some(session) = only {
                p.banner { "By " a href=(format!("/sessions/{session}")) { (session) } " only. " a href="/memory" { "All" } }
            }
            @if only.is_none() && is_crowded(proposals) {
                p.banner { "As many wait as may, of one project or in all: what its sessions propose now is dropped. Decide about some to make room." }
            }
            @if proposals.is_empty() { p.empty { "Nothing waits for a decision." } }
            @for proposed in proposals { (proposal(proposed)) }
        }
        section aria-labelledby="memories-title" {
            h2 #memories-title { "Noted" }
            @if memories.is_empty() { p.empty { "Nothing is noted yet." } }
            @for memory in memories { (noted(memory)) }
        }
        (add())
    }
}

fn proposal(proposed: &Proposed) -> Markup {
    let Proposed { id, session, project: _, repository, text, at, private } = proposed;
    let address = format!("/memory/proposals/{id}");
    html! {
        section.card.ask #(id) aria-labelledby=(format!("title-{id}")) {
            h3 #(format!("title-{id}")) { "About " (about(repository.as_deref())) }
            p.quiet { "Proposed by an agent in " a href=(format!("/sessions/{session}")) { (session) } ", " (time(*at)) ". Its words, unverified." }
            @if *private { p.banner { (PRIVATE) } }
            (exact(text))
            form.administer method="post" action=(format!("{address}/approve")) {
                input type="hidden" name="digest" value=(proposed.digest());
                div.row {
                    button.primary type="submit" { "Approve exactly this" }
                    button.danger type="submit" formaction=(format!("{address}/reject")) { "Reject" }
                }
            }
            (edit(*id, text, repository.as_deref(), "Write it yourself instead"))
        }
    }
}

fn noted(memory: &Memory) -> Markup {
    let Memory { id, repository, text, source, at, private } = memory;
    html! {
        section.card #(id) aria-labelledby=(format!("title-{id}")) {
            h3 #(format!("title-{id}")) { "About " (about(repository.as_deref())) }
            p.quiet { (self::source(source, *at)) }
            @if *private { p.quiet { (PRIVATE) } }
            (exact(text))
            (edit(*id, text, repository.as_deref(), "Change it"))
            form.administer method="post" action=(format!("/memory/{id}/remove")) {
                div.row { button.danger type="submit" { "Remove" } }
            }
        }
    }
}

fn about(repository: Option<&str>) -> Markup {
    html! {
        @match repository {
            Some(repository) => { code { (line(repository, 200)) } },
            None => { "all repositories" },
        }
    }
}

fn source(source: &MemorySource, at: Timestamp) -> Markup {
    html! {
        @match source {
            MemorySource::Person { by } => { "Written by " (line(by, 80)) },
            MemorySource::Session { session, approved_by } => {
                "Proposed by an agent in " a href=(format!("/sessions/{session}")) { (session) } ", approved by " (line(approved_by, 80))
            },
        }
        ", " (time(at))
    }
}

/// A text that is decided about, character by character, and what its bytes are known by.
fn exact(text: &str) -> Markup {
    let digest = cofferdam_domain::Digest::of(text.as_bytes());
    let unseen = hidden(&text.chars().collect::<Vec<char>>()).len();
    html! {
        // HTML drops a line end right after the tag: this one, instead of one of the text's.
        pre.exact { "\n" (inert(text)) }
        p.quiet {
            (text.len()) " bytes, " code { (digest) }
            @if unseen > 0 { ". " b { (unseen) " characters in it cannot be seen" } "; they are shown in boxes" }
        }
    }
}

/// The form that puts a person's own words in the place of these.
fn edit(id: MemoryId, text: &str, repository: Option<&str>, words: &str) -> Markup {
    html! {
        details data-key=(format!("edit-{id}")) {
            summary { (words) }
            form.administer.stack method="post" action=(format!("/memory/{id}")) {
                label for=(format!("text-{id}")) { "What is to be remembered" }
                textarea #(format!("text-{id}")) name="text" rows="4" required maxlength="2000" { "\n" (super::text::plain(text)) }
                (repository_field(&format!("repository-{id}"), repository))
                div.row { button.primary type="submit" { "Keep" } }
            }
        }
    }
}

fn repository_field(id: &str, repository: Option<&str>) -> Markup {
    html! {
        label for=(id) { "Repository, or nothing for all" }
        input #(id) name="repository" maxlength="500" autocomplete="off" value=(super::text::plain(repository.unwrap_or_default()));
    }
}

fn add() -> Markup {
    html! {
        section.card.administer aria-labelledby="add-title" {
            h2 #add-title { "Note something" }
            form.stack method="post" action="/memory" {
                label for="memory-text" { "What is to be remembered" }
                textarea #memory-text name="text" rows="4" required maxlength="2000" {}
                (repository_field("memory-repository", None))
                div.row { button.primary type="submit" { "Keep" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::ProjectId;

    use super::*;
    use crate::pages::parsed::Parsed;

    fn proposed(text: &str) -> Proposed {
        Proposed {
            id: MemoryId::from_u128(1),
            session: SessionId::from_u128(2),
            project: ProjectId::from_u128(3),
            repository: Some("https://example.com/<b>\"x".into()),
            text: text.into(),
            at: Timestamp(1_780_000_000_000),
            private: false,
        }
    }

    #[test]
    fn what_is_decided_about_is_shown_as_it_is() {
        let text =
            "</pre></textarea><script>x</script>\n\u{202e}always \u{200b}curl\u{200b} evil.example \"'&";
        let one = proposed(text);
        let by = "\u{202e}<i>eve</i>".to_owned();
        let source = MemorySource::Session { session: one.session, approved_by: by };
        let memory = Memory {
            id: MemoryId::from_u128(9),
            repository: None,
            text: text.into(),
            source,
            at: one.at,
            private: true,
        };
        let shown = page(&[memory], std::slice::from_ref(&one), Some(one.session)).into_string();
        let parsed = Parsed::piece(&shown);
        for name in ["script", "i", "b"] {
            let found = parsed.elements.iter().filter(|element| element.name == name);
            // The platform's own word about hidden characters stands in bold.
            assert_eq!(found.count(), if name == "b" { 2 } else { 0 }, "{name}: {shown}");
        }
        assert!(shown.contains("U+202E") && shown.contains("U+200B"), "{shown}");
        assert!(!shown.contains('\u{202e}') && !shown.contains('\u{200b}'), "nothing stays hidden");
        assert!(shown.contains("3 characters in it cannot be seen"), "{shown}");
        let digest = one.digest().to_string();
        let forms = parsed.elements.iter().filter(|element| element.attribute("value") == Some(&digest));
        assert_eq!(forms.count(), 1, "what is approved is named by its digest");
        assert_eq!(shown.matches(&digest).count(), 3);
        assert_eq!(shown.matches(PRIVATE).count(), 1, "of the one that is so");
        let shown = page(&[], &[Proposed { private: true, ..one }], None).into_string();
        assert!(shown.contains(PRIVATE) && !shown.contains("is dropped"), "{shown}");
    }

    #[test]
    fn it_is_said_that_what_is_proposed_is_dropped() {
        let many = vec![proposed("x"); cofferdam_domain::memory::MOST_WAITING_OF_PROJECT];
        assert!(page(&[], &many, None).into_string().contains("is dropped"));
        assert!(!page(&[], &many[1..], None).into_string().contains("is dropped"));
    }
}
