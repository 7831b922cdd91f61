//! Bounds of what a terminal gives.

/// Keys that nobody has looked at yet: people press few.
pub(super) const KEYS: usize = 16;
