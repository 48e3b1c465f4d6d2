//! What no request may contain or be for: canaries, secrets that the door holds, and texts that look like secrets.
//!
//! A short text (a name, a head, a body up to [`SHORT`]) is looked through in every reading that the usual encodings give it.
//! A longer body is looked through as it passes, for the values as they are and as programs usually encode them.

use std::{fmt, sync::Arc};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use cofferdam_domain::{
    Secret,
    egress::{Canary, EgressPolicy, HostName, HostPattern, PathPattern, Refusal, RequestPath, SecretShapes},
    readings::{Thoroughness, readings},
};
use http::request::Parts;

use crate::{
    credential::{ReflectionPatterns, ReflectionScan},
    decide::Denied,
    http::JsonLogins,
    refuse::denied,
};

/// Bytes of a body that is read to its end before any of it is sent.
pub(crate) const SHORT: usize = 64 << 10;
/// Letters and digits of a planted canary that give it away: sixty bits of chance.
const PIECE: usize = 12;
/// More than this is not looked through on the spot.
const BRIEF: usize = 1 << 10;

/// Finds the form of a well-known kind of secret in a text; says what it is.
pub type SecretForm = fn(&[u8]) -> Option<String>;

/// What no request may contain or be for. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Watchlist(Arc<Contents>);

#[derive(Default)]
struct Contents {
    /// Values of canaries, and which canary each pattern is of.
    values: Option<AhoCorasick>,
    owners: Vec<Arc<str>>,
    /// The same for what passes.
    passing: Option<Arc<ReflectionPatterns>>,
    places: Vec<(Arc<str>, HostPattern, Vec<PathPattern>)>,
    form: Option<SecretForm>,
    /// Who looks through a long text: one at a time, so that a program inside cannot keep every processor of the host busy with it.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl fmt::Debug for Watchlist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchlist").field("patterns", &self.0.owners.len()).finish_non_exhaustive()
    }
}

impl Watchlist {
    /// For a policy, and for what the platform has planted: texts of random letters and digits.
    pub(crate) fn new(policy: &EgressPolicy, planted: &[String], form: Option<SecretForm>) -> Self {
        let mut contents = Contents {
            form: form.filter(|_| policy.watch.shapes == SecretShapes::Refuse),
            ..Contents::default()
        };
        let (mut patterns, mut secrets) = (Vec::new(), Vec::new());
        for text in planted {
            let letters = letters_of(text.as_bytes());
            secrets.push(Secret::new(text.as_str()));
            patterns.extend(letters.windows(PIECE).map(|piece| (Arc::from("planted"), piece.to_vec())));
        }
        for canary in &policy.canaries {
            let name: Arc<str> = canary.name().into();
            match canary {
                Canary::Value { value, .. } => {
                    secrets.push(Secret::new(value.as_str()));
                    let letters = letters_of(value.as_bytes());
                    patterns.push((name.clone(), value.as_bytes().to_vec()));
                    if letters.len() >= PIECE {
                        patterns.push((name, letters));
                    }
                }
                Canary::Place { host, paths, .. } => {
                    contents.places.push((name, host.clone(), paths.clone()));
                }
            }
        }
        if !patterns.is_empty() {
            let (owners, patterns): (Vec<_>, Vec<_>) = patterns.into_iter().unzip();
            let found = AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(patterns);
            // More patterns than a policy can have are needed for this to fail.
            contents.values = found.ok();
            contents.owners = owners;
            contents.passing = ReflectionPatterns::new(&secrets).map(Arc::new);
        }
        Self(Arc::new(contents))
    }

    /// Whether a host may be asked for, and a path there; without a path, whether its name may.
    pub(crate) fn place(&self, host: &HostName, path: Option<&RequestPath>) -> Result<(), Denied> {
        let touched = self.0.places.iter().find(|(_, pattern, paths)| {
            let here = paths.is_empty()
                || path.is_some_and(|path| paths.iter().any(|pattern| pattern.matches(path)));
            here && pattern.matches(host)
        });
        touched.map_or(Ok(()), |(name, ..)| {
            let reason = format!("nobody has a reason to ask for this: it is the canary {name:?}");
            Err(denied(Refusal::Canary, &reason))
        })
    }

    /// Whether a name may be asked for.
    pub(crate) fn name(&self, name: &str, held: &[Arc<ReflectionPatterns>]) -> Result<(), Denied> {
        if let Ok(host) = name.to_ascii_lowercase().parse() {
            self.place(&host, None)?;
        }
        self.text(name.as_bytes(), held)
    }

    /// Whether the head of a request may leave.
    pub(crate) async fn head(&self, parts: &Parts, held: Vec<Arc<ReflectionPatterns>>) -> Result<(), Denied> {
        if !self.looks(&held) {
            return Ok(());
        }
        let mut text = format!("{} {}", parts.method, parts.uri).into_bytes();
        for (name, value) in &parts.headers {
            text.push(b'\n');
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b' ');
            text.extend_from_slice(value.as_bytes());
        }
        self.whole(text, held).await
    }

    /// Whether a text that is all there is may leave. A long one is looked through where nobody waits for others.
    pub(crate) async fn whole(
        &self,
        text: Vec<u8>,
        held: Vec<Arc<ReflectionPatterns>>,
    ) -> Result<(), Denied> {
        if !self.looks(&held) {
            return Ok(());
        }
        if text.len() <= BRIEF {
            return self.text(&text, &held);
        }
        let turn = self.0.turn.clone().lock_owned().await;
        let this = self.clone();
        let looked = tokio::task::spawn_blocking(move || {
            // It is over with the work, also where nobody waits for that any more.
            let _turn = turn;
            this.text(&text, &held)
        });
        let looked = looked.await;
        looked.unwrap_or_else(|_| Err(denied(Refusal::Closed, "the request could not be looked through")))
    }

    /// Whether there is anything to look for in a text.
    pub(crate) fn looks(&self, held: &[Arc<ReflectionPatterns>]) -> bool {
        self.0.values.is_some() || self.0.form.is_some() || !held.is_empty()
    }

    fn text(&self, text: &[u8], held: &[Arc<ReflectionPatterns>]) -> Result<(), Denied> {
        if !self.looks(held) {
            return Ok(());
        }
        for reading in readings(text, Thoroughness::QUICK) {
            let found = self.0.values.as_ref().and_then(|values| values.find(&reading));
            if let Some(owner) = found.and_then(|found| self.0.owners.get(found.pattern().as_usize())) {
                return Err(canary(owner));
            }
            if held.iter().any(|patterns| patterns.are_in(&reading)) {
                return Err(secret());
            }
            if let Some(what) = self.0.form.and_then(|form| form(&reading)) {
                let reason = format!("the request contains what looks like a secret ({what})");
                return Err(denied(Refusal::Secret, &reason));
            }
        }
        Ok(())
    }

    /// What a body that is longer than [`SHORT`] is looked through for.
    pub(crate) fn passing(&self, held: Vec<Arc<ReflectionPatterns>>) -> Passing {
        let mut scans: Vec<(Refusal, ReflectionScan)> =
            held.into_iter().map(|patterns| (Refusal::Secret, ReflectionScan::new(patterns))).collect();
        let planted = self.0.passing.clone().map(|patterns| (Refusal::Canary, ReflectionScan::new(patterns)));
        scans.extend(planted);
        Passing { scans, logins: None }
    }
}

/// Looks through a body while it passes.
#[derive(Debug, Default)]
pub(crate) struct Passing {
    scans: Vec<(Refusal, ReflectionScan)>,
    logins: Option<JsonLogins>,
}

impl Passing {
    /// Also for names by which JSON logs in.
    pub(crate) fn with(self, logins: Option<JsonLogins>) -> Self {
        Self { logins, ..self }
    }

    /// Takes the next bytes; gives those that may be sent now.
    pub(crate) fn pass(&mut self, mut bytes: bytes::Bytes) -> Result<bytes::Bytes, Denied> {
        if let Some(logins) = &mut self.logins {
            logins.check(&bytes)?;
        }
        for (code, scan) in &mut self.scans {
            bytes = scan.pass(bytes).map_err(|_| found(*code))?;
        }
        Ok(bytes)
    }

    /// What is left at the end.
    pub(crate) fn finish(&mut self) -> Result<bytes::Bytes, Denied> {
        let mut left = bytes::Bytes::new();
        for (code, scan) in &mut self.scans {
            let passed = scan.pass(left).map_err(|_| found(*code))?;
            left = [passed, scan.finish()].concat().into();
        }
        Ok(left)
    }
}

fn found(code: Refusal) -> Denied {
    if code == Refusal::Canary { canary("a value of the policy or a planted one") } else { secret() }
}

fn canary(name: &str) -> Denied {
    let reason = format!("the request contains the canary {name:?}, which nobody has a reason to send");
    denied(Refusal::Canary, &reason)
}

fn secret() -> Denied {
    denied(Refusal::Secret, "the request contains the value of a credential, which only the door may send")
}

fn letters_of(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(u8::is_ascii_alphanumeric).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANTED: &str = "q7Zk2vXp9LmT4wRb8NcY";

    fn list(policy: &str) -> Watchlist {
        let policy: EgressPolicy = toml::from_str(policy).unwrap();
        Watchlist::new(
            &policy,
            &[PLANTED.to_owned()],
            Some(|text| text.starts_with(b"shape").then(|| "a shape".into())),
        )
    }

    fn code(result: Result<(), Denied>) -> Option<Refusal> {
        result.err().map(|denied| denied.code)
    }

    const POLICY: &str = "[[canaries]]\nname = \"old key\"\nvalue = \"hunter2-hunter2\"\n[[canaries]]\nname = \"billing\"\nhost = \"billing.example.com\"\n[[canaries]]\nname = \"admin\"\nhost = \"*.example.org\"\npaths = [\"/admin/**\"]\n";

    #[test]
    fn values_are_found_however_they_are_dressed_up() {
        let list = list(POLICY);
        let base64 = "aHVudGVyMi1odW50ZXIy";
        for text in [
            "GET /?k=hunter2-hunter2",
            "x HUNTER2-HUNTER2",
            "authorization Basic aHVudGVyMi1odW50ZXIy",
            "/a%68unter2-hunter2",
            "68756e746572322d68756e74657232",
            "hun.ter.2h.unt.er2",
            base64,
            // A part of what is planted is enough.
            "a.Zk2vXp9LmT4wRb8.example",
        ] {
            assert_eq!(code(list.text(text.as_bytes(), &[])), Some(Refusal::Canary), "{text}");
        }
        for text in ["hunter2", "q7Zk2vXp9Lm", "", "GET /a?b=c"] {
            assert_eq!(code(list.text(text.as_bytes(), &[])), None, "{text}");
        }
    }

    #[test]
    fn places_are_names_or_paths() {
        let list = list(POLICY);
        let place = |host: &str, path: Option<&str>| {
            let path: Option<RequestPath> = path.map(|path| path.parse().unwrap());
            code(list.place(&host.parse().unwrap(), path.as_ref())).is_some()
        };
        assert!(place("billing.example.com", None) && place("billing.example.com", Some("/x")));
        assert!(place("a.example.org", Some("/admin/x")) && !place("a.example.org", Some("/x")));
        assert!(!place("a.example.org", None) && !place("www.example.com", Some("/admin/x")));
        assert_eq!(code(list.name("Billing.example.com", &[])), Some(Refusal::Canary));
        assert_eq!(code(list.name("x.q7zk2vxp9lmt4wrb.example", &[])), Some(Refusal::Canary));
    }

    #[test]
    fn secrets_that_are_held_and_shapes_are_secrets() {
        let held = [Arc::new(ReflectionPatterns::new(&[Secret::new("s3cret-value-1")]).unwrap())];
        let quiet = list("");
        assert_eq!(code(quiet.text(b"k=s3cret-value-1", &held)), Some(Refusal::Secret));
        assert_eq!(code(quiet.text(b"shape", &[])), None, "nobody asked for shapes");
        assert_eq!(code(list("[watch]\nshapes = \"refuse\"").text(b"shape", &[])), Some(Refusal::Secret));
        assert!(!Watchlist::default().looks(&[]));
    }

    #[test]
    fn long_bodies_are_looked_through_as_they_pass() {
        let held = vec![Arc::new(ReflectionPatterns::new(&[Secret::new("s3cret-value-1")]).unwrap())];
        let list = list(POLICY);
        let send = |pieces: &[&'static [u8]]| {
            let mut passing = list.passing(held.clone());
            let mut sent = Vec::new();
            for piece in pieces {
                sent.extend_from_slice(&passing.pass(bytes::Bytes::from_static(piece))?);
            }
            sent.extend_from_slice(&passing.finish()?);
            Ok::<_, Denied>(sent)
        };
        assert_eq!(send(&[b"hunter2-", b"s3cret-", b"x"]).unwrap(), b"hunter2-s3cret-x");
        assert_eq!(send(&[b"xhunter2-", b"hunter2"]).unwrap_err().code, Refusal::Canary);
        assert_eq!(send(&[b"xs3cret-va", b"lue-1y"]).unwrap_err().code, Refusal::Secret);
    }
}
