//! A playbook that a table names in the place of a prompt. It is looked up each time, so what an admin has put there last is begun, and what is checked is
//! what is checked where a person fills in its form.

use std::collections::BTreeMap;

use cofferdam_domain::{Digest, OrgId, PlaybookUse, task::Wishes};
use cofferdam_instructions::{Playbook, PlaybookName};
use cofferdam_store::Everything;

use crate::job::{Job, NotBegun};

/// Values of one table.
const MOST_VALUES: usize = 64;

/// Which playbook, and what goes into its places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ByPlaybook {
    name: String,
    digest: Option<Digest>,
    /// The values that the table itself has.
    values: BTreeMap<String, String>,
    /// The model where neither playbook nor table names one.
    pub(crate) usual: Option<String>,
}

/// Values that others have written, by their parameters: what they are, and the mark that stands for them.
pub(crate) type Others = BTreeMap<String, (String, String)>;

/// What a playbook comes down to: the words, on what they are to be worked on, and which it was.
pub(crate) struct Worded {
    pub(crate) prompt: String,
    pub(crate) job: Job,
    pub(crate) used: PlaybookUse,
}

/// What a table says of a prompt or a playbook.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    pub(crate) prompt: Option<&'a str>,
    pub(crate) playbook: Option<&'a str>,
    pub(crate) digest: Option<Digest>,
    pub(crate) values: &'a BTreeMap<String, String>,
}

impl Said<'_> {
    /// The playbook, if one is named; where none is, there has to be a prompt.
    pub(crate) fn by(self) -> Result<Option<ByPlaybook>, String> {
        let Self { prompt, playbook, digest, values } = self;
        let Some(name) = playbook else {
            if !values.is_empty() || digest.is_some() {
                return Err("`values` and `digest` are a `playbook`'s, and none is named".to_owned());
            }
            return match prompt {
                Some(_) => Ok(None),
                None => Err("it needs a `prompt`, or the name of a `playbook`".to_owned()),
            };
        };
        if prompt.is_some() {
            return Err("it has a `prompt` and a `playbook`: leave one of them out".to_owned());
        }
        if values.len() > MOST_VALUES {
            return Err(format!("`values` has more than {MOST_VALUES} entries"));
        }
        let name: PlaybookName = name.parse().map_err(|_| format!("{name:?} is no name of a playbook"))?;
        Ok(Some(ByPlaybook { name: name.to_string(), digest, values: values.clone(), usual: None }))
    }
}

impl ByPlaybook {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The same with other values of the table's own.
    pub(crate) fn with(self, values: BTreeMap<String, String>) -> Self {
        Self { values, ..self }
    }

    /// The task that it is now, with these values of others beside those of the table.
    pub(crate) async fn worded(
        &self,
        store: &dyn Everything,
        org: OrgId,
        job: &Job,
        others: Others,
    ) -> Result<Worded, NotBegun> {
        let kept = store.playbook(org, &self.name, self.digest).await?;
        let kept = kept.ok_or_else(|| {
            let which = self.digest.map(|digest| format!(" with the digest {digest}")).unwrap_or_default();
            self.never(format!("the organisation has none of that name{which}: its admins put it there"))
        })?;
        let playbook = Playbook::parse(&kept.text)
            .map_err(|problem| self.never(format!("it cannot be read any more: {problem}")))?;
        if playbook.digest != kept.digest || playbook.name.as_str() != kept.name {
            return Err(self.never("it is not what was put there: an admin has to put it there again"));
        }
        let (mut values, mut marks) = (self.values.clone(), BTreeMap::new());
        for (name, (value, mark)) in others {
            values.insert(name.clone(), value);
            marks.insert(name, mark);
        }
        let prompt = playbook.fill_marked(&values, &marks).map_err(|problem| self.never(problem))?;
        let wishes = Wishes {
            model: self
                .either("model", playbook.model, job.wishes.model.clone())?
                .or_else(|| self.usual.clone()),
            policy: self.either("policy", playbook.policy, job.wishes.policy.clone())?,
            plan_first: playbook.plan_first || job.wishes.plan_first,
            ..job.wishes.clone()
        };
        let base = self.either("base", playbook.base, job.base.clone())?;
        let used = PlaybookUse { name: kept.name, digest: kept.digest };
        Ok(Worded { prompt, job: Job { base, wishes, ..job.clone() }, used })
    }

    /// What a playbook says, or else the table: not both.
    fn either(
        &self,
        what: &str,
        said: Option<String>,
        table: Option<String>,
    ) -> Result<Option<String>, NotBegun> {
        match (said, table) {
            (Some(said), Some(table)) if said != table => {
                Err(self.never(format!("it says another `{what}` than the table: one of both leaves it out")))
            }
            (Some(one), _) | (None, Some(one)) => Ok(Some(one)),
            (None, None) => Ok(None),
        }
    }

    fn never(&self, problem: impl std::fmt::Display) -> NotBegun {
        NotBegun::Never(format!("the playbook {}: {problem}", self.name))
    }
}
