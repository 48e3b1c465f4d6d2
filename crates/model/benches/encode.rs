//! What it takes until a request is on its way, in short and long conversations: `cargo bench -p cofferdam-model --bench encode`.
//!
//! Measured from the question to the model until the first byte of the request arrives at a server on loopback. Beside it stands what the same
//! request costs where nothing of the one before can be used, as after a compaction: that is what every request would cost if it were
//! encoded whole.

use std::{
    error::Error,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

use cofferdam_domain::{
    Block, Digest, Message, Messages, ModelRequest, Role, ToolCall, ToolSpec, message::ToolResult,
};
use cofferdam_model::{Model, ModelsConfig, NoBlobs, open};

type Failure = Box<dyn Error + Send + Sync>;

const LENGTHS: [usize; 4] = [10, 50, 200, 1000];
const ROUNDS: usize = 50;
/// Bytes of a tool result.
const RESULT: usize = 900;

/// An answer of one word in the Anthropic format.
const ANSWER: &str = "data: {\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n\
    data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"x\"}}\n\n\
    data: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
    data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":1}}\n\n\
    data: {\"type\":\"message_stop\"}\n\n";

fn main() -> Result<(), Failure> {
    let (base_url, arrivals) = serve()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    say(&format!("{:>6} {:>10} {:>14} {:>14} {:>8}", "steps", "bytes", "going on, µs", "anew, µs", "ratio"));
    for steps in LENGTHS {
        let mut model = runtime.block_on(model(&base_url))?;
        let mut request = request(steps);
        let (mut going_on, mut anew) = (Vec::new(), Vec::new());
        // The first of all opens a connection and encodes the whole.
        let mut bytes = runtime.block_on(ask(model.as_mut(), &request, &arrivals))?.1;
        for _ in 0..ROUNDS {
            step(&mut request.messages);
            going_on.push(runtime.block_on(ask(model.as_mut(), &request, &arrivals))?.0);
        }
        for _ in 0..ROUNDS {
            request.epoch += 1;
            let (took, size) = runtime.block_on(ask(model.as_mut(), &request, &arrivals))?;
            anew.push(took);
            bytes = size;
        }
        let (going_on, anew) = (median(&mut going_on), median(&mut anew));
        say(&format!("{steps:>6} {bytes:>10} {going_on:>14.0} {anew:>14.0} {:>8.1}", anew / going_on));
    }
    Ok(())
}

async fn model(base_url: &str) -> Result<Box<dyn Model>, Failure> {
    let config: ModelsConfig =
        toml::from_str(&format!("[providers.bench]\nkind = \"anthropic\"\nbase_url = \"{base_url}\""))?;
    Ok(open(&config, &|_| None, Some("bench/m"), Arc::new(NoBlobs)).await?)
}

/// Asks; how long it took until the request arrived, and its size.
async fn ask(
    model: &mut dyn Model,
    request: &ModelRequest,
    arrivals: &Receiver<(Instant, usize)>,
) -> Result<(Duration, usize), Failure> {
    let asked = Instant::now();
    model.ask(request, &mut |_| ()).await?;
    let (arrived, size) = arrivals.recv()?;
    Ok((arrived - asked, size))
}

fn request(steps: usize) -> ModelRequest {
    let mut messages = Messages::default();
    messages.push(Arc::new(Message { role: Role::User, blocks: vec![Block::text("Do it.")] }));
    (0..steps).for_each(|_| step(&mut messages));
    let tool = ToolSpec {
        name: "shell".into(),
        description: "Runs a command.".into(),
        parameters: serde_json::json!({"type": "object"}),
        parallel: true,
        read_only: false,
    };
    ModelRequest {
        system: "You work.".into(),
        tools: [tool].into(),
        messages,
        max_output_tokens: 4096,
        epoch: 0,
        cache_key: "ses_1".into(),
        digest: Digest::ZERO,
    }
}

/// A call and its result.
fn step(messages: &mut Messages) {
    let id = format!("toolu_{:06}", messages.len());
    let call = ToolCall {
        provider_id: id.clone(),
        name: "shell".into(),
        arguments: "{\"command\":\"make test\"}".into(),
        opaque: None,
    };
    let result = ToolResult {
        provider_id: id,
        name: "shell".into(),
        text: "a line of output\n".repeat(RESULT / 17),
        images: Vec::new(),
        is_error: false,
    };
    messages.push(Arc::new(Message { role: Role::Assistant, blocks: vec![Block::ToolCall(call)] }));
    messages.push(Arc::new(Message { role: Role::User, blocks: vec![Block::ToolResult(result)] }));
}

/// Answers every request with the same; tells when the first byte of each arrived, and the size of its body.
fn serve() -> Result<(String, Receiver<(Instant, usize)>), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let base_url = format!("http://{}", listener.local_addr()?);
    let (tell, arrivals) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tell = tell.clone();
            // It ends with its connection.
            std::thread::spawn(move || answer(stream, &tell).ok());
        }
    });
    Ok((base_url, arrivals))
}

fn answer(mut stream: TcpStream, tell: &Sender<(Instant, usize)>) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let (mut seen, mut arrived, mut body) = (Vec::new(), None, None);
        while body.is_none_or(|(start, length)| seen.len() < start + length) {
            let read = stream.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            arrived.get_or_insert_with(Instant::now);
            seen.extend_from_slice(&buffer[..read]);
            body = body.or_else(|| body_of(&seen));
        }
        let length = body.map_or(0, |(_, length)| length);
        tell.send((arrived.unwrap_or_else(Instant::now), length))?;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length";
        stream.write_all(format!("{head}: {}\r\n\r\n{ANSWER}", ANSWER.len()).as_bytes())?;
    }
}

/// Where the body begins and how long it is, once the headers are there. They are short: looking for their end again costs nothing.
fn body_of(seen: &[u8]) -> Option<(usize, usize)> {
    let end = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&seen[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok())?;
    Some((end + 4, length))
}

fn median(samples: &mut [Duration]) -> f64 {
    samples.sort_unstable();
    samples.get(samples.len() / 2).map_or(f64::NAN, |median| median.as_secs_f64() * 1e6)
}

#[expect(clippy::print_stdout, reason = "the figures are what a benchmark is for")]
fn say(line: &str) {
    println!("{line}");
}
