//! Credentials are found where they stand, never quoted, and placeholders are left alone.
//!
//! The samples are put together at run time from random-looking parts, so that no scanner takes this file for
//! a leak.

use cofferdam_domain::{
    Change, Policy,
    Severity::{self, Blocking, Note, Warning},
};
use cofferdam_gate::{GatePolicy, examine};

use crate::changes::{added, commit, findings, modified, worst};

/// `length` characters from `alphabet` that look random and are always the same.
fn noise(alphabet: &str, length: usize) -> String {
    let alphabet: Vec<char> = alphabet.chars().collect();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            alphabet[(state >> 11) as usize % alphabet.len()]
        })
        .collect()
}

const ALNUM: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &str = "0123456789abcdef";

fn base64(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    text.as_bytes()
        .chunks(3)
        .map(|chunk| {
            let bits = chunk
                .iter()
                .enumerate()
                .fold(0_u32, |bits, (index, byte)| bits | u32::from(*byte) << (16 - 8 * index));
            (0..4)
                .map(|place| {
                    if place <= chunk.len() {
                        char::from(DIGITS[(bits >> (18 - 6 * place) & 63) as usize])
                    } else {
                        '='
                    }
                })
                .collect::<String>()
        })
        .collect()
}

fn github() -> String {
    format!("gh{}_{}", "p", noise(ALNUM, 36))
}

fn private_key() -> String {
    format!(
        "-----BEGIN {} KEY-----\n{}\n{}\n-----END {0} KEY-----\n",
        "PRIVATE",
        noise(ALNUM, 64),
        noise(ALNUM, 64)
    )
}

#[test]
fn known_forms() {
    let samples = [
        format!("AK{}{}", "IA", noise("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
        github(),
        format!("github_{}_{}_{}", "pat", noise(ALNUM, 22), noise(ALNUM, 59)),
        format!("gl{}-{}", "pat", noise(ALNUM, 20)),
        format!("xox{}-{}-{}-{}", "b", noise("123456789", 11), noise("123456789", 12), noise(ALNUM, 24)),
        format!("sk_{}_{}", "live", noise(ALNUM, 24)),
        format!("sk-{}-api03-{}", "ant", noise(ALNUM, 90)),
        format!("sk-{}-{}", "proj", noise(ALNUM, 80)),
        format!("AI{}{}", "za", noise(ALNUM, 35)),
        format!("npm{}{}", "_", noise(ALNUM, 36)),
        format!("hf{}{}", "_", noise("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 34)),
        format!("SG.{}.{}", noise(ALNUM, 22), noise(ALNUM, 43)),
        format!("dop_v1{}{}", "_", noise(HEX, 64)),
        format!("hv{}.{}", "s", noise(ALNUM, 28)),
        format!("postgres://app:{}@db.internal.corp.net/app", noise(ALNUM, 18)),
        format!("https://build:{}@git.corp.net/x.git", noise(ALNUM, 20)),
        format!("DefaultEndpointsProtocol=https;Account{}={}==", "Key", noise(ALNUM, 86)),
        format!("Authorization: Bearer {}", noise(ALNUM, 40)),
        format!("client_secret = \"{}\"", noise(ALNUM, 32)),
        private_key(),
    ];
    for sample in &samples {
        let all = findings(vec![added("src/config.txt", format!("x\n{sample}\n"))]);
        let hit = all.iter().find(|finding| finding.rule == "secret");
        let hit = hit.unwrap_or_else(|| panic!("not found: {sample}"));
        assert_eq!((hit.severity, hit.line), (Blocking, Some(2)), "{sample}");
        let quoted = sample
            .split(['\n', ':', '"', ' ', '='])
            .filter(|part| part.len() > 12)
            .any(|part| hit.why.contains(part));
        assert!(!quoted, "{}", hit.why);
    }
}

#[test]
fn only_additions_count_wherever_they_stand() {
    let token = github();
    let line = format!("t = \"{token}\"\n");
    assert_eq!(worst("secret", vec![modified("a.py", &line, format!("{line}x = 1\n"))]), None);
    assert_eq!(worst("secret", vec![modified("a.py", &line, "x = 1\n")]), None);
    assert_eq!(worst("secret", vec![added(&token, "x")]), Some(Blocking), "in the path");
    let change = Change { commits: vec![commit(&format!("Fix\n\n{token}\n"))], ..Change::default() };
    let all = examine(&change, &GatePolicy::new(&Policy::default()).unwrap());
    assert_eq!(all[0].rule, "secret");
    assert!(all[0].why.starts_with("in the message of commit cccccccccccc: "));
}

#[test]
fn one_layer_of_encoding_is_taken_off() {
    let inner = format!("token {}", github());
    let hex: String = inner.bytes().map(|byte| format!("{byte:02x}")).collect();
    let whole = base64(&inner);
    let (first, second) = whole.split_at(28);
    let url = whole.replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned();
    for content in
        [format!("data = '{whole}'"), format!("{first}\n{second}\n"), url, hex, base64(&private_key())]
    {
        assert_eq!(worst("secret", vec![added("blob.txt", &content)]), Some(Blocking), "{content}");
    }
}

#[test]
fn a_changed_line_inside_a_key_counts() {
    let key = private_key();
    let other = key.replacen(&noise(ALNUM, 8), "AbCdEfG1", 1);
    assert_eq!(worst("secret", vec![modified("k.pem", &key, &other)]), Some(Blocking));
    assert_eq!(worst("secret", vec![modified("k.pem", &key, format!("comment\n{key}"))]), None);
    let escaped = key.replace('\n', "\\n");
    assert_eq!(
        worst("secret", vec![added("sa.json", format!("{{\"private_key\":\"{escaped}\"}}"))]),
        Some(Blocking)
    );
}

#[test]
fn placeholders_and_test_data_are_less() {
    let cases: &[(&str, String, Option<Severity>)] = &[
        ("a.md", format!("AKIA{}EXAMPLE", "IOSFODNN7"), Some(Note)),
        ("a.md", format!("ghp_{}", "x".repeat(36)), None),
        ("tests/key.pem", private_key(), Some(Warning)),
        ("tests/a.py", format!("token = \"{}\"", noise(ALNUM, 32)), Some(Note)),
        ("tests/a.py", format!("token = \"{}\"", github()), Some(Blocking)),
        ("a.env", "DATABASE_URL=postgres://postgres:postgres@localhost/app".into(), Some(Note)),
        ("docker.yml", "url: postgres://app:s3cr3tpass@db:5432/app".into(), Some(Note)),
        ("a.py", "password = get_password(user_id, realm)".into(), None),
        ("a.py", "token = \"access_token\"".into(), None),
        ("a.py", "SECRET_NAME = \"prod/database/credentials\"".into(), None),
        ("a.py", "api_key = \"YOUR_API_KEY_1234\"".into(), None),
        ("a.ts", "const passwordRegex = \"^[A-Za-z0-9]{8,32}$\"".into(), None),
        ("Cargo.lock", format!("checksum = \"{}\"\ntoken = \"{}\"", noise(HEX, 64), noise(ALNUM, 40)), None),
    ];
    for (path, content, expected) in cases {
        assert_eq!(worst("secret", vec![added(path, content)]), *expected, "{path}: {content}");
    }
}
