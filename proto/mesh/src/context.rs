//! What all parts of a joined peer share.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use meshproof_proto::epoch::{EpochNotice, Epochs};
use meshproof_proto::ice::{self, IceServer};
use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::{Chain, Identity, Key, TrustError, UnixSeconds};
use meshproof_proto::seed::Seed;
use meshproof_proto::trust::{RootNews, Trust};
use meshproof_proto::version::Version;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::datagrams::Inboxes;
use crate::proxy::Proxies;
use crate::relay::Caller;
use crate::rtc::RtcConfig;
use crate::tls::Authorities;

#[derive(Debug)]
pub(crate) struct Context {
    pub mesh: Name,
    /// The root keys, and what they have said since.
    pub trust: watch::Sender<Trust>,
    pub me: PeerId,
    pub key: Key,
    pub chain: Chain,
    pub rtc: RtcConfig,
    /// The STUN and TURN servers that each signaling server tells, by its index.
    pub told: Mutex<BTreeMap<usize, Vec<IceServer>>>,
    /// Which zone counts in each pool of agents.
    pub epochs: Mutex<Epochs>,
    pub protocol: Version,
    pub proxies: Proxies,
    pub authorities: Authorities,
    /// The signaling servers, in the order of the configuration.
    pub servers: Vec<String>,
    /// The addresses of this machine that connections bind.
    pub addresses: watch::Receiver<BTreeSet<IpAddr>>,
    /// Where datagrams go.
    pub inboxes: Inboxes,
    /// How many links were made so far, whoever they lead to.
    pub links_made: AtomicU64,
    /// Owns every task of this peer; leaving waits for all of them.
    pub tasks: TaskTracker,
}

impl Context {
    /// 32 bytes from the operating system.
    pub(crate) fn random(&self) -> [u8; 32] {
        random()
    }

    /// This peer, to a relay.
    pub(crate) fn caller(&self) -> Caller {
        let Self { mesh, key, chain, protocol, proxies, authorities, tasks, .. } = self;
        Caller {
            mesh: mesh.clone(),
            key: key.clone(),
            chain: chain.clone(),
            protocol: *protocol,
            proxies: proxies.clone(),
            authorities: authorities.clone(),
            tasks: tasks.clone(),
        }
    }

    /// How connections are made now.
    pub(crate) fn rtc(&self) -> RtcConfig {
        let addresses = self.addresses.borrow().iter().copied().collect();
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let ice_servers = self.rtc.ice_servers.iter().chain(told.values().flatten()).cloned().collect();
        RtcConfig { addresses, ice_servers, ..self.rtc.clone() }
    }

    /// Takes the STUN and TURN servers that a signaling server tells, in the place of those that it told before. They count for
    /// connections that are made from now on.
    pub(crate) fn use_servers(&self, from: usize, servers: Vec<IceServer>) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(from, ice::usable(servers));
    }

    /// Whether this machine still has the address.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.addresses.borrow().contains(&address)
    }

    /// Who a chain is of, if it holds.
    pub(crate) fn check(&self, chain: &Chain) -> Result<Identity, TrustError> {
        self.trust.borrow().check(chain, now_unix())
    }

    /// Takes what the root keys said, from whoever brings it. The node acts on what is new.
    pub(crate) fn learn(&self, news: &RootNews) {
        let mut learned = Ok(false);
        self.trust.send_if_modified(|trust| {
            learned = trust.learn(news);
            learned == Ok(true)
        });
        if let Err(error) = learned {
            tracing::warn!(%error, "news of the root were refused");
        }
    }

    /// Takes epochs, from whoever brings them. Whether any was new.
    pub(crate) fn learn_epochs(&self, notices: &[EpochNotice]) -> bool {
        let (trust, now) = (self.trust.borrow(), now_unix());
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut learned = |notice: &&EpochNotice| match epochs.learn(notice, &trust, now) {
            Ok(is_new) => is_new,
            Err(error) => {
                tracing::warn!(%error, "an epoch was refused");
                false
            }
        };
        // every one of them, whatever became of those before
        notices.iter().filter(|notice| learned(notice)).count() > 0
    }

    /// A seed for jitter.
    pub(crate) fn seed(&self) -> Seed {
        let [a, b, c, d, e, f, g, h, ..] = random();
        Seed::new(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }
}

pub(crate) fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

pub(crate) fn now_unix() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Never, where nothing is due.
pub(crate) async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
