//! `network`.

use std::time::Duration;

use meshproof_proto::order::Egress;

use super::super::read::Given;
use super::super::source::{Span, Spanned};
use super::super::units::{Bandwidth, Percent};
use super::{Time, Word};

/// The data network that all services of a plan live on.
#[derive(Debug, Clone)]
pub struct Network {
    pub span: Span,
    /// Between every two services.
    pub default: Conditions,
    /// Where services are.
    pub regions: Vec<(Word, Region)>,
    /// Between some of them.
    pub between: Vec<Between>,
    pub egress: Spanned<Egress>,
}

/// Who is in a region.
#[derive(Debug, Clone)]
pub enum Region {
    /// These services, and the members of these groups.
    Of(Vec<Word>),
    /// So many of those that are in no list.
    Share(Spanned<Given<Percent>>),
}

/// What befalls packets one way; what is not said is as `default` says.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    pub latency: Option<Time>,
    pub jitter: Option<Time>,
    pub loss: Option<Spanned<Given<Percent>>>,
    pub bandwidth: Option<Spanned<Given<Bandwidth>>>,
    pub duplicate: Option<Spanned<Given<Percent>>>,
    pub reorder: Option<Spanned<Given<Percent>>>,
    pub corrupt: Option<Spanned<Given<Percent>>>,
}

impl Conditions {
    /// A latency alone.
    pub fn latency(latency: Spanned<Given<Duration>>) -> Self {
        Self { latency: Some(latency), ..Self::default() }
    }
}

/// Conditions between two regions, or services, both ways.
#[derive(Debug, Clone)]
pub struct Between {
    pub ends: [Word; 2],
    pub conditions: Conditions,
}
