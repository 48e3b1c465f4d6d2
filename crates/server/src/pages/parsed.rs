//! Markup as a browser reads it; for tests.

use html5ever::{
    ParseOpts, QualName, local_name, ns, parse_document, parse_fragment, tendril::TendrilSink as _,
};
use markup5ever_rcdom::{Handle, NodeData, RcDom};

/// What a browser makes of some markup.
pub(super) struct Parsed {
    /// In the order of the document.
    pub(super) elements: Vec<Element>,
    /// Pieces of text, in the same order.
    pub(super) texts: Vec<String>,
}

/// One element.
pub(super) struct Element {
    pub(super) name: String,
    /// Names and values.
    pub(super) attributes: Vec<(String, String)>,
    /// How many elements it lies in.
    pub(super) depth: usize,
}

impl Element {
    /// An attribute's value.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Parsed {
    /// A whole page.
    pub(super) fn page(markup: &str) -> Self {
        Self::of(&parse_document(RcDom::default(), ParseOpts::default()).one(markup))
    }

    /// A piece of one, as it stands in its body.
    pub(super) fn piece(markup: &str) -> Self {
        let body = QualName::new(None, ns!(html), local_name!("body"));
        Self::of(&parse_fragment(RcDom::default(), ParseOpts::default(), body, Vec::new(), false).one(markup))
    }

    fn of(dom: &RcDom) -> Self {
        let mut parsed = Self { elements: Vec::new(), texts: Vec::new() };
        // A stack of its own: hostile markup may be deep.
        let mut left: Vec<(Handle, usize)> = vec![(dom.document.clone(), 0)];
        while let Some((node, depth)) = left.pop() {
            let mut inside = depth;
            match &node.data {
                NodeData::Element { name, attrs, .. } => {
                    let pair = |attribute: &html5ever::Attribute| {
                        (attribute.name.local.to_string(), attribute.value.to_string())
                    };
                    let attributes = attrs.borrow().iter().map(pair).collect();
                    parsed.elements.push(Element { name: name.local.to_string(), attributes, depth });
                    inside += 1;
                }
                NodeData::Text { contents } => parsed.texts.push(contents.borrow().to_string()),
                NodeData::Document
                | NodeData::Doctype { .. }
                | NodeData::Comment { .. }
                | NodeData::ProcessingInstruction { .. } => {}
            }
            left.extend(node.children.borrow().iter().rev().map(|child| (child.clone(), inside)));
        }
        parsed
    }
}
