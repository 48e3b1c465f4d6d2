//! A model behind HTTP: tries, waits, tries again, falls back.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cofferdam_domain::{Answer, ModelRequest, event::ModelInfo};
use tokio::time::{Instant, sleep};

use crate::{
    BlobSource, Model, ModelError, Progress,
    body::Body,
    config::RetryConfig,
    failure::{Failure, Remedy},
    http::{Endpoint, Reader},
    retry,
    wire::{Hear, Wire},
};

/// One model at one provider.
pub(crate) struct Route {
    pub(crate) info: ModelInfo,
    pub(crate) endpoint: Endpoint,
    pub(crate) wire: Box<dyn Wire>,
    pub(crate) body: Body,
    /// What to do when the provider does not accept the key.
    pub(crate) key_hint: String,
}

impl Route {
    fn name(&self) -> String {
        format!("{}/{}", self.info.provider, self.info.name)
    }

    async fn try_once(
        &mut self,
        request: &ModelRequest,
        blobs: &dyn BlobSource,
        limits: &RetryConfig,
        hear: &mut Hear<'_>,
    ) -> Result<Answer, Failure> {
        let body = self.body.build(self.wire.as_mut(), request, blobs).await;
        let headers = self.wire.headers(self.endpoint.key());
        let reader = Reader { decoder: self.wire.decoder(request), hear, limits };
        let answer = self.endpoint.post(&self.wire.path(), headers, body, reader).await;
        answer.map_err(|failure| Failure { message: self.endpoint.redacted(failure.message), ..failure })
    }

    /// Tries until it works, does not help, or has been tried often enough.
    async fn ask(
        &mut self,
        request: &ModelRequest,
        blobs: &dyn BlobSource,
        limits: &RetryConfig,
        hear: &mut Hear<'_>,
    ) -> Result<Answer, Failure> {
        let mut failed = 0;
        loop {
            let failure = match self.try_once(request, blobs, limits, hear).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let after = match failure.remedy {
                Remedy::DropReasoning if self.body.drop_reasoning() => {
                    self.wire.reasoning_refused();
                    Duration::ZERO
                }
                Remedy::Again if failed + 1 < limits.tries => {
                    failed += 1;
                    retry::delay(limits, failed, failure.retry_after)
                }
                Remedy::Again
                | Remedy::DropReasoning
                | Remedy::Elsewhere
                | Remedy::Compact
                | Remedy::Key
                | Remedy::Nothing => return Err(failure),
            };
            hear(Progress::Retry { reason: failure.message, after, fallback: None });
            sleep(after).await;
        }
    }

    fn error(&self, failure: &Failure, limits: &RetryConfig) -> ModelError {
        let (name, what) = (self.name(), &failure.message);
        let message = match failure.remedy {
            Remedy::Key => {
                format!("{} does not accept the key ({what}): {}", self.info.provider, self.key_hint)
            }
            Remedy::Compact => format!("the conversation does not fit into {name} ({what})"),
            Remedy::Nothing | Remedy::DropReasoning => format!(
                "{name} refuses the request ({what}): choose another model with --model or models.default; `cofferdam models` lists them"
            ),
            Remedy::Elsewhere => format!(
                "{name} will not answer for now ({what}): see to the account, or name another model in models.fallback"
            ),
            Remedy::Again => format!(
                "{name} did not answer in {} tries ({what}): resume the session later, or name another model in models.fallback",
                limits.tries.max(1)
            ),
        };
        ModelError { kind: failure.kind(), message }
    }
}

/// A model with its fallbacks.
pub(crate) struct Remote {
    /// The model that was asked for, then its fallbacks; never empty.
    routes: Vec<Route>,
    limits: RetryConfig,
    blobs: Arc<dyn BlobSource>,
    /// The route to begin with, if not the first, and since when.
    fallen_back: Option<(usize, Instant)>,
    info: ModelInfo,
}

impl Remote {
    pub(crate) fn new(
        first: Route,
        fallbacks: Vec<Route>,
        limits: RetryConfig,
        blobs: Arc<dyn BlobSource>,
    ) -> Self {
        let info = first.info.clone();
        let routes = std::iter::once(first).chain(fallbacks).collect();
        Self { routes, limits, blobs, fallen_back: None, info }
    }

    /// Where to begin: a fallback stays in use for a while, so that a provider's bad hour costs its tries
    /// only now and then, and the fallback's prompt cache is of use.
    fn begin(&self) -> usize {
        let patience = Duration::from_secs(self.limits.fallback_minutes.saturating_mul(60));
        self.fallen_back.filter(|(_, since)| since.elapsed() < patience).map_or(0, |(at, _)| at)
    }

    /// The next route after `at` that the conversation fits into. A token is taken for four bytes.
    fn next(&self, at: usize) -> Option<usize> {
        let tokens = (self.routes[at].body.len() / 4) as u64;
        (at + 1..self.routes.len()).find(|next| self.routes[*next].info.context_window > tokens)
    }
}

#[async_trait]
impl Model for Remote {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    async fn ask(
        &mut self,
        request: &ModelRequest,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Answer, ModelError> {
        let mut at = self.begin();
        loop {
            let route = &mut self.routes[at];
            let bounded;
            let request = if request.max_output_tokens > route.info.max_output {
                bounded = ModelRequest { max_output_tokens: route.info.max_output, ..request.clone() };
                &bounded
            } else {
                request
            };
            let failure = match route.ask(request, self.blobs.as_ref(), &self.limits, progress).await {
                Ok(mut answer) => {
                    answer.cost = route.info.prices.map(|prices| prices.cost(&answer.usage));
                    self.fallen_back = match self.fallen_back {
                        Some((known, since)) if known == at => Some((known, since)),
                        _ => (at > 0).then(|| (at, Instant::now())),
                    };
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            let unavailable = matches!(failure.remedy, Remedy::Again | Remedy::Elsewhere);
            match self.next(at).filter(|_| unavailable) {
                Some(next) => {
                    let fallback = Some(self.routes[next].name());
                    progress(Progress::Retry { reason: failure.message, after: Duration::ZERO, fallback });
                    at = next;
                }
                None => return Err(self.routes[at].error(&failure, &self.limits)),
            }
        }
    }
}
