//! The services start where they are told to. That they have tests of their own has cargo build them with everything else, before the tests
//! that run plans with them.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};

fn assert_listens(program: &str) {
    let mut child = Command::new(program).env("PORT", "0").stdout(Stdio::piped()).spawn().expect("it was built");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let address = line.trim_end().strip_prefix("listening address=").unwrap_or_else(|| panic!("{program}: {line:?}"));
    let connected = TcpStream::connect(address);
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");
    assert!(address.starts_with("127.0.0.1:") && connected.is_ok(), "{address}: {connected:?}");
}

#[test]
fn the_service_with_grpc_says_where_it_listens() {
    assert_listens(env!("CARGO_BIN_EXE_stock"));
}

#[test]
fn the_service_with_websockets_says_where_it_listens() {
    assert_listens(env!("CARGO_BIN_EXE_ticker"));
}
