//! What is a path, what is none, and what patterns match.

use proptest::prelude::*;

use super::*;

fn matches(pattern: &str, path: &str) -> bool {
    pattern.parse::<PathPattern>().unwrap().matches(&path.parse().unwrap())
}

fn covers(one: &str, two: &str) -> bool {
    one.parse::<PathPattern>().unwrap().covers(&two.parse().unwrap())
}

#[test]
fn usual_paths_are_taken_as_they_are() {
    for path in [
        "/",
        "/a",
        "/a/",
        "/repos/a/b.git/info/refs",
        "/@scope%2fname/-/name-1.0.0.tgz",
        "/pool/main/g/gcc-12/libstdc%2b%2b6_12.2.0-14%7ebpo1_amd64.deb",
        "/a:b/c@d/e=f;v=1/(x)!$&'*,",
        "/%E6%BC%A2",
        "/a..b/..c/d..",
        "/..%20a",
        "/.well-known/x",
    ] {
        assert_eq!(path.parse::<RequestPath>().map(|path| path.to_string()).as_deref(), Ok(path));
    }
}

#[test]
fn what_servers_read_differently_is_refused() {
    use InvalidPath::{Character, Encoding, Length, NoSlash, Segment};
    for (text, wanted) in [
        ("", NoSlash),
        ("a", NoSlash),
        ("*", NoSlash),
        ("http://evil.test/", NoSlash),
        ("//evil.test/", Segment),
        ("/a//b", Segment),
        ("/a/./b", Segment),
        ("/a/../b", Segment),
        ("/..", Segment),
        ("/.", Segment),
        ("/a/..;/b", Segment),
        ("/a/.;x=1/b", Segment),
        ("/;x/b", Segment),
        ("/a/..%3b/b", Segment),
        ("/a/..%2fb", Segment),
        ("/a/..%20/b", Segment),
        ("/a/%20..", Segment),
        ("/a/.%20.%20/b", Segment),
        ("/a/..%c2%a0/b", Segment),
        ("/a/..%20;x/b", Segment),
        ("/a/x%2f..%20", Segment),
        ("/a/.../b", Segment),
        ("/a/%20/b", Segment),
        ("/a/b%2F..", Segment),
        ("/a/..%5cb", Segment),
        ("/a/%2e%2e/b", Encoding),
        ("/a/%2E/b", Encoding),
        ("/a/.%2e/b", Encoding),
        ("/a%252fb", Encoding),
        ("/%61dmin", Encoding),
        ("/a%00b", Encoding),
        ("/a%0d%0ab", Encoding),
        ("/a%7f", Encoding),
        ("/a%2", Encoding),
        ("/a%", Encoding),
        ("/a%zz", Encoding),
        ("/a%u002f", Encoding),
        ("/a%+2", Encoding),
        ("/a%c0%af", Encoding),
        ("/a%e0%80%af", Encoding),
        ("/%ff", Encoding),
        ("/a\\b", Character),
        ("/a b", Character),
        ("/a\tb", Character),
        ("/a\r\nb", Character),
        ("/a\0", Character),
        ("/a?b", Character),
        ("/a#b", Character),
        ("/é", Character),
        ("/a|b", Character),
        ("/<a>", Character),
    ] {
        assert_eq!(text.parse::<RequestPath>(), Err(wanted), "{text:?}");
        if !text.contains('*') {
            assert_eq!(text.parse::<PathPattern>(), Err(wanted), "{text:?}");
        }
    }
    assert!(format!("/{}", "a".repeat(4095)).parse::<RequestPath>().is_ok());
    assert_eq!(format!("/{}", "a".repeat(4096)).parse::<RequestPath>(), Err(Length));
}

#[test]
fn stars_stay_in_their_segment() {
    for (pattern, path, wanted) in [
        ("/a", "/a", true),
        ("/a", "/a/", false),
        ("/a/", "/a/", true),
        ("/a/*", "/a/b", true),
        ("/a/*", "/a/", false),
        ("/a/*", "/a", false),
        ("/a/*", "/a/b/c", false),
        ("/a/*", "/a/b%2fc", false),
        ("/a/*", "/a/b%5Cc", false),
        ("/a/*", "/a/b;c", false),
        ("/a/*", "/a/b%3Fc", false),
        ("/a/*2fc", "/a/b%2fc", false),
        ("/a/*%2fc", "/a/b%2Fc", true),
        ("/@*%2f*", "/@scope%2fname", true),
        ("/@*%2f*", "/@scope%2fname%2fx", false),
        ("/a*b*c", "/abbc", true),
        ("/a*b*c", "/ac", false),
        ("/*.tar.gz", "/x.tar.gz.tar.gz", true),
        ("/*-*-*.whl", "/a-b-c-d.whl", true),
        ("/a/**", "/a", true),
        ("/a/**", "/a/", true),
        ("/a/**", "/a/b/c", true),
        ("/a/**", "/ab", false),
        ("/a/**", "/a/b/c%2fd", false),
        ("/a/**", "/a/b;c", false),
        ("/**", "/", true),
        ("/**", "/api/group%2Fproject;x", true),
    ] {
        assert_eq!(matches(pattern, path), wanted, "{pattern} {path}");
    }
    for text in ["/**/a", "/a**", "/a/**b", "/a/***", "/a**/b"] {
        assert_eq!(text.parse::<PathPattern>(), Err(InvalidPath::Star), "{text}");
    }
}

#[test]
fn covering() {
    assert!(covers("/**", "/a/b%2fc") && covers("/a/**", "/a/*/c") && covers("/a/*", "/a/b*"));
    assert!(covers("/a/**", "/a") && covers("/a/**", "/a/b/**") && covers("/*-*", "/a-*"));
    assert!(!covers("/a/*", "/a/**") && !covers("/a/**", "/**") && !covers("/a/b*", "/a/*"));
    assert!(!covers("/a/**", "/a/b%2fc") && !covers("/a/*", "/a/") && !covers("/*", "/**"));
}

#[test]
fn the_pattern_of_one_path_is_about_that_path() {
    let path: RequestPath = "/a/b%2fc;d".parse().unwrap();
    assert!(PathPattern::exactly(&path).unwrap().matches(&path));
    assert_eq!(PathPattern::exactly(&"/a*".parse().unwrap()), None);
}

/// Every way in which a server might see the path, as segments.
fn readings(path: &str) -> Vec<Vec<String>> {
    let once = percent_decoded(path);
    let twice = percent_decoded(&once);
    let mut readings = Vec::new();
    for text in [path.to_owned(), once, twice] {
        for slashes in [text.clone(), text.replace('\\', "/")] {
            let whole = slashes.split('/').map(str::to_owned).collect();
            let bare =
                slashes.split('/').map(|segment| segment.split(';').next().unwrap().to_owned()).collect();
            readings.extend([whole, bare]);
        }
    }
    readings
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((unit, after)) = Unit::first(rest) {
        let (Unit::Plain(byte) | Unit::Encoded(byte)) = unit;
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What matching means, without any cleverness.
fn plainly_matches(pattern: &[u8], text: &[u8]) -> bool {
    match (Unit::first(pattern), Unit::first(text)) {
        (None, None) => true,
        (Some((Unit::STAR, after)), first) => {
            plainly_matches(after, text)
                || first.is_some_and(|(unit, rest)| unit.stays_inside() && plainly_matches(pattern, rest))
        }
        (Some((one, after)), Some((other, rest))) => one == other && plainly_matches(after, rest),
        _ => false,
    }
}

const PIECES: &str = "(a|b|/|/|\\.|-|;|%2f|%2F|%5c|%3b|%7e|%2b|2f|\\*){0,8}";
const HOSTILE: &str = "/(a|/|\\.|\\.\\.|;|%|%2|%2e|%2f|%5C|%25|%00|%c0%af|%C3%A9|\\\\|\\?|#| |\\*|é){0,10}";

proptest! {
    #[test]
    fn nobody_reads_dots_into_what_is_accepted(text in HOSTILE) {
        if let Ok(path) = text.parse::<RequestPath>() {
            prop_assert_eq!(path.as_str(), &text);
            prop_assert_eq!(percent_decoded(&percent_decoded(&text)), percent_decoded(&text));
            for reading in readings(&text) {
                prop_assert!(!reading.iter().any(|segment| segment == "." || segment == ".."), "{:?}", reading);
            }
        }
    }

    #[test]
    fn a_star_stands_for_no_separator(pattern in PIECES, path in PIECES) {
        let (Ok(pattern), Ok(path)) =
            (format!("/{pattern}").parse::<PathPattern>(), format!("/{path}").parse::<RequestPath>())
        else {
            return Ok(());
        };
        prop_assert_eq!(&pattern.to_string().parse::<PathPattern>().unwrap(), &pattern);
        if pattern.matches(&path) && !pattern.as_str().ends_with("**") {
            let count = |text: &str| percent_decoded(text).matches(['/', '\\', ';']).count();
            prop_assert_eq!(count(pattern.as_str()), count(path.as_str()));
        }
    }

    #[test]
    fn taking_little_is_enough(pattern in "(a|b|%2f|;|\\*){0,8}", text in "(a|b|%2f|;){0,10}") {
        let wanted = plainly_matches(pattern.as_bytes(), text.as_bytes());
        prop_assert_eq!(segment_matches(&pattern, &text), wanted);
    }

    #[test]
    fn covering_is_matching_whatever_the_other_matches(
        one in "/(a|b|/|%2f|\\*){0,5}(/\\*\\*)?",
        two in "/(a|b|/|%2f|\\*){0,5}(/\\*\\*)?",
        path in "/(a|b|/|%2f){0,6}",
    ) {
        let (Ok(one), Ok(two), Ok(path)) =
            (one.parse::<PathPattern>(), two.parse::<PathPattern>(), path.parse::<RequestPath>())
        else {
            return Ok(());
        };
        prop_assert!(one.covers(&one));
        if one.covers(&two) && two.matches(&path) {
            prop_assert!(one.matches(&path), "{} {} {}", one, two, path);
        }
    }
}
