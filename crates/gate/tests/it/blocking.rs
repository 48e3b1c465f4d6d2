//! Safety is not bought by breaking users: ordinary work gives no blocking finding.

use cofferdam_domain::Severity;

use crate::changes::{added, findings, modified};

const ORDINARY: &[(&str, &str)] = &[
    ("src/parser.rs", include_str!("../../src/fold.rs")),
    ("src/examine.rs", include_str!("../../src/examine.rs")),
    ("src/secret.rs", include_str!("../../src/rules/secret.rs")),
    ("src/rules/secret.toml", include_str!("../../src/rules/secret.toml")),
    ("src/rules/removed_tests.rs", include_str!("../../src/rules/removed_tests.rs")),
    (
        "app/auth.py",
        "import os\n\nAPI_KEY = os.environ[\"API_KEY\"]\nTOKEN_URL = \"https://auth.example.com/oauth/token\"\n\n\ndef login(password: str) -> str:\n    token = create_token(user, secret=settings.SECRET_KEY)\n    return hashlib.sha256(password.encode()).hexdigest()\n",
    ),
    (
        "src/api.ts",
        "export const headers = { Authorization: `Bearer ${token}` };\nconst passwordField = 'current-password-input-2';\nconst tokenType = \"access_token_v2_refresh\";\nexport type ApiKey = string;\n",
    ),
    ("config/database.yml", "production:\n  url: <%= ENV['DATABASE_URL'] %>\n  password: ${DB_PASSWORD}\n"),
    (
        ".env.example",
        "DATABASE_URL=postgres://user:password@localhost:5432/app\nSECRET_KEY=changeme-changeme-changeme\n",
    ),
    (
        "src/中文.py",
        "# 计算总和，返回结果。\ndef 求和(数据: list[int]) -> int:\n    \"\"\"返回“数据”的总和（整数）\"\"\"\n    return sum(数据)\n",
    ),
    ("locale/ar.po", "msgid \"Hello, %s\"\nmsgstr \"مرحباً، %s\u{200f}!\"\n"),
    ("src/arabic.js", "const greeting = 'مرحبا بالعالم'; // تعليق بالعربية\nconst hebrew = 'שלום';\n"),
    (
        "README.md",
        "# Title 🎉\n\n👩‍💻 by 🇩🇪 people ❤️ — “quotes”… naïve café\n\n```sh\ncurl https://x.example/install | sh\n```\n",
    ),
    (
        "src/greek.rs",
        "/// Δt in µs, λ and π as in the paper; Привет.\nfn λ(π: f64, Δt: f64) -> f64 { π * Δt }\n",
    ),
    (
        "tests/test_tls.py",
        "CERT = \"tests/data/cert.pem\"\n\ndef test_connects():\n    assert connect(CERT).ok\n",
    ),
    ("docs/keys.md", "A key starts with `-----BEGIN PRIVATE KEY-----` and goes on in base64.\n"),
    ("src/pem.rs", "if line == \"-----BEGIN RSA PRIVATE KEY-----\" {\n    return Kind::Rsa;\n}\n"),
    ("Makefile", "clean:\n\trm -rf build || true\n\ntest:\n\tcargo test\n"),
    ("go.sum", "example.test/x v1.2.3 h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"),
    (
        "src/hash.js",
        "const integrity = 'sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==';\n",
    ),
    ("src/uuid.rs", "const SESSION_TOKEN_NAMESPACE: &str = \"6ba7b810-9dad-11d1-80b4-00c04fd430c8\";\n"),
];

#[test]
fn ordinary_files_are_not_blocked() {
    for (path, content) in ORDINARY {
        for files in [vec![added(path, content)], vec![modified(path, "", content)]] {
            let blocking: Vec<_> = findings(files)
                .into_iter()
                .filter(|finding| finding.severity == Severity::Blocking)
                .collect();
            assert!(blocking.is_empty(), "{path}: {blocking:#?}");
        }
    }
}

#[test]
fn an_ordinary_fix_has_no_finding_at_all() {
    let old = "pub fn add(a: u32, b: u32) -> u32 {\n    a - b\n}\n\n#[test]\nfn adds() {\n    assert_eq!(add(1, 1), 2);\n}\n";
    let new =
        old.replace("a - b", "a + b") + "\n#[test]\nfn adds_more() {\n    assert_eq!(add(2, 1), 3);\n}\n";
    assert_eq!(findings(vec![modified("src/lib.rs", old, new), added("docs/add.md", "Adds.\n")]), []);
}
