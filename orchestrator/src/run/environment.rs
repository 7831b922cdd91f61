//! What programs of a service find in their environment beside what the plan gives them: the API of their agent, and for members of
//! groups what Testground's SDKs look for (<https://docs.testground.ai/runner-library/local-exec>, and the sources of the SDKs).

use meshproof_proto::order::network::SUBNET;
use serde_json::Value;

use super::scope::text;
use crate::plan::compiled::Membership;
use crate::plan::orders::Missing;

/// Where a program writes what it wants to be kept, in its working directory.
pub const OUTPUTS: &str = "outputs";

/// The file by which that folder is there from the beginning.
pub const KEEP: &str = ".keep";

/// A program's place in a run.
pub(super) struct Part<'p> {
    pub(super) run: &'p str,
    pub(super) plan: &'p str,
    pub(super) test: &'p str,
    pub(super) name: &'p str,
    pub(super) dir: &'p str,
    /// Of all groups.
    pub(super) members: usize,
    /// The URL of the agent's API, if it has one.
    pub(super) api: Option<&'p str>,
    /// Whether it lives on a data network.
    pub(super) is_networked: bool,
}

impl Part<'_> {
    /// What every program finds.
    pub(super) fn own(&self) -> Vec<(String, String)> {
        self.api.map(|api| ("MESHPROOF_API".to_owned(), api.to_owned())).into_iter().collect()
    }

    /// What a member of a group finds.
    pub(super) fn testground(&self, member: &Membership, scope: &Value) -> Result<Vec<(String, String)>, Missing> {
        let params = member.params.iter().map(|(name, value)| Ok(format!("{name}={}", text(value, scope)?)));
        let params = params.collect::<Result<Vec<_>, Missing>>()?.join("|");
        let (host, port) = self.api.and_then(address).unwrap_or_default();
        let subnet = if self.is_networked { SUBNET } else { "127.0.0.0/8" };
        let pairs: [(&str, String); 23] = [
            ("SYNC_SERVICE_HOST", host),
            ("SYNC_SERVICE_PORT", port),
            ("HOSTNAME", self.name.to_owned()),
            ("INFLUXDB_URL", self.api.unwrap_or_default().to_owned()),
            ("REDIS_HOST", String::new()),
            ("TEST_BRANCH", String::new()),
            ("TEST_CAPTURE_PROFILES", String::new()),
            ("TEST_CASE", self.test.to_owned()),
            ("TEST_DISABLE_METRICS", "false".to_owned()),
            ("TEST_GROUP_ID", member.group.clone()),
            ("TEST_GROUP_INSTANCE_COUNT", member.of.to_string()),
            ("TEST_INSTANCE_COUNT", self.members.to_string()),
            ("TEST_INSTANCE_PARAMS", params),
            ("TEST_INSTANCE_ROLE", String::new()),
            ("TEST_OUTPUTS_PATH", format!("{}/{OUTPUTS}", self.dir)),
            ("TEST_PLAN", self.plan.to_owned()),
            ("TEST_REPO", String::new()),
            ("TEST_RUN", self.run.to_owned()),
            // whether somebody carries out what the SDKs ask of the network
            ("TEST_SIDECAR", self.is_networked.to_string()),
            // a time that nobody reads; the run's own is in its journal
            ("TEST_START_TIME", "1970-01-01T00:00:00Z".to_owned()),
            ("TEST_SUBNET", subnet.to_owned()),
            ("TEST_TAG", String::new()),
            ("TEST_TEMP_PATH", self.dir.to_owned()),
        ];
        Ok(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// Host and port of `http://host:port/token`.
fn address(url: &str) -> Option<(String, String)> {
    let (address, _) = url.strip_prefix("http://")?.split_once('/')?;
    let (host, port) = address.rsplit_once(':')?;
    Some((host.to_owned(), port.to_owned()))
}
