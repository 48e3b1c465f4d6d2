//! The directory, on either database.

use async_trait::async_trait;
use cofferdam_domain::{
    Actor, AuditId, Digest, OrgId, Rank, Seq, SignInId, StoredSecretId, Timestamp, TokenId, UserId,
};

use super::{audit, members, once, orgs, proofs, secrets, tokens};
use crate::{
    AuditEntry, Directory, Member, NewToken, Org, Project, Proof, Repeat, Sealed, StoreError, Token,
    Verified,
    sql::{Backend, Database as _, work},
};

/// Carries out `$body` in a transaction of its own. What it uses must be its own: the transaction goes on without its caller.
macro_rules! transact {
    ($store:expr, |$sql:ident| $body:expr) => {
        $store.base().transact(work(move |$sql| Box::pin(async move { $body.await }))).await
    };
}

#[async_trait]
impl<B: Backend> Directory for B {
    async fn create_org(&self, name: &str, at: Timestamp) -> Result<Org, StoreError> {
        let name = name.to_owned();
        transact!(self, |sql| orgs::create(sql, &name, at))
    }

    async fn orgs(&self) -> Result<Vec<Org>, StoreError> {
        orgs::list(self.base().readers()).await
    }

    async fn create_project(&self, org: OrgId, name: &str, at: Timestamp) -> Result<Project, StoreError> {
        let name = name.to_owned();
        transact!(self, |sql| orgs::create_project(sql, org, &name, at))
    }

    async fn projects(&self, org: OrgId) -> Result<Vec<Project>, StoreError> {
        orgs::projects(self.base().readers(), org).await
    }

    async fn create_user(
        &self,
        name: &str,
        subject: Option<(&str, &str)>,
        at: Timestamp,
    ) -> Result<UserId, StoreError> {
        let name = name.to_owned();
        let subject = subject.map(|(issuer, subject)| (issuer.to_owned(), subject.to_owned()));
        transact!(self, |sql| members::create_user(sql, &name, subject, at))
    }

    async fn create_member(
        &self,
        org: OrgId,
        name: &str,
        rank: Rank,
        subject: (&str, &str),
        at: Timestamp,
    ) -> Result<UserId, StoreError> {
        let name = name.to_owned();
        let subject = Some((subject.0.to_owned(), subject.1.to_owned()));
        transact!(self, |sql| async {
            let user = members::create_user(sql, &name, subject, at).await?;
            members::set_rank(sql, org, user, Some(rank), at).await?;
            Ok(user)
        })
    }

    async fn bind_subject(&self, user: UserId, issuer: &str, subject: &str) -> Result<bool, StoreError> {
        let (issuer, subject) = (issuer.to_owned(), subject.to_owned());
        transact!(self, |sql| members::bind(sql, user, &issuer, &subject))
    }

    async fn user_by_subject(&self, issuer: &str, subject: &str) -> Result<Option<UserId>, StoreError> {
        members::by_subject(self.base().readers(), issuer, subject).await
    }

    async fn set_rank(
        &self,
        org: OrgId,
        user: UserId,
        rank: Option<Rank>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        transact!(self, |sql| members::set_rank(sql, org, user, rank, at))
    }

    async fn members(&self, org: OrgId) -> Result<Vec<Member>, StoreError> {
        members::of_org(self.base().readers(), org).await
    }

    async fn memberships(&self, user: UserId) -> Result<Vec<(Org, Rank)>, StoreError> {
        members::of_user(self.base().readers(), user).await
    }

    async fn create_token(&self, org: OrgId, token: NewToken, at: Timestamp) -> Result<TokenId, StoreError> {
        transact!(self, |sql| tokens::create(sql, org, token, at))
    }

    async fn tokens(&self, org: OrgId, user: Option<UserId>) -> Result<Vec<Token>, StoreError> {
        tokens::list(self.base().readers(), org, user).await
    }

    async fn revoke_token(&self, org: OrgId, token: TokenId) -> Result<bool, StoreError> {
        transact!(self, |sql| tokens::revoke(sql, org, token))
    }

    async fn actor_by_token(&self, proof: Proof, at: Timestamp) -> Result<Option<Actor>, StoreError> {
        let Some((actor, is_news)) = tokens::actor(self.base().readers(), proof, at).await? else {
            return Ok(None);
        };
        if is_news {
            transact!(self, |sql| tokens::note_use(sql, proof, at))?;
        }
        Ok(Some(actor))
    }

    async fn invite(
        &self,
        org: OrgId,
        user: UserId,
        proof: Proof,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        transact!(self, |sql| proofs::invite(sql, org, user, proof, expires))
    }

    async fn accept_invitation(
        &self,
        proof: Proof,
        at: Timestamp,
    ) -> Result<Option<(OrgId, UserId)>, StoreError> {
        transact!(self, |sql| proofs::accept(sql, proof, at))
    }

    async fn sign_in(
        &self,
        org: OrgId,
        user: UserId,
        proof: Proof,
        at: Timestamp,
        expires: Timestamp,
    ) -> Result<SignInId, StoreError> {
        transact!(self, |sql| proofs::sign_in(sql, org, user, proof, (at, expires)))
    }

    async fn actor_by_sign_in(&self, proof: Proof, at: Timestamp) -> Result<Option<Actor>, StoreError> {
        proofs::actor(self.base().readers(), proof, at).await
    }

    async fn sign_out(&self, org: OrgId, sign_in: SignInId) -> Result<(), StoreError> {
        transact!(self, |sql| proofs::sign_out(sql, org, sign_in))
    }

    async fn begin_once(
        &self,
        org: OrgId,
        key: &str,
        request: Digest,
        at: Timestamp,
    ) -> Result<Repeat, StoreError> {
        let key = key.to_owned();
        transact!(self, |sql| once::begin(sql, org, &key, request, at))
    }

    async fn end_once(&self, org: OrgId, key: &str, status: u16, body: &[u8]) -> Result<(), StoreError> {
        let (key, body) = (key.to_owned(), body.to_vec());
        transact!(self, |sql| once::end(sql, org, &key, status, &body))
    }

    async fn abandon_once(&self, org: OrgId, key: &str) -> Result<(), StoreError> {
        let key = key.to_owned();
        transact!(self, |sql| once::abandon(sql, org, &key))
    }

    async fn put_data_key(&self, org: OrgId, number: u32, wrapped: &[u8]) -> Result<(), StoreError> {
        let wrapped = wrapped.to_vec();
        transact!(self, |sql| secrets::put_data_key(sql, org, number, &wrapped))
    }

    async fn add_data_key(&self, org: OrgId, number: u32, wrapped: &[u8]) -> Result<bool, StoreError> {
        let wrapped = wrapped.to_vec();
        transact!(self, |sql| secrets::add_data_key(sql, org, number, &wrapped))
    }

    async fn data_keys(&self, org: OrgId) -> Result<Vec<(u32, Vec<u8>)>, StoreError> {
        secrets::data_keys(self.base().readers(), org).await
    }

    async fn put_secret(
        &self,
        org: OrgId,
        name: &str,
        bytes: &[u8],
        at: Timestamp,
    ) -> Result<StoredSecretId, StoreError> {
        let (name, bytes) = (name.to_owned(), bytes.to_vec());
        transact!(self, |sql| secrets::put(sql, org, &name, &bytes, at))
    }

    async fn secrets(&self, org: OrgId) -> Result<Vec<Sealed>, StoreError> {
        secrets::list(self.base().readers(), org).await
    }

    async fn remove_secret(&self, org: OrgId, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        transact!(self, |sql| secrets::remove(sql, org, &name))
    }

    async fn put_policy(
        &self,
        org: OrgId,
        name: &str,
        text: Option<&str>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let (name, text) = (name.to_owned(), text.map(str::to_owned));
        transact!(self, |sql| secrets::put_policy(sql, org, &name, text.as_deref(), at))
    }

    async fn policies(&self, org: OrgId) -> Result<Vec<(String, String)>, StoreError> {
        secrets::policies(self.base().readers(), org).await
    }

    async fn audit(&self, org: OrgId, entry: AuditEntry) -> Result<(), StoreError> {
        transact!(self, |sql| audit::append(sql, org, entry))
    }

    async fn audited(
        &self,
        org: OrgId,
        before: Option<AuditId>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        audit::list(self.base().readers(), org, before, limit).await
    }

    async fn verify_audit(&self, org: OrgId) -> Result<Verified, StoreError> {
        audit::verify(self.base().readers(), org).await
    }

    async fn audit_head(&self, org: OrgId, seq: Seq) -> Result<Option<Digest>, StoreError> {
        audit::head(self.base().readers(), org, seq).await
    }
}
