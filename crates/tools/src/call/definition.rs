//! A tool as data: one table from which the schema is made, the arguments are checked, and the error texts
//! are written.

use cofferdam_domain::ToolSpec;
use serde_json::{Map, Value, json};

/// What the model is shown of a tool, and how forgivingly its arguments are taken.
pub(crate) struct Definition {
    /// What the model calls it by.
    pub(crate) name: &'static str,
    /// What it does and how to use it.
    pub(crate) description: &'static str,
    /// Its arguments, in the order in which the model should think of them.
    pub(crate) fields: &'static [Field],
    /// Whether calls of it may run beside others.
    pub(crate) parallel: bool,
    /// Whether it leaves the sandbox as it is.
    pub(crate) read_only: bool,
    /// Arguments of a typical call, shown when a call cannot be understood.
    pub(crate) example: &'static str,
    /// Brings arguments of a known foreign shape into this tool's shape before they are checked.
    pub(crate) adapt: fn(&mut Map<String, Value>),
    /// The argument that a text is taken for that is no JSON at all: models call a tool so when they were
    /// trained on one that takes plain text.
    pub(crate) bare: Option<&'static str>,
}

/// One argument.
pub(crate) struct Field {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it means; may be empty where the name says it.
    pub(crate) about: &'static str,
    /// What values it takes.
    pub(crate) kind: Kind,
    /// Whether it must be there.
    pub(crate) required: bool,
    /// Names that other tool sets have for it; accepted, never shown.
    pub(crate) aliases: &'static [&'static str],
}

/// What values an argument takes.
pub(crate) enum Kind {
    /// A text.
    Text,
    /// A command line; a list of program and arguments is accepted too.
    CommandLine,
    /// A whole number in a range.
    Count {
        /// The smallest.
        least: u64,
        /// The largest. Larger numbers are taken as this one.
        most: u64,
    },
    /// A place on a picture: pixels from the left and from the top.
    Point,
    /// True or false.
    Flag,
    /// One of a few words.
    Choice {
        /// The words.
        words: &'static [&'static str],
        /// Other words that mean one of them: (other, word).
        aliases: &'static [(&'static str, &'static str)],
    },
    /// One of a few words, or another one that whoever is called may know.
    Word {
        /// The words.
        known: &'static [&'static str],
    },
    /// An object of any form; JSON text of one is accepted too.
    Object,
    /// A list of objects with these fields, at least one.
    Items(&'static [Field]),
}

impl Field {
    pub(crate) const fn required(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, about, kind, required: true, aliases: &[] }
    }

    pub(crate) const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, about, kind, required: false, aliases: &[] }
    }

    pub(crate) const fn or(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    fn schema(&self) -> Value {
        let mut schema = match &self.kind {
            Kind::Text | Kind::CommandLine | Kind::Word { .. } => json!({"type": "string"}),
            Kind::Count { least, .. } => json!({"type": "integer", "minimum": least}),
            Kind::Point => {
                json!({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2})
            }
            Kind::Flag => json!({"type": "boolean"}),
            Kind::Object => json!({"type": "object"}),
            Kind::Choice { words, .. } => json!({"type": "string", "enum": words}),
            Kind::Items(fields) => json!({"type": "array", "items": object_schema(fields)}),
        };
        if !self.about.is_empty() {
            schema["description"] = self.about.into();
        }
        schema
    }

    /// What the argument has to be, for an error text.
    pub(crate) fn expectation(&self) -> String {
        match &self.kind {
            Kind::Text | Kind::CommandLine | Kind::Word { .. } => "a string".to_owned(),
            Kind::Count { least, .. } => format!("an integer, at least {least}"),
            Kind::Point => "[x, y], two whole numbers that are not negative".to_owned(),
            Kind::Flag => "true or false".to_owned(),
            Kind::Object => "an object".to_owned(),
            Kind::Choice { words, .. } => format!("one of {}", words.join(", ")),
            Kind::Items(fields) => format!("a list of objects with {}", signature(fields)),
        }
    }
}

/// The names of all fields, optional ones in brackets.
pub(crate) fn signature(fields: &[Field]) -> String {
    let names: Vec<String> = fields
        .iter()
        .map(|field| if field.required { field.name.to_owned() } else { format!("[{}]", field.name) })
        .collect();
    names.join(", ")
}

fn object_schema(fields: &[Field]) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|field| (field.name.to_owned(), field.schema())).collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

impl Definition {
    /// The tool as the log and the model see it.
    pub(crate) fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: self.name.to_owned(),
            description: self.description.to_owned(),
            parameters: object_schema(self.fields),
            parallel: self.parallel,
            read_only: self.read_only,
        }
    }
}

/// For tools whose arguments have no foreign shape worth knowing.
pub(crate) const fn as_they_are(_: &mut Map<String, Value>) {}
