//! People and what proves who they are.

use cofferdam_domain::{OrgId, Rank, Timestamp, TokenId, UserId};

use super::{Tenant, TenantError};
use crate::{Member, NewToken, Project, Proof, Token};

impl Tenant {
    /// The organisation's projects that they may see.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn projects(&self) -> Result<Vec<Project>, TenantError> {
        self.may(Rank::Viewer)?;
        let mut projects = self.store.projects(self.actor.org).await?;
        projects.retain(|project| self.sees(project.id));
        Ok(projects)
    }

    /// Makes a project.
    ///
    /// # Errors
    /// [`crate::StoreError::Taken`] when the name is used.
    pub async fn create_project(&self, name: &str, at: Timestamp) -> Result<Project, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.create_project(self.actor.org, name, at).await?)
    }

    /// Who belongs to the organisation.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn members(&self) -> Result<Vec<Member>, TenantError> {
        self.may(Rank::Viewer)?;
        Ok(self.store.members(self.actor.org).await?)
    }

    /// Makes a user, who belongs to no organisation yet.
    ///
    /// # Errors
    /// As [`crate::Directory::create_user`].
    pub async fn create_user(
        &self,
        name: &str,
        subject: Option<(&str, &str)>,
        at: Timestamp,
    ) -> Result<UserId, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.create_user(name, subject, at).await?)
    }

    /// Gives a user a rank, or takes it away. Whoever is not theirs yet must be known to no organisation at all.
    ///
    /// # Errors
    /// [`TenantError::NotFound`] for other organisations' users; as [`crate::Directory::set_rank`].
    pub async fn set_rank(&self, user: UserId, rank: Option<Rank>, at: Timestamp) -> Result<(), TenantError> {
        self.may_for_all(Rank::Admin)?;
        let orgs = self.store.memberships(user).await?;
        let is_ours = orgs.iter().any(|(org, _)| org.id == self.actor.org);
        if !is_ours && (!orgs.is_empty() || rank.is_none()) {
            return Err(self.not_found("user", &user.to_string()).await?);
        }
        match self.store.set_rank(self.actor.org, user, rank, at).await {
            Err(crate::StoreError::Missing { .. }) => Err(self.not_found("user", &user.to_string()).await?),
            done => Ok(done?),
        }
    }

    /// Lets a member sign in once, by a link.
    ///
    /// # Errors
    /// [`TenantError::NotFound`] for who is no member.
    pub async fn invite(&self, user: UserId, proof: Proof, expires: Timestamp) -> Result<(), TenantError> {
        self.may_for_all(Rank::Admin)?;
        self.member(user).await?;
        Ok(self.store.invite(self.actor.org, user, proof, expires).await?)
    }

    /// Tokens: all of the organisation's for an admin, else their own.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn tokens(&self) -> Result<Vec<Token>, TenantError> {
        self.may(Rank::Viewer)?;
        let only = if self.may_for_all(Rank::Admin).is_ok() { None } else { Some(self.actor.user) };
        let mut tokens = self.store.tokens(self.actor.org, only).await?;
        tokens.retain(|token| self.actor.project.is_none() || token.project == self.actor.project);
        Ok(tokens)
    }

    /// Makes a token: for themselves with at most their own rights, or, as an admin, for any member.
    ///
    /// # Errors
    /// [`TenantError::Forbidden`], [`TenantError::NotFound`] for who is no member or a project that is not theirs.
    pub async fn create_token(&self, token: NewToken, at: Timestamp) -> Result<TokenId, TenantError> {
        self.may(token.rank)?;
        if token.user != self.actor.user {
            self.may_for_all(Rank::Admin)?;
        }
        self.member(token.user).await?;
        let is_narrower = self.actor.project.is_none() || token.project == self.actor.project;
        if !is_narrower {
            return Err(TenantError::Forbidden { needs: Rank::Admin });
        }
        if let Some(project) = token.project
            && !self.projects().await?.iter().any(|known| known.id == project)
        {
            return Err(self.not_found("project", &project.to_string()).await?);
        }
        Ok(self.store.create_token(self.actor.org, token, at).await?)
    }

    /// Makes a token worthless: their own, or, as an admin, any. `false` when there is none that they may see.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn revoke_token(&self, token: TokenId) -> Result<bool, TenantError> {
        if !self.tokens().await?.iter().any(|known| known.id == token) {
            self.write_down("tenancy.foreign_id", &token.to_string(), "{}", super::now()).await?;
            return Ok(false);
        }
        Ok(self.store.revoke_token(self.actor.org, token).await?)
    }

    /// The organisation that all this is about.
    #[must_use]
    pub fn org(&self) -> OrgId {
        self.actor.org
    }

    /// Refuses whoever does not belong to the organisation.
    pub(super) async fn member(&self, user: UserId) -> Result<(), TenantError> {
        if self.store.members(self.actor.org).await?.iter().any(|member| member.user == user) {
            Ok(())
        } else {
            Err(self.not_found("user", &user.to_string()).await?)
        }
    }
}
