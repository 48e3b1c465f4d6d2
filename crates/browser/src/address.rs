//! Where a browser may be sent.

use std::{fmt, str::FromStr};

use url::Url;

use crate::quoted;

/// Bytes of an address.
const MOST: usize = 8 << 10;

/// An address of a page: `http` or `https`, or the empty page.
///
/// Anything else shows no page of a server: files and settings of the browser, its own tools, sources, or a script in the place of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(Url);

/// A text that is no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// It has another scheme.
    #[error("{0}: addresses are not opened in the browser, only http: and https: are. {1}")]
    Scheme(String, &'static str),
    /// It is no address.
    #[error("{0} is no address; write it out, like http://localhost:8000/ or https://example.com/path")]
    NoAddress(String),
    /// It has a name or password in it.
    #[error("the address has a user name or password in it; leave them out")]
    Credentials,
    /// It is too long.
    #[error("the address is longer than {MOST} bytes")]
    TooLong,
}

impl Address {
    /// The empty page.
    #[must_use]
    pub fn blank() -> Option<Self> {
        Url::parse("about:blank").ok().map(Self)
    }

    /// The address as it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether a page that is there may stay: a page can go elsewhere by itself.
    #[must_use]
    pub fn may_be_shown(text: &str) -> bool {
        text.is_empty()
            || text.starts_with("chrome-error://")
            || text.starts_with("blob:http")
            || text.starts_with("data:")
            || text.starts_with("about:srcdoc")
            || text.parse::<Self>().is_ok()
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let text = text.trim();
        if text.len() > MOST {
            return Err(InvalidAddress::TooLong);
        }
        let no_address = || InvalidAddress::NoAddress(quoted(text, 200));
        let url = match Url::parse(text) {
            Ok(url) => url,
            // What people and models write for a server of their own.
            Err(_) if !text.contains("://") && !text.contains(char::is_whitespace) => {
                Url::parse(&format!("http://{text}")).map_err(|_| no_address())?
            }
            Err(_) => return Err(no_address()),
        };
        let url = match (url.scheme(), url.host_str()) {
            // `localhost:8000` is a scheme and a path to the letter.
            ("localhost", None) => Url::parse(&format!("http://{text}")).map_err(|_| no_address())?,
            _ => url,
        };
        match url.scheme() {
            "http" | "https" if url.has_host() => {}
            "about" if url.path() == "blank" => return Ok(Self(url)),
            "file" => {
                let instead = "Read files with `read`, or serve them: python3 -m http.server 8000";
                return Err(InvalidAddress::Scheme("file".to_owned(), instead));
            }
            "javascript" => {
                let instead = "Run a script on a page with `browser_evaluate`.";
                return Err(InvalidAddress::Scheme("javascript".to_owned(), instead));
            }
            other => return Err(InvalidAddress::Scheme(quoted(other, 40), "")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidAddress::Credentials);
        }
        Ok(Self(url))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_servers_and_nothing_else() {
        for (text, address) in [
            ("http://localhost:8000", "http://localhost:8000/"),
            ("localhost:8000/a", "http://localhost:8000/a"),
            ("127.0.0.1:8000", "http://127.0.0.1:8000/"),
            ("example.com", "http://example.com/"),
            (" https://example.com/a?b#c ", "https://example.com/a?b#c"),
            ("about:blank", "about:blank"),
        ] {
            assert_eq!(text.parse::<Address>().map(|address| address.to_string()), Ok(address.to_owned()));
        }
        for text in [
            "file:///etc/passwd",
            "FILE:///etc/passwd",
            "chrome://crash",
            "devtools://devtools/bundled/inspector.html",
            "view-source:https://example.com",
            "javascript:alert(1)",
            "data:text/html,x",
            "blob:https://example.com/1",
            "about:version",
            "chrome-extension://x/y",
            "http://",
            "https://ann:secret@example.com/",
            "two words",
            "",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        assert!("file:///x".parse::<Address>().unwrap_err().to_string().contains("`read`"));
    }

    #[test]
    fn what_a_page_has_gone_to_by_itself() {
        for fine in
            ["https://example.com/", "about:blank", "chrome-error://chromewebdata/", "blob:http://a/b"]
        {
            assert!(Address::may_be_shown(fine), "{fine}");
        }
        for bad in ["file:///etc/passwd", "chrome://version", "devtools://x", "view-source:http://a/"] {
            assert!(!Address::may_be_shown(bad), "{bad}");
        }
    }
}
