//! The log of a service: JSON, one line for each thing that happened, without what anybody wrote.
//!
//! A line about a session has the id of its trace too, so that whoever reads one finds the other.

use std::{fmt, io, panic};

use cofferdam_domain::SessionId;
use cofferdam_telemetry::TraceId;
use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Writes lines to standard error from now on.
pub(crate) fn to_stderr() {
    let log = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(tracing::Level::INFO)
        .event_format(Lines);
    // Fails where a log is set up already, which is as well.
    if log.try_init().is_ok() {
        // What a panic says may have anybody's text in it. Where it happened is enough to find it.
        panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string);
            tracing::error!(place, "a defect");
        }));
    }
}

/// One JSON object for each event.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), jiff::Timestamp::now().to_string().into());
        line.insert("level".to_owned(), metadata.level().as_str().into());
        line.insert("target".to_owned(), metadata.target().into());
        if let Some(trace) = fields.trace() {
            line.insert("trace_id".to_owned(), trace.into());
        }
        line.insert("fields".to_owned(), Value::Object(fields.0));
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// What an event says.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    /// The trace of the session that it is about.
    fn trace(&self) -> Option<String> {
        let session: SessionId = self.0.get("session")?.as_str()?.parse().ok()?;
        Some(TraceId::of(session).to_string())
    }

    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put(field, u64::try_from(value).unwrap_or(u64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Where lines go in a test.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_about_a_session_name_its_trace() {
        let kept = Kept::default();
        let writer = kept.clone();
        let log = tracing_subscriber::fmt().event_format(Lines).with_writer(move || writer.clone()).finish();
        let session = SessionId::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0007);
        tracing::subscriber::with_default(log, || {
            tracing::info!(%session, crashes = 2_u32, "taken");
            tracing::warn!(why = "a \"quoted\"\nreason", took = 3_u128, "of no session");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0]["trace_id"], "01930000000070008000000000000007");
        assert_eq!(lines[0]["fields"]["message"], "taken");
        assert_eq!(lines[0]["fields"]["crashes"], 2);
        assert_eq!(lines[0]["fields"]["session"], session.to_string());
        assert_eq!((&lines[1]["level"], lines[1].get("trace_id")), (&Value::from("WARN"), None));
        assert_eq!(lines[1]["fields"]["why"], "a \"quoted\"\nreason");
    }
}
