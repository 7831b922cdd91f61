//! The command: of the `meshproof-agent` binary and of `meshproof agent`. Everything comes from the environment, as in a
//! container, and the token from a file, so that no secret stands in an argument list.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use meshproof_mesh::addresses::{Offered, of_interface};
use meshproof_mesh::proxy::Proxies;
use meshproof_mesh::rtc::RtcConfig;
use meshproof_mesh::tls::Authorities;
use meshproof_mesh::{Mesh, MeshConfig, token_file};
use meshproof_proto::ice::{self, IceServer};
use meshproof_proto::id::Name;
use meshproof_proto::identity::{Capability, Grant, Role};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::action;
use crate::audit::Audit;
use crate::descriptors;
use crate::health;
use crate::inherited;
use crate::limits;
use crate::namespace::Namespace;
use crate::news::NewsFile;
use crate::outbox::Store;
use crate::permits::{Permits, Settings};
use crate::session::{Allowed, Ended, Session};
use crate::standing::Standing;

/// Act for the service beside this process.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Signaling servers, `wss://HOST:PORT/mesh` or `ws://`; several are separated by commas. Default: those that the token names
    #[arg(long, value_name = "URLS", env = "MESHPROOF_SIGNALING", value_delimiter = ',')]
    pub signaling: Vec<String>,
    /// This agent's name: that of the service beside it. Default: the one that the token is good for
    #[arg(long, env = "MESHPROOF_NAME")]
    pub name: Option<Name>,
    /// File that holds the token, alone or as `MESHPROOF_TOKEN=` in an environment file; `-` reads stdin
    #[arg(long, value_name = "PATH", env = "MESHPROOF_TOKEN_FILE")]
    pub token_file: PathBuf,
    /// Directory for what has to survive this process; made when it is not there
    #[arg(long, value_name = "PATH", env = "MESHPROOF_STATE")]
    pub state: Option<PathBuf>,
    /// What this agent may be asked to do, of what its token grants (`http,exec,stub`); several are separated by commas.
    /// Default: all of it
    #[arg(long, value_name = "CAPABILITIES", env = "MESHPROOF_ALLOW", value_delimiter = ',')]
    pub allow: Option<Vec<Capability>>,
    /// Local addresses that other peers can reach; several are separated by commas. `auto`: those that lead to other machines, also
    /// when they change
    #[arg(long, value_name = "ADDRESSES", env = "MESHPROOF_ADDRESSES", default_value = "127.0.0.1")]
    pub addresses: Offered,
    /// Interface whose addresses other peers reach this agent by, in the place of `--addresses`: a control network apart from the data's
    #[arg(long, value_name = "NAME", env = "MESHPROOF_CONTROL_INTERFACE")]
    pub control_interface: Option<String>,
    /// File with STUN and TURN servers: a JSON list of `{"urls": ["turn:host:port"], "username": "", "credential": ""}`
    #[arg(long, value_name = "PATH", env = "MESHPROOF_ICE_SERVERS")]
    pub ice_servers: Option<PathBuf>,
    /// HTTP proxy to the signaling servers, from the environment only, for it may hold a password; without it the usual
    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` count
    #[arg(skip = std::env::var("MESHPROOF_PROXY").ok())]
    pub proxy: Option<String>,
    /// Certificates (PEM) of the authority that signed the signaling servers', beside those that this machine trusts
    #[arg(long, value_name = "PATH", env = "MESHPROOF_CA")]
    pub ca: Option<PathBuf>,
    /// Network namespace to act in, as `/run/netns/NAME`, where the service beside this agent lives. The mesh stays outside of it
    #[arg(long, value_name = "PATH", env = "MESHPROOF_NETNS")]
    pub netns: Option<PathBuf>,
    /// Hosts file that names are resolved by in there, in the place of `/etc/hosts`
    #[arg(long, value_name = "PATH", env = "MESHPROOF_HOSTS", requires = "netns")]
    pub hosts: Option<PathBuf>,
    #[command(flatten)]
    pub standing: Standing,
    #[command(flatten)]
    pub permits: Settings,
    /// Where to answer `/healthz`, `/readyz` and `/metrics` over HTTP, as in `0.0.0.0:9464`. Default: nowhere
    #[arg(long, value_name = "ADDRESS", env = "MESHPROOF_HEALTH")]
    pub health: Option<SocketAddr>,
    /// End when the parent process does
    #[arg(long, env = "MESHPROOF_DIE_WITH_PARENT", value_parser = clap::builder::FalseyValueParser::new())]
    pub die_with_parent: bool,
}

/// Joins the mesh and serves until SIGTERM or SIGINT; then leaves at once, and on a second signal without a word. Logs go to
/// whatever `tracing` subscriber the caller has installed.
///
/// # Errors
///
/// The token cannot be read or is not for this name, or a directory cannot be made.
pub async fn run(args: Args) -> anyhow::Result<()> {
    // Before anything else, so that no signal finds us unprepared.
    let mut signals = Signals::listen()?;
    inherited::keep_from_programs().context("cannot close this process's descriptors to the programs it starts")?;
    if args.die_with_parent {
        die_with_parent()?;
    }
    if let Some(state) = &args.state {
        std::fs::create_dir_all(state)
            .with_context(|| format!("cannot make the state directory {}", state.display()))?;
        action::started::keep_in(state)
            .with_context(|| format!("cannot end what an agent before this one has left in {}", state.display()))?;
    }
    let audit = args.state.as_deref().map(open_audit).transpose()?.unwrap_or_default();
    let mut token = token_file::read(&args.token_file)?;
    let news = args.state.as_deref().map(NewsFile::in_directory);
    if let Some(news) = &news {
        news.complete(&mut token)?;
    }
    let grant = token.granted()?;
    if grant.role != Role::Agent {
        let (role, it) = (grant.role, "`meshproof mesh invite NAME` makes an agent's");
        bail!("{} holds the token of an {role}, and this is an agent; {it}", args.token_file.display());
    }
    let name = name_of(args.name, &grant)?;
    let signaling = if args.signaling.is_empty() { token.signaling.clone() } else { args.signaling };
    if signaling.is_empty() {
        bail!("the token names no signaling server; say where one is with --signaling ws://HOST:PORT/mesh");
    }
    let ice_servers = args.ice_servers.as_deref().map(read_ice_servers).transpose()?.unwrap_or_default();
    let offered = match &args.control_interface {
        Some(name) => of_interface(name).context("cannot use the interface of the control network")?,
        None => args.addresses,
    };
    let config = MeshConfig {
        mesh: grant.mesh.clone(),
        name: name.clone(),
        token,
        signaling: signaling.clone(),
        rtc: RtcConfig { addresses: offered.addresses(), ice_servers, ..RtcConfig::default() },
        proxies: proxies(args.proxy.as_deref())?,
        authorities: Authorities::named(args.ca.as_deref())?,
    };
    let namespace = args.netns.as_deref().map(|path| enter(path, args.hosts.as_deref())).transpose()?;
    let (mesh, events) = Mesh::join(config).context("cannot join the mesh")?;
    descriptors::raise_limit();
    let stop = CancellationToken::new();
    say_what_is_missing(&args.permits);
    let capabilities = allowed(grant.capabilities, args.allow);
    let outboxes = args.state.as_deref().map(Store::in_directory);
    let allowed =
        Allowed { capabilities, audit, news, outboxes, settings: args.permits, signaling, standing: args.standing };
    let session = Session::new((mesh.clone(), events), name, allowed);
    let _health =
        args.health.map(|address| meshproof_health::serve(address, health::Watched(session.asks()))).transpose()?;
    let mut session = serve(session, namespace, stop.clone());
    let ended = tokio::select! {
        ended = &mut session => ended,
        () = signals.next() => {
            stop.cancel();
            (&mut session).await
        }
    };
    let has_left = leave(mesh, &mut signals).await;
    match ended {
        Ended::Outdated if has_left && !stop.is_cancelled() => Err(begin_anew(&args.token_file)),
        Ended::Outdated | Ended::Stopped => Ok(()),
    }
}

/// False: a signal came first.
async fn leave(mesh: Mesh, signals: &mut Signals) -> bool {
    tokio::select! {
        _ = tokio::time::timeout(limits::LEAVE, mesh.leave()) => true,
        () = signals.next() => false,
    }
}

/// This program once more, in the place of this process: an instance that has nothing of what this one knew. Returns only what kept it from
/// that.
fn begin_anew(token: &Path) -> anyhow::Error {
    if token == Path::new("-") {
        return anyhow!("the token came over stdin, so this agent has to be started again by whoever has it");
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next();
    let this = match std::env::current_exe() {
        Ok(this) => this,
        Err(error) => return anyhow!(error).context("cannot find this program, to begin anew"),
    };
    let mut again = std::process::Command::new(this);
    again.args(arguments);
    if let Some(name) = name {
        again.arg0(name);
    }
    anyhow!(again.exec()).context("cannot begin anew")
}

fn enter(path: &Path, hosts: Option<&Path>) -> anyhow::Result<Namespace> {
    Namespace::enter(path, hosts).with_context(|| format!("cannot act in the network namespace {}", path.display()))
}

/// The session, on threads of the namespace if there is one.
fn serve(session: Session, namespace: Option<Namespace>, stop: CancellationToken) -> BoxFuture<'static, Ended> {
    let Some(namespace) = namespace else { return session.run(stop).boxed() };
    async move {
        let (tell, ended) = oneshot::channel();
        let inside = |outside| async move {
            let _ = tell.send(session.inside(outside).run(stop).await);
        };
        namespace.run(inside).await;
        ended.await.unwrap_or(Ended::Stopped)
    }
    .boxed()
}

/// A token for a pattern leaves the choice open.
fn name_of(asked: Option<Name>, grant: &Grant) -> anyhow::Result<Name> {
    match asked {
        Some(name) => Ok(name),
        None => grant.names.parse().map_err(|_| {
            anyhow!("the token is good for names like `{}`; say this agent's with --name NAME", grant.names)
        }),
    }
}

/// What the token grants and the configuration allows.
fn allowed(granted: BTreeSet<Capability>, configured: Option<Vec<Capability>>) -> BTreeSet<Capability> {
    let Some(configured) = configured else { return granted };
    configured.into_iter().filter(|capability| granted.contains(capability)).collect()
}

/// A setting that does not do what its owner thinks is worth a line.
fn say_what_is_missing(settings: &Settings) {
    for path in settings.programs.iter().chain(&settings.paths).filter(|path| !path.exists()) {
        tracing::warn!(path = %path.display(), "a path that steps may use is not there");
    }
    if !Permits::of(settings.clone()).is_enforced() {
        tracing::warn!(
            "this kernel has no Landlock: --paths does not hold, and --programs only for what steps start themselves"
        );
    }
}

fn open_audit(state: &Path) -> anyhow::Result<Audit> {
    Audit::in_directory(state).with_context(|| format!("cannot open the audit log in {}", state.display()))
}

/// The errors name the file and the place in it, and none of its text: it holds credentials.
fn read_ice_servers(path: &Path) -> anyhow::Result<Vec<IceServer>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the file of ICE servers {}", path.display()))?;
    let listed: Vec<IceServer> = serde_json::from_str(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        anyhow!(
            "{} holds no list of ICE servers (line {line}, column {column}); \
             [{{\"urls\": [\"turn:host:port\"], \"username\": \"…\", \"credential\": \"…\"}}] was expected",
            path.display()
        )
    })?;
    for url in listed.iter().flat_map(|server| &server.urls) {
        ice::check_url(url).with_context(|| format!("{} names a server that cannot be used", path.display()))?;
    }
    Ok(listed)
}

fn proxies(address: Option<&str>) -> anyhow::Result<Proxies> {
    match address {
        Some(address) => Ok(Proxies::Always(address.parse().context("MESHPROOF_PROXY names no usable proxy")?)),
        None => Ok(Proxies::Environment),
    }
}

/// The kernel sends SIGTERM when the parent ends; more exactly, when the thread that made us does. A parent that ended just
/// before is noticed by its absence.
fn die_with_parent() -> anyhow::Result<()> {
    let parent = rustix::process::getppid();
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
        .context("cannot ask the kernel to end this process with its parent")?;
    if rustix::process::getppid() != parent {
        bail!("the parent process has ended");
    }
    Ok(())
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<Vec<IceServer>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ice.json");
        std::fs::write(&path, text).expect("a file");
        read_ice_servers(&path)
    }

    #[test]
    fn ice_servers_are_read_and_a_bad_file_is_told_without_its_secrets() {
        let servers =
            read(r#"[{"urls":["turn:10.0.0.1:3478"],"username":"u","credential":"s3cret"},{"urls":["stun:a:1"]}]"#);
        assert_eq!(servers.expect("a good file").len(), 2);
        for (text, expected) in [
            (r#"{"urls":[],"credential":"s3cret"}"#, "holds no list of ICE servers (line 1"),
            (r#"[{"urls":["turns:a:1"],"credential":"s3cret"}]"#, "`turns:a:1` is not"),
            (r#"[{"urls":["turn:a:1?transport=tcp"],"credential":"s3cret"}]"#, "only these, over UDP"),
        ] {
            let error = format!("{:#}", read(text).expect_err("a bad file"));
            assert!(error.contains(expected) && !error.contains("s3cret"), "{error}");
        }
        assert!(read_ice_servers(Path::new("/nowhere")).expect_err("no file").to_string().contains("/nowhere"));
    }

    #[test]
    fn a_bad_proxy_is_told_without_its_password() {
        let error = format!("{:#}", proxies(Some("socks5://u:s3cret@h:1")).expect_err("no http proxy"));
        assert!(error.contains("MESHPROOF_PROXY") && !error.contains("s3cret"), "{error}");
    }
}
