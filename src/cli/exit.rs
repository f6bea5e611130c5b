//! Exit codes, after `sysexits.h`; scripts and service managers may rely on them.

use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

/// All went well.
pub const OK: Exit = Exit(0);
/// `EX_USAGE`: the command line is wrong.
pub const USAGE: Exit = Exit(64);
/// `EX_DATAERR`: what was given to be read, such as a capture, is wrong.
pub const DATA: Exit = Exit(65);
/// `EX_UNAVAILABLE`: the host lacks something: memory, a device, a permission, a build with DPDK.
pub const UNAVAILABLE: Exit = Exit(69);
/// `EX_SOFTWARE`: a defect of this program, such as a residual in the ledger.
pub const INTERNAL: Exit = Exit(70);
/// `EX_CONFIG`: the configuration is wrong.
pub const CONFIG: Exit = Exit(78);

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.0.into()
    }
}
