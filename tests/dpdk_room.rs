//! The DPDK room against DPDK itself: no NIC, no hugepages, a process per case.

mod common;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::ptr::NonNull;

use arrayvec::ArrayVec;
use common::{instance_name, runtime_directory, scratch};
use punctual::config::EalMemory;
use punctual::dpdk::ring::RingPort;
use punctual::dpdk::{
    DpdkError, DpdkRx, DpdkTx, Eal, EalConfig, HEADROOM, Mbuf, Pool, PoolConfig, Port, PortConfig,
    TscClock, launch,
};
use punctual::packet::{Burst, Clock, Packet, PacketPool, RxPort, TxPort};
use punctual::sched::Queue;

fn main() -> ExitCode {
    common::run(&[
        ("eal_leaves_nothing_behind", eal_leaves_nothing_behind),
        ("eal_starts_once_in_a_process", eal_starts_once_in_a_process),
        (
            "a_busy_name_is_refused_and_harms_nobody",
            a_busy_name_is_refused_and_harms_nobody,
        ),
        (
            "a_killed_process_frees_its_name",
            a_killed_process_frees_its_name,
        ),
        (
            "a_failed_start_says_why_and_tidies_up",
            a_failed_start_says_why_and_tidies_up,
        ),
        ("_hold_a_name", hold_a_name),
        ("_hold_eal_config", hold_eal_config),
        (
            "another_program_keeps_its_directory",
            another_program_keeps_its_directory,
        ),
        (
            "in_memory_starts_or_is_explained",
            in_memory_starts_or_is_explained,
        ),
        (
            "hugepages_start_or_are_explained",
            hugepages_start_or_are_explained,
        ),
        ("errors_name_the_thing", errors_name_the_thing),
        (
            "too_little_memory_names_the_pool",
            too_little_memory_names_the_pool,
        ),
        (
            "memory_needed_is_enough_and_not_much_more",
            memory_needed_is_enough_and_not_much_more,
        ),
        ("a_dry_pool_gives_what_it_has", a_dry_pool_gives_what_it_has),
        ("pcap_in_pcap_out", pcap_in_pcap_out),
        ("a_jumbo_frame_spans_segments", a_jumbo_frame_spans_segments),
        (
            "a_port_has_one_handle_per_queue",
            a_port_has_one_handle_per_queue,
        ),
        ("copies_share_one_payload", copies_share_one_payload),
        ("share_of_nothing_but_header", share_of_nothing_but_header),
        (
            "share_of_a_chain_skips_the_empty_segment",
            share_of_a_chain_skips_the_empty_segment,
        ),
        ("truncate_frees_what_it_cuts", truncate_frees_what_it_cuts),
        ("the_front_grows_and_shrinks", the_front_grows_and_shrinks),
        ("copy_tail_needs_room", copy_tail_needs_room),
        ("strangers_are_refused", strangers_are_refused),
        (
            "refused_packets_stay_in_order",
            refused_packets_stay_in_order,
        ),
        (
            "queues_link_through_the_metadata",
            queues_link_through_the_metadata,
        ),
        (
            "workers_return_and_panic_apart",
            workers_return_and_panic_apart,
        ),
        (
            "outstanding_packets_survive_their_pool",
            outstanding_packets_survive_their_pool,
        ),
    ])
}

const ROOM: u16 = HEADROOM + 2048;

fn config() -> EalConfig {
    EalConfig {
        name: instance_name(),
        memory: EalMemory::NoHuge,
        megabytes: 64,
        management_cpu: 0,
        worker_cpus: vec![0],
        devices: vec![],
        extra: vec![],
    }
}

fn eal() -> Eal {
    Eal::start(&config()).expect("EAL starts")
}

fn pool(eal: &Eal, name: &str, packets: u32) -> Pool {
    let config = PoolConfig {
        name,
        packets,
        data_room: ROOM,
        cache: 32,
    };
    Pool::new(eal, &config).expect("the pool is made")
}

fn frame(pool: &mut Pool, bytes: &[u8]) -> Mbuf {
    let mut packet = pool.take_one().expect("the pool has a packet");
    packet
        .replace_front(0, bytes.len())
        .expect("there is room")
        .copy_from_slice(bytes);
    packet
}

/// A frame of several segments, as sharing makes it: a header in front of the rest.
fn chain(pool: &mut Pool, segments: &[&[u8]]) -> Mbuf {
    let mut rest = frame(pool, segments.last().unwrap());
    for bytes in segments.iter().rev().skip(1) {
        let mut head = frame(pool, bytes);
        rest.share(0, std::slice::from_mut(&mut head));
        rest = head;
    }
    rest
}

fn bytes(packet: &Mbuf) -> Vec<u8> {
    let mut all = Vec::new();
    packet.for_each_segment(|segment| all.extend_from_slice(segment));
    assert_eq!(all.len(), packet.frame_len());
    all
}

fn numbered(pool: &mut Pool, count: u8) -> Burst<Mbuf> {
    (0..count).map(|i| frame(pool, &[i; 60])).collect()
}

struct Rings {
    rx: DpdkRx,
    tx: DpdkTx,
    _port: Port,
    ring: RingPort,
}

fn rings(eal: &Eal, pool: &Pool, capacity: u32) -> Rings {
    let ring = RingPort::new(eal, "r0", capacity, capacity).expect("the rings are made");
    let port = Port::open(eal, &PortConfig::new("ring", ring.device()), pool).expect("it opens");
    let (rx, tx) = (port.rx(0).unwrap(), port.tx().unwrap());
    Rings {
        rx,
        tx,
        _port: port,
        ring,
    }
}

fn eal_leaves_nothing_behind() {
    let eal = eal();
    let directory = runtime_directory(eal.name());
    assert!(
        eal.runtime_directory().exists() && directory.exists(),
        "{}",
        directory.display()
    );
    assert!(TscClock::new(&eal).ticks_per_second() > 1_000_000);
    let clock = TscClock::new(&eal);
    assert!(clock.now() < clock.now());
    drop(eal);
    assert!(!directory.exists(), "{} is left", directory.display());
}

fn eal_starts_once_in_a_process() {
    let first = eal();
    drop(first);
    assert!(matches!(
        Eal::start(&config()),
        Err(DpdkError::StartedBefore)
    ));
}

/// A second process under the name in PUNCTUAL_TEST_NAME; says so and waits to be killed.
fn hold_a_name() {
    let name = std::env::var("PUNCTUAL_TEST_NAME").unwrap();
    let _eal = Eal::start(&EalConfig { name, ..config() }).expect("EAL starts");
    println!("held");
    std::thread::sleep(std::time::Duration::from_secs(50));
}

fn holder_of(case: &str, name: &str) -> std::process::Child {
    use std::io::{BufRead, BufReader};
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--case", case])
        .env("PUNCTUAL_TEST_NAME", name)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(
        lines.map_while(Result::ok).any(|line| line == "held"),
        "the other process starts"
    );
    child
}

fn a_busy_name_is_refused_and_harms_nobody() {
    let mut other = holder_of("_hold_a_name", &instance_name());
    let error = Eal::start(&config()).unwrap_err();
    assert!(matches!(error, DpdkError::NameBusy { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(&instance_name()) && text.contains(&other.id().to_string()),
        "{text}"
    );
    let theirs = runtime_directory(&instance_name());
    assert!(
        theirs.join("config").exists(),
        "the other instance keeps its directory"
    );
    other.kill().unwrap();
    other.wait().unwrap();
    drop(eal());
}

fn a_killed_process_frees_its_name() {
    let mut other = holder_of("_hold_a_name", &instance_name());
    other.kill().unwrap();
    other.wait().unwrap();
    drop(eal());
    assert!(!runtime_directory(&instance_name()).exists());
}

fn a_failed_start_says_why_and_tidies_up() {
    let name = "no/slash".to_owned();
    let error = Eal::start(&EalConfig { name, ..config() }).unwrap_err();
    assert!(matches!(error, DpdkError::InvalidName { .. }), "{error}");
    let error = Eal::start(&EalConfig {
        worker_cpus: vec![0, 4095],
        ..config()
    })
    .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("CPU 4095") && text.contains("[eal] lcores"),
        "{text}"
    );
    let extra = vec!["--no-such-thing".to_owned()];
    let error = Eal::start(&EalConfig { extra, ..config() }).unwrap_err();
    let text = error.to_string();
    println!("{text}");
    assert!(
        text.contains(&instance_name()) && text.contains("[eal] extra"),
        "{text}"
    );
    assert!(!runtime_directory(&instance_name()).exists());
}

/// Starts where the host has hugepages; where not, the error says how to get them.
fn starts_or_explains(memory: EalMemory) {
    match Eal::start(&EalConfig { memory, ..config() }) {
        Ok(eal) => {
            let mut pool = pool(&eal, "payload", 4096);
            assert_eq!(frame(&mut pool, &[1; 60]).frame_len(), 60);
            assert_eq!(pool.in_use(), 0);
        }
        Err(error) => {
            let text = error.to_string();
            println!("{text}");
            assert!(text.contains("dpdk-hugepages.py --"), "{text}");
        }
    }
    assert!(!runtime_directory(&instance_name()).exists());
}

fn in_memory_starts_or_is_explained() {
    starts_or_explains(EalMemory::InMemory);
}

fn hugepages_start_or_are_explained() {
    starts_or_explains(EalMemory::Hugepages);
}

/// Holds EAL's own lock under the name in PUNCTUAL_TEST_NAME, as any other DPDK program does.
fn hold_eal_config() {
    let directory = runtime_directory(&std::env::var("PUNCTUAL_TEST_NAME").unwrap());
    std::fs::create_dir_all(&directory).unwrap();
    let file = std::fs::File::create(directory.join("config")).unwrap();
    file.set_len(1 << 20).unwrap();
    // SAFETY: all zero is a valid `flock`, and the descriptor is open.
    let code = unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = libc::F_WRLCK as _;
        libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&file), libc::F_SETLK, &lock)
    };
    assert_eq!(code, 0);
    println!("held");
    std::thread::sleep(std::time::Duration::from_secs(50));
}

fn another_program_keeps_its_directory() {
    let mut other = holder_of("_hold_eal_config", &instance_name());
    let error = Eal::start(&config()).unwrap_err();
    let text = error.to_string();
    println!("{text}");
    assert!(matches!(error, DpdkError::NameBusy { .. }), "{text}");
    assert!(text.contains(&other.id().to_string()), "{text}");
    assert!(runtime_directory(&instance_name()).join("config").exists());
    other.kill().unwrap();
    other.wait().unwrap();
    std::fs::remove_dir_all(runtime_directory(&instance_name())).unwrap();
}

fn errors_name_the_thing() {
    let eal = eal();
    let pool = pool(&eal, "payload", 256);
    let fails = |device: &str| {
        let text = Port::open(&eal, &PortConfig::new("feed", device), &pool)
            .unwrap_err()
            .to_string();
        println!("{text}\n");
        assert!(text.contains("`feed`"), "{text}");
        text
    };
    let text = fails("net_nosuch0");
    assert!(
        text.contains("librte-net-nosuch") && text.contains("net_pcap"),
        "{text}"
    );
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
    assert!(
        text.contains("0000:ff:1f.7") && text.contains("dpdk-devbind.py"),
        "{text}"
    );
    let text = fails("eth0");
    assert!(text.contains("`eth0`"), "{text}");
    let first = Port::open(&eal, &PortConfig::new("first", "net_null0"), &pool).unwrap();
    let text = fails("net_null0");
    assert!(text.contains("another port's"), "{text}");
    drop(first);
}

fn too_little_memory_names_the_pool() {
    let eal = Eal::start(&EalConfig {
        megabytes: 16,
        ..config()
    })
    .unwrap();
    let config = PoolConfig {
        name: "payload",
        packets: 65536,
        data_room: ROOM,
        cache: 256,
    };
    let text = Pool::new(&eal, &config).unwrap_err().to_string();
    println!("{text}");
    for part in [
        "`payload`",
        "65536",
        "259 MiB",
        "16 MiB",
        "[memory] packets",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let ok = PoolConfig {
        packets: 64,
        ..config
    };
    let second = Pool::new(&eal, &ok).unwrap();
    let text = Pool::new(&eal, &ok).unwrap_err().to_string();
    assert!(text.contains("another pool's"), "{text}");
    drop(second);
}

fn memory_needed_is_enough_and_not_much_more() {
    let config = PoolConfig {
        name: "payload",
        packets: 20_000,
        data_room: ROOM,
        cache: 256,
    };
    let headers = PoolConfig {
        name: "headers",
        data_room: HEADROOM,
        ..config
    };
    let needed = Pool::memory_needed(&config, EalMemory::NoHuge)
        + Pool::memory_needed(&headers, EalMemory::NoHuge);
    // What EAL, drivers and rings need besides.
    let megabytes = (needed >> 20) as u32 + 8;
    let eal = Eal::start(&EalConfig {
        megabytes,
        ..self::config()
    })
    .unwrap();
    let payload = Pool::new(&eal, &config).unwrap();
    let headers = Pool::new(&eal, &headers).unwrap();
    let third = PoolConfig {
        name: "third",
        packets: 5_000,
        ..config
    };
    assert!(
        Pool::new(&eal, &third).is_err(),
        "the estimate is {needed}: far too much"
    );
    assert_eq!((payload.size(), headers.size()), (20_000, 20_000));
}

fn a_dry_pool_gives_what_it_has() {
    let eal = eal();
    let mut pool = pool(&eal, "payload", 100);
    assert_eq!((pool.available(), pool.in_use()), (100, 0));
    let mut packets = ArrayVec::<Mbuf, 128>::new();
    assert_eq!(pool.take(&mut packets, 64), 64);
    assert_eq!((pool.available(), pool.in_use()), (36, 64));
    assert_eq!(pool.take(&mut packets, 64), 36);
    assert_eq!((pool.take(&mut packets, 1), pool.available()), (0, 0));
    packets.clear();
    assert_eq!((pool.available(), pool.in_use()), (100, 0));
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

fn pcap_in_pcap_out() {
    let (input, output) = (scratch().join("in.pcap"), scratch().join("out.pcap"));
    let frames: Vec<(u64, Vec<u8>)> = (0..100)
        .map(|i| {
            (
                1_700_000_000_000_000 + i * 7,
                vec![i as u8; 60 + i as usize],
            )
        })
        .collect();
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
    assert_eq!(
        sink.stats().bytes_sent,
        frames.iter().map(|(_, f)| f.len() as u64).sum::<u64>()
    );
    drop((rx, tx, source, sink));
    assert_eq!(pool.in_use(), 0);
    let sent = pcap_frames(&output);
    assert!(sent.iter().eq(frames.iter().map(|(_, frame)| frame)));
}

fn a_jumbo_frame_spans_segments() {
    let (input, output) = (scratch().join("in.pcap"), scratch().join("out.pcap"));
    let jumbo: Vec<u8> = (0..9000).map(|i| (i % 251) as u8).collect();
    pcap_file(&input, &[(1, jumbo.clone())]);
    let eal = eal();
    let pool = pool(&eal, "payload", 256);
    let device = format!(
        "net_pcap0,rx_pcap={},tx_pcap={}",
        input.display(),
        output.display()
    );
    let config = PortConfig {
        mtu: 9100,
        ..PortConfig::new("both", device)
    };
    let port = Port::open(&eal, &config, &pool).unwrap();
    let (mut rx, mut tx) = (port.rx(0).unwrap(), port.tx().unwrap());
    let mut burst = Burst::new();
    rx.receive(&mut burst);
    assert_eq!(
        (burst.len(), burst[0].segments(), burst[0].frame_len()),
        (1, 5, 9000)
    );
    assert_eq!(bytes(&burst[0]), jumbo);
    assert_eq!(tx.send(&mut burst), 1);
    drop((rx, tx, port));
    assert_eq!(pool.in_use(), 0);
    assert_eq!(pcap_frames(&output), [jumbo]);
}

fn a_port_has_one_handle_per_queue() {
    let eal = eal();
    let pool = pool(&eal, "payload", 256);
    let port = Port::open(&eal, &PortConfig::new("null", "net_null0"), &pool).unwrap();
    let (rx, tx) = (port.rx(0).unwrap(), port.tx().unwrap());
    assert!(port.rx(0).is_none() && port.rx(1).is_none() && port.tx().is_none());
    drop((rx, tx));
    assert!(port.rx(0).is_some() && port.tx().is_some());
}

fn copies_share_one_payload() {
    let eal = eal();
    let mut payload = pool(&eal, "payload", 256);
    let mut headers = pool(&eal, "headers", 256);
    let mut ports = rings(&eal, &payload, 64);
    let original: Vec<u8> = (0..200).collect();
    ports.ring.rx.push(frame(&mut payload, &original)).unwrap();
    let mut burst = Burst::new();
    assert_eq!(ports.rx.receive(&mut burst).frames, 1);
    let packet = burst.pop().unwrap();
    let address = packet.segment_addresses()[0].0 + 42;

    let mut copies = Burst::<Mbuf>::new();
    headers.take(&mut copies, 5);
    for (i, copy) in copies.iter_mut().enumerate() {
        copy.replace_front(0, 42).unwrap().fill(i as u8);
    }
    packet.share(42, &mut copies);
    assert_eq!(ports.tx.send(&mut copies), 5);
    for left in (1..=5_u16).rev() {
        let copy = ports.ring.tx.pop().unwrap();
        assert_eq!(copy.segment_addresses()[1], (address, 158, left));
        assert_eq!((copy.segments(), copy.frame_len()), (2, 200));
        let sent = bytes(&copy);
        assert_eq!((sent[0], &sent[42..]), (5 - left as u8, &original[42..]));
        assert_eq!((payload.in_use(), headers.in_use()), (1, left.into()));
    }
    assert_eq!((payload.in_use(), headers.in_use()), (0, 0));
    // What comes back carries one owner again.
    let again = frame(&mut payload, &original);
    assert_eq!((again.segment_addresses()[0].2, again.segments()), (1, 1));
}

fn share_of_nothing_but_header() {
    let eal = eal();
    let mut pool = pool(&eal, "payload", 64);
    let packet = frame(&mut pool, &[1; 42]);
    let mut headers = [frame(&mut pool, &[2; 42]), frame(&mut pool, &[3; 42])];
    packet.share(42, &mut headers);
    assert!(
        headers
            .iter()
            .all(|header| (header.segments(), header.frame_len()) == (1, 42))
    );
    assert_eq!(pool.in_use(), 2);
    frame(&mut pool, &[1; 60]).share(42, &mut []);
    assert_eq!(pool.in_use(), 2);
    drop(headers);
    assert_eq!(pool.in_use(), 0);
}

fn share_of_a_chain_skips_the_empty_segment() {
    let eal = eal();
    let mut pool = pool(&eal, "payload", 64);
    let packet = chain(&mut pool, &[&[0; 42], &[1; 100], &[2; 50]]);
    assert_eq!(
        (packet.segments(), packet.frame_len(), pool.in_use()),
        (3, 192, 3)
    );
    let mut headers = [frame(&mut pool, &[7; 46]), frame(&mut pool, &[8; 42])];
    packet.share(42, &mut headers);
    assert_eq!(pool.in_use(), 4, "the emptied segment is free");
    assert_eq!((headers[0].segments(), headers[0].frame_len()), (3, 196));
    assert_eq!((headers[1].segments(), headers[1].frame_len()), (3, 192));
    let owners: Vec<u16> = headers[0].segment_addresses().iter().map(|s| s.2).collect();
    assert_eq!(owners, [1, 2, 2]);
    let [first, second] = headers;
    drop(first);
    assert_eq!(
        bytes(&second)[42..],
        [[1; 100].as_slice(), &[2; 50]].concat()
    );
    drop(second);
    assert_eq!(pool.in_use(), 0);
}

fn truncate_frees_what_it_cuts() {
    let eal = eal();
    let mut pool = pool(&eal, "payload", 64);
    for (len, segments) in [
        (500, 3),
        (220, 3),
        (150, 3),
        (142, 2),
        (42, 1),
        (20, 1),
        (0, 1),
    ] {
        let mut packet = chain(&mut pool, &[&[0; 42], &[1; 100], &[2; 80]]);
        let whole = bytes(&packet);
        packet.truncate(len);
        assert_eq!(bytes(&packet), whole[..len.min(222)], "{len}");
        assert_eq!(
            (packet.segments(), pool.in_use()),
            (segments, segments),
            "{len}"
        );
    }
    assert_eq!(pool.in_use(), 0);
}

fn the_front_grows_and_shrinks() {
    let eal = eal();
    let mut pool = pool(&eal, "payload", 64);
    let mut packet = frame(&mut pool, &[1; 60]);
    packet.replace_front(42, 46).unwrap().fill(2);
    assert_eq!(bytes(&packet), [[2; 46].as_slice(), &[1; 18]].concat());
    packet.replace_front(46, 20).unwrap().fill(3);
    assert_eq!(bytes(&packet), [[3; 20].as_slice(), &[1; 18]].concat());
    assert!(
        packet.replace_front(39, 1).is_none(),
        "more than the first segment has"
    );
    assert!(
        packet.replace_front(0, 1000).is_none(),
        "more than the headroom has"
    );
    assert_eq!(packet.frame_len(), 38);
    let mut fresh = pool.take_one().unwrap();
    assert!(fresh.replace_front(0, usize::from(ROOM) + 1).is_none());
    fresh.replace_front(0, usize::from(ROOM)).unwrap().fill(4);
    assert_eq!(fresh.frame_len(), usize::from(ROOM));
}

fn copy_tail_needs_room() {
    let eal = eal();
    let mut pool = pool(&eal, "payload", 64);
    let packet = chain(&mut pool, &[&[0; 42], &[1; 100], &[2; 80]]);
    let mut copy = frame(&mut pool, &[9; 46]);
    assert!(packet.copy_tail(42, &mut copy));
    assert_eq!((copy.segments(), copy.frame_len()), (1, 46 + 180));
    assert_eq!(bytes(&copy)[46..], bytes(&packet)[42..]);
    assert!(packet.copy_tail(200, &mut copy) && copy.frame_len() == 248);
    assert!(!packet.copy_tail(223, &mut copy), "more than there is");
    let small = PoolConfig {
        name: "small",
        packets: 8,
        data_room: HEADROOM + 100,
        cache: 0,
    };
    let mut small = Pool::new(&eal, &small).unwrap();
    let mut full = frame(&mut small, &[5; 10]);
    assert!(!packet.copy_tail(0, &mut full));
    assert_eq!(bytes(&full), [5; 10]);
}

fn strangers_are_refused() {
    let eal = eal();
    let mut payload = pool(&eal, "payload", 64);
    let mut ports = rings(&eal, &payload, 64);
    // SAFETY: a pool like any other application's: no private area, where our metadata would lie.
    let (other, stranger) = unsafe {
        let other = dpdk_sys::rte_pktmbuf_pool_create(c"other".as_ptr(), 15, 0, 0, ROOM, -1);
        (
            other,
            NonNull::new(dpdk_sys::shim_pool_alloc(other)).expect("it has one"),
        )
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
        assert_eq!(
            shared.as_ref().refcnt,
            1,
            "the other owner's reference is untouched"
        );
        drop(Mbuf::from_raw(shared));
        dpdk_sys::rte_mempool_free(other);
    }
    burst.clear();
    assert_eq!(payload.in_use(), 0);
}

fn refused_packets_stay_in_order() {
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
    let sent: Vec<u8> = std::iter::from_fn(|| ports.ring.tx.pop())
        .map(|p| p.head()[0])
        .collect();
    assert!(sent.iter().copied().eq(3..18));
    burst.clear();
    assert_eq!(payload.in_use(), 0);
}

fn queues_link_through_the_metadata() {
    let eal = eal();
    let mut payload = pool(&eal, "payload", 64);
    let mut queue = Queue::new();
    for mut packet in numbered(&mut payload, 10) {
        packet.meta_mut().flow = 7;
        queue.push_back(packet);
    }
    assert_eq!(queue.front().unwrap().head()[0], 0);
    for i in 0..5 {
        let packet = queue.pop_front().unwrap();
        assert_eq!(
            (packet.head()[0], packet.meta().flow, packet.frame_len()),
            (i, 7, 60)
        );
    }
    assert_eq!(payload.in_use(), 5);
    drop(queue);
    assert_eq!(payload.in_use(), 0);
}

fn workers_return_and_panic_apart() {
    let eal = eal();
    let mut payload = pool(&eal, "payload", 64);
    let packet = frame(&mut payload, &[9; 60]);
    let worker = launch(&eal, 0, move || {
        (punctual::dpdk::lcore_id(), packet.head()[0])
    });
    assert_eq!(worker.unwrap().join(), Ok((Some(1), 9)));
    assert_eq!(payload.in_use(), 0, "what a worker drops is back");
    let worker = launch(&eal, 0, || panic!("on purpose")).unwrap();
    let error: Result<(), _> = worker.join();
    assert_eq!(error.unwrap_err().to_string(), "worker 0 panicked");
    assert_eq!(launch(&eal, 0, || 1).unwrap().join(), Ok(1));
    let text = launch(&eal, 1, || ()).unwrap_err().to_string();
    assert!(text.contains("worker 1"), "{text}");
}

fn outstanding_packets_survive_their_pool() {
    let eal = eal();
    let mut payload = pool(&eal, "payload", 64);
    let packet = frame(&mut payload, &[9; 60]);
    drop((payload, eal));
    assert!(!runtime_directory(&instance_name()).exists());
    assert_eq!(packet.head(), [9; 60]);
    drop(packet);
}
