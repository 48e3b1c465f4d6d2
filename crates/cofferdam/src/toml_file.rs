//! TOML that people wrote: read strictly, with errors that say where something is and what was probably meant.

use anyhow::{Result, anyhow};
use cofferdam_domain::nearest::nearest;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

/// Reads a whole text. What it does not know is an error with line, column and the nearest thing that it knows.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        let suggestion = suggestion(error.message());
        anyhow!("{}{}", error.to_string().trim_end(), suggestion.unwrap_or_default())
    })
}

/// What was probably meant by an unknown key or value: serde names it and all that it could be, in backticks.
fn suggestion(message: &str) -> Option<String> {
    let quoted =
        message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))?;
    let mut words = quoted.split('`').skip(1).step_by(2);
    let meant = nearest(words.next()?, words)?;
    Some(format!("; did you mean `{meant}`?"))
}

/// The line, from 1, of a key in a table of an array of tables, or of that table where the key is left out. `path`
/// leads to the array, `number` counts its tables from 1.
pub(crate) fn line_of(text: &str, path: &[&str], number: usize, key: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let (first, rest) = path.split_first()?;
    let root = document.get_ref().iter().find(|(name, _)| name.get_ref() == first)?.1.get_ref();
    let array = rest.iter().try_fold(root, |value: &DeValue<'_>, name| Some(value.get(*name)?.get_ref()))?;
    let table = array.get(number.checked_sub(1)?)?;
    let entries = table.get_ref().as_table()?;
    let name = entries.iter().map(|(name, _)| name).find(|name| name.get_ref() == key);
    let start = name.map_or(table.span().start, |name| name.span().start);
    Some(text.get(..start)?.matches('\n').count() + 1)
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::Policy;

    use super::*;

    fn error(text: &str) -> String {
        parse::<Policy>(text).unwrap_err().to_string()
    }

    const RULE: &str = "[[egress.rules]]\nname = \"docs\"\nhost = \"docs.example.com\"\n";

    #[test]
    fn what_was_probably_meant_is_said() {
        for (line, place, meant) in [
            ("path = [\"/a\"]", "line 4, column 1", "did you mean `paths`?"),
            ("inspection = \"passthrough\"", "line 4, column 14", "did you mean `pass_through`?"),
            ("addresses = \"privat\"", "line 4, column 13", "did you mean `private`?"),
            ("Methods = [\"GET\"]", "line 4, column 1", "did you mean `methods`?"),
        ] {
            let error = error(&format!("{RULE}{line}\n"));
            assert!(error.contains(place) && error.contains(meant), "{error}");
            assert!(error.contains(line), "the line is shown: {error}");
        }
    }

    #[test]
    fn values_that_mean_nothing_are_shown_with_their_place() {
        for (text, place, wanted) in [
            (
                "[[egress.rules]]\nname = \"x\"\nhost = \"127.0.0.1\"\n",
                "line 3",
                "an address is not a host name",
            ),
            ("[[egress.rules]]\nname = \"x\"\nhost = \"*.com\"\n", "line 3", "a star may only stand"),
            (&format!("{RULE}methods = [\"get\"]\n"), "line 4", "upper-case letters"),
            (&format!("{RULE}paths = [\"/a\", \"/a/../b\"]\n"), "line 4", "none of `.` and `..`"),
            (&format!("{RULE}port = 65536\n"), "line 4", "65536"),
            (&format!("{RULE}addresses = {{ at = \"localhost:80\" }}\n"), "line 4", "address"),
            (&format!("{RULE}body_limit = -1\n"), "line 4", "-1"),
            ("[[egress.rules]]\nname = \"x\"\n", "line 1", "missing field `host`"),
            ("[egress]\naccess = \"grant\"\n", "line 2", "`refuse` or `ask`"),
        ] {
            let error = error(text);
            assert!(error.contains(place) && error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn lines_of_rules_are_found_however_they_are_written() {
        let text = format!("{RULE}\n[[egress.rules]]\nname = \"\"\"\n[[egress.rules]]\n\"\"\"\nport = 0\n");
        let path = ["egress", "rules"];
        assert_eq!(line_of(&text, &path, 1, "host"), Some(3));
        assert_eq!(line_of(&text, &path, 1, "port"), Some(1));
        assert_eq!(line_of(&text, &path, 2, "port"), Some(9));
        assert_eq!(line_of(&text, &path, 3, "port"), None);
        let inline = "egress = { rules = [{ name = \"a\" },\n{ name = \"b\" }] }";
        assert_eq!(line_of(inline, &path, 2, "name"), Some(2));
    }
}
