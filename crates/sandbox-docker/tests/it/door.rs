//! The egress door: connections leave one by one, and nothing else does.

use std::{
    io::{Read as _, Write as _},
    sync::Arc,
    time::Duration,
};

use cofferdam_conformance::{LONG, Scene, command, run, sh, text};
use cofferdam_sandbox::{Capture, Network, SandboxSpec};

use crate::engine::driver;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_reach_the_door_and_only_that() {
    let Some(driver) = driver().await else { return };
    let scene = Scene::new(Arc::new(driver));
    let sandbox = scene.create(SandboxSpec { network: Network::Door, ..scene.spec("layer") }).await;
    let mut door = sandbox.take_listeners().unwrap();
    assert!(sandbox.take_listeners().is_none());
    let Capture::ProxyOnly { address } = door.capture else { panic!("{:?}", door.capture) };
    assert_eq!(sh(&*sandbox, "echo $https_proxy").await, format!("http://{address}\n"));
    assert_eq!(sh(&*sandbox, "sed 1,2d /proc/net/dev | cut -d: -f1 | tr -d ' '").await, "lo\n");
    let mut streams = door.streams.take().unwrap();
    // Says back what it hears, until the other side has said all, and then how much that was.
    let served = tokio::task::spawn_blocking(move || {
        for _ in 0..3 {
            let mut stream = streams.blocking_recv().unwrap();
            stream.set_nonblocking(false).unwrap();
            std::thread::spawn(move || {
                let (mut heard, mut piece) = (0, vec![0; 100_000]);
                loop {
                    let length = stream.read(&mut piece).unwrap();
                    if length == 0 {
                        break;
                    }
                    heard += length;
                    stream.write_all(&piece[..length]).unwrap();
                }
                stream.write_all(format!("\nheard {heard}\n").as_bytes()).unwrap();
            });
        }
        streams
    });
    let port = address.port();
    let talk =
        |script: &str| command(&["bash", "-c", &format!("exec 3<>/dev/tcp/127.0.0.1/{port}; {script}")]);
    let mut small = sandbox.start(talk("echo hello >&3; head -n 1 <&3")).await.unwrap();
    let small = small.wait(LONG).await.unwrap().unwrap();
    assert_eq!(text(&small), "hello\n");
    // More than all windows together, while nobody reads yet: nothing is lost, and nobody else waits.
    let mut large = sandbox
        .start(talk("head -c 30000000 /dev/zero >&3 & sleep 0.5; head -c 30000000 <&3 | wc -c"))
        .await
        .unwrap();
    assert_eq!(sh(&*sandbox, "echo meanwhile").await, "meanwhile\n");
    assert_eq!(text(&large.wait(LONG).await.unwrap().unwrap()), "30000000\n");
    let closing = run(&*sandbox, talk("echo x >&3; sleep 0.1; exec 3>&-; echo closed")).await;
    assert_eq!(text(&closing), "closed\n");
    let streams = served.await.unwrap();
    drop(streams);
    // Nobody takes them any more: they end, or are reset where something was said before.
    let mut refused = talk("echo x >&3; cat <&3 2> /dev/null; echo over");
    refused.timeout = Duration::from_secs(60);
    assert_eq!(text(&run(&*sandbox, refused).await), "over\n");
    sandbox.destroy().await.unwrap();
    let off = scene.sandbox("off").await;
    assert!(off.take_listeners().is_none());
    let closed = run(&*off, command(&["bash", "-c", &format!("exec 3<>/dev/tcp/127.0.0.1/{port}")])).await;
    assert_ne!(closed.exit, cofferdam_domain::evidence::Exit::Code(0));
    off.destroy().await.unwrap();
}
