//! What a decision costs, beside the floor of looking a host's name up: `cargo bench -p cofferdam-egress`.
//!
//! All are measured in turn in one run, so that the ratios hold whatever else the machine does.

use std::{
    collections::{BTreeSet, HashMap},
    error::Error,
    hint::black_box,
    time::{Duration, Instant},
};

use cofferdam_domain::egress::{EgressPolicy, EgressRule, HostName, Method, Scheme};
use cofferdam_egress::{Body, Decision, Request, Rules, Target};

const RULES: usize = 1_000;
const ROUNDS: usize = 30;
const PER_ROUND: u32 = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let many_hosts = rules(|number| (format!("h{number}.example.com"), "/repos/*/b/**".to_owned()))?;
    let one_host = rules(|number| ("h500.example.com".to_owned(), format!("/repos/a{number}/b/**")))?;
    let names: HashMap<HostName, usize> = (0..RULES)
        .map(|number| Ok((format!("h{number}.example.com").parse()?, number)))
        .collect::<Result<_, Box<dyn Error>>>()?;
    let permitted: Target = "https://h500.example.com/repos/a999/b/contents/src/lib.rs".parse()?;
    let refused: Target = "https://h500.example.com/user".parse()?;
    let unknown: Target = "https://evil.example.org/".parse()?;

    let cases: [(&str, &dyn Fn() -> bool); 6] = [
        ("hash look-up of the host", &|| names.contains_key(black_box(&permitted.host))),
        ("permitted, 1,000 rules, each for a host", &|| decide(&many_hosts, &permitted)),
        ("refused by its path, 1,000 rules, each for a host", &|| !decide(&many_hosts, &refused)),
        ("refused by its host, 1,000 rules", &|| !decide(&many_hosts, &unknown)),
        ("permitted by the last of 1,000 rules for one host", &|| decide(&one_host, &permitted)),
        ("refused by 1,000 rules for one host", &|| !decide(&one_host, &refused)),
    ];
    let mut times = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for ((what, case), times) in cases.iter().zip(&mut times) {
            times.push(round(case).ok_or_else(|| format!("decided wrongly: {what}"))?);
        }
    }
    let mut medians = times.iter_mut().map(|times| median(times));
    let floor = medians.next().unwrap_or_default();
    say(&format!("{}: {floor:?}", cases[0].0));
    for ((what, _), time) in cases.iter().skip(1).zip(medians) {
        say(&format!("{what}: {time:?}, {:.1} × floor", time.as_secs_f64() / floor.as_secs_f64()));
    }
    Ok(())
}

fn rules(place: impl Fn(usize) -> (String, String)) -> Result<Rules, Box<dyn Error>> {
    let mut policy = EgressPolicy::default();
    for number in 0..RULES {
        let (host, path) = place(number);
        let rule = EgressRule::new(format!("rule {number}"), host.parse()?);
        policy.rules.push(EgressRule { paths: vec![path.parse()?], ..rule });
    }
    Ok(Rules::new(&policy, Vec::new(), BTreeSet::new())?)
}

fn decide(rules: &Rules, target: &Target) -> bool {
    let request = Request {
        scheme: Scheme::Https,
        host: &target.host,
        port: target.port(),
        method: &Method::GET,
        path: &target.path,
        query: None,
        body: Body::None,
        upgrade: false,
    };
    matches!(rules.request(black_box(&request)), Decision::Allow(_))
}

/// The time that one takes, if all were decided as they must be.
fn round(case: impl Fn() -> bool) -> Option<Duration> {
    let started = Instant::now();
    let right = (0..PER_ROUND).filter(|_| black_box(case())).count();
    let time = started.elapsed() / PER_ROUND;
    (u32::try_from(right) == Ok(PER_ROUND)).then_some(time)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[expect(clippy::print_stdout, reason = "the figures are what a benchmark is for")]
fn say(line: &str) {
    println!("{line}");
}
