//! A star of network namespaces: one for a control node, one for each PoP, and one for the wires between them. Needs root.

use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sched::{CloneFlags, setns};

use super::link::{Link, Quality};

/// A network namespace. Gone when dropped.
pub(crate) struct Netns {
    pub(crate) name: String,
}

impl Netns {
    fn new(name: String) -> Self {
        run("ip", &["netns", "add", &name], "");
        let netns = Self { name };
        netns.ip("link set lo up\n");
        netns
    }

    /// Runs `work` with this network. Sockets that it opens and processes that it starts stay in there.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(File::open(format!("/run/netns/{}", self.name)).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs commands of `ip`, a line each.
    fn ip(&self, commands: &str) {
        run("ip", &["-n", &self.name, "-batch", "-"], commands);
    }

    /// Has the interface send what goes on a wire: whole checksums, and no frame above the MTU.
    fn without_offloads(&self, interface: &str) {
        let ethtool = ["netns", "exec", &self.name, "ethtool", "--offload", interface, "tx", "off", "tso", "off"];
        run("ip", &ethtool, "");
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

/// Where the control node is, as every PoP sees it.
pub(crate) const HUB: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1));

/// The namespaces and what is between them.
pub(crate) struct Star {
    // Dropped first, so that no wire works on interfaces that are gone.
    pub(crate) links: Vec<Link>,
    pub(crate) hub: Netns,
    pub(crate) leaves: Vec<Netns>,
    _wires: Netns,
}

impl Star {
    /// A leaf for each of some wires.
    pub(crate) fn new(qualities: &[Quality]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let prefix = format!("rokko-star-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let hub = Netns::new(format!("{prefix}-hub"));
        let wires = Netns::new(format!("{prefix}-wires"));
        hub.ip(&format!("addr add {HUB}/32 dev lo\n"));
        let leaves: Vec<_> = (0..qualities.len()).map(|index| Netns::new(format!("{prefix}-{index}"))).collect();
        let wire = |(index, quality): (usize, &Quality)| join(&wires, index, &hub, &leaves[index], *quality);
        let links = qualities.iter().enumerate().map(wire).collect();
        Self { links, hub, leaves, _wires: wires }
    }

    /// The address of a leaf, as the hub sees it.
    pub(crate) fn leaf(index: usize) -> IpAddr {
        Ipv4Addr::new(10, 9, 1 + u8::try_from(index).unwrap(), 2).into()
    }
}

/// Puts a wire between the hub and a leaf. Both know each other's hardware address, so that no loss keeps them from
/// finding it.
fn join(wires: &Netns, index: usize, hub: &Netns, leaf: &Netns, quality: Quality) -> Link {
    let [near, far] = [format!("n{index}"), format!("f{index}")];
    let subnet = format!("10.9.{}", index + 1);
    let mac = |side: u8| format!("02:72:6b:00:{index:02x}:{side:02x}");
    wires.ip(&format!(
        "link add {near} type veth peer name leaf{index} address {} netns {}\n\
         link add {far} type veth peer name hub address {} netns {}\n",
        mac(1),
        hub.name,
        mac(2),
        leaf.name
    ));
    hub.without_offloads(&format!("leaf{index}"));
    leaf.without_offloads("hub");
    for interface in [&near, &far] {
        wires.ip(&format!("link set {interface} addrgenmode none\nlink set {interface} up\n"));
    }
    let link = Link::new(wires, [&near, &far], quality);
    hub.ip(&format!(
        "link set leaf{index} up\naddr add {subnet}.1/24 dev leaf{index}\n\
         neigh add {subnet}.2 lladdr {} nud permanent dev leaf{index}\n",
        mac(2)
    ));
    leaf.ip(&format!(
        "link set hub up\naddr add {subnet}.2/24 dev hub\n\
         neigh add {subnet}.1 lladdr {} nud permanent dev hub\nroute add {HUB} via {subnet}.1\n",
        mac(1)
    ));
    link
}

/// Runs a program that has to succeed.
fn run(program: &str, arguments: &[&str], input: &str) {
    let mut command = Command::new(program);
    let mut child =
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "this test needs root: {program} {arguments:?} {input}: {said}");
}
