//! Looking at a page: its text, its pictures, what it printed and asked for.

use std::{borrow::Cow, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cofferdam_domain::message::Image;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Browser, BrowserError, Target, program::DOWNLOADS, quoted, shown};

/// Characters of a page's text that are brought at once.
const MOST_TEXT: u64 = 20_000;
/// Characters of what a script gives back.
const MOST_VALUE: usize = 20_000;
/// How long a script may run.
const SCRIPT: Duration = Duration::from_secs(15);
/// How long a picture may take.
const PICTURE: Duration = Duration::from_secs(40);
/// The longest side of the picture that a model is shown.
const SHOWN: f64 = 1_024.0;
/// The greatest height of a page that is pictured.
const HIGHEST: f64 = 6_000.0;
/// The greatest width.
const WIDEST: f64 = 3_000.0;
/// Bytes of a picture.
const MOST_PICTURE: usize = 8 << 20;

/// Something that a browser knows of a page beside how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Its text.
    Text,
    /// What its scripts printed, and errors.
    Console,
    /// What it asked of servers.
    Network,
    /// Which tabs there are.
    Tabs,
    /// Files that pages gave.
    Downloads,
}

/// A piece of a page's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The piece: every line is marked as the page's.
    pub shown: String,
    /// In words: which piece it is, and how to get at others.
    pub place: String,
}

/// A picture of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// As it is: PNG.
    pub full: Vec<u8>,
    /// The same, no larger than a model needs: JPEG.
    pub small: Vec<u8>,
    /// In words: what part of the page it shows.
    pub place: String,
}

impl Browser {
    /// The text of the page, or of an element: from a character on, or the parts where some words stand.
    ///
    /// # Errors
    /// When the page does not answer, or there is no such element.
    pub async fn text(
        &mut self,
        of: Option<&Target>,
        find: Option<&str>,
        offset: u64,
    ) -> Result<Text, BrowserError> {
        const READ: &str = "function(find, offset, most) {
            const root = this && this.nodeType === 1 ? this : document.body;
            const all = root ? ('value' in root && typeof root.value === 'string' ? root.value : root.innerText) : '';
            if (!find) return { text: all.slice(offset, offset + most), length: all.length };
            const low = all.toLowerCase(), wanted = find.toLowerCase(), found = [];
            let count = 0, last = -1;
            for (let at = low.indexOf(wanted); at >= 0 && count < 10000; at = low.indexOf(wanted, at + Math.max(wanted.length, 1))) {
                count += 1;
                if (found.length < 20 && at > last) {
                    found.push({ at, text: all.slice(Math.max(0, at - 300), at + wanted.length + 300) });
                    last = at + 300;
                }
            }
            return { found, count, length: all.length };
        }";
        self.some_tab().await?;
        let arguments = [find.map_or(Value::Null, Value::from), offset.into(), MOST_TEXT.into()];
        let said = match of {
            Some(target) => {
                let element = self.element(target).await?;
                self.run(&element, READ, &arguments).await?
            }
            None => self.run_in(&self.main_frame()?, READ, &arguments).await?,
        };
        let length = said.get("length").and_then(Value::as_u64).unwrap_or_default();
        if let Some(find) = find {
            let found = said.get("found").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let count = said.get("count").and_then(Value::as_u64).unwrap_or_default();
            let pieces: Vec<String> = found
                .iter()
                .take(20)
                .map(|piece| {
                    let at = piece.get("at").and_then(Value::as_u64).unwrap_or_default();
                    let text = piece.get("text").and_then(Value::as_str).unwrap_or_default();
                    format!("at {at}:\n{}", shown(text))
                })
                .collect();
            let place =
                format!("{} stands {count} times in a text of {length} characters.", quoted(find, 100));
            return Ok(Text { shown: pieces.join("\n"), place });
        }
        let text = said.get("text").and_then(Value::as_str).unwrap_or_default();
        let end = (offset + MOST_TEXT).min(length);
        let place = match end < length {
            true => format!(
                "Characters {offset} to {end} of {length}; go on with offset {end}, or look for words with find."
            ),
            false if offset == 0 => format!("{length} characters, all of the text."),
            false => format!("Characters {offset} to {end} of {length}, the end."),
        };
        Ok(Text { shown: shown(text), place })
    }

    /// What the browser knows beside.
    ///
    /// # Errors
    /// When there is no tab.
    pub async fn list(&mut self, part: Part) -> Result<Vec<String>, BrowserError> {
        self.some_tab().await?;
        Ok(match part {
            Part::Text => Vec::new(),
            Part::Console => self.tab(|tab| {
                let line = |line: &crate::seen::Line| {
                    format!("{}: {}", word(&line.level), quoted(&line.text, 1_000))
                };
                tab.console.iter().map(line).collect()
            })?,
            Part::Network => self.tab(|tab| tab.requests.iter().map(request).collect())?,
            Part::Tabs => {
                let current = &self.current;
                self.link.seen(|seen| {
                    let tab = |tab: &crate::seen::Tab| {
                        let here = if tab.target == *current { " (looked at)" } else { "" };
                        let by = if tab.opened_by_page { ", opened by a page" } else { "" };
                        let (url, title) = (quoted(&tab.url, 300), quoted(&tab.title, 100));
                        format!("tab {}{here}: {url} titled {title}{by}", tab.number)
                    };
                    seen.tabs.iter().map(tab).collect()
                })
            }
            Part::Downloads => self.link.seen(|seen| {
                let file = |download: &crate::seen::Download| {
                    let (name, url) = (quoted(&download.name, 200), quoted(&download.url, 300));
                    let state = match download.state.as_str() {
                        "completed" => {
                            format!("complete, {:.0} bytes, in {DOWNLOADS}/{}", download.bytes, download.guid)
                        }
                        "canceled" => "refused or broken off".to_owned(),
                        _ => format!("under way, {:.0} bytes so far", download.bytes),
                    };
                    format!("{name} from {url}: {state}")
                };
                seen.downloads.iter().map(file).collect()
            }),
        })
    }

    /// What a script gives back that runs on the page, among the page's own. As one quoted text.
    ///
    /// # Errors
    /// When the page does not answer.
    pub async fn evaluate(&mut self, script: &str) -> Result<String, BrowserError> {
        self.some_tab().await?;
        let asked = json!({
            "expression": script, "returnByValue": true, "awaitPromise": true, "userGesture": true, "replMode": true,
            "timeout": 10_000, "allowUnsafeEvalBlockedByCSP": true,
        });
        let answer = match self.ask_within(("Runtime.evaluate", "run the script"), asked, SCRIPT).await {
            // Results that are no data.
            Err(BrowserError::Refused { message, .. }) => {
                return Ok(format!("The script has run; its result cannot be shown: {message}"));
            }
            other => other?,
        };
        self.rest().await;
        if let Some(details) = answer.get("exceptionDetails") {
            let thrown = details.get("exception").and_then(|thrown| thrown.get("description"));
            let words = thrown.or_else(|| details.get("text")).and_then(Value::as_str).unwrap_or_default();
            return Err(BrowserError::cannot(format!("The script failed: {}", quoted(words, 1_000))));
        }
        let result = answer.get("result").cloned().unwrap_or_default();
        let words = match (result.get("value"), result.get("description").and_then(Value::as_str)) {
            (Some(Value::String(text)), _) => text.clone(),
            (Some(value), _) => value.to_string(),
            (None, Some(description)) => description.to_owned(),
            (None, None) => "undefined".to_owned(),
        };
        let end = words.char_indices().nth(MOST_VALUE).map(|(end, _)| end);
        let more = end.map_or(String::new(), |_| format!("\n[cut after {MOST_VALUE} characters]"));
        Ok(format!("{}{more}", shown(words.get(..end.unwrap_or(words.len())).unwrap_or_default())))
    }

    /// A picture of the window, the whole page, or an element.
    ///
    /// # Errors
    /// When the page does not answer, or there is no such element.
    pub async fn picture(&mut self, of: Option<&Target>, whole: bool) -> Result<Picture, BrowserError> {
        self.some_tab().await?;
        let metrics = self.ask(("Page.getLayoutMetrics", "measure the page"), json!({})).await?;
        let area = |name: &str| Area::of(metrics.get(name).unwrap_or(&Value::Null));
        let window = area("cssVisualViewport").ok_or(BrowserError::Nonsense("the size of the page"))?;
        let page = area("cssContentSize").unwrap_or(window);
        let (clip, place) = match of {
            Some(target) => {
                let element = self.element(target).await?;
                self.run(
                    &element,
                    "function() { this.scrollIntoView({ block: 'center', behavior: 'instant' }); }",
                    &[],
                )
                .await?;
                let metrics = self.ask(("Page.getLayoutMetrics", "measure the page"), json!({})).await?;
                let window =
                    Area::of(metrics.get("cssVisualViewport").unwrap_or(&Value::Null)).unwrap_or(window);
                let model = self
                    .ask(("DOM.getBoxModel", "measure the element"), json!({ "objectId": element.object }))
                    .await;
                let nothing = || BrowserError::cannot(format!("{} takes no room on the page.", element.name));
                let area = model
                    .ok()
                    .and_then(|model| Area::around(model.pointer("/model/border")?))
                    .ok_or_else(nothing)?;
                let area = Area { x: area.x + window.x, y: area.y + window.y, ..area };
                (area, format!("{} alone", element.name))
            }
            None if whole => (page, "the whole page".to_owned()),
            None => (window, "the window".to_owned()),
        };
        let bounded =
            Area { width: clip.width.clamp(1.0, WIDEST), height: clip.height.clamp(1.0, HIGHEST), ..clip };
        let cut = if bounded.height < clip.height || bounded.width < clip.width {
            ", cut: it is larger"
        } else {
            ""
        };
        let beyond = of.is_some() || whole;
        let full = self.capture(bounded, 1.0, "png", beyond).await?;
        let scale = (SHOWN / bounded.width.max(bounded.height)).min(1.0);
        let small = self.capture(bounded, scale, "jpeg", beyond).await?;
        let place = format!(
            "{place}, {:.0} by {:.0} pixels{cut}; of {:.0} by {:.0} in all",
            bounded.width, bounded.height, page.width, page.height
        );
        Ok(Picture { full, small, place })
    }

    async fn capture(
        &self,
        area: Area,
        scale: f64,
        format: &str,
        beyond: bool,
    ) -> Result<Vec<u8>, BrowserError> {
        let mut asked = json!({
            "format": format, "captureBeyondViewport": beyond, "optimizeForSpeed": true,
            "clip": { "x": area.x, "y": area.y, "width": area.width, "height": area.height, "scale": scale },
        });
        if format == "jpeg" {
            asked["quality"] = 80.into();
        }
        let answer = self.ask_much(("Page.captureScreenshot", "take a picture"), asked, PICTURE).await?;
        let shot: Shot<'_> = answer.read("a picture")?;
        if shot.data.len() / 4 * 3 > MOST_PICTURE {
            return Err(BrowserError::TooLong("a picture"));
        }
        let bytes = STANDARD.decode(&*shot.data).map_err(|_| BrowserError::Nonsense("a picture"))?;
        let kind = Image::kind(&bytes).and_then(|kind| kind.strip_prefix("image/"));
        if kind == Some(format) { Ok(bytes) } else { Err(BrowserError::Nonsense("a picture")) }
    }
}

/// A picture as the browser gives it.
#[derive(Deserialize)]
struct Shot<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
}

/// A part of a page, in CSS pixels from its beginning.
#[derive(Debug, Clone, Copy)]
struct Area {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Area {
    fn of(metrics: &Value) -> Option<Self> {
        let number = |names: [&str; 2]| {
            let number = names.iter().find_map(|name| metrics.get(name))?.as_f64()?;
            number.is_finite().then_some(number)
        };
        Some(Self {
            x: number(["pageX", "x"])?,
            y: number(["pageY", "y"])?,
            width: number(["clientWidth", "width"])?,
            height: number(["clientHeight", "height"])?,
        })
    }

    /// The least that has these corners in it.
    fn around(quad: &Value) -> Option<Self> {
        let numbers: Vec<f64> = quad.as_array()?.iter().filter_map(Value::as_f64).collect();
        let (xs, ys): (Vec<_>, Vec<_>) = numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip();
        let least = |numbers: &[f64]| numbers.iter().copied().reduce(f64::min);
        let most = |numbers: &[f64]| numbers.iter().copied().reduce(f64::max);
        let (x, y) = (least(&xs)?, least(&ys)?);
        let (width, height) = (most(&xs)? - x, most(&ys)? - y);
        (width > 0.0 && height > 0.0).then_some(Self { x, y, width, height })
    }
}

fn request(request: &crate::seen::Request) -> String {
    let outcome = match (request.status, &request.failed) {
        (_, Some(why)) => format!("failed: {}", quoted(why, 100)),
        (Some(status), None) => status.to_string(),
        (None, None) => "no answer yet".to_owned(),
    };
    format!("{} {} ({}): {outcome}", word(&request.method), quoted(&request.url, 500), word(&request.kind))
}

/// A word of the protocol's, which is one.
fn word(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).take(20).collect()
}
