//! The words of the convention, in one place.
//!
//! Generative AI: the OpenTelemetry semantic conventions for generative AI as they stood in November 2026, all of them in development and without a
//! version of their own, which build on version 1.44.0 of the semantic conventions: repository `open-telemetry/semantic-conventions-genai`, pages
//! `docs/gen-ai/client-inference.md` (`chat`), `docs/gen-ai/execute-tool.md`, and `docs/gen-ai/gen-ai-agent-spans.md` (`invoke_agent`).
//! The rest: the pages `error`, `server`, `http`, `url`, `service` and `telemetry` of the attribute registry of version 1.44.0. Names that begin
//! with `cofferdam.` are our own.

/// Where the schema of what is sent is described.
pub(crate) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

// Operations, which are also the first words of spans' names.
pub(crate) const CHAT: &str = "chat";
pub(crate) const EXECUTE_TOOL: &str = "execute_tool";
pub(crate) const INVOKE_AGENT: &str = "invoke_agent";

pub(crate) const OPERATION: &str = "gen_ai.operation.name";
pub(crate) const PROVIDER: &str = "gen_ai.provider.name";
pub(crate) const CONVERSATION: &str = "gen_ai.conversation.id";
pub(crate) const AGENT_NAME: &str = "gen_ai.agent.name";
pub(crate) const AGENT_VERSION: &str = "gen_ai.agent.version";
pub(crate) const REQUEST_MODEL: &str = "gen_ai.request.model";
pub(crate) const REQUEST_STREAM: &str = "gen_ai.request.stream";
pub(crate) const RESPONSE_MODEL: &str = "gen_ai.response.model";
pub(crate) const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
/// All tokens of the prompt, those of the cache among them.
pub(crate) const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
pub(crate) const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
pub(crate) const CACHE_READ_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
pub(crate) const CACHE_WRITE_TOKENS: &str = "gen_ai.usage.cache_write.input_tokens";
pub(crate) const REASONING_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";
pub(crate) const TOOL_NAME: &str = "gen_ai.tool.name";
pub(crate) const TOOL_TYPE: &str = "gen_ai.tool.type";
pub(crate) const TOOL_CALL: &str = "gen_ai.tool.call.id";

// Content: only where the configuration says so.
pub(crate) const INPUT_MESSAGES: &str = "gen_ai.input.messages";
pub(crate) const OUTPUT_MESSAGES: &str = "gen_ai.output.messages";
pub(crate) const TOOL_ARGUMENTS: &str = "gen_ai.tool.call.arguments";
pub(crate) const TOOL_RESULT: &str = "gen_ai.tool.call.result";
pub(crate) const URL_PATH: &str = "url.path";
pub(crate) const COMMAND: &str = "cofferdam.evidence.command";

pub(crate) const ERROR_TYPE: &str = "error.type";
/// What stands where a name is not one of those that are known.
pub(crate) const OTHER: &str = "_OTHER";
pub(crate) const METHOD: &str = "http.request.method";
pub(crate) const SCHEME: &str = "url.scheme";
pub(crate) const SERVER_ADDRESS: &str = "server.address";
pub(crate) const SERVER_PORT: &str = "server.port";

pub(crate) const SERVICE_NAME: &str = "service.name";
pub(crate) const SERVICE_VERSION: &str = "service.version";
pub(crate) const SERVICE_INSTANCE: &str = "service.instance.id";
pub(crate) const SDK_NAME: &str = "telemetry.sdk.name";
pub(crate) const SDK_LANGUAGE: &str = "telemetry.sdk.language";
pub(crate) const SDK_VERSION: &str = "telemetry.sdk.version";

// Our own.
pub(crate) const SOURCE: &str = "cofferdam.task.source";
pub(crate) const PLAN_FIRST: &str = "cofferdam.task.plan_first";
pub(crate) const OUTCOME: &str = "cofferdam.outcome";
pub(crate) const STEP: &str = "cofferdam.step";
pub(crate) const STEPS: &str = "cofferdam.steps";
/// US dollars.
pub(crate) const COST: &str = "cofferdam.cost.usd";
pub(crate) const COMPACTION: &str = "cofferdam.compaction";
pub(crate) const TOOL_STATUS: &str = "cofferdam.tool.status";
pub(crate) const EGRESS_VERDICT: &str = "cofferdam.egress.verdict";
pub(crate) const EGRESS_RULE: &str = "cofferdam.egress.rule";
pub(crate) const EGRESS_CREDENTIAL: &str = "cofferdam.egress.credential";
pub(crate) const EGRESS_COUNT: &str = "cofferdam.egress.count";
pub(crate) const SANDBOX: &str = "cofferdam.sandbox.id";
pub(crate) const VERDICT: &str = "cofferdam.gate.verdict";
pub(crate) const BLOCKING: &str = "cofferdam.gate.blocking";
pub(crate) const WARNINGS: &str = "cofferdam.gate.warnings";
pub(crate) const NOTES: &str = "cofferdam.gate.notes";
pub(crate) const SIDE: &str = "cofferdam.evidence.side";
pub(crate) const EXIT: &str = "cofferdam.evidence.exit";
pub(crate) const TESTS_PASSED: &str = "cofferdam.evidence.tests.passed";
pub(crate) const TESTS_FAILED: &str = "cofferdam.evidence.tests.failed";
pub(crate) const PULL_REQUEST: &str = "cofferdam.pull_request.number";
pub(crate) const DRAFT: &str = "cofferdam.pull_request.draft";
pub(crate) const WAITING_FOR: &str = "cofferdam.waiting_for";
pub(crate) const RULE: &str = "cofferdam.alarm.rule";
