//! Pull requests on disk: one JSON file for each, named after its session, replaced atomically. A session on several repositories has one in each; the
//! names of its later ones have the repository's key too.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use cofferdam_domain::{PullRequest, PullRequestState, SessionId};
use serde::{Deserialize, Serialize};

use crate::{
    FileError, NewPullRequest, PublishError, RepositoryAddress, branch_of,
    durable::{make_directory, write_file},
};

/// A pull request and where its branches are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) address: RepositoryAddress,
    pub(super) pull_request: PullRequest,
}

impl Record {
    pub(super) fn new(new: &NewPullRequest, number: u64) -> Self {
        let pull_request = PullRequest {
            number,
            session: new.session,
            repository: new.repository.to_string(),
            branch: branch_of(new.session),
            base_branch: new.base_branch.clone(),
            base_commit: new.base_commit.to_string(),
            head_commit: new.head_commit.to_string(),
            title: new.title.clone(),
            body: new.body.clone(),
            draft: new.draft,
            state: PullRequestState::Open,
            opened: new.opened,
        };
        Self { address: new.repository.clone(), pull_request }
    }

    /// Takes over what a later turn may change.
    pub(super) fn update(&mut self, new: &NewPullRequest) {
        let known = &mut self.pull_request;
        known.head_commit = new.head_commit.to_string();
        known.title.clone_from(&new.title);
        known.body.clone_from(&new.body);
        known.draft = new.draft;
    }

    /// Pull requests with the same key are numbered together.
    pub(super) fn key(&self) -> String {
        self.address.key()
    }

    pub(super) fn not_open(&self) -> PublishError {
        let state = match self.pull_request.state {
            PullRequestState::Open => "open",
            PullRequestState::Merged { .. } => "merged",
            PullRequestState::Closed => "closed",
        };
        PublishError::NotOpen { session: self.pull_request.session, state }
    }
}

/// All records, in one directory.
#[derive(Debug)]
pub(super) struct Records {
    directory: PathBuf,
}

impl Records {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The first of the session's.
    pub(super) fn first(&self, session: SessionId) -> Result<Option<Record>, PublishError> {
        read(&self.directory.join(format!("{session}.json")))
    }

    /// The session's in the repository with this key.
    pub(super) fn find(&self, session: SessionId, key: &str) -> Result<Option<Record>, PublishError> {
        match self.first(session)? {
            Some(record) if record.key() != key => {
                read(&self.directory.join(format!("{session}-{key}.json")))
            }
            record => Ok(record),
        }
    }

    pub(super) fn all(&self) -> Result<Vec<Record>, PublishError> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(FileError::at("read the directory", &self.directory))?,
        };
        let mut records = Vec::new();
        for entry in entries {
            let path = entry.map_err(FileError::at("read the directory", &self.directory))?.path();
            // Others are temporary files of a write that was cut short.
            if path.extension().is_some_and(|extension| extension == "json") {
                records.extend(read(&path)?);
            }
        }
        Ok(records)
    }

    /// The number of a repository's next pull request. The lock must be held until it is written.
    pub(super) fn next_number(&self, key: &str) -> Result<u64, PublishError> {
        let all = self.all()?;
        let numbers =
            all.iter().filter(|record| record.key() == key).map(|record| record.pull_request.number);
        Ok(numbers.max().unwrap_or(0) + 1)
    }

    pub(super) fn write(&self, record: &Record) -> Result<(), PublishError> {
        make_directory(&self.directory)?;
        let (session, key) = (record.pull_request.session, record.key());
        let path = match self.first(session)? {
            Some(first) if first.key() != key => self.directory.join(format!("{session}-{key}.json")),
            _ => self.directory.join(format!("{session}.json")),
        };
        let bytes = serde_json::to_vec_pretty(record)
            .map_err(|source| PublishError::BadRecord { path: path.clone(), source })?;
        Ok(write_file(&path, &bytes)?)
    }
}

fn read(path: &Path) -> Result<Option<Record>, PublishError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(FileError::at("read", path))?,
    };
    let parsed = serde_json::from_slice(&bytes);
    Ok(Some(parsed.map_err(|source| PublishError::BadRecord { path: path.to_owned(), source })?))
}
