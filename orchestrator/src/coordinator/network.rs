//! Whether this machine can have a plan's data network, before anything of the plan starts.

use super::outcome::Broken;
use crate::local::namespaces_possible;
use crate::plan::compiled::Network;

pub(super) fn is_possible(network: &Network) -> Result<(), Broken> {
    namespaces_possible().map_err(|error| Broken {
        what: format!(
            "this machine does not allow a data network: {error}. It takes root, or the capabilities SYS_ADMIN and NET_ADMIN; \
             /dev/net/tun; and `ip` (iproute2). Without `network` services reach each other through tunnels, which take nothing"
        ),
        at: Some(network.span),
        evidence: Vec::new(),
    })
}
