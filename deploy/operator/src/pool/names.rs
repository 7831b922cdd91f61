//! What a pool's objects are called.

use crate::kinds::MeshPool;

/// The longest name of a pool: with a zone's and a suffix it has to fit into a label.
const LONGEST: usize = 20;

/// Names of one pool's objects.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a>(&'a str);

impl<'a> Names<'a> {
    pub fn of(pool: &'a MeshPool) -> Self {
        Self(pool.metadata.name.as_deref().unwrap_or_default())
    }

    /// Why the pool's name cannot be used, if so.
    pub fn refuse(self) -> Option<String> {
        let Self(name) = self;
        if name.len() > LONGEST {
            return Some(format!("the pool's name has {} characters, {LONGEST} at most fit", name.len()));
        }
        name.contains('.').then(|| "the pool's name has a dot, which names in a mesh have not".to_owned())
    }

    pub fn pool(self) -> &'a str {
        self.0
    }

    /// A zone's Deployment, PodDisruptionBudget and Service.
    pub fn slice(self, zone: &str) -> String {
        format!("{}-{zone}", self.0)
    }

    /// A zone's Lease, which its reporter renews.
    pub fn zone_lease(self, zone: &str) -> String {
        format!("{}-zone-{zone}", self.0)
    }

    /// The Lease that names the active zone.
    pub fn active_lease(self) -> String {
        format!("{}-active", self.0)
    }

    /// A zone's reporter, its ServiceAccount, Role and RoleBinding.
    pub fn reporter(self, zone: &str) -> String {
        format!("{}-{zone}-reporter", self.0)
    }

    /// The ConfigMap with the signed epoch.
    pub fn epoch(self) -> String {
        format!("{}-epoch", self.0)
    }

    pub fn policy(self) -> String {
        format!("{}-agents", self.0)
    }
}
