//! Queues against a model, and that no packet is lost or freed twice.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::Queue;
use crate::packet::Packet;
use crate::testkit::{HeapFrame, HeapPacket, HeapPool};

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Pop(usize),
    Append(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let queue = 0_usize..3;
    let step = prop_oneof![
        queue.clone().prop_map(Step::Push),
        queue.clone().prop_map(Step::Pop),
        (queue.clone(), queue).prop_map(|(to, from)| Step::Append(to, from)),
    ];
    prop::collection::vec(step, 0..200)
}

fn numbered(pool: &HeapPool, number: u32) -> HeapPacket {
    let mut packet = pool.adopt(HeapFrame::new(&[&[]]));
    packet.meta_mut().flow = number;
    packet
}

proptest! {
    #[test]
    fn queues_are_fifo_and_own_their_packets(steps in steps()) {
        let pool = HeapPool::new(1000);
        let mut queues: [Queue<HeapPacket>; 3] = Default::default();
        let mut model: [VecDeque<u32>; 3] = Default::default();
        let mut number = 0;
        for step in steps {
            match step {
                Step::Push(q) => {
                    number += 1;
                    queues[q].push_back(numbered(&pool, number));
                    model[q].push_back(number);
                }
                Step::Pop(q) => {
                    let popped = queues[q].pop_front().map(|packet| packet.meta().flow);
                    prop_assert_eq!(popped, model[q].pop_front());
                }
                Step::Append(to, from) if to != from => {
                    let mut source = std::mem::take(&mut queues[from]);
                    queues[to].append(&mut source);
                    let moved = std::mem::take(&mut model[from]);
                    model[to].extend(moved);
                }
                Step::Append(..) => {}
            }
            for (queue, model) in queues.iter().zip(&model) {
                prop_assert_eq!(queue.is_empty(), model.is_empty());
                let front = queue.front().map(|packet| packet.meta().flow);
                prop_assert_eq!(front, model.front().copied());
            }
            prop_assert_eq!(pool.in_use(), model.iter().map(VecDeque::len).sum::<usize>());
        }
        drop(queues);
        prop_assert_eq!(pool.in_use(), 0);
    }
}
