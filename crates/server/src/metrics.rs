//! What is counted, as Prometheus reads it. Labels have few values whoever asks for what: a route is counted under its template.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};
use cofferdam_domain::Timestamp;
use cofferdam_store::{Depth, Standing};
use tokio::time::Instant;

use crate::shared::Shared;

/// Upper bounds of the histogram, in milliseconds.
const BOUNDS: [u64; 10] = [1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000];

/// Answers of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    method: &'static str,
    status: u16,
}

#[derive(Debug, Default)]
struct Answers {
    by_status: BTreeMap<Key, u64>,
    times: [u64; BOUNDS.len()],
    millis: u64,
    count: u64,
}

/// All that is counted in this process.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Mutex<BTreeMap<String, Answers>>);

impl Metrics {
    fn answered(&self, route: &str, method: &Method, status: StatusCode, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !routes.contains_key(route) {
            routes.insert(route.to_owned(), Answers::default());
        }
        let Some(answers) = routes.get_mut(route) else { return };
        let key = Key { method: known(method), status: status.as_u16() };
        *answers.by_status.entry(key).or_default() += 1;
        answers.count += 1;
        answers.millis = answers.millis.saturating_add(millis);
        for (bound, count) in BOUNDS.iter().zip(&mut answers.times) {
            *count += u64::from(millis <= *bound);
        }
    }

    /// Everything in the text format (version 0.0.4).
    pub(crate) fn text(&self, sight: &Sight) -> String {
        let mut text = String::new();
        let written = sight.write(&mut text).and_then(|()| self.write(&mut text));
        written.unwrap_or_else(|_| text.clear());
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(
            text,
            "# HELP cofferdam_requests_total Requests answered\n# TYPE cofferdam_requests_total counter"
        )?;
        for (route, answers) in &*routes {
            for (Key { method, status }, count) in &answers.by_status {
                writeln!(
                    text,
                    "cofferdam_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}} {count}"
                )?;
            }
        }
        let name = "cofferdam_request_seconds";
        writeln!(text, "# HELP {name} Time to the first byte of an answer\n# TYPE {name} histogram")?;
        for (route, answers) in &*routes {
            for (bound, count) in BOUNDS.iter().zip(answers.times) {
                writeln!(text, "{name}_bucket{{route=\"{route}\",le=\"{}\"}} {count}", seconds(*bound))?;
            }
            writeln!(text, "{name}_bucket{{route=\"{route}\",le=\"+Inf\"}} {}", answers.count)?;
            writeln!(text, "{name}_sum{{route=\"{route}\"}} {}", seconds(answers.millis))?;
            writeln!(text, "{name}_count{{route=\"{route}\"}} {}", answers.count)?;
        }
        Ok(())
    }
}

/// What was seen of the service when somebody asked.
#[derive(Debug)]
pub(crate) struct Sight {
    pub(crate) depth: Depth,
    pub(crate) standing: Standing,
    pub(crate) streams: usize,
    /// How long the store took to say how much there is to do.
    pub(crate) answer: Duration,
    pub(crate) now: Timestamp,
}

impl Sight {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Self { depth: Depth { waiting, running, workers }, standing, streams, answer, now } = self;
        let oldest = standing.oldest.map_or(0, |oldest| now.millis_since(oldest));
        let millis = u64::try_from(answer.as_millis()).unwrap_or(u64::MAX);
        for (name, help, value) in [
            (
                "cofferdam_sessions_waiting",
                "Sessions that wait for a worker, up to 10000 of them",
                waiting.to_string(),
            ),
            ("cofferdam_sessions_running", "Sessions that a worker has", running.to_string()),
            (
                "cofferdam_queue_oldest_seconds",
                "For how long the oldest of those that wait has",
                seconds(oldest),
            ),
            ("cofferdam_workers", "Workers that are present", workers.to_string()),
            ("cofferdam_streams", "Live streams that are open", streams.to_string()),
            (
                "cofferdam_store_answer_seconds",
                "Time that the store took to answer, just now",
                seconds(millis),
            ),
        ] {
            writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}")?;
        }
        writeln!(
            text,
            "# HELP cofferdam_sessions Sessions by state, up to 10000 of each\n# TYPE cofferdam_sessions gauge"
        )?;
        for (state, count) in &standing.states {
            writeln!(text, "cofferdam_sessions{{state=\"{}\"}} {count}", state.name())?;
        }
        Ok(())
    }
}

/// Milliseconds as seconds.
fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// A method that there is, or `OTHER`.
fn known(method: &Method) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or("OTHER")
}

/// Counts an answer, and says that it was given, without content.
pub(crate) async fn count(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = path.as_ref().map_or("none", MatchedPath::as_str);
    let took = begun.elapsed();
    shared.metrics().answered(route, &method, response.status(), took);
    let status = response.status().as_u16();
    tracing::info!(%method, route, status, millis = took.as_millis(), "answered");
    response
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::SessionState;

    use super::*;

    #[test]
    fn counts_are_read_as_written() {
        let metrics = Metrics::default();
        for millis in [0, 2, 50_000] {
            metrics.answered(
                "/api/v1/sessions/{id}",
                &Method::GET,
                StatusCode::OK,
                Duration::from_millis(millis),
            );
        }
        let odd = Method::from_bytes(b"SPLINES\"").unwrap_or(Method::PATCH);
        metrics.answered("none", &odd, StatusCode::NOT_FOUND, Duration::ZERO);
        let sight = Sight {
            depth: Depth { waiting: 3, running: 2, workers: 1 },
            standing: Standing { oldest: Some(Timestamp(10_000)), states: vec![(SessionState::Queued, 3)] },
            streams: 7,
            answer: Duration::from_millis(12),
            now: Timestamp(11_500),
        };
        let text = metrics.text(&sight);
        for line in [
            "cofferdam_sessions_waiting 3",
            "cofferdam_streams 7",
            "cofferdam_queue_oldest_seconds 1.500",
            "cofferdam_store_answer_seconds 0.012",
            "cofferdam_sessions{state=\"queued\"} 3",
            "cofferdam_requests_total{route=\"/api/v1/sessions/{id}\",method=\"GET\",status=\"200\"} 3",
            "cofferdam_request_seconds_bucket{route=\"/api/v1/sessions/{id}\",le=\"0.001\"} 1",
            "cofferdam_request_seconds_bucket{route=\"/api/v1/sessions/{id}\",le=\"0.003\"} 2",
            "cofferdam_request_seconds_bucket{route=\"/api/v1/sessions/{id}\",le=\"+Inf\"} 3",
            "cofferdam_request_seconds_sum{route=\"/api/v1/sessions/{id}\"} 50.002",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
    }
}
