//! Frames after an honest hello: one row a case, and how its outcome is judged.

use bytes::Bytes;
use meshproof_proto::codec::Codec;
use meshproof_proto::frame::{BulkFrame, ControlFrame, MAIN_CHANNEL};
use meshproof_proto::limits;
use meshproof_proto::signal::ConnectionKind;

use crate::common::PATIENCE;
use crate::peer::{Hostile, Line, Part, encoded};
use crate::scene::{Scene, everything};

/// A message and its channel.
pub type Message = (u16, Bytes);

pub struct Case {
    pub name: &'static str,
    pub kind: ConnectionKind,
    pub messages: Box<dyn Iterator<Item = Message> + Send>,
    pub outcome: Outcome,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// The connection ends, and the honest side says this about it.
    Ends(&'static str),
    /// One stream is reset with this reason, and the connection goes on.
    Resets(&'static str),
    /// Nothing at all: the connection goes on.
    Nothing,
}

pub const CONTROL: ConnectionKind = ConnectionKind::Control;
pub const BULK: ConnectionKind = ConnectionKind::Bulk(0);

/// On the main channel of a control connection.
pub fn control(name: &'static str, messages: impl Into<Vec<Bytes>>, outcome: Outcome) -> Case {
    Case { name, kind: CONTROL, messages: on_main(messages.into()), outcome }
}

/// On the main channel of a bulk connection.
pub fn bulk(name: &'static str, messages: impl Into<Vec<Bytes>>, outcome: Outcome) -> Case {
    Case { name, kind: BULK, messages: on_main(messages.into()), outcome }
}

fn on_main(messages: Vec<Bytes>) -> Box<dyn Iterator<Item = Message> + Send> {
    Box::new(messages.into_iter().map(|bytes| (MAIN_CHANNEL, bytes)))
}

/// Plays each case in a scene of its own.
pub async fn play(cases: impl IntoIterator<Item = Case>) {
    for case in cases {
        let scene = Scene::new().await;
        let mut hostile = Hostile::register(&scene.world, "mallory", scene.honest.me(), Part::Offers).await;
        let mut line = hostile.admitted(case.kind).await;
        match case.kind {
            ConnectionKind::Control => drop(scene.said(&["up: mallory"]).await),
            // on the channel that keeps no order, what follows would overtake a hello that is still on its way
            ConnectionKind::Bulk(_) => until_answered(&mut line).await,
        }
        let name = case.name;
        tokio::select! {
            () = attack(&scene, &mut line, case) => {}
            () = hostile.stays() => {}
        }
        line.connection.close().await;
        drop(hostile);
        scene.end(name).await;
    }
}

async fn attack(scene: &Scene, line: &mut Line, case: Case) {
    let sender = line.connection.sender();
    let messages = case.messages;
    let sending = tokio::spawn(async move {
        for (channel, bytes) in messages {
            if sender.send(channel, bytes).await.is_err() {
                return;
            }
        }
    });
    let judged = tokio::time::timeout(PATIENCE * 2, async {
        match case.outcome {
            Outcome::Ends(reason) => {
                while line.next_message().await.is_some() {}
                let told = match case.kind {
                    ConnectionKind::Control => ["suspect: mallory", reason],
                    ConnectionKind::Bulk(_) => ["connection ends peer=mallory kind=Bulk(0)", reason],
                };
                scene.said(&told).await;
            }
            Outcome::Resets(reason) => {
                let found = until_reset(line).await;
                assert!(found.contains(reason), "{}: reset because {found}", case.name);
                until_answered(line).await;
            }
            Outcome::Nothing => until_answered(line).await,
        }
    });
    let outcome = case.outcome;
    judged.await.unwrap_or_else(|_| panic!("{}: no {outcome:?}:\n{}", case.name, everything()));
    sending.await.unwrap_or_else(|error| panic!("{}: {error}", case.name));
}

/// Only some beats of a flood are answered, so it is asked for again until the answer comes.
async fn until_answered(line: &mut Line) {
    const BEAT: u64 = u64::MAX - 1;
    let (beat, answer) = match line.kind {
        ConnectionKind::Control => (encoded(&ControlFrame::Beat(BEAT)), encoded(&ControlFrame::BeatAnswer(BEAT))),
        ConnectionKind::Bulk(_) => (encoded(&BulkFrame::Beat(BEAT)), encoded(&BulkFrame::BeatAnswer(BEAT))),
    };
    let sender = line.connection.sender();
    let mut again = tokio::time::interval(limits::HEARTBEAT);
    loop {
        let message = tokio::select! {
            message = line.next_message() => message,
            _ = again.tick() => {
                let (sender, beat) = (sender.clone(), beat.clone());
                tokio::spawn(async move { sender.send(MAIN_CHANNEL, beat).await });
                continue;
            }
        };
        let message = message.unwrap_or_else(|| panic!("the connection ended:\n{}", everything()));
        if message == answer {
            return;
        }
    }
}

async fn until_reset(line: &mut Line) -> String {
    loop {
        let message = line.next_message().await.expect("the connection goes on");
        if let Ok(BulkFrame::Reset { reason, .. }) = Codec::Bincode.decode(&message) {
            return reason;
        }
    }
}
