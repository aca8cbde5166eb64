//! Whether the current tokio runtime has what the shell needs. Tokio itself panics where it does not.

use std::io;
use std::panic::catch_unwind;
use std::time::Duration;

/// Checks that there is a tokio runtime with timers, and with I/O where programs are to be run.
///
/// # Errors
/// What is missing, and how to build the runtime.
pub fn check_drivers(runs_programs: bool) -> io::Result<()> {
    tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
    let missing = |what| {
        io::Error::other(format!("the tokio runtime has no {what}: build it with enable_all()"))
    };
    catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).map_err(|_| missing("timers"))?;
    if runs_programs {
        let socket = catch_unwind(|| tokio::net::UnixDatagram::unbound().map(drop));
        socket.map_err(|_| missing("I/O"))??;
    }
    Ok(())
}
