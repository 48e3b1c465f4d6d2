//! Who there is: organisations, projects, users, their ranks, and the ways in which they prove who they are.
//!
//! What proves something (a token, a browser's cookie, a link to sign in) is 256 random bits that are given out once; only their
//! SHA-256 is kept. It is looked up by that hash, so that no comparison of secrets takes a time that tells something.

use async_trait::async_trait;
use cofferdam_domain::{
    Actor, AuditId, Digest, OrgId, ProjectId, Rank, Seq, SignInId, StoredSecretId, Timestamp, TokenId, UserId,
};

use crate::{StoreError, Verified};

/// What an organisation's first project is called.
pub(crate) const FIRST_PROJECT: &str = "default";

/// The SHA-256 of something that proves who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Proof(pub Digest);

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Org {
    /// Which.
    pub id: OrgId,
    /// Its name: unique, what people type.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
}

/// A project: what sessions are sorted by, and what may have a budget and a policy of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Which.
    pub id: ProjectId,
    /// Its name: unique in the organisation.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
}

/// A user as an organisation sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// Their name, as text for people.
    pub name: String,
    /// What they may do.
    pub rank: Rank,
    /// Since when.
    pub since: Timestamp,
}

/// An API token as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Which.
    pub id: TokenId,
    /// What it is called.
    pub name: String,
    /// Whose.
    pub user: UserId,
    /// The most that it may do.
    pub rank: Rank,
    /// The only project that it may be used in.
    pub project: Option<ProjectId>,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is worth nothing.
    pub expires: Timestamp,
    /// When it was last used, to the minute.
    pub used: Option<Timestamp>,
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// What it is called.
    pub name: String,
    /// Whose.
    pub user: UserId,
    /// The most that it may do.
    pub rank: Rank,
    /// The only project that it may be used in.
    pub project: Option<ProjectId>,
    /// From when on it is worth nothing.
    pub expires: Timestamp,
    /// What proves it.
    pub proof: Proof,
}

/// Something that happened outside of the sessions' logs and must be accounted for: who signed in, who changed what, who tried what they may
/// not. Chained by hash for each organisation, like a session's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Which.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who, as text for people.
    pub by: String,
    /// What was done or tried, as a stable name: `token.created`, `tenancy.foreign_id`.
    pub action: String,
    /// To what: an id, or text for people.
    pub subject: String,
    /// More, as JSON.
    pub detail: String,
}

/// What was done with an idempotency key before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repeat {
    /// Nothing that still goes on: it is this request's now. With the time at which the key was first taken, which stays the same when a
    /// request that never came to an answer is tried again.
    First(Timestamp),
    /// The same request, with this answer (status and body).
    Same(u16, Vec<u8>),
    /// The same request, which has no answer yet.
    UnderWay,
    /// Another request.
    Different,
}

/// A secret as it is kept: encrypted by whoever put it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which.
    pub id: StoredSecretId,
    /// What it is called: unique in the organisation.
    pub name: String,
    /// Nonce, ciphertext and tag, and which key it takes.
    pub bytes: Vec<u8>,
    /// When it was put there.
    pub at: Timestamp,
}

/// Keeps who there is. Every method that takes an [`OrgId`] sees that organisation alone.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Makes an organisation with a project called `default`.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the name is used.
    async fn create_org(&self, name: &str, at: Timestamp) -> Result<Org, StoreError>;
    /// All organisations.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn orgs(&self) -> Result<Vec<Org>, StoreError>;

    /// Makes a project.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the name is used.
    async fn create_project(&self, org: OrgId, name: &str, at: Timestamp) -> Result<Project, StoreError>;
    /// The organisation's projects, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn projects(&self, org: OrgId) -> Result<Vec<Project>, StoreError>;

    /// Makes a user. `subject` is who they are for an OpenID provider: issuer and subject.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when there is a user with that subject.
    async fn create_user(
        &self,
        name: &str,
        subject: Option<(&str, &str)>,
        at: Timestamp,
    ) -> Result<UserId, StoreError>;
    /// Makes a user who is known to an OpenID provider and belongs to an organisation, all at once.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when there is a user with that subject.
    async fn create_member(
        &self,
        org: OrgId,
        name: &str,
        rank: Rank,
        subject: (&str, &str),
        at: Timestamp,
    ) -> Result<UserId, StoreError>;
    /// Lets an OpenID provider know a user by this subject from now on. One who belonged to it and is of no organisation any more gives it
    /// up. `false` when the user is known by another subject, or the subject is somebody else's.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn bind_subject(&self, user: UserId, issuer: &str, subject: &str) -> Result<bool, StoreError>;
    /// The user that an OpenID provider knows.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn user_by_subject(&self, issuer: &str, subject: &str) -> Result<Option<UserId>, StoreError>;
    /// Gives a user a rank in an organisation, or takes it away (with all their tokens and stays there).
    ///
    /// # Errors
    /// [`StoreError::LastAdmin`] when nobody would be left to administer it.
    async fn set_rank(
        &self,
        org: OrgId,
        user: UserId,
        rank: Option<Rank>,
        at: Timestamp,
    ) -> Result<(), StoreError>;
    /// The organisation's users, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn members(&self, org: OrgId) -> Result<Vec<Member>, StoreError>;
    /// The organisations of a user, with their rank.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn memberships(&self, user: UserId) -> Result<Vec<(Org, Rank)>, StoreError>;

    /// Makes a token.
    ///
    /// # Errors
    /// When the user is no member of the organisation.
    async fn create_token(&self, org: OrgId, token: NewToken, at: Timestamp) -> Result<TokenId, StoreError>;
    /// The organisation's tokens; of one user if named.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn tokens(&self, org: OrgId, user: Option<UserId>) -> Result<Vec<Token>, StoreError>;
    /// Makes a token worthless. `false` when there is none with this id in the organisation.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn revoke_token(&self, org: OrgId, token: TokenId) -> Result<bool, StoreError>;
    /// Whom a token stands for now.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn actor_by_token(&self, proof: Proof, at: Timestamp) -> Result<Option<Actor>, StoreError>;

    /// Lets somebody sign in once, by a link, until `expires`.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn invite(
        &self,
        org: OrgId,
        user: UserId,
        proof: Proof,
        expires: Timestamp,
    ) -> Result<(), StoreError>;
    /// Uses such a link up. `None` when it was used, never given, or is too old.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn accept_invitation(
        &self,
        proof: Proof,
        at: Timestamp,
    ) -> Result<Option<(OrgId, UserId)>, StoreError>;

    /// Begins the stay of a browser.
    ///
    /// # Errors
    /// When the user is no member of the organisation.
    async fn sign_in(
        &self,
        org: OrgId,
        user: UserId,
        proof: Proof,
        at: Timestamp,
        expires: Timestamp,
    ) -> Result<SignInId, StoreError>;
    /// Whom a browser stands for now.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn actor_by_sign_in(&self, proof: Proof, at: Timestamp) -> Result<Option<Actor>, StoreError>;
    /// Ends a stay.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn sign_out(&self, org: OrgId, sign_in: SignInId) -> Result<(), StoreError>;

    /// Takes an idempotency key for a request, told apart by the digest of its method, path and body. Kept for 24 hours. One that has been
    /// under way for more than two minutes is given out again: whoever had it is gone.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn begin_once(
        &self,
        org: OrgId,
        key: &str,
        request: Digest,
        at: Timestamp,
    ) -> Result<Repeat, StoreError>;
    /// Keeps the answer for it.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn end_once(&self, org: OrgId, key: &str, status: u16, body: &[u8]) -> Result<(), StoreError>;

    /// Gives a key back whose request failed without having done anything: it may be used again.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn abandon_once(&self, org: OrgId, key: &str) -> Result<(), StoreError>;

    /// Keeps a key that encrypts the organisation's secrets, itself encrypted by whoever has the master key: in the place of one with the
    /// same number.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn put_data_key(&self, org: OrgId, number: u32, wrapped: &[u8]) -> Result<(), StoreError>;
    /// The same, unless there is one with this number: then `false`.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn add_data_key(&self, org: OrgId, number: u32, wrapped: &[u8]) -> Result<bool, StoreError>;
    /// These keys with their numbers, the latest last.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn data_keys(&self, org: OrgId) -> Result<Vec<(u32, Vec<u8>)>, StoreError>;

    /// Puts a secret there, in the place of one with the same name.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn put_secret(
        &self,
        org: OrgId,
        name: &str,
        bytes: &[u8],
        at: Timestamp,
    ) -> Result<StoredSecretId, StoreError>;
    /// The organisation's secrets, still encrypted.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn secrets(&self, org: OrgId) -> Result<Vec<Sealed>, StoreError>;
    /// Removes a secret. `false` when there is none.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn remove_secret(&self, org: OrgId, name: &str) -> Result<bool, StoreError>;

    /// Keeps a named policy (its text, checked by the caller), or removes it.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn put_policy(
        &self,
        org: OrgId,
        name: &str,
        text: Option<&str>,
        at: Timestamp,
    ) -> Result<(), StoreError>;
    /// The organisation's policies: names and texts.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn policies(&self, org: OrgId) -> Result<Vec<(String, String)>, StoreError>;

    /// Writes something down that must be accounted for: at the end of the organisation's chain.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn audit(&self, org: OrgId, entry: AuditEntry) -> Result<(), StoreError>;
    /// What was written down, newest first, before `before`; at most `limit`, each checked against the one before it.
    ///
    /// # Errors
    /// When the store cannot be read, or the chain does not fit.
    async fn audited(
        &self,
        org: OrgId,
        before: Option<AuditId>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError>;
    /// Checks the whole chain of what was written down for an organisation.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] naming the first entry that does not fit.
    async fn verify_audit(&self, org: OrgId) -> Result<Verified, StoreError>;
    /// The hash of the entry at this place of the organisation's chain; [`Digest::ZERO`] at the start, `None` where it does not reach so far.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn audit_head(&self, org: OrgId, seq: Seq) -> Result<Option<Digest>, StoreError>;
}
