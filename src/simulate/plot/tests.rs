//! The page is read back: it is XML, it holds what was given, and nothing lies upon another.

use super::*;
use proptest::prelude::*;

/// Invented: a port at 130 % of its capacity.
fn example() -> Picture {
    let points = |times: [u64; 8]| {
        let quantiles = [0.5, 0.75, 0.9, 0.97, 0.99, 0.997, 0.999, 0.9999];
        quantiles.into_iter().zip(times).collect::<Vec<_>>()
    };
    let wave = |base: f64, swing: f64, shift: usize| {
        let part = |i: usize| (((i + shift) * 7 % 13) as f64 / 13.0 - 0.5) * swing + base;
        (0..50).map(part).collect::<Vec<f64>>()
    };
    let class = |name: &str, budget_ns, offered| ClassPicture {
        name: name.into(),
        budget_ns,
        offered,
        ..ClassPicture::default()
    };
    let high = ClassPicture {
        latency_ns: points([1_900, 2_600, 4_100, 8_200, 14_000, 31_000, 66_000, 180_000]),
        longest_ns: 241_000,
        share: wave(0.30, 0.08, 0),
        fair_share: vec![0.30; 50],
        ..class("high", 1_000_000, 412_000)
    };
    let medium = ClassPicture {
        latency_ns: points([3_100, 7_000, 22_000, 90_000, 310_000, 800_000, 2_100_000, 6_400_000]),
        longest_ns: 8_900_000,
        share: wave(0.42, 0.10, 3),
        fair_share: (0..50).map(|i| if i < 30 { 0.44 } else { 0.40 }).collect(),
        lost: vec![("egress_full".into(), 1_204), ("mtu".into(), 310)],
        ..class("medium", 10_000_000, 655_000)
    };
    let low = ClassPicture {
        latency_ns: points([
            900_000,
            4_000_000,
            18_000_000,
            41_000_000,
            70_000_000,
            88_000_000,
            97_000_000,
            100_000_000,
        ]),
        longest_ns: 100_000_000,
        share: wave(0.20, 0.06, 5),
        fair_share: (0..50).map(|i| if i < 30 { 0.26 } else { 0.30 }).collect(),
        lost: vec![
            ("ingress_full".into(), 9_310),
            ("policed".into(), 2_400),
            ("late".into(), 700),
            ("egress_full".into(), 14_800),
            ("egress_late".into(), 4_100),
        ],
        ..class("low", 100_000_000, 730_000)
    };
    Picture {
        title: "config/examples/market-data.toml, simulated".into(),
        subtitle: "load 130 % of the link, seed 7, 1,797,000 packets in 50.0 ms, residual 0".into(),
        port: "out".into(),
        slice_ns: 1_000_000,
        classes: vec![high, medium, low],
    }
}

/// Names that would break a careless page, and more of everything than fits.
fn hostile() -> Picture {
    let mut picture = example();
    picture.title = format!("<script>&\"']]>\u{1}\u{ffff}\n{}", "W".repeat(300));
    picture.subtitle = "& ".repeat(300);
    picture.port = "p".repeat(100);
    for class in &mut picture.classes {
        class.name = format!("<{}>", class.name.repeat(20));
        class.budget_ns = u64::MAX;
        class.longest_ns = u64::MAX;
        class.latency_ns = vec![(f64::NAN, 1), (0.5, 0), (0.99, u64::MAX), (1.0, 5), (7.0, 5)];
        class.share = vec![f64::NAN, f64::INFINITY, -1.0, 3.0, 0.2];
        class.fair_share = vec![1e300, f64::NEG_INFINITY];
        class.offered = u64::MAX;
        class.lost = (0..9).map(|i| (format!("<reason & {i}>"), u64::MAX - i)).collect();
    }
    picture
}

/// Every shape of nothing, one by one.
fn empties() -> Vec<Picture> {
    let one = ClassPicture { name: "high".into(), ..ClassPicture::default() };
    let zeros = ClassPicture {
        latency_ns: vec![(0.5, 0), (0.99, 0)],
        share: vec![0.0; 10],
        fair_share: vec![0.0; 10],
        lost: vec![("late".into(), 0)],
        ..one.clone()
    };
    let with = |classes| Picture { slice_ns: 1_000, classes, ..Picture::default() };
    let mut lone = example();
    lone.classes.truncate(1);
    let mut no_slice = example();
    no_slice.slice_ns = 0;
    let budget = ClassPicture { budget_ns: 1_000_000, ..one.clone() };
    vec![
        Picture::default(),
        with(vec![]),
        with(vec![one.clone()]),
        with(vec![zeros.clone()]),
        with(vec![budget, zeros, one]),
        lone,
        no_slice,
    ]
}

/// A text of the page and the box that it needs: left, top, right, bottom.
type Placed = (String, [f64; 4]);

/// Reads the page as a browser would; panics where it is no XML, where a number is none, or where
/// anything lies outside the page. Returns its texts.
fn read(page: &str) -> Vec<Placed> {
    let document = roxmltree::Document::parse(page).unwrap_or_else(|e| panic!("{e}: {page}"));
    let mut texts = Vec::new();
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        let number = |name: &str| {
            let value: f64 = node.attribute(name).unwrap_or("0").parse().expect(name);
            assert!(value.is_finite() && value >= 0.0, "{name}: {value}");
            value
        };
        for (name, size) in [("x", "width"), ("cx", "r"), ("y", "height"), ("cy", "r")] {
            let page = if name.ends_with('x') { WIDTH } else { HEIGHT };
            assert!(number(name) + number(size) <= page, "{name}: {node:?}");
        }
        for point in node.attribute("d").unwrap_or("M0,0 0,0")[1..].split(' ') {
            let (x, y) = point.split_once(',').expect("a point");
            let inside = |at: &str, end: f64| (0.0..=end).contains(&at.parse().expect("a number"));
            assert!(inside(x, WIDTH) && inside(y, HEIGHT), "{point}");
        }
        if node.has_tag_name("text") {
            let text = node.text().unwrap_or_default().trim().to_string();
            let size = number("font-size");
            let width = Type { size, ..SMALL }.width(&text);
            let left = match node.attribute("text-anchor") {
                Some("middle") => number("x") - width / 2.0,
                Some("end") => number("x") - width,
                _ => number("x"),
            };
            let y = number("y");
            texts.push((text, [left, y - size * 0.75, left + width, y + size * 0.22]));
        }
    }
    texts
}

/// Panics where two texts meet or one leaves the page.
fn nothing_overlaps(texts: &[Placed]) {
    for (i, (text, [left, top, right, bottom])) in texts.iter().enumerate() {
        let inside = *left >= 0.0 && *top >= 0.0 && *right <= WIDTH && *bottom <= HEIGHT;
        assert!(inside, "{text}: {left} {top} {right} {bottom}");
        for (other, [l, t, r, b]) in &texts[i + 1..] {
            let apart = right <= l || r <= left || bottom <= t || b <= top;
            assert!(apart, "{text:?} and {other:?}");
        }
    }
}

fn shows(texts: &[Placed], wanted: &str) -> bool {
    texts.iter().any(|(text, _)| text == wanted)
}

/// The kept page; `UPDATE_SNAPSHOTS=1` writes it anew. Then look at it.
#[test]
fn the_example_is_the_kept_page() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/simulate/plot/example.svg");
    let page = svg(&example());
    assert_eq!(page, svg(&example()), "the same picture is the same page");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(path, &page).expect("the page is written");
    }
    let kept = std::fs::read_to_string(path).expect("the page is kept");
    assert!(page == kept, "{path} differs (UPDATE_SNAPSHOTS=1 writes it)");
}

#[test]
fn the_example_shows_what_it_was_given() {
    let texts = read(&svg(&example()));
    nothing_overlaps(&texts);
    for wanted in [
        "config/examples/market-data.toml, simulated",
        "load 130 % of the link, seed 7, 1,797,000 packets in 50.0 ms, residual 0",
        "Shares of the capacity of port out",
        "99.9",
        "10 us",
        "budget 10.0 ms",
        "longest 241.0 us",
        "time, ms",
        "egress_full",
        "others",
        "1,514 of 655,000 (0.23 %)",
        "31,310 of 730,000 (4.29 %)",
    ] {
        assert!(shows(&texts, wanted), "{wanted}");
    }
}

#[test]
fn nothing_to_show_is_said() {
    for picture in empties() {
        let texts = read(&svg(&picture));
        nothing_overlaps(&texts);
        let lone = picture.classes.iter().any(|class| class.longest_ns > 0);
        assert!(shows(&texts, "nothing was lost") || lone, "{texts:?}");
        assert!(shows(&texts, "nothing was sent") || picture.slice_ns == 1_000_000, "{texts:?}");
    }
    let texts = read(&svg(&Picture::default()));
    assert!(shows(&texts, "no packet was sent"), "{texts:?}");
}

#[test]
fn hostile_names_and_numbers_do_no_harm() {
    let texts = read(&svg(&hostile()));
    nothing_overlaps(&texts);
    let title = &texts[0].0;
    assert!(title.starts_with("<script>&\"']]>\u{fffd}\u{fffd}\u{fffd}WW"), "{title}");
    assert!(title.ends_with("W\u{2026}") && title.chars().count() == TITLE_MAX, "{title}");
}

/// A class's line must rise on the page as its times rise, and its budget must lie where its
/// time lies.
#[test]
fn a_line_at_the_budget_meets_the_budget() {
    let mut picture = example();
    for class in &mut picture.classes {
        class.latency_ns = vec![(0.5, class.budget_ns), (0.9999, class.budget_ns)];
        class.longest_ns = class.budget_ns;
    }
    let page = svg(&picture);
    let document = roxmltree::Document::parse(&page).expect("XML");
    let lines = |width: &str, dash: Option<&str>| -> Vec<f64> {
        let is = |node: &roxmltree::Node<'_, '_>| {
            node.attribute("stroke-width") == Some(width)
                && node.attribute("stroke-dasharray") == dash
        };
        let ends = document.descendants().filter(is).filter_map(|node| node.attribute("d"));
        ends.map(|d| d.rsplit_once(',').expect("a point").1.parse().expect("a number")).collect()
    };
    let times = lines("2.5", None);
    assert_eq!(times.len(), 3);
    assert!(times[0] > times[1] && times[1] > times[2], "{times:?}: longer is higher");
    // The first dashes are the legend's.
    assert_eq!(lines("1.5", Some("6 4"))[1..4], times);
}

#[test]
fn shares_are_piled_up() {
    let picture = Picture {
        classes: [0.5, 0.25, 0.125]
            .map(|part| ClassPicture { share: vec![part, part / 2.0], ..ClassPicture::default() })
            .to_vec(),
        ..Picture::default()
    };
    let expected = [[0.5, 0.25], [0.75, 0.375], [0.875, 0.4375]];
    assert_eq!(piles(&picture, 2, |class| &class.share), expected);

    let parts = [f64::NAN, f64::NEG_INFINITY, 0.5, f64::INFINITY, 0.5];
    let classes = parts.map(|part| ClassPicture { share: vec![part], ..ClassPicture::default() });
    let picture = Picture { classes: classes.to_vec(), ..Picture::default() };
    let expected = [[0.0], [0.0], [0.5], [1.0], [1.0]];
    assert_eq!(piles(&picture, 1, |class| &class.share), expected, "what is no part is nothing");
}

#[test]
fn frequent_reasons_get_colours_and_the_rest_is_not_forgotten() {
    let picture = hostile();
    let shown = frequent_reasons(&picture);
    assert_eq!(shown.len(), REASONS_SHOWN);
    let class = ClassPicture {
        lost: [("a", 1), ("b", 50), ("c", 40), ("d", 30), ("e", 20), ("f", 2), ("g", 0)]
            .map(|(name, count)| (name.to_string(), count))
            .to_vec(),
        ..ClassPicture::default()
    };
    let picture = Picture { classes: vec![class], ..Picture::default() };
    let shown = frequent_reasons(&picture);
    assert_eq!(shown, ["b", "c", "d", "e"]);
    let counts: Vec<u64> =
        by_colour(&picture.classes[0], &shown).iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [50, 40, 30, 20, 3]);
}

#[test]
fn steps_are_round_and_few() {
    for (end, most, expected) in
        [(0, 4, 1), (4, 4, 1), (5, 4, 2), (50, 8, 10), (31_310, 4, 10_000), (199, 4, 50)]
    {
        assert_eq!(step(end, most), expected, "{end}");
    }
    assert!(u64::MAX / step(u64::MAX, 4) <= 4);
}

#[test]
fn counts_are_short() {
    for (count, expected) in [
        (0, "0"),
        (999_999, "999,999"),
        (2_000_000, "2 M"),
        (1_059_999, "1.05 M"),
        (u64::MAX, "18.44 E"),
    ] {
        assert_eq!(short(count), expected);
    }
    assert_eq!(of_offered(1, 80), "1 of 80 (1.25 %)");
    assert_eq!([of_offered(0, 80), of_offered(81, 80)], ["0", "81"]);
}

#[test]
fn labels_move_apart_and_stay_within() {
    assert_eq!(spread(&[10.0, 12.0, 90.0], 5.0, [0.0, 100.0]), [10.0, 15.0, 90.0]);
    assert_eq!(spread(&[99.0, 98.0], 5.0, [0.0, 100.0]), [100.0, 95.0]);
    assert_eq!(spread(&[0.0, 0.0, 0.0], 5.0, [0.0, 100.0]), [0.0, 5.0, 10.0]);
}

fn any_class() -> impl Strategy<Value = ClassPicture> {
    let part = prop_oneof![4 => 0.0..1.0_f64, 1 => any::<f64>()];
    let parts = || prop::collection::vec(part.clone(), 0..30);
    let times = prop::collection::vec((0.0..1.0_f64, any_count()), 0..10);
    let lost = prop::collection::vec(("[a-z_&<]{1,14}", any_count()), 0..8);
    (any_count(), times, any_count(), parts(), parts(), any_count(), lost).prop_map(
        |(budget_ns, latency_ns, longest_ns, share, fair_share, offered, lost)| ClassPicture {
            name: "medium".into(),
            budget_ns,
            latency_ns,
            longest_ns,
            share,
            fair_share,
            offered,
            lost,
        },
    )
}

/// Numbers of every length, zero often.
fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), (0..64_u32, any::<u64>()).prop_map(|(shift, bits)| bits >> shift)]
}

proptest! {
    /// Any picture of three classes is a page that can be read, on which no text meets another.
    #[test]
    fn any_picture_is_a_readable_page(
        classes in prop::collection::vec(any_class(), 0..4),
        slice_ns in any_count(),
    ) {
        let picture = Picture { slice_ns, classes, ..example() };
        nothing_overlaps(&read(&svg(&picture)));
    }
}
