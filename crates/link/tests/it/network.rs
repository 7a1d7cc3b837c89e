//! A network of its own for servers, which can be cut: two ends of a wire, one here and one in a namespace.
//!
//! A cut is silent, as when a cable is pulled far away: nobody is told that anything has ended, and what is sent is lost.

use std::cell::Cell;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Addresses that are for measurements between devices (RFC 2544), and in no other use; a network has four of them.
const FIRST: u32 = u32::from_be_bytes([198, 18, 0, 0]);
const NETWORKS: u32 = 1 << 15;

thread_local! {
    static HERE: Cell<Ipv4Addr> = const { Cell::new(Ipv4Addr::LOCALHOST) };
}

/// Where a server that is started by this thread listens.
pub fn here() -> Ipv4Addr {
    HERE.get()
}

/// A network; whoever was started in it must end before.
pub struct Network {
    name: String,
    /// The end on our side.
    near: String,
    /// Where the servers are.
    far: Ipv4Addr,
}

impl Network {
    /// Makes one; `None` when only root could, and we aren't.
    pub fn start() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            println!("skipped: making a network needs root");
            return None;
        }
        let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let first = FIRST + (pid.wrapping_mul(8).wrapping_add(count) % NETWORKS) * 4;
        let [us, far] = [first + 1, first + 2].map(Ipv4Addr::from_bits);
        // The name of an interface has 15 letters at the most.
        let network = Self { name: format!("headwater-{pid}-{count}"), near: format!("hw{pid:x}n{count}"), far };
        let (name, near) = (network.name.as_str(), network.near.as_str());
        ip(&["netns", "add", name]);
        ip(&["link", "add", near, "type", "veth", "peer", "name", "far", "netns", name]);
        ip(&["addr", "add", &format!("{us}/30"), "dev", near]);
        ip(&["link", "set", near, "up"]);
        ip(&["-n", name, "link", "set", "lo", "up"]);
        ip(&["-n", name, "addr", "add", &format!("{far}/30"), "dev", "far"]);
        network.heal();
        // Whose address is never asked for can't be found to be gone: nothing comes back but silence.
        let told = ip(&["-n", name, "-br", "link", "show", "far"]);
        let hardware = told.split_whitespace().nth(2).expect("its hardware address");
        ip(&["neigh", "replace", &far.to_string(), "lladdr", hardware, "dev", near, "nud", "permanent"]);
        Some(network)
    }

    /// Does something there: what it starts lives there.
    pub fn inside<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let entered = || {
            let namespace = File::open(format!("/run/netns/{}", self.name)).expect("the namespace");
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("entered");
            HERE.set(self.far);
            what()
        };
        thread::scope(|scope| scope.spawn(entered).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// From now on nothing gets through, and nobody is told.
    pub fn cut(&self) {
        ip(&["-n", &self.name, "link", "set", "far", "down"]);
    }

    pub fn heal(&self) {
        ip(&["-n", &self.name, "link", "set", "far", "up"]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // With the one end the other goes, and with the last process the namespace.
        let _ = Command::new("ip").args(["link", "del", &self.near]).status();
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn ip(words: &[&str]) -> String {
    let output = Command::new("ip").args(words).output().expect("ip is installed (Debian: iproute2)");
    assert!(output.status.success(), "ip {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
