//! What programs have asked and wait for.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use meshproof_proto::event::Fact;
use meshproof_proto::id::Name;
use meshproof_proto::sync::{Answer, Ask, MemberAsked, Told};
use tokio::sync::mpsc;

use crate::limits;

/// The requests of the programs of one member, or of the service beside this agent.
#[derive(Debug)]
pub(super) struct Requests {
    facts: mpsc::Sender<Fact>,
    /// None: the agent has no other, and what is asked needs no name.
    member: Option<Name>,
    numbers: Numbers,
    next: AtomicU64,
    open: Mutex<BTreeMap<u64, Open>>,
}

/// Numbers of requests, which begin where no other instance of this agent has used any: of so many members each has every so manieth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    /// Of all of them.
    begin: u64,
    /// Of one member.
    first: u64,
    members: u64,
}

impl Numbers {
    pub(super) fn fresh(members: u64) -> io::Result<Self> {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let begin = u64::from(u32::from_le_bytes(bytes)) << 31;
        Ok(Self { begin, first: begin, members: members.max(1) })
    }

    /// Those of one member, counted from 0.
    pub(super) fn of(self, which: u64) -> Self {
        Self { first: self.begin + which, ..self }
    }

    /// Which member has that number.
    pub(super) fn whose(self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.begin)? % self.members).ok()
    }
}

#[derive(Debug)]
struct Open {
    answers: mpsc::Sender<Told>,
    /// Values that were passed on: what is told again is not.
    given: u64,
}

/// Why a request was not even asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotAsked {
    #[error("{} requests wait here already, and no more are taken", limits::API_REQUESTS)]
    TooMany,
    #[error("the run is over here")]
    Over,
}

/// A request that was made. Dropping it gives it up.
#[derive(Debug)]
pub(super) struct Request<'r> {
    pub(super) number: u64,
    answers: mpsc::Receiver<Told>,
    of: &'r Requests,
    /// Nothing more comes.
    is_over: bool,
}

impl Requests {
    pub(super) fn new((facts, member): (mpsc::Sender<Fact>, Option<Name>), numbers: Numbers) -> Self {
        Self { facts, member, numbers, next: AtomicU64::new(numbers.first), open: Mutex::default() }
    }

    /// Asks the run. What waits for nothing is asked, too.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Request<'_>, NotAsked> {
        let number = self.number();
        let (told, answers) = mpsc::channel(limits::API_ANSWERS);
        {
            let mut open = self.open.lock().map_err(|_| NotAsked::Over)?;
            if open.len() >= limits::API_REQUESTS {
                return Err(NotAsked::TooMany);
            }
            open.insert(number, Open { answers: told, given: 0 });
        }
        let request = Request { number, answers, of: self, is_over: false };
        self.tell(number, ask).await?;
        Ok(request)
    }

    /// Tells the run something that has no answer.
    pub(super) async fn say(&self, ask: Ask) -> Result<(), NotAsked> {
        self.tell(self.number(), ask).await
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(self.numbers.members, Ordering::Relaxed)
    }

    async fn tell(&self, number: u64, ask: Ask) -> Result<(), NotAsked> {
        self.facts.send(self.fact(number, ask)).await.map_err(|_| NotAsked::Over)
    }

    fn fact(&self, number: u64, ask: Ask) -> Fact {
        match &self.member {
            Some(member) => Fact::ProgramsAsked { asked: vec![MemberAsked { member: member.clone(), number, ask }] },
            None => Fact::ProgramAsked { number, ask },
        }
    }

    /// The run says something to a request. One that nobody waits for any more is passed over.
    pub(super) fn answered(&self, Answer { number, told }: Answer) {
        let Ok(mut all) = self.open.lock() else { return };
        let Some(open) = all.get_mut(&number) else { return };
        let told = match told {
            Told::Values { from, values } => {
                let known = usize::try_from(open.given.saturating_sub(from)).unwrap_or(usize::MAX);
                let news: Vec<String> = values.into_iter().skip(known).collect();
                let from = open.given.max(from);
                open.given = from + news.len() as u64;
                Told::Values { from, values: news }
            }
            told => told,
        };
        let is_nothing = matches!(&told, Told::Values { values, .. } if values.is_empty());
        if !is_nothing && open.answers.try_send(told).is_err() {
            // whoever reads too slowly for what the run keeps is cut off, and sees it
            all.remove(&number);
        }
    }
}

impl Request<'_> {
    /// The next answer; none: it is cut off.
    pub(super) async fn next(&mut self) -> Option<Told> {
        let told = self.answers.recv().await;
        self.is_over = !matches!(told, Some(Told::Values { .. }));
        told
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        if let Ok(mut open) = self.of.open.lock() {
            open.remove(&self.number);
        }
        if !self.is_over {
            // should there be no room, the run goes on answering, and is not heard
            let given_up = Ask::GiveUp { number: self.number };
            let _ = self.of.facts.try_send(self.of.fact(self.of.number(), given_up));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(from: u64, values: &[&str]) -> Told {
        Told::Values { from, values: values.iter().map(|value| (*value).to_owned()).collect() }
    }

    #[test]
    fn a_number_says_whose_request_it_was() {
        let numbers = Numbers::fresh(3).expect("random numbers");
        let (facts, _asked) = mpsc::channel(1);
        for which in 0..3 {
            let requests = Requests::new((facts.clone(), None), numbers.of(which));
            for _ in 0..5 {
                assert_eq!(numbers.whose(requests.number()), usize::try_from(which).ok());
            }
        }
        assert_eq!(Numbers { begin: 7, first: 7, members: 3 }.whose(6), None, "it is before all of them");
    }

    #[tokio::test]
    async fn what_is_told_again_is_passed_on_once() {
        let (facts, mut asked) = mpsc::channel(8);
        let requests = Requests::new((facts, None), Numbers::fresh(1).expect("random numbers"));
        let mut request = requests.ask(Ask::Subscribe { topic: "t".to_owned() }).await.expect("there is room");
        let number = request.number;
        let told = asked.recv().await;
        assert_eq!(told, Some(Fact::ProgramAsked { number, ask: Ask::Subscribe { topic: "t".to_owned() } }));
        for told in [values(0, &["a", "b"]), values(0, &["a", "b", "c"]), values(1, &["b"]), values(3, &["d"])] {
            requests.answered(Answer { number, told });
        }
        let mut seen = Vec::new();
        while let Ok(told) = request.answers.try_recv() {
            seen.push(told);
        }
        assert_eq!(seen, [values(0, &["a", "b"]), values(2, &["c"]), values(3, &["d"])]);
    }

    #[tokio::test]
    async fn whoever_reads_too_slowly_is_cut_off_and_the_others_are_not() {
        let (facts, _asked) = mpsc::channel(8);
        let requests = Requests::new((facts, None), Numbers::fresh(1).expect("random numbers"));
        let ask = || requests.ask(Ask::Subscribe { topic: "t".to_owned() });
        let (mut slow, mut other) = (ask().await.expect("room"), ask().await.expect("room"));
        for from in 0..=limits::API_ANSWERS as u64 {
            requests.answered(Answer { number: slow.number, told: values(from, &["a"]) });
        }
        requests.answered(Answer { number: other.number, told: Told::Open });
        let mut read = 0;
        while slow.next().await.is_some() {
            read += 1;
        }
        assert_eq!(read, limits::API_ANSWERS);
        assert_eq!(other.next().await, Some(Told::Open));
    }
}
