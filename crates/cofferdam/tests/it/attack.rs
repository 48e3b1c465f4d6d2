//! The hostile suite, group by group: a release may not ship with one case failing.

use serde_json::Value;

use crate::harness::{World, skip};

/// Carries out a group, of which every case has to hold.
fn holds(group: &str) {
    let Some(world) = World::with_sandboxes() else { return };
    let output = world.run(&["attack", "--json", "--group", group]);
    let reports: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!reports.is_empty(), "{output}");
    let of =
        |verdict: &str| reports.iter().filter(move |report| report["verdict"] == verdict).collect::<Vec<_>>();
    for report in of("skipped") {
        skip(&format!("{} {}: {}", report["id"], report["title"], report["reason"]));
    }
    let failed: Vec<String> = of("failed")
        .iter()
        .map(|report| {
            format!(
                "{} by {}: {}: {}",
                report["id"],
                report["driver"],
                report["title"],
                report["reason"].as_str().unwrap_or_default()
            )
        })
        .collect();
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), reports.len(), failed.join("\n"));
    assert_eq!(output.status, 0, "{output}");
    if of("skipped").len() == reports.len() {
        return;
    }
    assert!(
        !of("stopped").is_empty() && !of("passed_benign").is_empty(),
        "{group} attacks, and lets through what it should"
    );
}

macro_rules! groups {
    ($($name:ident: $group:literal),* $(,)?) => {$(
        #[test]
        fn $name() {
            holds($group);
        }
    )*};
}

groups! {
    prompt_injection: "PI",
    hallucinated_packages: "HX",
    guardrails: "GB",
    system_prompt: "SP",
    misaligned_changes: "MB",
    tools: "TM",
    exfiltration: "EX",
    denial_of_service: "DW",
    code_execution: "CE",
    persistence: "PE",
    supply_chain: "SC",
    privileges: "PR",
    other_tenants: "CT",
    people: "UM",
    advice: "CP",
    outputs_of_tools: "TO",
    subagents: "MA",
    escapes: "SB",
    poisoned_models: "TP",
    goals: "GM",
    tired_people: "HF",
}

#[test]
fn a_case_that_is_not_there() {
    let Some(world) = World::with_sandboxes() else { return };
    let output = world.run(&["attack", "--case", "EX-99"]);
    assert_eq!(output.status, 1, "{output}");
    assert!(output.stderr.contains("there is no such case") && output.stderr.contains("EX"), "{output}");
    // What waits for a later part is listed, and counts neither way.
    let later = world.run(&["attack", "--json", "--case", "SB-34"]);
    let report: Value = serde_json::from_str(later.stdout.trim()).unwrap();
    assert_eq!((later.status, &report["verdict"]), (0, &Value::from("not_yet_applicable")), "{later}");
}
