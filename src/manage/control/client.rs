//! The asking side: finds a running instance and asks it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;
use serde::de::DeserializeOwned;

use super::place::{directories, sockets, user};
use super::protocol::{Command, HEADER_BYTES, Refusal, parse_answer};

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u32 = 256 << 20;

/// Which instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The only one that runs.
    Only,
    /// The one of this name.
    Named(String),
    /// The one whose socket is here.
    At(PathBuf),
}

/// Why there is no answer. The caller exits with code 69.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// None runs.
    #[error(
        "no instance of ours is running: no control socket answers in {looked}; start one with \
         `punctual run FILE`, or say where its socket is with --socket PATH"
    )]
    None {
        /// Where was looked.
        looked: String,
    },
    /// None of that name runs.
    #[error("no instance `{name}` is running in {looked}; running: {running}")]
    Unknown {
        /// The name.
        name: String,
        /// Where was looked.
        looked: String,
        /// Those that run.
        running: String,
    },
    /// More than one runs.
    #[error("several instances are running: {running}; choose one with --instance NAME")]
    Several {
        /// Their names.
        running: String,
    },
    /// The socket does not take a connection.
    #[error("{} does not answer: {source}; is the instance running, and ours?", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another user's process answers.
    #[error("{} is answered by user {found}, who is neither root nor us", path.display())]
    Stranger {
        /// The socket.
        path: PathBuf,
        /// The user.
        found: u32,
    },
    /// The instance refused.
    #[error("the instance refuses: {0}")]
    Refused(#[from] Refusal),
    /// What came is no answer.
    #[error("the instance does not answer as it should: {0}")]
    Broken(String),
    /// The connection ended first.
    #[error("the instance went away without an answer; its own output says why")]
    Gone,
    /// No answer came.
    #[error("the instance has not answered for {} s", .0.as_secs())]
    Silent(Duration),
}

/// A connection to an instance.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
}

impl Client {
    /// Connects to an instance.
    ///
    /// # Errors
    /// Where it is not the one, does not answer, or is somebody else's.
    pub fn connect(which: &Which) -> Result<Self, ClientError> {
        match which {
            Which::At(path) => Self::open(path),
            Which::Named(name) => Self::named(name, &directories()),
            Which::Only => Self::only(&directories()),
        }
    }

    fn open(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path);
        let stream =
            stream.map_err(|source| ClientError::Connect { path: path.to_owned(), source })?;
        // What it says would be believed: it must be ours, or root's. Root asks anyone.
        let found = socket_peercred(&stream).map_or(u32::MAX, |peer| peer.uid.as_raw());
        match user() {
            0 => Ok(Self { stream }),
            ours if found == ours || found == 0 => Ok(Self { stream }),
            _ => Err(ClientError::Stranger { path: path.to_owned(), found }),
        }
    }

    fn named(name: &str, directories: &[PathBuf]) -> Result<Self, ClientError> {
        let mut running = Vec::new();
        for (found, path) in sockets(directories) {
            match Self::open(&path) {
                Ok(client) if found == name => return Ok(client),
                Ok(_) => running.push(found),
                // It is the one, and yet not to be had: that is worth saying.
                Err(error) if found == name && !is_dead(&error) => return Err(error),
                Err(_) => {}
            }
        }
        let running = if running.is_empty() { "none".into() } else { running.join(", ") };
        Err(ClientError::Unknown { name: name.to_owned(), looked: list(directories), running })
    }

    fn only(directories: &[PathBuf]) -> Result<Self, ClientError> {
        let open = sockets(directories).into_iter();
        let mut open: Vec<_> =
            open.filter_map(|(name, path)| Some((name, Self::open(&path).ok()?))).collect();
        match (open.pop(), open.is_empty()) {
            (None, _) => Err(ClientError::None { looked: list(directories) }),
            (Some((_, client)), true) => Ok(client),
            (Some((last, _)), false) => {
                let names = open.into_iter().map(|(name, _)| name).chain([last]);
                Err(ClientError::Several { running: names.collect::<Vec<_>>().join(", ") })
            }
        }
    }

    /// Asks, and waits so long for the answer.
    ///
    /// # Errors
    /// Where it is an error, or does not come.
    pub fn ask<T: DeserializeOwned>(
        &mut self,
        command: Command,
        patience: Duration,
    ) -> Result<T, ClientError> {
        self.send(command, patience)?;
        self.receive(patience)
    }

    /// The first half of [`Self::ask`], for who has something to do until the answer comes.
    ///
    /// # Errors
    /// Where the connection takes no timeout.
    pub fn send(&mut self, command: Command, patience: Duration) -> Result<(), ClientError> {
        let failed = |error| failed(error, patience);
        self.stream.set_write_timeout(Some(patience)).map_err(failed)?;
        // Who was turned away finds no reader, but an answer all the same.
        let _ = self.stream.write_all(&command.frame());
        Ok(())
    }

    /// Whether an answer, or the connection's end, can be received without a wait.
    pub fn has_answer(&self) -> bool {
        let mut polled = [PollFd::new(&self.stream, PollFlags::IN)];
        poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// The second half of [`Self::ask`].
    ///
    /// # Errors
    /// Where it is an error, or does not come.
    pub fn receive<T: DeserializeOwned>(&mut self, patience: Duration) -> Result<T, ClientError> {
        let answer = self.frame(patience)?;
        Self::read_answer(&answer)
    }

    /// What an answer's bytes say.
    ///
    /// # Errors
    /// Where it is an error.
    pub fn read_answer<T: DeserializeOwned>(answer: &[u8]) -> Result<T, ClientError> {
        Ok(parse_answer(answer).map_err(ClientError::Broken)??)
    }

    /// Waits so long for a frame to begin; a signal ends the wait.
    pub fn wait(&self, patience: Duration) -> bool {
        let mut polled = [PollFd::new(&self.stream, PollFlags::IN)];
        let timeout = Timespec::try_from(patience).ok();
        poll(&mut polled, timeout.as_ref()).is_ok_and(|ready| ready > 0)
    }

    /// Sends no more: who streams something ends it.
    pub fn hang_up(&self) {
        // Where it is gone, that is told by what is received.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The bytes of a frame, whatever they are.
    ///
    /// # Errors
    /// Where it does not come.
    pub fn frame(&mut self, patience: Duration) -> Result<Vec<u8>, ClientError> {
        let failed = |error| failed(error, patience);
        self.stream.set_read_timeout(Some(patience)).map_err(failed)?;
        let mut header = [0; HEADER_BYTES];
        self.stream.read_exact(&mut header).map_err(failed)?;
        let len = u32::from_be_bytes(header);
        if len > ANSWER_BYTES_MAX {
            return Err(ClientError::Broken(format!("{len} bytes are announced")));
        }
        let mut answer = Vec::new();
        let read = (&mut self.stream).take(len.into()).read_to_end(&mut answer).map_err(failed)?;
        if read < len as usize {
            return Err(ClientError::Gone);
        }
        Ok(answer)
    }

    /// Waits so long until the instance has closed the connection, which it does last of all.
    pub fn wait_for_end(mut self, patience: Duration) {
        // Whatever else comes, or does not: there is nothing more to be had here.
        let _ = self.stream.set_read_timeout(Some(patience));
        let _ = self.stream.read(&mut [0]);
    }
}

/// What a failed read or write says of the instance.
fn failed(error: io::Error, patience: Duration) -> ClientError {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => ClientError::Silent(patience),
        _ => ClientError::Gone,
    }
}

/// Whether nobody is behind a socket.
fn is_dead(error: &ClientError) -> bool {
    matches!(error, ClientError::Connect { source, .. }
        if [ErrorKind::ConnectionRefused, ErrorKind::NotFound].contains(&source.kind()))
}

fn list(directories: &[PathBuf]) -> String {
    let each: Vec<_> = directories.iter().map(|path| path.display().to_string()).collect();
    each.join(", ")
}
