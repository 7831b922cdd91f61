//! The ledger; see [`services::ledger`]. SIGTERM ends it as the system does by default: at once.

use std::process::ExitCode;

fn main() -> ExitCode {
    eprintln!("ledger: {}", services::ledger::run());
    ExitCode::FAILURE
}
