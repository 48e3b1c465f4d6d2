//! Pointers: what stands in a repository in the place of a content that Git LFS keeps
//! (<https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>).
//!
//! Only the one form that git-lfs writes is taken: version, object, size, each on its line. A pointer with extensions, which stands for
//! something that was made of the content, or of an older version, is a file like any other.

use std::fmt;

use cofferdam_domain::Digest;

const VERSION: &str = "version https://git-lfs.github.com/spec/v1\n";

/// A pointer. Two that are equal are the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LfsPointer {
    /// The SHA-256 of the content.
    pub content: Digest,
    /// Its length in bytes.
    pub size: u64,
}

impl LfsPointer {
    /// "Pointer files must be less than 1024 bytes in size."
    pub const LIMIT: u64 = 1024;
    /// No pointer is shorter.
    pub(crate) const SHORTEST: u64 = VERSION.len() as u64;

    /// The pointer that a file is, if it is one.
    #[must_use]
    pub fn parse(file: &[u8]) -> Option<Self> {
        if file.len() as u64 >= Self::LIMIT {
            return None;
        }
        let rest = std::str::from_utf8(file).ok()?.strip_prefix(VERSION)?;
        let (content, rest) = rest.strip_prefix("oid ")?.split_once('\n')?;
        let size = rest.strip_prefix("size ")?.strip_suffix('\n')?;
        let plain = size.bytes().all(|byte| byte.is_ascii_digit()) && (size == "0" || !size.starts_with('0'));
        let size = size.parse().ok().filter(|_| plain)?;
        Some(Self { content: content.parse().ok()?, size })
    }
}

impl fmt::Display for LfsPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}oid {}\nsize {}\n", self.content, self.size)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

    #[test]
    fn the_example_of_the_specification() {
        let pointer = LfsPointer::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!((pointer.size, pointer.content.short().as_str()), (12345, "4d7a214614ab"));
        assert_eq!(pointer.to_string(), EXAMPLE);
    }

    #[test]
    fn what_is_only_like_one() {
        for (what, to) in [
            ("spec/v1\n", "spec/v2\n"),
            ("https://git-lfs.github.com/spec/v1", "https://hawser.github.com/spec/v1"),
            (
                "\noid ",
                "\next-0-foo sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\noid ",
            ),
            ("sha256:", "sha512:"),
            ("4d7a", "4D7A"),
            ("4d7a", "4d7"),
            ("size 12345", "size 012345"),
            ("size 12345", "size +12345"),
            ("size 12345", "size -1"),
            ("size 12345", "size 99999999999999999999"),
            ("size 12345\n", "size 12345"),
            ("size 12345\n", "size 12345\r\n"),
            ("size 12345\n", "size 12345\n\n"),
            ("size 12345\n", "size 12345\nmore\n"),
            ("version ", " version "),
        ] {
            let text = EXAMPLE.replacen(what, to, 1);
            assert_ne!(text, EXAMPLE);
            assert_eq!(LfsPointer::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(LfsPointer::parse(format!("{EXAMPLE}{}", "\n".repeat(1024)).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn a_pointer_is_its_text(bytes in any::<[u8; 32]>(), size in any::<u64>(), cut in 0_usize..150, byte in any::<u8>()) {
            let pointer = LfsPointer { content: Digest::from_bytes(bytes), size };
            let mut text = pointer.to_string().into_bytes();
            prop_assert_eq!(LfsPointer::parse(&text), Some(pointer));
            let place = cut % text.len();
            text[place] = byte;
            if let Some(other) = LfsPointer::parse(&text) {
                prop_assert_eq!(other.to_string().into_bytes(), text);
            }
        }
    }
}
