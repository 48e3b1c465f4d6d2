//! Root inside: who may change the system of a sandbox, and is nobody outside of it.

use std::{fs, path::Path, process::Stdio};

use cofferdam_sandbox::{Command, Driver as _, Sandbox, SandboxError, System, User};

use crate::support::{LONG, Place, is_root, run, sh, shell, text};

/// A sandbox whose system can be changed; `None`, loudly, where there can be none.
async fn writable(place: &Place, layer: &str) -> Option<Box<dyn Sandbox>> {
    let mut spec = place.spec(layer);
    spec.system = System::Writable;
    match place.driver.create(spec).await {
        Ok(sandbox) => Some(sandbox),
        Err(error @ SandboxError::Host { .. }) if !is_root() => {
            eprintln!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
    }
}

fn as_root(script: &str) -> Command {
    Command { user: User::Root, ..shell(script) }
}

async fn root(sandbox: &dyn Sandbox, script: &str) -> String {
    text(&run(sandbox, as_root(script)).await)
}

/// A package with a program, a file of somebody else's, a set-user-id bit, and a script that runs when it is installed. `None`, loudly, without dpkg.
fn package(place: &Path) -> Option<()> {
    let tree = place.join("cofferdam-test");
    fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    fs::create_dir_all(tree.join("usr/bin")).unwrap();
    fs::create_dir_all(tree.join("etc")).unwrap();
    let control = "Package: cofferdam-test\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: test\n";
    fs::write(tree.join("DEBIAN/control"), control).unwrap();
    let script = "#!/bin/sh\nset -e\nmkdir -p /var/lib/cofferdam-test\nchown daemon:daemon /var/lib/cofferdam-test\n\
                  touch /usr/lib/cofferdam-test-was-here\n";
    fs::write(tree.join("DEBIAN/postinst"), script).unwrap();
    fs::write(tree.join("usr/bin/cofferdam-test"), "#!/bin/sh\necho installed\n").unwrap();
    fs::write(tree.join("etc/cofferdam-test.conf"), "setting\n").unwrap();
    for (name, mode) in [("DEBIAN", 0o755), ("DEBIAN/postinst", 0o755), ("usr/bin/cofferdam-test", 0o4755)] {
        fs::set_permissions(tree.join(name), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    let built = std::process::Command::new("dpkg-deb")
        .args(["--root-owner-group", "--build"])
        .arg(&tree)
        .arg(place.join("x.deb"))
        .stdout(Stdio::null())
        .status();
    match built {
        Ok(status) if status.success() => Some(()),
        Ok(status) => panic!("dpkg-deb: {status}"),
        Err(error) => {
            eprintln!("SKIPPED: dpkg-deb: {error}");
            None
        }
    }
}

#[tokio::test]
async fn git_takes_the_workspace_from_root_too() {
    let Some(place) = Place::new().await else { return };
    let Some(sandbox) = writable(&place, "layer").await else { return };
    assert_eq!(sh(&*sandbox, "git init -q . && echo made").await, "made\n");
    assert_eq!(
        root(&*sandbox, "git status --short >git.log && git rev-parse --show-toplevel").await,
        "/workspace\n"
    );
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn packages_are_installed_and_stay_for_the_session() {
    let Some(place) = Place::new().await else { return };
    let base = place.base();
    let Some(()) = package(&base) else { return };
    let Some(sandbox) = writable(&place, "layer").await else { return };
    let printed = root(&*sandbox, "dpkg -i ./x.deb 2>&1; echo \"exit $?\"").await;
    assert!(printed.contains("exit 0"), "{printed}");
    let look = "cofferdam-test; cat /etc/cofferdam-test.conf; stat -c %U /var/lib/cofferdam-test; dpkg -s cofferdam-test | grep -c '^Status: install ok installed'";
    assert_eq!(sh(&*sandbox, look).await, "installed\nsetting\ndaemon\n1\n");
    assert_eq!(
        sh(&*sandbox, "touch /usr/bin/x /etc/x /var/x 2>&1 | grep -c 'ermission denied'").await,
        "3\n"
    );
    sandbox.destroy().await.unwrap();

    let again = writable(&place, "layer").await.unwrap();
    assert_eq!(sh(&*again, look).await, "installed\nsetting\ndaemon\n1\n");
    let printed = root(&*again, "dpkg -r cofferdam-test 2>&1; echo \"exit $?\"").await;
    assert!(printed.contains("exit 0"), "{printed}");
    assert_eq!(sh(&*again, "command -v cofferdam-test; echo gone").await, "gone\n");
    again.destroy().await.unwrap();
    let other = writable(&place, "other").await.unwrap();
    assert_eq!(
        sh(&*other, "command -v cofferdam-test; ls /etc/cofferdam-test.conf 2>/dev/null; echo none").await,
        "none\n"
    );
    other.destroy().await.unwrap();
    for path in ["/usr/bin/cofferdam-test", "/etc/cofferdam-test.conf", "/usr/lib/cofferdam-test-was-here"] {
        assert!(!Path::new(path).exists(), "{path} on the host");
    }
}

#[tokio::test]
async fn apt_installs_a_file_with_its_own_user_for_fetching() {
    let Some(place) = Place::new().await else { return };
    let Some(()) = package(&place.base()) else { return };
    if !Path::new("/usr/bin/apt-get").exists() {
        eprintln!("SKIPPED: no apt-get");
        return;
    }
    let Some(sandbox) = writable(&place, "layer").await else { return };
    let install = "export DEBIAN_FRONTEND=noninteractive; cp x.deb /tmp; apt-get install -y --no-install-recommends /tmp/x.deb 2>&1; echo \"exit $?\"";
    let printed = root(&*sandbox, install).await;
    assert!(printed.contains("exit 0"), "{printed}");
    assert_eq!(sh(&*sandbox, "cofferdam-test").await, "installed\n");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn root_has_few_capabilities_and_the_agent_none() {
    let Some(place) = Place::new().await else { return };
    let Some(sandbox) = writable(&place, "layer").await else { return };
    let status = "grep -E '^(CapPrm|CapEff|CapBnd|CapInh|CapAmb|NoNewPrivs|Seccomp:)' /proc/self/status | tr -s '\t' ' '; id -u; id -G";
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETFCAP (linux/capability.h).
    let few = [0, 1, 3, 4, 5, 6, 7, 31].iter().fold(0_u64, |set, capability| set | 1 << capability);
    let expected = |set: u64, user: &str| {
        format!(
            "CapInh: 0000000000000000\nCapPrm: {set:016x}\nCapEff: {set:016x}\nCapBnd: {set:016x}\nCapAmb: 0000000000000000\n\
             NoNewPrivs: 1\nSeccomp: 2\n{user}\n{user}\n"
        )
    };
    assert_eq!(root(&*sandbox, status).await, expected(few, "0"));
    assert_eq!(sh(&*sandbox, status).await, expected(0, "1000"));
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn root_is_nobody_outside_and_cannot_touch_the_machine() {
    let Some(place) = Place::new().await else { return };
    let Some(sandbox) = writable(&place, "layer").await else { return };
    let script = "for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward /proc/sys/user/max_user_namespaces /proc/sys/vm/drop_caches; do \
                  (echo 1 > $f) 2>/dev/null && echo \"WROTE $f\"; done; \
                  mount -t tmpfs x /mnt 2>/dev/null && echo MOUNTED; unshare -U true 2>/dev/null && echo UNSHARED; unshare -n true 2>/dev/null && echo UNSHARED; \
                  chroot / true 2>/dev/null && echo CHROOTED; mknod /tmp/null c 1 3 2>/dev/null && echo NODE; hostname x 2>/dev/null && echo NAMED; \
                  ip link set lo down 2>/dev/null && echo DOWN; dmesg 2>/dev/null && echo LOG; kill -9 1; \
                  cat /proc/1/environ /proc/1/maps 2>/dev/null; ls /proc/1/fd 2>/dev/null; \
                  touch /usr/x && rm /usr/x && echo changed";
    assert_eq!(root(&*sandbox, script).await, "changed\n");
    // What is root's alone on the host is not the sandbox's root's.
    let shadow =
        root(&*sandbox, "cat /etc/shadow; ls -A /etc/ssl/private /etc/apt/auth.conf.d 2>/dev/null").await;
    assert_eq!(shadow, "root:*:1::::::\nagent:*:1::::::\n");
    assert!(!sh(&*sandbox, "cat /etc/passwd").await.lines().any(|line| {
        let id = line.split(':').nth(2).unwrap().parse::<u32>().unwrap();
        id > 1000 && id != 65534
    }));
    assert_eq!(
        root(&*sandbox, "cat /etc/shadow > /workspace/stolen; echo x > /usr/owned; echo $HOME").await,
        "/root\n"
    );
    sandbox.destroy().await.unwrap();
    let mut owners = Vec::new();
    for entry in walk(&place.path("layer")) {
        owners.push(std::os::unix::fs::MetadataExt::uid(&fs::symlink_metadata(&entry).unwrap()));
    }
    assert!(owners.contains(&0x7ffe_0000), "files of the sandbox's root: {owners:?}");
    assert!(owners.iter().all(|owner| *owner == 0 || *owner >= 0x7ffe_0000), "{owners:?}");
}

fn walk(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            all.extend(walk(&entry.path()));
        }
        all.push(entry.path());
    }
    all
}

#[tokio::test]
async fn the_agent_has_no_power_over_roots_processes_and_the_host_has() {
    let Some(place) = Place::new().await else { return };
    let Some(sandbox) = writable(&place, "layer").await else { return };
    let mut process = sandbox
        .start(as_root("setsid sh -c 'echo $$ > /tmp/background; exec sleep 98765' & while ! [ -s /tmp/background ]; do sleep 0.01; done; echo ready; exec sleep 98764"))
        .await
        .unwrap();
    while !String::from_utf8_lossy(&process.take_output()).contains("ready") {
        process.stir(LONG).await;
    }
    assert_eq!(
        sh(&*sandbox, "kill -9 $(cat /tmp/background) 2>&1 | grep -c -i 'not permitted'; kill -9 -1; true")
            .await
            .lines()
            .next(),
        Some("1")
    );
    assert_eq!(root(&*sandbox, "kill -0 $(cat /tmp/background) && echo alive").await, "alive\n");
    process.kill().await.unwrap();
    assert_eq!(root(&*sandbox, "kill -0 $(cat /tmp/background) 2>/dev/null || echo dead").await, "dead\n");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn without_a_writable_system_there_is_no_root() {
    let Some(place) = Place::new().await else { return };
    let sandbox = place.sandbox("layer").await;
    match sandbox.start(as_root("id")).await {
        Err(SandboxError::Start { problem, .. }) => assert!(problem.contains("no root"), "{problem}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("root, in a sandbox without one"),
    }
    assert_eq!(sh(&*sandbox, "id -u").await, "1000\n");
    sandbox.destroy().await.unwrap();
}
