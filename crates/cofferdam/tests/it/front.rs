//! A service as others know it: under an address that stays the same while the service dies and another one takes its place.

use std::{
    io::copy,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::harness::Running;

/// Hands every connection on to the service that runs now. A port that is left for a moment, somebody else on the machine may take; this one is
/// held as long as the test lasts.
pub(crate) struct Front {
    address: SocketAddr,
    behind: Arc<Mutex<Option<SocketAddr>>>,
    over: Arc<AtomicBool>,
}

impl Front {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (behind, over) = (Arc::<Mutex<Option<SocketAddr>>>::default(), Arc::<AtomicBool>::default());
        let front = Self { address, behind: Arc::clone(&behind), over: Arc::clone(&over) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), Some(behind)) = (stream, *behind.lock().unwrap()) else { continue };
                // Whoever asks while nobody is there, hears nothing.
                let Ok(service) = TcpStream::connect(behind) else { continue };
                hand_on(stream.try_clone().unwrap(), service.try_clone().unwrap());
                hand_on(service, stream);
            }
        });
        front
    }

    /// Where the service seems to be.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it is from now on.
    pub(crate) fn leads_to(&self, service: SocketAddr) {
        *self.behind.lock().unwrap() = Some(service);
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
    }
}

fn hand_on(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        // Whoever is killed in between leaves it half said.
        copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Write).ok();
    });
}

/// Where a service listens that was started with `--listen 127.0.0.1:0`.
pub(crate) fn listens(up: &mut Running) -> SocketAddr {
    let line = up.until("listening on ");
    let (_, rest) = line.split_once("listening on ").unwrap();
    rest.split_once(": ").unwrap().0.parse().unwrap()
}
