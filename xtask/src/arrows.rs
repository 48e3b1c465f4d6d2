//! Which crate may depend on which. The table is the architecture; ARCHITECTURE.md draws it.

use crate::metadata::Metadata;

/// Each crate with the crates of the workspace that it may use. Dependencies run downwards only.
const ARROWS: &[(&str, &[&str])] = &[
    ("cofferdam-domain", &[]),
    ("cofferdam-hand", &[]),
    ("cofferdam-sandbox", &["cofferdam-domain", "cofferdam-hand"]),
    ("cofferdam-sandbox-docker", &["cofferdam-domain", "cofferdam-sandbox"]),
    ("cofferdam-conformance", &["cofferdam-domain", "cofferdam-sandbox"]),
    ("cofferdam-egress", &["cofferdam-domain"]),
    ("cofferdam-store", &["cofferdam-domain"]),
    ("cofferdam-model", &["cofferdam-domain"]),
    ("cofferdam-forge", &["cofferdam-domain", "cofferdam-instructions"]),
    ("cofferdam-instructions", &["cofferdam-domain"]),
    ("cofferdam-mcp", &["cofferdam-domain"]),
    ("cofferdam-browser", &["cofferdam-domain"]),
    ("cofferdam-gate", &["cofferdam-domain"]),
    ("cofferdam-tools", &["cofferdam-browser", "cofferdam-domain", "cofferdam-sandbox"]),
    ("cofferdam-agent", &["cofferdam-domain", "cofferdam-instructions"]),
    ("cofferdam-attack", &["cofferdam-domain"]),
    (
        "cofferdam-worker",
        &[
            "cofferdam-agent",
            "cofferdam-domain",
            "cofferdam-egress",
            "cofferdam-forge",
            "cofferdam-gate",
            "cofferdam-instructions",
            "cofferdam-mcp",
            "cofferdam-model",
            "cofferdam-sandbox",
            "cofferdam-store",
            "cofferdam-tools",
        ],
    ),
    (
        "cofferdam-server",
        &["cofferdam-domain", "cofferdam-gate", "cofferdam-instructions", "cofferdam-store"],
    ),
    ("cofferdam-telemetry", &["cofferdam-domain"]),
    (
        "cofferdam-tell",
        &[
            "cofferdam-agent",
            "cofferdam-domain",
            "cofferdam-egress",
            "cofferdam-forge",
            "cofferdam-gate",
            "cofferdam-store",
        ],
    ),
    (
        "cofferdam-intake",
        &[
            "cofferdam-domain",
            "cofferdam-forge",
            "cofferdam-instructions",
            "cofferdam-store",
            "cofferdam-tell",
        ],
    ),
    ("cofferdam-testkit", &["cofferdam-domain", "cofferdam-model"]),
    ("cofferdam-faults", &["cofferdam-domain", "cofferdam-sandbox", "cofferdam-testkit"]),
    (
        "cofferdam-bench",
        &["cofferdam-domain", "cofferdam-model", "cofferdam-sandbox", "cofferdam-store", "cofferdam-testkit"],
    ),
    (
        "cofferdam",
        &[
            "cofferdam-agent",
            "cofferdam-attack",
            "cofferdam-domain",
            "cofferdam-egress",
            "cofferdam-forge",
            "cofferdam-gate",
            "cofferdam-instructions",
            "cofferdam-intake",
            "cofferdam-mcp",
            "cofferdam-model",
            "cofferdam-sandbox",
            "cofferdam-sandbox-docker",
            "cofferdam-server",
            "cofferdam-store",
            "cofferdam-tell",
            "cofferdam-telemetry",
            "cofferdam-tools",
            "cofferdam-worker",
        ],
    ),
    ("xtask", &[]),
];

/// Libraries that only one crate may know.
const KEPT_IN: &[(&str, &[&str])] = &[
    // A benchmark compares with the database's own insert.
    ("sqlx", &["cofferdam-bench", "cofferdam-store"]),
    (
        "reqwest",
        &[
            "cofferdam-forge",
            "cofferdam-model",
            "cofferdam-server",
            "cofferdam-store",
            "cofferdam-tell",
            "cofferdam-telemetry",
            "cofferdam-testkit",
        ],
    ),
    ("rmcp", &["cofferdam-mcp"]),
    ("clap", &["cofferdam"]),
    ("bollard", &["cofferdam-sandbox-docker"]),
    ("axum", &["cofferdam-server", "cofferdam-attack", "cofferdam-testkit", "cofferdam-bench"]),
    ("utoipa", &["cofferdam-server"]),
    ("maud", &["cofferdam-server"]),
    ("grep-searcher", &["cofferdam-hand"]),
];

/// Libraries that a pure crate may not know.
const PURE: &[&str] = &["cofferdam-domain", "cofferdam-instructions", "cofferdam-agent", "cofferdam-gate"];
const IMPURE: &[&str] = &["tokio", "reqwest", "sqlx", "rustix", "libc", "axum"];

/// Every arrow that the table does not allow.
pub(crate) fn check(metadata: &Metadata) -> Vec<String> {
    let mut problems = Vec::new();
    for package in metadata.members() {
        let name = package.name.as_str();
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            problems.push(format!("crate {name} is not in the table of arrows (xtask/src/arrows.rs)"));
            continue;
        };
        for dependency in
            package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev"))
        {
            let used = dependency.name.as_str();
            let ours = used.starts_with("cofferdam") || used == "xtask";
            if ours && !allowed.contains(&used) {
                problems.push(format!("{name} may not depend on {used}"));
            }
            if KEPT_IN.iter().any(|(library, homes)| *library == used && !homes.contains(&name)) {
                problems.push(format!("{name} may not depend on {used}: it is kept in one crate"));
            }
            if PURE.contains(&name) && IMPURE.contains(&used) {
                problems.push(format!("{name} is pure and may not depend on {used}"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Dependency, Package};

    fn member(name: &str, uses: &str) -> Metadata {
        let package = Package {
            id: name.into(),
            name: name.into(),
            version: "0.1.0".into(),
            license: None,
            license_file: None,
            manifest_path: "Cargo.toml".into(),
            dependencies: vec![Dependency { name: uses.into(), kind: None }],
        };
        Metadata { packages: vec![package], workspace_members: vec![name.into()] }
    }

    #[test]
    fn upward_and_impure_arrows_are_seen() {
        assert!(check(&member("cofferdam-agent", "cofferdam-domain")).is_empty());
        for (name, uses) in [
            ("cofferdam-domain", "cofferdam-store"),
            ("cofferdam-agent", "tokio"),
            ("cofferdam-worker", "sqlx"),
            ("cofferdam-common", "serde"),
        ] {
            assert_eq!(check(&member(name, uses)).len(), 1, "{name} → {uses}");
        }
    }
}
