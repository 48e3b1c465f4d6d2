//! `protected-path`: files that decide what other machines and other agents do.
//!
//! **What.** Any change of CI configuration, hooks, code ownership, agent instructions, git's own control
//! files, editor and container configuration that runs commands on opening, and configuration that redirects
//! package managers; beside these, the policy's own `protected_paths`. **Why.** Such a file takes effect with
//! somebody else's rights, often before anybody reads it: on a runner with secrets, on a colleague's machine,
//! in the next agent's session. **Severity.** Always blocking. Paths are compared in their folded form, so
//! that no spelling that some file system takes for the same name gets by.

use cofferdam_domain::Severity;

use crate::{
    GatePolicy,
    view::{Sink, View},
};

/// Where a name must stand to be protected.
#[derive(Clone, Copy)]
enum At {
    /// The folder of this name at the root, and everything in it.
    RootFolder,
    /// A folder of this name anywhere, and everything in it.
    Folder,
    /// The file of this name at the root.
    RootFile,
    /// A file of this name anywhere.
    File,
    /// A file anywhere whose name starts so.
    Prefix,
}

/// One kind of protected file: why, where, and the names in folded form.
struct Kind {
    why: &'static str,
    at: At,
    names: &'static [&'static str],
}

const KINDS: &[Kind] = &[
    Kind {
        why: "CI configuration: it runs on machines that hold secrets",
        at: At::RootFolder,
        names: &[
            ".github",
            ".gitlab",
            ".forgejo",
            ".gitea",
            ".circleci",
            ".buildkite",
            ".woodpecker",
            ".builds",
            ".semaphore",
            ".teamcity",
            ".tekton",
            ".ci",
            ".zuul.d",
            ".azure-pipelines",
            ".pipelines",
            ".codefresh",
            ".harness",
            ".dagger",
            ".concourse",
            ".drone",
            ".vsts",
            ".prow",
        ],
    },
    Kind {
        why: "CI configuration: it runs on machines that hold secrets",
        at: At::File,
        names: &[
            ".gitlab-ci.yml",
            ".gitlab-ci.yaml",
            ".travis.yml",
            "azure-pipelines.yml",
            "azure-pipelines.yaml",
            ".drone.yml",
            ".drone.yaml",
            ".drone.star",
            ".drone.jsonnet",
            ".woodpecker.yml",
            ".woodpecker.yaml",
            "bitbucket-pipelines.yml",
            "appveyor.yml",
            ".appveyor.yml",
            ".cirrus.yml",
            ".cirrus.star",
            ".build.yml",
            "cloudbuild.yaml",
            "cloudbuild.yml",
            "buildspec.yml",
            "buildspec.yaml",
            ".zuul.yaml",
            ".zuul.yml",
            "codefresh.yml",
            "wercker.yml",
            ".gocd.yaml",
            ".scrutinizer.yml",
            "bors.toml",
            ".mergify.yml",
            ".prow.yaml",
            "renovate.json",
            "renovate.json5",
            ".renovaterc",
            ".renovaterc.json",
            "netlify.toml",
            "vercel.json",
        ],
    },
    Kind {
        why: "CI configuration: it runs on machines that hold secrets",
        at: At::Prefix,
        names: &["jenkinsfile"],
    },
    Kind {
        why: "hooks: they run on the machine of everybody who works on the repository",
        at: At::Folder,
        names: &[".husky", ".githooks", ".git-hooks", ".lefthook", ".lefthook-local", ".hooks"],
    },
    Kind {
        why: "hooks: they run on the machine of everybody who works on the repository",
        at: At::Prefix,
        names: &[
            "lefthook.",
            ".lefthook.",
            "lefthook-local.",
            ".lefthook-local.",
            ".huskyrc",
            ".simple-git-hooks",
            "simple-git-hooks.",
            ".pre-commit-config.",
            ".pre-commit-hooks.",
            ".overcommit.",
            ".lintstagedrc",
            "lint-staged.config.",
        ],
    },
    Kind {
        why: "code ownership: it decides who must review",
        at: At::File,
        names: &["codeowners", "owners", "owners_aliases"],
    },
    Kind {
        why: "agent configuration: it instructs or equips the next agent that works here",
        at: At::Folder,
        names: &[
            ".cursor",
            ".claude",
            ".codex",
            ".gemini",
            ".windsurf",
            ".roo",
            ".kiro",
            ".continue",
            ".opencode",
            ".junie",
            ".amazonq",
            ".augment",
            ".trae",
            ".agents",
            ".agent",
            ".cline",
            ".goose",
            ".factory",
            ".qwen",
            ".cofferdam",
        ],
    },
    Kind {
        why: "agent configuration: it instructs or equips the next agent that works here",
        at: At::File,
        names: &[
            "agents.md",
            "agent.md",
            "agents.override.md",
            "claude.md",
            "claude.local.md",
            "gemini.md",
            "qwen.md",
            "warp.md",
            ".mcp.json",
            "mcp.json",
            ".cursorrules",
            ".cursorignore",
            ".windsurfrules",
            ".roomodes",
            ".goosehints",
            "opencode.json",
            "opencode.jsonc",
            ".rules",
            "copilot-instructions.md",
            "skill.md",
        ],
    },
    Kind {
        why: "agent configuration: it instructs or equips the next agent that works here",
        at: At::Prefix,
        names: &[".cofferdam", "cofferdam.toml", ".clinerules", ".aider", ".roorules", ".replit"],
    },
    Kind {
        why: "git's own control files: they change what is fetched, shown and run",
        at: At::File,
        names: &[".gitattributes", ".gitmodules", ".lfsconfig", ".gitconfig", ".git-credentials"],
    },
    Kind {
        why: "configuration that runs commands when the folder is opened or entered",
        at: At::Folder,
        names: &[".devcontainer", ".vscode", ".idea", ".fleet", ".zed"],
    },
    Kind {
        why: "configuration that runs commands when the folder is opened or entered",
        at: At::File,
        names: &[
            ".envrc",
            ".devcontainer.json",
            ".gitpod.yml",
            ".gitpod.dockerfile",
            ".autoenv",
            ".exrc",
            ".nvimrc",
            ".nvim.lua",
            ".vimrc",
            ".lvimrc",
            ".local.vimrc",
            ".dir-locals.el",
            "mise.toml",
            ".mise.toml",
            ".zshenv",
            ".bashrc",
            ".profile",
            ".bash_profile",
            ".zshrc",
            ".idx",
            "dev.nix",
        ],
    },
    Kind {
        why: "configuration that decides where packages come from",
        at: At::File,
        names: &[
            ".npmrc",
            ".yarnrc",
            ".yarnrc.yml",
            ".pnpmfile.cjs",
            ".pypirc",
            "pip.conf",
            "pip.ini",
            ".pip.conf",
            "uv.toml",
            ".netrc",
            "_netrc",
            "nuget.config",
            "bunfig.toml",
            ".condarc",
            ".gemrc",
            "gradle-wrapper.properties",
            "gradle-wrapper.jar",
            "maven-wrapper.properties",
            "maven-wrapper.jar",
            "gradlew",
            "gradlew.bat",
            "mvnw",
            "mvnw.cmd",
        ],
    },
    Kind {
        why: "configuration that decides where packages come from",
        at: At::Folder,
        names: &[".cargo", ".mvn", ".yarn", ".bundle"],
    },
    Kind {
        why: "the interpreter runs it at every start, before the program and its tests",
        at: At::File,
        names: &["sitecustomize.py", "usercustomize.py"],
    },
    Kind {
        why: "the toolchain that builds and tests the repository",
        at: At::RootFile,
        names: &["rust-toolchain", "rust-toolchain.toml"],
    },
];

pub(crate) fn examine(view: &View<'_>, policy: &GatePolicy, sink: &mut Sink) {
    for file in &view.files {
        if let Some(why) = protected(&file.folded) {
            sink.add(Severity::Blocking, &file.shown, None, why);
        } else if policy.protects(&file.folded) {
            sink.add(Severity::Blocking, &file.shown, None, "protected by the policy (protected_paths)");
        }
    }
}

/// Why a folded path is protected, if it is.
pub(super) fn protected(folded: &str) -> Option<&'static str> {
    let parts: Vec<&str> = folded.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let (name, folders) = parts.split_last()?;
    KINDS
        .iter()
        .find(|kind| {
            // A file or link in the place of a protected folder is protected like the folder.
            kind.names.iter().any(|wanted| match kind.at {
                At::RootFolder => parts.first() == Some(wanted),
                At::Folder => parts.contains(wanted),
                At::RootFile => folders.is_empty() && name == wanted,
                At::File => name == wanted,
                At::Prefix => name.starts_with(wanted),
            })
        })
        .map(|kind| kind.why)
        .or_else(|| is_of_skill(&parts).then_some(SKILL))
}

/// What a skill's folder holds beside its `SKILL.md` (Agent Skills, "Specification", section "Directory structure").
const SKILL: &str = "part of a skill: it equips the next agent that works here";

fn is_of_skill(parts: &[&str]) -> bool {
    // Where skills are kept for agents, whatever is in their folders; elsewhere a folder of that name may be about something else.
    let kept = |place: usize| place == 0 || parts[place - 1].starts_with('.');
    let mut places = parts.windows(3).enumerate();
    if places.any(|(place, parts)| kept(place) && matches!(parts, ["skills" | "skill", _, _])) {
        return true;
    }
    parts
        .windows(4)
        .any(|parts| matches!(parts, ["skills" | "skill", _, "scripts" | "references" | "assets", _]))
}

/// Whether a folded path is CI configuration.
pub(super) fn is_ci(folded: &str) -> bool {
    protected(folded).is_some_and(|why| why.starts_with("CI "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::fold_path;

    #[test]
    fn every_spelling_is_seen() {
        for path in [
            ".github/workflows/ci.yml",
            ".GitHub/x",
            ".github",
            ".git\u{200d}hub/workflows/a.yml",
            ".github\\workflows\\a.yml",
            "sub/.gitlab-ci.yml",
            "AGENTS.md",
            "agents.md ",
            "deep/down/CLAUDE.md",
            ".cursor/rules/a.mdc",
            ".husky/pre-commit",
            "lefthook.yml",
            ".pre-commit-config.yaml",
            "docs/CODEOWNERS",
            "skills/pdf/scripts/read.py",
            "skills/pdf/forms.md",
            ".claude/skills/pdf/more/forms.md",
            "tools/skills/pdf/References/a.md",
            ".cofferdam.toml",
            "cofferdam.toml",
            ".gitattributes",
            ".gitmodules",
            "pkg/.npmrc",
            ".cargo/config.toml",
            ".devcontainer/devcontainer.json",
            ".envrc",
            "Jenkinsfile.prod",
            ".woodpecker/build.yaml",
            ".mcp.json",
            "rust-toolchain.toml",
            "CLAUDE\u{301}.md",
        ] {
            let expected = path != "CLAUDE\u{301}.md";
            assert_eq!(protected(&fold_path(path.as_bytes())).is_some(), expected, "{path}");
        }
    }

    #[test]
    fn ordinary_files_are_not() {
        for path in [
            "src/main.rs",
            "Makefile",
            "package.json",
            "Cargo.toml",
            "README.md",
            "docs/agents.rst",
            "src/github/workflows.rs",
            "github/x.yml",
            "src/owners.rs",
            ".gitignore",
            ".env.example",
            "tests/fixtures/agents.json",
            "cargo/config.toml",
            "Dockerfile",
            "pyproject.toml",
            ".editorconfig",
            "src/hooks/use_state.ts",
            "game/skills/fire/ball.rs",
            "skills/README.md",
        ] {
            assert_eq!(protected(&fold_path(path.as_bytes())), None, "{path}");
        }
    }

    #[test]
    fn names_in_the_table_are_folded() {
        for name in KINDS.iter().flat_map(|kind| kind.names) {
            let with_tail = format!("{name}x");
            assert_eq!(fold_path(with_tail.as_bytes()), with_tail, "{name}");
        }
    }
}
