//! A toy agent, and models that are asked at a fake provider.

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_domain::{
    Answer, BlobRef, Block, Digest, Message, ModelRequest, Role, ToolCall, ToolSpec,
    message::{Family, Image, ToolResult},
};
use cofferdam_model::{BlobSource, Model, ModelError, ModelsConfig, Progress, open};
use cofferdam_testkit::FakeProvider;
use serde_json::json;

pub(crate) const FAMILIES: [Family; 4] =
    [Family::Anthropic, Family::OpenaiResponses, Family::OpenaiChat, Family::Gemini];

/// Pictures for everybody who asks.
pub(crate) struct Pictures;

pub(crate) const PICTURE: &[u8] = b"not really a picture";

#[async_trait]
impl BlobSource for Pictures {
    async fn get(&self, digest: Digest) -> Option<Vec<u8>> {
        (digest == Digest::of(PICTURE)).then(|| PICTURE.to_vec())
    }
}

pub(crate) fn picture() -> Image {
    let blob = BlobRef { digest: Digest::of(PICTURE), size: PICTURE.len() as u64 };
    Image { media_type: "image/png".into(), blob }
}

/// A model's name at the family's maker, with which the encoders use all they know.
pub(crate) fn model_name(family: Family) -> &'static str {
    match family {
        Family::Anthropic => "claude-haiku-4-5",
        Family::OpenaiResponses => "gpt-6.1-sol",
        Family::OpenaiChat | Family::Scripted => "local",
        Family::Gemini => "gemini-3.8-flash",
    }
}

/// A configuration with one provider, called `fake`, that is in a hurry.
pub(crate) fn config(fake: &FakeProvider, family: Family, model: &str) -> ModelsConfig {
    let kind = serde_json::to_value(family).unwrap();
    let text = format!(
        "default = 'fake'\n[retry]\ntries = 3\nfirst_delay_ms = 1\nlongest_delay_ms = 1500\nidle_timeout_ms = 300\n\
         [providers.fake]\nkind = {kind}\nbase_url = '{}'\nkey_env = 'FAKE_KEY'\ndefault = '{model}'\n\
         models.'{model}'.images = true",
        fake.base_url()
    );
    toml::from_str(&text).unwrap()
}

pub(crate) fn env(name: &str) -> Option<String> {
    (name == "FAKE_KEY").then(|| "sk-fake-123".to_owned())
}

pub(crate) async fn model(config: &ModelsConfig) -> Box<dyn Model> {
    open(config, &env, None, Arc::new(Pictures)).await.unwrap()
}

pub(crate) fn tools() -> Arc<[ToolSpec]> {
    let tool = |name: &str| ToolSpec {
        name: name.to_owned(),
        description: format!("Does {name}."),
        parameters: json!({"type": "object", "properties": {"command": {"type": "string"}}}),
        parallel: true,
        read_only: false,
    };
    [tool("shell"), tool("edit")].into()
}

pub(crate) fn request(messages: Vec<Arc<Message>>) -> ModelRequest {
    ModelRequest {
        system: "You are careful.".into(),
        tools: tools(),
        messages: messages.into(),
        max_output_tokens: 8000,
        epoch: 0,
        cache_key: "ses_1".into(),
        digest: Digest::ZERO,
    }
}

pub(crate) fn user(text: &str) -> Arc<Message> {
    Arc::new(Message { role: Role::User, blocks: vec![Block::text(text)] })
}

/// Asks and does what is asked for until an answer has no calls, at most `most` times.
pub(crate) async fn converse(
    model: &mut dyn Model,
    request: &mut ModelRequest,
    most: usize,
) -> Result<Vec<Answer>, ModelError> {
    let mut answers = Vec::new();
    while answers.len() < most {
        let answer = model.ask(request, &mut |_| ()).await?;
        let results: Vec<Block> = answer.tool_calls().map(result).collect();
        request.messages.push(Arc::new(Message { role: Role::Assistant, blocks: answer.blocks.clone() }));
        answers.push(answer);
        if results.is_empty() {
            break;
        }
        request.messages.push(Arc::new(Message { role: Role::User, blocks: results }));
    }
    Ok(answers)
}

fn result(call: &ToolCall) -> Block {
    let wants_picture = call.arguments.contains("screenshot");
    Block::ToolResult(ToolResult {
        provider_id: call.provider_id.clone(),
        name: call.name.clone(),
        text: format!("result of {}", call.name),
        images: if wants_picture { vec![picture()] } else { Vec::new() },
        is_error: call.object().is_err(),
    })
}

/// Asks once and notes what was heard.
pub(crate) async fn ask(
    model: &mut dyn Model,
    request: &ModelRequest,
) -> (Result<Answer, ModelError>, Vec<Progress>) {
    let mut heard = Vec::new();
    let answer = model.ask(request, &mut |progress| heard.push(progress)).await;
    (answer, heard)
}
