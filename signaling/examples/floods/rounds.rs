//! How honest peers fare, by turns without a flood and with one of each kind.

use std::time::{Duration, Instant};

use crate::flood::{Flood, Flooder};
use crate::peer::{Place, Socket};
use crate::server::Server;
use crate::table::{Bound, Row, Table};

/// A message of one joined peer to another, so often: far below what a socket may say.
const MESSAGE_EVERY: Duration = Duration::from_millis(4);

/// A join, so often.
const JOIN_EVERY: Duration = Duration::from_millis(10);

/// The addresses that they come from by turns, so that none of them comes near to its allowance.
const JOINERS: usize = 4;

/// What a flood left behind is over by then.
const CALM: Duration = Duration::from_secs(1);

/// How far the p99 of others may move, in per cent.
const MOVES: Bound = Bound::AtMost { must: 20.0, aim: 10.0 };

#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub rounds: usize,
    pub each: Duration,
}

/// What honest peers measured in one round, in microseconds.
struct Round {
    messages: Vec<f64>,
    joins: Vec<f64>,
}

/// The rounds with one kind of flood, and those just before.
struct Kind {
    flood: Flood,
    quiet: Vec<Round>,
    flooded: Vec<Round>,
    a_second: Vec<f64>,
}

pub async fn measure(span: Span, table: &mut Table) {
    let server = Server::start();
    let mut honest = Honest::join(&server).await;
    honest.round(Duration::from_secs(1)).await;
    let kind = |flood| Kind { flood, quiet: Vec::new(), flooded: Vec::new(), a_second: Vec::new() };
    let mut kinds = Flood::ALL.map(kind);
    for _ in 0..span.rounds {
        for kind in &mut kinds {
            kind.quiet.push(honest.round(span.each).await);
            let flooder = Flooder::start(kind.flood, &server.place(1));
            let began = Instant::now();
            kind.flooded.push(honest.round(span.each).await);
            kind.a_second.push(flooder.end() / began.elapsed().as_secs_f64());
            honest.round(CALM).await;
        }
    }
    for kind in &kinds {
        kind.rows(table);
    }
}

impl Kind {
    fn rows(&self, table: &mut Table) {
        let words = self.flood.words();
        table.add(Row::of_rounds(format!("{words}: tried a second"), self.a_second.clone()));
        self.row(table, "µs, p99 of a message", |round| &round.messages);
        self.row(table, "µs, p99 of a join", |round| &round.joins);
    }

    fn row(&self, table: &mut Table, what: &str, of: impl Fn(&Round) -> &Vec<f64>) {
        let p99 = |rounds: &[Round]| rounds.iter().map(|round| percentile(of(round), 99)).collect::<Vec<_>>();
        let (quiet, flooded) = (p99(&self.quiet), p99(&self.flooded));
        let moves = quiet.iter().zip(&flooded).map(|(quiet, flooded)| 100.0 * (flooded / quiet - 1.0)).collect();
        let words = self.flood.words();
        table.add(Row::of_rounds(format!("{what}, before {words}"), quiet));
        table.add(Row::of_rounds(format!("{what}, during {words}"), flooded));
        table.add(Row::of_rounds(format!("% that it moves ({words})"), moves).bound(MOVES));
    }
}

fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Two peers that are there, and others that come and go.
struct Honest {
    near: Socket,
    far: Socket,
    coming: Place,
    came: usize,
}

impl Honest {
    async fn join(server: &Server) -> Self {
        let place = server.place(0);
        let (near, far) = (Socket::join(&place, 1).await, Socket::join(&place, 2).await);
        Self { near, far, coming: server.place(2), came: 10 }
    }

    async fn round(&mut self, long: Duration) -> Round {
        let (near, far) = (&mut self.near, &mut self.far);
        let (mut coming, came) = (self.coming.clone(), &mut self.came);
        let until = Instant::now() + long;
        let messages = async {
            let (mut times, mut turns) = (Vec::new(), tokio::time::interval(MESSAGE_EVERY));
            while Instant::now() < until {
                turns.tick().await;
                let began = Instant::now();
                near.signal(far.id()).await;
                far.signalled().await;
                times.push(began.elapsed().as_secs_f64() * 1e6);
            }
            times
        };
        let joins = async {
            let (mut times, mut turns) = (Vec::new(), tokio::time::interval(JOIN_EVERY));
            while Instant::now() < until {
                turns.tick().await;
                *came += 1;
                coming.from[3] = 10 + (*came % JOINERS) as u8;
                let began = Instant::now();
                let socket = Socket::join(&coming, *came).await;
                times.push(began.elapsed().as_secs_f64() * 1e6);
                socket.leave().await;
            }
            times
        };
        let (messages, joins) = tokio::join!(messages, joins);
        Round { messages, joins }
    }
}
