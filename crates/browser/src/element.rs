//! Elements of a page: found by a name from a snapshot or by a selector, and asked by scripts that run apart from the page's own.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{Browser, BrowserError, Id, Target, quoted};

/// How long one question to a page may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// The name of the scripts' own world, in which nothing of the page's scripts is seen.
const WORLD: &str = "cofferdam";

/// An element that is there.
pub(crate) struct Element {
    /// What the browser calls it.
    pub(crate) object: Id,
    /// What the model calls it.
    pub(crate) name: String,
}

impl Browser {
    /// The element that a model means.
    pub(crate) async fn element(&self, target: &Target) -> Result<Element, BrowserError> {
        match target {
            Target::Ref(number) => self.by_ref(*number).await,
            Target::Selector(selector) => self.by_selector(selector).await,
        }
    }

    async fn by_ref(&self, number: u32) -> Result<Element, BrowserError> {
        let name = format!("e{number}");
        let Some(place) = self.refs.place(number) else {
            return Err(BrowserError::cannot(format!(
                "There is no {name} in any snapshot. Take one with `browser_snapshot` and use a ref from it."
            )));
        };
        let session = self.session()?;
        if place.session == session && place.document != self.tab(|tab| tab.documents)? {
            return Err(BrowserError::cannot(format!(
                "{name} was on a page that has been left. Take a snapshot of this one with `browser_snapshot`."
            )));
        }
        if place.session != session {
            return Err(BrowserError::cannot(format!(
                "{name} is on another tab. Go there with action switch_tab, or take a snapshot of this one."
            )));
        }
        let gone = |_| {
            BrowserError::cannot(format!(
                "{name} is no longer on the page, which has changed since that snapshot. Take a new one with `browser_snapshot`."
            ))
        };
        let refused = |error: BrowserError| {
            let is_gone = matches!(error, BrowserError::Refused { .. } | BrowserError::Nonsense(_));
            if is_gone { gone(error) } else { error }
        };
        let world = self.world(&place.frame).await.map_err(refused)?;
        let resolved = self
            .ask(
                ("DOM.resolveNode", "find an element"),
                json!({ "backendNodeId": place.node, "executionContextId": world, "objectGroup": WORLD }),
            )
            .await
            .map_err(refused)?;
        let object =
            object_of(&resolved, "object").ok_or(BrowserError::Nonsense("an element")).map_err(gone)?;
        let element = Element { object, name: name.clone() };
        if self.run(&element, "function() { return this.isConnected === true; }", &[]).await?
            != Value::Bool(true)
        {
            return Err(gone(BrowserError::Closed));
        }
        Ok(element)
    }

    async fn by_selector(&self, selector: &str) -> Result<Element, BrowserError> {
        const FIND: &str = "function(selector) {
            const all = document.querySelectorAll(selector);
            const seen = [...all].slice(0, 200).filter(one => one.getClientRects().length > 0);
            return seen[0] || all[0] || null;
        }";
        let world = self.world(&self.main_frame()?).await?;
        let answer = self
            .ask(
                ("Runtime.callFunctionOn", "find an element"),
                json!({
                    "functionDeclaration": FIND, "executionContextId": world, "objectGroup": WORLD,
                    "arguments": [{ "value": selector }],
                }),
            )
            .await?;
        let name = quoted(selector, 100);
        if answer.get("exceptionDetails").is_some() {
            return Err(BrowserError::cannot(format!(
                "{name} is neither a ref (like e12) nor a CSS selector. Take a snapshot and use a ref from it."
            )));
        }
        let object = object_of(&answer, "result").ok_or_else(|| {
            BrowserError::cannot(format!(
                "No element of the page fits {name}. Look at what there is with `browser_snapshot`."
            ))
        })?;
        Ok(Element { object, name })
    }

    /// What a function says that is called on an element, in the scripts' own world.
    pub(crate) async fn run(
        &self,
        on: &Element,
        function: &str,
        arguments: &[Value],
    ) -> Result<Value, BrowserError> {
        let arguments: Vec<Value> = arguments.iter().map(|value| json!({ "value": value })).collect();
        let answer = self
            .ask(
                ("Runtime.callFunctionOn", "ask an element"),
                json!({
                    "functionDeclaration": function, "objectId": on.object, "arguments": arguments,
                    "returnByValue": true, "userGesture": true,
                }),
            )
            .await?;
        value_of(answer)
    }

    /// What a function says that is called on a document.
    pub(crate) async fn run_in(
        &self,
        frame: &Id,
        function: &str,
        arguments: &[Value],
    ) -> Result<Value, BrowserError> {
        let world = self.world(frame).await?;
        let arguments: Vec<Value> = arguments.iter().map(|value| json!({ "value": value })).collect();
        let answer = self
            .ask(
                ("Runtime.callFunctionOn", "ask the page"),
                json!({
                    "functionDeclaration": function, "executionContextId": world, "arguments": arguments,
                    "returnByValue": true,
                }),
            )
            .await?;
        value_of(answer)
    }

    /// The world of our own scripts in a frame. It is the same each time as long as the frame has the same document.
    async fn world(&self, frame: &Id) -> Result<u64, BrowserError> {
        let answer = self
            .ask(
                ("Page.createIsolatedWorld", "ask the page"),
                json!({ "frameId": frame, "worldName": WORLD }),
            )
            .await?;
        answer
            .get("executionContextId")
            .and_then(Value::as_u64)
            .ok_or(BrowserError::Nonsense("where scripts run"))
    }

    /// The frame of the page itself.
    pub(crate) fn main_frame(&self) -> Result<Id, BrowserError> {
        self.tab(|tab| tab.target.clone())
    }
}

/// The object that an answer has at a name.
fn object_of(answer: &Value, name: &str) -> Option<Id> {
    Id::of(answer.get(name)?.get("objectId")?)
}

/// What a script gave back.
fn value_of(mut answer: Value) -> Result<Value, BrowserError> {
    if answer.get("exceptionDetails").is_some() {
        return Err(BrowserError::Nonsense("a script of ours failed on this page"));
    }
    Ok(answer
        .get_mut("result")
        .and_then(|result| result.get_mut("value"))
        .map(Value::take)
        .unwrap_or_default())
}

/// Where a named element is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) session: Id,
    /// Which of the tab's documents: the browser may use the numbers of one again in the next.
    pub(crate) document: u64,
    pub(crate) frame: Id,
    pub(crate) node: u64,
}

/// Elements that got names in snapshots. One that is seen again has the same name; no name is given twice.
#[derive(Debug, Default)]
pub(crate) struct Refs {
    places: std::collections::VecDeque<(u32, Place)>,
    known: std::collections::HashMap<(Id, u64, u64), u32>,
    last: u32,
}

/// Names that are remembered: the latest.
const MOST_REFS: usize = 20_000;

impl Refs {
    /// The name of an element.
    pub(crate) fn name(&mut self, place: Place) -> u32 {
        let key = (place.session.clone(), place.document, place.node);
        if let Some(number) = self.known.get(&key) {
            return *number;
        }
        self.last += 1;
        self.known.insert(key, self.last);
        self.places.push_back((self.last, place));
        if self.places.len() > MOST_REFS
            && let Some((_, old)) = self.places.pop_front()
        {
            self.known.remove(&(old.session, old.document, old.node));
        }
        self.last
    }

    /// The frame that a named element is in.
    pub(crate) fn frame(&self, number: u32) -> Option<Id> {
        self.place(number).map(|place| place.frame.clone())
    }

    fn place(&self, number: u32) -> Option<&Place> {
        let index = self.places.binary_search_by_key(&number, |(known, _)| *known).ok()?;
        self.places.get(index).map(|(_, place)| place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_and_are_never_given_twice() {
        let mut refs = Refs::default();
        let place = |node| Place { session: "S".into(), document: 1, frame: "F".into(), node };
        assert_eq!((refs.name(place(7)), refs.name(place(9)), refs.name(place(7))), (1, 2, 1));
        for node in 100..100 + MOST_REFS as u64 {
            refs.name(place(node));
        }
        assert_eq!(refs.place(1), None, "the oldest is forgotten");
        assert_eq!(refs.places.len(), refs.known.len());
        assert!(refs.name(place(7)) > 2, "and gets another name");
        assert_eq!(refs.place(refs.last), Some(&place(7)));
    }
}
