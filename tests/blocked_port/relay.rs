//! The relay between wires: numbered frames in, and what must come out of a port.

use punctual::packet::FRAME_OVERHEAD;
use serde_json::Value;

use crate::binary::{Ended, Instance, Running, is_whole, named, number};
use crate::common::remove_lock;
use crate::frames::v4;
use crate::peer::{cpus, device, wait};

/// Bytes of a frame in front of its payload: Ethernet, IPv4, UDP.
const HEADERS: usize = 14 + 20 + 8;
/// Slots of a ring by default.
pub const SLOTS: u64 = 1024;

/// The number'th frame for group 239.1.1.`group`, with so much payload.
pub fn frame(group: u8, number: u32, payload: usize) -> Vec<u8> {
    let frame = v4().with(|f| {
        f.destination = [239, 1, 1, group].into();
        f.payload = vec![group; payload];
        f.payload[..4].copy_from_slice(&number.to_be_bytes());
    });
    frame.bytes()
}

/// The group that a copy goes to, its last byte, and the frame's number. The copy must be whole.
pub fn read(copy: &[u8]) -> (u8, u32) {
    assert!(copy.len() > HEADERS + 4, "{copy:02x?}");
    let ip_len = usize::from(u16::from_be_bytes([copy[16], copy[17]]));
    assert_eq!(copy.len(), 14 + ip_len, "a frame is cut, or two are one: {copy:02x?}");
    let (number, rest) = copy[HEADERS..].split_at(4);
    assert!(rest.iter().all(|byte| *byte == copy[33]), "{copy:02x?}");
    (copy[33], u32::from_be_bytes(number.try_into().expect("four bytes")))
}

/// Bytes of a copy as reports count them.
pub fn counted(copy: &[u8]) -> u64 {
    copy.len() as u64 + u64::from(FRAME_OVERHEAD)
}

/// A port on wire `id`, with more arguments and keys.
pub fn port(instance: &Instance, name: &str, id: usize, role: &str, more: &str) -> String {
    let device = device(instance, id, role);
    format!("[[port]]\nname = \"{name}\"\nrx = \"live\"\ndevice = \"{device}{more}\"\n")
}

/// A relay under way.
pub struct Relay {
    running: Option<Running>,
}

impl Relay {
    /// Starts one with these ports and rules, on one CPU and in ordinary memory.
    pub fn start(instance: &Instance, text: &str) -> Self {
        let (cpu, _) = cpus();
        let eal = format!(
            "[eal]\nmemory = \"no-huge\"\nlcores = {{ management = {cpu}, workers = [{cpu}] }}\n\
             [memory]\npackets = 2048\n"
        );
        instance.configure("", &(eal + text));
        let args = ["run", "config.toml", "--stop-after", "50s", "--report", "report.json"];
        Self { running: Some(instance.start(&args)) }
    }

    /// How often it has said so on its standard error stream.
    pub fn has_said(&self, what: &str) -> usize {
        self.stderr().matches(what).count()
    }

    /// Waits until it has said so that many times, and keeps it busy meanwhile.
    pub fn says(&self, what: &str, times: usize, mut meanwhile: impl FnMut()) {
        wait(what, || {
            meanwhile();
            (self.has_said(what) >= times).then_some(())
        });
    }

    fn stderr(&self) -> String {
        self.running.as_ref().map(Running::stderr).unwrap_or_default()
    }

    /// Ends it; its report must be whole, and so its pools.
    pub fn end(mut self, instance: &Instance) -> Value {
        let running = self.running.take().expect("it ends once");
        running.signal(libc::SIGTERM);
        let ended: Ended = running.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let report = instance.report();
        is_whole(&report);
        for pool in report["pools"].as_array().into_iter().flatten() {
            assert!(number(&pool["in_use"]) == number(&pool["held"]), "{pool}");
        }
        remove_lock(&instance.name);
        report
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the relay said:\n{}", self.stderr());
        }
    }
}

/// A rule's output on a port, of the report.
pub fn output<'a>(report: &'a Value, rule: &str, port: &str) -> &'a Value {
    let outputs = named(&report["rules"], rule)["outputs"].as_array();
    let found = outputs.into_iter().flatten().find(|output| output["port"] == port);
    found.unwrap_or_else(|| panic!("{rule} has no output on {port}: {report}"))
}

/// Copies that ended for this reason.
pub fn dropped(output: &Value, reason: &str) -> u64 {
    output["dropped"].get(reason).map_or(0, number)
}
