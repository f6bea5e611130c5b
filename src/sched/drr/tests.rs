//! DRR against its bound, its reset, its order, and a count of what waits.

use proptest::prelude::*;

use super::*;
use crate::testkit::{HeapFrame, HeapPacket};

const LARGEST: u32 = 9_024;
const UNBOUNDED: QueueBound = QueueBound { packets: u32::MAX, bytes: u64::MAX };

fn packet(flow: u32, bytes: u32) -> HeapPacket {
    let mut packet = HeapFrame::new(&[&[]]);
    packet.meta_mut().flow = flow;
    packet.meta_mut().bytes = bytes;
    packet
}

fn settings(class: Class, weight: u32) -> MemberSettings {
    MemberSettings { class, quantum: weight * LARGEST, bound: UNBOUNDED }
}

fn equal_classes(members: usize) -> Drr<HeapPacket> {
    Drr::new(members, [LARGEST; Class::COUNT], LARGEST)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Over any interval in which two flows stay backlogged,
    /// |S_i/w_i - S_j/w_j| <= 2 x Lmax + Q, Q being the quantum of weight 1.
    #[test]
    fn backlogged_flows_get_their_weights(
        weights in prop::collection::vec(1_u32..8, 2..6),
        sizes in prop::collection::vec(88_u32..=LARGEST, 20..60),
        from in 0_usize..300,
        length in 1_usize..700,
    ) {
        let mut drr = equal_classes(weights.len());
        let mut size = sizes.iter().cycle().copied();
        for (flow, &weight) in weights.iter().enumerate() {
            for _ in 0..1_100 {
                let packet = packet(flow as u32, size.next().unwrap_or(88));
                drr.enqueue(flow as u32, &settings(Class::Low, weight), packet);
            }
        }
        let mut served = vec![0_f64; weights.len()];
        for turn in 0..from + length {
            let packet = drr.dequeue().expect("all flows are backlogged");
            if turn >= from {
                served[packet.meta().flow as usize] += f64::from(packet.meta().bytes);
            }
        }
        let bound = f64::from(2 * LARGEST + LARGEST);
        for (i, &wi) in weights.iter().enumerate() {
            for (j, &wj) in weights.iter().enumerate() {
                let gap = served[i] / f64::from(wi) - served[j] / f64::from(wj);
                prop_assert!(gap.abs() <= bound, "{gap} over {bound}: {served:?} {weights:?}");
            }
        }
    }

    /// The same between classes, whatever the number of flows in each.
    #[test]
    fn backlogged_classes_get_their_weights(
        weights in [1_u32..16, 1_u32..16, 1_u32..16],
        flows in [1_usize..5, 1_usize..5, 1_usize..5],
        sizes in prop::collection::vec(88_u32..=LARGEST, 20..60),
        length in 1_usize..1500,
    ) {
        let mut drr = Drr::new(15, weights.map(|weight| weight * LARGEST), LARGEST);
        let mut size = sizes.iter().cycle().copied();
        for class in Class::ALL {
            for i in 0..flows[class as usize] * 1_600 {
                let member = class as usize * 5 + i % flows[class as usize];
                let packet = packet(class as u32, size.next().unwrap_or(88));
                drr.enqueue(member as u32, &settings(class, 1), packet);
            }
        }
        let mut served = [0_f64; 3];
        for _ in 0..length {
            let packet = drr.dequeue().expect("all classes are backlogged");
            served[packet.meta().flow as usize] += f64::from(packet.meta().bytes);
        }
        for i in 0..3 {
            for j in 0..3 {
                let gap = served[i] / f64::from(weights[i]) - served[j] / f64::from(weights[j]);
                prop_assert!(gap.abs() <= f64::from(3 * LARGEST), "{served:?} {weights:?}");
            }
        }
    }

    /// Whatever comes and goes: FIFO within a member, bounds kept, what waits counted.
    #[test]
    fn members_are_bounded_fifos(
        steps in prop::collection::vec((0_u32..4, 0_usize..3, 88_u32..LARGEST, any::<bool>()), 1..400),
    ) {
        let bound = QueueBound { packets: 6, bytes: 20_000 };
        let mut drr = Drr::new(4, [3 * LARGEST, LARGEST, LARGEST], LARGEST);
        let mut model: [std::collections::VecDeque<(u64, u64)>; 4] = Default::default();
        for (number, (member, class, bytes, enqueue)) in steps.into_iter().enumerate() {
            if enqueue {
                let settings = MemberSettings { bound, ..settings(Class::ALL[class], 2) };
                let mut packet = packet(member, bytes);
                packet.meta_mut().arrival = number as u64;
                let queue = &mut model[member as usize];
                let waiting = queue.iter().map(|&(_, bytes)| bytes).sum::<u64>();
                let fits = queue.len() < 6 && waiting + u64::from(bytes) <= bound.bytes;
                prop_assert_eq!(drr.has_room(member, &settings, bytes), fits);
                if fits {
                    drr.enqueue(member, &settings, packet);
                    queue.push_back((number as u64, u64::from(bytes)));
                }
            } else {
                match drr.dequeue() {
                    Some(packet) => {
                        let meta = packet.meta();
                        let expected = model[meta.flow as usize].pop_front();
                        prop_assert_eq!(expected, Some((meta.arrival, u64::from(meta.bytes))));
                    }
                    None => prop_assert!(model.iter().all(|queue| queue.is_empty())),
                }
            }
            let waiting = model.iter().map(|queue| queue.len()).sum::<usize>();
            prop_assert_eq!(drr.packets(), waiting);
            for (member, queue) in model.iter().enumerate() {
                prop_assert_eq!(drr.waiting(member as u32), queue.len());
            }
            // 6 packets are less than a burst: whatever holds something is tight.
            prop_assert_eq!(drr.tight(), model.iter().filter(|queue| !queue.is_empty()).count());
        }
    }
}

#[test]
fn an_idle_flow_gains_no_credit() {
    let mut drr = equal_classes(2);
    let low = settings(Class::Low, 1);
    // Flow 0 comes and goes for many rounds while flow 1 is backlogged.
    for _ in 0..2_000 {
        drr.enqueue(1, &low, packet(1, 1_000));
    }
    for _ in 0..100 {
        drr.enqueue(0, &low, packet(0, 100));
        while drr.dequeue().is_some_and(|packet| packet.meta().flow != 0) {}
    }
    // When it turns greedy it gets one quantum a visit, not a hundred.
    for _ in 0..200 {
        drr.enqueue(0, &low, packet(0, 1_000));
    }
    let run = (0..100).map(|_| drr.dequeue().expect("backlogged").meta().flow);
    let flows: Vec<_> = run.collect();
    let longest = flows.chunk_by(|a, b| a == b).filter(|run| run[0] == 0).map(<[_]>::len).max();
    assert!(longest.is_some_and(|run| run <= (2 * LARGEST / 1_000) as usize), "{longest:?}");
}

#[test]
fn an_interrupted_visit_gets_no_new_quantum() {
    // The class's quantum ends in the middle of the flow's visit; flow 0 may send 8 packets a
    // visit, the class 1 packet a visit.
    let mut drr = Drr::new(3, [1_000; Class::COUNT], LARGEST);
    let eight = MemberSettings { class: Class::High, quantum: 8_000, bound: UNBOUNDED };
    for _ in 0..30 {
        drr.enqueue(0, &eight, packet(0, 1_000));
        drr.enqueue(1, &eight, packet(1, 1_000));
        let low = MemberSettings { class: Class::Low, ..eight };
        drr.enqueue(2, &low, packet(2, 1_000));
    }
    let high: Vec<_> = std::iter::from_fn(|| drr.dequeue())
        .map(|packet| packet.meta().flow)
        .filter(|&flow| flow != 2)
        .take(32)
        .collect();
    let runs: Vec<_> = high.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect();
    assert_eq!(runs, [(0, 8), (1, 8), (0, 8), (1, 8)]);
}
