//! What is encoded bit by bit is what would be encoded at once, and costs only what is new.

use async_trait::async_trait;
use cofferdam_domain::{
    BlobRef, Role, Secret, ToolCall,
    message::{Family, Opaque, Reasoning, ToolResult},
};
use proptest::prelude::*;
use reqwest::header::{HeaderName, HeaderValue};

use super::*;
use crate::{
    NoBlobs,
    anthropic::{Anthropic, Thinking},
    chat::{Chat, Dialect},
    config::Effort,
    gemini::Gemini,
    responses::Responses,
    wire::Decoder,
};

const WIRES: usize = 6;

/// All formats, with the settings on which their bytes depend.
fn wire(which: usize) -> Box<dyn Wire> {
    match which {
        0 => Box::new(Anthropic::new("claude-sonnet-5", Thinking::Adaptive(None), true)),
        1 => Box::new(Anthropic::new("claude-haiku-4-5", Thinking::Budget(Effort::Low), false)),
        2 => Box::new(Responses::new("gpt-6", true, Some(Effort::High), true)),
        3 => Box::new(Chat::new("kimi", Dialect::of("http://127.0.0.1/v1", "kimi"), None, true)),
        4 => Box::new(Gemini::new("gemini-3-pro", Some(Effort::Low), true)),
        _ => Box::new(Gemini::new("gemini-2.5-flash", None, false)),
    }
}

fn request(messages: Messages, epoch: u32) -> ModelRequest {
    ModelRequest {
        system: "You work.".into(),
        tools: [ToolSpec {
            name: "shell".into(),
            description: "runs".into(),
            parameters: serde_json::json!({"type": "object"}),
            parallel: true,
            read_only: false,
        }]
        .into(),
        messages,
        max_output_tokens: 4096,
        epoch,
        cache_key: "ses_1".into(),
        digest: Digest::ZERO,
    }
}

impl Payload {
    fn bytes(&self) -> Vec<u8> {
        let bytes = self.pieces.iter().flatten().copied().collect::<Vec<u8>>();
        assert_eq!(http_body::Body::size_hint(self).exact(), Some(bytes.len() as u64));
        bytes
    }
}

/// Has the pictures with an even first byte in their names.
struct SomeBlobs;

#[async_trait]
impl BlobSource for SomeBlobs {
    async fn get(&self, digest: Digest) -> Option<Vec<u8>> {
        (digest.as_bytes()[0].is_multiple_of(2)).then(|| digest.as_bytes().to_vec())
    }
}

fn build(body: &mut Body, wire: &mut dyn Wire, request: &ModelRequest) -> Payload {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(body.build(wire, request, &SomeBlobs))
}

fn picture(byte: u8) -> Image {
    let digest = Digest::of(&[byte]);
    Image { blob: BlobRef { digest, size: 1 }, media_type: "image/png".into() }
}

fn block() -> impl Strategy<Value = Block> {
    let text = prop_oneof!["", " ", ".{0,20}", Just("long ".repeat(9_000))];
    let opaque = prop_oneof![
        Just(None),
        (
            prop::sample::select(vec![
                Family::Anthropic,
                Family::OpenaiResponses,
                Family::OpenaiChat,
                Family::Gemini
            ]),
            prop::sample::select(vec![
                r#"{"type":"thinking","thinking":"x","signature":"s"}"#,
                r#"{"type":"reasoning","id":"r","encrypted_content":"e"}"#,
                r#"{"phase":"final"}"#,
                r#"{"reasoning_content":"hm"}"#,
                r#"{"thoughtSignature":"s"}"#,
                "no json",
            ])
        )
            .prop_map(|(family, json)| Some(Opaque { family, json: json.into() })),
    ];
    (text, opaque, any::<u8>(), 0..6_u8).prop_map(|(text, opaque, byte, kind)| match kind {
        0 => Block::Reasoning(Reasoning { text, opaque }),
        1 => Block::ToolCall(ToolCall {
            provider_id: format!("call.{byte}"),
            name: "shell".into(),
            arguments: if byte % 2 == 0 { format!(r#"{{"command":{byte}}}"#) } else { text },
            opaque,
        }),
        2 => Block::ToolResult(ToolResult {
            provider_id: format!("call.{byte}"),
            name: "shell".into(),
            text,
            images: if byte % 3 == 0 { vec![picture(byte)] } else { vec![] },
            is_error: byte % 5 == 0,
        }),
        3 => Block::Image(picture(byte)),
        _ => Block::Text { text },
    })
}

/// What happens between two requests.
#[derive(Debug, Clone)]
enum Turn {
    Said(Vec<Block>),
    Compacted,
    ReasoningRefused,
    /// Another provider was asked meanwhile, so some requests were never seen.
    Unseen(Vec<Block>),
}

fn turn() -> impl Strategy<Value = Turn> {
    let blocks = || prop::collection::vec(block(), 0..5);
    prop_oneof![
        12 => blocks().prop_map(Turn::Said),
        3 => blocks().prop_map(Turn::Unseen),
        1 => Just(Turn::Compacted),
        1 => Just(Turn::ReasoningRefused),
    ]
}

fn message(number: usize, blocks: &[Block]) -> Arc<Message> {
    let role = if number.is_multiple_of(2) { Role::User } else { Role::Assistant };
    Arc::new(Message { role, blocks: blocks.to_vec() })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bit_by_bit_is_the_same_as_at_once(turns in prop::collection::vec(turn(), 1..12)) {
        for which in 0..WIRES {
            let (mut body, mut format) = (Body::default(), wire(which));
            let (mut messages, mut epoch, mut dropped, mut seen) = (Messages::default(), 0, 0, 0);
            for turn in &turns {
                match turn {
                    Turn::Said(blocks) | Turn::Unseen(blocks) => messages.push(message(messages.len(), blocks)),
                    Turn::Compacted => {
                        epoch += 1;
                        dropped = 0;
                        let kept = messages.iter().skip(1).cloned();
                        messages = std::iter::once(message(0, &[Block::text("summary")])).chain(kept).collect();
                    }
                    Turn::ReasoningRefused => {
                        if body.drop_reasoning() {
                            dropped = seen;
                        }
                    }
                }
                if matches!(turn, Turn::Unseen(_)) {
                    continue;
                }
                seen = messages.len();
                let request = request(messages.clone(), epoch);
                let sent = build(&mut body, format.as_mut(), &request).bytes();
                let mut fresh = Body { reasoning_from: dropped, ..Body::default() };
                let whole = build(&mut fresh, wire(which).as_mut(), &request).bytes();
                prop_assert!(sent == whole, "wire {which}:\n{}\n{}", String::from_utf8_lossy(&sent), String::from_utf8_lossy(&whole));
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&sent).is_ok(), "wire {which}");
            }
        }
    }
}

/// Counts what a format writes.
struct Counted(Box<dyn Wire>, usize);

impl Wire for Counted {
    fn path(&self) -> String {
        self.0.path()
    }

    fn headers(&self, key: Option<&Secret>) -> Vec<(HeaderName, HeaderValue)> {
        self.0.headers(key)
    }

    fn header(&mut self, request: &ModelRequest, out: &mut Vec<u8>) {
        self.0.header(request, out);
        self.1 += out.len();
    }

    fn append(&mut self, message: &Message, given: &Given<'_>, out: &mut Vec<u8>) {
        let before = out.len();
        self.0.append(message, given, out);
        self.1 += out.len() - before;
    }

    fn tail(&self, request: &ModelRequest, out: &mut Vec<u8>) {
        self.0.tail(request, out);
    }

    fn decoder(&self, request: &ModelRequest) -> Box<dyn Decoder> {
        self.0.decoder(request)
    }
}

#[test]
fn a_request_encodes_its_own_messages_and_copies_less_than_a_piece() {
    for which in 0..WIRES {
        let (mut body, mut format) = (Body::default(), Counted(wire(which), 0));
        let mut messages = Messages::default();
        let (mut encoded, mut before): (Vec<usize>, Vec<Bytes>) = (vec![], vec![]);
        for number in 0..401 {
            let block = if number % 2 == 0 {
                Block::ToolResult(ToolResult {
                    provider_id: format!("id{number:03}"),
                    name: "shell".into(),
                    text: format!("{number:03}{}", "x".repeat(900)),
                    images: vec![],
                    is_error: false,
                })
            } else {
                Block::ToolCall(ToolCall {
                    provider_id: format!("id{:03}", number + 1),
                    name: "shell".into(),
                    arguments: format!(r#"{{"number":"{number:03}"}}"#),
                    opaque: None,
                })
            };
            messages.push(message(number, &[block]));
            if number % 2 == 1 {
                continue;
            }
            format.1 = 0;
            let payload = build(&mut body, &mut format, &request(messages.clone(), 0));
            encoded.push(format.1);
            let mut full: Vec<Bytes> = payload.pieces.into();
            let end = full.pop().unwrap();
            assert!(end.len() < PIECE + 2_000, "{}", end.len());
            let shared = full.iter().zip(&before).all(|(one, other)| one.as_ptr() == other.as_ptr());
            assert!(shared && full.len() >= before.len());
            before = full;
        }
        assert!(before.len() >= 2, "the conversation is long");
        let (early, late) = (encoded[2], encoded[200]);
        assert_eq!(early, late, "wire {which}");
    }
}

#[tokio::test]
async fn a_conversation_without_its_blobs_says_so() {
    let messages = [message(0, &[Block::Image(picture(1))])].into_iter().collect();
    let mut body = Body::default();
    let sent = body.build(wire(0).as_mut(), &request(messages, 0), &NoBlobs).await.bytes();
    assert!(String::from_utf8(sent).unwrap().contains("no longer available"));
}
