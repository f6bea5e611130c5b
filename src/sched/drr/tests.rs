//! DRR against its bound, its reset, its order, and a count of what waits.

use proptest::prelude::*;

use super::*;
use crate::simulate::shares::jain;
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

/// What the parties of one level were served, and how far any two of them have come apart since
/// both are backlogged.
struct Level {
    weights: Vec<i64>,
    served: Vec<i64>,
    waiting: Vec<usize>,
    /// By pair: the least and the greatest of `S_i x w_j - S_j x w_i`.
    apart: Vec<[i64; 2]>,
}

impl Level {
    fn new(weights: impl IntoIterator<Item = u32>) -> Self {
        let weights: Vec<_> = weights.into_iter().map(i64::from).collect();
        let parties = weights.len();
        let apart = vec![[0; 2]; parties * parties];
        Self { weights, served: vec![0; parties], waiting: vec![0; parties], apart }
    }

    fn gap(&self, i: usize, j: usize) -> i64 {
        self.served[i] * self.weights[j] - self.served[j] * self.weights[i]
    }

    /// One more waits for `i`; where it is the first, its intervals begin.
    fn enqueued(&mut self, i: usize) {
        self.waiting[i] += 1;
        if self.waiting[i] > 1 {
            return;
        }
        for j in 0..self.weights.len() {
            let (ij, ji) = (i * self.weights.len() + j, j * self.weights.len() + i);
            self.apart[ij] = [self.gap(i, j); 2];
            self.apart[ji] = [self.gap(j, i); 2];
        }
    }

    /// One of `i` was served. The most bytes for a weight of 1 that `i` and another are apart, over
    /// every interval that ends now and in which both were backlogged.
    fn dequeued(&mut self, i: usize, bytes: u32) -> f64 {
        self.served[i] += i64::from(bytes);
        let mut most = 0.0_f64;
        for j in (0..self.weights.len()).filter(|&j| self.waiting[j] > 0) {
            for (i, j) in [(i, j), (j, i)] {
                let gap = self.gap(i, j);
                let [least, greatest] = &mut self.apart[i * self.weights.len() + j];
                (*least, *greatest) = (gap.min(*least), gap.max(*greatest));
                let weights = self.weights[i] * self.weights[j];
                most = most.max((*greatest - *least) as f64 / weights as f64);
            }
        }
        self.waiting[i] -= 1;
        most
    }
}

/// Bytes of a packet of 64 to 9,000, overhead included; the extremes are frequent.
fn any_bytes() -> impl Strategy<Value = u32> {
    prop_oneof![Just(88), Just(LARGEST), 88_u32..=LARGEST]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Over any interval in which two flows of a class, or two classes, stay backlogged,
    /// |S_i/w_i - S_j/w_j| <= 2 x Lmax + Q, Q being the quantum of weight 1: whatever comes and
    /// goes meanwhile, however often other classes interrupt, and whatever is not charged for.
    #[test]
    fn backlogged_flows_and_classes_get_their_weights(
        base in LARGEST..=2 * LARGEST,
        class_weights in [1_u32..=16, 1_u32..=16, 1_u32..=16],
        members in prop::collection::vec((0_usize..3, 1_u32..=8), 3..8),
        steps in prop::collection::vec(
            (any::<prop::sample::Index>(), any_bytes(), 0_usize..12, 0_usize..8, any::<bool>()),
            100..400,
        ),
    ) {
        let mut drr = Drr::new(members.len(), class_weights.map(|w| w * base), LARGEST);
        let mut flows = Class::ALL.map(|_| Level::new(members.iter().map(|&(_, weight)| weight)));
        let mut classes = Level::new(class_weights);
        let bound = f64::from(2 * LARGEST + base);
        for (member, bytes, come, go, charged) in steps {
            let flow = member.index(members.len());
            let (class, weight) = members[flow];
            let quantum = weight * base;
            let settings = MemberSettings { class: Class::ALL[class], quantum, bound: UNBOUNDED };
            for _ in 0..come {
                let mut packet = packet(flow as u32, bytes);
                packet.meta_mut().copies = charged.into();
                drr.enqueue(flow as u32, &settings, packet);
                flows[class].enqueued(flow);
                classes.enqueued(class);
            }
            for _ in 0..go {
                let Some(packet) = drr.dequeue_charged(|packet| packet.meta().copies > 0) else {
                    break;
                };
                let flow = packet.meta().flow as usize;
                let class = members[flow].0;
                let bytes = packet.meta().bytes * packet.meta().copies;
                let apart = flows[class].dequeued(flow, bytes);
                prop_assert!(apart <= bound, "flow {flow}: {apart} over {bound}");
                let apart = classes.dequeued(class, bytes);
                prop_assert!(apart <= bound, "class {class}: {apart} over {bound}");
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    /// Over 100 rounds Jain's index of bytes by weight is at least 0.99, whatever the sizes.
    #[test]
    fn a_hundred_rounds_are_fair_by_jains_index(
        members in prop::collection::vec((1_u32..=8, any_bytes(), any_bytes()), 2..10),
    ) {
        let mut drr = equal_classes(members.len());
        let send = |drr: &mut Drr<HeapPacket>, flow: usize, bytes| {
            let settings = settings(Class::Low, members[flow].0);
            drr.enqueue(flow as u32, &settings, packet(flow as u32, bytes));
        };
        for (flow, &(_, first, second)) in members.iter().enumerate() {
            send(&mut drr, flow, first);
            send(&mut drr, flow, second);
        }
        let mut served = vec![0_f64; members.len()];
        let rounds = 100 * members.iter().map(|&(weight, ..)| weight * LARGEST).sum::<u32>();
        while served.iter().sum::<f64>() < f64::from(rounds) {
            let packet = drr.dequeue().expect("all are backlogged");
            let (flow, bytes) = (packet.meta().flow as usize, packet.meta().bytes);
            served[flow] += f64::from(bytes);
            send(&mut drr, flow, bytes);
        }
        let by_weight = served.iter().zip(&members).map(|(bytes, m)| bytes / f64::from(m.0));
        let index = jain(&by_weight.collect::<Vec<_>>());
        prop_assert!(index >= 0.99, "{index}: {served:?}");
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
fn what_comes_to_nothing_is_given_back() {
    // Three of four packets of flow 0 come to nothing, 20 packets after they were dequeued.
    let mut drr = equal_classes(2);
    let low = settings(Class::Low, 1);
    let mut served = [0_u32; 2];
    let mut behind = std::collections::VecDeque::new();
    for number in 0.. {
        for flow in 0..2 {
            drr.enqueue(flow, &low, packet(flow, 1_000));
        }
        let flow = drr.dequeue().expect("backlogged").meta().flow;
        served[flow as usize] += 1_000;
        behind.push_back((flow, flow == 0 && number % 4 > 0));
        if behind.len() > 20 && behind.pop_front() == Some((0, true)) {
            drr.refund(0, 1_000);
            served[0] -= 1_000;
        }
        if served[1] > 1_000_000 {
            break;
        }
    }
    assert!(served[0].abs_diff(served[1]) <= 3 * LARGEST + 20_000, "{served:?}");
    // An empty queue begins anew.
    let mut drr = equal_classes(1);
    drr.enqueue(0, &low, packet(0, 1_000));
    drr.dequeue();
    drr.refund(0, 1_000);
    assert_eq!((drr.members[0].deficit, drr.classes[Class::Low as usize].deficit), (0, 0));
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
