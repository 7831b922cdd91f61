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

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// Where resolvers look for names first.
pub const HOSTS: &str = "/etc/hosts";

/// What acts beside a service finds time on as many threads as the mesh does.
const THREADS: usize = 2;

/// Threads in a namespace.
#[derive(Debug)]
pub struct Namespace {
    /// None only while this is dropped.
    threads: Option<Runtime>,
}

impl Namespace {
    /// Starts threads in the namespace that is open at `path`, as `/run/netns/NAME` or `/proc/PID/ns/net` are. What they resolve, and
    /// programs that they start, they resolve by this hosts file, if one is given.
    ///
    /// # Errors
    /// There is none, or this process may not enter it.
    pub fn enter(path: &Path, hosts: Option<&Path>) -> io::Result<Self> {
        let namespace = Arc::new(File::open(path)?);
        let hosts: Option<Arc<Path>> = hosts.map(Arc::from);
        let enter = move || {
            enter(namespace.as_fd())?;
            hosts.as_deref().map_or(Ok(()), resolve_by)
        };
        std::thread::spawn(enter.clone())
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that was to enter it panicked")))?;
        let began = move || enter().expect("another thread has just entered it");
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

/// From now on this thread, and whatever it starts, resolves names by this file in the place of the machine's.
///
/// # Errors
/// This process may not mount, or there is no such file.
pub fn resolve_by(hosts: &Path) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    // what is mounted from now on is seen here alone
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    // a machine that has none resolves by other means
    if Path::new(HOSTS).is_file() {
        mount_bind(hosts, HOSTS)?;
    }
    Ok(())
}

fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?)
}
