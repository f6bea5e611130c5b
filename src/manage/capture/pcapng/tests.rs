use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block, parse_block_le};

use super::*;

/// Each block as another's parser reads it.
fn blocks(mut bytes: &[u8]) -> Vec<Block<'_>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (rest, block) = parse_block_le(bytes).unwrap();
        all.push(block);
        bytes = rest;
    }
    all
}

#[test]
fn another_s_parser_reads_what_is_written() {
    let mut out = Vec::new();
    section(&mut out, "punctual");
    interface(&mut out, "feed", 9_000);
    let frames: [&[u8]; 5] = [&[], &[1], &[1, 2, 3], &[7; 4], &[9; 1_501]];
    for (i, frame) in frames.iter().enumerate() {
        let time = 1_700_000_000_123_456_789 + i as u64;
        packet(&mut out, 0, time, (frame, 1_600), Way::Outbound, &"x".repeat(i));
    }
    let blocks = blocks(&out);
    assert_eq!(blocks.len(), 2 + frames.len());
    assert!(matches!(&blocks[0], Block::SectionHeader(header) if header.bom == 0x1a2b_3c4d));
    let Block::InterfaceDescription(port) = &blocks[1] else { panic!() };
    assert_eq!((port.if_name().unwrap().unwrap(), port.snaplen), ("feed", 9_000));
    assert_eq!(port.ts_resolution(), Some(1_000_000_000));
    for (i, (block, frame)) in blocks[2..].iter().zip(frames).enumerate() {
        let Block::EnhancedPacket(packet) = block else { panic!() };
        assert_eq!(packet.packet_data(), frame);
        assert_eq!((packet.if_id, packet.origlen), (0, 1_600));
        assert_eq!(packet.decode_ts(0, 1_000_000_000), (1_700_000_000, 123_456_789 + i as u32));
        let values: Vec<_> = packet.options.iter().map(|o| &o.value[..o.len.into()]).collect();
        assert_eq!(values, ["x".repeat(i).as_bytes(), &[2, 0, 0, 0], &[]]);
    }
}
