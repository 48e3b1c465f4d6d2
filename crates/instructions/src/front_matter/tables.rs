//! A list of tables in a head: below its key each begins with `- `, and has keys as a head has.

use super::{FrontMatter, FrontMatterError, Line, is_nothing, table};

/// A line that is kept with the head that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    number: usize,
    indent: usize,
    text: String,
}

impl Kept {
    pub(super) fn of(line: &Line<'_>) -> Self {
        Self { number: line.number, indent: line.indent, text: line.text.to_owned() }
    }

    fn line(&self) -> Line<'_> {
        Line { number: self.number, indent: self.indent, text: &self.text }
    }
}

/// The tables in these lines.
pub(super) fn read(below: &[Kept]) -> Result<Vec<FrontMatter>, FrontMatterError> {
    const NO_LIST: &str = "belongs to no table of a list: each table begins with `- `";
    let Some(first) = below.iter().map(Kept::line).find(|line| !is_nothing(line)) else {
        return Ok(Vec::new());
    };
    let mut groups: Vec<Vec<Line<'_>>> = Vec::new();
    for line in below.iter().map(Kept::line) {
        if line.indent == first.indent
            && let Some(rest) = line.text.strip_prefix('-')
            && (rest.is_empty() || rest.starts_with([' ', '\t']))
        {
            let text = rest.trim_start();
            let indent = line.indent + line.text.len() - text.len();
            groups.push(vec![Line { indent, text, ..line }]);
        } else if let Some(group) = groups.last_mut()
            && (line.indent > first.indent || is_nothing(&line))
        {
            group.push(line);
        } else if !is_nothing(&line) {
            return Err(line.wrong(NO_LIST));
        }
    }
    groups.iter().map(|group| at_the_edge(group)).collect()
}

/// A table whose keys stand further in, read as if they began their lines.
fn at_the_edge(group: &[Line<'_>]) -> Result<FrontMatter, FrontMatterError> {
    let Some(first) = group.iter().find(|line| !is_nothing(line)) else {
        return Ok(FrontMatter::default());
    };
    if let Some(line) = group.iter().find(|line| line.indent < first.indent && !is_nothing(line)) {
        return Err(line.wrong("stands further to the left than the keys of its table"));
    }
    let shifted = group.iter().map(|line| Line { indent: line.indent.saturating_sub(first.indent), ..*line });
    table(&shifted.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Value, split};

    fn tables(below: &str) -> Result<Vec<FrontMatter>, FrontMatterError> {
        split(&format!("---\nlist:\n{below}\n---\n")).unwrap().0.unwrap().tables("list")
    }

    #[test]
    fn tables_as_people_write_them() {
        let read = tables(
            "  # first\n  - name: a # told\n    one_of: [x, y]\n    text: |\n      one\n\n        two\n  -\n    name: b\n    deep:\n      - c: d\n        e: f",
        )
        .unwrap();
        let [first, second] = &read[..] else { panic!("{read:?}") };
        assert_eq!((first.text("name"), first.texts("one_of")), (Some("a"), vec!["x", "y"]));
        assert_eq!(first.text("text"), Some("one\n\n  two"));
        assert_eq!((second.text("name"), second.get("deep")), (Some("b"), Some(&Value::Nested)));
        assert_eq!(second.tables("deep").unwrap()[0].text("e"), Some("f"));
        // A list of one key each looks like a list of texts.
        let short = tables("- name: a\n- name: b").unwrap();
        assert_eq!(short.iter().filter_map(|table| table.text("name")).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(tables("").unwrap(), []);
        assert_eq!(split("---\na: b\n---\n").unwrap().0.unwrap().tables("list").unwrap(), []);
    }

    #[test]
    fn what_is_no_list_of_tables_is_refused_with_its_line() {
        for (below, wanted) in [
            ("  name: a", "line 3 of its front matter belongs to no table"),
            ("  - name: a\n  other: b", "line 4 of its front matter belongs to no table"),
            ("  - text", "line 3 of its front matter is no `key: value`"),
            ("  -   name: a\n    other: b", "line 4 of its front matter stands further to the left"),
            ("  - name: a\n    name: b", "line 4 of its front matter has a key that was there before"),
            ("  - name: &x a\n    b: c", "line 3 of its front matter has an anchor"),
        ] {
            let problem = tables(below).unwrap_err().to_string();
            assert!(problem.contains(wanted), "{below}: {problem}");
        }
    }
}
