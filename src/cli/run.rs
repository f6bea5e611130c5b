//! `punctual run`.

use super::RunArgs;
use super::exit::{self, Exit};

/// Runs the configuration until it is to stop.
#[cfg(feature = "dpdk")]
pub fn run(args: &RunArgs) -> Exit {
    use crate::manage::logs::Format;
    use crate::manage::serve::{RunError, serve};

    let loaded = match super::load::load_instance(&args.file) {
        Ok(loaded) => loaded,
        Err(rendered) => return super::fail_as_rendered(exit::CONFIG, &rendered),
    };
    let mut warnings = "";
    if args.log().0 == Format::Json {
        warnings = &loaded.plain_warnings;
    } else if !loaded.warnings.is_empty() {
        super::warn(&loaded.warnings);
    }
    let (config, report) = (&loaded.config, args.report.as_deref());
    match serve(
        (config, loaded.known, warnings),
        &args.file,
        args.stop_policy(),
        report,
        args.log(),
    ) {
        Ok(()) => exit::OK,
        Err(error) => {
            let exit = match error {
                RunError::Plan(_) | RunError::Series(_) => exit::CONFIG,
                RunError::Dpdk(_)
                | RunError::Control(_)
                | RunError::Thread(_)
                | RunError::Metrics { .. }
                | RunError::Report { .. }
                | RunError::Interfaces(_)
                | RunError::Signals(_) => exit::UNAVAILABLE,
                RunError::Worker(_) | RunError::Residual(_) => exit::INTERNAL,
            };
            super::fail(exit, &error.to_string())
        }
    }
}

/// Without DPDK there is nothing that could relay.
#[cfg(not(feature = "dpdk"))]
pub fn run(_: &RunArgs) -> Exit {
    let message = "this build has no data plane; build it with the feature `dpdk` \
                   (the default) on a host with DPDK 22.11";
    super::fail(exit::UNAVAILABLE, message)
}
