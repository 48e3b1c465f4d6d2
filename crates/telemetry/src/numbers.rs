//! Numbers in the text format of Prometheus (version 0.0.4), with labels that cannot have many values.

use std::{
    collections::BTreeSet,
    fmt::{self, Display, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use crate::histogram::{BOUNDS, Histogram};

/// A label's value. There is no way to make one of a text that somebody wrote: it is a word of the program's, or a name of the configuration's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// A word of the program's.
    Word(&'static str),
    /// One of [`Names`].
    Name(Name),
}

/// A name that [`Names`] knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Name(Name(name)) => f.write_str(name),
        }
    }
}

/// Names from the configuration, such as those of models: at most so many, and only what looks like a name.
#[derive(Debug)]
pub struct Names {
    most: usize,
    known: Mutex<BTreeSet<Arc<str>>>,
}

/// What stands for all other names.
const OTHER: &str = "other";
/// The longest name.
const LONGEST: usize = 64;

impl Names {
    /// Keeps at most so many apart.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self { most, known: Mutex::new(BTreeSet::new()) }
    }

    /// The name as a label, or the one for all others.
    #[must_use]
    pub fn label(&self, name: &str) -> Label {
        let fits = (1..=LONGEST).contains(&name.len())
            && !name.starts_with(['/', '.'])
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:/@".contains(&byte));
        if !fits {
            return Label::Word(OTHER);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.get(name) {
            return Label::Name(Name(name.clone()));
        }
        if known.len() >= self.most {
            return Label::Word(OTHER);
        }
        let name: Arc<str> = name.into();
        known.insert(name.clone());
        Label::Name(Name(name))
    }
}

/// A page of numbers that is being written.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

impl Page {
    /// The whole text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    /// Begins the samples of one name.
    pub fn family(&mut self, name: &'static str, kind: &'static str, help: &'static str) {
        // Writing to a string cannot fail.
        writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}").ok();
    }

    /// One sample.
    pub fn sample(&mut self, name: &str, labels: &[(&'static str, Label)], value: impl Display) {
        self.line(name, labels, None, value);
    }

    /// A name with one sample and no labels.
    pub fn single(
        &mut self,
        name: &'static str,
        kind: &'static str,
        help: &'static str,
        value: impl Display,
    ) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// One histogram of durations.
    pub(crate) fn times(&mut self, name: &str, labels: &[(&'static str, Label)], times: &Histogram) {
        let bucket = format!("{name}_bucket");
        for (bound, count) in BOUNDS.iter().zip(times.counts) {
            self.line(&bucket, labels, Some(&seconds(*bound)), count);
        }
        self.line(&bucket, labels, Some("+Inf"), times.count);
        self.line(&format!("{name}_sum"), labels, None, format!("{:.6}", times.sum.as_secs_f64()));
        self.line(&format!("{name}_count"), labels, None, times.count);
    }

    fn line(
        &mut self,
        name: &str,
        labels: &[(&'static str, Label)],
        bound: Option<&str>,
        value: impl Display,
    ) {
        let mut pairs: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        pairs.extend(bound.map(|bound| format!("le=\"{bound}\"")));
        let labels = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
        writeln!(self.text, "{name}{labels} {value}").ok();
    }
}

/// Milliseconds as seconds.
fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn names_are_few_and_look_like_names() {
        let names = Names::new(2);
        for (name, shown) in [
            ("claude-sonnet-4-5", "claude-sonnet-4-5"),
            ("meta/llama:7b@q4", "meta/llama:7b@q4"),
            ("a third", "other"),
            ("third", "other"),
            ("", "other"),
            ("/srv/recordings/a.toml", "other"),
            ("a\"b", "other"),
            ("naïve", "other"),
            (&"x".repeat(65), "other"),
            ("claude-sonnet-4-5", "claude-sonnet-4-5"),
        ] {
            assert_eq!(names.label(name).to_string(), shown, "{name}");
        }
    }

    #[test]
    fn a_page_is_as_prometheus_reads_it() {
        let mut page = Page::default();
        let mut times = Histogram::default();
        times.add(Duration::from_millis(7));
        times.add(Duration::from_secs(7_000));
        page.family("a_seconds", "histogram", "How long");
        page.times("a_seconds", &[("what", Label::Word("b"))], &times);
        let text = page.into_text();
        for line in [
            "# TYPE a_seconds histogram",
            "a_seconds_bucket{what=\"b\",le=\"0.005\"} 0",
            "a_seconds_bucket{what=\"b\",le=\"0.010\"} 1",
            "a_seconds_bucket{what=\"b\",le=\"600.000\"} 1",
            "a_seconds_bucket{what=\"b\",le=\"+Inf\"} 2",
            "a_seconds_sum{what=\"b\"} 7000.007000",
            "a_seconds_count{what=\"b\"} 2",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
    }
}
