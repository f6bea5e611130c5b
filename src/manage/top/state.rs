//! What the keys have chosen, and what was last looked at.

use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::look::Look;
use super::table::{Order, View};
use crate::manage::control::Shown;

/// The intervals that `+` and `-` step through, in milliseconds.
const INTERVALS: [u64; 7] = [100, 200, 500, 1_000, 2_000, 5_000, 10_000];
/// The interval at first.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// Longest filter, in characters: no name is longer.
const FILTER_MAX: usize = 64;

/// Whether it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It does.
    Continue,
    /// It was asked to end.
    Quit,
}

/// The live view.
#[derive(Clone, Debug)]
pub struct Top {
    /// The last look; none before the first.
    pub(super) look: Option<Look>,
    /// What the instance has done that is worth saying, as ending.
    pub(super) note: Option<String>,
    pub(super) view: View,
    /// The order of each view.
    orders: [Order; View::ALL.len()],
    pub(super) filter: String,
    /// Whether keys go to the filter.
    pub(super) typing: bool,
    pub(super) paused: bool,
    pub(super) help: bool,
    /// The first row that is shown; the screen keeps it among those there are.
    pub(super) first: usize,
    /// Rows that fit, as the screen found.
    pub(super) page: usize,
    interval: Duration,
}

impl Top {
    /// Nothing was looked at yet.
    pub fn new(interval: Duration) -> Self {
        Self {
            look: None,
            note: None,
            view: View::Rules,
            orders: [Order::default(); View::ALL.len()],
            filter: String::new(),
            typing: false,
            paused: false,
            help: false,
            first: 0,
            page: 1,
            interval,
        }
    }

    /// How often to look.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Whether the screen stands still.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// A look at the instance; while the screen stands still it is not taken.
    pub fn take(&mut self, shown: Shown) {
        if self.paused {
            return;
        }
        let before = self.look.take();
        let is_another = before.as_ref().is_some_and(|before| before.instance != shown.instance);
        if is_another {
            self.note = Some("it was started anew: counts are from its new start".into());
        } else if before.as_ref().is_none_or(|before| before.added.is_some()) {
            // A new start is told until there are rates again.
            self.note = None;
        }
        self.look = Some(Look::new(shown, before.as_ref()));
    }

    /// There is no look to be had; the last one stays, with the reason.
    pub fn miss(&mut self, why: &str) {
        if !self.paused {
            self.note = Some(why.to_owned());
        }
    }

    /// The order of the view.
    pub(super) fn order(&self) -> Order {
        self.orders[self.view as usize]
    }

    fn order_mut(&mut self) -> &mut Order {
        &mut self.orders[self.view as usize]
    }

    /// Does what a key asks for.
    pub fn key(&mut self, key: KeyEvent) -> After {
        if key.kind == KeyEventKind::Release {
            return After::Continue;
        }
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'd') if ctrl => return After::Quit,
            _ if ctrl => {}
            code if self.typing => self.typed(code),
            _ if self.help => self.help = false,
            KeyCode::Char('q') | KeyCode::Esc => return After::Quit,
            code => self.chosen(code),
        }
        After::Continue
    }

    fn typed(&mut self, code: KeyCode) {
        self.first = 0;
        match code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(c) if self.filter.chars().count() < FILTER_MAX => self.filter.push(c),
            _ => {}
        }
    }

    fn chosen(&mut self, code: KeyCode) {
        let views = View::ALL.len();
        match code {
            KeyCode::Tab => self.look_at((self.view as usize + 1) % views),
            KeyCode::BackTab => self.look_at((self.view as usize + views - 1) % views),
            KeyCode::Char(digit @ '1'..='5') => self.look_at(digit as usize - '1' as usize),
            KeyCode::Char('s') => {
                let columns = self.view.columns().len();
                let order = self.order_mut();
                let next = order.column.map_or(0, |column| column + 1);
                order.column = (next < columns).then_some(next);
                self.first = 0;
            }
            KeyCode::Char('r') => {
                let order = self.order_mut();
                order.reverse = !order.reverse;
                self.first = 0;
            }
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Char('+') => self.step(1),
            KeyCode::Char('-') => self.step(-1),
            KeyCode::Up => self.first = self.first.saturating_sub(1),
            KeyCode::Down => self.first += 1,
            KeyCode::PageUp => self.first = self.first.saturating_sub(self.page),
            KeyCode::PageDown => self.first += self.page,
            KeyCode::Home => self.first = 0,
            KeyCode::End => self.first = usize::MAX / 2,
            _ => {}
        }
    }

    fn look_at(&mut self, view: usize) {
        self.view = View::ALL[view];
        self.first = 0;
    }

    /// The next longer interval, or the next shorter one.
    fn step(&mut self, by: i8) {
        let now = u64::try_from(self.interval.as_millis()).unwrap_or(u64::MAX);
        let next = match by {
            1.. => INTERVALS.into_iter().find(|&ms| ms > now),
            _ => INTERVALS.into_iter().rev().find(|&ms| ms < now),
        };
        self.interval = Duration::from_millis(next.unwrap_or(now));
    }
}
