//! Reports as real runners printed them.

use cofferdam_domain::evidence::TestReport;
use cofferdam_gate::parse_report;

fn report(passed: &[&str], failed: &[&str], skipped: &[&str]) -> TestReport {
    let names = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    TestReport { passed: names(passed), failed: names(failed), skipped: names(skipped) }
}

macro_rules! output {
    ($name:literal) => {
        include_bytes!(concat!("reports/", $name, ".txt")).as_slice()
    };
}

#[test]
fn cargo() {
    let expected = report(
        &["calc::tests::adds", "calc::tests::panics", "it::adds", "calc (doc) src/lib.rs - add"],
        &["calc::tests::fails"],
        &["calc::tests::slow"],
    );
    assert_eq!(parse_report("cargo test --offline", output!("cargo")), Some(expected));
}

#[test]
fn pytest() {
    let both = |skipped: &[&str]| {
        report(
            &[
                "tests/test_a.py::test_adds",
                "tests/test_a.py::test_param[b]",
                "tests/test_u.py::TestU::test_doc",
                "tests/test_u.py::TestU::test_ok",
                "tests/test_u.py::TestU::test_prints",
            ],
            &[
                "tests/test_a.py::test_param[x - y]",
                "tests/test_a.py::test_teardown",
                "tests/test_u.py::TestU::test_error",
                "tests/test_u.py::TestU::test_fails",
                "tests/test_u.py::TestU::test_sub",
            ],
            skipped,
        )
    };
    let named = both(&[
        "tests/test_a.py::test_skipped",
        "tests/test_a.py::test_xfail",
        "tests/test_u.py::TestU::test_expected",
        "tests/test_u.py::TestU::test_skip",
    ]);
    assert_eq!(parse_report("python3 -m pytest -v", output!("pytest-v")), Some(named));
    let placed = both(&[
        "tests/test_a.py:7",
        "tests/test_a.py::test_xfail",
        "tests/test_u.py:8",
        "tests/test_u.py::TestU::test_expected",
    ]);
    assert_eq!(parse_report("python3 -m pytest -q -rA", output!("pytest-ra")), Some(placed));
}

#[test]
fn unittest() {
    let expected = report(
        &["test_u.TestU.test_doc", "test_u.TestU.test_ok", "test_u.TestU.test_prints"],
        &["test_u.TestU.test_error", "test_u.TestU.test_fails", "test_u.TestU.test_sub"],
        &["test_u.TestU.test_expected", "test_u.TestU.test_skip"],
    );
    assert_eq!(parse_report("python3 -m unittest discover -v", output!("unittest")), Some(expected));
}

#[test]
fn go() {
    let expected = report(
        &[
            "example.test/calc.TestOk/with_space",
            "example.test/calc.TestFine",
            "example.test/calc/sub.TestSub",
        ],
        &["example.test/calc.TestOk", "example.test/calc.TestOk/two", "example.test/calc/bad [build failed]"],
        &["example.test/calc.TestSkip"],
    );
    assert_eq!(parse_report("go test -v ./...", output!("go-v")), Some(expected));
    let plain = report(
        &["example.test/calc/sub"],
        &["example.test/calc.TestOk", "example.test/calc.TestOk/two", "example.test/calc/bad [build failed]"],
        &[],
    );
    assert_eq!(parse_report("go test ./...", output!("go")), Some(plain));
}

#[test]
fn node() {
    let expected = report(
        &["top", "suite > inner", "suite > deeper > inner", "parent > child"],
        &["fails #1", "suite > deeper > bad"],
        &["later", "some day"],
    );
    assert_eq!(parse_report("node --test", output!("node-tap")), Some(expected.clone()));
    assert_eq!(parse_report("node --test", output!("node-spec")), Some(expected));
}

#[test]
fn other_javascript_runners() {
    let inner = |top: &str| {
        report(
            &[&format!("{top}top"), &format!("{top}suite > adds"), &format!("{top}suite > deeper > adds")],
            &[&format!("{top}suite > fails")],
            &[&format!("{top}suite > later")],
        )
    };
    assert_eq!(parse_report("CI=1 npm test", output!("jest")), Some(inner("j/a.test.js > ")));
    assert_eq!(parse_report("CI=1 npm test", output!("mocha")), Some(inner("")));
    let file = "v/a.test.mjs > ";
    let mut expected = inner(file);
    expected.passed.rotate_left(1);
    assert_eq!(parse_report("CI=1 npm test", output!("vitest-v")), Some(expected));
    // Where single tests show only on failure, files are compared.
    assert_eq!(parse_report("CI=1 npm test", output!("vitest")), Some(report(&[], &["v/a.test.mjs"], &[])));
    assert_eq!(
        parse_report("CI=1 npm test", output!("vitest-green")),
        Some(report(&["v/a.test.mjs"], &[], &[]))
    );
    assert_eq!(
        parse_report("CI=1 npm test", output!("jest-files")),
        Some(report(&["a.test.js"], &["b.test.js"], &[]))
    );
}

#[test]
fn maven_and_one_line_runners() {
    let expected = report(
        &["com.example.GoodTest"],
        &[
            "com.example.BadTest",
            "com.example.BadTest.subtracts",
            "com.example.OldTest",
            "com.example.OldTest.explodes",
        ],
        &["com.example.SkippedTest"],
    );
    assert_eq!(parse_report("mvn -o -B test", output!("surefire")), Some(expected));
    let gradle = b"CalcTest > adds() PASSED\nCalcTest > fails() FAILED\n    java.lang.AssertionError at CalcTest.java:5\n";
    assert_eq!(
        parse_report("./gradlew test", gradle),
        Some(report(&["CalcTest > adds()"], &["CalcTest > fails()"], &[]))
    );
    let expected = report(
        &["calc tests::adds", "Example.Tests.Adds", "TestThing#test_adds"],
        &["calc::it subtracts", "TestThing#test_fails"],
        &["Example.Tests.Later"],
    );
    assert_eq!(parse_report("rake test", output!("mixed")), Some(expected));
}
