//! Secrets that stand in settings of the host, which a copy for a sandbox must not have.
//!
//! User information is taken out of URLs, so that sources of packages stay usable: the door adds what belongs to them. A
//! line that gives a password, a token or their like is taken out, and where that would break what is around it, the
//! whole content.

/// The end of what secrets, and names that belong to them, are called in settings.
const WORDS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "username",
    "login",
    "token",
    "secret",
    "credential",
    "credentials",
    "apikey",
    "api_key",
    "authorization",
];

/// Content without its secrets. What is no text is as it was.
pub(super) fn left_out(content: Vec<u8>) -> Vec<u8> {
    if content.contains(&0) {
        return content;
    }
    let mut kept = Vec::with_capacity(content.len());
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if !gives_a_secret(line) {
            kept.extend(without_users(line));
        } else if line.iter().any(|byte| b"{}\\".contains(byte)) {
            return Vec::new();
        }
    }
    kept
}

/// Whether something is set that is called like a secret: `password = x`, `Proxy::Password "x"`, `?token=x`.
fn gives_a_secret(line: &[u8]) -> bool {
    let line = line.to_ascii_lowercase();
    let mut rest = line.as_slice();
    while let Some(at) = rest.iter().position(|byte| is_name(*byte)) {
        let (_, from) = rest.split_at(at);
        let end = from.iter().position(|byte| !is_name(*byte)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        if WORDS.iter().any(|end| word.ends_with(end.as_bytes())) && is_given(after) {
            return true;
        }
        rest = after;
    }
    false
}

/// Whether a value stands after a name.
fn is_given(after: &[u8]) -> bool {
    match after.trim_ascii().split_first() {
        // Of a name in several parts it is only the last that counts.
        Some((b':', value)) => !value.is_empty() && !value.starts_with(b":"),
        Some((b'=', value)) => !value.is_empty(),
        Some((b'"' | b'\'', _)) => true,
        _ => false,
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-".contains(&byte)
}

/// A line in whose URLs nobody is named (RFC 3986, section 3.2.1).
fn without_users(line: &[u8]) -> Vec<u8> {
    const SCHEME: &[u8] = b"://";
    let mut kept = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.windows(SCHEME.len()).position(|bytes| bytes == SCHEME) {
        let (before, after) = rest.split_at(at + SCHEME.len());
        kept.extend(before);
        let is_end = |byte: &u8| byte.is_ascii_whitespace() || b"\"'<>,;".contains(byte);
        let whole = after.get(..after.iter().position(is_end).unwrap_or(after.len())).unwrap_or_default();
        let end = whole.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(whole.len());
        let authority = whole.get(..end).unwrap_or_default();
        // A slash in a password is wrong, but happens: what is before it is no port then.
        let port = authority.rsplit(|byte| *byte == b':').next().filter(|port| port.len() < authority.len());
        let odd = port.is_some_and(|port| !port.iter().all(u8::is_ascii_digit)) && !authority.contains(&b']');
        let in_question = if odd { whole } else { authority };
        let user = in_question.iter().rposition(|byte| *byte == b'@').map_or(0, |at| at + 1);
        rest = after.get(user..).unwrap_or_default();
    }
    kept.extend(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(text: &str) -> String {
        String::from_utf8(left_out(text.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn users_of_urls_are_taken_out() {
        for (text, expected) in [
            ("deb https://me:CANARY@a.example/debian x main\n", "deb https://a.example/debian x main\n"),
            (
                "deb [signed-by=/k] mirror+http://CANARY@a.example:80/d x\n",
                "deb [signed-by=/k] mirror+http://a.example:80/d x\n",
            ),
            (
                "Acquire::http::Proxy \"http://u:CANARY@p.example:3128\";\n",
                "Acquire::http::Proxy \"http://p.example:3128\";\n",
            ),
            (
                "baseurl=https://u:CAN/ARY@a.example/x https://b.example/\n",
                "baseurl=https://a.example/x https://b.example/\n",
            ),
            ("# http://u:CANARY@a.example\n", "# http://a.example\n"),
            ("http://u:CAN@ARY@a.example", "http://a.example"),
            (
                "http://[::1]:80/@x https://a.example/@scope/x\n",
                "http://[::1]:80/@x https://a.example/@scope/x\n",
            ),
        ] {
            assert_eq!(left(text), expected);
        }
    }

    #[test]
    fn lines_with_secrets_are_taken_out() {
        for text in [
            "password=CANARY\n",
            "Proxy_Password = CANARY\n",
            "username: CANARY\n",
            "Acquire::https::proxy::Password \"CANARY\";\n",
            "#api_key=CANARY\n",
            "baseurl=https://a.example/?token=CANARY\n",
            "Authorization: Bearer CANARY\n",
        ] {
            assert_eq!(left(&format!("one=1\n{text}two=2\n")), "one=1\ntwo=2\n", "{text}");
        }
        assert_eq!(left("Acquire { http { Password \"CANARY\"; }\n}\n"), "");
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "Name: passwords\nReject-Type: password\nAccept-Type: password\n",
            "PASS_MAX_DAYS\t99999\nLOGIN_RETRIES\t5\n",
            "-----BEGIN CERTIFICATE-----\nMIIB://x\n",
            "APT::Install-Recommends \"false\";\nDPkg::Post-Invoke { \"rm -f x\"; };\n",
            "no newline at the end",
            "",
        ] {
            assert_eq!(left(text), text);
        }
        let binary = b"\0password=x".to_vec();
        assert_eq!(left_out(binary.clone()), binary);
    }
}
