//! A service that means harm to whoever calls it; see [`services::hostile`].

use std::process::ExitCode;

fn main() -> ExitCode {
    eprintln!("hostile: {}", services::hostile::run());
    ExitCode::FAILURE
}
