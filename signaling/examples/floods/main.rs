//! What a signaling server bears: `cargo run --release -p meshproof-signaling --example floods` prints joins a second, what 10,000
//! idle sockets hold, and how honest peers fare while somebody floods the server. `-- quick` is a part of it.
//!
//! Server and flooder are processes of their own. The honest peers have the first core, the flooder has the second one and the
//! lowest priority, for its own work is not the server's; the server has both. A round without a flood comes before each with
//! one, everything else being the same. A missed must ends it with exit code 1. Where other work goes on, begin the command with
//! `chrt -f 1`: it comes before all others then, but for the flooder.

mod cores;
mod flood;
mod idle;
mod peer;
mod rounds;
mod server;
mod table;

use std::time::Duration;

use rounds::Span;
use table::Table;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => return server::serve(),
        ["flood", kind, url] => return flood::main(kind, url),
        ["quick"] => true,
        [] => false,
        _ => {
            eprintln!("usage: floods [quick]");
            std::process::exit(2);
        }
    };
    server::many_descriptors();
    let mut table = Table::default();
    println!("{}", cores::divide());
    let (sockets, span) = if quick {
        (1_000, Span { rounds: 1, each: Duration::from_secs(2) })
    } else {
        (10_000, Span { rounds: 5, each: Duration::from_millis(2_500) })
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        idle::measure(sockets, &mut table).await;
        rounds::measure(span, &mut table).await;
    });
    println!("{}", table.markdown());
    if table.missed() {
        std::process::exit(1);
    }
}
