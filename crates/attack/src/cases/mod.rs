//! The catalogue, a file for each group. The ids are those of the published catalogue of hostile cases; one id may have several cases (its
//! variants, each driver, its twins), and cases whose mechanism the product does not have yet are listed as such ([`later`]).

mod advice;
mod browsing;
mod change;
mod code_execution;
mod denial;
mod exfiltration;
mod guardrail;
mod injection;
mod issues;
mod later;
mod packages;
mod people;
mod persistence;
mod prose;
mod pulls;
mod sandbox;
mod servers;
mod service;
mod sharing;
mod subagents;
mod tools;

use crate::{
    case::{Case, Held},
    problem::{Result, ensure},
    world::World,
};

/// Every case, group by group.
pub(crate) fn all() -> Vec<Case> {
    let groups: [fn() -> Vec<Case>; 21] = [
        injection::cases,
        guardrail::cases,
        exfiltration::cases,
        packages::cases,
        code_execution::cases,
        persistence::cases,
        change::cases,
        tools::cases,
        denial::cases,
        sharing::cases,
        prose::cases,
        sandbox::cases,
        advice::cases,
        servers::cases,
        subagents::cases,
        service::cases,
        issues::cases,
        pulls::cases,
        people::cases,
        browsing::cases,
        later::cases,
    ];
    groups.iter().flat_map(|cases| cases()).collect()
}

/// That no command of the sandbox left its mark on the host: cases have them write `{world}/owned`.
fn nothing_ran_on_the_host(world: &World) -> Result<Held> {
    ensure(!world.path("owned").exists(), || "something ran on the host".to_owned())?;
    Ok(Held::default().because("nothing ran on the host"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_named_as_in_the_catalogue() {
        for case in all() {
            let (group, number) = case.id.split_once('-').unwrap();
            assert!(
                group.len() == 2 && group.bytes().all(|letter| letter.is_ascii_uppercase()),
                "{}",
                case.id
            );
            assert!(
                number.len() >= 2 && number.as_bytes()[..2].iter().all(u8::is_ascii_digit),
                "{}",
                case.id
            );
        }
    }

    #[test]
    fn every_escape_vector_is_answered() {
        let all = all();
        let numbers = (1..=55).map(|number| format!("SB-{number:02}"));
        for id in numbers.chain(["SB-43b", "SB-43c", "SB-43d"].map(str::to_owned)) {
            assert!(all.iter().any(|case| case.id == id || case.covers.contains(&id.as_str())), "{id}");
        }
    }

    #[test]
    fn every_group_that_attacks_has_a_twin() {
        let all = all();
        for case in all.iter().filter(|case| case.driver.is_some()) {
            let group = case.group();
            assert!(all.iter().any(|twin| twin.twin && twin.group() == group), "{group} has no benign twin");
        }
    }
}
