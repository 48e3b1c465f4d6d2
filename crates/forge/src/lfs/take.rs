//! Contents come to the shelf of their repository.

use std::{collections::BTreeMap, path::Path};

use cofferdam_domain::{Secret, hidden::visible};
use http::{HeaderMap, HeaderValue, header};
use reqwest::{Method, Response};
use tokio::task::JoinSet;
use url::Url;

use super::{
    Contents, LfsError, LfsPointer, LfsShelf, Place,
    batch::{AT_ONCE, Link, MEDIA_TYPE, Operation, Said, question, read},
    dial::{Dial, Request, Trouble},
};
use crate::FileError;

/// Bytes of an answer of the batch API.
const LARGEST_ANSWER: usize = 8 << 20;
/// Bytes of a refusal that are read, and characters of it that are repeated.
const LARGEST_REFUSAL: usize = 64 << 10;
const LONGEST_REASON: usize = 300;
/// Contents that are read at the same time.
const SIDE_BY_SIDE: usize = 4;

/// A server, and what is presented to it.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) dial: Dial,
    url: Url,
    presented: Option<Secret>,
}

/// Why a content is not here.
enum Missing {
    Reason(String),
    File(FileError),
}

impl From<Trouble> for Missing {
    fn from(trouble: Trouble) -> Self {
        Self::Reason(trouble.reason())
    }
}

impl From<FileError> for Missing {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl Contents {
    /// Takes what is missing from where the repository is. Says of what is missing still why.
    pub(super) async fn take(
        &self,
        missing: &[LfsPointer],
    ) -> Result<BTreeMap<LfsPointer, String>, LfsError> {
        if missing.is_empty() {
            return Ok(BTreeMap::new());
        }
        match self.place().await? {
            Place::Here(directory) => {
                let theirs = directory.join("lfs/objects");
                missing.iter().try_for_each(|pointer| copy(&theirs, &self.shelf, pointer))?;
                Ok(BTreeMap::new())
            }
            Place::Unknown => {
                let why = "its LFS server is not known: configure its forge, or give its https:// address";
                Ok(missing.iter().map(|pointer| (*pointer, why.to_owned())).collect())
            }
            Place::Server(url) => self.take_from(url, missing).await,
        }
    }

    async fn take_from(
        &self,
        url: Url,
        missing: &[LfsPointer],
    ) -> Result<BTreeMap<LfsPointer, String>, LfsError> {
        let mut reasons = BTreeMap::new();
        let mut server = self.server(url).await?;
        for some in missing.chunks(AT_ONCE) {
            let said = match self.ask(&mut server, Operation::Download, None, some).await? {
                Ok(said) => said,
                Err(why) => {
                    reasons.extend(missing.iter().map(|pointer| (*pointer, why.clone())));
                    return Ok(reasons);
                }
            };
            let mut links = Vec::new();
            for (pointer, said) in said {
                match said {
                    Said::Download(link) => links.push((pointer, link)),
                    Said::Refused(code, _) => {
                        let code = code.map_or_else(String::new, |code| format!(" ({code})"));
                        reasons.insert(pointer, format!("its server does not give it{code}"));
                    }
                    Said::Upload(..) | Said::There => {}
                }
            }
            self.download(&server, links, &mut reasons).await?;
        }
        Ok(reasons)
    }

    async fn download(
        &self,
        server: &Server,
        links: Vec<(LfsPointer, Link)>,
        reasons: &mut BTreeMap<LfsPointer, String>,
    ) -> Result<(), LfsError> {
        let (mut links, mut running) = (links.into_iter(), JoinSet::new());
        loop {
            while running.len() < SIDE_BY_SIDE
                && let Some((pointer, link)) = links.next()
            {
                let (server, shelf) = (server.clone(), self.shelf.clone());
                running.spawn(async move { (pointer, server.read(&shelf, pointer, &link).await) });
            }
            match running.join_next().await {
                None => return Ok(()),
                Some(Ok((_, Ok(())))) => {}
                Some(Ok((pointer, Err(Missing::Reason(why))))) => drop(reasons.insert(pointer, why)),
                Some(Ok((_, Err(Missing::File(error))))) => return Err(error.into()),
                Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Some(Err(_)) => {}
            }
        }
    }

    pub(super) async fn server(&self, url: Url) -> Result<Server, LfsError> {
        let dial = Dial::new(url.clone(), &self.rules.addresses, self.rules.patience);
        let dial = dial.map_err(|source| LfsError::Client { address: self.address.to_string(), source })?;
        Ok(Server { dial, url, presented: self.presented().await? })
    }

    async fn presented(&self) -> Result<Option<Secret>, LfsError> {
        match &self.access {
            Some(access) => Ok(Some(access.basic().await?)),
            None => Ok(None),
        }
    }

    /// Asks the batch API. A server that has no LFS, or does not let the account in, says so with reasons.
    pub(super) async fn ask(
        &self,
        server: &mut Server,
        operation: Operation,
        reference: Option<&str>,
        objects: &[LfsPointer],
    ) -> Result<Result<BTreeMap<LfsPointer, Said>, String>, LfsError> {
        let body = question(operation, reference, objects).to_string();
        let mut answer =
            server.post("objects/batch", &body).await.map_err(|trouble| self.for_now(trouble.reason()))?;
        if answer.status().as_u16() == 401 && self.access.is_some() {
            // What was presented may have expired or been replaced meanwhile.
            server.presented = self.presented().await?;
            answer = server
                .post("objects/batch", &body)
                .await
                .map_err(|trouble| self.for_now(trouble.reason()))?;
        }
        let status = answer.status().as_u16();
        let most = if status == 200 { LARGEST_ANSWER + 1 } else { LARGEST_REFUSAL };
        let bytes =
            server.dial.start_of(answer, most).await.map_err(|trouble| self.for_now(trouble.reason()))?;
        if status == 200 && bytes.len() > LARGEST_ANSWER {
            return Err(self.for_now(format!("its answer is larger than {} MiB", LARGEST_ANSWER >> 20)));
        }
        match status {
            200 => match read(&bytes, operation, objects) {
                Ok(said) => Ok(Ok(said)),
                // A host without an LFS server may answer with a page of its own.
                Err(error) => {
                    Ok(Err(format!("its server's answer is none of the batch API ({})", bounded(&error))))
                }
            },
            404 | 410 | 501 => {
                Ok(Err("the repository's host has no LFS server for it, or hides it".to_owned()))
            }
            401 | 403 => Ok(Err(format!("the LFS server does not let the configured account in ({status})"))),
            408 | 425 | 429 | 500.. => Err(self.for_now(format!("it answered {status}"))),
            // What is only missing is told to agents as well: in words of ours.
            _ if operation == Operation::Download => Ok(Err(format!("its server answered {status}"))),
            _ => Ok(Err(server.told(status, &bytes))),
        }
    }
}

impl Server {
    /// Asks the server itself.
    pub(super) async fn post(&self, path: &str, body: &str) -> Result<Response, Trouble> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{path}", self.url.path()));
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.extend(self.authorization());
        let (body, time) = (Some(body.to_owned().into()), self.dial.patience());
        self.dial.send(Request { method: Method::POST, url, headers, body, time }).await
    }

    fn authorization(&self) -> Option<(header::HeaderName, HeaderValue)> {
        let mut value =
            HeaderValue::from_str(&format!("Basic {}", self.presented.as_ref()?.expose())).ok()?;
        value.set_sensitive(true);
        Some((header::AUTHORIZATION, value))
    }

    /// Where a link leads, and with what: the server's own credential goes only where the server itself is, and only if nothing else is there for
    /// that.
    pub(super) fn follow(&self, link: &Link) -> Result<(Url, HeaderMap), Trouble> {
        let url = self.dial.address(&link.href)?;
        let mut headers = link
            .headers()
            .ok_or_else(|| Trouble::Address("it is to be asked for with headers that are none".to_owned()))?;
        if self.dial.is_own(&url) && !link.authenticated && !headers.contains_key(header::AUTHORIZATION) {
            headers.extend(self.authorization());
        }
        Ok((url, headers))
    }

    async fn read(&self, shelf: &LfsShelf, pointer: LfsPointer, link: &Link) -> Result<(), Missing> {
        let (url, headers) = self.follow(link)?;
        let request = Request { method: Method::GET, url, headers, body: None, time: self.dial.patience() };
        let answer = self.dial.send(request).await?;
        if answer.status().as_u16() != 200 {
            return Err(Missing::Reason(format!(
                "where it is said to be answered {}",
                answer.status().as_u16()
            )));
        }
        let mut arriving = shelf.begin(pointer)?;
        let mut more = true;
        self.dial
            .pour(answer, |chunk| -> Result<bool, Missing> {
                more = arriving.write(chunk)?;
                Ok(more)
            })
            .await?;
        let length = arriving.length();
        if more && arriving.finish()? {
            return Ok(());
        }
        Err(Missing::Reason(match length.cmp(&pointer.size) {
            std::cmp::Ordering::Less => format!("only {length} bytes of it came"),
            std::cmp::Ordering::Equal => "what came is something else than its pointer names".to_owned(),
            std::cmp::Ordering::Greater => "what came is longer than its pointer says".to_owned(),
        }))
    }

    /// What a server says about its refusal, without what it was shown.
    pub(super) fn told(&self, status: u16, said: &[u8]) -> String {
        let said: Option<serde_json::Value> = serde_json::from_slice(said).ok();
        let message = said.as_ref().and_then(|said| said.get("message")?.as_str()).unwrap_or_default();
        let message = match &self.presented {
            Some(secret) => message.replace(secret.expose(), "****"),
            None => message.to_owned(),
        };
        bounded(&format!("it answered {status} {message}"))
    }
}

/// A content of a repository on this machine.
pub(super) fn copy(from: &Path, to: &LfsShelf, pointer: &LfsPointer) -> Result<(), FileError> {
    use std::io::Read as _;
    let theirs = LfsShelf::new(from);
    if !theirs.has(pointer) {
        return Ok(());
    }
    let place = theirs.place(&pointer.content);
    let mut arriving = to.begin(*pointer)?;
    let mut file = std::fs::File::open(&place).map_err(FileError::at("open", &place))?;
    let mut some = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut some).map_err(FileError::at("read", &place))?;
        if count == 0 || !arriving.write(&some[..count])? {
            break;
        }
    }
    arriving.finish()?;
    Ok(())
}

/// Words of somebody else's, on one line, made visible and cut.
pub(super) fn bounded(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    visible(line.as_bytes()).chars().take(LONGEST_REASON).collect()
}
