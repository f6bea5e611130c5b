//! Two workers, of which one stands still for a while.

use std::sync::Arc;
use std::time::Duration;

use punctual::manage::breaker::Breakers;
use punctual::manage::reload::Retired;
use punctual::manage::report::{Link, PortStatus};
use punctual::manage::unmatched::Unmatched;
use punctual::manage::view::View;
use punctual::packet::Clock;
use punctual::worker::Phase;

use crate::crew::Crew;
use crate::frames::v4;
use crate::moved::Moved;
use crate::site::load;
use crate::table::Mover;

pub fn what_passes_between_workers_moves() {
    let mut moved = Moved::default();
    let rule = |n: u8| {
        format!(
            "[[rule]]\nname = \"r{n}\"\n\
             input = {{ port = \"in\", destination = \"239.1.1.{n}\", udp_port = 5001 }}\n\
             output = [{{ port = \"a\" }}, {{ port = \"b\" }}]\n"
        )
    };
    let config = load(&[rule(1), rule(2)].concat());
    let mut crew = Crew::new(&config, &[1, 1, 1], 2, 1);
    // The second keeps the flow of rule 2 and sends to port b.
    for n in 0..10_000_u16 {
        crew.push(0, &v4().with(|f| f.destination = [239, 1, 1, 1 + (n % 2) as u8].into()));
        if n % 16 == 15 {
            crew.workers[0].turn();
            crew.tx.iter().for_each(|tx| drop(tx.take()));
        }
    }
    crew.settle();
    let workers = (1..).zip(crew.counters.iter().cloned()).collect();
    moved.view(&View {
        config: Arc::new(config),
        plan: Arc::clone(&crew.plan),
        workers,
        places: Default::default(),
        ports: vec![PortStatus { link: Link::Up, ..PortStatus::default() }; 3],
        retired: Retired::default(),
        breakers: Breakers::new(&crew.plan),
        pools: Vec::new(),
        unmatched: Unmatched::default(),
        groups: Default::default(),
        neighbours: Default::default(),
        malformed: Default::default(),
        alerts: Vec::new(),
        now: Some(crew.clock.now()),
        uptime: Duration::from_millis(1),
        dpdk: "none".into(),
        dumpcap: "no".into(),
    });
    crew.finish(Phase::Drain);
    moved.is_as_the_table_says(Mover::Workers);
}
