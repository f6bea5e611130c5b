//! Which drivers there are: those that are linked in (feature `static`), or else those that EAL
//! finds in DPDK's directory and loads.

use std::ffi::CStr;
use std::path::Path;

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

/// The argument of EAL that would load a driver, where none can be loaded: `-d FILE`.
pub(super) fn module(extra: &[String]) -> Option<String> {
    let mut arguments = extra.iter().skip_while(|argument| !argument.starts_with("-d"));
    let found = arguments.next().filter(|_| are_linked_in())?;
    let file = arguments.next().filter(|_| found == "-d");
    Some(file.map_or(found.clone(), |file| format!("{found} {file}")))
}

/// The network drivers that are linked in, and what to do about others.
pub(super) fn only_linked_in() -> String {
    let names = dpdk_sys::LINKED_IN.unwrap_or_default().join(", ");
    format!("{LINKED}; linked in are {names}")
}

/// Why DPDK's capture tools cannot attach to a program that drivers are linked into.
pub(super) fn why_no_dumpcap() -> Option<String> {
    // A pool says by a number whose it is, and the numbers go by the order in which drivers registered.
    let why = "DPDK is linked into this program (feature `static`), which numbers drivers of pools \
               otherwise than DPDK's tools do; use a build without it, or `punctual capture`";
    are_linked_in().then(|| why.into())
}
