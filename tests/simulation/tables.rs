//! Kept tables of a few simulations: what changes in behaviour shows as a difference of numbers.
//! `UPDATE_SNAPSHOTS=1` writes them anew; read the difference before you commit it.

use std::path::Path;
use std::time::Duration;

use punctual::config::Config;
use punctual::manage::text::{Style, WIDTH};
use punctual::simulate::{
    LINK, Load, Model, NANOS_PER_COPY, NANOS_PER_PACKET, Request, RequestError, Simulation, json,
    plot, simulate, table,
};
use punctual::testkit::Costs;

fn demo() -> Config {
    let loaded = punctual::config::load(Path::new("config/demo.toml"));
    loaded.unwrap_or_else(|errors| panic!("{errors}")).config
}

fn request(traffic: &[&str], millis: u64) -> Request {
    Request {
        traffic: traffic.iter().map(|text| text.parse().unwrap()).collect(),
        model: None,
        load: Load::default(),
        duration: Some(Duration::from_millis(millis)),
        link: LINK,
        costs: Costs { packet: NANOS_PER_PACKET, copy: NANOS_PER_COPY },
        faults: Vec::new(),
    }
}

fn load(text: &str) -> Load {
    text.parse().unwrap()
}

fn run(config: &Config, request: &Request) -> Simulation {
    let simulation = simulate(config, request).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(simulation.outcome.report.ledger.residual, 0);
    assert_eq!(simulation.outcome.defect(), None);
    simulation
}

/// Compares the table with a kept one.
fn compare(name: &str, simulation: &Simulation) {
    let text = table::render(simulation, Style::PLAIN);
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(WIDTH), "{widest:?} columns\n{text}");
    let path = Path::new("tests/simulation/golden").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == kept, "{name} differs (UPDATE_SNAPSHOTS=1 writes it); it is now\n{text}");
}

#[test]
fn the_demo_overloaded() {
    let request = Request { load: load("1.5"), ..request(&["seed:7"], 20) };
    compare("demo_overloaded.txt", &run(&demo(), &request));
}

#[test]
fn the_demo_by_its_capture() {
    let request = Request { duration: None, ..request(&["in=config/demo.pcap"], 0) };
    let simulation = run(&demo(), &request);
    assert_eq!(simulation.outcome.report.ledger.received, 693);
    compare("demo_capture.txt", &simulation);
}

#[test]
fn an_aggressor_against_nine() {
    let rule = |i: u8| {
        format!(
            "[[rule]]\nname = \"r{i}\"\nclass = \"medium\"\n\
             input = {{ port = \"in\", destination = \"239.1.{i}.0/24\", udp_port = 5001 }}\n\
             output = [{{ port = \"a\" }}, {{ port = \"b\", weight = {} }}]\n",
            1 + i % 3
        )
    };
    let rules: String = (0..10).map(rule).collect();
    let config = super::harness::Site::new(&rules).scenario.config;
    let request = Request {
        model: Some(Model::Aggressor),
        load: load("2"),
        costs: Costs { packet: 200, copy: 200 },
        ..request(&["seed:11"], 20)
    };
    compare("aggressor.txt", &run(&config, &request));
}

#[test]
fn an_incast_with_faults() {
    let faults = ["tx-refuses:out-a@2ms+3ms", "link-down:out-b@10ms+4ms", "rx-gap", "clock-jumps"];
    let request = Request {
        model: Some(Model::Incast),
        load: load("0.8"),
        faults: faults.iter().map(|fault| fault.parse().unwrap()).collect(),
        ..request(&["seed:3"], 20)
    };
    compare("incast_with_faults.txt", &run(&demo(), &request));
}

/// Every model offers what the load says to the resource that it names.
#[test]
fn a_load_is_what_it_says() {
    for model in Model::ALL {
        for (costs, link) in
            [(Costs { packet: 0, copy: 0 }, LINK), (Costs { packet: 900, copy: 90 }, LINK)]
        {
            let request = Request {
                model: Some(model),
                load: load("0.5"),
                costs,
                link,
                ..request(&["seed:5"], 50)
            };
            let simulation = run(&demo(), &request);
            let (resource, nominal) = simulation.busiest().unwrap();
            assert!((nominal - 0.5).abs() < 1e-3, "{model}: {nominal}");
            let measured = simulation.outcome.loads.iter().find(|(name, _)| *name == resource);
            let measured = measured.unwrap().1;
            assert!((measured - 0.5).abs() < 0.06, "{model}: {resource:?} {measured}");
        }
    }
}

#[test]
fn a_capture_plays_as_fast_as_asked() {
    let whole = run(&demo(), &Request { duration: None, ..request(&["config/demo.pcap"], 0) });
    let request = Request { duration: None, load: load("4"), ..request(&["config/demo.pcap"], 0) };
    let faster = run(&demo(), &request);
    assert_eq!(whole.outcome.span / 4, faster.outcome.span - 1);
    assert_eq!(whole.outcome.rules[0].packets, faster.outcome.rules[0].packets);
    let request = super::tables::request(&["config/demo.pcap"], 100);
    let part = run(&demo(), &request);
    assert!(part.outcome.rules[0].packets < whole.outcome.rules[0].packets);
}

#[test]
fn the_report_holds_what_the_table_shows() {
    let simulation = run(&demo(), &Request { load: load("1.5"), ..request(&["seed:7"], 5) });
    let text = json::render(&simulation);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["schema"], 1);
    assert_eq!(value["report"]["ledger"]["residual"], 0);
    let asked = &value["simulation"];
    assert_eq!((&asked["seed"], &asked["model"]), (&7.into(), &"poisson".into()));
    let output = &asked["rules"][0]["outputs"][4];
    let found = &simulation.outcome.outputs[4];
    assert_eq!(output["name"], found.name.as_str());
    assert_eq!(output["offered"], found.offered);
    assert_eq!(output["residence_ns"]["max"], found.residence.max());
    let lost: u64 =
        output["dropped"].as_array().unwrap().iter().map(|d| d["count"].as_u64().unwrap()).sum();
    assert_eq!(found.offered, found.sent + found.lost_before() + lost);
}

#[test]
fn the_picture_shows_each_class() {
    let simulation = run(&demo(), &Request { load: load("1.5"), ..request(&["seed:7"], 5) });
    let picture = punctual::simulate::picture(&simulation);
    let names: Vec<_> = picture.classes.iter().map(|class| class.name.as_str()).collect();
    assert_eq!((names, picture.port.as_str()), (vec!["high", "medium", "low"], "out-b"));
    for class in &picture.classes {
        assert!(class.latency_ns.is_sorted() && !class.latency_ns.is_empty());
        assert!(class.share.iter().all(|share| (0.0..=1.0).contains(share)));
        assert!(class.lost.iter().map(|(_, lost)| lost).sum::<u64>() <= class.offered + 10);
    }
    let page = plot::svg(&picture);
    assert!(page.contains("<svg") && page.contains("out-b"));
}

/// Every rule of every site gets traffic that it takes, whatever it matches.
#[test]
fn every_example_is_simulated() {
    let examples = std::fs::read_dir("config/examples").unwrap();
    let examples = examples.map(|entry| entry.unwrap().path());
    for path in examples.chain(["tests/whole.toml".into()]) {
        let loaded = punctual::config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
        let simulation = run(&loaded.config, &request(&["seed:1"], 4));
        assert!(simulation.notes.is_empty(), "{}: {:?}", path.display(), simulation.notes);
        for rule in &simulation.outcome.rules {
            let seen = rule.packets + rule.offered.lost();
            assert_eq!(seen, rule.offered.packets, "{}: {}", path.display(), rule.name);
            assert!(seen > 0, "{}: {}", path.display(), rule.name);
        }
    }
}

#[test]
fn the_document_names_every_model_and_fault() {
    let text = std::fs::read_to_string("docs/simulate.md").unwrap();
    let faults = punctual::testkit::fault::FaultKind::ALL.iter().map(|kind| kind.name());
    for name in Model::ALL.map(Model::name).into_iter().chain(faults) {
        assert!(text.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let day = Request { duration: Some(Duration::from_secs(86_400)), ..request(&["seed:1"], 0) };
    let error = simulate(&demo(), &day).unwrap_err();
    assert!(matches!(error, RequestError::Simulate(_)), "{error}");
    assert!(error.to_string().contains("50000000 and 200000000 at most"), "{error}");
    // Few packets, and very many copies of each.
    let rules = (0..1_000).map(|i| format!("{{ port = \"a\", udp_port = {} }}", 1 + i));
    let rules = format!(
        "[[rule]]\nname = \"wide\"\ninput = {{ port = \"in\", destination = \"239.1.1.1\", \
         udp_port = 5001 }}\noutput = [{}]",
        rules.collect::<Vec<_>>().join(",")
    );
    let wide = super::harness::Site::new(&rules).scenario.config;
    let free = Costs { packet: 0, copy: 0 };
    let wide_request = Request { costs: free, load: load("100"), ..request(&["seed:1"], 1_000) };
    let error = simulate(&wide, &wide_request).unwrap_err();
    assert!(error.to_string().contains("copies are too many"), "{error}");
    // As long, on links so slow that it is nothing.
    let slow = Request { link: 1_000, ..day };
    assert_eq!(run(&demo(), &slow).outcome.defect(), None);
    for costs in
        [Costs { packet: 1_000_000_000, copy: 0 }, Costs { packet: 0, copy: 1_000_000_000 }]
    {
        let dear = Request { costs, load: load("100"), ..request(&["seed:1"], 1_000) };
        run(&demo(), &dear);
    }
}
