//! The shop; see [`services::shop`]. SIGTERM ends it as the system does by default: at once.

use std::process::ExitCode;

fn main() -> ExitCode {
    eprintln!("shop: {}", services::shop::run());
    ExitCode::FAILURE
}
