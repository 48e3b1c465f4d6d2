//! What is told about sessions to those who watch over the service: traces in the OpenTelemetry protocol, and numbers for Prometheus.
//!
//! What this crate is for: [`Fold`] makes spans of a session's log; [`Exporter`] sends them to a collector, from the log, behind the back of
//! whoever writes it; [`Tally`] counts.
//!
//! What it never does: hold a session up, fail one, or tell what a person, a model or a program wrote, unless the configuration says so
//! ([`Content`]). A label of a number has few values, whoever asks for what ([`Label`]).
//!
//! Where to start reading: `names.rs` (the words of the convention), `fold.rs` (which events make which spans), `exporter.rs`.

#![forbid(unsafe_code)]

mod answer;
mod content;
mod counts;
mod describe;
mod exporter;
mod fold;
mod following;
mod histogram;
mod journal;
mod logs;
mod names;
mod numbers;
mod post;
mod resource;
mod settings;
mod span;
mod tally;
mod wire;

pub use content::Content;
pub use counts::{Left, SpanCounts};
pub use exporter::{Exporter, Parts, Told};
pub use fold::Fold;
pub use logs::{Logs, Unread};
pub use numbers::{Label, Name, Names, Page};
pub use resource::Resource;
pub use settings::{InvalidSettings, Settings, Table};
pub use span::{Failure, Kind, Link, Span, SpanId, TraceId, Value};
pub use tally::{GivenBack, Tally};
pub use wire::request;
