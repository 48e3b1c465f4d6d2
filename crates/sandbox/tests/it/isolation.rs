//! What a sandbox cannot see or do. Each test has something that must work beside what must not, so that it cannot pass for a wrong reason.

use std::{collections::BTreeSet, fs::read_link, net::TcpListener, os::unix::net::UnixListener};

use cofferdam_sandbox::{Network, SandboxError};

use crate::support::{LONG, Place, eventually, host_processes, is_root, sh, shell};

#[tokio::test]
async fn there_is_no_network_but_loopback() {
    let Some(place) = Place::new().await else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let abstract_name = format!("cofferdam-test-{port}");
    let address = <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(
        &abstract_name,
    );
    let unix = UnixListener::bind_addr(&address.unwrap()).unwrap();
    unix.set_nonblocking(true).unwrap();
    let sandbox = place.sandbox("layer").await;
    assert_eq!(sh(&*sandbox, "sed 1,2d /proc/net/dev | cut -d: -f1 | tr -d ' '").await, "lo\n");
    assert_eq!(sh(&*sandbox, "sed 1d /proc/net/route").await, "", "no route anywhere");
    if sh(&*sandbox, "command -v python3").await.is_empty() {
        eprintln!("SKIPPED: no python3 for connections from inside");
    } else {
        let script = format!(
            "import socket\n\
             s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n\
             c = socket.create_connection(s.getsockname()); print('own loopback works')\n\
             def attempt(name, family, address):\n\
             \x20   try: socket.socket(family).connect(address); print(name, 'CONNECTED')\n\
             \x20   except OSError as error: print(name, error.errno)\n\
             attempt('host loopback', socket.AF_INET, ('127.0.0.1', {port}))\n\
             attempt('internet', socket.AF_INET, ('192.0.2.1', 80))\n\
             attempt('internet6', socket.AF_INET6, ('2001:db8::1', 80))\n\
             attempt('abstract', socket.AF_UNIX, '\\0{abstract_name}')\n\
             for family in 40, 17, 38, 16:\n\
             \x20   try: socket.socket(family, socket.SOCK_STREAM if family != 16 else socket.SOCK_RAW, 4 if family == 16 else 0); print(family, 'MADE')\n\
             \x20   except OSError as error: print(family, error.errno)\n"
        );
        sandbox.write("/tmp/attempts.py", script.as_bytes(), None).await.unwrap();
        let expected = "own loopback works\nhost loopback 111\ninternet 101\ninternet6 101\nabstract 111\n40 97\n17 97\n38 97\n16 97\n";
        assert_eq!(sh(&*sandbox, "python3 /tmp/attempts.py 2>&1").await, expected);
    }
    assert!(listener.accept().is_err() && unix.accept().is_err(), "nothing arrived at the host");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn every_sandbox_has_a_network_that_nobody_had_before() {
    let Some(place) = Place::new().await else { return };
    let of = |process: &str| ["net", "ipc"].map(|name| read_link(format!("/proc/{process}/ns/{name}")));
    let zygote = place.driver.zygote_pid().unwrap().to_string();
    let (mut seen, mut sandboxes) = (BTreeSet::new(), Vec::new());
    for network in [Network::Off, Network::Off, Network::Door, Network::Off, Network::Door, Network::Off] {
        let mut spec = place.spec(&format!("layer{}", sandboxes.len()));
        spec.network = network;
        let sandbox = place.create(spec).await;
        assert_eq!(sandbox.take_listeners().is_some(), network == Network::Door);
        seen.insert(sh(&*sandbox, "readlink /proc/self/ns/net").await);
        seen.insert(sh(&*sandbox, "readlink /proc/self/ns/ipc").await);
        sandboxes.push(sandbox);
        if is_root() && sandboxes.len() > 1 {
            // What is made ahead of the next one is ready then. Others may not look at the zygote.
            eventually("the zygote is back where it belongs", || {
                of(&zygote).iter().flatten().eq(of("self").iter().flatten())
            })
            .await;
        }
    }
    assert_eq!(seen.len(), 2 * sandboxes.len());
    for own in of("self") {
        assert!(!seen.contains(&format!("{}\n", own.unwrap().display())), "the host's own");
    }
    for sandbox in sandboxes {
        sandbox.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn the_hosts_files_and_home_are_not_there() {
    let Some(place) = Place::new().await else { return };
    let secret = place.path("secret");
    std::fs::write(&secret, "canary").unwrap();
    let sandbox = place.sandbox("layer").await;
    let visible = sh(&*sandbox, "ls /").await;
    let expected =
        ["bin", "dev", "etc", "home", "lib", "proc", "root", "run", "sys", "tmp", "usr", "var", "workspace"];
    for name in visible.lines() {
        let more = ["lib32", "lib64", "libx32", "nix", "opt", "sbin"];
        assert!(expected.contains(&name) || more.contains(&name) || !is_secretive(name), "{name}");
    }
    assert_eq!(
        sh(
            &*sandbox,
            "ls /home; ls -A /home/agent /tmp /run /sys | grep -v -e '^/' -e '^$' -e '^.cargo$' -e '^go$'"
        )
        .await,
        "agent\n"
    );
    let path = secret.to_str().unwrap();
    assert_eq!(sh(&*sandbox, &format!("cat {path} 2>&1 | grep -c 'No such file'")).await, "1\n");
    for path in [
        "/etc/shadow",
        "/etc/ssl/private",
        "/etc/ssh",
        "/var/lib",
        "/var/log",
        "/boot",
        "/mnt",
        "/srv",
        "/root/.ssh",
        "/root/.bashrc",
    ] {
        assert_eq!(sh(&*sandbox, &format!("ls {path} 2>/dev/null")).await, "", "{path}");
    }
    // A place that anybody may write to on the host, and the sandbox's own one of the same name.
    assert_eq!(
        sh(&*sandbox, "echo inside > /var/tmp/cofferdam-test && cat /var/tmp/cofferdam-test").await,
        "inside\n"
    );
    assert!(!std::path::Path::new("/var/tmp/cofferdam-test").exists());
    let mounts = sh(&*sandbox, "cut -d' ' -f5 /proc/self/mountinfo").await;
    assert!(mounts.lines().all(|point| !point.starts_with("/sys/") && point != "/boot"), "{mounts}");
    sandbox.destroy().await.unwrap();
}

/// Top-level names that hold people's or the system's own things.
fn is_secretive(name: &str) -> bool {
    ["boot", "mnt", "media", "srv", "lost+found", "work"].contains(&name)
}

#[tokio::test]
async fn nothing_of_the_system_can_be_written() {
    let Some(place) = Place::new().await else { return };
    let sandbox = place.sandbox("layer").await;
    let script = "for d in / /usr /usr/bin /etc /opt /dev /sys /proc /root /home /var; do \
                  touch $d/cofferdam-test 2>/dev/null && echo \"WROTE $d\"; done; \
                  for f in /proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches /proc/sysrq-trigger /proc/sys/kernel/hostname /proc/self/oom_adj_no \
                  /proc/sys/user/max_user_namespaces /proc/sys/net/ipv4/ip_forward; do (echo 1 > $f) 2>/dev/null && echo \"WROTE $f\"; done; \
                  for d in /workspace /home/agent /tmp /var/tmp /run /dev/shm; do touch $d/cofferdam-test && echo \"wrote $d\"; done";
    let expected = "WROTE /proc/sysrq-trigger\n";
    let printed = sh(&*sandbox, script).await;
    // Where the file exists it is covered by the null device.
    let printed = printed.replace(expected, "");
    assert_eq!(
        printed,
        "wrote /workspace\nwrote /home/agent\nwrote /tmp\nwrote /var/tmp\nwrote /run\nwrote /dev/shm\n"
    );
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn other_processes_and_the_environment_of_the_worker_are_not_there() {
    let Some(place) = Place::new().await else { return };
    let sandbox = place.sandbox("layer").await;
    let pids = sh(&*sandbox, "ls /proc | grep -c '^[0-9]*$'").await;
    assert!(pids.trim().parse::<u32>().unwrap() < 8, "{pids}");
    assert_eq!(
        sh(
            &*sandbox,
            "cat /proc/1/environ /proc/1/maps /proc/1/mem 2>/dev/null; ls /proc/1/fd /proc/1/root 2>/dev/null"
        )
        .await,
        ""
    );
    assert_eq!(
        sh(&*sandbox, "ls /proc/self/fd | wc -l").await,
        "4\n",
        "standard streams, and the directory itself"
    );
    let names = sh(&*sandbox, "env | cut -d= -f1 | sort | tr '\\n' ' '").await;
    for name in names.split_ascii_whitespace() {
        assert!(
            !name.contains("TOKEN")
                && !name.contains("KEY")
                && !name.contains("CERT")
                && !name.starts_with("CARGO_PKG"),
            "{name}"
        );
    }
    // Whatever becomes of the shell itself, process 1 gets no signal from inside.
    match sandbox.start(shell("kill -9 1; kill -9 -1")).await {
        Ok(mut process) => assert!(process.wait(LONG).await.unwrap().is_some()),
        // It was so quick that nobody could say that it had started.
        Err(error) => assert!(matches!(error, SandboxError::Start { .. }), "{error}"),
    }
    assert_eq!(sh(&*sandbox, "echo alive").await, "alive\n");
    assert!(!host_processes("").is_empty());
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn there_are_no_privileges_and_no_way_to_get_any() {
    let Some(place) = Place::new().await else { return };
    let sandbox = place.sandbox("layer").await;
    let status = sh(
        &*sandbox,
        "grep -E '^(Cap|NoNewPrivs|Seccomp:|Uid|Gid|Groups)' /proc/self/status | tr -s '\\t ' ' '",
    )
    .await;
    for line in [
        "CapInh: 0000000000000000",
        "CapPrm: 0000000000000000",
        "CapEff: 0000000000000000",
        "CapBnd: 0000000000000000",
    ] {
        assert!(status.contains(line), "{status}");
    }
    assert!(
        status.contains("CapAmb: 0000000000000000")
            && status.contains("NoNewPrivs: 1")
            && status.contains("Seccomp: 2"),
        "{status}"
    );
    assert!(status.contains("Uid: 1000 1000 1000 1000"), "{status}");
    let map: Vec<String> =
        sh(&*sandbox, "cat /proc/self/uid_map").await.split_ascii_whitespace().map(str::to_owned).collect();
    let (inside, count) = if is_root() { ("0", "65536") } else { ("1000", "1") };
    assert_eq!((map[0].as_str(), map[2].as_str()), (inside, count));
    assert_ne!(map[1], "0", "never the host's root");
    assert_eq!(
        sh(
            &*sandbox,
            "unshare -U true 2>&1 | grep -c 'not permitted'; cat /proc/sys/user/max_user_namespaces"
        )
        .await,
        "1\n0\n"
    );
    assert_eq!(sh(&*sandbox, "ulimit -c; cat /proc/self/setgroups").await, "0\ndeny\n");
    let nosuid = sh(&*sandbox, "grep -v -e ' /dev/' -e ' /proc' /proc/self/mountinfo | grep -v nosuid").await;
    assert_eq!(nosuid, "", "no mount honours set-user-id bits");
    sandbox.destroy().await.unwrap();
}
