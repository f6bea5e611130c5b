//! Another plan while packets move: nothing is lost, doubled or overtaken because of it, and what
//! did not change notices nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use punctual::config::{Config, RxMode};
use punctual::ledger::Counters;
use punctual::manage::reload::{ReloadError, Reloader};
use punctual::packet::{DropReason, Packet};
use punctual::plan::{Plan, PlanError, PortFacts};
use punctual::wire::MacAddr;

use crate::frames::v4;
use crate::site::{Site, load, number, numbered};

/// A site that can be reloaded, and what management keeps for that.
pub struct Live {
    pub site: Site,
    config: Config,
    reloader: Reloader,
    now: Duration,
    /// When its input is polled.
    rx: RxMode,
}

impl Live {
    pub fn new(rules: &str) -> Self {
        Self::on(rules, RxMode::Live)
    }

    fn on(rules: &str, rx: RxMode) -> Self {
        let mut config = load(rules);
        config.ports[0].rx = rx;
        Self::of(config)
    }

    pub fn of(config: Config) -> Self {
        let rx = config.ports[0].rx;
        let facts = facts(&config);
        let (plan, slots) = Plan::first(&config, &facts, 1_000_000_000).expect("a good plan");
        let site = Site::on(&config, Arc::new(plan), 10_000);
        Self { site, config, reloader: Reloader::new(slots, facts), now: Duration::ZERO, rx }
    }

    /// Reloads, and lets the worker take one turn by the new plan.
    pub fn reload(&mut self, rules: &str) -> Result<(), ReloadError> {
        let mut config = load(rules);
        config.ports[0].rx = self.rx;
        self.take_up(config)
    }

    pub fn take_up(&mut self, config: Config) -> Result<(), ReloadError> {
        let site = &mut self.site;
        let next =
            self.reloader.follow(&site.plan, &self.config, &config, &[&site.counters], self.now)?;
        self.config = config;
        self.publish(next);
        Ok(())
    }

    fn publish(&mut self, plan: Plan) {
        let site = &mut self.site;
        site.plan = Arc::new(plan);
        let out = site.control.mailbox.put(&site.plan);
        assert!(out.is_empty(), "the place was empty");
        site.turns(1);
        assert_eq!(site.counters.worker.generation.get(), site.plan.generation);
        let old = site.control.mailbox.take().pop().expect("the worker left the old plan");
        assert_eq!(Arc::strong_count(&old), 1, "nobody else has it: it is freed here");
    }

    /// A tick of management.
    pub fn tick(&mut self, passed: Duration) {
        self.now += passed;
        let next = self.reloader.tick(&self.site.plan, &[&self.site.counters], self.now);
        if let Some(next) = next {
            self.publish(next);
        }
    }
}

fn facts(config: &Config) -> Vec<PortFacts> {
    let fact = |slot: usize| PortFacts {
        mac: MacAddr([2, 0, 0, 0, 1, slot as u8]),
        mtu: config.ports[slot].mtu,
        sends_chains: true,
    };
    (0..config.ports.len()).map(fact).collect()
}

/// A rule for `239.1.1.NUMBER` with a class and outputs to these ports.
fn rule(number: u8, class: &str, outputs: &[(&str, u8)]) -> String {
    let outputs: Vec<_> = outputs
        .iter()
        .map(|(port, group)| format!("{{ port = \"{port}\", destination = \"239.9.{group}.1\" }}"))
        .collect();
    format!(
        "[[rule]]\nname = \"r{number}\"\nclass = \"{class}\"\n\
         input = {{ port = \"in\", destination = \"239.1.1.{number}\", udp_port = 5001 }}\n\
         output = [{}]\n",
        outputs.join(", ")
    )
}

fn push(site: &Site, rule: u8, n: u32) {
    site.push(&numbered(v4().with(|f| f.destination = [239, 1, 1, rule].into()), n));
}

fn packets(counters: &Counters, live: &Live, name: &str) -> u64 {
    let at = live.config.rules.iter().position(|rule| rule.name == name).expect("it is there");
    counters.rules[live.site.plan.rule_slots[at] as usize].packets.get()
}

#[test]
fn what_did_not_change_keeps_its_slot_its_queue_and_its_counters() {
    let kept = rule(7, "high", &[("a", 7), ("b", 7)]);
    let mut live = Live::new(&(rule(1, "low", &[("a", 1)]) + &kept));
    live.site.tx[1].allow(0);
    (0..100).for_each(|n| push(&live.site, 7, n));
    live.site.turns(10);
    let slot = live.site.plan.rule_slots[1];
    let outputs = live.site.plan.outputs_of(slot).to_vec();
    live.reload(&(kept.clone() + &rule(2, "low", &[("b", 2)]))).expect("it is live");
    assert_eq!(live.site.plan.rule_slots[0], slot);
    assert_eq!(live.site.plan.outputs_of(slot), outputs);
    assert_eq!(packets(&live.site.counters.clone(), &live, "r7"), 100);
    (100..200).for_each(|n| push(&live.site, 7, n));
    live.site.tx[1].allow(usize::MAX);
    live.site.turns(20);
    for port in [1, 2] {
        let numbers: Vec<_> = live.site.sent(port).iter().map(number).collect();
        assert!(numbers.into_iter().eq(0..200), "port {port}");
    }
    assert_eq!(packets(&live.site.counters.clone(), &live, "r7"), 200);
    live.site.finish();
}

#[test]
fn a_lossless_port_leaves_room_for_what_waits_of_rules_that_are_gone() {
    let gone: String = (2..80).map(|n| rule(n, "low", &[("a", n)])).collect();
    let kept = rule(1, "low", &[("a", 1)]);
    let mut live = Live::on(&(kept.clone() + &gone), RxMode::Lossless);
    live.site.tx[1].allow(0);
    (2..80).for_each(|n| push(&live.site, n, 0));
    live.site.turns(10);
    live.reload(&kept).expect("it is live");
    (0..5_000).for_each(|n| push(&live.site, 1, n));
    live.site.turns(300);
    assert!(live.site.ledger().received < 5_000, "it is held back");
    live.site.tx[1].allow(usize::MAX);
    live.site.turns(300);
    assert_eq!(live.site.sent(1).len(), 78 + 5_000);
    let ledger = live.site.finish();
    assert_eq!(ledger.dropped_after.iter().sum::<u64>(), 0, "{:?}", ledger.dropped_after);
}

#[test]
fn plans_share_their_rows_exactly_where_no_input_is_another() {
    let (one, two) = (rule(1, "low", &[("a", 1)]), rule(2, "high", &[("b", 2)]));
    let moved = two.replace("239.1.1.2", "239.1.1.3");
    let by_row = two.replace("class", "flow = \"row\"\nclass");
    // Each follows the one before it.
    let steps = [
        (format!("{one}{two}"), true),
        (format!("{}{two}", rule(1, "high", &[("a", 1), ("b", 3)])), true),
        (format!("{one}{moved}"), false),
        (format!("{one}{two}"), false),
        (format!("{one}{by_row}"), false),
        (format!("{one}{by_row}").replace("weight = 1", "weight = 2"), true),
        (format!("{two}{one}"), false),
        (two.clone(), false),
    ];
    let mut live = Live::new(&format!("{one}{two}"));
    for (rules, shared) in steps {
        let before = Arc::clone(&live.site.plan.rows);
        live.reload(&rules).expect("it is live");
        assert_eq!(Arc::ptr_eq(&before, &live.site.plan.rows), shared, "{rules}");
    }
    // What was given up and came back is matched by the rows that are there now.
    (0..4).for_each(|n| [2, 3].into_iter().for_each(|group| push(&live.site, group, n)));
    live.site.turns(5);
    assert_eq!(live.site.sent(2).len(), 4);
    assert_eq!(live.site.ledger().dropped_before[DropReason::NoRule.index()], 4);
    live.site.finish();
}

#[test]
fn a_removed_rule_drains_by_its_last_outputs_and_gives_its_slot_back() {
    let other = rule(2, "high", &[("b", 2)]);
    let mut live = Live::new(&(rule(1, "high", &[("a", 1), ("b", 1)]) + &other));
    live.site.tx[1].allow(0);
    (0..50).for_each(|n| push(&live.site, 1, n));
    live.site.turns(5);
    live.reload(&other).expect("it is live");
    push(&live.site, 1, 99);
    live.site.turns(5);
    assert_eq!(live.site.ledger().dropped_before[DropReason::NoRule.index()], 1);
    live.tick(Duration::from_millis(500));
    live.site.tx[1].allow(usize::MAX);
    live.site.turns(5);
    assert_eq!(live.site.sent(1).len(), 50, "what waited is sent");
    live.tick(Duration::from_millis(501));
    assert_eq!(live.site.plan.generation, 2, "nothing was left to give up");
    let ledger = live.site.finish();
    assert_eq!((ledger.copies, ledger.sent), (100, 100));
}

#[test]
fn a_rule_that_comes_back_while_its_copies_wait_goes_on_behind_them() {
    let (gone, stays) = (rule(1, "high", &[("a", 1)]), rule(2, "high", &[("b", 2)]));
    let both = gone + &stays;
    let mut live = Live::new(&both);
    live.site.tx[1].allow(0);
    (0..100).for_each(|n| push(&live.site, 1, n));
    live.site.turns(10);
    let slots = live.site.plan.rule_slots.clone();
    live.reload(&stays).expect("it is live");
    live.tick(Duration::from_millis(1));
    live.reload(&both).expect("it is live");
    assert_eq!(live.site.plan.rule_slots, slots, "its outputs had kept its slot");
    (100..200).for_each(|n| push(&live.site, 1, n));
    live.site.turns(10);
    live.site.tx[1].allow(usize::MAX);
    live.site.turns(20);
    let numbers: Vec<_> = live.site.sent(1).iter().map(number).collect();
    assert!(numbers.iter().copied().eq(0..200), "{numbers:?}");
    live.site.finish();
}

/// Packets by turns to rules 1 and 2, in bursts that the worker takes in whole and serves in part:
/// 192 of them wait in front of fan-out in the end. The numbers are those of each rule.
fn backlog(live: &mut Live) {
    let mut next = 0;
    for burst in [32, 64, 128, 128, 128] {
        for _ in 0..burst / 2 {
            [1, 2].into_iter().for_each(|rule| push(&live.site, rule, next));
            next += 1;
        }
        live.site.turns(1);
    }
    assert_eq!(live.site.ledger().waiting_before, 192);
}

#[test]
fn what_waits_in_front_of_fan_out_leaves_by_the_last_outputs() {
    let limits = "[limits]\nrules = 3\noutputs = 2\n";
    let (gone, stays) = (rule(1, "high", &[("a", 1)]), rule(2, "high", &[("b", 2)]));
    let mut live = Live::new(&format!("{gone}{stays}{limits}"));
    backlog(&mut live);
    live.reload(&format!("{stays}{limits}")).expect("it is live");
    live.tick(Duration::from_millis(1));
    // Its output has sent all that it got so far, and will get more.
    let refused = live.reload(&format!("{stays}{}{limits}", rule(3, "high", &[("a", 3)])));
    let full = ReloadError::Plan(PlanError::NoRoom { what: "outputs", allowed: 2 });
    assert_eq!(refused.expect_err("its slot is not free"), full);
    live.site.turns(10);
    for port in [1, 2] {
        assert!(live.site.sent(port).iter().map(number).eq(0..240), "port {port}");
    }
    live.tick(Duration::from_millis(1));
    live.reload(&format!("{stays}{}{limits}", rule(3, "high", &[("a", 3)]))).expect("now it is");
    assert_eq!(live.site.finish().sent, 480);
}

#[test]
fn a_flow_that_changes_its_class_while_it_waits_keeps_its_order() {
    let fillers = rule(1, "high", &[("a", 1)]) + &rule(2, "high", &[("a", 2)]);
    // Its deadline is later, but within the same bucket of the medium class's wheel.
    let other = rule(4, "medium", &[("b", 4)]).replace("input", "budget = \"10004us\"\ninput");
    let flow = |class| rule(3, class, &[("b", 3)]).replace("input", "budget = \"3ms\"\ninput");
    let medium = flow("medium").replace("3ms", "10ms");
    let mut live = Live::new(&format!("{fillers}{other}{medium}"));
    backlog(&mut live);
    push(&live.site, 4, 0);
    live.site.turns(1);
    live.site.clock.step(1_000);
    push(&live.site, 3, 1);
    live.site.turns(1);
    push(&live.site, 3, 2);
    live.reload(&format!("{fillers}{other}{}", flow("high"))).expect("it is live");
    assert_eq!(live.site.ledger().waiting_before, 3, "only these three are left");
    live.site.turns(1);
    let numbers: Vec<_> = live.site.sent(2).iter().map(number).collect();
    let of_flow: Vec<_> = numbers.iter().filter(|&&number| number > 0).collect();
    assert_eq!(of_flow, [&1, &2], "{numbers:?}");
    live.site.finish();
}

#[test]
fn the_second_counts_from_each_removal_whatever_is_reloaded_since() {
    let rules = [rule(1, "high", &[("a", 1)]), rule(2, "high", &[("a", 2)])];
    let stays = rule(3, "low", &[("b", 3)]);
    let mut live = Live::new(&format!("{}{}{stays}", rules[0], rules[1]));
    live.site.tx[1].allow(0);
    for n in 0..50 {
        [1, 2].into_iter().for_each(|rule| push(&live.site, rule, n));
    }
    live.site.turns(10);
    let removed = |live: &Live| live.site.ledger().dropped_after[DropReason::Removed.index()];
    // What is staged at the port is not given up; it refuses for ever here.
    let staged = |live: &Live| live.site.ledger().waiting_after;
    live.reload(&format!("{}{stays}", rules[1])).expect("it is live");
    live.tick(Duration::from_millis(600));
    live.reload(&stays).expect("it is live");
    live.tick(Duration::from_millis(399));
    assert_eq!((live.site.plan.generation, removed(&live)), (3, 0));
    live.tick(Duration::from_millis(1));
    assert_eq!(live.site.plan.generation, 4, "the first has had its second");
    live.tick(Duration::from_millis(1));
    assert_eq!(live.site.plan.generation, 4, "and is not told again");
    live.tick(Duration::from_millis(600));
    assert_eq!(live.site.plan.generation, 5, "so has the second");
    live.site.turns(1);
    assert_eq!(removed(&live) + staged(&live), 100);
    live.site.tx[1].allow(usize::MAX);
    live.site.turns(5);
    let (sent, removed) = (live.site.sent(1).len() as u64, removed(&live));
    assert!(removed > 0 && sent + removed == 100, "{sent} sent, {removed} removed");
    live.site.finish();
}

#[test]
fn what_still_waits_of_a_removed_output_after_a_second_is_removed() {
    let two = rule(1, "high", &[("a", 1), ("b", 1)]);
    let mut live = Live::new(&two);
    live.site.tx[1].allow(0);
    (0..50).for_each(|n| push(&live.site, 1, n));
    live.site.turns(5);
    let gone = live.site.plan.outputs_of(live.site.plan.rule_slots[0])[0];
    live.reload(&rule(1, "high", &[("b", 1)])).expect("it is live");
    live.tick(Duration::from_millis(999));
    assert_eq!(live.site.plan.generation, 2);
    live.tick(Duration::from_millis(1));
    assert_eq!(live.site.plan.generation, 3);
    live.site.tx[1].allow(usize::MAX);
    live.site.turns(5);
    // A burst had been staged for the port.
    assert_eq!(live.site.sent(1).len(), 32);
    assert_eq!(live.site.dropped_after(gone as usize, DropReason::Removed), 18);
    assert_eq!(live.site.sent(2).len(), 50);
    live.site.finish();
}

#[test]
fn a_flow_that_changes_its_class_or_budget_keeps_its_order() {
    let classes = ["high", "low", "medium", "low", "high"];
    let mut live = Live::new(&rule(1, "medium", &[("a", 1), ("b", 1)]));
    let mut next = 0;
    for class in classes {
        for _ in 0..6 {
            (0..90).for_each(|n| push(&live.site, 1, next + n));
            next += 90;
            live.site.turns(1);
            live.site.clock.step(3_700);
        }
        live.reload(&rule(1, class, &[("a", 1), ("b", 1)])).expect("it is live");
    }
    live.site.turns(100);
    let numbers: Vec<_> = live.site.sent(1).iter().map(number).collect();
    assert!(numbers.is_sorted());
    let ledger = live.site.finish();
    assert_eq!((ledger.sent, ledger.dropped()), (2 * u64::from(next), 0));
}

#[test]
fn a_slot_that_changes_hands_begins_at_zero_and_the_totals_still_agree() {
    let limits = "[limits]\nrules = 2\noutputs = 2\n";
    let rules = |first: u8, second: u8| {
        let [first, second] = [first, second].map(|n| rule(n, "high", &[("a", n)]));
        format!("{first}{second}{limits}")
    };
    let mut live = Live::new(&rules(1, 2));
    (0..30).for_each(|n| push(&live.site, 1, n));
    (0..20).for_each(|n| push(&live.site, 2, n));
    live.site.turns(5);
    live.tick(Duration::from_millis(1));
    let full = live.reload(&rules(2, 3)).expect_err("rule 1 has its slot while it may wait");
    assert!(matches!(full, ReloadError::Plan(PlanError::NoRoom { allowed: 2, .. })), "{full}");
    live.reload(&format!("{}{limits}", rule(2, "high", &[("a", 2)]))).expect("it is live");
    live.tick(Duration::from_millis(1));
    live.reload(&rules(3, 2)).expect("rule 1 has given its slot back");
    assert_eq!(live.site.plan.cleared.rules, [0]);
    (0..7).for_each(|n| push(&live.site, 3, n));
    live.site.turns(5);
    let counters = live.site.counters.clone();
    assert_eq!((packets(&counters, &live, "r3"), packets(&counters, &live, "r2")), (7, 20));
    let retired = live.reloader.retired();
    assert_eq!((retired.copies, retired.sent), (30, 30));
    assert_eq!(live.site.finish().sent, 57);
}

#[test]
fn what_needs_a_restart_is_named_and_nothing_changes() {
    let rules = rule(1, "high", &[("a", 1)]);
    let mut live = Live::new(&rules);
    let limits = format!("{rules}\n[limits]\nrules = 7\n[memory]\npackets = 2048\n");
    let refused = live.reload(&limits).expect_err("sizes are fixed");
    assert_eq!(refused.to_string(), "this needs a restart: [memory]; [limits]");
    assert_eq!(live.site.plan.generation, 1);
    push(&live.site, 1, 1);
    live.site.turns(2);
    assert_eq!(live.site.sent(1).len(), 1);
    live.site.finish();
}

/// A rule's number, class, and outputs by port and group.
type Drawn = (u8, usize, Vec<(bool, u8)>);

/// What is pushed, and which rules there are, step by step.
#[derive(Clone, Debug)]
struct Step {
    rules: Vec<Drawn>,
    packets: Vec<u8>,
    blocked: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outputs = prop::collection::vec((any::<bool>(), 0_u8..4), 1..4);
    let rule = (0_u8..6, 0_usize..3, outputs);
    let rules = prop::collection::vec(rule, 1..6);
    let step = (rules, prop::collection::vec(0_u8..6, 0..120), prop::bool::weighted(0.2));
    let step = step.prop_map(|(rules, packets, blocked)| Step { rules, packets, blocked });
    prop::collection::vec(step, 1..25)
}

fn text(rules: &[Drawn]) -> String {
    let mut seen = [false; 6];
    // So few that slots change hands; what has waited longest makes room in time.
    let mut text = "[limits]\nrules = 16\noutputs = 60\n".to_owned();
    for (name, class, outputs) in rules {
        if std::mem::replace(&mut seen[usize::from(*name)], true) {
            continue;
        }
        let mut alike = vec![];
        let mut ports = vec![];
        for &(b, group) in outputs {
            if !alike.contains(&(b, group)) {
                alike.push((b, group));
                ports.push((if b { "b" } else { "a" }, group));
            }
        }
        text += &rule(*name + 1, ["high", "medium", "low"][*class], &ports);
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Rules and outputs come, go, change and come back while packets move and a port now and then
    /// takes nothing. Every packet becomes the copies of the plan by which it was admitted, no
    /// flow is overtaken at any output, and all totals agree, slots that changed hands included.
    #[test]
    fn a_reload_costs_no_packet(steps in steps()) {
        let mut live = Live::new(&text(&steps[0].rules));
        let mut next = 0_u32;
        let mut copies = Vec::new();
        for step in &steps {
            match live.reload(&text(&step.rules)) {
                Ok(()) | Err(ReloadError::Plan(PlanError::NoRoom { .. })) => {}
                Err(error) => panic!("{error}"),
            }
            live.site.tx[1].allow(if step.blocked { 0 } else { usize::MAX });
            for &to in &step.packets {
                push(&live.site, to + 1, next);
                next += 1;
            }
            live.site.turns(2);
            live.site.clock.step(10_000);
            live.tick(Duration::from_millis(100));
            copies.extend([1, 2].map(|port| live.site.sent(port)).into_iter().flatten());
        }
        live.site.tx[1].allow(usize::MAX);
        live.site.turns(150);
        copies.extend([1, 2].map(|port| live.site.sent(port)).into_iter().flatten());
        let ledger = live.site.ledger();
        prop_assert!(ledger.is_quiet());
        let removed = ledger.dropped_after[DropReason::Removed.index()]
            + ledger.dropped_before[DropReason::Removed.index()];
        let no_rule = ledger.dropped_before[DropReason::NoRule.index()];
        prop_assert_eq!(ledger.dropped(), removed + no_rule);
        prop_assert_eq!(ledger.sent, copies.len() as u64);
        // By where a copy goes to and where its packet came from: numbers only grow.
        let mut last = HashMap::new();
        for copy in &copies {
            let bytes = copy.bytes();
            let key = (copy.meta().rule, bytes[30..34].to_vec(), copy.meta().output);
            let number = number(copy);
            prop_assert!(last.insert(key, number).is_none_or(|last| last < number));
        }
        drop(copies);
        let retired = live.reloader.retired();
        let outputs = &live.site.counters.outputs;
        let sent: u64 = outputs.iter().map(|output| output.sent.get()).sum();
        prop_assert_eq!(retired.sent + sent, ledger.sent);
        live.tick(Duration::from_secs(2));
        live.site.finish();
    }
}
