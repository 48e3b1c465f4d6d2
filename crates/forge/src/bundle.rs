//! The header of a git bundle, parsed strictly (gitformat-bundle(5)): a signature, capabilities,
//! prerequisites, references, an empty line, a pack.
//!
//! Git's own reading of it is not used: it would accept several references, a filter, and names that we have
//! no use for.

use crate::ObjectId;

/// The only reference that a bundle may have; [`crate::collect_script`] writes it.
const REFERENCE: &str = "refs/heads/cofferdam";
const LONGEST_HEADER: usize = 64 << 10;

/// Why bytes are not a bundle that is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a bundle as a sandbox writes it: {0}")]
pub struct MalformedBundle(pub(crate) &'static str);

/// What a bundle's header says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) head: ObjectId,
    /// Objects in the pack, as its own header claims. Git holds the pack to it.
    pub(crate) objects: u32,
    /// Where the pack starts.
    pub(crate) pack: usize,
}

impl Header {
    pub(crate) fn parse(bundle: &[u8]) -> Result<Self, MalformedBundle> {
        let (mut head, mut place) = (None, 0);
        let mut first = true;
        loop {
            let window = &bundle[place..bundle.len().min(LONGEST_HEADER)];
            let end = window
                .iter()
                .position(|byte| *byte == b'\n')
                .ok_or(MalformedBundle("its header does not end"))?;
            let line = &window[..end];
            place += end + 1;
            if first {
                if line != b"# v2 git bundle" && line != b"# v3 git bundle" {
                    return Err(MalformedBundle("its first line is not that of a bundle"));
                }
                first = false;
            } else if line.is_empty() {
                break;
            } else if let Some(capability) = line.strip_prefix(b"@") {
                if capability != b"object-format=sha1" && capability != b"object-format=sha256" {
                    return Err(MalformedBundle("it asks for a capability that is not taken"));
                }
            } else if line.starts_with(b"-") {
                // A prerequisite. Whether all is there that the head needs is found out by walking, not by
                // believing this list.
            } else {
                let name = parse_reference(line)?;
                if head.replace(name).is_some() {
                    return Err(MalformedBundle("it has more than one reference"));
                }
            }
        }
        let head = head.ok_or(MalformedBundle("it has no reference"))?;
        let objects = parse_pack(&bundle[place..])?;
        Ok(Self { head, objects, pack: place })
    }
}

fn parse_reference(line: &[u8]) -> Result<ObjectId, MalformedBundle> {
    let line = std::str::from_utf8(line).map_err(|_| MalformedBundle("a reference is not text"))?;
    let (id, name) = line.split_once(' ').ok_or(MalformedBundle("a reference has no name"))?;
    if name != REFERENCE {
        return Err(MalformedBundle("it has a reference other than the session's"));
    }
    id.parse().map_err(|_| MalformedBundle("a reference has no object"))
}

/// The header of a pack: `PACK`, version 2, the number of objects (gitformat-pack(5)).
fn parse_pack(pack: &[u8]) -> Result<u32, MalformedBundle> {
    let header: &[u8; 12] = pack.first_chunk().ok_or(MalformedBundle("it has no pack"))?;
    let [b'P', b'A', b'C', b'K', 0, 0, 0, 2, a, b, c, d] = *header else {
        return Err(MalformedBundle("its pack has not the form of version 2"));
    };
    Ok(u32::from_be_bytes([a, b, c, d]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "7078288f917578a87e409fcda6a95521405f248e";

    fn bundle(lines: &str) -> Vec<u8> {
        let mut bytes = lines.as_bytes().to_vec();
        bytes.extend_from_slice(b"\nPACK\0\0\0\x02\0\0\0\x07rest");
        bytes
    }

    #[test]
    fn what_the_script_writes() {
        let bytes = bundle(&format!("# v2 git bundle\n-{ID} base\n{ID} refs/heads/cofferdam\n"));
        let header = Header::parse(&bytes).unwrap();
        assert_eq!((header.head.as_str(), header.objects), (ID, 7));
        assert!(bytes[header.pack..].starts_with(b"PACK"));
    }

    #[test]
    fn what_is_refused() {
        let reference = format!("{ID} refs/heads/cofferdam\n");
        for (lines, why) in [
            (String::new(), "first line"),
            (format!("# v4 git bundle\n{reference}"), "first line"),
            ("# v2 git bundle\n".to_owned(), "no reference"),
            (format!("# v2 git bundle\n{reference}{reference}"), "more than one"),
            (format!("# v2 git bundle\n{ID} refs/heads/main\n"), "other than"),
            (format!("# v2 git bundle\n{ID} HEAD\n"), "other than"),
            (format!("# v2 git bundle\n{ID}\n"), "no name"),
            ("# v2 git bundle\nHEAD refs/heads/cofferdam\n".to_owned(), "no object"),
            (format!("# v3 git bundle\n@filter=blob:none\n{reference}"), "capability"),
        ] {
            let error = Header::parse(&bundle(&lines)).unwrap_err().to_string();
            assert!(error.contains(why), "{lines:?}: {error}");
        }
        let header = format!("# v2 git bundle\n{reference}\n");
        assert!(Header::parse(format!("{header}PACK\0\0\0\x03\0\0\0\0").as_bytes()).is_err());
        assert!(Header::parse(header.as_bytes()).is_err());
        assert!(Header::parse(&vec![b'-'; 1 << 20]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in "(# v2 git bundle\n)?([-@a-f0-9 /\n]|refs/heads/cofferdam|PACK){0,40}") {
            if let Ok(header) = Header::parse(bytes.as_bytes()) {
                prop_assert!(bytes.as_bytes()[header.pack..].starts_with(b"PACK"));
            }
        }
    }
}
