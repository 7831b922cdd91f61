//! The operator as a program: what it does is said by its first argument.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use kube::Client;
use kube::client::ClientBuilder;
use meshproof_operator::clock::Clock;
use meshproof_operator::controller::{self, Figures, Health, operate};
use meshproof_operator::kinds::crds;
use meshproof_operator::pool::Settings;
use meshproof_operator::reporter::{self, ask, report};
use meshproof_operator::run::Account;
use tokio::signal::unix::{SignalKind, signal};
use tower::util::MapRequestLayer;
use tracing_subscriber::EnvFilter;

/// meshproof on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "meshproof-operator", version)]
enum Command {
    /// Keeps MeshPools and MeshRuns: the operator itself
    Operate(Operate),
    /// Renews the Lease of a zone while the mesh of its agents is well
    ZoneReporter(ZoneReporter),
    /// Writes the definitions of the kinds MeshPool and MeshRun
    Crds {
        /// Where to; without it they are printed
        folder: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
struct Operate {
    /// This replica's name
    #[arg(long, env = "POD_NAME")]
    name: String,
    /// The operator's namespace, where its Lease is
    #[arg(long, env = "POD_NAMESPACE")]
    namespace: String,
    /// The operator's image, which zone reporters run, too
    #[arg(long, env = "MESHPROOF_OPERATOR_IMAGE")]
    image: String,
    /// The operator's ServiceAccount, if it is to bind the role of runs to itself in each run's namespace
    #[arg(long, env = "MESHPROOF_OPERATOR_ACCOUNT", requires = "run_role")]
    account: Option<String>,
    /// The ClusterRole of runs' namespaces
    #[arg(long, env = "MESHPROOF_RUN_ROLE")]
    run_role: Option<String>,
    /// Where to answer `/healthz`, `/readyz` and `/metrics` over HTTP, as in `0.0.0.0:9464`. Default: nowhere
    #[arg(long, value_name = "ADDRESS", env = "MESHPROOF_HEALTH")]
    health: Option<SocketAddr>,
}

#[derive(Debug, clap::Args)]
struct ZoneReporter {
    /// This reporter's name
    #[arg(long, env = "POD_NAME")]
    name: String,
    /// The namespace of the Lease
    #[arg(long, env = "POD_NAMESPACE")]
    namespace: String,
    /// The zone's Lease
    #[arg(long)]
    lease: String,
    /// Name and port under which the zone's agents tell their health
    #[arg(long, value_name = "HOST:PORT")]
    agents: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    log();
    match command {
        Command::Operate(args) => run(args).await,
        Command::ZoneReporter(args) => watch(args).await,
        Command::Crds { folder } => write(folder),
    }
}

fn log() {
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env_lossy();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    // an object a line, for whoever collects the logs of containers
    let is_json = std::env::var_os("MESHPROOF_LOG_FORMAT").is_some_and(|format| format == "json");
    if is_json { log.json().flatten_event(true).init() } else { log.init() }
}

async fn run(args: Operate) -> anyhow::Result<()> {
    let figures = Arc::new(Figures::new(Clock::start()));
    let client = client(&figures).await?;
    figures.beat();
    let _health =
        args.health.map(|address| meshproof_health::serve(address, Health(Arc::clone(&figures)))).transpose()?;
    let account = args.account.zip(args.run_role);
    let account = account.map(|(name, run_role)| Account { namespace: args.namespace.clone(), name, run_role });
    let settings = Settings { image: args.image };
    let options = controller::Options { namespace: args.namespace, me: args.name, settings, account };
    operate(client, options, figures, stopped()?).await
}

async fn watch(args: ZoneReporter) -> anyhow::Result<()> {
    let client = Client::try_default().await.context("the API server is not to be found")?;
    let options = reporter::Options { namespace: args.namespace, lease: args.lease, me: args.name };
    let stopped = stopped()?;
    tokio::select! {
        () = report(client, options, || ask(&args.agents)) => {}
        () = stopped => {}
    }
    Ok(())
}

/// With its calls counted.
async fn client(figures: &Arc<Figures>) -> anyhow::Result<Client> {
    let config = kube::Config::infer().await.context("the API server is not to be found")?;
    let figures = Arc::clone(figures);
    let counted = MapRequestLayer::new(move |request: hyper::Request<kube::client::Body>| {
        figures.called();
        request
    });
    Ok(ClientBuilder::try_from(config)?.with_layer(&counted).build())
}

/// SIGTERM, as Kubernetes sends it, or Ctrl-C.
fn stopped() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn write(folder: Option<PathBuf>) -> anyhow::Result<()> {
    for (name, text) in crds::files() {
        match &folder {
            Some(folder) => {
                let path = folder.join(name);
                std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            }
            None => println!("---\n{text}"),
        }
    }
    Ok(())
}
