//! Two network namespaces with a virtual cable between them.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sched::{CloneFlags, setns};

/// A server's and a client's namespace. Gone when dropped.
pub(crate) struct Cable {
    pub(crate) server: Namespace,
    pub(crate) client: Namespace,
}

/// A network namespace with one interface besides loopback.
pub(crate) struct Namespace {
    name: String,
    pub(crate) interface: &'static str,
    pub(crate) v4: &'static str,
    pub(crate) v6: &'static str,
}

impl Cable {
    /// Lays a cable with so many queues at either end.
    pub(crate) fn new(queues: usize) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let prefix = format!("rokko-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let namespace = |suffix, interface, v4, v6| {
            let name = format!("{prefix}-{suffix}");
            ip(&["netns", "add", &name]);
            Namespace { name, interface, v4, v6 }
        };
        let server = namespace("s", "veth-s", "192.0.2.1", "2001:db8::1");
        let client = namespace("c", "veth-c", "192.0.2.2", "2001:db8::2");
        let cable = Self { server, client };
        let (server, client, queues) = (&cable.server, &cable.client, queues.to_string());
        let both = ["numrxqueues", &queues, "numtxqueues", &queues];
        let near = ["link", "add", server.interface, "netns", &server.name];
        let far = ["type", "veth", "peer", "name", client.interface, "netns", &client.name];
        ip(&[&near[..], &both, &far, &both].concat());
        for end in [server, client] {
            end.ip(&["addr", "add", &format!("{}/24", end.v4), "dev", end.interface]);
            end.ip(&["addr", "add", &format!("{}/64", end.v6), "dev", end.interface, "nodad"]);
            end.ip(&["link", "set", "lo", "up"]);
            end.ip(&["link", "set", end.interface, "up"]);
        }
        cable
    }
}

impl Namespace {
    /// Runs something on a thread in the namespace. Sockets and threads that it makes stay there.
    pub(crate) fn enter<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        let file = std::fs::File::open(format!("/run/netns/{}", self.name)).expect("a namespace made by `ip netns`");
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                setns(&file, CloneFlags::CLONE_NEWNET).expect("entering a network namespace, which takes root");
                run()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// `ip` in the namespace.
    pub(crate) fn ip(&self, arguments: &[&str]) -> String {
        ip(&[&["-n", &self.name], arguments].concat())
    }

    /// Any program in the namespace, which has to succeed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        ip(&[&["netns", "exec", &self.name], arguments].concat())
    }

    /// Whether there is an XDP program on the interface.
    pub(crate) fn has_program(&self) -> bool {
        self.ip(&["link", "show", self.interface]).contains("prog/xdp")
    }

    /// Sums that hardware would make are made before a packet enters the cable.
    pub(crate) fn make_own_checksums(&self) {
        self.run(&["ethtool", "--offload", self.interface, "tx", "off"]);
    }

    /// The addresses of this end, with a port.
    pub(crate) fn addrs(&self, port: u16) -> [SocketAddr; 2] {
        [self.v4, self.v6].map(|host| SocketAddr::new(host.parse().unwrap(), port))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The cable goes with either of its ends.
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

fn ip(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output().expect("`ip`, of the package iproute2");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "this test makes network namespaces, which takes root: ip {arguments:?}: {err}");
    out.into_owned()
}
