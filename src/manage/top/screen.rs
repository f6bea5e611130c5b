//! The screen: head, table, foot. 80 columns and 24 lines hold all that matters; wider screens
//! show more columns and longer names, taller ones more rows.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::figure::{count, gbit, percent};
use super::look::Look;
use super::state::Top;
use super::table::{Column, Field, Kind, View, rows};
use crate::manage::report::{Breaker, Link};
use crate::manage::text::{self, Paint};

/// The least that is drawn on.
const LEAST: (u16, u16) = (40, 10);
/// Lines that workers, and that ports may take.
const LINES_MAX: usize = 3;

const HELP: &[&str] = &[
    "q Esc Ctrl-C      end; the instance runs on",
    "Tab 1 2 3 4 5     rules, outputs, receivers, ports, drops",
    "s                 sort by the next column, then in the file's order again",
    "r                 the other way round",
    "/                 only names with this in them; Enter keeps it, Esc drops it",
    "p Space           the screen stands still, or goes on",
    "+ -               look less often, or more often: 10 s to 100 ms",
    "arrows PgUp PgDn  the rows before, the rows behind; Home, End",
    "",
    "pps, Mbit/s, late/s and lost/s are of the last interval, by the instance's",
    "clock; Mbit/s count 24 bytes of overhead a frame. mostly: why most were lost.",
    "share    of all rules, of the link, of all drops",
    "on time  of the copies that were sent or dropped, those sent by their deadline",
    "p50, p99, max     times from receive burst to send burst, since the start",
    "busy     of the worker's turns in the last interval, those that moved a packet",
    "",
    "any key goes back",
];

/// How paints look, with colours or without.
#[derive(Clone, Copy, Debug)]
struct Looks {
    colour: bool,
}

impl Looks {
    fn of(self, paint: Paint) -> Style {
        let (colour, modifier) = match paint {
            Paint::Plain => return Style::new(),
            Paint::Head => (None, Modifier::BOLD),
            Paint::Good => (Some(Color::Green), Modifier::empty()),
            Paint::Loss => (Some(Color::Yellow), Modifier::empty()),
            Paint::Bad => (Some(Color::Red), Modifier::BOLD),
        };
        let style = Style::new().add_modifier(modifier);
        colour.filter(|_| self.colour).map_or(style, |colour| style.fg(colour))
    }

    fn span(self, paint: Paint, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), self.of(paint))
    }
}

impl Top {
    /// Draws all of it, with colours or without.
    pub fn draw(&mut self, frame: &mut Frame<'_>, colour: bool) {
        let looks = Looks { colour };
        let area = frame.area();
        let buffer = frame.buffer_mut();
        let mut lines = Lines { buffer, next: 0, width: area.width, end: area.height };
        if area.width < LEAST.0 || area.height < LEAST.1 {
            lines.add(Line::raw(format!("at least {} columns, {} lines", LEAST.0, LEAST.1)));
            return;
        }
        // The last line is the foot's.
        lines.end -= 1;
        match &self.look {
            Some(look) => head(&mut lines, self, look, looks),
            None => lines.add(Line::raw(" no answer yet")),
        }
        if let Some(note) = &self.note {
            lines.add(Line::from(looks.span(Paint::Bad, format!(" {note}"))));
        }
        if self.help {
            lines.next += 1;
            HELP.iter().for_each(|help| lines.add(Line::raw(format!(" {help}"))));
        } else if let Some(look) = &self.look {
            let (first, page) = table(&mut lines, self, look, looks);
            (self.first, self.page) = (first, page);
        }
        (lines.next, lines.end) = (area.height - 1, area.height);
        lines.add(foot(self, looks));
    }
}

/// Lines from the top, as many as there is room for.
struct Lines<'a> {
    buffer: &'a mut Buffer,
    next: u16,
    width: u16,
    end: u16,
}

impl Lines<'_> {
    fn add(&mut self, line: Line<'_>) {
        if self.next < self.end {
            self.buffer.set_line(0, self.next, &line, self.width);
            self.next += 1;
        }
    }

    /// Phrases in as many lines as they need, at most [`LINES_MAX`], behind a title.
    fn wrapped(&mut self, title: &str, phrases: Vec<Vec<Span<'static>>>) {
        let width_of = |phrase: &[Span<'_>]| phrase.iter().map(Span::width).sum::<usize>();
        let mut line = Line::raw(title.to_owned());
        let mut left = LINES_MAX;
        for phrase in phrases {
            let fits = line.width() + width_of(&phrase) <= usize::from(self.width);
            if !fits && line.spans.len() > 1 {
                left -= 1;
                if left == 0 {
                    break;
                }
                let full = Line::raw(" ".repeat(title.len()));
                self.add(std::mem::replace(&mut line, full));
            }
            line.spans.extend(phrase);
        }
        self.add(line);
    }
}

fn head(lines: &mut Lines<'_>, top: &Top, look: &Look, looks: Looks) {
    let report = &look.now;
    let up = text::span(report.uptime_ns);
    let mut first = Line::from(vec![
        looks.span(Paint::Head, format!(" {}", look.instance.name)),
        Span::raw(format!(
            "  up {up}  generation {}  process {}  ",
            report.generation, look.instance.process
        )),
    ]);
    let residual = match report.ledger.residual {
        0 => Span::raw("residual 0"),
        some => looks.span(Paint::Bad, format!("RESIDUAL {}", text::grouped(some))),
    };
    first.push_span(residual);
    if top.paused {
        first.push_span(looks.span(Paint::Loss, "  stands still"));
    }
    lines.add(first);
    lines.add(Line::from(match look.totals() {
        Some(totals) => {
            let lost = |name: &str, rate: u64| {
                let paint = if rate > 0 { Paint::Loss } else { Paint::Plain };
                looks.span(paint, format!("{name} {}/s  ", count(rate)))
            };
            let (bits_in, bits_out) = (gbit(totals.bits_received), gbit(totals.bits_sent));
            vec![
                Span::raw(format!(" in {} pps {bits_in} Gbit/s  ", count(totals.received))),
                Span::raw(format!("out {} pps {bits_out} Gbit/s  ", count(totals.sent))),
                lost("drops", totals.dropped),
                lost("missed", totals.missed),
            ]
        }
        None => vec![Span::raw(" rates come with the second look")],
    }));
    let workers = report.workers.iter().map(|worker| {
        let age = text::span(worker.heartbeat_age_ns);
        vec![Span::raw(format!(
            "lcore {} busy {}, last turn {age} ago  ",
            worker.lcore,
            percent(look.busy(worker.lcore)),
        ))]
    });
    lines.wrapped(" workers  ", workers.collect());
    let ports = report.ports.iter().map(|port| {
        let up = if port.link == Link::Up { Paint::Good } else { Paint::Bad };
        let mut phrase = vec![
            Span::raw(format!("{} ", port.name)),
            looks.span(up, format!("{}  ", port.link.name())),
        ];
        if port.breaker != Breaker::Closed {
            phrase.push(looks.span(Paint::Bad, format!("breaker {}  ", port.breaker.name())));
        }
        phrase
    });
    lines.wrapped(" ports    ", ports.collect());
}

/// The table; returns the first row that is shown, and how many fit.
fn table(lines: &mut Lines<'_>, top: &Top, look: &Look, looks: Looks) -> (usize, usize) {
    let order = top.order();
    let rows = rows(top.view, look, &top.filter, order);
    let shown = usize::from(lines.end.saturating_sub(lines.next + 3));
    let first = top.first.min(rows.len().saturating_sub(shown));
    let last = (first + shown).min(rows.len());
    lines.next += 1;
    let mut tabs = Line::raw(" ");
    for (key, view) in (1..).zip(View::ALL) {
        let name = format!("{key} {}", view.name());
        let style = if view == top.view {
            Style::new().add_modifier(Modifier::REVERSED)
        } else {
            Style::new()
        };
        tabs.push_span(Span::styled(name, style));
        tabs.push_span("  ");
    }
    let by = match order.column {
        Some(column) => format!("by {}", top.view.columns()[column].title),
        None => "as configured".into(),
    };
    let reversed = if order.reverse { ", reversed" } else { "" };
    let from = if rows.is_empty() { 0 } else { first + 1 };
    tabs.push_span(format!("{by}{reversed}  {from}-{last} of {}", rows.len()));
    lines.add(tabs);
    let columns = fit(top.view.columns(), lines.width);
    let titles = columns.iter().map(|&(i, width)| {
        let column = &top.view.columns()[i];
        let style = looks.of(Paint::Head);
        let sorted = order.column == Some(i);
        let style = if sorted { style.add_modifier(Modifier::UNDERLINED) } else { style };
        aligned(column.title, column.kind, width, style)
    });
    lines.add(spaced(titles));
    if rows.is_empty() {
        lines.add(Line::raw(if top.filter.is_empty() { " nothing" } else { " no such name" }));
    }
    for fields in &rows[first..last] {
        let cells = columns.iter().map(|&(i, width)| {
            let Field { text, paint, .. } = &fields[i];
            aligned(text, top.view.columns()[i].kind, width, looks.of(*paint))
        });
        lines.add(spaced(cells));
    }
    (first, shown.max(1))
}

/// The columns that have room, each with its width: the names share what is left.
fn fit(columns: &[Column], width: u16) -> Vec<(usize, u16)> {
    let mut fitting: Vec<_> = columns.iter().map(|column| column.width).enumerate().collect();
    let needed = |fitting: &[(usize, u16)]| fitting.iter().map(|(_, width)| width + 1).sum::<u16>();
    while needed(&fitting) > width {
        let worst = fitting.iter().map(|&(i, _)| columns[i].rank).max();
        let found = fitting.iter().rposition(|&(i, _)| Some(columns[i].rank) == worst);
        match found {
            // A single column is cut off instead.
            Some(found) if fitting.len() > 1 => fitting.remove(found),
            _ => break,
        };
    }
    // Blanks behind a column are those before the next one; a wide screen has a second one.
    let spare = width.saturating_sub(needed(&fitting));
    let names = fitting.iter().filter(|(i, _)| columns[*i].kind == Kind::Name).count() as u16;
    for (i, width) in &mut fitting {
        if columns[*i].kind == Kind::Name {
            *width += spare / names.max(1);
        }
    }
    fitting
}

/// A text in so many columns; one that is longer ends in an ellipsis.
fn aligned(text: &str, kind: Kind, width: u16, style: Style) -> Span<'static> {
    let width = usize::from(width);
    let text = if text.chars().count() > width {
        text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
    } else {
        text.to_owned()
    };
    let text = match kind {
        Kind::Number => format!("{text:>width$}"),
        Kind::Name | Kind::Text => format!("{text:<width$}"),
    };
    Span::styled(text, style)
}

fn spaced(cells: impl Iterator<Item = Span<'static>>) -> Line<'static> {
    Line::from(cells.flat_map(|cell| [Span::raw(" "), cell]).collect::<Vec<_>>())
}

fn foot(top: &Top, looks: Looks) -> Line<'static> {
    if top.typing {
        let text = format!(" names with: {}_   Enter keeps it, Esc drops it", top.filter);
        return Line::from(looks.span(Paint::Head, text));
    }
    let interval = text::span(u64::try_from(top.interval().as_nanos()).unwrap_or(u64::MAX));
    let filter = match &*top.filter {
        "" => "/ filter".into(),
        filter => format!("/ {filter}"),
    };
    let pause = if top.paused { "p go on" } else { "p pause" };
    let keys = format!(" q quit  Tab view  s sort  r reverse  {pause}  +- {interval}  ? help");
    Line::from(vec![Span::raw(keys), Span::raw(format!("  {filter}"))])
}
