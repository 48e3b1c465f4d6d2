//! Addresses of resources, as a model writes them: data for their server, and for nobody else. What may be read is said by rules over their text
//! (`prefix`, `glob`), so nothing passes that a server could take for another place than the text says.

/// Bytes of one.
const MAX_URI: usize = 2_000;

/// Sees that a text is an address of a resource that says plainly where it is.
///
/// # Errors
/// What is wrong with it, in words for a model.
pub fn plain_uri(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > MAX_URI {
        return Err(format!("an address of a resource has 1 to {MAX_URI} bytes"));
    }
    let scheme = text.split_once(':').map(|(scheme, _)| scheme).unwrap_or_default();
    let begins = scheme.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    if !begins || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
        return Err("an address of a resource begins with its scheme, such as file: or docs:".to_owned());
    }
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    if let Some(other) = text.chars().find(|character| !u8::try_from(*character).is_ok_and(known)) {
        return Err(format!("{other:?} stands in no address of a resource: it is to be written as %XX"));
    }
    for piece in text.split('%').skip(1) {
        let digits = piece.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
            return Err("two hexadecimal digits follow each % of an address".to_owned());
        };
        if byte < 0x20 || byte == 0x7f || b"./\\%".contains(&byte) {
            return Err(format!(
                "%{} of an address hides what may not be hidden: write it as it is",
                piece.get(..2).unwrap_or_default()
            ));
        }
    }
    let end = text.find(['?', '#']).unwrap_or(text.len());
    if text.get(..end).unwrap_or_default().split(['/', ':']).any(|part| part == "." || part == "..") {
        return Err("an address of a resource has no . or .. between its slashes".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plain_is_taken() {
        for good in [
            "demo://resource/static/document/features.md",
            "file:///workspace/a%20b.txt",
            "docs:page?id=7&v=1.2#top",
            "memo://insights",
            "git+ssh://[::1]:22/a..b/...",
        ] {
            assert_eq!(plain_uri(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not() {
        for (bad, wanted) in [
            ("", "bytes"),
            (&*format!("a:{}", "x".repeat(MAX_URI)), "bytes"),
            ("page", "scheme"),
            ("/etc/passwd", "scheme"),
            ("1a:x", "scheme"),
            ("a b:x", "scheme"),
            ("a:x y", "%XX"),
            ("a:x\ny", "%XX"),
            ("a:\u{202e}x", "%XX"),
            ("a:\\x", "%XX"),
            ("a:\"x", "%XX"),
            ("a:x%2", "hexadecimal"),
            ("a:x%+1", "hexadecimal"),
            ("a:%2e%2e/x", "hides"),
            ("a:b%2Fc", "hides"),
            ("a:b%5cc", "hides"),
            ("a:b%00", "hides"),
            ("a:b%252e", "hides"),
            ("file:///docs/../etc/passwd", ".."),
            ("file:///docs/./x", ".."),
            ("docs:../x", ".."),
        ] {
            let why = plain_uri(bad).unwrap_err();
            assert!(why.contains(wanted), "{bad}: {why}");
        }
    }
}
