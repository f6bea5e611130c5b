//! One HTTP client: reads one request, never more than its bounds, and writes one answer, each
//! within a time.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

/// How long a client may take for a request, and for taking its answer.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Longest request, in bytes: its first line and its headers.
pub const REQUEST_BYTES_MAX: usize = 8 << 10;
/// Most headers.
const HEADERS_MAX: usize = 64;
/// How long a client that others wait for may leave its answer unread.
const STALLED: Duration = Duration::from_secs(1);
/// Bytes that are read and forgotten at once, behind a request.
const REST: usize = 4 << 10;

/// The status of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// As it was asked for.
    Ok,
    /// No HTTP request.
    Bad,
    /// No such path.
    NotFound,
    /// Not GET.
    Method,
    /// No whole request in time.
    Timeout,
    /// More than is read.
    TooLarge,
    /// Not now.
    Unavailable,
}

impl Status {
    /// As the first line of an answer tells it.
    const fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::Bad => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::Method => "405 Method Not Allowed",
            Self::Timeout => "408 Request Timeout",
            Self::TooLarge => "431 Request Header Fields Too Large",
            Self::Unavailable => "503 Service Unavailable",
        }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How it went.
    pub status: Status,
    /// What the body is.
    pub content_type: &'static str,
    /// The body; several clients may take the same.
    pub body: Arc<str>,
}

impl Answer {
    /// A line of text.
    pub fn line(status: Status, text: &str) -> Self {
        let content_type = "text/plain; charset=utf-8";
        Self { status, content_type, body: format!("{text}\n").into() }
    }

    fn head(&self) -> String {
        let allow = if self.status == Status::Method { "Allow: GET\r\n" } else { "" };
        format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\
             Cache-Control: no-store\r\n\r\n",
            self.status.line(),
            self.content_type,
            self.body.len(),
        )
    }
}

/// A client's connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    state: State,
    /// When this state, or the last byte that was taken in it, began.
    since: Instant,
    deadline: Instant,
}

#[derive(Debug)]
enum State {
    /// So much of a request came.
    Reading(Vec<u8>),
    /// So many bytes of the head and the body have gone.
    Writing { head: String, body: Arc<str>, sent: usize },
    /// Answered: what still comes is read and forgotten, so that the answer is not cut off.
    Lingering,
    /// To be closed.
    Closed,
}

impl Connection {
    /// A new client.
    pub fn new(stream: TcpStream, now: Instant) -> Self {
        let state = State::Reading(Vec::new());
        Self { stream, state, since: now, deadline: now + PATIENCE }
    }

    /// Its stream, to be polled.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// What it waits for.
    pub fn interest(&self) -> PollFlags {
        match self.state {
            State::Reading(_) | State::Lingering => PollFlags::IN,
            State::Writing { .. } => PollFlags::OUT,
            State::Closed => PollFlags::empty(),
        }
    }

    /// When its time is over.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether it is to be closed.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// How readily it is given up for a new client, the smallest first; none where it is not.
    pub fn gives_way(&self, now: Instant) -> Option<(u8, Instant)> {
        match self.state {
            State::Lingering | State::Closed => Some((0, self.since)),
            State::Reading(_) => Some((1, self.since)),
            State::Writing { .. } if now >= self.since + STALLED => Some((2, self.since)),
            State::Writing { .. } => None,
        }
    }

    /// Goes on as `ready` says; returns the path where a request is whole.
    pub fn advance(&mut self, ready: PollFlags, now: Instant) -> Option<String> {
        if now >= self.deadline {
            self.time_is_over(now);
            return None;
        }
        if ready.is_empty() {
            return None;
        }
        match self.state {
            State::Reading(_) => return self.read(now),
            State::Writing { .. } => self.write(now),
            State::Lingering => self.linger(),
            State::Closed => {}
        }
        None
    }

    fn time_is_over(&mut self, now: Instant) {
        let is_half = matches!(&self.state, State::Reading(input) if !input.is_empty());
        self.state = State::Closed;
        if is_half {
            let seconds = PATIENCE.as_secs();
            let text = format!("no whole request came within {seconds} s");
            self.answer(&Answer::line(Status::Timeout, &text), now);
            // Its time is over all the same.
            self.deadline = now;
        }
    }

    fn read(&mut self, now: Instant) -> Option<String> {
        let State::Reading(input) = &mut self.state else {
            return None;
        };
        let had = input.len();
        input.resize(REQUEST_BYTES_MAX, 0);
        let read = self.stream.read(&mut input[had..]);
        input.truncate(had + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => {
                self.state = State::Closed;
                return None;
            }
            Ok(_) => {}
            Err(error) if is_later(&error) => return None,
            Err(_) => {
                self.state = State::Closed;
                return None;
            }
        }
        match parse(input) {
            Ok(path) => path,
            Err(answer) => {
                self.answer(&answer, now);
                None
            }
        }
    }

    /// Answers; as much as the socket takes goes at once.
    pub fn answer(&mut self, answer: &Answer, now: Instant) {
        let body = Arc::clone(&answer.body);
        self.state = State::Writing { head: answer.head(), body, sent: 0 };
        (self.since, self.deadline) = (now, now + PATIENCE);
        self.write(now);
    }

    fn write(&mut self, now: Instant) {
        let State::Writing { head, body, sent } = &mut self.state else {
            return;
        };
        loop {
            let left = match head.as_bytes().get(*sent..) {
                Some(left) if !left.is_empty() => left,
                _ => &body.as_bytes()[*sent - head.len()..],
            };
            if left.is_empty() {
                break;
            }
            match self.stream.write(left) {
                Ok(count) if count > 0 => (*sent, self.since) = (*sent + count, now),
                Err(error) if is_later(&error) => return,
                _ => {
                    self.state = State::Closed;
                    return;
                }
            }
        }
        // Closing with unread bytes would reset the connection, and the answer with it.
        self.state = match self.stream.shutdown(Shutdown::Write) {
            Ok(()) => State::Lingering,
            Err(_) => State::Closed,
        };
        self.linger();
    }

    /// Forgets what still comes, some of it a time, until the client has closed.
    fn linger(&mut self) {
        match self.stream.read(&mut [0; REST]) {
            Ok(0) => self.state = State::Closed,
            Err(error) if !is_later(&error) => self.state = State::Closed,
            _ => {}
        }
    }
}

fn is_later(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// The path of a request; none where it is not whole yet.
fn parse(input: &[u8]) -> Result<Option<String>, Answer> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(input) {
        Ok(httparse::Status::Partial) if input.len() >= REQUEST_BYTES_MAX => {
            let text = format!("a request has at most {REQUEST_BYTES_MAX} bytes");
            Err(Answer::line(Status::TooLarge, &text))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            let text = format!("a request has at most {HEADERS_MAX} headers");
            Err(Answer::line(Status::TooLarge, &text))
        }
        Err(error) => Err(Answer::line(Status::Bad, &format!("no HTTP request: {error}"))),
        Ok(httparse::Status::Complete(_)) if request.method != Some("GET") => {
            Err(Answer::line(Status::Method, "only GET is answered"))
        }
        Ok(httparse::Status::Complete(_)) => {
            let target = request.path.unwrap_or_default();
            let path = target.split_once('?').map_or(target, |(path, _)| path);
            Ok(Some(path.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever comes is not whole yet, a path of what came, or one of the answers that refuse.
    #[test]
    fn campaign_against_requests() {
        let good = [
            "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
            "GET /healthz?x=1 HTTP/1.0\r\n\r\n",
            "POST /readyz HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        ];
        let good = good.map(|text| text.as_bytes().to_vec());
        let mut paths = 0;
        crate::testkit::campaign::campaign(&good, |bytes| match parse(bytes) {
            Ok(Some(path)) => {
                paths += 1;
                assert!(path.len() <= bytes.len() && !path.contains(['?', ' ', '\r', '\n']));
            }
            Ok(None) => assert!(bytes.len() < REQUEST_BYTES_MAX),
            Err(answer) => {
                assert!(matches!(answer.status, Status::Bad | Status::Method | Status::TooLarge));
                assert!(answer.body.len() < 200, "{}", answer.body);
            }
        });
        assert!(paths > 0 || std::env::var_os("PUNCTUAL_FUZZ_CASE").is_some(), "none was good");
    }
}
