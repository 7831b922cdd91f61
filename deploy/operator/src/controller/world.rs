//! What the controllers of both kinds share.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde_json::Value;

use super::api::Kube;
use super::cache::Caches;
use super::retries::Retries;
use super::watched::Figures;
use crate::clock::Clock;
use crate::objects::OPERATOR;
use crate::pool::{Happened, Settings};
use crate::run::Account;
use crate::sightings::Sightings;

pub type SharedSightings = Arc<Mutex<Sightings>>;

/// UIDs of pods that are remembered as deleted, at most: caches are seconds behind, and a pool deletes six in ten minutes.
const DELETED: usize = 1_000;

#[derive(Debug)]
pub struct World {
    pub kube: Kube,
    pub caches: Caches,
    pub clock: Clock,
    pub sightings: SharedSightings,
    pub retries: Retries,
    pub settings: Settings,
    pub account: Option<Account>,
    pub figures: Arc<Figures>,
    deleted: Mutex<HashSet<String>>,
    recorder: Telling,
}

struct Telling(Recorder);

impl std::fmt::Debug for Telling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Telling")
    }
}

/// What a world is made of.
pub struct Parts {
    pub kube: Kube,
    pub caches: Caches,
    pub clock: Clock,
    pub sightings: SharedSightings,
    pub settings: Settings,
    pub account: Option<Account>,
    pub figures: Arc<Figures>,
    /// This replica's name.
    pub me: String,
}

impl World {
    pub fn new(parts: Parts) -> Self {
        let reporter = Reporter { controller: OPERATOR.to_owned(), instance: Some(parts.me) };
        let recorder = Telling(Recorder::new(parts.kube.client(), reporter));
        Self {
            kube: parts.kube,
            caches: parts.caches,
            clock: parts.clock,
            sightings: parts.sightings,
            retries: Retries::default(),
            settings: parts.settings,
            account: parts.account,
            figures: parts.figures,
            deleted: Mutex::default(),
            recorder,
        }
    }

    /// Events are for people: one that cannot be written is lost, and nothing waits for it.
    pub async fn tell(&self, about: &ObjectReference, happened: &[Happened]) {
        for one in happened {
            let type_ = if one.is_warning { EventType::Warning } else { EventType::Normal };
            tracing::info!(reason = one.reason, object = about.name, namespace = about.namespace, "{}", one.note);
            let (reason, note) = (one.reason.to_owned(), Some(one.note.clone()));
            let event = Event { type_, reason: reason.clone(), note, action: reason, secondary: None };
            if let Err(error) = self.recorder.0.publish(&event, about).await {
                tracing::warn!(%error, "an event could not be written");
            }
        }
    }

    /// The pod was deleted; the caches may not know it yet.
    pub fn deleted(&self, uid: &str) {
        let mut deleted = self.deleted.lock().expect("nobody panics with it");
        if deleted.len() >= DELETED {
            deleted.clear();
        }
        deleted.insert(uid.to_owned());
    }

    pub fn was_deleted(&self, object: &Value) -> bool {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        self.deleted.lock().expect("nobody panics with it").contains(uid)
    }
}
