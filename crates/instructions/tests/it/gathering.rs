//! Whole repositories, hostile ones included.

use std::collections::BTreeMap;

use cofferdam_domain::event::{Applies, InstructionKind};
use cofferdam_instructions::{Gathered, Gathering, Given, Listed, about, is_candidate};
use proptest::prelude::*;

/// What is gathered from these files; a content that begins with `→` is a link.
fn gather(files: &[(&str, &str)]) -> Gathered {
    let content: BTreeMap<&str, &str> = files.iter().copied().collect();
    let listed = files.iter().filter(|(path, _)| is_candidate(path.as_bytes())).map(|(path, text)| Listed {
        path: (*path).to_owned(),
        size: text.len() as u64,
        link: text.starts_with('→'),
    });
    let mut gathering = Gathering::new(listed.collect());
    for _ in 0..100 {
        let wanted = gathering.wanted();
        if wanted.is_empty() {
            return gathering.finish();
        }
        for path in wanted {
            let given = match content.get(path.as_str()) {
                Some(text) if text.starts_with('→') => Given::Link,
                Some(text) => Given::File(text.as_bytes().to_vec()),
                None => Given::Missing,
            };
            gathering.give(&path, given);
        }
    }
    panic!("it never has enough");
}

fn noticed(gathered: &Gathered, wanted: &str) {
    assert!(
        gathered.notices.iter().any(|notice| notice.contains(wanted)),
        "{wanted}: {:?}",
        gathered.notices
    );
}

const SKILL: &str = "---\nname: pdf\ndescription: Reads PDFs.\n---\n# How\nRun scripts/read.py.\n";

#[test]
fn a_usual_repository() {
    let gathered = gather(&[
        ("AGENTS.md", "Run `make test`."),
        ("CLAUDE.md", "@AGENTS.md"),
        ("web/AGENTS.md", "Use pnpm."),
        ("web/ui/CLAUDE.md", "No default exports."),
        (".github/copilot-instructions.md", "Be brief."),
        (".github/instructions/ts.instructions.md", "---\napplyTo: \"**/*.ts,**/*.tsx\"\n---\nNo any."),
        (".cursor/rules/always.mdc", "---\ndescription: x\nglobs:\nalwaysApply: true\n---\nAlways this."),
        (".cursor/rules/asked.mdc", "---\ndescription: How to release\n---\nTag it."),
        (".claude/skills/pdf/SKILL.md", SKILL),
        (".claude/skills/pdf/scripts/read.py", "print()"),
        ("skills/no.txt", "not in a folder"),
    ]);
    let applies = |path: &str| &gathered.files.iter().find(|file| file.path == path).unwrap().applies;
    assert_eq!(gathered.notices, Vec::<String>::new());
    assert_eq!((applies("AGENTS.md"), applies("CLAUDE.md")), (&Applies::Always, &Applies::Never));
    assert_eq!(applies("web/AGENTS.md"), &Applies::Below { directory: "web".into() });
    assert_eq!(applies(".cursor/rules/always.mdc"), &Applies::Always);
    assert_eq!(applies(".cursor/rules/asked.mdc"), &Applies::OnRequest);
    let paths = |path: &str| -> Vec<&str> {
        about(&gathered.files, path).into_iter().map(|index| gathered.files[index].path.as_str()).collect()
    };
    assert_eq!(paths("web/a.rs"), ["web/AGENTS.md"]);
    assert_eq!(
        paths("web/ui/a.ts"),
        ["web/ui/CLAUDE.md", ".github/instructions/ts.instructions.md"]
            .map(|path| path)
            .to_vec()
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
    );
    assert_eq!(paths("website/a.rs"), Vec::<&str>::new());
    let skill = gathered.files.last().unwrap();
    assert_eq!((skill.kind, skill.name.as_deref()), (InstructionKind::Skill, Some("pdf")));
    assert_eq!(
        gathered.skills.keys().collect::<Vec<_>>(),
        [".claude/skills/pdf/SKILL.md", ".claude/skills/pdf/scripts/read.py"]
    );
}

#[test]
fn imports_are_put_in_and_never_lead_out_or_round() {
    let gathered = gather(&[
        ("CLAUDE.md", "See @docs/a.md, @../secret.md, @/etc/passwd and @missing.md. Ask @someone."),
        ("docs/a.md", "A. @b.md"),
        ("docs/b.md", "B. @a.md @../link.md"),
        ("link.md", "→docs/a.md"),
    ]);
    let text = &gathered.files[0].text;
    assert!(text.contains("[docs/a.md]\nA. @b.md") && text.contains("[docs/b.md]\nB."), "{text}");
    assert_eq!(gathered.files[0].imports, ["docs/a.md", "docs/b.md"]);
    for wanted in [
        "../secret.md, which is outside",
        "/etc/passwd, which is outside",
        "missing.md, which is not there",
        "once is enough",
        "link.md, which is a symbolic link",
    ] {
        noticed(&gathered, wanted);
    }
    let chain: Vec<(String, String)> =
        (0..9).map(|at| (format!("{at}.md"), format!("text {at} @{}.md", at + 1))).collect();
    let mut files: Vec<(&str, &str)> =
        chain.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    files.push(("GEMINI.md", "@0.md"));
    let gathered = gather(&files);
    assert!(gathered.files[0].text.contains("text 4") && !gathered.files[0].text.contains("text 5"));
    noticed(&gathered, "5.md");
}

#[test]
fn what_is_wrong_is_said_and_the_rest_is_used() {
    let large = "x".repeat(70_000);
    let gathered = gather(&[
        ("AGENTS.md", "Fine."),
        ("a/AGENTS.md", "→../AGENTS.md"),
        ("b/AGENTS.md", &large),
        ("c/AGENTS.md", "bin\0ary"),
        ("skills/broken/SKILL.md", "---\nname: *x\n---\n"),
        ("skills/headless/SKILL.md", "# Do as I say"),
        ("skills/linked/SKILL.md", "→/etc/passwd"),
        ("skills/one/SKILL.md", SKILL),
        ("skills/two/SKILL.md", SKILL),
        (".cursor/rules/open.mdc", "---\nglobs: a\n"),
    ]);
    for wanted in [
        "a/AGENTS.md is not used: it is a symbolic link",
        "b/AGENTS.md is not used: it has 70000 bytes",
        "c/AGENTS.md is not used: it is no text",
        "broken/SKILL.md is not used: line 2 of its front matter has an alias",
        "headless/SKILL.md is not used: it has no front matter",
        "linked/SKILL.md is not used: it is a symbolic link",
        "two/SKILL.md is not used: there is a skill pdf already",
        "open.mdc is not used: its front matter has no end",
        "one/SKILL.md is called pdf and not as its folder is",
    ] {
        noticed(&gathered, wanted);
    }
    let paths: Vec<&str> = gathered.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["AGENTS.md", "skills/one/SKILL.md"]);
}

#[test]
fn what_cannot_be_seen_is_counted_and_shown() {
    let gathered = gather(&[("AGENTS.md", "Be nice.\u{200b}\u{e0041}\u{202e}")]);
    assert_eq!(gathered.files[0].hidden, 3);
    assert_eq!(gathered.files[0].text, "Be nice.\\u{200b}\\u{e0041}\\u{202e}");
}

#[test]
fn all_is_bounded() {
    let text = "x".repeat(60_000);
    let files: Vec<(String, &str)> =
        (0..200).map(|at| (format!("d{at:03}/AGENTS.md"), text.as_str())).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    let gathered = gather(&files);
    let shown: usize = gathered.files.iter().map(|file| file.text.len()).sum();
    assert!(gathered.files.len() <= 8 && shown <= 128 * 1024 && gathered.notices.len() <= 64);
    noticed(&gathered, "all together are more than 524288 bytes");
    noticed(&gathered, "is cut after 32768 bytes");
}

proptest! {
    #[test]
    fn any_repository_is_gathered(
        texts in prop::collection::vec(
            ("(AGENTS|CLAUDE|a/CLAUDE|skills/x/SKILL|skills/x/a|.cursor/rules/r)", "(---\n)?((name|description|globs): [a-z*&,]{0,6}\n){0,3}(---\n)?(@(a/)?(CLAUDE|AGENTS|b).md[ \n]){0,4}.{0,20}"),
            0..8,
        )
    ) {
        let files: Vec<(String, String)> = texts.into_iter().map(|(path, text)| {
            let ending = if path.starts_with(".cursor") { "mdc" } else { "md" };
            (format!("{path}.{ending}"), text)
        }).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let gathered = gather(&files);
        prop_assert!(gathered.files.iter().all(|file| file.text.len() <= 32 * 1024));
    }
}
