//! Contents go to where a branch is about to go.

use std::{fs, path::Path, time::Duration};

use http::{HeaderValue, header};
use reqwest::{Method, Response};
use serde_json::json;
use tokio::time::timeout;
use url::Url;

use super::{
    Contents, LfsError, LfsPointer, LfsShelf, Place,
    batch::{AT_ONCE, Link, MEDIA_TYPE, Operation, Said},
    dial::{Request, Trouble},
    take::{Server, bounded, copy},
};
use crate::{FileError, durable::make_directory};

/// How long one content may take.
const SEND_TIME: Duration = Duration::from_secs(30 * 60);
/// How long all contents of a branch may take.
const ALL_TIME: Duration = Duration::from_secs(2 * 60 * 60);

impl Contents {
    /// Sees that the repository's LFS server has contents, all of which are on a shelf, before a branch goes there that points to them. What is
    /// there already is not sent again. A server that the branch does not go to, for the repository is on no configured forge, is not told.
    ///
    /// # Errors
    /// [`LfsError::NotTaken`] where it refuses, and others.
    pub async fn send(&self, contents: &[LfsPointer], from: &LfsShelf, branch: &str) -> Result<(), LfsError> {
        if contents.is_empty() {
            return Ok(());
        }
        match self.place().await? {
            Place::Here(directory) => {
                let objects = directory.join("lfs/objects");
                refuse_links(&directory, &objects)?;
                let theirs = LfsShelf::new(&objects);
                contents.iter().try_for_each(|pointer| copy(from.path(), &theirs, pointer))?;
            }
            Place::Server(url) if self.access.is_some() => {
                let sent = timeout(ALL_TIME, self.send_all(url, contents, from, branch)).await;
                sent.map_err(|_| {
                    self.for_now(format!("it took longer than {} minutes", ALL_TIME.as_secs() / 60))
                })??;
            }
            Place::Server(_) | Place::Unknown => {}
        }
        // The next session on it does not have to ask for them.
        let _lock = self.lock().await?;
        contents.iter().try_for_each(|pointer| self.shelf.share(from, pointer).map(drop))?;
        Ok(())
    }

    async fn send_all(
        &self,
        url: Url,
        contents: &[LfsPointer],
        from: &LfsShelf,
        branch: &str,
    ) -> Result<(), LfsError> {
        let mut server = self.server(url).await?;
        for some in contents.chunks(AT_ONCE) {
            self.send_some(&mut server, some, from, branch).await?;
        }
        Ok(())
    }

    async fn send_some(
        &self,
        server: &mut Server,
        contents: &[LfsPointer],
        from: &LfsShelf,
        branch: &str,
    ) -> Result<(), LfsError> {
        let reference = format!("refs/heads/{branch}");
        let said = self.ask(server, Operation::Upload, Some(&reference), contents).await?;
        let said = said.map_err(|reason| self.not_taken(reason))?;
        for pointer in contents {
            match said.get(pointer) {
                Some(Said::There) => {}
                Some(Said::Upload(link, verify)) => {
                    self.upload(server, pointer, from, link).await?;
                    if let Some(verify) = verify {
                        self.verify(server, pointer, verify).await?;
                    }
                }
                Some(Said::Refused(code, words)) => {
                    let code = code.map_or_else(String::new, |code| format!(" ({code})"));
                    return Err(self.not_taken(format!("it says {}{code}", bounded(words))));
                }
                Some(Said::Download(_)) | None => {
                    return Err(self.for_now(format!("it says nothing about {}", pointer.content)));
                }
            }
        }
        Ok(())
    }

    async fn upload(
        &self,
        server: &Server,
        pointer: &LfsPointer,
        from: &LfsShelf,
        link: &Link,
    ) -> Result<(), LfsError> {
        let place = from.place(&pointer.content);
        let file = tokio::fs::File::open(&place).await.map_err(FileError::at("open", &place))?;
        let (url, mut headers) = server.follow(link).map_err(|trouble| self.trouble(trouble))?;
        headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CONTENT_LENGTH, pointer.size.into());
        let request = Request { method: Method::PUT, url, headers, body: Some(file.into()), time: SEND_TIME };
        let answer = server.dial.send(request).await.map_err(|trouble| self.trouble(trouble))?;
        self.taken(server, answer).await
    }

    async fn verify(&self, server: &Server, pointer: &LfsPointer, link: &Link) -> Result<(), LfsError> {
        let (url, mut headers) = server.follow(link).map_err(|trouble| self.trouble(trouble))?;
        headers.insert(header::ACCEPT, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        let body = json!({ "oid": pointer.content.hex(), "size": pointer.size }).to_string();
        let (body, time) = (Some(body.into()), server.dial.patience());
        let answer = server.dial.send(Request { method: Method::POST, url, headers, body, time }).await;
        self.taken(server, answer.map_err(|trouble| self.trouble(trouble))?).await
    }

    async fn taken(&self, server: &Server, answer: Response) -> Result<(), LfsError> {
        let status = answer.status().as_u16();
        match status {
            200..=299 => Ok(()),
            408 | 425 | 429 | 500..=506 | 508.. => Err(self.for_now(format!("it answered {status}"))),
            _ => {
                let said = server.dial.start_of(answer, 64 << 10).await.unwrap_or_default();
                Err(self.not_taken(server.told(status, &said)))
            }
        }
    }

    fn trouble(&self, trouble: Trouble) -> LfsError {
        match trouble {
            Trouble::ForNow(reason) => self.for_now(reason),
            Trouble::Address(reason) => self.not_taken(reason),
        }
    }

    fn not_taken(&self, reason: String) -> LfsError {
        LfsError::NotTaken { address: self.address.to_string(), reason }
    }
}

/// A repository may have a link in the place of its store, which would lead out of it.
fn refuse_links(directory: &Path, objects: &Path) -> Result<(), FileError> {
    for path in [directory.join("lfs"), objects.to_owned()] {
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_dir()) {
            let error = std::io::Error::other("it is no directory");
            return Err(FileError::at("write contents of Git LFS into", &path)(error));
        }
    }
    make_directory(objects)
}
