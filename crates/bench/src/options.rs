//! The few options of the benchmarks: `--name value`, read strictly.

use std::{collections::BTreeMap, path::PathBuf, str::FromStr};

use anyhow::{Context as _, Result, bail, ensure};

/// What was typed after the benchmark's name.
#[derive(Debug, Default)]
pub(crate) struct Options {
    values: BTreeMap<String, String>,
}

impl Options {
    /// Reads `--name value` pairs; only names in `known` may stand there.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>, known: &[&str]) -> Result<Self> {
        let mut arguments = arguments.into_iter();
        let mut values = BTreeMap::new();
        while let Some(argument) = arguments.next() {
            let Some(name) = argument.strip_prefix("--").filter(|name| known.contains(name)) else {
                bail!("unknown option {argument}: known are --{}", known.join(", --"));
            };
            let value = arguments.next().with_context(|| format!("--{name} needs a value"))?;
            ensure!(values.insert(name.to_owned(), value).is_none(), "--{name} was given twice");
        }
        Ok(Self { values })
    }

    /// A number of rounds or runs, at least 1.
    pub(crate) fn count(&self, name: &str, default: usize) -> Result<usize> {
        let count = self.value(name)?.unwrap_or(default);
        ensure!(count > 0, "--{name} must be at least 1");
        Ok(count)
    }

    /// Numbers separated by commas, each at least 1.
    pub(crate) fn counts(&self, name: &str, default: &[usize]) -> Result<Vec<usize>> {
        let Some(text) = self.values.get(name) else { return Ok(default.to_vec()) };
        let counts: Result<Vec<usize>, _> = text.split(',').map(usize::from_str).collect();
        let counts =
            counts.with_context(|| format!("--{name} {text}: write numbers with commas between them"))?;
        ensure!(counts.iter().all(|count| *count > 0), "--{name} must all be at least 1");
        Ok(counts)
    }

    /// A path.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.values.get(name).map(PathBuf::from)
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    fn value<T: FromStr>(&self, name: &str) -> Result<Option<T>>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        let Some(text) = self.values.get(name) else { return Ok(None) };
        text.parse().map(Some).with_context(|| format!("--{name} {text}: not a number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(line.split_whitespace().map(str::to_owned), &["rounds", "steps"])
    }

    #[test]
    fn slips_are_named_and_values_are_read() {
        let options = parse("--rounds 3 --steps 10,50").unwrap();
        assert_eq!(options.count("rounds", 9).unwrap(), 3);
        assert_eq!(options.counts("steps", &[1]).unwrap(), [10, 50]);
        assert_eq!(parse("").unwrap().count("rounds", 9).unwrap(), 9);
        for line in ["rounds", "--round 3", "--rounds", "--rounds 1 --rounds 2"] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("--rounds 0").unwrap().count("rounds", 9).is_err());
        assert!(parse("--rounds x").unwrap().count("rounds", 9).is_err());
        assert!(parse("--steps 1,,2").unwrap().counts("steps", &[1]).is_err());
    }
}
