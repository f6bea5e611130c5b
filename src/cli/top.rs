//! `punctual top`: the terminal and the socket of the live view, on one thread. Keys are read
//! between asking and the answer, so that an instance that is slow to answer slows no key.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::ask::{Target, interval};
use super::exit::{self, Exit};
use super::fail;
use crate::manage::control::{Client, ClientError, Command, Shown, Which};
use crate::manage::text::{Style, is_dumb};
use crate::manage::top::{After, Top};
use crate::manage::wall;

/// How long an instance may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the rest of an answer may take once it has begun.
const REST: Duration = Duration::from_secs(1);
/// How long a key is waited for while an answer is due.
const GLANCE: Duration = Duration::from_millis(10);
/// How long a key is waited for at most: a signal is noticed in this time.
const NAP: Duration = Duration::from_millis(100);

/// The arguments of `punctual top`.
#[derive(Clone, Debug, Args)]
pub struct TopArgs {
    /// How often to look, as in `250ms`; `+` and `-` change it
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    interval: Duration,
    #[command(flatten)]
    target: Target,
}

/// Shows an instance live, until a key asks for the end.
pub fn top(args: &TopArgs) -> Exit {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() || is_dumb() {
        return fail(
            exit::UNAVAILABLE,
            "top needs a terminal that takes keys and shows a screen; elsewhere use \
             `punctual show rules --watch`",
        );
    }
    // What cannot be asked is said as every command says it, before the screen is taken.
    let mut asking = match Asking::begin(args.target.which()) {
        Ok(asking) => asking,
        Err(error) => return fail(exit::UNAVAILABLE, &error.to_string()),
    };
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&ended)) {
            return fail(exit::UNAVAILABLE, &format!("signal {signal} cannot be taken: {error}"));
        }
    }
    // A panic restores the terminal too: `try_init` sees to it.
    let shown = ratatui::try_init().and_then(|mut terminal| {
        view(&mut terminal, &mut Top::new(args.interval), &mut asking, &ended)
    });
    ratatui::restore();
    match shown {
        Ok(()) => exit::OK,
        Err(error) => fail(exit::UNAVAILABLE, &format!("the terminal fails: {error}")),
    }
}

fn view(
    terminal: &mut DefaultTerminal,
    top: &mut Top,
    asking: &mut Asking,
    ended: &AtomicBool,
) -> io::Result<()> {
    let colour = Style::of(&io::stdout()).is_coloured();
    while !ended.load(Ordering::Relaxed) {
        terminal.draw(|frame| top.draw(frame, colour))?;
        // Drawn again only where something may have changed: a key, a size, an answer.
        loop {
            if ended.load(Ordering::Relaxed) {
                return Ok(());
            }
            if event::poll(asking.nap(top, wall::now()))? {
                match event::read()? {
                    Event::Key(key) if top.key(key) == After::Quit => return Ok(()),
                    _ => break,
                }
            }
            if asking.go_on(top, wall::now()) {
                break;
            }
        }
    }
    Ok(())
}

/// A question to the instance, and when the next one is due.
struct Asking {
    which: Which,
    /// The connection that an answer is due on.
    open: Option<Client>,
    since: Instant,
}

impl Asking {
    fn begin(which: Which) -> Result<Self, ClientError> {
        let since = wall::now();
        let open = Some(Self::ask(&which)?);
        Ok(Self { which, open, since })
    }

    /// Anew each time: an instance keeps no connection that is silent for long.
    fn ask(which: &Which) -> Result<Client, ClientError> {
        let mut client = Client::connect(which)?;
        client.send(Command::Show, REST)?;
        Ok(client)
    }

    /// How long a key may be waited for.
    fn nap(&self, top: &Top, now: Instant) -> Duration {
        if self.open.is_some() {
            return GLANCE;
        }
        let due = top.interval().saturating_sub(now.duration_since(self.since));
        if top.is_paused() { NAP } else { due.min(NAP) }
    }

    /// Asks where it is time to, takes an answer that has come; true where the screen changes.
    fn go_on(&mut self, top: &mut Top, now: Instant) -> bool {
        let waited = now.duration_since(self.since);
        let answer = match &mut self.open {
            Some(client) if client.has_answer() => client.receive::<Shown>(REST),
            Some(_) if waited < PATIENCE => return false,
            Some(_) => Err(ClientError::Silent(PATIENCE)),
            None if top.is_paused() || waited < top.interval() => return false,
            None => {
                self.since = now;
                match Self::ask(&self.which) {
                    Ok(client) => {
                        self.open = Some(client);
                        return false;
                    }
                    Err(error) => Err(error),
                }
            }
        };
        self.open = None;
        match answer {
            Ok(shown) => {
                // Another instance that happens to be the only one later is not this one.
                if self.which == Which::Only {
                    self.which = Which::Named(shown.instance.name.clone());
                }
                top.take(shown);
            }
            Err(error) => top.miss(&format!("{error}; looking on")),
        }
        true
    }
}
