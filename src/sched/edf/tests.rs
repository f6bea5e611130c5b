//! EDF against a sorted model: order to a bucket, ties FIFO, nothing lost, whatever the time does.

use proptest::prelude::*;

use super::*;
use crate::testkit::{HeapFrame, HeapPacket};

const MICROSECOND: Ticks = 1_000;
const BUDGETS: [Ticks; 3] = [1_000_000, 10_000_000, 100_000_000];

/// A packet of a class, numbered, and its deadline.
fn packet(class: usize, number: u32, deadline: Ticks) -> HeapPacket {
    let mut packet = HeapFrame::new(&[&[]]);
    let meta = packet.meta_mut();
    (meta.rule, meta.flow, meta.deadline, meta.copies) = (class as u32, number, deadline, 2);
    meta.arrival = deadline - BUDGETS[class];
    packet
}

/// The width of the bucket that a deadline lay in, seen from `now`.
fn width(class: usize, deadline: Ticks, now: Ticks) -> Ticks {
    let fine = (BUDGETS[class] / 1024).max(MICROSECOND);
    if now.saturating_sub(deadline) < 900 * fine { fine + 1 } else { 64 * fine + 64 }
}

#[derive(Clone, Debug)]
enum Step {
    /// Class, and deadline against now in permille of the class's budget.
    Push(usize, i64),
    Pop,
    /// Nanoseconds.
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_usize..3, -3_000_i64..3_000).prop_map(|(class, at)| Step::Push(class, at)),
        3 => Just(Step::Pop),
        1 => prop_oneof![0_u64..20_000, 0_u64..5_000_000, 0_u64..300_000_000].prop_map(Step::Advance),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    #[test]
    fn earliest_first_to_the_coarser_bucket(steps in steps()) {
        let mut edf = EarliestDeadline::new(BUDGETS, MICROSECOND);
        // Far from zero, as a clock is.
        let mut now: Ticks = 1 << 52;
        edf.advance(now);
        let mut model: Vec<(Ticks, usize, u32)> = Vec::new();
        let mut number = 0;
        for step in steps {
            match step {
                Step::Push(class, permille) => {
                    number += 1;
                    let offset = permille * BUDGETS[class] as i64 / 1_000;
                    let deadline = now.saturating_add_signed(offset);
                    edf.push(Class::ALL[class], packet(class, number, deadline));
                    model.push((deadline, class, number));
                }
                Step::Advance(nanos) => {
                    now += nanos;
                    edf.advance(now);
                }
                Step::Pop => match edf.pop() {
                    None => prop_assert!(model.is_empty()),
                    Some(packet) => {
                        let meta = *packet.meta();
                        let at = model.iter().position(|&(_, _, n)| n == meta.flow);
                        let (deadline, class, _) = model.remove(at.expect("popped once"));
                        let own = width(class, deadline, now);
                        for &(other, other_class, _) in &model {
                            let coarser = own.max(width(other_class, other, now));
                            prop_assert!(deadline <= other + coarser, "{} late", deadline - other);
                        }
                    }
                },
            }
            prop_assert_eq!(edf.packets(), model.len());
            prop_assert_eq!(edf.copies(), 2 * model.len() as u64);
        }
    }

    /// Packets of one deadline leave in the order they came, in every class and across classes,
    /// however much time passes between them; and deadlines that lie more than a bucket apart
    /// leave in exact order.
    #[test]
    fn ties_are_fifo_whatever_the_time(
        packets in prop::collection::vec((0_usize..3, 0_u64..6, 0_u64..2_000_000), 1..200),
    ) {
        // Two buckets of the lowest class apart, overdue ones too.
        let apart = 2 * 64 * BUDGETS[2] / 1024;
        let mut edf = EarliestDeadline::new(BUDGETS, MICROSECOND);
        let start = 1_u64 << 50;
        let mut now = start;
        let mut model = Vec::new();
        for (number, (class, deadline, wait)) in packets.into_iter().enumerate() {
            now += wait;
            edf.advance(now);
            // No further ahead than the class's wheel reaches.
            let deadline = deadline.min([0, 2, 5][class]);
            let mut packet = packet(class, number as u32, start + deadline * apart);
            packet.meta_mut().arrival = now + number as u64;
            edf.push(Class::ALL[class], packet);
            model.push((deadline, number as u32));
        }
        model.sort();
        let order: Vec<_> = std::iter::from_fn(|| edf.pop()).map(|p| p.meta().flow).collect();
        prop_assert_eq!(order, model.into_iter().map(|(_, number)| number).collect::<Vec<_>>());
    }

    /// Deadlines that never go back, as a flow's do, leave in the order they came.
    #[test]
    fn a_flow_keeps_its_order(
        class in 0_usize..3,
        gaps in prop::collection::vec((0_u64..2_000_000, 0_u64..2_000_000, any::<bool>()), 1..300),
    ) {
        let mut edf = EarliestDeadline::new(BUDGETS, MICROSECOND);
        let (mut now, mut deadline) = (1_u64 << 50, 0);
        let mut popped = Vec::new();
        for (number, (wait, later, pop)) in gaps.into_iter().enumerate() {
            now += wait;
            edf.advance(now);
            deadline = (now + BUDGETS[class] / 2).max(deadline + later % 3);
            edf.push(Class::ALL[class], packet(class, number as u32, deadline));
            if pop {
                popped.extend(edf.pop().map(|packet| packet.meta().flow));
            }
        }
        popped.extend(std::iter::from_fn(|| edf.pop()).map(|packet| packet.meta().flow));
        prop_assert!(popped.is_sorted());
    }
}

#[test]
fn ties_are_fifo_across_classes_too() {
    let mut edf = EarliestDeadline::new(BUDGETS, MICROSECOND);
    edf.advance(1 << 40);
    let deadline = (1 << 40) + 500_000;
    for (number, class) in [2, 0, 1, 0, 2].into_iter().enumerate() {
        let mut packet = packet(class, number as u32, deadline);
        packet.meta_mut().arrival = number as u64;
        edf.push(Class::ALL[class], packet);
    }
    let order: Vec<_> = std::iter::from_fn(|| edf.pop()).map(|p| p.meta().flow).collect();
    assert_eq!(order, [0, 1, 2, 3, 4]);
}

#[test]
fn what_is_far_too_late_comes_first_and_in_order() {
    let mut edf = EarliestDeadline::new(BUDGETS, MICROSECOND);
    let now = 1_u64 << 50;
    for number in 0..10 {
        edf.push(Class::High, packet(0, number, now + u64::from(number)));
    }
    // An hour later they are far behind both wheels.
    let now = now + 3_600_000_000_000;
    edf.advance(now);
    edf.push(Class::High, packet(0, 10, now + 1));
    let order: Vec<_> = std::iter::from_fn(|| edf.pop()).map(|p| p.meta().flow).collect();
    assert_eq!(order, (0..=10).collect::<Vec<_>>());
}

#[test]
fn what_leaves_the_overdue_wheel_stays_in_front() {
    let now = 1_u64 << 50;
    let coarse = 64 * MICROSECOND;
    for late in 4_000..4_200 {
        let mut edf = EarliestDeadline::new(BUDGETS, MICROSECOND);
        edf.advance(now);
        for number in 0..50 {
            edf.push(Class::High, packet(0, number, now + u64::from(number) * coarse / 2));
        }
        // All of it becomes overdue, and then a part of it too late for the overdue wheel.
        edf.advance(now + 10 * BUDGETS[0]);
        edf.advance(now + late * coarse);
        let order: Vec<_> = std::iter::from_fn(|| edf.pop()).map(|p| p.meta().flow).collect();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
    }
}
