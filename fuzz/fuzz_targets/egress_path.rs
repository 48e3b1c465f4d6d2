//! Paths of requests, and patterns for them: the first line of the input is a pattern, the rest a path.

#![no_main]

use cofferdam_domain::egress::{PathPattern, RequestPath};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (pattern, path) = text.split_once('\n').unwrap_or(("/**", text));
    let path = path.parse::<RequestPath>().ok();
    let pattern = pattern.parse::<PathPattern>().ok();
    if let Some(path) = &path {
        let decoded = decode(path.as_str());
        assert_eq!(decode(&decoded), decoded, "decoding twice is decoding once");
        for reading in [path.as_str(), &decoded, &decoded.replace('\\', "/")] {
            let mut names = reading.split('/').map(|segment| segment.split(';').next().unwrap_or_default());
            assert!(names.all(|name| name != "." && name != ".."), "{reading:?}");
        }
        assert!(PathPattern::everything().matches(path));
        assert!(PathPattern::exactly(path).is_none_or(|exactly| exactly.matches(path)));
    }
    if let (Some(pattern), Some(path)) = (&pattern, &path)
        && pattern.matches(path)
        && !pattern.as_str().ends_with("**")
    {
        let separators = |text: &str| decode(text).matches(['/', '\\', ';']).count();
        assert_eq!(separators(pattern.as_str()), separators(path.as_str()), "a star stands for none");
    }
    if let Some(pattern) = &pattern {
        assert!(pattern.covers(pattern));
    }
});

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.filter(|_| byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(value.unwrap_or(byte));
        rest = if value.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
