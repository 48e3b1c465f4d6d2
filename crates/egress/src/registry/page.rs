//! Links in the pages of the simple repository API (PEP 503).

use super::Checksum;

/// One file that a page links to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// Where it is, without the fragment: absolute, or relative to the page.
    pub(super) target: String,
    /// The last part of it.
    pub(super) file: String,
    /// What the file hashes to, as the fragment says.
    pub(super) checksum: Option<Checksum>,
}

/// The most links of a page that are read.
const MAX_LINKS: usize = 100_000;

/// All links, in their order. What is not an anchor with a quoted `href` is passed over.
pub(super) fn links(page: &str) -> Vec<Link> {
    let mut links = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find("<a ").filter(|_| links.len() < MAX_LINKS) {
        let (tag, after) = rest[at + 3..].split_once('>').unwrap_or((&rest[at + 3..], ""));
        rest = after;
        let Some(target) = attribute(tag, "href") else { continue };
        let checksum = target.split_once("#sha256=").and_then(|(_, digits)| Checksum::sha256(digits));
        let target = target.split(['#', '?']).next().unwrap_or_default().replace("&amp;", "&");
        let file = target.rsplit('/').next().unwrap_or_default().replace("%2B", "+").replace("%2b", "+");
        if !file.is_empty() {
            links.push(Link { target, file, checksum });
        }
    }
    links
}

/// A quoted attribute's value.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let after = tag[tag.find(name)? + name.len()..].trim_start().strip_prefix('=')?.trim_start();
    let quote = after.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    after[1..].split(quote).next()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn anchors() {
        let page = "<html><a data-x='1' href=\"https://f.example/p/a-1%2Bc.tar.gz#sha256=0\" >a</a>\n<a href='../b-1.zip'>b</a><a name=x>";
        let found: Vec<(String, String)> =
            links(page).into_iter().map(|link| (link.target, link.file)).collect();
        let expected = [("https://f.example/p/a-1%2Bc.tar.gz", "a-1+c.tar.gz"), ("../b-1.zip", "b-1.zip")];
        assert_eq!(found, expected.map(|(target, file)| (target.to_owned(), file.to_owned())));
    }

    proptest! {
        #[test]
        fn any_page_is_read(page in "(<a |href|=|\"|'|>|é|[ -~]){0,60}") {
            prop_assert!(links(&page).len() <= page.matches("<a ").count());
        }
    }
}
