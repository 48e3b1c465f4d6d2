//! What became of spans.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{Label, Page};

/// What is left when an exporter ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// Spans that the collector took.
    pub sent: u64,
    /// Spans that are lost.
    pub dropped: u64,
    /// Sessions with spans that are not delivered. The next process on the same data directory goes on with them, if there is a journal.
    pub sessions: u64,
}

/// What became of the spans of one process.
#[derive(Debug, Default)]
pub struct SpanCounts {
    /// Whether there is an exporter.
    pub(crate) used: AtomicBool,
    pub(crate) sent: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) behind: AtomicU64,
    pub(crate) waiting: AtomicU64,
    pub(crate) sessions: AtomicU64,
    pub(crate) away: AtomicBool,
}

fn count(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

impl SpanCounts {
    pub(crate) fn left(&self) -> Left {
        Left {
            sent: count(&self.sent),
            dropped: count(&self.refused) + count(&self.rejected) + count(&self.behind),
            sessions: count(&self.sessions),
        }
    }

    /// Writes what is counted; nothing where there is no exporter.
    pub fn write(&self, page: &mut Page) {
        if !self.used.load(Ordering::Relaxed) {
            return;
        }
        page.single(
            "cofferdam_spans_sent_total",
            "counter",
            "Spans that the collector took",
            count(&self.sent),
        );
        page.family("cofferdam_spans_dropped_total", "counter", "Spans that are lost, by why");
        for (why, lost) in
            [("refused", &self.refused), ("rejected", &self.rejected), ("behind", &self.behind)]
        {
            page.sample("cofferdam_spans_dropped_total", &[("why", Label::Word(why))], count(lost));
        }
        let (name, help) = ("cofferdam_spans_waiting", "Spans that are made and not delivered");
        page.single(name, "gauge", help, count(&self.waiting));
        let (name, help) = ("cofferdam_collector_up", "Whether the collector took the last delivery");
        page.single(name, "gauge", help, u8::from(!self.away.load(Ordering::Relaxed)));
    }
}
