//! Pools and mbufs.

use arrayvec::ArrayVec;
use punctual::config::EalMemory;
use punctual::dpdk::{Eal, EalConfig, HEADROOM, Mbuf, Pool, PoolConfig};
use punctual::packet::{Burst, Packet, PacketPool, Payload, RxPort, TxPort};
use punctual::sched::Queue;

use crate::support::{ROOM, bytes, chain, config, eal, frame, numbered, pool, rings};

pub fn too_little_memory_names_the_pool() {
    let eal = Eal::start(&EalConfig { megabytes: 16, ..config() }).unwrap();
    let config = PoolConfig { name: "payload", packets: 65536, data_room: ROOM, cache: 256 };
    let text = Pool::new(&eal, &config).unwrap_err().to_string();
    println!("{text}");
    for part in ["`payload`", "65536", "159 MiB", "16 MiB", "[memory] packets"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let ok = PoolConfig { packets: 64, ..config };
    let second = Pool::new(&eal, &ok).unwrap();
    let text = Pool::new(&eal, &ok).unwrap_err().to_string();
    assert!(text.contains("another pool's"), "{text}");
    drop(second);
}

pub fn memory_needed_is_enough_and_not_much_more() {
    let config = PoolConfig { name: "payload", packets: 20_000, data_room: ROOM, cache: 256 };
    let headers = PoolConfig { name: "headers", data_room: HEADROOM, ..config };
    let needed = Pool::memory_needed(&config, EalMemory::NoHuge)
        + Pool::memory_needed(&headers, EalMemory::NoHuge);
    // What EAL, drivers and rings need besides.
    let megabytes = (needed >> 20) as u32 + 8;
    let eal = Eal::start(&EalConfig { megabytes, ..self::config() }).unwrap();
    let payload = Pool::new(&eal, &config).unwrap();
    let headers = Pool::new(&eal, &headers).unwrap();
    let third = PoolConfig { name: "third", packets: 5_000, ..config };
    assert!(Pool::new(&eal, &third).is_err(), "the estimate is {needed}: far too much");
    assert_eq!((payload.size(), headers.size()), (20_000, 20_000));
}

pub fn a_dry_pool_gives_what_it_has() {
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

pub fn copies_share_one_payload() {
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

pub fn share_of_nothing_but_header() {
    let eal = eal();
    let mut pool = pool(&eal, "payload", 64);
    let packet = frame(&mut pool, &[1; 42]);
    let mut headers = [frame(&mut pool, &[2; 42]), frame(&mut pool, &[3; 42])];
    packet.share(42, &mut headers);
    assert!(headers.iter().all(|header| (header.segments(), header.frame_len()) == (1, 42)));
    assert_eq!(pool.in_use(), 2);
    frame(&mut pool, &[1; 60]).share(42, &mut []);
    assert_eq!(pool.in_use(), 2);
    drop(headers);
    assert_eq!(pool.in_use(), 0);
}

pub fn share_of_a_chain_skips_the_empty_segment() {
    let eal = eal();
    let mut pool = pool(&eal, "payload", 64);
    let packet = chain(&mut pool, &[&[0; 42], &[1; 100], &[2; 50]]);
    assert_eq!((packet.segments(), packet.frame_len(), pool.in_use()), (3, 192, 3));
    let mut headers = [frame(&mut pool, &[7; 46]), frame(&mut pool, &[8; 42])];
    packet.share(42, &mut headers);
    assert_eq!(pool.in_use(), 4, "the emptied segment is free");
    assert_eq!((headers[0].segments(), headers[0].frame_len()), (3, 196));
    assert_eq!((headers[1].segments(), headers[1].frame_len()), (3, 192));
    let owners: Vec<u16> = headers[0].segment_addresses().iter().map(|s| s.2).collect();
    assert_eq!(owners, [1, 2, 2]);
    let [first, second] = headers;
    drop(first);
    assert_eq!(bytes(&second)[42..], [[1; 100].as_slice(), &[2; 50]].concat());
    drop(second);
    assert_eq!(pool.in_use(), 0);
}

pub fn a_payload_goes_behind_fresh_headers() {
    let eal = eal();
    let mut pool = pool(&eal, "payload", 64);
    let original: Vec<u8> = (0..200).collect();
    let mut headers = Burst::<Mbuf>::new();
    pool.take(&mut headers, 3);
    let mut payload = frame(&mut pool, &original).into_payload(42, 3);
    let (first, others) = headers.split_first_mut().unwrap();
    const TOO_LONG: usize = HEADROOM as usize + 1;
    assert!(payload.chain_behind::<TOO_LONG>(first).is_none());
    assert_eq!((first.segments(), first.frame_len()), (1, 0));
    for header in others.iter_mut() {
        payload.chain_behind::<42>(header).unwrap().fill(7);
        assert_eq!((header.segments(), header.frame_len()), (2, 200));
        assert_eq!(bytes(header), [[7; 42].as_slice(), &original[42..]].concat());
        assert_eq!(header.segment_addresses()[1].2, 3);
    }
    // The first one's share of it.
    drop(payload);
    assert_eq!(others[0].segment_addresses()[1].2, 2);
    // A payload of several segments, and one of no bytes.
    pool.take(&mut headers, 2);
    let longer = chain(&mut pool, &[&[0; 42], &[1; 100], &[2; 50]]);
    let mut longer = longer.into_payload(42, 1);
    longer.chain_behind::<42>(&mut headers[3]).unwrap().fill(8);
    assert_eq!((headers[3].segments(), headers[3].frame_len()), (3, 192));
    let mut none = frame(&mut pool, &[0; 42]).into_payload(42, 1);
    none.chain_behind::<42>(&mut headers[4]).unwrap().fill(9);
    assert_eq!((headers[4].segments(), bytes(&headers[4])), (1, vec![9; 42]));
    drop((longer, none, headers));
    assert_eq!(pool.in_use(), 0);
}

pub fn truncate_frees_what_it_cuts() {
    let eal = eal();
    let mut pool = pool(&eal, "payload", 64);
    for (len, segments) in [(500, 3), (220, 3), (150, 3), (142, 2), (42, 1), (20, 1), (0, 1)] {
        let mut packet = chain(&mut pool, &[&[0; 42], &[1; 100], &[2; 80]]);
        let whole = bytes(&packet);
        packet.truncate(len);
        assert_eq!(bytes(&packet), whole[..len.min(222)], "{len}");
        assert_eq!((packet.segments(), pool.in_use()), (segments, segments), "{len}");
    }
    assert_eq!(pool.in_use(), 0);
}

pub fn the_front_grows_and_shrinks() {
    let eal = eal();
    let mut pool = pool(&eal, "payload", 64);
    let mut packet = frame(&mut pool, &[1; 60]);
    packet.replace_front(42, 46).unwrap().fill(2);
    assert_eq!(bytes(&packet), [[2; 46].as_slice(), &[1; 18]].concat());
    packet.replace_front(46, 20).unwrap().fill(3);
    assert_eq!(bytes(&packet), [[3; 20].as_slice(), &[1; 18]].concat());
    assert!(packet.replace_front(39, 1).is_none(), "more than the first segment has");
    assert!(packet.replace_front(0, 1000).is_none(), "more than the headroom has");
    assert_eq!(packet.frame_len(), 38);
    let mut fresh = pool.take_one().unwrap();
    assert!(fresh.replace_front(0, usize::from(ROOM) + 1).is_none());
    fresh.replace_front(0, usize::from(ROOM)).unwrap().fill(4);
    assert_eq!(fresh.frame_len(), usize::from(ROOM));
}

pub fn copy_tail_needs_room() {
    let eal = eal();
    let mut pool = pool(&eal, "payload", 64);
    let packet = chain(&mut pool, &[&[0; 42], &[1; 100], &[2; 80]]);
    let mut copy = frame(&mut pool, &[9; 46]);
    assert!(packet.copy_tail(42, &mut copy));
    assert_eq!((copy.segments(), copy.frame_len()), (1, 46 + 180));
    assert_eq!(bytes(&copy)[46..], bytes(&packet)[42..]);
    assert!(packet.copy_tail(200, &mut copy) && copy.frame_len() == 248);
    assert!(!packet.copy_tail(223, &mut copy), "more than there is");
    let small = PoolConfig { name: "small", packets: 8, data_room: HEADROOM + 100, cache: 0 };
    let mut small = Pool::new(&eal, &small).unwrap();
    let mut full = frame(&mut small, &[5; 10]);
    assert!(!packet.copy_tail(0, &mut full));
    assert_eq!(bytes(&full), [5; 10]);
}

pub fn queues_link_through_the_metadata() {
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
        assert_eq!((packet.head()[0], packet.meta().flow, packet.frame_len()), (i, 7, 60));
    }
    assert_eq!(payload.in_use(), 5);
    drop(queue);
    assert_eq!(payload.in_use(), 0);
}
