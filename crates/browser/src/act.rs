//! What is done on a page, as a person would do it: with pointer and keyboard.

use std::{str::FromStr, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{Address, Browser, BrowserError, Id, element::Element, keys::Press, quoted};

/// How long is waited between two looks at a page that is waited for.
const LOOK: Duration = Duration::from_millis(250);
/// How long a page may take to say that it was clicked, once that has opened another one.
const AFTER_OPENING: Duration = Duration::from_secs(2);
/// The longest that is waited.
const LONGEST: Duration = Duration::from_secs(60);

/// Which element is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One that a snapshot has named, `e12`.
    Ref(u32),
    /// The first that fits a CSS selector, one that can be seen before others.
    Selector(String),
}

impl FromStr for Target {
    type Err = BrowserError;

    fn from_str(text: &str) -> Result<Self, BrowserError> {
        let text = text.trim();
        let bare = text.trim_start_matches("[ref=").trim_end_matches(']').trim_start_matches('@');
        if let Some(number) = bare.strip_prefix('e').and_then(|digits| digits.parse().ok()) {
            return Ok(Self::Ref(number));
        }
        if text.is_empty() || text.len() > 2_000 {
            return Err(BrowserError::cannot(
                "A target is a ref from a snapshot, like e12, or a CSS selector.",
            ));
        }
        Ok(Self::Selector(text.to_owned()))
    }
}

/// How dialogs are answered that open while something is done. Alerts are always accepted, and others dismissed unless it is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Whether `confirm` and `prompt` are accepted.
    pub accept: bool,
    /// What is given to a `prompt`.
    pub text: Option<String>,
}

/// Where the window is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A screen down.
    Down,
    /// A screen up.
    Up,
    /// To the beginning.
    Top,
    /// To the end.
    Bottom,
}

/// A tab, by its number.
pub type Tab = u32;

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Click an element, or twice.
    Click(Target, bool),
    /// Put the pointer on an element.
    Hover(Target),
    /// Write into an element, in the place of what is there or after it; then perhaps press Enter.
    Type {
        /// Where; what has the focus otherwise.
        target: Option<Target>,
        /// What.
        text: String,
        /// After what is there.
        append: bool,
        /// Whether Enter is pressed then.
        submit: bool,
    },
    /// Press a key where the focus is.
    Press(String),
    /// Choose options of a list, by their values or words.
    Select(Target, Vec<String>),
    /// Give files of the sandbox to a file input.
    Upload(Target, Vec<String>),
    /// Bring an element into view.
    Show(Target),
    /// Move the window.
    Scroll(Way),
    /// Wait until a text is there, is gone, or just so long.
    Wait {
        /// The text.
        text: Option<String>,
        /// Until it is gone.
        gone: bool,
        /// At most so long.
        seconds: u64,
    },
    /// Go back in the tab's history.
    Back,
    /// Go forward in it.
    Forward,
    /// Load the page anew.
    Reload,
    /// Open a tab, perhaps with an address.
    NewTab(Option<Address>),
    /// Look at another tab.
    SwitchTab(Tab),
    /// Close a tab; the one that is looked at if none is said.
    CloseTab(Option<Tab>),
}

impl Browser {
    /// Does something, waits until the page has come to rest, and says what was done.
    ///
    /// # Errors
    /// When it cannot be done; the words say what to do instead.
    pub async fn act(&mut self, deed: &Deed, answer: Answer) -> Result<String, BrowserError> {
        self.some_tab().await?;
        self.link.seen(|seen| seen.answer = answer.clone());
        let before = self.link.seen(|seen| seen.opened);
        let done = Box::pin(self.carry_out(deed, answer)).await?;
        if self.link.seen(|seen| seen.opened) > before && !matches!(deed, Deed::NewTab(_)) {
            // What was looked at stays in front.
            let front = json!({ "targetId": self.current });
            self.link
                .call(None, ("Target.activateTarget", "switch"), front, crate::element::PATIENCE)
                .await
                .ok();
        }
        if !matches!(deed, Deed::Wait { .. }) {
            self.rest().await;
        }
        Ok(done)
    }

    async fn carry_out(&mut self, deed: &Deed, answer: Answer) -> Result<String, BrowserError> {
        match deed {
            Deed::Click(target, twice) => {
                let element = self.element(target).await?;
                self.click(&element, *twice).await?;
                Ok(format!("Clicked {}{}.", element.name, if *twice { " twice" } else { "" }))
            }
            Deed::Hover(target) => {
                let element = self.element(target).await?;
                let at = self.reach(&element).await?;
                self.pointer("mouseMoved", at, 0).await?;
                Ok(format!("The pointer is on {}.", element.name))
            }
            Deed::Type { target, text, append, submit } => {
                self.write(target.as_ref(), text, *append, *submit).await
            }
            Deed::Press(key) => {
                self.press(&Press::named(key)?).await?;
                Ok(format!("Pressed {}.", quoted(key, 40)))
            }
            Deed::Select(target, values) => self.choose(target, values).await,
            Deed::Upload(target, files) => {
                let element = self.element(target).await?;
                let params = json!({ "files": files, "objectId": element.object });
                self.ask(("DOM.setFileInputFiles", "give files"), params).await?;
                Ok(format!("Gave {} to {}.", counted(files.len(), "file"), element.name))
            }
            Deed::Show(target) => {
                let element = self.element(target).await?;
                self.reach_out(&element).await?;
                Ok(format!("{} is in view.", element.name))
            }
            Deed::Scroll(way) => self.scroll(*way).await,
            Deed::Wait { text, gone, seconds } => {
                let patience = Duration::from_secs(*seconds).min(LONGEST);
                self.wait(text.as_deref(), *gone, patience).await
            }
            Deed::Back => self.turn(-1).await,
            Deed::Forward => self.turn(1).await,
            Deed::Reload => {
                let before = self.tab(|tab| tab.documents)?;
                self.ask(("Page.reload", "load the page anew"), json!({})).await?;
                self.wait_for(LONGEST / 2, |tab| tab.documents > before && !tab.loading).await;
                Ok("Loaded the page anew.".to_owned())
            }
            Deed::NewTab(to) => {
                self.current = self.new_tab().await?;
                match to {
                    Some(to) => self.go(to, answer).await,
                    None => Ok("Opened a tab.".to_owned()),
                }
            }
            Deed::SwitchTab(number) => self.switch(*number).await,
            Deed::CloseTab(number) => self.close(*number).await,
        }
    }

    async fn click(&self, element: &Element, twice: bool) -> Result<(), BrowserError> {
        let at = self.reach(element).await?;
        self.pointer("mouseMoved", at, 0).await?;
        for count in 1..=if twice { 2 } else { 1 } {
            self.pointer("mousePressed", at, count).await?;
            self.pointer("mouseReleased", at, count).await?;
        }
        Ok(())
    }

    async fn pointer(&self, kind: &str, (x, y): (f64, f64), clicks: u8) -> Result<(), BrowserError> {
        let mut event = json!({ "type": kind, "x": x, "y": y });
        if clicks > 0 {
            event["button"] = "left".into();
            event["clickCount"] = clicks.into();
        }
        let before = self.link.seen(|seen| seen.opened);
        let opened = async {
            self.link.until(LONGEST, |seen| seen.opened > before).await;
            sleep(AFTER_OPENING).await;
        };
        tokio::select! {
            biased;
            done = self.ask(("Input.dispatchMouseEvent", "use the pointer"), event) => match done {
                // A click may well close the tab that it is on.
                Ok(_) | Err(BrowserError::Closed) => Ok(()),
                Err(error) => Err(error),
            },
            // A page that has opened another one is behind that, and may not say that it was clicked.
            () = opened => Ok(()),
        }
    }

    /// Brings an element into view, and sees that a click there meets it; where that is.
    async fn reach(&self, element: &Element) -> Result<(f64, f64), BrowserError> {
        let found = self.reach_out(element).await?;
        let name = &element.name;
        let said = |what: &str| found.get(what).and_then(Value::as_str);
        if let Some(over) = said("covered") {
            return Err(BrowserError::cannot(format!(
                "{name} is covered by another element, {}: deal with that one first, or wait.",
                quoted(over, 120)
            )));
        }
        if said("problem").is_some() {
            return Err(BrowserError::cannot(format!(
                "{name} cannot be clicked: it takes no room on the page, or is not shown. Take a snapshot and choose what can be seen."
            )));
        }
        if said("disabled").is_some() {
            return Err(BrowserError::cannot(format!("{name} is disabled. Find out what enables it.")));
        }
        let params = json!({ "objectId": element.object });
        let quads = self.ask(("DOM.getContentQuads", "find the place"), params).await?;
        let hidden = || BrowserError::cannot(format!("{name} cannot be clicked: it is not shown."));
        let quads = quads.get("quads").and_then(Value::as_array).ok_or_else(hidden)?;
        let quad = quads.iter().find_map(corners).ok_or_else(hidden)?;
        let (x, y) =
            quad.iter().fold((0.0, 0.0), |(x, y), (more, beside)| (x + more / 4.0, y + beside / 4.0));
        Ok((x, y))
    }

    async fn reach_out(&self, element: &Element) -> Result<serde_json::Map<String, Value>, BrowserError> {
        const REACH: &str = "function() {
            this.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
            const box = [...this.getClientRects()].find(one => one.width > 0 && one.height > 0);
            if (!box) return { problem: 'no room' };
            if (this.disabled === true) return { disabled: 'yes' };
            const x = box.left + box.width / 2, y = box.top + box.height / 2;
            let hit = document.elementFromPoint(x, y);
            while (hit && hit.shadowRoot) {
                const inner = hit.shadowRoot.elementFromPoint(x, y);
                if (!inner || inner === hit) break;
                hit = inner;
            }
            if (!hit) return {};
            const label = this.labels && [...this.labels].some(one => one.contains(hit));
            for (let one = hit; one; one = one.parentNode || one.host) if (one === this) return {};
            if (label || hit.contains(this) && getComputedStyle(this).pointerEvents === 'none') return {};
            if (this.control && this.control === hit) return {};
            const words = [hit.localName, hit.id && '#' + hit.id, hit.getAttribute('role'), (hit.textContent || '').slice(0, 60)];
            return { covered: words.filter(Boolean).join(' ') };
        }";
        let found = self.run(element, REACH, &[]).await?;
        Ok(found.as_object().cloned().unwrap_or_default())
    }

    async fn write(
        &self,
        target: Option<&Target>,
        text: &str,
        append: bool,
        submit: bool,
    ) -> Result<String, BrowserError> {
        const PREPARE: &str = "function(text, append) {
            const kind = this.localName === 'input' ? this.type : this.localName;
            if (this.disabled || this.readOnly) return 'closed';
            if (this.isContentEditable) {
                this.focus();
                const range = document.createRange();
                range.selectNodeContents(this);
                if (append) range.collapse(false);
                const chosen = getSelection();
                chosen.removeAllRanges();
                chosen.addRange(range);
                return 'write';
            }
            if (['checkbox', 'radio', 'submit', 'button', 'reset', 'image'].includes(kind)) return 'click';
            if (kind === 'file') return 'file';
            if (kind === 'select') return 'select';
            if (['date', 'time', 'datetime-local', 'month', 'week', 'color', 'range'].includes(kind)) {
                this.focus();
                this.value = text;
                if (this.value !== text && kind !== 'color') return 'form';
                this.dispatchEvent(new Event('input', { bubbles: true }));
                this.dispatchEvent(new Event('change', { bubbles: true }));
                return 'set';
            }
            if (!('value' in this) || !('select' in this)) return 'none';
            this.focus();
            if (append) { try { this.setSelectionRange(this.value.length, this.value.length); } catch {} }
            else this.select();
            return 'write';
        }";
        let element = match target {
            Some(target) => Some(self.element(target).await?),
            None => None,
        };
        let name = element.as_ref().map_or("what has the focus", |element| element.name.as_str()).to_owned();
        let mut done = "write".to_owned();
        if let Some(element) = &element {
            self.reach_out(element).await?;
            let said = self.run(element, PREPARE, &[text.into(), append.into()]).await?;
            done = said.as_str().unwrap_or_default().to_owned();
        }
        let instead = match done.as_str() {
            "write" | "set" => None,
            "closed" => Some("is disabled or read-only".to_owned()),
            "click" => Some("is a button or box: use action click".to_owned()),
            "file" => Some("takes files: use action upload with files".to_owned()),
            "select" => Some("is a list: use action select with values".to_owned()),
            "form" => {
                Some(format!("takes no {}: write dates as 2026-01-31 and times as 13:05", quoted(text, 60)))
            }
            _ => Some("is nothing to write into: choose a text box".to_owned()),
        };
        if let Some(instead) = instead {
            return Err(BrowserError::cannot(format!("{name} {instead}.")));
        }
        if done == "write" {
            if text.is_empty() && !append {
                self.press(&Press::named("Delete")?).await?;
            } else {
                self.ask(("Input.insertText", "write"), json!({ "text": text })).await?;
            }
        }
        if submit {
            self.press(&Press::named("Enter")?).await?;
            return Ok(format!("Wrote into {name} and pressed Enter."));
        }
        Ok(format!("Wrote into {name}."))
    }

    async fn press(&self, key: &Press) -> Result<(), BrowserError> {
        for event in key.events() {
            match self.ask(("Input.dispatchKeyEvent", "press a key"), event).await {
                Ok(_) | Err(BrowserError::Closed) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn choose(&self, target: &Target, values: &[String]) -> Result<String, BrowserError> {
        const CHOOSE: &str = "function(values) {
            if (this.localName !== 'select') return { problem: 'none' };
            if (this.disabled) return { problem: 'closed' };
            const all = [...this.options];
            const plain = text => text.trim().replace(/\\s+/g, ' ');
            const find = value => all.find(one => one.value === value) || all.find(one => plain(one.label) === plain(value));
            const found = values.map(find);
            const missing = values.find((value, index) => !found[index]);
            if (missing !== undefined) return { problem: 'missing', missing, there: all.slice(0, 40).map(one => plain(one.label).slice(0, 80)) };
            if (!this.multiple && found.length > 1) return { problem: 'one' };
            for (const one of all) one.selected = found.includes(one);
            this.dispatchEvent(new Event('input', { bubbles: true }));
            this.dispatchEvent(new Event('change', { bubbles: true }));
            return {};
        }";
        let element = self.element(target).await?;
        let name = &element.name;
        let said = self.run(&element, CHOOSE, &[json!(values)]).await?;
        let problem = said.get("problem").and_then(Value::as_str);
        let words = match problem {
            None => return Ok(format!("Chose {} in {name}.", counted(values.len(), "option"))),
            Some("none") => "is no list of options (a <select>): click it, and then what it shows".to_owned(),
            Some("closed") => "is disabled".to_owned(),
            Some("one") => "takes one option only".to_owned(),
            Some(_) => {
                let there =
                    said.get("there").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                let there: Vec<String> =
                    there.iter().filter_map(Value::as_str).take(40).map(|one| quoted(one, 80)).collect();
                let missing = said.get("missing").and_then(Value::as_str).unwrap_or_default();
                format!("has no option {}; it has {}", quoted(missing, 80), there.join(", "))
            }
        };
        Err(BrowserError::cannot(format!("{name} {words}.")))
    }

    async fn scroll(&self, way: Way) -> Result<String, BrowserError> {
        const SCROLL: &str = "function(way) {
            const page = document.scrollingElement || document.documentElement;
            const step = innerHeight * 0.9;
            const to = { down: page.scrollTop + step, up: page.scrollTop - step, top: 0, bottom: page.scrollHeight }[way];
            page.scrollTo({ top: to, behavior: 'instant' });
            return [page.scrollTop, page.scrollHeight, innerHeight];
        }";
        let name = match way {
            Way::Down => "down",
            Way::Up => "up",
            Way::Top => "top",
            Way::Bottom => "bottom",
        };
        let place = self.run_in(&self.main_frame()?, SCROLL, &[name.into()]).await?;
        let part = |index: usize| place.get(index).and_then(Value::as_f64).unwrap_or_default();
        Ok(format!("The window shows {:.0} to {:.0} of {:.0} pixels.", part(0), part(0) + part(2), part(1)))
    }

    async fn wait(&self, text: Option<&str>, gone: bool, patience: Duration) -> Result<String, BrowserError> {
        const THERE: &str = "function(text) {
            const words = document.body ? document.body.innerText : '';
            return words.includes(text) || words.replace(/\\s+/g, ' ').includes(text);
        }";
        let Some(text) = text else {
            sleep(patience).await;
            return Ok(format!("Waited {} s.", patience.as_secs()));
        };
        let end = Instant::now() + patience;
        loop {
            let mut there = false;
            for frame in self.frames().await? {
                // A frame may go while it is asked.
                match self.run_in(&frame, THERE, &[text.into()]).await {
                    Ok(said) => there |= said == Value::Bool(true),
                    Err(error) if error.page_is_lost() => return Err(error),
                    Err(_) => {}
                }
            }
            if there != gone {
                let what = if gone { "is gone" } else { "is there" };
                return Ok(format!("{} {what}.", quoted(text, 100)));
            }
            if Instant::now() >= end {
                let what = if gone { "is still there" } else { "did not come" };
                return Err(BrowserError::cannot(format!(
                    "{} {what}, after {} s.",
                    quoted(text, 100),
                    patience.as_secs()
                )));
            }
            sleep(LOOK).await;
        }
    }

    /// Goes through the tab's history.
    async fn turn(&self, steps: i64) -> Result<String, BrowserError> {
        let history = self.ask(("Page.getNavigationHistory", "look at the history"), json!({})).await?;
        let here = history.get("currentIndex").and_then(Value::as_i64).unwrap_or_default();
        let entries = history.get("entries").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let entry = usize::try_from(here + steps).ok().and_then(|index| entries.get(index));
        let Some(id) = entry.and_then(|entry| entry.get("id")).and_then(Value::as_i64) else {
            return Err(BrowserError::cannot("There is no page there in this tab's history."));
        };
        let (before, url) = self.tab(|tab| (tab.documents, tab.url.clone()))?;
        self.ask(("Page.navigateToHistoryEntry", "go there"), json!({ "entryId": id })).await?;
        self.wait_for(LONGEST / 4, |tab| (tab.documents > before || tab.url != url) && !tab.loading).await;
        Ok(if steps < 0 { "Went back." } else { "Went forward." }.to_owned())
    }

    async fn switch(&mut self, number: Tab) -> Result<String, BrowserError> {
        let target = self.numbered(number)?;
        let params = json!({ "targetId": target });
        self.link.call(None, ("Target.activateTarget", "switch"), params, crate::element::PATIENCE).await?;
        self.current = target;
        Ok(format!("Tab {number} is looked at now."))
    }

    async fn close(&mut self, number: Option<Tab>) -> Result<String, BrowserError> {
        let target = match number {
            Some(number) => self.numbered(number)?,
            None => self.current.clone(),
        };
        if self.link.seen(|seen| seen.tabs.len()) <= 1 {
            // Without any tab the browser would end.
            self.new_tab().await?;
        }
        self.link.seen(|seen| seen.closing(&target));
        let params = json!({ "targetId": target });
        let patience = crate::element::PATIENCE;
        self.link.call(None, ("Target.closeTarget", "close the tab"), params, patience).await?;
        self.link.until(patience, |seen| seen.by_target(&target).is_none()).await;
        self.some_tab().await?;
        Ok("Closed the tab.".to_owned())
    }

    fn numbered(&self, number: Tab) -> Result<Id, BrowserError> {
        self.link.seen(|seen| {
            let found = seen.tabs.iter().find(|tab| tab.number == number).map(|tab| tab.target.clone());
            let there: Vec<String> = seen.tabs.iter().map(|tab| tab.number.to_string()).collect();
            found.ok_or_else(|| {
                BrowserError::cannot(format!("There is no tab {number}. There are: {}.", there.join(", ")))
            })
        })
    }
}

/// The corners of an area.
fn corners(quad: &Value) -> Option<[(f64, f64); 4]> {
    let mut numbers =
        quad.as_array()?.iter().map(|number| number.as_f64().filter(|number| number.is_finite()));
    let mut corner = || Some((numbers.next()??, numbers.next()??));
    Some([corner()?, corner()?, corner()?, corner()?])
}

fn counted(count: usize, what: &str) -> String {
    cofferdam_domain::amount::counted(count as u64, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_and_selectors() {
        for text in ["e12", " [ref=e12] ", "@e12"] {
            assert_eq!(text.parse(), Ok(Target::Ref(12)), "{text}");
        }
        for text in ["em", "#e12", "e12 > a", "element", "e-1"] {
            assert_eq!(text.parse(), Ok(Target::Selector(text.to_owned())), "{text}");
        }
        assert!("".parse::<Target>().is_err());
        assert_eq!(corners(&json!([0, 0, 10, 0, 10, 4, 0, 4])).map(|corners| corners[2]), Some((10.0, 4.0)));
        assert_eq!(corners(&json!([0, 0, "x"])), None);
    }
}
