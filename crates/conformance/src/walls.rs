//! What a sandbox cannot see or do, and that it leaves nothing. Each test has something that must work beside what must not, so that it cannot
//! pass for a wrong reason.

use std::net::TcpListener;

use cofferdam_domain::evidence::Exit;
use cofferdam_sandbox::SandboxError;

use crate::{LONG, Scene, command, eventually, host_processes, marker, run, sh, shell};

pub async fn there_is_no_network_but_loopback(place: &Scene) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let sandbox = place.sandbox("layer").await;
    assert_eq!(sh(&*sandbox, "sed 1,2d /proc/net/dev | cut -d: -f1 | tr -d ' '").await, "lo\n");
    assert_eq!(sh(&*sandbox, "sed 1d /proc/net/route").await, "", "no route anywhere");
    let connect =
        |address: String| command(&["bash", "-c", &format!("exec 3<>/dev/tcp/{address} && echo connected")]);
    for address in [format!("127.0.0.1/{port}"), "192.0.2.1/80".to_owned()] {
        assert_eq!(run(&*sandbox, connect(address)).await.exit, Exit::Code(1));
    }
    assert!(listener.accept().is_err(), "nothing arrived at the host");
    sandbox.destroy().await.unwrap();
}

pub async fn the_hosts_files_are_not_there(place: &Scene) {
    let secret = place.path("secret");
    std::fs::write(&secret, "canary").unwrap();
    let sandbox = place.sandbox("layer").await;
    let path = secret.to_str().unwrap();
    assert_eq!(sh(&*sandbox, &format!("cat {path} 2>&1 | grep -c 'No such file'")).await, "1\n");
    assert_eq!(
        sh(&*sandbox, "ls /sys; cat /proc/1/environ /proc/1/mem 2>/dev/null; ls /proc/1/fd 2>/dev/null")
            .await,
        ""
    );
    let script = "for d in / /usr /etc /proc /sys /dev; do touch $d/cofferdam-test 2>/dev/null && echo \"wrote $d\"; done; \
                  for d in /workspace ~ /tmp /var/tmp /run /dev/shm; do touch $d/cofferdam-test && echo \"wrote $d\"; done";
    let wrote = "/workspace /home/agent /tmp /var/tmp /run /dev/shm";
    let expected: String = wrote.split(' ').map(|directory| format!("wrote {directory}\n")).collect();
    assert_eq!(sh(&*sandbox, script).await, expected);
    sandbox.destroy().await.unwrap();
}

pub async fn there_are_no_privileges_and_no_way_to_get_any(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    let status =
        sh(&*sandbox, "grep -E '^(Cap|NoNewPrivs|Seccomp:|Uid)' /proc/self/status | tr -s '\\t ' ' '").await;
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(status.contains(&format!("{name}: 0000000000000000\n")), "{status}");
    }
    assert!(status.contains("NoNewPrivs: 1\n") && status.contains("Seccomp: 2\n"), "{status}");
    assert!(!status.contains("Uid: 0 "), "{status}");
    assert_eq!(sh(&*sandbox, "unshare -U true 2>&1 | grep -c 'not permitted'; ulimit -c").await, "1\n0\n");
    assert_eq!(
        sh(&*sandbox, "ls /proc/self/fd | wc -l").await,
        "4\n",
        "standard streams, and the directory itself"
    );
    sandbox.destroy().await.unwrap();
}

pub async fn killing_everybody_inside_leaves_the_sandbox(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    sh(&*sandbox, "echo kept > file").await;
    for _ in 0..3 {
        // Whatever becomes of the shell itself.
        match sandbox.start(shell("kill -9 1; kill -9 -1")).await {
            Ok(mut process) => assert!(process.wait(LONG).await.unwrap().is_some()),
            // It was so quick that nobody could say that it had started.
            Err(error) => assert!(matches!(error, SandboxError::Start { .. }), "{error}"),
        }
        assert_eq!(sh(&*sandbox, "cat file").await, "kept\n");
        assert_eq!(sandbox.read("file", 0, 100).await.unwrap().bytes, b"kept\n");
    }
    sandbox.destroy().await.unwrap();
}

pub async fn a_dropped_sandbox_ends_with_its_processes(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    let marker = marker();
    let mut process = sandbox.start(shell(&format!("setsid sleep {marker} & sleep {marker}"))).await.unwrap();
    eventually("it runs", || host_processes(&marker).len() == 3).await;
    drop(sandbox);
    eventually("it has ended", || host_processes(&marker).is_empty()).await;
    assert!(matches!(process.wait(LONG).await, Err(SandboxError::Gone(_))));
    assert!(matches!(process.kill().await, Err(SandboxError::Gone(_))));
}

pub async fn many_sandboxes_come_and_go_at_once(place: &Scene) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (driver, spec) = (std::sync::Arc::clone(&place.driver), place.spec(&format!("layer{number}")));
        tasks.spawn(async move {
            let sandbox = driver.create(spec).await.unwrap();
            assert_eq!(sh(&*sandbox, &format!("echo {number} > own; cat own")).await, format!("{number}\n"));
            sandbox.destroy().await.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}
