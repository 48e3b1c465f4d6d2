//! What models are shown of the tools.

use cofferdam_domain::event::EditFormat;
use cofferdam_sandbox::System;
use cofferdam_tools::Toolbox;

/// All tools together cost tokens in every request.
const MAX_BYTES: usize = 8000;

#[test]
fn specs_are_small_and_stable() {
    for (edits, name) in
        [(EditFormat::Replace, "specs_replace"), (EditFormat::ApplyPatch, "specs_apply_patch")]
    {
        let specs = Toolbox::standard(edits).specs();
        let bytes = serde_json::to_vec(&specs).unwrap();
        assert_eq!(bytes, serde_json::to_vec(&Toolbox::standard(edits).specs()).unwrap());
        assert!(bytes.len() <= MAX_BYTES, "{name}: {} bytes", bytes.len());
        insta::assert_snapshot!(name, serde_json::to_string_pretty(&specs).unwrap());
    }
}

#[test]
fn what_changes_files_or_the_session_runs_alone() {
    for edits in [EditFormat::Replace, EditFormat::ApplyPatch] {
        for spec in Toolbox::standard(edits).specs() {
            let alone = ["edit", "write", "apply_patch", "process", "plan", "ask", "finish"]
                .contains(&spec.name.as_str());
            assert_eq!(spec.parallel, !alone, "{}", spec.name);
        }
    }
}

#[test]
fn root_is_offered_only_where_there_is_one() {
    let offered = |system| {
        let specs = Toolbox::standard(EditFormat::Replace).with_system(system).specs();
        let shell = specs.into_iter().find(|spec| spec.name == "shell").unwrap();
        shell.parameters["properties"].get("root").cloned()
    };
    assert_eq!(offered(System::ReadOnly), None);
    assert_eq!(offered(System::Writable).unwrap()["type"], "boolean");
    let names = |system| -> Vec<String> {
        let specs = Toolbox::standard(EditFormat::Replace).with_system(system).specs();
        specs.into_iter().map(|spec| spec.name).collect()
    };
    assert_eq!(names(System::ReadOnly), names(System::Writable), "all else stays");
}
