//! Lines, areas and text on one SVG page, and the scales that place data on it.
//!
//! Coordinates are those of the page, from its upper left corner; they are written to a tenth, so
//! that what the last bits of a logarithm are does not show.

use svg::node::Node;
use svg::node::element::{Path, Rectangle, SVG, Text, Title};

/// A colour: red, green, blue.
pub type Colour = [u8; 3];

pub const INK: Colour = [31, 41, 51];
pub const GREY: Colour = [95, 105, 116];
const GRID: Colour = [222, 226, 231];
const PAPER: Colour = [255, 255, 255];

/// The colours of Okabe and Ito (*Color Universal Design*, 2008), which people who do not see
/// all colours can tell apart: one set for classes, the other for reasons.
pub const CLASSES: [Colour; 3] = [[0, 114, 178], [230, 159, 0], [0, 158, 115]];
pub const REASONS: [Colour; 4] = [[213, 94, 0], [86, 180, 233], [204, 121, 167], [240, 228, 66]];
pub const OTHERS: Colour = [150, 150, 150];

/// Width of a character over the size of its font: more than most fonts need.
const CHARACTER: f64 = 0.6;

/// How a text looks, and which point of it is placed.
#[derive(Clone, Copy)]
pub struct Type {
    pub size: f64,
    pub colour: Colour,
    /// `start`, `middle` or `end`.
    pub anchor: &'static str,
    pub bold: bool,
}

/// Headings of panels.
pub const HEADING: Type = Type { size: 14.0, colour: INK, anchor: "start", bold: true };
/// What stands at axes and in legends.
pub const SMALL: Type = Type { size: 12.0, colour: GREY, anchor: "start", bold: false };

impl Type {
    pub const fn anchored(self, anchor: &'static str) -> Self {
        Self { anchor, ..self }
    }

    pub const fn coloured(self, colour: Colour) -> Self {
        Self { colour, ..self }
    }

    /// The width to keep free for a text.
    pub fn width(self, text: &str) -> f64 {
        text.chars().count() as f64 * self.size * CHARACTER
    }
}

/// How a line looks.
#[derive(Clone, Copy)]
pub struct Stroke {
    pub colour: Colour,
    pub width: f64,
    /// Lengths of dash and gap; empty for a whole line.
    pub dash: &'static str,
}

/// Lines behind the data.
pub const GRID_LINE: Stroke = Stroke { colour: GRID, width: 1.0, dash: "" };

/// The page.
pub struct Canvas {
    page: SVG,
}

impl Canvas {
    /// An empty page, with its name for those who do not see it.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        let page = SVG::new()
            .set("width", width)
            .set("height", height)
            .set("viewBox", (0, 0, width, height))
            .set("font-family", "Helvetica, Arial, sans-serif")
            .set("role", "img")
            .add(Title::new(clean(title, usize::MAX)));
        let mut canvas = Self { page };
        canvas.rectangle([0.0, 0.0], [width, height], PAPER);
        canvas
    }

    /// The finished page.
    pub fn finish(self) -> String {
        format!("{}\n", self.page)
    }

    /// A text on the line through `at`.
    pub fn text(&mut self, at: [f64; 2], text: &str, style: Type) {
        let mut node = Text::new(clean(text, usize::MAX))
            .set("x", tenth(at[0]))
            .set("y", tenth(at[1]))
            .set("font-size", style.size)
            .set("fill", hex(style.colour));
        if style.anchor != "start" {
            node = node.set("text-anchor", style.anchor);
        }
        if style.bold {
            node = node.set("font-weight", "bold");
        }
        self.page.append(node);
    }

    /// A line through the points; nothing for fewer than two.
    pub fn line(&mut self, points: &[[f64; 2]], stroke: Stroke) {
        if points.len() < 2 {
            return;
        }
        let mut node = Path::new()
            .set("d", path(points))
            .set("fill", "none")
            .set("stroke", hex(stroke.colour))
            .set("stroke-width", stroke.width)
            .set("stroke-linejoin", "round");
        if !stroke.dash.is_empty() {
            node = node.set("stroke-dasharray", stroke.dash);
        }
        self.page.append(node);
    }

    /// The area that the points enclose.
    pub fn area(&mut self, points: &[[f64; 2]], colour: Colour) {
        self.page.append(Path::new().set("d", path(points)).set("fill", hex(colour)));
    }

    /// A rectangle, from its upper left to its lower right corner.
    pub fn rectangle(&mut self, from: [f64; 2], to: [f64; 2], colour: Colour) {
        let node = Rectangle::new()
            .set("x", tenth(from[0]))
            .set("y", tenth(from[1]))
            .set("width", tenth(to[0] - from[0]))
            .set("height", tenth(to[1] - from[1]))
            .set("fill", hex(colour));
        self.page.append(node);
    }

    /// A point in a ring of paper, so that it stands out from lines.
    pub fn dot(&mut self, at: [f64; 2], colour: Colour) {
        let node = svg::node::element::Circle::new()
            .set("cx", tenth(at[0]))
            .set("cy", tenth(at[1]))
            .set("r", 4)
            .set("fill", hex(colour))
            .set("stroke", hex(PAPER))
            .set("stroke-width", 1.5);
        self.page.append(node);
    }
}

/// Places values between `low` and `high` on the page; what lies outside, at the nearer end.
#[derive(Clone, Copy)]
pub struct Scale {
    /// The values at both ends, the lower first; they differ.
    pub values: [f64; 2],
    /// Where these lie on the page.
    pub places: [f64; 2],
}

impl Scale {
    pub fn at(&self, value: f64) -> f64 {
        let [low, high] = self.values;
        let part = ((value - low) / (high - low)).clamp(0.0, 1.0);
        self.places[0] + part * (self.places[1] - self.places[0])
    }
}

/// The step of 1, 2 or 5 times a power of ten that makes no more than `most` steps to `end`.
pub fn step(end: u64, most: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for times in [1, 2, 5] {
            match power.checked_mul(times) {
                Some(step) if end / step > most => {}
                Some(step) => return step,
                None => return u64::MAX,
            }
        }
        let Some(next) = power.checked_mul(10) else { return u64::MAX };
        power = next;
    }
}

/// Moves places apart, so that neighbours keep `gap` between them and all stay within `bounds`
/// where these have room. Returns them in the order given.
pub fn spread(places: &[f64], gap: f64, bounds: [f64; 2]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|&a, &b| places[a].total_cmp(&places[b]));
    let mut moved = places.to_vec();
    let mut free = bounds[0];
    for &i in &order {
        moved[i] = moved[i].max(free);
        free = moved[i] + gap;
    }
    let mut free = bounds[1];
    for &i in order.iter().rev() {
        moved[i] = moved[i].min(free);
        free = moved[i] - gap;
    }
    moved
}

/// The colour, halfway to the paper.
pub fn tint(colour: Colour) -> Colour {
    colour.map(|part| part / 2 + 127)
}

/// At most `most` characters, none that XML forbids.
pub fn clean(text: &str, most: usize) -> String {
    let forbidden = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    let shown = |c| if forbidden(c) { '\u{fffd}' } else { c };
    if text.chars().count() <= most {
        return text.chars().map(shown).collect();
    }
    text.chars().take(most.saturating_sub(1)).map(shown).chain(['\u{2026}']).collect()
}

fn path(points: &[[f64; 2]]) -> String {
    let point = |[x, y]: &[f64; 2]| format!("{},{}", tenth(*x), tenth(*y));
    let points: Vec<String> = points.iter().map(point).collect();
    format!("M{}", points.join(" "))
}

fn hex([red, green, blue]: Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Rounded to a tenth; never `-0`.
fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0 + 0.0
}
