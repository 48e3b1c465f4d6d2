//! The hostile program: what runs inside the sandbox and tries things.
//!
//! It is the product's own executable, given to the sandbox read-only, so it needs nothing installed there. It has no other purpose than to
//! say plainly what happened to each try; whether that is good or bad is judged outside, where it cannot lie about it.

mod ech;
mod h2;
mod plain;
pub(crate) mod syscalls;
mod web;

use std::{
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    time::Duration,
};

/// No try takes longer.
const PATIENCE: Duration = Duration::from_secs(8);
/// What is shown of an answer.
const SHOWN: usize = 2_000;

/// Carries out one try and says what happened, in a line.
///
/// # Errors
/// When the arguments make no sense.
pub fn probe(arguments: &[String]) -> Result<String, String> {
    let (verb, rest) = arguments.split_first().ok_or("name a probe")?;
    let options = Options::parse(rest)?;
    let outcome = match verb.as_str() {
        "http" => web::request(&options),
        "raw" => web::verbatim(&options),
        "h2" => h2::request(&options),
        "connect" => plain::connect(&options),
        "crowd" => plain::crowd(&options),
        "udp" => plain::datagram(&options),
        "dns" => plain::question(&options),
        other => return Err(format!("there is no probe {other:?}")),
    };
    Ok(match outcome {
        Ok(said) => said,
        Err(error) => format!("FAILED {error}"),
    })
}

/// What a try is about: one target, and settings before it.
#[derive(Debug, Default)]
struct Options {
    target: String,
    settings: Vec<(String, String)>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.strip_prefix("--") {
                Some(name) => {
                    let value = arguments.next().ok_or_else(|| format!("--{name} needs a value"))?;
                    options.settings.push((name.to_owned(), value.clone()));
                }
                None => options.target.clone_from(argument),
            }
        }
        Ok(options)
    }

    fn get(&self, name: &'static str) -> Option<&str> {
        self.all(name).next()
    }

    fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.settings.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What went wrong, in words.
type Outcome = Result<String, Box<dyn std::error::Error>>;

fn connect_to(target: &str) -> Result<TcpStream, Box<dyn std::error::Error>> {
    let addresses: Vec<SocketAddr> =
        target.to_socket_addrs().map_err(|error| format!("no address: {error}"))?.collect();
    let mut last = "no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = format!("no connection: {error}"),
        }
    }
    Err(last.into())
}

/// Bytes as one line.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// A text with `\r`, `\n`, `\t`, `\0`, `\\` and `\xNN` meaning what they do in programs.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let mut letters = after.chars();
        rest = match letters.next() {
            Some('x') => {
                let number = after.get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
                bytes.extend(number);
                after.get(3..).unwrap_or_default()
            }
            Some(letter) => {
                match letter {
                    'r' => bytes.push(b'\r'),
                    'n' => bytes.push(b'\n'),
                    't' => bytes.push(b'\t'),
                    '0' => bytes.push(0),
                    other => bytes.extend(other.to_string().into_bytes()),
                }
                letters.as_str()
            }
            None => "",
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_mean_what_they_do_in_programs() {
        assert_eq!(unescaped(r"a\r\n\x00\\b\t"), b"a\r\n\0\\b\t");
        assert_eq!(unescaped("plain"), b"plain");
        assert_eq!(unescaped(r"end\"), b"end");
    }

    #[test]
    fn options_stand_before_the_target() {
        let arguments = ["--header", "a: b", "--header", "c: d", "http://x/"].map(str::to_owned);
        let options = Options::parse(&arguments).unwrap();
        assert_eq!(options.all("header").collect::<Vec<_>>(), ["a: b", "c: d"]);
        assert_eq!((options.target.as_str(), options.get("body")), ("http://x/", None));
        assert!(Options::parse(&["--header".to_owned()]).is_err());
    }
}
