//! One picture of a simulation: how long packets stayed, who got the busiest port, what was lost.
//!
//! The picture is an SVG page that needs no other file and is the same bytes for the same
//! [`Picture`]. Nothing in it is measured here: it shows what it is given, and where there is
//! nothing to show it says so.

mod canvas;
#[cfg(test)]
mod tests;

use crate::manage::text::{grouped, span};
use canvas::{
    CLASSES, Canvas, Colour, GREY, GRID_LINE, HEADING, INK, OTHERS, REASONS, SMALL, Scale, Stroke,
    Type, clean, spread, step, tint,
};

/// What the picture shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// What was simulated; some 80 characters are shown.
    pub title: String,
    /// The scenario in a line (load, seed, residual); some 150 characters are shown.
    pub subtitle: String,
    /// The name of the busiest port.
    pub port: String,
    /// The length of a slice of time in [`ClassPicture::share`], in nanoseconds.
    pub slice_ns: u64,
    /// The classes, highest first.
    pub classes: Vec<ClassPicture>,
}

/// What the picture shows of one class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassPicture {
    /// The class's name.
    pub name: String,
    /// Its budget in nanoseconds; 0 where it has none.
    pub budget_ns: u64,
    /// Residence times, from rx burst to tx burst: (quantile in [0, 1), nanoseconds), rising.
    /// Shown from 0.5 to 0.9999. Empty where nothing was sent.
    pub latency_ns: Vec<(f64, u64)>,
    /// The longest residence time in nanoseconds.
    pub longest_ns: u64,
    /// For each slice of time, the part of the busiest port's capacity that it got: 0 to 1.
    pub share: Vec<f64>,
    /// For each slice of time, the part that would have been fair: 0 to 1.
    pub fair_share: Vec<f64>,
    /// Copies that its packets should have become, those that were lost included.
    pub offered: u64,
    /// Copies lost: (reason, how many).
    pub lost: Vec<(String, u64)>,
}

const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 700.0;
const MARGIN: f64 = 28.0;

/// Characters of the title, the subtitle and a port's name that are shown.
const TITLE_MAX: usize = 80;
const SUBTITLE_MAX: usize = 146;
const PORT_MAX: usize = 24;
/// Characters of a class's and of a reason's name that are shown.
const NAME_MAX: usize = 16;
const REASON_MAX: usize = 13;
/// The longest time on an axis; what is longer lies there.
const TIME_MAX_NS: u64 = 10_000_000_000_000;
/// Reasons with a colour of their own; the rarer ones share one.
const REASONS_SHOWN: usize = REASONS.len();

/// Room for the words behind the longest bar.
const BAR_TEXT: f64 = 206.0;
/// The left edge of the panels on the right.
const MARGIN_RIGHT: f64 = 650.0;

/// Where a panel's data lies on the page.
struct Frame {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

const LATENCY: Frame = Frame { left: 92.0, top: 150.0, right: 496.0, bottom: 630.0 };
const SHARES: Frame = Frame { left: 706.0, top: 150.0, right: 1172.0, bottom: 350.0 };
const LOSSES: Frame = Frame { left: 706.0, top: 474.0, right: 1172.0, bottom: 630.0 };

/// The picture as an SVG page of 1200 x 700.
pub fn svg(picture: &Picture) -> String {
    let mut canvas = Canvas::new(WIDTH, HEIGHT, &picture.title);
    let title = Type { size: 22.0, ..HEADING };
    canvas.text([MARGIN, 42.0], &clean(&picture.title, TITLE_MAX), title);
    let subtitle = Type { size: 13.0, ..SMALL };
    canvas.text([MARGIN, 66.0], &clean(&picture.subtitle, SUBTITLE_MAX), subtitle);
    legend(&mut canvas, picture);
    latency(&mut canvas, picture);
    shares(&mut canvas, picture);
    losses(&mut canvas, picture);
    canvas.finish()
}

/// The colours of the classes and what dashes mean, for all panels.
fn legend(canvas: &mut Canvas, picture: &Picture) {
    const Y: f64 = 97.0;
    let style = SMALL.coloured(INK);
    let mut x = MARGIN;
    for (place, class) in picture.classes.iter().enumerate() {
        let name = clean(&class.name, NAME_MAX);
        canvas.rectangle([x, Y - 10.0], [x + 12.0, Y + 2.0], colour_of(place));
        canvas.text([x + 18.0, Y], &name, style);
        x += 18.0 + style.width(&name) + 18.0;
        if x > WIDTH - 330.0 {
            break;
        }
    }
    canvas.line([[x, Y - 4.0], [x + 26.0, Y - 4.0]].as_ref(), dashed(INK));
    canvas.text([x + 34.0, Y], "budget, fair share", style);
}

/// Left: a line a class over the percentiles, on two logarithmic axes.
fn latency(canvas: &mut Canvas, picture: &Picture) {
    let Frame { left, top, right, bottom } = LATENCY;
    canvas.text([MARGIN, top - 20.0], "Residence time from rx to tx, by percentile", HEADING);
    if picture.classes.iter().all(|class| class.latency_ns.is_empty()) {
        nothing(canvas, &LATENCY, "no packet was sent");
        return;
    }
    let times = picture.classes.iter().flat_map(|class| {
        class.latency_ns.iter().map(|(_, ns)| *ns).chain([class.budget_ns, class.longest_ns])
    });
    let y = time_scale(times.filter(|ns| *ns > 0), [bottom, top]);
    time_axis(canvas, &y);

    // Nines behind the point: half a one at 50 %, 4 at 99.99 %; then a place for the longest.
    let x = Scale { values: [nines(0.5), 4.7], places: [left, right] };
    for (count, label) in
        [(nines(0.5), "50"), (1.0, "90"), (2.0, "99"), (3.0, "99.9"), (4.0, "99.99")]
    {
        let at = x.at(count);
        canvas.line(&[[at, top], [at, bottom]], GRID_LINE);
        tick_below(canvas, &LATENCY, at, label);
    }
    tick_below(canvas, &LATENCY, right, "longest");
    let middle = f64::midpoint(left, right);
    canvas.text([middle, bottom + 40.0], "percentile", SMALL.anchored("middle"));

    for (place, class) in picture.classes.iter().enumerate() {
        if class.budget_ns > 0 {
            let height = y.at(log(class.budget_ns));
            canvas.line(&[[left, height], [right, height]], dashed(colour_of(place)));
        }
    }
    let mut labels = Vec::new();
    for (place, class) in picture.classes.iter().enumerate() {
        if class.budget_ns > 0 {
            let text = format!("budget {}", span(class.budget_ns));
            labels.push((y.at(log(class.budget_ns)), text, place));
        }
        let known = |quantile: f64| (0.5..1.0).contains(&quantile);
        let line: Vec<[f64; 2]> = class
            .latency_ns
            .iter()
            .filter(|(quantile, _)| known(*quantile))
            .map(|(quantile, ns)| [x.at(nines(*quantile).min(4.0)), y.at(log(*ns))])
            .collect();
        let colour = colour_of(place);
        canvas.line(&line, Stroke { colour, width: 2.5, dash: "" });
        if let Some(end) = line.last() {
            let longest = [right, y.at(log(class.longest_ns))];
            canvas.line(&[*end, longest], Stroke { colour, width: 1.5, dash: "1 4" });
            canvas.dot(longest, colour);
            labels.push((longest[1], format!("longest {}", span(class.longest_ns)), place));
        }
    }
    let places: Vec<f64> = labels.iter().map(|label| label.0).collect();
    for (height, (_, text, place)) in spread(&places, 15.0, [top, bottom]).iter().zip(&labels) {
        let middle = height + 4.0;
        canvas.rectangle(
            [right + 12.0, middle - 9.0],
            [right + 16.0, middle + 1.0],
            colour_of(*place),
        );
        canvas.text([right + 21.0, middle], text, SMALL.coloured(INK));
    }
}

/// A logarithmic scale with room for `times` (nanoseconds, above 0) and at least a decade.
fn time_scale(times: impl Iterator<Item = u64>, places: [f64; 2]) -> Scale {
    let (mut low, mut high) = (u64::MAX, 1);
    for ns in times {
        (low, high) = (low.min(ns), high.max(ns));
    }
    let (low, high) = (log(low.min(high)) - 0.15, log(high) + 0.15);
    Scale { values: [low, high.max(low + 1.2)], places }
}

/// Grid and labels of a logarithmic axis of time.
fn time_axis(canvas: &mut Canvas, scale: &Scale) {
    let Frame { left, right, .. } = LATENCY;
    let [low, high] = scale.values;
    let mut decade = 1;
    while decade <= TIME_MAX_NS {
        for ns in [decade, 2 * decade, 5 * decade] {
            let (value, y) = (log(ns), scale.at(log(ns)));
            // Between decades only where they are few.
            let wanted = ns == decade || (high - low < 2.5 && ns < TIME_MAX_NS);
            if wanted && (low..=high).contains(&value) {
                canvas.line(&[[left, y], [right, y]], GRID_LINE);
                canvas.text([left - 10.0, y + 4.0], &round_time(ns), SMALL.anchored("end"));
            }
        }
        decade *= 10;
    }
}

/// Right, above: the parts of a port over time, one upon the other, and where they should end.
fn shares(canvas: &mut Canvas, picture: &Picture) {
    let Frame { left, top, right, bottom } = SHARES;
    let heading = format!("Shares of the capacity of port {}", clean(&picture.port, PORT_MAX));
    canvas.text([MARGIN_RIGHT, top - 20.0], &heading, HEADING);
    let slices = picture.classes.iter().map(|class| class.share.len()).max().unwrap_or(0);
    let some = |class: &ClassPicture| class.share.iter().any(|part| *part > 0.0);
    let end = picture.slice_ns.saturating_mul(slices as u64);
    if end == 0 || !picture.classes.iter().any(some) {
        nothing(canvas, &SHARES, "nothing was sent");
        return;
    }
    let y = Scale { values: [0.0, 1.0], places: [bottom, top] };
    let x = Scale { values: [0.0, slices as f64], places: [left, right] };
    for quarter in 0..=4_u32 {
        let height = y.at(f64::from(quarter) / 4.0);
        canvas.line(&[[left, height], [right, height]], GRID_LINE);
        let label = format!("{} %", quarter * 25);
        canvas.text([left - 10.0, height + 4.0], &label, SMALL.anchored("end"));
    }
    // From the highest pile to the lowest: each covers what is below its edge.
    let edges = piles(picture, slices, |class| &class.share);
    for (place, edge) in edges.iter().enumerate().rev() {
        let line = stairs(edge, &x, &y);
        let mut area = vec![[left, bottom]];
        area.extend(&line);
        area.push([right, bottom]);
        canvas.area(&area, tint(colour_of(place)));
        canvas.line(&line, Stroke { colour: colour_of(place), width: 1.5, dash: "" });
    }
    for edge in piles(picture, slices, |class| &class.fair_share) {
        canvas.line(&stairs(&edge, &x, &y), dashed(INK));
    }
    slice_axis(canvas, end);
}

/// Labels of the axis of time below the shares, 0 to `end` nanoseconds.
fn slice_axis(canvas: &mut Canvas, end: u64) {
    let Frame { left, right, bottom, .. } = SHARES;
    let x = Scale { values: [0.0, end as f64], places: [left, right] };
    let between = step(end, 8);
    let (unit, name) = match between {
        0..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "us"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    for count in 0..=end / between {
        let ns = count * between;
        tick_below(canvas, &SHARES, x.at(ns as f64), &short(ns / unit));
    }
    let middle = f64::midpoint(left, right);
    let text = format!("time, {name}");
    canvas.text([middle, bottom + 40.0], &text, SMALL.anchored("middle"));
}

/// For each class and slice, its part and those of all classes before it.
fn piles<'a>(
    picture: &'a Picture,
    slices: usize,
    parts: impl Fn(&'a ClassPicture) -> &'a Vec<f64>,
) -> Vec<Vec<f64>> {
    let mut pile = vec![0.0; slices];
    let mut piles = Vec::new();
    for class in &picture.classes {
        for (sum, part) in pile.iter_mut().zip(parts(class)) {
            // What is not a number is nothing.
            *sum = (*sum + part.max(0.0)).min(1.0);
        }
        piles.push(pile.clone());
    }
    piles
}

/// A value a slice, as level steps.
fn stairs(values: &[f64], x: &Scale, y: &Scale) -> Vec<[f64; 2]> {
    let mut line: Vec<[f64; 2]> = Vec::new();
    for (slice, value) in values.iter().enumerate() {
        let height = y.at(*value);
        // A step that stays level needs no corner.
        if line.last().is_none_or(|last| last[1] != height) {
            line.extend(line.last().map(|last| [x.at(slice as f64), last[1]]));
            line.push([x.at(slice as f64), height]);
        }
    }
    line.extend(line.last().map(|last| [x.places[1], last[1]]));
    line
}

/// Right, below: a bar a class, a colour a reason.
fn losses(canvas: &mut Canvas, picture: &Picture) {
    let Frame { left, top, right, bottom } = LOSSES;
    canvas.text([MARGIN_RIGHT, top - 44.0], "Lost copies, by reason", HEADING);
    let totals: Vec<u64> = picture.classes.iter().map(lost).collect();
    let most = totals.iter().copied().max().unwrap_or(0);
    if most == 0 {
        nothing(canvas, &LOSSES, "nothing was lost");
        return;
    }
    let shown = frequent_reasons(picture);
    reason_legend(canvas, picture, &shown);
    let x = Scale { values: [0.0, most as f64], places: [left, right - BAR_TEXT] };
    let between = step(most, 4);
    for count in 0..=most / between {
        let at = x.at((count * between) as f64);
        canvas.line(&[[at, top], [at, bottom]], GRID_LINE);
        tick_below(canvas, &LOSSES, at, &short(count * between));
    }
    let middle = f64::midpoint(left, right - BAR_TEXT);
    canvas.text([middle, bottom + 40.0], "copies", SMALL.anchored("middle"));

    let row = (bottom - top) / picture.classes.len() as f64;
    let half = (row * 0.31).min(17.0);
    for (place, class) in picture.classes.iter().enumerate() {
        let middle = top + row * (place as f64 + 0.5);
        let name = clean(&class.name, NAME_MAX);
        canvas.text([left - 10.0, middle + 4.0], &name, SMALL.anchored("end").coloured(INK));
        let (mut sum, mut from) = (0_u64, left);
        for (colour, count) in by_colour(class, &shown) {
            sum = sum.saturating_add(count);
            let to = x.at(sum as f64);
            canvas.rectangle([from, middle - half], [to, middle + half], colour);
            from = to;
        }
        let text = of_offered(totals[place], class.offered);
        canvas.text([from + 8.0, middle + 4.0], &text, SMALL.coloured(INK));
    }
}

/// `1,200 of 60,000 (2.00 %)`; the count alone where it is no part of what was offered.
fn of_offered(lost: u64, offered: u64) -> String {
    if lost == 0 || lost > offered {
        return short(lost);
    }
    let percent = lost as f64 / offered as f64 * 100.0;
    format!("{} of {} ({percent:.2} %)", short(lost), short(offered))
}

/// The reasons that get a colour: the most frequent ones, in the order in which they came.
fn frequent_reasons(picture: &Picture) -> Vec<&str> {
    let mut reasons: Vec<(&str, u64)> = Vec::new();
    for (reason, count) in picture.classes.iter().flat_map(|class| &class.lost) {
        match reasons.iter_mut().find(|known| known.0 == reason) {
            Some(known) => known.1 = known.1.saturating_add(*count),
            None => reasons.push((reason, *count)),
        }
    }
    reasons.retain(|reason| reason.1 > 0);
    let mut counts: Vec<u64> = reasons.iter().map(|reason| reason.1).collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let least = counts.get(REASONS_SHOWN - 1).copied().unwrap_or(0);
    reasons.retain(|reason| reason.1 >= least);
    reasons.into_iter().map(|reason| reason.0).take(REASONS_SHOWN).collect()
}

/// What a class lost: a count for each colour, the other reasons' together at the end.
fn by_colour(class: &ClassPicture, shown: &[&str]) -> Vec<(Colour, u64)> {
    let count = |is: &dyn Fn(&str) -> bool| {
        let counts = class.lost.iter().filter(|(reason, _)| is(reason)).map(|(_, count)| *count);
        counts.fold(0, u64::saturating_add)
    };
    let own = shown.iter().zip(REASONS).map(|(name, colour)| (colour, count(&|it| it == *name)));
    let others = (OTHERS, count(&|it| !shown.contains(&it)));
    own.chain([others]).filter(|(_, count)| *count > 0).collect()
}

fn reason_legend(canvas: &mut Canvas, picture: &Picture, shown: &[&str]) {
    let style = SMALL.coloured(INK);
    let y = LOSSES.top - 18.0;
    let all = picture.classes.iter().flat_map(|class| &class.lost);
    let others = all.filter(|(_, count)| *count > 0).any(|(name, _)| !shown.contains(&&**name));
    let names = shown.iter().copied().zip(REASONS).chain(others.then_some(("others", OTHERS)));
    let mut x = MARGIN_RIGHT;
    for (name, colour) in names {
        let name = clean(name, REASON_MAX);
        canvas.rectangle([x, y - 10.0], [x + 12.0, y + 2.0], colour);
        canvas.text([x + 16.0, y], &name, style);
        x += 16.0 + style.width(&name) + 10.0;
    }
}

/// Says in the middle of a panel that there is nothing to show.
fn nothing(canvas: &mut Canvas, frame: &Frame, text: &str) {
    let Frame { left, top, right, bottom } = *frame;
    for y in [top, bottom] {
        canvas.line(&[[left, y], [right, y]], GRID_LINE);
    }
    let style = Type { size: 14.0, ..SMALL.anchored("middle").coloured(GREY) };
    canvas.text([f64::midpoint(left, right), f64::midpoint(top, bottom) + 5.0], text, style);
}

fn tick_below(canvas: &mut Canvas, frame: &Frame, x: f64, label: &str) {
    let stroke = Stroke { colour: GREY, ..GRID_LINE };
    canvas.line(&[[x, frame.bottom], [x, frame.bottom + 5.0]], stroke);
    canvas.text([x, frame.bottom + 20.0], label, SMALL.anchored("middle"));
}

fn colour_of(place: usize) -> Colour {
    CLASSES[place % CLASSES.len()]
}

fn dashed(colour: Colour) -> Stroke {
    Stroke { colour, width: 1.5, dash: "6 4" }
}

fn lost(class: &ClassPicture) -> u64 {
    class.lost.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

/// The decimal logarithm of a time, taken into what the axis shows: 1 ns to [`TIME_MAX_NS`].
fn log(ns: u64) -> f64 {
    (ns.clamp(1, TIME_MAX_NS) as f64).log10()
}

/// How many nines a quantile has: 1 at 0.9, 2 at 0.99.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

/// A time of one digit and zeros: `200 us`.
fn round_time(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{} us", ns / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", ns / 1_000_000),
        _ => format!("{} s", grouped(ns / 1_000_000_000)),
    }
}

/// A count, in at most eight characters, cut off: `98,304`, `1.25 M`.
fn short(count: u64) -> String {
    const UNITS: [(u64, &str); 5] = [
        (1_000_000_000_000_000_000, "E"),
        (1_000_000_000_000_000, "P"),
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
    ];
    match UNITS.iter().find(|(unit, _)| count >= *unit) {
        Some((unit, name)) => {
            let (whole, rest) = (count / unit, count % unit / (unit / 100));
            if rest == 0 { format!("{whole} {name}") } else { format!("{whole}.{rest:02} {name}") }
        }
        None => grouped(count),
    }
}
