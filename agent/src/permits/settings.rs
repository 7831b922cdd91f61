//! What can be set.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;

/// What this agent permits beyond the capabilities. The default is the strictest but for `programs` and `paths`, whose default is
/// whatever the agent's user may do.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Settings {
    /// Let steps run lines of a shell (`exec: {shell: …}`), not only command lines
    #[arg(long, env = "MESHPROOF_SHELL", value_parser = FalseyValueParser::new())]
    pub shell: bool,
    /// Programs, or folders of programs, that steps may start; several are separated by commas. Default: all.
    /// A script's interpreter has to be among them
    #[arg(long, value_name = "PATHS", env = "MESHPROOF_PROGRAMS", value_delimiter = ',')]
    pub programs: Vec<PathBuf>,
    /// Folders that the programs of steps see and write, beside the system's own, which they only read; several are separated by
    /// commas. Default: all that this user may. Takes a kernel with Landlock. The service's logs have to be in one of them, too
    #[arg(long, value_name = "FOLDERS", env = "MESHPROOF_PATHS", value_delimiter = ',')]
    pub paths: Vec<PathBuf>,
    /// Link-local addresses, or a cloud's metadata address, that steps, tunnels and fetches of metrics may reach; several are
    /// separated by commas. Default: none
    #[arg(long, value_name = "ADDRESSES", env = "MESHPROOF_REACH", value_delimiter = ',')]
    pub reach: Vec<IpAddr>,
}
