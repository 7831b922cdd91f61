//! `meshproof mesh`: new, invite, join, rotate, revoke, publish, tokens.

mod revoke;
mod words;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use meshproof_mesh::tls::Authorities;
use meshproof_mesh::token_file;
use meshproof_proto::id::Name;
use meshproof_proto::identity::{Capability, Role};
use meshproof_proto::verdict::Exit;

use super::mesh::LocalAddresses;
use crate::membership::{Joining, MembershipError, Origin, RootFolder, TOKEN_DAYS, Told, Wish, join, publish};
use crate::say;
use words::{capabilities, day, one};

/// Where the root key is unless it is said.
pub(super) const ROOT: &str = "mesh-root";

/// Said in the help of each.
const EXITS: &str = "Exit codes: 0 done, 2 usage, 5 the mesh could not be told or joined.";

/// What can be done to a mesh by hand.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the root key of a new mesh, and say how to start its signaling server.
    #[command(before_help = "Examples:\n  meshproof mesh new dev --signaling ws://127.0.0.1:7447/mesh", after_help = EXITS)]
    New(New),
    /// Make a token; it is printed once.
    #[command(before_help = "Examples:\n  meshproof mesh invite shop --out shop.token\n  \
        meshproof mesh invite 'console-*' --role operator-console --out me.token", after_help = EXITS)]
    Invite(Invite),
    /// See whether a console's or an orchestrator's token is good, and write the mesh file for `--mesh FILE` of `who`, `links`, `bench` and
    /// `run`.
    #[command(before_help = "Examples:\n  meshproof mesh join me.token && meshproof who --mesh mesh.toml", after_help = EXITS)]
    Join(Join),
    /// Replace the root key by a new one; running peers follow, tokens stay good.
    #[command(before_help = "Examples:\n  meshproof mesh rotate", after_help = EXITS)]
    Rotate(AtRoot),
    /// Say that tokens are no longer good; their sessions end.
    Revoke(revoke::Revoke),
    /// Tell the mesh again what was rotated and revoked.
    #[command(before_help = "Examples:\n  meshproof mesh publish", after_help = EXITS)]
    Publish(AtRoot),
    /// Print the command that starts its signaling server.
    #[command(before_help = "Examples:\n  meshproof mesh signaling", after_help = EXITS)]
    Signaling(Place),
    /// List the tokens that were made.
    #[command(before_help = "Examples:\n  meshproof mesh tokens", after_help = EXITS)]
    Tokens(Place),
}

/// Where the root key is.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Folder of the root key.
    #[arg(long, value_name = "DIR", env = "MESHPROOF_ROOT", default_value = ROOT)]
    root: PathBuf,
}

/// Where the root key is, and from where its mesh is told.
#[derive(Debug, Args)]
pub(super) struct AtRoot {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    tell: Tell,
}

/// Where the mesh is told.
#[derive(Debug, Args)]
struct Tell {
    /// Where its signaling servers are now, `ws://HOST:PORT/mesh`; kept, and told to whoever is invited. Several are separated by commas.
    /// Default: those that are kept.
    #[arg(long, value_name = "URLS", value_delimiter = ',', value_parser = signaling_url)]
    signaling: Vec<String>,
    #[command(flatten)]
    from: From,
}

#[derive(Debug, Args)]
struct From {
    #[command(flatten)]
    local: LocalAddresses,
    /// Certificates (PEM) of the authority that signed the signaling servers', beside those that this machine trusts.
    #[arg(long, value_name = "FILE", env = "MESHPROOF_CA")]
    ca: Option<PathBuf>,
}

impl From {
    fn origin(&self) -> Result<Origin, MembershipError> {
        Ok(Origin { addresses: self.local.addresses.addresses(), authorities: Authorities::named(self.ca.as_deref())? })
    }
}

impl Tell {
    /// The root folder, which knows the servers from here on.
    fn open(&self, place: &Place) -> Result<RootFolder, MembershipError> {
        let mut folder = RootFolder::open(&place.root)?;
        if !self.signaling.is_empty() {
            folder.set_signaling(self.signaling.clone())?;
        }
        Ok(folder)
    }
}

#[derive(Debug, Args)]
pub(super) struct New {
    name: Name,
    #[command(flatten)]
    place: Place,
    /// Where its signaling servers will be, `ws://HOST:PORT/mesh`; told to whoever is invited. Several are separated by commas.
    #[arg(long, value_name = "URLS", value_delimiter = ',', value_parser = signaling_url)]
    signaling: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Invite {
    /// The name that its holder may have, or a pattern: `shop`, `shop-*`.
    names: String,
    #[command(flatten)]
    place: Place,
    /// agent, orchestrator, operator-console, observer or zone-operator.
    #[arg(long, default_value = "agent")]
    role: Role,
    /// What it may do or be asked to do: `exec http grpc tcp ws stub tunnel netem tun stream logs`, separated by commas.
    /// Default: what its role usually needs, never `netem` nor `tun`.
    #[arg(long, value_name = "CAPABILITIES", value_delimiter = ',')]
    allow: Option<Vec<Capability>>,
    /// How long it is good.
    #[arg(long, value_name = "DAYS", default_value_t = TOKEN_DAYS)]
    days: u64,
    /// Write it into this new file, for its owner only, and not to stdout.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Join {
    /// File that holds the token, alone or as `MESHPROOF_TOKEN=` in an environment file; `-` reads stdin.
    #[arg(value_name = "TOKEN-FILE", default_value = "-")]
    token: PathBuf,
    /// Signaling servers, `ws://HOST:PORT/mesh`; several are separated by commas. Default: those that the token names.
    #[arg(long, value_name = "URLS", env = "MESHPROOF_SIGNALING", value_delimiter = ',', value_parser = signaling_url)]
    signaling: Vec<String>,
    #[command(flatten)]
    from: From,
    /// The mesh file.
    #[arg(long, value_name = "FILE", default_value = "mesh.toml")]
    out: PathBuf,
}

/// Runs the command.
pub(super) fn run(command: Command) -> Exit {
    super::log_to_stderr();
    let done = match command {
        Command::New(args) => new(args),
        Command::Invite(args) => invite(args),
        Command::Join(args) => into_mesh(args),
        Command::Rotate(args) => rotate(&args),
        Command::Revoke(args) => revoke::revoke(&args),
        Command::Publish(args) => again(&args),
        Command::Signaling(place) => {
            RootFolder::open(&place.root).and_then(|folder| print_line(&signaling_line(&folder)))
        }
        Command::Tokens(place) => tokens(&place),
    };
    match done {
        Ok(()) => Exit::Passed,
        Err(error) => say::failed(&error, error.exit()),
    }
}

fn new(New { name, place, signaling }: New) -> Result<(), MembershipError> {
    let folder = RootFolder::make(&place.root, name, signaling)?;
    let (mesh, _) = folder.mesh();
    say::note(format_args!(
        "made the root key of mesh {mesh} in {}; keep that folder to yourself",
        place.root.display()
    ));
    say::note("start its signaling server with");
    print_line(&signaling_line(&folder))?;
    if folder.signaling().is_empty() {
        say::note("whoever joins has to be told where it is, with --signaling, or do it once for all tokens to come:");
        say::note(format_args!("meshproof mesh publish{} --signaling ws://HOST:PORT/mesh", at(&place)));
    }
    let root = at(&place);
    say::note("then let in an agent, and yourself, with");
    say::note(format_args!("meshproof mesh invite shop{root} --out shop.token"));
    say::note(format_args!("meshproof mesh invite 'console-*' --role operator-console{root} --out me.token"));
    Ok(())
}

/// A scheme of WebSocket, a host, and a path, behind which servers listen.
fn signaling_url(url: &str) -> Result<String, &'static str> {
    let parts = url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('/')?)));
    match parts {
        Some(("ws" | "wss", (host, path))) if !host.is_empty() && !path.is_empty() => Ok(url.to_owned()),
        _ => Err("a signaling server's URL was expected, as in `ws://HOST:PORT/mesh` or `wss://HOST/mesh`"),
    }
}

/// The flag that says where the root key is, where that is not the usual place.
fn at(place: &Place) -> String {
    if place.root == Path::new(ROOT) { String::new() } else { format!(" --root {}", place.root.display()) }
}

/// Where it is to listen follows from the first URL that is told: there if that is this machine, else on every address.
fn signaling_line(folder: &RootFolder) -> String {
    let (mesh, root) = folder.mesh();
    let url = folder.signaling().first().and_then(|url| url.split_once("://"));
    let place = url.and_then(|(_, rest)| rest.split('/').next());
    let tls =
        if url.is_some_and(|(scheme, _)| scheme == "wss") { " --tls-cert CERT.pem --tls-key KEY.pem" } else { "" };
    let listen = place.and_then(|place| match place.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Some(format!(" --listen {address}")),
        _ => Some(format!(" --listen 0.0.0.0:{}", place.rsplit_once(':')?.1.parse::<u16>().ok()?)),
    });
    format!("meshproof signaling{}{tls} --mesh {mesh}={root}", listen.unwrap_or_default())
}

fn invite(Invite { names, place, role, allow, days, out }: Invite) -> Result<(), MembershipError> {
    let mut folder = RootFolder::open(&place.root)?;
    if let Some(taken) = out.as_ref().filter(|path| path.exists()) {
        // said before there is a token that nobody has
        return Err(MembershipError::Exists(taken.clone()));
    }
    let allowed: Option<BTreeSet<Capability>> = allow.map(|allow| allow.into_iter().collect());
    let token = folder.invite(Wish { names, role, capabilities: allowed, days })?;
    let grant = token.granted()?;
    match &out {
        None => print_line(&token.to_text())?,
        Some(path) => folder.hand_out(&token, path)?,
    }
    say::note(format_args!(
        "token {}: {} named {} in mesh {}, {}, until {}; it is shown this once",
        grant.token.short(),
        one(grant.role),
        grant.names,
        grant.mesh,
        capabilities(&grant.capabilities),
        day(grant.not_after),
    ));
    let file = out.as_deref().unwrap_or(Path::new("FILE")).display();
    match grant.role {
        Role::Agent => say::note(format_args!("join with `meshproof agent --token-file {file}`")),
        Role::OperatorConsole | Role::Observer => say::note(format_args!("join with `meshproof mesh join {file}`")),
        Role::Orchestrator | Role::ZoneOperator => {}
    }
    Ok(())
}

fn into_mesh(Join { token, signaling, from, out }: Join) -> Result<(), MembershipError> {
    let token = token_file::read(&token)?;
    if out.exists() {
        return Err(MembershipError::Exists(out));
    }
    let joining = Joining { signaling, from: from.origin()? };
    let role = token.granted()?.role;
    let (file, others) = super::runtime(super::Threads::Two).block_on(join(token, joining))?;
    file.write_new(&out)?;
    say::note(format_args!("joined mesh {} as {}; others there: {others}", file.mesh, one(role)));
    let out = out.display();
    if role == Role::Orchestrator {
        say::note("run a plan in it with");
        return print_line(&format!("meshproof run plan.yaml --mesh {out}"));
    }
    say::note("look at it with");
    print_line(&format!("meshproof who --mesh {out}"))
}

fn rotate(AtRoot { place, tell }: &AtRoot) -> Result<(), MembershipError> {
    let mut folder = tell.open(place)?;
    let former = folder.rotate()?;
    let (mesh, _) = folder.mesh();
    say::note(format_args!("mesh {mesh} has a new root key; the former one is in {}", former.display()));
    say::note("its tokens stay good until they end; `meshproof mesh revoke --former-roots` ends them now");
    say::note("a signaling server that is started anew has to know the new one:");
    print_line(&signaling_line(&folder))?;
    tell_change(&folder, &tell.from)
}

fn again(AtRoot { place, tell }: &AtRoot) -> Result<(), MembershipError> {
    tell_all(&tell.open(place)?, &tell.from)
}

/// Of what is kept already. Made once more because nobody heard of it, it would be another change.
fn tell_change(folder: &RootFolder, from: &From) -> Result<(), MembershipError> {
    tell_all(folder, from).inspect_err(|_| {
        say::note("this is kept, and nobody was told yet; do not make it again, `meshproof mesh publish` tells it");
    })
}

/// Tells whoever can be reached, and says who was.
fn tell_all(folder: &RootFolder, from: &From) -> Result<(), MembershipError> {
    let telling = publish(folder, from.origin()?);
    let Told { signaling, peers, missed } = super::runtime(super::Threads::Two).block_on(telling)?;
    let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
    say::note(format_args!("told signaling {}", list(&signaling)));
    if !peers.is_empty() {
        say::note(format_args!("told {}", list(&peers)));
    }
    if !missed.is_empty() {
        say::note(format_args!(
            "no link to {} in time; they hear of it from the others, or with `meshproof mesh publish`",
            list(&missed)
        ));
    }
    Ok(())
}

fn tokens(place: &Place) -> Result<(), MembershipError> {
    let folder = RootFolder::open(&place.root)?;
    let revoked = folder.revoked()?.map(|list| list.keys).unwrap_or_default();
    for issued in folder.issued() {
        let state = if issued.is_revoked_by(&revoked) { "revoked" } else { "" };
        let line = format!(
            "{}  {:<16}  {:<20}  until {}  {state}",
            issued.token.short(),
            issued.role,
            issued.names,
            day(issued.not_after)
        );
        print_line(line.trim_end())?;
    }
    Ok(())
}

/// What another command or a file takes; everything else goes to stderr.
fn print_line(line: &str) -> Result<(), MembershipError> {
    let written = say::out(&format!("{line}\n"));
    written.map(drop).map_err(|cause| MembershipError::Io { what: "write to", path: "standard output".into(), cause })
}
