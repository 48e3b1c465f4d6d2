//! As much of XML as Maven's files need: elements with text, and elements that group those. No entities but the five that
//! are built in, no document types.

use std::collections::BTreeMap;

/// An element whose children have text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) fields: BTreeMap<String, String>,
}

/// The deepest nesting that is read.
const MAX_DEPTH: usize = 64;

/// All groups, in the order of their ends. What is no well-formed XML ends the reading.
pub(super) fn groups(text: &str) -> Vec<Group> {
    let mut done = Vec::new();
    let mut open: Vec<(Group, String)> = Vec::new();
    // How deep the element is that was closed last: what is one less deep has children.
    let mut closed = 0;
    let mut rest = text;
    while let Some((content, after)) = rest.split_once('<') {
        if let Some((_, text)) = open.last_mut() {
            text.push_str(content);
        }
        if let Some(comment) = after.strip_prefix("!--") {
            let Some((_, behind)) = comment.split_once("-->") else { break };
            rest = behind;
            continue;
        }
        let Some((tag, behind)) = after.split_once('>') else { break };
        rest = behind;
        if tag.starts_with(['?', '!']) || tag.ends_with('/') {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            let Some((group, text)) = open.pop().filter(|(group, _)| group.name == name.trim()) else {
                break;
            };
            let has_children = closed == open.len() + 2;
            closed = open.len() + 1;
            if !group.fields.is_empty() {
                done.push(group);
            } else if let Some((parent, _)) = open.last_mut().filter(|_| !has_children) {
                parent.fields.insert(group.name, plain(text.trim()));
            }
        } else {
            let name = tag.split_whitespace().next().unwrap_or_default().to_owned();
            if open.len() >= MAX_DEPTH {
                break;
            }
            open.push((Group { name, fields: BTreeMap::new() }, String::new()));
        }
    }
    done
}

const ENTITIES: [(&str, &str); 5] =
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];

fn plain(text: &str) -> String {
    ENTITIES.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

/// Text as it stands in an element.
pub(super) fn escaped(text: &str) -> String {
    ENTITIES.iter().rev().fold(text.to_owned(), |text, (entity, plain)| text.replace(plain, entity))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn groups_have_fields() {
        let text = "<?xml version='1.0'?><settings a='b'><!-- <mirror><id>no</id></mirror> --><mirrors><mirror>\n<id>a&amp;b</id><url>https://m.example</url><blocked/></mirror></mirrors></settings>";
        let found = groups(text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "mirror");
        assert_eq!(found[0].fields["id"], "a&b");
        assert_eq!(found[0].fields["url"], "https://m.example");
    }

    proptest! {
        #[test]
        fn text_comes_through(text in "[ -~]{1,30}") {
            let page = format!("<a><b><c>{}</c></b></a>", escaped(&text));
            let found = groups(&page);
            prop_assert_eq!(found[0].fields["c"].as_str(), text.trim());
        }

        #[test]
        fn anything_is_read(text in "(<|>|/|a|!--|-->|é| ){0,60}") {
            drop(groups(&text));
        }
    }
}
