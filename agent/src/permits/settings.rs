//! What can be set.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use meshproof_proto::order::Bounds;
use meshproof_proto::units;

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
    /// What each program of a step, and each that it starts, has at most, whatever its step says:
    /// `memory=512MiB,cpu=60s,descriptors=256`. Default: no bound but the step's
    #[arg(long, value_name = "LIMITS", env = "MESHPROOF_LIMITS", value_parser = bounds, default_value = "", hide_default_value = true)]
    pub limits: Bounds,
    /// Link-local addresses, or a cloud's metadata address, that steps, tunnels and fetches of metrics may reach; several are
    /// separated by commas. Default: none
    #[arg(long, value_name = "ADDRESSES", env = "MESHPROOF_REACH", value_delimiter = ',')]
    pub reach: Vec<IpAddr>,
}

/// `memory=512MiB,cpu=60s,descriptors=256`, each of them or none.
fn bounds(text: &str) -> Result<Bounds, String> {
    let mut bounds = Bounds::default();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or_else(|| format!("`{part}` is no NAME=VALUE"))?;
        let wrong = |error: units::QuantityError| format!("{name}: {error}");
        match name {
            "memory" => bounds.memory_bytes = Some(positive(name, units::size(value).map_err(wrong)?)?),
            // a program that may use nothing cannot even start
            "cpu" => bounds.cpu_s = Some(units::duration(value).map_err(wrong)?.as_secs_f64().ceil().max(1.0) as u64),
            "descriptors" => {
                let number = value.parse().map_err(|_| format!("descriptors: `{value}` is no whole number"))?;
                bounds.descriptors = Some(positive(name, number)?);
            }
            _ => return Err(format!("`{name}` cannot be limited; memory, cpu and descriptors can")),
        }
    }
    Ok(bounds)
}

fn positive(name: &str, number: u64) -> Result<u64, String> {
    if number == 0 { Err(format!("{name}: no program starts with nothing")) } else { Ok(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_what_is_none_is_told() {
        assert_eq!(bounds(""), Ok(Bounds::default()));
        let all = Bounds { memory_bytes: Some(512 << 20), cpu_s: Some(2), descriptors: Some(64) };
        assert_eq!(bounds("memory=512MiB,cpu=1500ms,descriptors=64"), Ok(all));
        for (text, why) in [
            ("memory", "is no NAME=VALUE"),
            ("memory=much", "memory: "),
            ("memory=0B", "starts with nothing"),
            ("processes=3", "`processes` cannot be limited; memory, cpu and descriptors can"),
            ("descriptors=-1", "is no whole number"),
        ] {
            let told = bounds(text).expect_err(text);
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
