//! A run in a mesh that is there already: its agents are found and not started, and each says where the service beside it is.
//!
//! The run starts and ends no process. What it takes from the mesh it gives back: at its end every agent is free for the next run, and if it
//! dies they free themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use futures::future::join_all;
use meshproof_mesh::{Mesh, MeshConfig};
use meshproof_proto::id::Name;
use meshproof_proto::identity::{Capability, Role};
use meshproof_proto::order::ServicePlace;
use meshproof_proto::rpc::{LogLines, LogQuery};

use super::Standing;
use super::crew::{CallError, Caller};
use super::driver::Driver;
use super::outcome::Broken;
use crate::local;
use crate::membership::name_for;
use crate::mesh_file::MeshFile;
use crate::plan::compiled::Service;

/// How the orchestrator joins.
pub(super) fn config(Standing { file, addresses, .. }: Standing) -> Result<MeshConfig, Broken> {
    let bad = |error: &dyn std::fmt::Display| Broken::because(format!("cannot join the mesh {}: {error}", file.mesh));
    let grant = file.token.granted().map_err(|error| bad(&error))?;
    if grant.role != Role::Orchestrator {
        return Err(Broken::because(format!(
            "the token of the mesh file is an {}'s, and a run takes an orchestrator's: `meshproof mesh invite 'run-*' --role \
             orchestrator --out run.token`, then `meshproof mesh join run.token --out run.toml`",
            grant.role
        )));
    }
    let name = name_for(&grant.names).parse().map_err(|error| bad(&error))?;
    file.config(name, addresses).map_err(|error| bad(&error))
}

/// Who is there, when somebody is not.
pub(super) fn nobody_came(
    (file, mesh): (&MeshFile, &Mesh),
    missing: &BTreeSet<Name>,
    away: &BTreeSet<String>,
) -> Broken {
    if away.len() == file.signaling.len() {
        let urls = file.signaling.join(", ");
        return Broken::because(format!("no signaling server of mesh {} can be reached: {urls}", file.mesh));
    }
    let roster = mesh.roster();
    let there: BTreeSet<&Name> = roster.iter().filter(|peer| peer.role == Role::Agent).map(|peer| &peer.name).collect();
    let say = |names: &mut dyn Iterator<Item = &Name>| names.map(Name::as_str).collect::<Vec<_>>().join(", ");
    let (unlinked, absent): (Vec<&Name>, Vec<&Name>) = missing.iter().partition(|name| there.contains(name));
    let mut what = Vec::new();
    if !absent.is_empty() {
        let agents = if there.is_empty() { "nobody".to_owned() } else { say(&mut there.iter().copied()) };
        what.push(format!(
            "mesh {} has no agent {}; there are: {agents} (let one in with `meshproof mesh invite NAME`)",
            file.mesh,
            say(&mut absent.into_iter())
        ));
    }
    if !unlinked.is_empty() {
        let names = say(&mut unlinked.into_iter());
        what.push(format!("no link to {names}, which signaling knows (`meshproof links --mesh FILE` says more)"));
    }
    Broken::because(what.join("; "))
}

impl Driver {
    /// Where every service is: its agent knows, or the plan says the port's number.
    pub(super) async fn found_places(&self) -> Result<BTreeMap<Name, local::Place>, Broken> {
        self.stand_alone()?;
        self.may_all()?;
        let asked = self.plan.services.iter().map(|service| async move {
            let caller = self.crew.caller(&service.name).ok_or_else(|| format!("agent {} is gone", service.name))?;
            let told = caller.call(|client, context| async move { client.place(context).await }).await;
            let told = told.map_err(|error| format!("agent {}: {error}", service.name))?;
            Ok::<_, String>((service.name.clone(), place(service, told)?))
        });
        let (mut places, mut problems) = (BTreeMap::new(), Vec::new());
        for answer in join_all(asked).await {
            match answer {
                Ok((name, place)) => drop(places.insert(name, place)),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(places) } else { Err(Broken::because(problems.join("; "))) }
    }

    /// Whether nobody else is there for a service for which this machine stands in.
    fn stand_alone(&self) -> Result<(), Broken> {
        let here = self.options.mesh.iter().flat_map(|standing| &standing.here);
        let roster = self.mesh.as_ref().map(Mesh::roster).unwrap_or_default();
        let count = |name: &Name| roster.iter().filter(|peer| peer.role == Role::Agent && peer.name == *name).count();
        match here.into_iter().find(|name| count(name) > 1) {
            Some(name) => Err(Broken::because(format!(
                "this machine cannot stand in for {name}: another agent {name} is in the mesh; end that one first"
            ))),
            None => Ok(()),
        }
    }

    /// Whether every agent may do what the plan asks of it, as far as its token says.
    fn may_all(&self) -> Result<(), Broken> {
        let roster = self.mesh.as_ref().map(Mesh::roster).unwrap_or_default();
        let needed = self.plan.capabilities_by_agent();
        let lacking = needed.into_iter().filter_map(|(name, needed)| {
            let holder = self.crew.holder(&name)?;
            let identity = roster.iter().find(|identity| identity.peer == holder)?;
            let missing: Vec<String> = needed.difference(&identity.capabilities).map(Capability::to_string).collect();
            let what =
                format!("{name} may not do what the plan asks of it: its token does not allow {}", missing.join(", "));
            (!missing.is_empty()).then_some(what)
        });
        let lacking: Vec<String> = lacking.collect();
        if lacking.is_empty() {
            return Ok(());
        }
        Err(Broken::because(format!("{} (`meshproof mesh invite --allow`)", lacking.join("; "))))
    }
}

fn place(service: &Service, told: ServicePlace) -> Result<local::Place, String> {
    let mut ports = told.ports;
    for port in &service.ports {
        let Some(number) = port.number else { continue };
        ports.entry(port.name.clone()).or_insert_with(|| format!("127.0.0.1:{number}"));
    }
    let unknown = service.ports.iter().filter(|port| !ports.contains_key(&port.name));
    let unknown: Vec<&str> = unknown.map(|port| port.name.as_str()).collect();
    let name = &service.name;
    if let Some(first) = unknown.first() {
        return Err(format!(
            "nobody knows where {name} listens for {}: start its agent with --service {first}=HOST:PORT, or give the port a number \
             in the plan",
            unknown.join(", ")
        ));
    }
    ports.retain(|known, _| service.ports.iter().any(|port| port.name == *known));
    let missing: Vec<&str> =
        service.logs.keys().filter(|log| !told.logs.contains_key(*log)).map(String::as_str).collect();
    if let Some(first) = missing.first() {
        return Err(format!(
            "nobody knows where {name} writes its log {}: start its agent with --logs {first}=/PATH/TO/FILE",
            missing.join(", ")
        ));
    }
    let service = ServicePlace { ports, logs: told.logs, ..ServicePlace::default() };
    Ok(local::Place { service, dir: std::path::PathBuf::new() })
}

/// Writes what agents still have of their services' logs below `out`, as a run on one machine does.
pub(super) async fn collect(agents: &[(Name, Caller)], out: &Path) -> Result<(), String> {
    for (name, caller) in agents {
        let lines = read(caller).await.map_err(|error| format!("the logs of {name}: {error}"))?;
        write(&out.join("logs").join(name.as_str()), &lines)
            .map_err(|error| format!("the logs of {name} cannot be written: {error}"))?;
    }
    Ok(())
}

async fn read(caller: &Caller) -> Result<LogLines, CallError> {
    let query = LogQuery { log: "*".to_owned(), since_ms: None, most: u32::MAX };
    caller
        .call(|client, context| {
            let query = query.clone();
            async move { client.read_log(context, query).await }
        })
        .await
}

fn write(folder: &Path, told: &LogLines) -> std::io::Result<()> {
    let mut logs: BTreeMap<Name, String> = BTreeMap::new();
    for line in &told.lines {
        // it becomes a file's name, and an agent may say anything
        let Ok(log) = line.log.parse() else { continue };
        let text = logs.entry(log).or_default();
        text.push_str(&line.text);
        text.push('\n');
    }
    if logs.is_empty() {
        return Ok(());
    }
    std::fs::create_dir_all(folder)?;
    let mark = match told.left_out {
        0 => String::new(),
        lines => format!("({lines} lines of this service's logs came before these and are not here)\n"),
    };
    for (log, text) in logs {
        let options = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).clone();
        options.open(folder.join(format!("{log}.log")))?.write_all(format!("{mark}{text}").as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use meshproof_proto::rpc::LogText;

    use super::*;

    #[test]
    fn logs_are_written_where_they_belong_whatever_an_agent_calls_them() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = place.path().join("logs/shop");
        let names = ["audit", "../../out", "/tmp/out", "a/b", "audit"];
        let lines = names.map(|log| LogText { log: log.to_owned(), text: "line".to_owned() }).into();
        write(&folder, &LogLines { lines, left_out: 3 }).expect("there is room");
        let written: Vec<_> =
            std::fs::read_dir(&folder).expect("it was made").map(|entry| entry.expect("a file").file_name()).collect();
        assert_eq!(written, ["audit.log"]);
        assert_eq!(std::fs::read_dir(place.path()).expect("it is there").count(), 1, "nothing beside it");
        let text = std::fs::read_to_string(folder.join("audit.log")).expect("it is text");
        assert!(text.starts_with("(3 lines of") && text.ends_with("\nline\nline\n"), "{text}");
    }
}
