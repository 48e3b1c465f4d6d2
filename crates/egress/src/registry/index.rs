//! What the answers of registries' indexes say, read while they come: of what is in them only versions are kept.
//!
//! Each kind says it in its own way: npm in the packument's `time`, the simple API in `upload-time` (PEP 700), Go's proxy
//! in `.info`, newer cargo indexes in `pubtime`. What an artefact hashes to is in cargo's `cksum`, the simple API's `hashes` or
//! the fragment of a link, npm's `integrity`, and what checksum databases of Go modules have for `go.sum`.

use std::{
    collections::BTreeMap,
    fmt,
    io::{BufRead, BufReader, Read},
    marker::PhantomData,
};

use cofferdam_domain::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{Checksum, RegistryKind};

/// What one index says: each version, or for the simple API each file as the page links to it, with the time of its
/// publication and what the artefact hashes to.
pub type Listing = BTreeMap<String, Listed>;

/// What an index says of one version or file, as far as it does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Listed {
    /// When it was published.
    pub published: Option<Timestamp>,
    /// What the artefact hashes to.
    pub checksum: Option<Checksum>,
}

/// Versions or files of one index at most.
const MOST: usize = 50_000;
/// Bytes of a line about a crate's version at most; some have thousands of features.
const LONGEST_LINE: usize = 1 << 20;
/// Bytes at most of a page of links, which is read as a whole.
const LONGEST_PAGE: usize = 6 << 20;

/// What an index's answer says; `version` is the one that a Go proxy was asked about, and empty when that was a list.
///
/// # Errors
/// When it is not what such an index answers.
pub fn read(kind: RegistryKind, version: &str, body: impl Read) -> Result<Listing, &'static str> {
    let body = BufReader::new(body);
    match kind {
        RegistryKind::Cargo => read_crates(body),
        RegistryKind::Pip => read_files(body),
        RegistryKind::Npm => read_packument(body),
        RegistryKind::Go if version.is_empty() => read_list(body),
        RegistryKind::Go => read_info(version, body),
        RegistryKind::Apt | RegistryKind::Maven => Ok(Listing::new()),
    }
}

/// A time as in RFC 3339.
fn time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok().map(Timestamp)
}

/// What the lines that are not empty say.
fn each_line(
    mut body: impl BufRead,
    said: impl Fn(&[u8]) -> Option<(String, Listed)>,
) -> Result<Listing, &'static str> {
    const ODD: &str = "a line of it is not what it should be";
    let mut listing = Listing::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = body.by_ref().take(LONGEST_LINE as u64);
        let length = bounded.read_until(b'\n', &mut line).map_err(|_| "it broke off")?;
        if length == 0 {
            return Ok(listing);
        }
        if length == LONGEST_LINE || listing.len() == MOST {
            return Err("it is longer than any that is known");
        }
        if !line.trim_ascii().is_empty() {
            let (version, listed) = said(line.trim_ascii()).ok_or(ODD)?;
            listing.insert(version, listed);
        }
    }
}

fn read_crates(body: impl BufRead) -> Result<Listing, &'static str> {
    #[derive(Deserialize)]
    struct Line {
        vers: String,
        pubtime: Option<String>,
        cksum: Option<String>,
    }
    each_line(body, |line| {
        let line: Line = serde_json::from_slice(line).ok()?;
        let published = line.pubtime.as_deref().and_then(time);
        Some((line.vers, Listed { published, checksum: line.cksum.as_deref().and_then(Checksum::sha256) }))
    })
}

fn read_list(body: impl BufRead) -> Result<Listing, &'static str> {
    // Some proxies write the time of a version after it.
    each_line(body, |line| {
        let version = std::str::from_utf8(line).ok()?.split_ascii_whitespace().next()?;
        version.starts_with('v').then(|| (version.to_owned(), Listed::default()))
    })
}

fn read_files(mut body: impl BufRead) -> Result<Listing, &'static str> {
    #[derive(Deserialize)]
    struct Project {
        files: Few<File>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct File {
        url: String,
        upload_time: Option<String>,
        #[serde(default)]
        hashes: Hashes,
    }
    #[derive(Default, Deserialize)]
    struct Hashes {
        sha256: Option<String>,
    }
    const NEITHER: &str = "it is neither JSON nor a page of links";
    impl Entry for File {
        type Key = IgnoredAny;
        fn said(self, _: IgnoredAny) -> (String, Listed) {
            let target = self.url.split(['#', '?']).next().unwrap_or_default().to_owned();
            let published = self.upload_time.as_deref().and_then(time);
            (target, Listed { published, checksum: self.hashes.sha256.as_deref().and_then(Checksum::sha256) })
        }
    }
    if body.fill_buf().map_err(|_| "it broke off")?.trim_ascii_start().first() == Some(&b'{') {
        let project: Project = serde_json::from_reader(body).map_err(|_| NEITHER)?;
        return Ok(project.files.listing);
    }
    let mut page = String::new();
    let length = body.take(LONGEST_PAGE as u64).read_to_string(&mut page).map_err(|_| NEITHER)?;
    if length == LONGEST_PAGE {
        return Err("its page of links is longer than any that is known");
    }
    let links = super::page::links(&page);
    if links.is_empty() && !page.contains("<html") && !page.contains("<!DOCTYPE") {
        return Err(NEITHER);
    }
    let listed = |checksum| Listed { published: None, checksum };
    Ok(links.into_iter().map(|link| (link.target, listed(link.checksum))).collect())
}

fn read_packument(body: impl BufRead) -> Result<Listing, &'static str> {
    #[derive(Deserialize)]
    struct Packument {
        versions: Few<Manifest>,
        #[serde(default)]
        time: Few<Moment>,
    }
    let mut packument: Packument =
        serde_json::from_reader(body).map_err(|_| "it is not what npm's registries answer")?;
    for (version, listed) in &mut packument.versions.listing {
        listed.published = packument.time.listing.get(version).and_then(|time| time.published);
    }
    Ok(packument.versions.listing)
}

fn read_info(version: &str, body: impl Read) -> Result<Listing, &'static str> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Info {
        version: String,
        time: Option<String>,
    }
    let info: Info = serde_json::from_reader(body).map_err(|_| "it is not what Go's proxies answer")?;
    if info.version != version {
        return Err("it is about another version");
    }
    let published = info.time.as_deref().and_then(time);
    Ok(Listing::from([(info.version, Listed { published, checksum: None })]))
}

/// What a checksum database of Go modules says of one version: a record's number, its lines for `go.sum`, and its signed tree, which is for
/// clients to follow.
pub(super) fn read_sums(name: &str, version: &str, body: impl Read) -> Result<Listing, &'static str> {
    const ODD: &str = "it is not what checksum databases answer";
    let mut text = String::new();
    body.take(LONGEST_LINE as u64).read_to_string(&mut text).map_err(|_| ODD)?;
    let fields = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut sums = fields.filter_map(|fields| match fields[..] {
        [module, of, sum] if module == name && of == version => Checksum::go_module(sum),
        _ => None,
    });
    let checksum = Some(sums.next().ok_or(ODD)?);
    Ok(Listing::from([(version.to_owned(), Listed { published: None, checksum })]))
}

/// An object or a list of which each entry says something of a version, not more than [`MOST`] of them.
struct Few<E> {
    listing: Listing,
    of: PhantomData<E>,
}

trait Entry {
    /// What an entry of an object is named by.
    type Key;
    fn said(self, key: Self::Key) -> (String, Listed);
}

/// A version's manifest, of which only the tarball's checksum is read.
#[derive(Deserialize)]
struct Manifest {
    dist: Option<Dist>,
}

/// What a manifest says of its tarball, or whatever else stands in its place.
struct Dist(Option<Checksum>);

impl Entry for Manifest {
    type Key = String;
    fn said(self, version: String) -> (String, Listed) {
        (version, Listed { published: None, checksum: self.dist.and_then(|Dist(checksum)| checksum) })
    }
}

/// A time, or whatever else stands in its place.
struct Moment(Option<Timestamp>);

impl Entry for Moment {
    type Key = String;
    fn said(self, version: String) -> (String, Listed) {
        (version, Listed { published: self.0, checksum: None })
    }
}

impl<E> Default for Few<E> {
    fn default() -> Self {
        Self { listing: Listing::new(), of: PhantomData }
    }
}

impl<'de, E: Entry + Deserialize<'de>> Deserialize<'de> for Few<E>
where
    E::Key: Deserialize<'de> + Default,
{
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(FewVisitor(PhantomData))
    }
}

struct FewVisitor<E>(PhantomData<E>);

impl<'de, E: Entry + Deserialize<'de>> Visitor<'de> for FewVisitor<E>
where
    E::Key: Deserialize<'de> + Default,
{
    type Value = Few<E>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MOST} versions")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Few<E>, A::Error> {
        let mut few = Few::default();
        while let Some((key, entry)) = entries.next_entry::<E::Key, E>()? {
            few.add(entry.said(key))?;
        }
        Ok(few)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Few<E>, A::Error> {
        let mut few = Few::default();
        while let Some(entry) = entries.next_element::<E>()? {
            few.add(entry.said(E::Key::default()))?;
        }
        Ok(few)
    }
}

impl<E> Few<E> {
    fn add<F: serde::de::Error>(&mut self, said: (String, Listed)) -> Result<(), F> {
        if self.listing.len() == MOST {
            return Err(F::custom("too many versions"));
        }
        self.listing.insert(said.0, said.1);
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Said {
            Text(String),
            Else(IgnoredAny),
        }
        Ok(Self(match Said::deserialize(from).map_err(D::Error::custom)? {
            Said::Text(text) => time(&text),
            Said::Else(IgnoredAny) => None,
        }))
    }
}

impl<'de> Deserialize<'de> for Dist {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Said {
            Tarball { integrity: String },
            Else(IgnoredAny),
        }
        Ok(Self(match Said::deserialize(from).map_err(D::Error::custom)? {
            Said::Tarball { integrity } => Checksum::integrity(&integrity),
            Said::Else(IgnoredAny) => None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOMENT: Option<Timestamp> = Some(Timestamp(1_704_067_200_000));

    #[test]
    fn each_kind_says_it_in_its_own_way() {
        for (kind, version, body, key, expected) in [
            (
                RegistryKind::Cargo,
                "",
                "{\"vers\":\"1.0.0\",\"pubtime\":\"2024-01-01T00:00:00Z\"}\n{\"vers\":\"1.1.0\"}\n",
                "1.0.0",
                MOMENT,
            ),
            (RegistryKind::Cargo, "", "{\"vers\":\"1.0.0\"}", "1.0.0", None),
            (
                RegistryKind::Pip,
                "",
                r#"{"files":[{"filename":"a-1.tar.gz","url":"../../p/a-1.tar.gz","upload-time":"2024-01-01T00:00:00.000000Z","hashes":{}}]}"#,
                "../../p/a-1.tar.gz",
                MOMENT,
            ),
            (
                RegistryKind::Pip,
                "",
                r#"<!DOCTYPE html><a href="../../files/a-1.tar.gz#sha256=00">a-1.tar.gz</a>"#,
                "../../files/a-1.tar.gz",
                None,
            ),
            (
                RegistryKind::Npm,
                "",
                r#"{"versions":{"1.0.0":{"x":[1]}},"time":{"created":"x","unpublished":{},"1.0.0":"2024-01-01T00:00:00.000Z"}}"#,
                "1.0.0",
                MOMENT,
            ),
            (
                RegistryKind::Go,
                "v1.0.0",
                r#"{"Version":"v1.0.0","Time":"2024-01-01T00:00:00Z"}"#,
                "v1.0.0",
                MOMENT,
            ),
            (RegistryKind::Go, "", "v1.0.0\nv1.1.0\n", "v1.1.0", None),
        ] {
            let listing =
                read(kind, version, body.as_bytes()).unwrap_or_else(|reason| panic!("{kind}: {reason}"));
            assert_eq!(
                listing.get(key).map(|listed| listed.published),
                Some(expected),
                "{kind}: {listing:?}"
            );
        }
    }

    #[test]
    fn what_artefacts_hash_to_is_read() {
        let digits = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let integrity =
            "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==";
        for (kind, body) in [
            (RegistryKind::Cargo, format!("{{\"vers\":\"1.0.0\",\"cksum\":\"{digits}\"}}")),
            (
                RegistryKind::Pip,
                format!("{{\"files\":[{{\"url\":\"a\",\"hashes\":{{\"sha256\":\"{digits}\"}}}}]}}"),
            ),
            (RegistryKind::Pip, format!("<html><a href=\"a#sha256={digits}\">a</a>")),
            (
                RegistryKind::Npm,
                format!(
                    "{{\"versions\":{{\"1.0.0\":{{\"dist\":{{\"tarball\":\"x\",\"integrity\":\"{integrity}\"}}}}}}}}"
                ),
            ),
        ] {
            let listing = read(kind, "", body.as_bytes()).unwrap();
            let checksum = listing.values().next().and_then(|listed| listed.checksum).expect("a checksum");
            assert!(checksum.is_of(&b"abc"[..]).unwrap(), "{kind}");
        }
        let odd = r#"{"versions":{"1.0.0":{"dist":7},"1.1.0":{"dist":{"shasum":"x"}}}}"#;
        assert!(
            read(RegistryKind::Npm, "", odd.as_bytes())
                .unwrap()
                .values()
                .all(|listed| listed.checksum.is_none())
        );
    }

    #[test]
    fn what_is_no_index_is_said_to_be_none() {
        for kind in [RegistryKind::Cargo, RegistryKind::Pip, RegistryKind::Npm, RegistryKind::Go] {
            assert!(read(kind, "v1.0.0", &b"\xff"[..]).is_err(), "{kind}");
            assert!(read(kind, "v1.0.0", &b"busy, come back later"[..]).is_err(), "{kind}");
        }
        assert!(read(RegistryKind::Go, "v1.0.0", &br#"{"Version":"v1.0.1"}"#[..]).is_err());
    }

    #[test]
    fn what_an_index_has_too_much_of_is_not_kept() {
        let line = |number: usize| format!("{{\"vers\":\"1.0.{number}\"}}\n");
        let many: String = (0..=MOST).map(line).collect();
        assert!(read(RegistryKind::Cargo, "", many.as_bytes()).is_err());
        let versions: Vec<String> = (0..=MOST).map(|number| format!("\"{number}\":{{}}")).collect();
        let many = format!("{{\"versions\":{{{}}}}}", versions.join(","));
        assert!(read(RegistryKind::Npm, "", many.as_bytes()).is_err());
        let long = format!("{{\"vers\":\"{}\"}}", "1".repeat(LONGEST_LINE));
        assert!(read(RegistryKind::Cargo, "", long.as_bytes()).is_err());
        let page = "<html>".to_owned() + &" ".repeat(LONGEST_PAGE);
        assert!(read(RegistryKind::Pip, "", page.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_fall_over(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            for kind in RegistryKind::ALL {
                drop(read(kind, "v1", body.as_slice()));
            }
        }
    }
}
