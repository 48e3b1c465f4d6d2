//! Where the sessions of a way in belong.

use cofferdam_domain::{OrgId, ProjectId};
use cofferdam_store::{Everything, StoreError};

/// What an organisation's first project is called.
const FIRST_PROJECT: &str = "default";

/// The organisation and the project that what arrives one way is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The organisation.
    pub org: OrgId,
    /// The project.
    pub project: ProjectId,
}

/// There is no such place.
#[derive(Debug, thiserror::Error)]
pub enum NoPlace {
    /// There is no such organisation.
    #[error("there is no organisation {0:?}: `cofferdam admin org` makes one")]
    Organisation(String),
    /// There is no such project.
    #[error(
        "the organisation {organisation:?} has no project {project:?}: its admins make one with POST /api/v1/projects"
    )]
    Project {
        /// The organisation's name.
        organisation: String,
        /// The project's.
        project: String,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Place {
    /// Looks up a place by its names; without a project the organisation's first.
    ///
    /// # Errors
    /// When there is no such organisation or project.
    pub async fn find(
        store: &dyn Everything,
        organisation: &str,
        project: Option<&str>,
    ) -> Result<Self, NoPlace> {
        let orgs = store.orgs().await?;
        let org = orgs.iter().find(|org| org.name == organisation || org.id.to_string() == organisation);
        let org = org.ok_or_else(|| NoPlace::Organisation(organisation.to_owned()))?.id;
        let projects = store.projects(org).await?;
        let found = match project {
            Some(name) => {
                projects.iter().find(|project| project.name == name || project.id.to_string() == name)
            }
            None => projects.iter().find(|project| project.name == FIRST_PROJECT).or(projects.first()),
        };
        match found {
            Some(found) => Ok(Self { org, project: found.id }),
            None => Err(NoPlace::Project {
                organisation: organisation.to_owned(),
                project: project.unwrap_or(FIRST_PROJECT).to_owned(),
            }),
        }
    }
}
