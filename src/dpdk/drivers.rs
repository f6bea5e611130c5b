//! Which drivers there are: those that are linked in (feature `static`), or else those that EAL
//! finds in DPDK's directory and loads.

use std::ffi::CStr;
use std::path::Path;

use super::DpdkError;

/// What to do where a driver is wanted that is not linked in.
const LINKED: &str = "DPDK is linked into this program and loads no drivers besides: use a build \
                      without the feature `static`";

/// Whether DPDK and its drivers are linked in.
pub(super) fn are_linked_in() -> bool {
    dpdk_sys::LINKED_IN.is_some()
}

/// Whether there is the library librte_net_`library`, linked in or to be loaded.
pub(super) fn installed(library: &str) -> bool {
    if let Some(linked_in) = dpdk_sys::LINKED_IN {
        return linked_in.contains(&library);
    }
    let directory = CStr::from_bytes_with_nul(dpdk_sys::RTE_EAL_PMD_PATH).unwrap_or_default();
    let directory = directory.to_string_lossy();
    Path::new(&*directory).join(format!("librte_net_{library}.so")).exists()
}

/// What to do about a library librte_net_`library` that there is not.
pub(super) fn remedy(library: &str) -> String {
    if are_linked_in() {
        return LINKED.into();
    }
    let package = format!("librte-net-{}", library.replace('_', "-"));
    format!("install the package {package}* (`apt-cache search {package}`)")
}

/// Whether EAL's arguments would load a driver where none can be: `-d FILE`.
///
/// # Errors
/// The argument, and which network drivers are linked in.
pub fn check_modules(extra: &[String]) -> Result<(), DpdkError> {
    let mut arguments = extra.iter().skip_while(|argument| !argument.starts_with("-d"));
    let (Some(linked_in), Some(found)) = (dpdk_sys::LINKED_IN, arguments.next()) else {
        return Ok(());
    };
    let file = arguments.next().filter(|_| found == "-d");
    let argument = file.map_or(found.clone(), |file| format!("{found} {file}"));
    let why = format!("{LINKED}; linked in are {}", linked_in.join(", "));
    Err(DpdkError::DriverModule { argument, why })
}

/// Why DPDK's capture tools cannot attach to a program that drivers are linked into.
pub(super) fn why_no_dumpcap() -> Option<String> {
    // A pool says by a number whose it is, and the numbers go by the order in which drivers registered.
    let why = "DPDK is linked into this program (feature `static`), which numbers drivers of pools \
               otherwise than DPDK's tools do; use a build without it, or `punctual capture`";
    are_linked_in().then(|| why.into())
}
