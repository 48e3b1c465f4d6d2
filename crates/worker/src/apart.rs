//! Repositories of one session that not the same people may read. Whatever the agent has read may be in what it writes: a change to one of them, its
//! pull request's text, a link to the other. So one is not worked on beside another that fewer people may read, unless the operator has named that one
//! for it.

use cofferdam_domain::{event::Repository, hidden::visible};

use crate::{WorkerError, sparse::is_at, stage::StageContext};

/// Characters of an address in what people are told.
const LONGEST_SHOWN: usize = 200;

/// Why the session's repositories, all of which were found, may not be worked on together; `None` where they may.
pub(crate) async fn objection(context: &StageContext) -> Result<Option<String>, WorkerError> {
    let mut found = Vec::new();
    for part in context.whole.parts() {
        let one = context.of(part)?;
        let (address, readers) = (one.asked()?.0.to_owned(), Readers::of(one.repository()?));
        found.push(Found { address, readers, named: is_named(&one).await? });
    }
    Ok(told(&found))
}

/// Who may read a repository, from fewer to more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Readers {
    /// Nobody says that it is anybody besides those who were asked in.
    Some,
    /// Whoever reaches its forge.
    OfForge,
    /// Everybody.
    All,
}

impl Readers {
    fn of(repository: &Repository) -> Self {
        match (repository.public, repository.shared) {
            (true, _) => Self::All,
            (false, true) => Self::OfForge,
            (false, false) => Self::Some,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Some => "only those may who were asked in, for all that is known",
            Self::OfForge => "whoever reaches its forge may",
            Self::All => "everybody may",
        }
    }
}

/// One of the session's repositories.
struct Found {
    address: String,
    readers: Readers,
    /// Whether the operator has named it as one that may be beside those that more people may read.
    named: bool,
}

async fn is_named(context: &StageContext) -> Result<bool, WorkerError> {
    if context.parts.beside_public.is_empty() {
        return Ok(false);
    }
    let asked = context.address().await?.to_string();
    for named in &context.parts.beside_public {
        if is_at(context, named, &asked).await {
            return Ok(true);
        }
    }
    Ok(false)
}

fn told(found: &[Found]) -> Option<String> {
    let open = found.iter().max_by_key(|one| one.readers)?;
    let closed = found.iter().find(|one| one.readers < open.readers && !one.named)?;
    let shown = |one: &Found| visible(one.address.as_bytes()).chars().take(LONGEST_SHOWN).collect::<String>();
    Some(format!(
        "not the same people may read its repositories: {} {}, {} {}; what is in the one could get into the other's change or pull request. Give each a \
         session of its own; or whoever runs Cofferdam names the second in `beside_public` of [repositories], if more people may see what is in it",
        shown(open),
        open.readers.words(),
        shown(closed),
        closed.readers.words(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(repositories: &[(Readers, bool)]) -> Vec<Found> {
        let found = |(number, (readers, named)): (usize, &(Readers, bool))| Found {
            address: format!("https://h/a/{number}"),
            readers: *readers,
            named: *named,
        };
        repositories.iter().enumerate().map(found).collect()
    }

    #[test]
    fn none_is_beside_one_that_fewer_people_may_read() {
        let (all, forge, some) = ((Readers::All, false), (Readers::OfForge, false), (Readers::Some, false));
        let named = (Readers::Some, true);
        for together in [
            &[all][..],
            &[some],
            &[all, all],
            &[forge, forge],
            &[some, some],
            &[some, named],
            &[all, named],
            &[named, forge],
        ] {
            assert_eq!(told(&found(together)), None, "{together:?}");
        }
        for (apart, which) in [
            (&[all, some][..], ["h/a/0 everybody", "h/a/1 only"]),
            (&[some, all], ["h/a/1 everybody", "h/a/0 only"]),
            (&[forge, some], ["h/a/0 whoever", "h/a/1 only"]),
            (&[forge, all], ["h/a/1 everybody", "h/a/0 whoever"]),
            (&[named, all, some], ["h/a/1 everybody", "h/a/2 only"]),
        ] {
            let why = told(&found(apart)).unwrap();
            assert!(which.iter().all(|one| why.contains(one)) && why.contains("beside_public"), "{why}");
        }
    }

    #[test]
    fn addresses_are_inert() {
        let mut odd = found(&[(Readers::All, false), (Readers::Some, false)]);
        odd[1].address = format!("/\u{202e}{}", "x".repeat(1000));
        let why = told(&odd).unwrap();
        assert!(!why.contains('\u{202e}') && why.len() < 900, "{why}");
    }
}
