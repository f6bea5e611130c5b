//! DPDK's telemetry socket: commands of ours beside those of DPDK, answered by one function.
//!
//! DPDK keeps a command for the life of the process and answers each client on a thread of its
//! own, off the lcores. So what answers is behind a lock that only these threads and management's
//! start and end take, and a command that comes when nobody answers any more gets `null`.

use std::ffi::{CStr, CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

use super::{DpdkError, Eal, Errno};

/// What answers a command: its name, what stands behind the first comma, and the reply to fill.
type Answerer = dyn Fn(&str, Option<&str>, &mut Reply) -> Result<(), Unanswered> + Send + Sync;

/// Who answers now.
static ANSWERER: RwLock<Option<Arc<Answerer>>> = RwLock::new(None);

/// There is no answer: no such thing, or one that does not fit into a reply. Clients see `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no answer")]
pub struct Unanswered;

/// One reply, empty at first.
#[derive(Debug)]
pub struct Reply(*mut dpdk_sys::rte_tel_data);

impl Reply {
    /// Makes it a dictionary of no entries; at most 256 may be added.
    pub fn dictionary(&mut self) {
        // SAFETY: DPDK lent the reply for this call of ours, to this thread.
        unsafe { dpdk_sys::rte_tel_data_start_dict(self.0) };
    }

    /// Adds a number to a dictionary.
    ///
    /// # Errors
    /// Where it is full, or the name has other characters than letters, digits, `_` and `/`.
    pub fn number(&mut self, name: &str, number: u64) -> Result<(), Unanswered> {
        let name = c_text(name)?;
        // SAFETY: as in `dictionary`; the name is terminated, and DPDK copies it.
        check(unsafe { dpdk_sys::shim_telemetry_add_number(self.0, name.as_ptr(), number) })
    }

    /// Adds a text of at most 127 bytes to a dictionary.
    ///
    /// # Errors
    /// As [`Self::number`], and where the text is longer.
    pub fn text(&mut self, name: &str, text: &str) -> Result<(), Unanswered> {
        let (name, text) = (c_text(name)?, c_text(text)?);
        // SAFETY: as in `dictionary`; both texts are terminated, and DPDK copies them.
        check(unsafe {
            dpdk_sys::rte_tel_data_add_dict_string(self.0, name.as_ptr(), text.as_ptr())
        })
    }

    /// Makes it a list of texts of at most 127 bytes each, at most 512.
    ///
    /// # Errors
    /// Where there are more, or one is longer.
    pub fn list<'a>(&mut self, texts: impl Iterator<Item = &'a str>) -> Result<(), Unanswered> {
        let texts = texts.map(c_text).collect::<Result<Vec<_>, _>>()?;
        let strings = dpdk_sys::rte_tel_value_type_RTE_TEL_STRING_VAL;
        // SAFETY: as in `dictionary`.
        check(unsafe { dpdk_sys::rte_tel_data_start_array(self.0, strings) })?;
        for text in texts {
            // SAFETY: as in `text`.
            check(unsafe { dpdk_sys::rte_tel_data_add_array_string(self.0, text.as_ptr()) })?;
        }
        Ok(())
    }
}

fn check(code: c_int) -> Result<(), Unanswered> {
    Errno::check(code).map(drop).map_err(|_| Unanswered)
}

/// A text as DPDK takes it whole.
fn c_text(text: &str) -> Result<CString, Unanswered> {
    let fits = text.len() < dpdk_sys::RTE_TEL_MAX_STRING_LEN as usize;
    if fits { CString::new(text).map_err(|_| Unanswered) } else { Err(Unanswered) }
}

/// Commands that are answered, as long as it lives.
#[derive(Debug)]
pub struct Telemetry {
    _eal: Eal,
}

impl Telemetry {
    /// Adds commands, each with its line of help, and lets `answer` answer them: on DPDK's own
    /// threads, several at once. It may wait, but not for a worker.
    ///
    /// # Errors
    /// Where DPDK refuses a command: its name or help is too long, or there is no memory.
    pub fn answer(
        eal: &Eal,
        commands: impl Iterator<Item = (&'static str, &'static str)>,
        answer: impl Fn(&str, Option<&str>, &mut Reply) -> Result<(), Unanswered>
        + Send
        + Sync
        + 'static,
    ) -> Result<Self, DpdkError> {
        *ANSWERER.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(answer));
        let telemetry = Self { _eal: eal.clone() };
        for (command, help) in commands {
            let refused = |errno| DpdkError::Telemetry { command: command.into(), errno };
            let text = |text| CString::new(text).map_err(|_| refused(Errno(libc::EINVAL)));
            let (name, help) = (text(command)?, text(help)?);
            // SAFETY: `run` lives as long as the program; the texts are terminated, and DPDK
            // copies them.
            let code = unsafe {
                dpdk_sys::rte_telemetry_register_cmd(name.as_ptr(), Some(run), help.as_ptr())
            };
            Errno::check(code).map_err(refused)?;
        }
        Ok(telemetry)
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        *ANSWERER.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Answers a command; anything below 0 is `null` to the client. A panic must not cross into C.
unsafe extern "C" fn run(
    command: *const c_char,
    parameter: *const c_char,
    reply: *mut dpdk_sys::rte_tel_data,
) -> c_int {
    let answer = || {
        let answerer = ANSWERER.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        // SAFETY: DPDK hands over a terminated text for the time of the call.
        let command = unsafe { CStr::from_ptr(command) }.to_str().ok()?;
        let parameter = match parameter.is_null() {
            true => None,
            // SAFETY: as above, where there is one.
            false => Some(unsafe { CStr::from_ptr(parameter) }.to_str().ok()?),
        };
        answerer(command, parameter, &mut Reply(reply)).ok()
    };
    match catch_unwind(AssertUnwindSafe(answer)) {
        Ok(Some(())) => 0,
        Ok(None) | Err(_) => -libc::EINVAL,
    }
}
