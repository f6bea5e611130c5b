//! One client: reads a frame at a time, never beyond it, and writes its answer, each within a
//! time.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::protocol::{Command, HEADER_BYTES, REQUEST_BYTES_MAX, Refusal, Reloaded, code};
use super::stream::Stream;

/// How long a client may take for a request, and for taking its answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A client's connection.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    state: State,
    deadline: Instant,
}

#[derive(Debug)]
enum State {
    /// So much of a frame came.
    Reading(Vec<u8>),
    /// It waits for the end of the run.
    Waiting,
    /// It waits for a reload that is under way.
    Reloading(Reloading),
    /// So much of an answer is still to go, and what follows it.
    Writing { frame: Vec<u8>, sent: usize, then: Then },
    /// A capture is under way.
    Streaming(Box<Stream>),
    /// Told how the run ended; the end of the connection is the end of the process.
    Lingering,
    /// To be closed.
    Closed,
}

/// What follows an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The next request.
    Read,
    /// Nothing more, when everything has ended.
    Linger,
    /// The end of the connection.
    Close,
}

/// Where the answer to a reload comes.
pub type Reply = Receiver<Result<Reloaded, Refusal>>;

/// A reload that management was asked for.
#[derive(Debug)]
pub struct Reloading {
    /// Where its answer comes.
    pub reply: Reply,
    /// When it was asked for.
    pub since: Instant,
}

impl Connection {
    /// A new client.
    pub fn new(stream: UnixStream, now: Instant) -> Self {
        Self { stream, state: State::Reading(Vec::new()), deadline: now + PATIENCE }
    }

    /// Its stream, to be polled.
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// What it waits for. Its end is told whatever this says.
    pub fn interest(&self) -> PollFlags {
        match &self.state {
            State::Streaming(stream) => stream.interest(),
            State::Reading(_) => PollFlags::IN,
            State::Writing { .. } => PollFlags::OUT,
            State::Waiting | State::Reloading(_) | State::Lingering | State::Closed => {
                PollFlags::empty()
            }
        }
    }

    /// When its time is over, where that is counted.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Streaming(stream) => stream.deadline(),
            State::Waiting | State::Reloading(_) | State::Lingering => None,
            _ => Some(self.deadline),
        }
    }

    /// Whether it is to be closed.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether it waits for the end of the run.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting)
    }

    /// Lets it wait for the end of the run.
    pub fn wait(&mut self) {
        self.state = State::Waiting;
    }

    /// Lets it wait for a reload.
    pub fn wait_for(&mut self, reloading: Reloading) {
        self.state = State::Reloading(reloading);
    }

    /// The reload that it waits for.
    pub fn reloading(&self) -> Option<&Reloading> {
        match &self.state {
            State::Reloading(reloading) => Some(reloading),
            _ => None,
        }
    }

    /// Streams a capture, from now on and until it ends.
    pub fn stream_capture(&mut self, stream: Stream) {
        self.state = State::Streaming(Box::new(stream));
    }

    /// Whether a capture is under way.
    pub fn is_streaming(&self) -> bool {
        matches!(self.state, State::Streaming(_))
    }

    /// Goes on as `ready` says; returns the request where one is whole.
    pub fn advance(&mut self, ready: PollFlags, now: Instant) -> Option<Command> {
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        if let State::Streaming(stream) = &mut self.state {
            if ready.intersects(gone) || !stream.advance(&mut self.stream, ready, now) {
                self.state = State::Closed;
            }
            return None;
        }
        match &self.state {
            State::Reading(_) if now >= self.deadline => {
                let seconds = PATIENCE.as_secs();
                let message = format!("no whole request came within {seconds} s");
                self.refuse(&Refusal::new(code::TIMEOUT, message), now);
            }
            _ if self.deadline().is_some_and(|deadline| now >= deadline) => {
                self.state = State::Closed;
            }
            State::Reading(_) if ready.intersects(PollFlags::IN | gone) => return self.read(now),
            State::Writing { .. } if ready.intersects(PollFlags::OUT | gone) => self.write(now),
            State::Waiting | State::Reloading(_) | State::Lingering if ready.intersects(gone) => {
                self.state = State::Closed;
            }
            _ => {}
        }
        None
    }

    fn read(&mut self, now: Instant) -> Option<Command> {
        let State::Reading(input) = &mut self.state else {
            return None;
        };
        match read_frame(&mut self.stream, input) {
            Ok(Some(())) => match Command::parse(&input[HEADER_BYTES..]) {
                Ok(command) => return Some(command),
                Err(refusal) => self.refuse(&refusal, now),
            },
            Ok(None) => {}
            Err(Some(refusal)) => self.refuse(&refusal, now),
            Err(None) => self.state = State::Closed,
        }
        None
    }

    /// Answers, and goes on with the next request or closes.
    pub fn tell(&mut self, answer: Result<Vec<u8>, Refusal>, now: Instant) {
        match answer {
            Ok(frame) => self.answer(frame, Then::Read, now),
            Err(refusal) => self.refuse(&refusal, now),
        }
    }

    /// Answers with an error, then closes.
    pub fn refuse(&mut self, refusal: &Refusal, now: Instant) {
        self.answer(refusal.frame(), Then::Close, now);
    }

    /// Answers; as much as the socket takes goes at once.
    pub fn answer(&mut self, frame: Vec<u8>, then: Then, now: Instant) {
        self.state = State::Writing { frame, sent: 0, then };
        self.deadline = now + PATIENCE;
        self.write(now);
    }

    fn write(&mut self, now: Instant) {
        let State::Writing { frame, sent, then } = &mut self.state else {
            return;
        };
        let then = *then;
        self.state = match write_on(&mut self.stream, frame, sent) {
            Ok(false) => return,
            Ok(true) => match then {
                Then::Read => State::Reading(Vec::new()),
                Then::Linger => State::Lingering,
                Then::Close => State::Closed,
            },
            Err(_) => State::Closed,
        };
        self.deadline = now + PATIENCE;
    }
}

/// Writes on in a frame; true where all of it has gone.
pub fn write_on(to: &mut impl Write, frame: &[u8], sent: &mut usize) -> io::Result<bool> {
    while *sent < frame.len() {
        match to.write(&frame[*sent..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => *sent += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Reads on in a frame, never beyond it: some where it is whole, an error where it never will be,
/// which says nothing where the client just went.
fn read_frame(from: &mut impl Read, input: &mut Vec<u8>) -> Result<Option<()>, Option<Refusal>> {
    loop {
        let whole = match input.first_chunk::<HEADER_BYTES>() {
            None => HEADER_BYTES,
            Some(header) => {
                let len = u32::from_be_bytes(*header) as usize;
                if len > REQUEST_BYTES_MAX {
                    let message = format!(
                        "a request of {len} bytes is too long; at most {REQUEST_BYTES_MAX} are read"
                    );
                    return Err(Some(Refusal::new(code::TOO_LONG, message)));
                }
                HEADER_BYTES + len
            }
        };
        let had = input.len();
        if had == whole {
            return Ok(Some(()));
        }
        input.resize(whole, 0);
        let read = from.read(&mut input[had..]);
        input.truncate(had + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) if had == 0 => return Err(None),
            Ok(0) => {
                let message = format!("the request ended after {had} of {whole} bytes");
                return Err(Some(Refusal::new(code::TRUNCATED, message)));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(_) => return Err(None),
        }
    }
}

/// Tells a client why it is not served, and lets it go. A fresh socket takes so little at once.
pub fn turn_away(mut stream: UnixStream, refusal: &Refusal) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.write_all(&refusal.frame())
}
