//! The shell around the course: makes workspaces, has runs in them, and hears what came of each.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use meshproof_proto::verdict::Exit;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::attempt::{Attempt, Attempted, Status, Told, is_kept};
use super::course::Course;
use super::elsewhere::Elsewhere;
use super::repository::{Commit, Repository, RepositoryError};
use super::request::{Folder, Request, What};
use super::results::Results;
use super::search::{Lineage, Search, Tally};
use super::served::Served;
use super::workspace::Workspace;
use crate::record::now_ms;

/// What is told while commits are tested.
#[derive(Clone, Debug)]
pub enum News<'n> {
    /// So many are to be looked at.
    Began {
        name: Option<&'n str>,
        repository: &'n str,
        commits: usize,
    },
    /// A commit is being tested, for the so-manieth time.
    Testing {
        commit: &'n Commit,
        number: u32,
    },
    Line {
        commit: &'n Commit,
        told: Told,
    },
    Tested {
        commit: &'n Commit,
        attempted: &'n Attempted,
    },
    /// It is not waited for: other results say enough.
    Dropped {
        commit: &'n Commit,
    },
}

/// What every attempt needs.
struct Tester<'s> {
    request: &'s Request,
    folder: &'s Folder,
    repository: Repository,
    commits: Vec<Commit>,
    tell: &'s dyn Fn(News<'_>),
    stop: CancellationToken,
    /// Who tests, if it is not this machine.
    elsewhere: Option<&'s Elsewhere<'s>>,
}

/// Tests what is asked for, and gives what came of it, also of a part when it was interrupted.
///
/// # Errors
/// The repository cannot be had, or has no such commits.
pub async fn run(request: &Request, folder: &Folder, tell: &dyn Fn(News<'_>)) -> Result<Results, RepositoryError> {
    let (began_ms, began) = (now_ms(), Instant::now());
    let (stop, stopped) = (CancellationToken::new(), Arc::new(OnceLock::new()));
    let _listening = listen(stop.clone(), Arc::clone(&stopped));
    let opening = async {
        let repository = Repository::open(&request.place, request.credentials.clone(), &folder.copies).await?;
        let (commits, course) = course(request, &repository).await?;
        Ok::<_, RepositoryError>((repository, commits, course))
    };
    let (repository, commits, course) = tokio::select! {
        opened = opening => opened?,
        () = stop.cancelled() => return Err(RepositoryError::Stopped(of(&stopped))),
    };
    let name = request.name.as_deref();
    tell(News::Began { name, repository: repository.shown(), commits: commits.len() });
    let elsewhere = match &request.mesh {
        Some(mesh) => {
            let served = Served::begin(&folder.workspaces()).await.map_err(RepositoryError::NotServed)?;
            Some(Elsewhere::new(mesh, served))
        }
        None => None,
    };
    let tester = Tester { request, folder, repository, commits, tell, stop, elsewhere: elsewhere.as_ref() };
    let tested = tester.test_all(course).await;
    let tested = Tested { stopped: tester.stop.is_cancelled().then(|| of(&stopped)), ..tested };
    Ok(Results::of(request, (tester.repository.shown(), tester.commits), tested, (began_ms, began.elapsed())))
}

/// What a signal that came has the command exit with.
fn of(stopped: &OnceLock<Exit>) -> Exit {
    stopped.get().copied().unwrap_or(Exit::Interrupted)
}

/// A test that goes on.
struct Going {
    commit: usize,
    /// That it need not.
    dropped: CancellationToken,
}

/// Everything that was tested.
pub(super) struct Tested {
    pub(super) course: Course,
    /// Of each commit, in their order.
    pub(super) attempts: Vec<Vec<Attempted>>,
    /// A signal ended it.
    pub(super) stopped: Option<Exit>,
}

/// Hears Ctrl-C and SIGTERM, as the runs do; until this is dropped.
fn listen(stop: CancellationToken, stopped: Arc<OnceLock<Exit>>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let listened = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hang_up)] = listened else { return };
        let exit = tokio::select! {
            _ = interrupt.recv() => Exit::Interrupted,
            _ = terminate.recv() => Exit::Terminated,
            _ = hang_up.recv() => Exit::Terminated,
        };
        let _the_first_counts = stopped.set(exit);
        stop.cancel();
    }))
}

async fn course(request: &Request, repository: &Repository) -> Result<(Vec<Commit>, Course), RepositoryError> {
    match &request.what {
        What::Each(words) => {
            let mut commits: Vec<Commit> = Vec::new();
            for word in words {
                for commit in repository.commits(word).await? {
                    if !commits.contains(&commit) {
                        commits.push(commit);
                    }
                }
            }
            let tallies = vec![Tally::default(); commits.len()];
            Ok((commits, Course::Each { rule: request.rule, tallies }))
        }
        What::Bisect { good, bad } => {
            let history = repository.between(good, bad).await?;
            let lineage = Lineage::new(history.parents).expect("git tells parents first, and good and bad differ");
            Ok((history.commits, Course::Search(Box::new(Search::new(lineage, request.rule)))))
        }
    }
}

impl Tester<'_> {
    async fn test_all(&self, mut course: Course) -> Tested {
        let mut attempts: Vec<Vec<Attempted>> = vec![Vec::new(); self.commits.len()];
        let mut begun = vec![0_u32; self.commits.len()];
        let mut tests: FuturesUnordered<LocalBoxFuture<'_, (usize, Attempted)>> = FuturesUnordered::new();
        let mut going: Vec<Going> = Vec::new();
        loop {
            if !self.stop.is_cancelled() {
                let commits: Vec<usize> = going.iter().map(|going| going.commit).collect();
                for commit in course.begin(self.request.parallel - going.len(), &commits) {
                    let dropped = CancellationToken::new();
                    going.push(Going { commit, dropped: dropped.clone() });
                    begun[commit] += 1;
                    let number = begun[commit];
                    tests.push(async move { (commit, self.test(commit, number, dropped).await) }.boxed_local());
                }
            }
            let Some((commit, attempted)) = tests.next().await else {
                return Tested { course, attempts, stopped: None };
            };
            let of = going.iter().position(|going| going.commit == commit).map(|at| going.swap_remove(at));
            let was_dropped = of.is_some_and(|going| going.dropped.is_cancelled());
            if was_dropped && attempted.status == Status::Interrupted {
                (self.tell)(News::Dropped { commit: &self.commits[commit] });
                continue;
            }
            if let Some(vote) = attempted.status.vote() {
                course.hear(commit, vote);
            }
            going.iter().filter(|going| course.is_ruled_out(going.commit)).for_each(|going| going.dropped.cancel());
            (self.tell)(News::Tested { commit: &self.commits[commit], attempted: &attempted });
            attempts[commit].push(attempted);
        }
    }

    /// One attempt, in a workspace of its own.
    async fn test(&self, commit: usize, number: u32, dropped: CancellationToken) -> Attempted {
        let began = (now_ms(), Instant::now());
        let commit = &self.commits[commit];
        (self.tell)(News::Testing { commit, number });
        let tell = |told| (self.tell)(News::Line { commit, told });
        let check = &self.request.check;
        let (session, dropped) = (&self.folder.path, &dropped);
        let taken = self.elsewhere.and_then(Elsewhere::take);
        let elsewhere = taken.as_ref();
        let attempt = Attempt { check, commit: &commit.id, number, session, tell: &tell, elsewhere, dropped, began };
        if let (Some(_), None) = (self.elsewhere, elsewhere) {
            return attempt.impossible(&"no agent of the mesh has nothing to do");
        }
        let folder = self.folder.workspaces().join(format!("{}-{number}", commit.short()));
        let making = Workspace::make(&self.repository, &commit.id, folder, &check.overlay);
        let made = tokio::select! {
            made = making => made,
            () = self.stop.cancelled() => return attempt.begun(),
            () = dropped.cancelled() => return attempt.begun(),
        };
        let workspace = match made {
            Ok(workspace) => workspace,
            Err(error) => return attempt.impossible(&error),
        };
        if elsewhere.is_some()
            && let Err(error) = workspace.commit_what_lies_over(&check.overlay).await
        {
            return attempt.impossible(&error);
        }
        if self.stop.is_cancelled() || dropped.is_cancelled() {
            return attempt.begun();
        }
        let mut attempted = attempt.run(&workspace).await;
        if let Some(time) = is_kept(self.request.keep, attempted.status) {
            attempted.workspace = Some(workspace.tree().to_owned());
            workspace.keep(time);
        }
        attempted
    }
}
