//! The network namespace of the service beside this agent.
//!
//! A socket belongs to the namespace of the thread that makes it. So what this agent does beside its service runs on threads that
//! have entered the service's namespace, where loopback is the service's loopback; and the mesh runs on others, which have not, and
//! whose sockets nothing reaches that is done to the service's network. Programs that steps start are started by such a thread.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// What acts beside a service finds time on as many threads as the mesh does.
const THREADS: usize = 2;

/// Threads in a namespace.
#[derive(Debug)]
pub struct Namespace {
    /// None only while this is dropped.
    threads: Option<Runtime>,
}

impl Namespace {
    /// Starts threads in the namespace that is open at `path`, as `/run/netns/NAME` or `/proc/PID/ns/net` are.
    ///
    /// # Errors
    /// There is none, or this process may not enter it.
    pub fn enter(path: &Path) -> io::Result<Self> {
        let namespace = Arc::new(File::open(path)?);
        let tried = Arc::clone(&namespace);
        std::thread::spawn(move || enter(tried.as_fd()))
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that was to enter it panicked")))?;
        let began = move || enter(namespace.as_fd()).expect("another thread has just entered it");
        let threads = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("beside-service")
            .on_thread_start(began)
            .enable_all()
            .build()?;
        Ok(Self { threads: Some(threads) })
    }

    /// Does all of `work` there. It learns how to do something outside.
    pub async fn run<Work: Future<Output = ()> + Send + 'static>(&self, work: impl FnOnce(Outside) -> Work) {
        let Some(threads) = &self.threads else { return };
        let work = AbortOnDropHandle::new(threads.spawn(work(Outside(Handle::current()))));
        if let Err(error) = work.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            // Waiting for them is not allowed where this is dropped; nothing they do outlives the process.
            threads.shutdown_background();
        }
    }
}

/// The threads outside of the namespace, whose sockets reach what the machine reaches.
#[derive(Clone, Debug)]
pub struct Outside(Handle);

impl Outside {
    /// Does it there.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> AbortOnDropHandle<T> {
        AbortOnDropHandle::new(self.0.spawn(work))
    }
}

fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?)
}
