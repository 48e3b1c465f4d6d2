//! Spans in the OpenTelemetry protocol: protobuf, written by hand.
//!
//! Source: `opentelemetry/proto/trace/v1/trace.proto`, `common/v1/common.proto`, `resource/v1/resource.proto` and
//! `collector/trace/v1/trace_service.proto` of opentelemetry-proto 1.x, whose field numbers are stable. What a trace needs is some twenty fields of
//! it; ARCHITECTURE.md says what the official crates would cost.

use crate::{
    Failure, Kind, Link, Resource, Span, Value,
    names::{ERROR_TYPE, SCHEMA_URL},
};

/// A message that is being written.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

/// How a field's value is written (<https://protobuf.dev/programming-guides/encoding/>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
    Fixed32 = 5,
}

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn tag(&mut self, field: u32, wire: WireType) {
        self.varint(u64::from(field) << 3 | wire as u64);
    }

    fn number(&mut self, field: u32, value: u64) {
        self.tag(field, WireType::Varint);
        self.varint(value);
    }

    fn fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, WireType::Fixed64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn fixed32(&mut self, field: u32, value: u32) {
        self.tag(field, WireType::Fixed32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: u32, value: &[u8]) {
        self.tag(field, WireType::Bytes);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn text(&mut self, field: u32, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }
}

/// The body of a request that delivers these spans.
#[must_use]
pub fn request<'s>(resource: &Resource, spans: impl IntoIterator<Item = &'s Span>) -> Vec<u8> {
    let mut request = Message::default();
    request.message(1, |resource_spans| {
        resource_spans.message(1, |message| {
            for (name, value) in resource.attributes() {
                message.message(1, |pair| key_value(pair, name, &Value::Text(value.to_owned())));
            }
        });
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| {
                scope.text(1, "cofferdam");
                scope.text(2, env!("CARGO_PKG_VERSION"));
            });
            for one in spans {
                scope_spans.message(2, |message| span(message, one));
            }
            scope_spans.text(3, SCHEMA_URL);
        });
        resource_spans.text(3, SCHEMA_URL);
    });
    request.0
}

/// The trace is recorded: W3C trace flags.
const SAMPLED: u32 = 1;
/// It is known whether the parent is of another process, and it is not (`SpanFlags` in trace.proto).
const PARENT_IS_KNOWN: u32 = 0x100;

fn span(message: &mut Message, span: &Span) {
    let Span { trace, id, parent, name, kind, begin, end, attributes, failure, links } = span;
    message.bytes(1, &trace.0);
    message.bytes(2, &id.0);
    if let Some(parent) = parent {
        message.bytes(4, &parent.0);
    }
    message.text(5, name);
    message.number(
        6,
        match kind {
            Kind::Internal => 1,
            Kind::Client => 3,
        },
    );
    message.fixed64(7, begin.0.saturating_mul(1_000_000));
    message.fixed64(8, end.0.saturating_mul(1_000_000));
    for (name, value) in attributes {
        message.message(9, |pair| key_value(pair, name, value));
    }
    if let Some(Failure { code, .. }) = failure {
        message.message(9, |pair| key_value(pair, ERROR_TYPE, &Value::Text((*code).to_owned())));
    }
    for Link { trace, span, flags } in links {
        message.message(13, |link| {
            link.bytes(1, &trace.0);
            link.bytes(2, &span.0);
            link.fixed32(6, u32::from(*flags));
        });
    }
    if let Some(Failure { text, .. }) = failure {
        message.message(15, |status| {
            if let Some(text) = text {
                status.text(2, text);
            }
            status.number(3, 2);
        });
    }
    message.fixed32(16, SAMPLED | PARENT_IS_KNOWN);
}

fn key_value(message: &mut Message, name: &str, value: &Value) {
    message.text(1, name);
    message.message(2, |any| any_value(any, value));
}

fn any_value(message: &mut Message, value: &Value) {
    match value {
        Value::Text(text) => message.text(1, text),
        Value::Truth(truth) => message.number(2, u64::from(*truth)),
        Value::Number(number) => message.number(3, number.cast_unsigned()),
        Value::Fraction(fraction) => message.fixed64(4, fraction.to_bits()),
        Value::Texts(texts) => message.message(5, |array| {
            for text in texts {
                array.message(1, |any| any.text(1, text));
            }
        }),
    }
}
