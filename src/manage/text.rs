//! Numbers and aligned columns for people.

use std::io::IsTerminal;

/// Columns that a line should not pass.
pub const WIDTH: usize = 100;

/// What a piece of text says of itself by its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paint {
    /// Nothing.
    #[default]
    Plain,
    /// It heads what follows.
    Head,
    /// All is well.
    Good,
    /// Something was lost, and it is known where.
    Loss,
    /// Something is wrong.
    Bad,
}

/// Whether text carries colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// No colours.
    pub const PLAIN: Self = Self { colour: false };

    /// Colours where `stream` is a terminal that shows them and `NO_COLOR` is not set.
    pub fn of(stream: &impl IsTerminal) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        Self { colour: stream.is_terminal() && !is_dumb() && !set("NO_COLOR") }
    }

    /// Whether there are colours.
    pub fn is_coloured(self) -> bool {
        self.colour
    }

    /// `text` in the colour of `paint`.
    pub fn paint(self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Plain => return text.to_owned(),
            Paint::Head => "1",
            Paint::Good => "32",
            Paint::Loss => "33",
            Paint::Bad => "1;31",
        };
        if self.colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Whether the terminal says that it knows no control sequences.
pub fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// A number in groups of three digits: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A span of time, to three digits or so: `850 ns`, `12.3 us`, `4m05s`, `3d04h`.
pub fn span(nanos: u64) -> String {
    const SECOND: u64 = 1_000_000_000;
    let seconds = nanos / SECOND;
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => scaled(nanos, 1_000, "us"),
        1_000_000..SECOND => scaled(nanos, 1_000_000, "ms"),
        _ if seconds < 60 => scaled(nanos, SECOND, "s"),
        _ if seconds < 3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ if seconds < 86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Bytes of memory or traffic: `512 B`, `156.0 MiB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => scaled(bytes, 1 << 10, "KiB"),
        1_048_576..1_073_741_824 => scaled(bytes, 1 << 20, "MiB"),
        1_073_741_824..1_099_511_627_776 => scaled(bytes, 1 << 30, "GiB"),
        _ => scaled(bytes, 1 << 40, "TiB"),
    }
}

/// `value / unit` with one decimal, cut off, never rounded up into the next unit.
fn scaled(value: u64, unit: u64, name: &str) -> String {
    let tenths = u128::from(value) * 10 / u128::from(unit);
    format!("{}.{} {name}", grouped((tenths / 10) as u64), tenths % 10)
}

/// One field of a [`Grid`].
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    right: bool,
    paint: Paint,
}

impl Cell {
    /// Text, to the left.
    pub fn left(text: impl Into<String>) -> Self {
        Self { text: text.into(), right: false, paint: Paint::Plain }
    }

    /// Text, to the right.
    pub fn right(text: impl Into<String>) -> Self {
        Self { right: true, ..Self::left(text) }
    }

    /// A grouped number, to the right.
    pub fn number(number: u64) -> Self {
        Self::right(grouped(number))
    }

    /// A grouped number that shows as a loss where it is not zero.
    pub fn loss(number: u64) -> Self {
        let cell = Self::number(number);
        if number > 0 { cell.paint(Paint::Loss) } else { cell }
    }

    /// The same in a colour.
    pub fn paint(self, paint: Paint) -> Self {
        Self { paint, ..self }
    }
}

/// Rows of fields that are aligned column by column; a row of one field is a line across all.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    rows: Vec<Vec<Cell>>,
}

impl Grid {
    /// A grid under a heading, each title aligned as the fields below it.
    pub fn new(heading: impl IntoIterator<Item = Cell>) -> Self {
        let heading = heading.into_iter().map(|cell| cell.paint(Paint::Head));
        Self { rows: vec![heading.collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Adds a line that goes across all columns.
    pub fn line(&mut self, text: impl Into<String>, paint: Paint) {
        self.rows.push(vec![Cell::left(text).paint(paint)]);
    }

    /// The text, two spaces between columns, no blanks at the end of a line.
    pub fn render(&self, style: Style) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in self.rows.iter().filter(|row| row.len() > 1) {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            // Blanks are held back until something follows them.
            let mut blanks = 0;
            for (i, cell) in row.iter().enumerate() {
                let width = if row.len() > 1 { widths[i] } else { 0 };
                let missing = width.saturating_sub(cell.text.chars().count());
                let (before, after) = if cell.right { (missing, 0) } else { (0, missing) };
                blanks += before;
                if !cell.text.is_empty() {
                    line.extend(std::iter::repeat_n(' ', blanks));
                    line.push_str(&style.paint(cell.paint, &cell.text));
                    blanks = 0;
                }
                blanks += after + 2;
            }
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

/// Phrases in lines of at most [`WIDTH`], a comma between them; every line begins with `indent`.
pub fn wrapped(indent: &str, phrases: &[String]) -> String {
    let mut text = String::new();
    let mut column = 0;
    for (i, phrase) in phrases.iter().enumerate() {
        let comma = usize::from(i + 1 < phrases.len());
        let width = phrase.chars().count() + comma;
        if column == 0 || column + 1 + width > WIDTH {
            text.push_str(if i == 0 { "" } else { "\n" });
            text.push_str(indent);
            column = indent.len();
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(phrase);
        text.push_str(&","[..comma]);
        column += width;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        let shown = [0, 999, 1_000, 12_345, 123_456, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "12,345", "123,456", "1,234,567"]);
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn spans_take_the_unit_that_fits() {
        let shown = [0, 999, 12_345, 999_999, 1_500_000, 12_340_000_000].map(span);
        assert_eq!(shown, ["0 ns", "999 ns", "12.3 us", "999.9 us", "1.5 ms", "12.3 s"]);
        let long = [245, 7_380, 273_600].map(|seconds| span(seconds * 1_000_000_000));
        assert_eq!(long, ["4m05s", "2h03m", "3d04h"]);
    }

    #[test]
    fn sizes_take_the_unit_that_fits() {
        let shown = [1_023, 1_024, 163_577_856, 1 << 30, 1 << 50].map(size);
        assert_eq!(shown, ["1023 B", "1.0 KiB", "156.0 MiB", "1.0 GiB", "1,024.0 TiB"]);
    }

    #[test]
    fn columns_are_aligned_and_lines_end_in_text() {
        let mut grid = Grid::new([Cell::left("name"), Cell::right("count"), Cell::left("why")]);
        grid.row([Cell::left("a"), Cell::number(1_000_000), Cell::left("")]);
        grid.line("across", Paint::Plain);
        grid.row([Cell::left("longer"), Cell::loss(0), Cell::left("x")]);
        assert_eq!(
            grid.render(Style::PLAIN),
            "name        count  why\na       1,000,000\nacross\nlonger          0  x\n"
        );
    }

    #[test]
    fn colours_do_not_move_columns() {
        let mut grid = Grid::new([Cell::right("n"), Cell::left("x")]);
        grid.row([Cell::loss(10), Cell::left("y")]);
        assert_eq!(
            grid.render(Style { colour: true }),
            " \x1b[1mn\x1b[0m  \x1b[1mx\x1b[0m\n\x1b[33m10\x1b[0m  y\n"
        );
    }

    #[test]
    fn phrases_wrap_at_the_width() {
        let phrases = vec!["x".repeat(60), "y".repeat(35), "z".into()];
        let text = wrapped("  ", &phrases);
        let widths: Vec<_> = text.lines().map(str::len).collect();
        assert_eq!(widths, [100, 3]);
        assert!(text.ends_with(",\n  z\n"));
    }
}
