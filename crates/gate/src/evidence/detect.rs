//! Which command tests a repository.
//!
//! Decided from the *base* tree, so that a change cannot choose its own examination, and from names and a few
//! small files at the root alone. Every command works without a network, ends by itself, and asks its runner
//! for the names of single tests.

use serde_json::Value;

/// An entry at the root of the base tree.
#[derive(Debug, Clone, Copy)]
pub struct RootEntry<'a> {
    /// Its name; a directory's ends with `/`.
    pub name: &'a str,
    /// Its content; needed only for the names in [`WANTED_ROOT_FILES`].
    pub content: Option<&'a [u8]>,
}

/// The files at the root whose content [`detect_test_command`] wants to see, where they exist.
pub const WANTED_ROOT_FILES: &[&str] = &[
    "Cargo.toml",
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "tox.ini",
    "pytest.ini",
    "requirements.txt",
    "requirements-dev.txt",
    "dev-requirements.txt",
    "requirements-test.txt",
    "package.json",
    "Makefile",
    "makefile",
    "GNUmakefile",
    "justfile",
    "Justfile",
    ".justfile",
    "Gemfile",
    "Rakefile",
    "composer.json",
    "build.gradle",
    "build.gradle.kts",
    "mix.exs",
];

/// Bytes of one file that are looked at.
const MAX_READ: usize = 256 * 1024;

/// How a repository is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestCommand {
    /// For `sh -c` at the root of the tree.
    pub command: String,
    /// Where it comes from, for people.
    pub why: String,
}

impl TestCommand {
    fn new(command: impl Into<String>, why: impl Into<String>) -> Self {
        Self { command: command.into(), why: why.into() }
    }
}

/// Finds out how a repository is tested: the policy's `test_command` if there is one, else by the files at
/// its root.
#[must_use]
pub fn detect_test_command(entries: &[RootEntry<'_>], configured: Option<&str>) -> Option<TestCommand> {
    if let Some(command) = configured.map(str::trim).filter(|command| !command.is_empty()) {
        return Some(TestCommand::new(command, "named by the policy (test_command)"));
    }
    let root = Root { entries };
    // Languages whose own runner needs no further choice first; makefiles last, since "make test" may mean
    // anything.
    [cargo, go, node, python, maven, gradle, mix, dotnet, ruby, php, just, make]
        .iter()
        .find_map(|detect| detect(&root))
}

struct Root<'a> {
    entries: &'a [RootEntry<'a>],
}

impl Root<'_> {
    fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    fn first<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        names.iter().copied().find(|name| self.has(name))
    }

    fn text(&self, name: &str) -> Option<String> {
        let content = self.entries.iter().find(|entry| entry.name == name)?.content?;
        Some(String::from_utf8_lossy(&content[..content.len().min(MAX_READ)]).into_owned())
    }

    fn any(&self, matches: impl Fn(&str) -> bool) -> bool {
        self.entries.iter().any(|entry| matches(entry.name))
    }
}

fn cargo(root: &Root<'_>) -> Option<TestCommand> {
    if !root.has("Cargo.toml") {
        return None;
    }
    let workspace =
        root.text("Cargo.toml").is_some_and(|text| text.lines().any(|line| line.trim() == "[workspace]"));
    let scope = if workspace { " --workspace" } else { "" };
    Some(TestCommand::new(format!("cargo test --offline --no-fail-fast{scope}"), "Cargo.toml"))
}

fn go(root: &Root<'_>) -> Option<TestCommand> {
    root.has("go.mod").then(|| TestCommand::new("GOPROXY=off GOTOOLCHAIN=local go test -v ./...", "go.mod"))
}

fn node(root: &Root<'_>) -> Option<TestCommand> {
    let text = root.text("package.json")?;
    let package: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()?;
    let script = package["scripts"]["test"].as_str().map(str::trim).unwrap_or_default();
    // What `npm init` writes where there are no tests.
    let placeholder = script.is_empty() || script.contains("no test specified");
    if !placeholder {
        let manager = package["packageManager"].as_str().unwrap_or_default();
        let program = if root.has("pnpm-lock.yaml") || manager.starts_with("pnpm") {
            "pnpm test"
        } else if root.has("yarn.lock") || manager.starts_with("yarn") {
            "yarn test"
        } else {
            "npm test"
        };
        // CI=1 keeps runners from watching for changes.
        return Some(TestCommand::new(format!("CI=1 {program}"), "scripts.test of package.json"));
    }
    let own = root.has("test/")
        || root.any(|name| [".test.js", ".test.mjs", ".test.cjs"].iter().any(|end| name.ends_with(end)));
    own.then(|| TestCommand::new("node --test", "package.json without a test script, and test files"))
}

fn python(root: &Root<'_>) -> Option<TestCommand> {
    const PROJECT: &[&str] = &[
        "pyproject.toml",
        "setup.py",
        "setup.cfg",
        "tox.ini",
        "pytest.ini",
        "requirements.txt",
        "conftest.py",
    ];
    const MENTIONS: &[&str] = &[
        "pyproject.toml",
        "setup.cfg",
        "setup.py",
        "tox.ini",
        "requirements.txt",
        "requirements-dev.txt",
        "dev-requirements.txt",
        "requirements-test.txt",
    ];
    let folder = root.first(&["tests/", "test/"]);
    let loose =
        root.any(|name| name.starts_with("test_") && name.ends_with(".py") || name.ends_with("_test.py"));
    let project = root.first(PROJECT);
    if project.is_none() && !(loose || (folder.is_some() && root.any(|name| name.ends_with(".py")))) {
        return None;
    }
    // A package under src/ is importable only from there, unless it is installed.
    let path = if root.has("src/") { "PYTHONPATH=src " } else { "" };
    let mention = root.first(&["pytest.ini", "conftest.py"]).or_else(|| {
        MENTIONS.iter().copied().find(|name| root.text(name).is_some_and(|text| text.contains("pytest")))
    });
    if let Some(mention) = mention {
        let command = format!("{path}python3 -m pytest -v -p no:cacheprovider");
        return Some(TestCommand::new(command, format!("pytest, by {mention}")));
    }
    if let Some(folder) = folder {
        let folder = folder.trim_end_matches('/');
        // Only a folder that is a package can be imported from the root, and only then do its relative
        // imports work.
        let top = format!("$(test -f {folder}/__init__.py && echo '-t .')");
        let command = format!("{path}python3 -m unittest discover -v -s {folder} {top}");
        return Some(TestCommand::new(
            command,
            format!("Python with a folder {folder}, and no mention of pytest"),
        ));
    }
    loose.then(|| {
        TestCommand::new(format!("{path}python3 -m unittest discover -v"), "Python test files at the root")
    })
}

fn maven(root: &Root<'_>) -> Option<TestCommand> {
    let program = if root.has("mvnw") { "./mvnw" } else { "mvn" };
    root.has("pom.xml").then(|| TestCommand::new(format!("{program} -o -B test"), "pom.xml"))
}

fn gradle(root: &Root<'_>) -> Option<TestCommand> {
    let file = root.first(&["build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"])?;
    let program = if root.has("gradlew") { "./gradlew" } else { "gradle" };
    Some(TestCommand::new(format!("{program} --offline --console=plain --no-daemon test"), file))
}

fn mix(root: &Root<'_>) -> Option<TestCommand> {
    root.has("mix.exs").then(|| TestCommand::new("mix test --trace --no-color", "mix.exs"))
}

fn dotnet(root: &Root<'_>) -> Option<TestCommand> {
    let solution = |name: &str| [".sln", ".slnx", ".csproj", ".fsproj"].iter().any(|end| name.ends_with(end));
    root.any(solution).then(|| {
        TestCommand::new(
            "dotnet test --no-restore --nologo --logger 'console;verbosity=normal'",
            "a .NET solution or project",
        )
    })
}

fn ruby(root: &Root<'_>) -> Option<TestCommand> {
    let bundler = if root.has("Gemfile") { "bundle exec " } else { "" };
    if root.has(".rspec")
        || root.has("spec/") && root.text("Gemfile").is_some_and(|text| text.contains("rspec"))
    {
        return Some(TestCommand::new(
            format!("{bundler}rspec --format documentation --no-color"),
            "a folder spec",
        ));
    }
    let tests = root.text("Rakefile").is_some_and(|text| text.contains("TestTask") || text.contains(":test"));
    tests.then(|| {
        TestCommand::new(format!("{bundler}rake test TESTOPTS=--verbose"), "a test task in the Rakefile")
    })
}

fn php(root: &Root<'_>) -> Option<TestCommand> {
    let configured = root.has("phpunit.xml") || root.has("phpunit.xml.dist");
    let required = root.text("composer.json").is_some_and(|text| text.contains("phpunit/phpunit"));
    (configured || required)
        .then(|| TestCommand::new("vendor/bin/phpunit --testdox --colors=never", "PHPUnit"))
}

fn just(root: &Root<'_>) -> Option<TestCommand> {
    let file = root.first(&["justfile", "Justfile", ".justfile"])?;
    let recipe = has_target(&root.text(file)?, "test");
    recipe.then(|| TestCommand::new("just test", format!("recipe test of the {file}")))
}

fn make(root: &Root<'_>) -> Option<TestCommand> {
    let file = root.first(&["GNUmakefile", "makefile", "Makefile"])?;
    let text = root.text(file)?;
    let target = ["test", "check"].into_iter().find(|target| has_target(&text, target))?;
    Some(TestCommand::new(format!("make {target}"), format!("target {target} of the {file}")))
}

/// Whether a makefile or justfile defines a target: at the start of a line, before a colon that is not an
/// assignment.
fn has_target(text: &str, target: &str) -> bool {
    text.lines().any(|line| {
        let Some((names, rest)) = line.split_once(':') else { return false };
        !line.starts_with([' ', '\t', '#', '.'])
            && !rest.starts_with('=')
            && names.split_whitespace().any(|name| name.trim_start_matches('@') == target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(entries: &[(&str, &str)]) -> Option<String> {
        let entries: Vec<RootEntry<'_>> = entries
            .iter()
            .map(|(name, content)| RootEntry { name, content: Some(content.as_bytes()) })
            .collect();
        detect_test_command(&entries, None).map(|test| test.command)
    }

    #[test]
    fn one_repository_of_each_kind() {
        const PLACEHOLDER: &str = r#"{"scripts":{"test":"echo \"Error: no test specified\" && exit 1"}}"#;
        const REAL: &str = r#"{"scripts":{"test":"jest"}}"#;
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("Cargo.toml", "[package]")], "cargo test --offline --no-fail-fast"),
            (&[("Cargo.toml", "[workspace]\nmembers=[]")], "cargo test --offline --no-fail-fast --workspace"),
            (&[("go.mod", "")], "GOPROXY=off GOTOOLCHAIN=local go test -v ./..."),
            (&[("package.json", REAL)], "CI=1 npm test"),
            (&[("package.json", REAL), ("pnpm-lock.yaml", "")], "CI=1 pnpm test"),
            (&[("package.json", REAL), ("yarn.lock", "")], "CI=1 yarn test"),
            (&[("package.json", PLACEHOLDER), ("test/", "")], "node --test"),
            (&[("package.json", "{}"), ("a.test.mjs", "")], "node --test"),
            (&[("pyproject.toml", "[tool.pytest.ini_options]")], "python3 -m pytest -v -p no:cacheprovider"),
            (
                &[("setup.py", ""), ("conftest.py", ""), ("src/", "")],
                "PYTHONPATH=src python3 -m pytest -v -p no:cacheprovider",
            ),
            (
                &[("setup.py", ""), ("tests/", "")],
                "python3 -m unittest discover -v -s tests $(test -f tests/__init__.py && echo '-t .')",
            ),
            (&[("calc.py", ""), ("test_calc.py", "")], "python3 -m unittest discover -v"),
            (&[("pom.xml", "")], "mvn -o -B test"),
            (
                &[("build.gradle.kts", ""), ("gradlew", "")],
                "./gradlew --offline --console=plain --no-daemon test",
            ),
            (&[("mix.exs", "")], "mix test --trace --no-color"),
            (&[("App.sln", "")], "dotnet test --no-restore --nologo --logger 'console;verbosity=normal'"),
            (
                &[("Gemfile", "gem 'rspec'"), ("spec/", "")],
                "bundle exec rspec --format documentation --no-color",
            ),
            (&[("Rakefile", "Rake::TestTask.new")], "rake test TESTOPTS=--verbose"),
            (&[("phpunit.xml.dist", "")], "vendor/bin/phpunit --testdox --colors=never"),
            (&[("justfile", "test *args:\n  x")], "just test"),
            (&[("Makefile", ".PHONY: test\nall check: x\n\ty")], "make check"),
        ];
        for (entries, command) in cases {
            assert_eq!(detected(entries).as_deref(), Some(*command), "{entries:?}");
        }
    }

    #[test]
    fn nothing_is_guessed() {
        for entries in [
            &[("README.md", "")][..],
            &[("package.json", "{}")],
            &[("package.json", "not json")],
            &[("Makefile", "test := x\n\ttest: no\n.PHONY: test")],
            &[("script.py", "")],
            &[("tests/", "")],
        ] {
            assert_eq!(detected(entries), None, "{entries:?}");
        }
    }

    #[test]
    fn the_policy_decides() {
        let entries = [RootEntry { name: "Cargo.toml", content: None }];
        let test = detect_test_command(&entries, Some(" make -C x test ")).unwrap();
        assert_eq!(test.command, "make -C x test");
        assert!(detect_test_command(&entries, Some(" ")).unwrap().command.starts_with("cargo"));
    }
}
