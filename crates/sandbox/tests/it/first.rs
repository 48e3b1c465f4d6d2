//! scratch
use std::time::Duration;
use cofferdam_sandbox::*;
use cofferdam_domain::{SandboxId, policy::Limits};
#[tokio::test]
async fn first() {
    let dir = tempfile::tempdir().unwrap();
    let env = HostEnvironment::of_this_host();
    eprintln!("{:?}", env.visible());
    let driver = NativeDriver::new(NativeOptions { environment: env, limits: LimitLevel::WeakAllowed }).await.unwrap();
    eprintln!("{}", driver.level());
    let lower = dir.path().join("base"); std::fs::create_dir(&lower).unwrap(); std::fs::write(lower.join("README"), "hi\n").unwrap();
    let spec = SandboxSpec { id: SandboxId::generate(), lower: vec![lower], layer: dir.path().join("layer"), read_only: vec![], limits: Limits::default() };
    let sandbox = driver.create(spec).await.unwrap();
    let script = std::env::var("SCRIPT").unwrap_or("id; pwd; ls -la / /workspace /home/agent; cat /proc/self/mountinfo; env; cat /proc/self/status | grep -E 'Cap|Sec|NoNew'; echo x >> README; cat README; ps aux; df -h".into());
    let mut p = sandbox.start(Command { argv: vec!["sh".into(), "-c".into(), script], env: vec![], cwd: String::new(), stdin: vec![], terminal: false, timeout: Duration::from_secs(300), output_limit: 1<<20 }).await.unwrap();
    let f = p.wait(Duration::from_secs(300)).await.unwrap().unwrap();
    eprintln!("{}\n{:?} {:?} oom={}", String::from_utf8_lossy(&f.output.joined()), f.exit, f.elapsed, f.out_of_memory);
    drop(p);
    sandbox.destroy().await.unwrap();
}
