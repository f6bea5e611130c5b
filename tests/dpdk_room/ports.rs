//! Ports and what they refuse; queues.

use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use punctual::dpdk::{DpdkError, Mbuf, Port, PortConfig};
use punctual::packet::{Burst, Packet, RxPort, TxPort};

use crate::common::{scratch, skip};
use crate::support::{ROOM, bytes, eal, frame, numbered, pool, rings};

pub fn errors_name_the_thing() {
    let eal = eal();
    let pool = pool(&eal, "payload", 256);
    let fails = |device: &str| {
        let text =
            Port::open(&eal, &PortConfig::new("feed", device), &pool).unwrap_err().to_string();
        println!("{text}\n");
        assert!(text.contains("`feed`"), "{text}");
        text
    };
    let text = fails("net_nosuch0");
    assert!(text.contains("`net_nosuch0`") && text.contains("net_pcap"), "{text}");
    let text = fails("net_pcap0,rx_pcap=/nowhere/at/all.pcap");
    assert!(
        text.contains("rx_pcap=/nowhere/at/all.pcap") && text.contains("No such file"),
        "{text}"
    );
    let text = fails("net_pcap0,tx_pcap=/nowhere/out.pcap");
    assert!(text.contains("tx_pcap=/nowhere/out.pcap"), "{text}");
    let nonsense = scratch().join("nonsense.pcap");
    std::fs::write(&nonsense, "this is no capture, whatever it is called").unwrap();
    let text = fails(&format!("net_pcap0,rx_pcap={}", nonsense.display()));
    assert!(text.contains("nonsense.pcap"), "{text}");
    let text = fails("net_pcap0,colour=blue");
    assert!(text.contains("colour"), "{text}");
    let text = fails("net_af_packet0,iface=nosuchif");
    assert!(text.contains("nosuchif"), "{text}");
    let text = fails("0000:ff:1f.7");
    assert!(text.contains("0000:ff:1f.7") && text.contains("dpdk-devbind.py"), "{text}");
    let text = fails("eth0");
    assert!(text.contains("`eth0`"), "{text}");
    let first = Port::open(&eal, &PortConfig::new("first", "net_null0"), &pool).unwrap();
    let text = fails("net_null0");
    assert!(text.contains("another port's"), "{text}");
    drop(first);
}

fn pcap_file(path: &Path, frames: &[(u64, Vec<u8>)]) {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1] {
        file.extend(word.to_le_bytes());
    }
    for (microseconds, bytes) in frames {
        let len = bytes.len() as u32;
        let (seconds, rest) = (microseconds / 1_000_000, microseconds % 1_000_000);
        for word in [seconds as u32, rest as u32, len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(bytes);
    }
    std::fs::write(path, file).unwrap();
}

fn pcap_frames(path: &Path) -> Vec<Vec<u8>> {
    let file = std::fs::read(path).unwrap();
    let mut rest = &file[24..];
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        frames.push(rest[16..16 + len].to_vec());
        rest = &rest[16 + len..];
    }
    frames
}

pub fn pcap_in_pcap_out() {
    let (input, output) = (scratch().join("in.pcap"), scratch().join("out.pcap"));
    let frames: Vec<(u64, Vec<u8>)> =
        (0..100).map(|i| (1_700_000_000_000_000 + i * 7, vec![i as u8; 60 + i as usize])).collect();
    pcap_file(&input, &frames);
    let eal = eal();
    let pool = pool(&eal, "payload", 512);
    let open = |name, device: String| {
        Port::open(&eal, &PortConfig::new(name, device), &pool).expect("it opens")
    };
    let source = open("in", format!("net_pcap0,rx_pcap={}", input.display()));
    let sink = open("out", format!("net_pcap1,tx_pcap={}", output.display()));
    assert_eq!((source.driver(), source.mtu()), ("net_pcap", 1500));
    assert!(sink.sends_chains() && sink.link().up);
    let (mut rx, mut tx) = (source.rx(0).unwrap(), sink.tx().unwrap());
    let (mut burst, mut received) = (Burst::new(), 0);
    loop {
        let count = rx.receive(&mut burst);
        assert_eq!((count.foreign, count.frames as usize), (0, burst.len()));
        if burst.is_empty() {
            break;
        }
        for packet in &burst {
            assert_eq!(packet.capture_time(), Some(frames[received].0 * 1000));
            received += 1;
        }
        while !burst.is_empty() {
            tx.send(&mut burst);
        }
    }
    assert_eq!((source.stats().received, sink.stats().sent), (100, 100));
    assert_eq!(sink.stats().bytes_sent, frames.iter().map(|(_, f)| f.len() as u64).sum::<u64>());
    drop((rx, tx, source, sink));
    assert_eq!(pool.in_use(), 0);
    let sent = pcap_frames(&output);
    assert!(sent.iter().eq(frames.iter().map(|(_, frame)| frame)));
}

pub fn a_jumbo_frame_spans_segments() {
    let (input, output) = (scratch().join("in.pcap"), scratch().join("out.pcap"));
    let jumbo: Vec<u8> = (0..9000).map(|i| (i % 251) as u8).collect();
    pcap_file(&input, &[(1, jumbo.clone())]);
    let eal = eal();
    let pool = pool(&eal, "payload", 256);
    let device = format!("net_pcap0,rx_pcap={},tx_pcap={}", input.display(), output.display());
    let config = PortConfig { mtu: 9100, ..PortConfig::new("both", device) };
    let port = Port::open(&eal, &config, &pool).unwrap();
    let (mut rx, mut tx) = (port.rx(0).unwrap(), port.tx().unwrap());
    let mut burst = Burst::new();
    rx.receive(&mut burst);
    assert_eq!((burst.len(), burst[0].segments(), burst[0].frame_len()), (1, 5, 9000));
    assert_eq!(bytes(&burst[0]), jumbo);
    assert_eq!(tx.send(&mut burst), 1);
    drop((rx, tx, port));
    assert_eq!(pool.in_use(), 0);
    assert_eq!(pcap_frames(&output), [jumbo]);
}

pub fn a_port_has_one_handle_per_queue() {
    let eal = eal();
    let pool = pool(&eal, "payload", 256);
    let port = Port::open(&eal, &PortConfig::new("null", "net_null0"), &pool).unwrap();
    let (rx, tx) = (port.rx(0).unwrap(), port.tx().unwrap());
    assert!(port.rx(0).is_none() && port.rx(1).is_none() && port.tx().is_none());
    drop((rx, tx));
    assert!(port.rx(0).is_some() && port.tx().is_some());
    drop(port);
    for _ in 0..3 {
        let again = PortConfig::new("null", "net_null0");
        drop(Port::open(&eal, &again, &pool).expect("a closed device opens again"));
    }
}

pub fn strangers_are_refused() {
    let eal = eal();
    let mut payload = pool(&eal, "payload", 64);
    let mut ports = rings(&eal, &payload, 64);
    // SAFETY: a pool like any other application's: no private area, where our metadata would lie.
    let (other, stranger) = unsafe {
        let other = dpdk_sys::shim_pool_create(c"other".as_ptr(), 15, 0, 0, ROOM, -1, 0);
        (other, NonNull::new(dpdk_sys::shim_pool_alloc(other)).expect("it has one"))
    };
    // SAFETY: it is given up.
    assert!(unsafe { ports.ring.rx.push_raw(stranger) });
    ports.ring.rx.push(frame(&mut payload, &[1; 60])).unwrap();
    // One of ours that somebody else holds too.
    let mut shared = frame(&mut payload, &[2; 60]).into_raw();
    // SAFETY: live, and ours alone until it is pushed.
    unsafe {
        shared.as_mut().refcnt = 2;
        assert!(ports.ring.rx.push_raw(shared));
    }
    let mut burst = Burst::new();
    let received = ports.rx.receive(&mut burst);
    assert_eq!((received.frames, received.foreign), (3, 2));
    assert_eq!((burst.len(), burst[0].head()), (1, [1; 60].as_slice()));
    // SAFETY: the pool is live; refused means freed.
    unsafe {
        assert_eq!(dpdk_sys::rte_mempool_avail_count(other), 15);
        assert_eq!(shared.as_ref().refcnt, 1, "the other owner's reference is untouched");
        drop(Mbuf::from_raw(shared));
        dpdk_sys::rte_mempool_free(other);
    }
    burst.clear();
    assert_eq!(payload.in_use(), 0);
}

pub fn refused_packets_stay_in_order() {
    let eal = eal();
    let mut payload = pool(&eal, "payload", 256);
    let mut ports = rings(&eal, &payload, 15);
    assert_eq!(ports.ring.tx.capacity(), 15);
    let mut burst = numbered(&mut payload, 20);
    assert_eq!((ports.tx.send(&mut burst), burst.len()), (15, 5));
    assert_eq!((ports.tx.send(&mut burst), burst.len()), (0, 5));
    assert!(burst.iter().map(|packet| packet.head()[0]).eq(15..20));
    for i in 0..3 {
        assert_eq!(ports.ring.tx.pop().unwrap().head()[0], i);
    }
    assert_eq!((ports.tx.send(&mut burst), burst.len()), (3, 2));
    assert!(burst.iter().map(|packet| packet.head()[0]).eq(18..20));
    let sent: Vec<u8> = std::iter::from_fn(|| ports.ring.tx.pop()).map(|p| p.head()[0]).collect();
    assert!(sent.iter().copied().eq(3..18));
    burst.clear();
    assert_eq!(payload.in_use(), 0);
}

/// Servers first, while others are still connected: EAL's interrupt thread looks at all sockets
/// whenever one goes, and must not find one that was freed.
pub fn memif_ports_end_in_any_order() {
    let eal = eal();
    let pool = pool(&eal, "payload", 256);
    let socket = |n: u8| scratch().join(format!("{n}.sock"));
    let open = |id: u8, role: &str, n: u8| {
        let socket = socket(n).display().to_string();
        let arguments = format!("role={role},socket={socket},socket-abstract=no");
        let device = format!("net_memif{id},{arguments}");
        Port::open(&eal, &PortConfig::new(format!("memif {id}"), device), &pool)
    };
    let lonely = match open(0, "server", 0) {
        Err(error @ DpdkError::UnknownDriver { .. }) => {
            drop((pool, eal));
            skip(&error.to_string())
        }
        port => port.expect("it opens"),
    };
    let server = open(1, "server", 1).expect("it opens");
    let clients = [2, 3].map(|id| {
        let client = open(id, "client", 1).expect("it connects");
        until(|| server.link().up && client.link().up);
        drop(client);
        until(|| !server.link().up);
    });
    assert_eq!(clients.len(), 2, "a server takes one client after the other");
    let client = open(4, "client", 1).expect("it connects");
    until(|| client.link().up);
    // Others want the CPU too, so that the interrupt thread comes late.
    let ended = Arc::new(AtomicBool::new(false));
    let others = [(); 3].map(|()| {
        let ended = Arc::clone(&ended);
        std::thread::spawn(move || while !ended.load(Ordering::Relaxed) {})
    });
    drop((lonely, server));
    assert!(![0, 1].iter().any(|&n| socket(n).exists()), "a socket is left");
    drop(client);
    drop((pool, eal));
    std::thread::sleep(Duration::from_millis(50));
    ended.store(true, Ordering::Relaxed);
    others.into_iter().for_each(|other| other.join().expect("it only spins"));
}

/// Waits for another thread; only a hang makes it fail.
fn until(mut holds: impl FnMut() -> bool) {
    let polls = (0..20_000).find(|_| {
        std::thread::sleep(Duration::from_millis(1));
        holds()
    });
    assert!(polls.is_some(), "it does not come");
}
