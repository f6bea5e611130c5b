//! The protocol: a frame is a length (four bytes, most significant first) and so much JSON; a
//! request is answered by one frame.

use std::borrow::Cow;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::manage::capture::Wanted;
use crate::manage::reload::Diff;
use crate::manage::report::{LedgerReport, Report};
use crate::manage::view::{PlanReport, RuleLatency};

/// The version of requests and answers.
pub const VERSION: u64 = 1;
/// Longest JSON of a request, in bytes.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;
/// Bytes of a frame before its JSON.
pub const HEADER_BYTES: usize = 4;

/// Why a request is not answered as it was meant: stable words for programs.
pub mod code {
    /// The peer is neither the instance's user nor root.
    pub const DENIED: &str = "denied";
    /// Too many connections, or management has too much to do.
    pub const BUSY: &str = "busy";
    /// The request is longer than [`REQUEST_BYTES_MAX`](super::REQUEST_BYTES_MAX).
    pub const TOO_LONG: &str = "too_long";
    /// The peer sent no more before its frame was whole.
    pub const TRUNCATED: &str = "truncated";
    /// No whole request came in time.
    pub const TIMEOUT: &str = "timeout";
    /// The request is not JSON, or not an object with `version` and `command`.
    pub const REQUEST: &str = "request";
    /// Another version of the protocol.
    pub const VERSION: &str = "version";
    /// No such command.
    pub const COMMAND: &str = "command";
    /// The configuration is wrong.
    pub const CONFIG: &str = "config";
    /// What is to be captured is not there, or cannot all hold.
    pub const FILTER: &str = "filter";
    /// A port that the configuration adds cannot be opened.
    pub const DEVICE: &str = "device";
    /// What the configuration asks for needs a restart.
    pub const RESTART: &str = "restart";
    /// The instance has ended its work and answers no more.
    pub const ENDING: &str = "ending";
}

/// What an instance can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// For its report: answered by [`Shown`].
    Show,
    /// For its plan: answered by [`Planned`].
    Plan,
    /// For the residence times of its rules: answered by [`Timed`].
    Latency,
    /// To go by another configuration: by this file, or by the one in force as it is now. Answered
    /// by [`Reloaded`].
    Reload(Option<PathBuf>),
    /// To capture packets: answered by [`Capturing`], then by frames of pcapng blocks, and at the
    /// end by [`Captured`].
    Capture(Box<Wanted>),
    /// To drain and stop: answered by [`Stopped`] once the workers have ended.
    Stop,
}

impl Command {
    /// Their names.
    const ALL: [&str; 6] = ["show", "plan", "latency", "reload", "capture", "stop"];

    /// As requests write it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Show => "show",
            Self::Plan => "plan",
            Self::Latency => "latency",
            Self::Reload(_) => "reload",
            Self::Capture(_) => "capture",
            Self::Stop => "stop",
        }
    }

    /// The request, as a frame.
    pub fn frame(&self) -> Vec<u8> {
        let mut request = json!({"version": VERSION, "command": self.name()});
        if let Self::Reload(Some(file)) = self {
            request["file"] = file.to_string_lossy().into();
        }
        if let (Self::Capture(wanted), Value::Object(request)) = (self, &mut request)
            && let Ok(Value::Object(wanted)) = serde_json::to_value(wanted)
        {
            request.extend(wanted);
        }
        frame(&request)
    }

    /// Reads a request.
    ///
    /// # Errors
    /// What is wrong with it, for the peer.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let form = "{\"version\": 1, \"command\": \"show\"}";
        let unusable = |found: String| {
            Refusal::new(code::REQUEST, format!("the request {found}; send {form}"))
        };
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| unusable(format!("is not JSON ({error})")))?;
        let Value::Object(object) = value else {
            return Err(unusable("is not an object".into()));
        };
        match object.get("version").map(Value::as_u64) {
            Some(Some(VERSION)) => {}
            Some(Some(other)) => {
                let message = format!("version {other} is not spoken here; send version {VERSION}");
                return Err(Refusal::new(code::VERSION, message));
            }
            _ => return Err(unusable("has no number `version`".into())),
        }
        let mut object = object;
        object.remove("version");
        let Some(Value::String(name)) = object.remove("command") else {
            return Err(unusable("has no text `command`".into()));
        };
        if name == "capture" {
            let wanted = serde_json::from_value(Value::Object(object));
            let wanted = wanted
                .map_err(|error| unusable(format!("is not for a capture ({})", printable(&error))));
            return Ok(Self::Capture(Box::new(wanted?)));
        }
        if let Some(key) = object.keys().find(|key| name != "reload" || *key != "file") {
            return Err(unusable(format!("has an unknown key `{}`", short(key))));
        }
        let file = match object.get("file") {
            None => None,
            Some(Value::String(file)) if file.starts_with('/') => Some(PathBuf::from(file)),
            Some(_) => return Err(unusable("has a `file` that is no absolute path".into())),
        };
        match &*name {
            "show" => Ok(Self::Show),
            "plan" => Ok(Self::Plan),
            "latency" => Ok(Self::Latency),
            "reload" => Ok(Self::Reload(file)),
            "stop" => Ok(Self::Stop),
            _ => {
                let known = Self::ALL.join(", ");
                let message = format!("unknown command `{}`; known: {known}", short(&name));
                Err(Refusal::new(code::COMMAND, message))
            }
        }
    }
}

/// An error that may quote a stranger's text, bounded and printable.
fn printable(error: &serde_json::Error) -> String {
    let each = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.into() };
    error.to_string().chars().take(300).map(each).collect()
}

/// A stranger's text, bounded and printable.
fn short(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

/// Which run of which instance answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The instance's name.
    pub name: String,
    /// Its process.
    pub process: u32,
    /// When it started, in milliseconds since 1970.
    pub started_unix_ms: u64,
}

/// The answer to [`Command::Show`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Who answers.
    pub instance: Who,
    /// Its report.
    pub report: Report,
}

/// The answer to [`Command::Plan`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Who answers.
    pub instance: Who,
    /// Its plan.
    pub plan: PlanReport,
}

/// The answer to [`Command::Reload`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The file that is in force now.
    pub file: String,
    /// The plan that is in force now.
    pub generation: u64,
    /// What differs from before.
    pub diff: Diff,
    /// What is allowed and yet deserves a look; empty where nothing does.
    pub warnings: String,
    /// From reading the file until the worker ran by it, in nanoseconds.
    pub took_ns: u64,
    /// The worker's turn that took the plan up: from the end of the turn before to its own, in
    /// nanoseconds; 0 where it has not yet.
    #[serde(default)]
    pub plan_turn_ns: u64,
    /// The longest turn since the start, in nanoseconds, as of then.
    #[serde(default)]
    pub longest_turn_ns: u64,
}

/// The first answer to [`Command::Capture`]: it has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capturing {
    /// Who answers.
    pub instance: Who,
    /// What is captured, in words.
    pub of: String,
    /// Bytes kept of each packet, at most.
    pub snap: u32,
}

/// The last answer to [`Command::Capture`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// Who answers.
    pub instance: Who,
    /// Packets in the file.
    pub captured: u64,
    /// Packets that were wanted, sampled or not.
    pub matched: u64,
    /// Packets that came faster than they were read.
    pub missed: u64,
    /// Why it ended: `count`, `time`, `client`, `gone` or `instance`.
    pub ended: String,
    /// The same in words.
    pub why: String,
}

/// The answer to [`Command::Latency`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timed {
    /// Who answers.
    pub instance: Who,
    /// The residence times of its rules, in file order.
    pub rules: Vec<RuleLatency>,
}

/// The answer to [`Command::Stop`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Who answers.
    pub instance: Who,
    /// How it ended.
    pub ended: Ended,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Packets and copies that waited longer than a drain may take: dropped as `stopped`.
    pub stopped: u64,
    /// Nanoseconds from start to end.
    pub uptime_ns: u64,
    /// The ledger at rest.
    pub ledger: LedgerReport,
}

/// An error as an answer carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Refusal {
    /// One of [`code`]; a newer instance may have others.
    pub code: Cow<'static, str>,
    /// What was found, what is allowed, what to do.
    pub message: String,
}

impl Refusal {
    /// With one of the words of [`code`].
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }

    /// The answer, as a frame.
    pub fn frame(&self) -> Vec<u8> {
        frame(&Answer::<()> { version: VERSION, ok: None, error: Some(self.clone()) })
    }
}

/// An answer: `ok` or `error`.
#[derive(Debug, Serialize, Deserialize)]
struct Answer<T> {
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Refusal>,
}

/// An answer that is no error, as a frame.
pub fn ok_frame(ok: &impl Serialize) -> Vec<u8> {
    frame(&Answer { version: VERSION, ok: Some(ok), error: None })
}

/// Reads an answer's JSON; what is neither answer nor error is told in words.
pub fn parse_answer<T: DeserializeOwned>(bytes: &[u8]) -> Result<Result<T, Refusal>, String> {
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    let unusable = |error| format!("its answer cannot be read: {error}");
    let Version { version } = serde_json::from_slice(bytes).map_err(unusable)?;
    if version != VERSION {
        return Err(format!(
            "it speaks version {version} of the protocol and this program version {VERSION}; use \
             the program that it was started from"
        ));
    }
    let answer: Answer<T> = serde_json::from_slice(bytes).map_err(unusable)?;
    match (answer.ok, answer.error) {
        (Some(ok), None) => Ok(Ok(ok)),
        (None, Some(error)) => Ok(Err(error)),
        _ => Err("its answer holds not one of `ok` and `error`".into()),
    }
}

/// A frame around JSON.
fn frame(value: &impl Serialize) -> Vec<u8> {
    let mut frame = vec![0; HEADER_BYTES];
    serde_json::to_writer(&mut frame, value)
        .unwrap_or_else(|error| unreachable!("plain data to memory: {error}"));
    // An answer is far from 4 GiB: a report has some hundred bytes an output.
    let len = (frame.len() - HEADER_BYTES) as u32;
    frame[..HEADER_BYTES].copy_from_slice(&len.to_be_bytes());
    frame
}
