//! From the text that a model wrote to arguments that a tool can rely on.

mod arguments;
mod definition;

pub(crate) use arguments::Arguments;
pub(crate) use definition::{Definition, Field, Kind, as_they_are};
