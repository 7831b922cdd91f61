//! The moody service; see [`services::moody`]. SIGTERM ends it as the system does by default: at once.

use std::process::ExitCode;

fn main() -> ExitCode {
    eprintln!("moody: {}", services::moody::run());
    ExitCode::FAILURE
}
