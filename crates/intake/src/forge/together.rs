//! Repositories that belong together: a task that is asked for in one of them is about the others as well. Only the operator says which; nothing
//! that anybody writes on a forge does. One that not the same people may read as those that the task is about already is left out: what is in one of them
//! could get into another one's change.

use cofferdam_domain::{Also, EventBody, Label, task::is_base};
use cofferdam_forge::{
    hook::Repository,
    remote::{At, Right, TalkError},
};
use serde::Deserialize;

use super::{
    text,
    way::{Case, ForgeWay, Trouble},
};

/// The most repositories beside one.
const MOST: usize = cofferdam_domain::part::MOST_ALSO;

/// One `[[forge.together]]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TogetherSettings {
    /// The repository in which tasks are asked for, by its path on the forge.
    pub repository: String,
    /// Those that they are about as well, by their paths there, each with `#` and the ref to start from if need be.
    pub also: Vec<String>,
}

impl TogetherSettings {
    /// What is wrong with the tables, if something is.
    pub(super) fn check(tables: &[Self]) -> Result<(), &'static str> {
        let is_path = |path: &str| {
            let plain =
                |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(char::is_control);
            path.contains('/') && path.split('/').all(plain) && !path.contains([':', ' ', '#', '\\'])
        };
        for (place, table) in tables.iter().enumerate() {
            let also: Vec<Also> = table.also.iter().map(|typed| Also::typed(typed)).collect();
            if !is_path(&table.repository) || !also.iter().all(|one| is_path(&one.repository)) {
                return Err("[[forge.together]]: repositories are paths on the forge, such as \"acme/app\"");
            }
            if !also.iter().all(|one| one.base.as_deref().is_none_or(is_base)) {
                return Err("[[forge.together]]: after a `#` comes the name of a branch, tag or commit");
            }
            if also.is_empty() || also.len() > MOST {
                return Err("[[forge.together]]: `also` names one to five repositories");
            }
            let mut all: Vec<String> = also.iter().map(|one| one.repository.to_lowercase()).collect();
            all.push(table.repository.to_lowercase());
            all.sort_unstable();
            all.dedup();
            let twice = tables.iter().take(place).any(|known| is_same(&known.repository, &table.repository));
            if twice || all.len() != also.len() + 1 {
                return Err(
                    "[[forge.together]]: each repository has one table, and each of its others is named once",
                );
            }
        }
        Ok(())
    }
}

fn is_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

impl ForgeWay {
    /// Those that belong to a repository, by their paths.
    fn belonging_to(&self, path: &str) -> Vec<Also> {
        let tables = &self.wanted.together;
        let found = tables.iter().find(|table| is_same(&table.repository, path));
        found.into_iter().flat_map(|table| &table.also).map(|typed| Also::typed(typed)).collect()
    }
}

impl Case<'_> {
    /// The repositories that a task which is asked for here is about as well, and what is told of those that are left out. What the session makes is
    /// pushed to each, so whoever asks, and the account itself, must be one who may in each what they must be able to do here.
    pub(super) async fn beside(&self) -> Result<(Vec<Also>, Vec<EventBody>), Trouble> {
        let (mut beside, mut told) = (Vec::new(), Vec::new());
        let belonging = self.way.belonging_to(&self.at.path);
        if belonging.is_empty() {
            return Ok((beside, told));
        }
        let main = self.way.talk.repository(&self.at.path).await?;
        if main.id != self.at.id {
            let why = "another repository has the name of the one in which it was asked for";
            return Ok((beside, belonging.iter().map(|one| left_out(&one.repository, why)).collect()));
        }
        let mut taken = vec![self.read_by(&main)];
        for Also { repository: path, base } in belonging {
            match self.objection(&path, &taken).await? {
                Ok(found) => {
                    let repository = self.way.site.clone_url(&found.path).to_string();
                    beside.push(Also { repository, base });
                    taken.push(found);
                }
                Err(why) => told.push(left_out(&path, &why)),
            }
        }
        Ok((beside, told))
    }

    fn read_by(&self, found: &Repository) -> ReadBy {
        let is_it = |named: &String| {
            self.path_of(named.trim_end_matches('/')).is_some_and(|path| is_same(&path, &found.path))
        };
        let named = self.way.beside_public.iter().any(is_it);
        ReadBy { path: found.path.clone(), all: found.public, named }
    }

    /// A repository as it is now, or why it is left out.
    async fn objection(&self, path: &str, taken: &[ReadBy]) -> Result<Result<ReadBy, String>, Trouble> {
        let talk = &self.way.talk;
        let found = match talk.repository(path).await {
            Ok(found) => found,
            Err(TalkError::Missing { .. } | TalkError::Forbidden { .. }) => {
                return Ok(Err("it is not there, or this account may not see it".to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
        if !self.way.permits(&found.path) {
            return Ok(Err("it is not in a place that this server may work on".to_owned()));
        }
        let read_by = self.read_by(&found);
        let at = At { id: found.id, path: found.path };
        let (actor, least) = (&self.occasion.actor, self.rules.least);
        if talk.right_of(&at, actor).await? < least {
            return Ok(Err(format!("{} may not ask for work there", text::name(&actor.login))));
        }
        if talk.right_of(&at, &self.rules.me).await? < Right::Write.max(least) {
            return Ok(Err("this account may not push there".to_owned()));
        }
        Ok(read_by.apart_from(taken).map_or(Ok(read_by), Err))
    }
}

/// Who may read one of the repositories, all of which are on one forge.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ReadBy {
    path: String,
    /// Whoever reaches the forge; otherwise only those who were asked in.
    all: bool,
    /// Whether the operator has named it as one that may be beside those that more people may read.
    named: bool,
}

impl ReadBy {
    /// Why it is not taken beside these; `None` where nobody who may read one of them learns of another one that they may not read.
    fn apart_from(&self, taken: &[Self]) -> Option<String> {
        let would_open = |closed: &Self, open: &Self| open.all && !closed.all && !closed.named;
        let other = taken.iter().find(|other| would_open(self, other) || would_open(other, self))?;
        let (open, closed) = if self.all { (self, other) } else { (other, self) };
        let shown = |one: &Self| text::name(&one.path).replace('`', "'");
        let (open, closed) = (shown(open), shown(closed));
        Some(format!(
            "not the same people may read them: `{open}` whoever reaches the forge, `{closed}` only those who were asked in, and what is in that one could get \
             where the others read it. Whoever runs Cofferdam includes it by naming the address of `{closed}` in `beside_public` of [repositories], if more people \
             may see what is in it"
        ))
    }
}

fn left_out(path: &str, why: &str) -> EventBody {
    EventBody::MessageReceived {
        from: "Cofferdam".to_owned(),
        text: format!(
            "The repository `{path}` belongs to such tasks as well and is left out of this one: {why}."
        ),
        label: Label::PLATFORM,
        about: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tables: &[(&str, &[&str])]) -> Result<(), &'static str> {
        let table = |(repository, also): &(&str, &[&str])| TogetherSettings {
            repository: (*repository).to_owned(),
            also: also.iter().map(|one| (*one).to_owned()).collect(),
        };
        TogetherSettings::check(&tables.iter().map(table).collect::<Vec<_>>())
    }

    #[test]
    fn none_is_beside_one_that_fewer_people_may_read() {
        let one = |path: &str, all, named| ReadBy { path: path.to_owned(), all, named };
        let (open, closed, named) =
            (one("a/open", true, false), one("a/closed", false, false), one("a/named", false, true));
        for (taken, next) in [
            (vec![open.clone()], &open),
            (vec![closed.clone()], &closed),
            (vec![open.clone()], &named),
            (vec![named.clone()], &open),
            (vec![closed.clone()], &named),
        ] {
            assert_eq!(next.apart_from(&taken), None, "{taken:?} {next:?}");
        }
        for (taken, next) in [
            (vec![open.clone()], &closed),
            (vec![closed.clone()], &open),
            (vec![named.clone(), open.clone()], &closed),
            (vec![named, closed.clone()], &open),
        ] {
            let why = next.apart_from(&taken).unwrap();
            assert!(why.contains("`a/open` whoever") && why.contains("`a/closed` only"), "{why}");
            assert!(why.contains("beside_public"), "{why}");
        }
        let odd = one("a/`\u{202e}x", false, false).apart_from(&[open]).unwrap();
        assert!(!odd.contains('\u{202e}') && odd.contains("`a/'\\u{202e}x`"), "{odd}");
    }

    #[test]
    fn tables_that_can_be() {
        assert_eq!(
            check(&[("acme/app", &["acme/lib", "group/sub/docs#next"]), ("acme/lib", &["acme/app"])]),
            Ok(())
        );
    }

    #[test]
    fn tables_that_cannot() {
        for (tables, why) in [
            (&[("app", &["acme/lib"][..])][..], "paths"),
            (&[("acme/app", &["https://h/acme/lib"])], "paths"),
            (&[("acme/app", &["acme/../lib"])], "paths"),
            (&[("acme/app", &["/lib"])], "paths"),
            (&[("acme/app", &["acme/lib#-x"])], "after a `#`"),
            (&[("acme/app", &[])], "one to five"),
            (&[("acme/app", &["a/1", "a/2", "a/3", "a/4", "a/5", "a/6"])], "one to five"),
            (&[("acme/app", &["Acme/App"])], "once"),
            (&[("acme/app", &["acme/lib", "acme/lib"])], "once"),
            (&[("acme/app", &["acme/lib"]), ("ACME/app", &["acme/docs"])], "once"),
        ] {
            let said = check(tables).unwrap_err();
            assert!(said.contains(why), "{tables:?}: {said}");
        }
    }
}
