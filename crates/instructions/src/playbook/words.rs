//! The words of a playbook's task, with places for values.

use cofferdam_domain::task::MAX_PROMPT;

use super::{Parameter, excerpt};

/// Places in one task.
const MOST_PLACES: usize = 200;

/// A part of the words.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// What is written there.
    Text(String),
    /// Where the value of this parameter goes.
    Place(usize),
}

/// The words of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words(Vec<Piece>);

impl Words {
    /// Reads what stands below a head: `{{name}}` is a place, `\{{` two braces, everything else is text.
    pub(super) fn parse(body: &str, parameters: &[Parameter]) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = body.trim();
        if rest.is_empty() {
            return Err("is empty: it is what the agent is asked to do".to_owned());
        }
        while let Some((before, after)) = rest.split_once("{{") {
            if let Some(before) = before.strip_suffix('\\') {
                text.push_str(before);
                text.push_str("{{");
                rest = after;
                continue;
            }
            let Some((inside, after)) = after.split_once("}}") else {
                return Err("has `{{` without `}}`: write `\\{{` where braces are meant".to_owned());
            };
            let name = inside.trim();
            let Some(place) = parameters.iter().position(|parameter| parameter.name == name) else {
                return Err(format!(
                    "has a place for {:?}, which is no parameter: name it in `parameters`, or write `\\{{{{` where braces are meant",
                    excerpt(name)
                ));
            };
            text.push_str(before);
            pieces.push(Piece::Text(std::mem::take(&mut text)));
            pieces.push(Piece::Place(place));
            rest = after;
        }
        text.push_str(rest);
        pieces.push(Piece::Text(text));
        let words = Self(pieces);
        words.check(parameters)?;
        Ok(words)
    }

    fn check(&self, parameters: &[Parameter]) -> Result<(), String> {
        let places = self.0.iter().filter_map(|piece| match piece {
            Piece::Place(place) => Some(*place),
            Piece::Text(_) => None,
        });
        let places: Vec<usize> = places.collect();
        if places.len() > MOST_PLACES {
            return Err(format!("has more than {MOST_PLACES} places"));
        }
        let unused = parameters.iter().enumerate().find(|(place, _)| !places.contains(place));
        match unused {
            Some((_, parameter)) => Err(format!(
                "has no place for the parameter {}: write {{{{{}}}}} where its value goes, or leave it out",
                parameter.name, parameter.name
            )),
            None => Ok(()),
        }
    }

    /// The words with these values in their places, one for each parameter. `None` where that is longer than a task may be.
    pub(super) fn with(&self, values: &[&str]) -> Option<String> {
        let parts = || {
            self.0.iter().map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Place(place) => values.get(*place).copied().unwrap_or_default(),
            })
        };
        // Looked at before it is put together: a value can stand in many places.
        let size: usize = parts().map(str::len).sum();
        (size <= MAX_PROMPT).then(|| parts().collect())
    }
}
