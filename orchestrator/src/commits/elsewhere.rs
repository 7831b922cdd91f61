//! Agents of a mesh that test commits: who they are, and how each gets the commit. They clone it from here, through the mesh: an agent
//! that stands in here for the source has the other end of the tunnel.

use std::cell::RefCell;
use std::net::IpAddr;

use meshproof_proto::id::Name;

use super::served::Served;
use crate::mesh_file::MeshFile;

/// What each of them runs.
const PLAN: &str = include_str!("elsewhere.yaml");

/// Builds and tests in the tree, and ends what that leaves running, where the machine lets us.
const SCRIPT: &str = r#"cd -- "$0/tree" && export TMPDIR="$0/tmp" && alone="unshare --fork --pid --kill-child --mount-proc" && if $alone true 2>/dev/null; then exec $alone /bin/sh -c "$1"; else exec /bin/sh -c "$1"; fi"#;

/// A mesh that has agents for it.
#[derive(Clone, Debug)]
pub struct OnMesh {
    /// With the token of an orchestrator.
    pub file: MeshFile,
    /// Where this process can be reached.
    pub addresses: Vec<IpAddr>,
    /// One for each commit that is tested at once.
    pub pairs: Vec<Pair>,
}

/// Who tests, and who has the commit for it: an agent takes part in one run at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub runner: Name,
    /// An agent here.
    pub source: Name,
}

/// Those that have nothing to do.
#[derive(Debug)]
pub(super) struct Elsewhere<'m> {
    pub(super) mesh: &'m OnMesh,
    served: Served,
    idle: RefCell<Vec<Pair>>,
}

/// One that has, until this is dropped.
#[derive(Debug)]
pub(super) struct Taken<'e> {
    of: &'e Elsewhere<'e>,
    pub(super) pair: Pair,
}

impl<'m> Elsewhere<'m> {
    pub(super) fn new(mesh: &'m OnMesh, served: Served) -> Self {
        Self { mesh, served, idle: RefCell::new(mesh.pairs.clone()) }
    }

    /// One that has nothing to do.
    pub(super) fn take(&'m self) -> Option<Taken<'m>> {
        let pair = self.idle.borrow_mut().pop()?;
        Some(Taken { of: self, pair })
    }
}

impl Taken<'_> {
    pub(super) fn mesh(&self) -> &OnMesh {
        self.of.mesh
    }

    /// The plan for this one. What users name stands there last: it may be called as something that is replaced.
    pub(super) fn plan(&self) -> String {
        PLAN.replace("SCRIPT", &SCRIPT.replace('\'', "''"))
            .replace("PORT", &self.of.served.port().to_string())
            .replace("SOURCE", self.pair.source.as_str())
            .replace("RUNNER", &format!("\"{}\"", self.pair.runner))
    }

    /// The path of this folder's tree, as it is cloned by.
    pub(super) fn path(&self, folder: &str) -> String {
        self.of.served.path(folder)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.of.idle.borrow_mut().push(self.pair.clone());
    }
}
