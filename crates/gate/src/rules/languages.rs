//! How tests, skips and assertions look in each language.

use std::{collections::BTreeSet, sync::LazyLock};

use regex::bytes::Regex;

use super::{Pattern, pattern};
use crate::view::FileView;

/// Names of tests that are told apart in one file.
const MAX_NAMES: usize = 20_000;

/// What of a language the rule on tests needs to know.
pub(super) struct Language {
    extensions: &'static [&'static str],
    /// Whether tests stand beside the code, so that any file may hold some.
    anywhere: bool,
    test: Pattern,
    skip: Pattern,
    assertion: Pattern,
}

static LANGUAGES: [Language; 8] = [
    Language {
        extensions: &["rs"],
        anywhere: true,
        test: LazyLock::new(|| {
            pattern(
                r"#\[(?:\w+::)*(?:test|rstest|test_case|proptest|quickcheck|wasm_bindgen_test)\b[^\]]{0,300}\](?:\s*(?:#\[[^\]]{0,300}\]|//[^\n]*))*\s*(?:pub\s+)?(?:async\s+)?fn\s+([\w\x80-\xff]+)",
            )
        }),
        skip: LazyLock::new(|| {
            pattern(r"#\[(?:cfg_attr\(.{0,200},\s*)?ignore\b|#!?\[cfg\((?:any\(\)|FALSE|false|never)\)\]")
        }),
        assertion: LazyLock::new(|| {
            pattern(r"\b(?:debug_|prop_)?assert\w*!|\bshould_panic\b|\.unwrap_err\(|\.expect_err\(")
        }),
    },
    Language {
        extensions: &["py", "pyi"],
        anywhere: false,
        test: LazyLock::new(|| pattern(r"(?m)^[ \t]*(?:async[ \t]+)?def[ \t]+(test[\w\x80-\xff]*)")),
        skip: LazyLock::new(|| {
            pattern(
                r"@(?:pytest\.)?(?:mark\.)?(?:skip|skipif|xfail)\b|@(?:unittest\.)?(?:skip(?:If|Unless)?|expectedFailure)\b|\bpytest\.(?:skip|xfail|importorskip)\(|\bself\.skipTest\(|\braise (?:unittest\.)?SkipTest|\bcollect_ignore|__test__\s*=\s*False|pytestmark\s*=.*(?:skip|xfail)",
            )
        }),
        assertion: LazyLock::new(|| {
            pattern(r"\bassert\b|\bself\.assert\w+|\bpytest\.raises\b|\bself\.fail\(")
        }),
    },
    Language {
        extensions: &["js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "vue", "svelte"],
        anywhere: false,
        test: LazyLock::new(|| {
            pattern(
                r#"\b(?:it|test|specify)(?:\.\w+(?:\([^()]{0,500}\))?){0,3}\s*\(\s*(?:"([^"\n]{1,300})"|'([^'\n]{1,300})'|`([^`]{1,300})`)"#,
            )
        }),
        skip: LazyLock::new(|| {
            pattern(
                r#"\b(?:it|test|describe|suite|context|specify)\.(?:skip|todo|fixme|fails|failing|only|skipIf)\b|\bx(?:it|describe|test|specify|context)\s*\(|\bf(?:it|describe)\s*\(|\bskip\s*:\s*(?:true|["'`])|\b(?:t|this)\.skip\("#,
            )
        }),
        assertion: LazyLock::new(|| {
            pattern(
                r"\bexpect\s*\(|\bassert(?:\.\w+)?\s*\(|\.should\b|\bt\.(?:is|ok|not|equal|deepEqual|throws|true|false|like)\s*\(",
            )
        }),
    },
    Language {
        extensions: &["go"],
        anywhere: false,
        test: LazyLock::new(|| {
            pattern(
                r"(?m)^func[ \t]+(?:\([^)]{0,100}\)[ \t]*)?((?:Test|Benchmark|Fuzz|Example)[\w\x80-\xff]*)\s*\(",
            )
        }),
        skip: LazyLock::new(|| {
            pattern(r"\b[tb]\.Skip(?:f|Now)?\(|//\s*\+build\s+ignore|//go:build\s+ignore")
        }),
        assertion: LazyLock::new(|| {
            pattern(r"\b[tb]\.(?:Errorf?|Fatalf?|Fail|FailNow)\(|\b(?:assert|require)\.\w+\(|\bcmp\.Diff\(")
        }),
    },
    Language {
        extensions: &["java", "kt", "kts", "groovy", "scala"],
        anywhere: false,
        test: LazyLock::new(|| {
            pattern(
                r"@(?:Test|ParameterizedTest|RepeatedTest|TestFactory|Property)\b[^{};]{0,600}?\b(?:void|fun|def)\s+`?([\w\x80-\xff ]{1,200})`?\s*\(",
            )
        }),
        skip: LazyLock::new(|| {
            pattern(r"@(?:Disabled\w*|Ignore|EnabledIf\w*)\b|\b(?:assumeTrue|assumeFalse|assumeThat|abort)\(")
        }),
        assertion: LazyLock::new(|| pattern(r"\bassert\w*\s*[({]|\bverify\w*\s*\(|\bshould\w*\b|\bfail\(")),
    },
    Language {
        extensions: &["cs", "fs"],
        anywhere: false,
        test: LazyLock::new(|| {
            pattern(
                r"\[(?:Fact|Theory|Test|TestMethod|TestCase|DataTestMethod)\b[^{};]{0,600}?\b(?:void|Task|ValueTask)\s+(\w+)\s*\(",
            )
        }),
        skip: LazyLock::new(|| {
            pattern(r"\bSkip\s*=|\[Ignore\b|\[Explicit\b|Assert\.(?:Ignore|Inconclusive|Skip)\(")
        }),
        assertion: LazyLock::new(|| pattern(r"\bAssert\.\w+|\.Should\w*\(|\bExpect\(")),
    },
    Language {
        extensions: &["rb"],
        anywhere: false,
        test: LazyLock::new(|| {
            pattern(
                r#"(?m)^\s*(?:def\s+(test_\w+[?!]?)|(?:it|specify|test|scenario|example)[ \t(]+(?:"([^"\n]{1,300})"|'([^'\n]{1,300})'))"#,
            )
        }),
        skip: LazyLock::new(|| {
            pattern(
                r#"(?m)^\s*(?:x(?:it|describe|context|specify)|f(?:it|describe|context)|skip|pending|omit)\b|,\s*(?:skip|pending):\s*"#,
            )
        }),
        assertion: LazyLock::new(|| {
            pattern(r"\bassert\w*\b|\brefute\w*\b|\bexpect\s*[({]|\.should\b|\bmust_\w+")
        }),
    },
    Language {
        extensions: &["php"],
        anywhere: false,
        test: LazyLock::new(|| {
            pattern(
                r#"\bfunction\s+(test\w+)\s*\(|\b(?:it|test)\s*\(\s*(?:"([^"\n]{1,300})"|'([^'\n]{1,300})')"#,
            )
        }),
        skip: LazyLock::new(|| {
            pattern(
                r"\bmarkTest(?:Skipped|Incomplete)\(|->skip\(|->todo\(|#\[(?:Requires|DoesNotPerformAssertions)",
            )
        }),
        assertion: LazyLock::new(|| pattern(r"(?:->|::)assert\w+|\bexpect\(|->expect\w+")),
    },
];

impl Language {
    /// The language of a file in which tests may stand.
    pub(super) fn of(file: &FileView<'_>) -> Option<&'static Self> {
        let language = LANGUAGES.iter().find(|language| language.extensions.contains(&file.extension()))?;
        (language.anywhere || file.in_tests()).then_some(language)
    }

    /// The names of the tests in a text.
    pub(super) fn tests<'t>(&self, text: &'t [u8]) -> BTreeSet<&'t [u8]> {
        self.test
            .captures_iter(text)
            .take(MAX_NAMES)
            .filter_map(|found| {
                found.iter().skip(1).flatten().next().map(|name| name.as_bytes().trim_ascii())
            })
            .collect()
    }

    pub(super) fn skip(&self) -> &Regex {
        &self.skip
    }

    /// How many assertions a text has.
    pub(super) fn assertions(&self, text: &[u8]) -> usize {
        self.assertion.find_iter(text).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(extension: &str, text: &str) -> Vec<String> {
        let language = LANGUAGES.iter().find(|language| language.extensions.contains(&extension)).unwrap();
        language
            .tests(text.as_bytes())
            .into_iter()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect()
    }

    #[test]
    fn tests_by_language() {
        assert_eq!(
            names(
                "rs",
                "#[test]\nfn a() {}\n#[tokio::test(flavor = \"x\")]\n#[ignore]\n// why\nasync fn b() {}\nfn c() {}"
            ),
            ["a", "b"]
        );
        assert_eq!(
            names(
                "py",
                "def test_a():\n  pass\nclass T:\n    async def test_b(self): ...\ndef helper(): ..."
            ),
            ["test_a", "test_b"]
        );
        assert_eq!(
            names("ts", "it('adds', () => {});\ntest.each([1])(\"n %i\", f)\ntest(`t`, f); edit('x')"),
            ["adds", "n %i", "t"]
        );
        assert_eq!(
            names("go", "func TestA(t *testing.T) {}\nfunc (s *S) TestB() {}\nfunc helper() {}"),
            ["TestA", "TestB"]
        );
        assert_eq!(names("java", "@Test\npublic void adds() {}\nvoid other() {}"), ["adds"]);
        assert_eq!(names("kt", "@Test\nfun `adds numbers`() {}"), ["adds numbers"]);
        assert_eq!(names("cs", "[Fact]\npublic async Task Adds() {}"), ["Adds"]);
        assert_eq!(names("rb", "  def test_a\n  end\n  it 'does' do"), ["does", "test_a"]);
        assert_eq!(names("php", "public function testA() {}"), ["testA"]);
    }

    #[test]
    fn every_pattern_compiles() {
        for language in &LANGUAGES {
            assert!(!language.skip.is_match(b"plain") && language.assertions(b"plain") == 0);
        }
    }
}
