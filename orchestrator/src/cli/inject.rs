//! `meshproof inject`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use meshproof_proto::id::Name;
use meshproof_proto::identity::{Capability, Role};
use meshproof_proto::labels::Labels;
use meshproof_proto::verdict::Exit;

use crate::inject::{Wishes, inject};
use crate::membership::usual;
use crate::say;

/// The arguments of `meshproof inject`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  meshproof inject -f shop.yaml --service http=127.0.0.1:8080 --listen payments=9001 | kubectl apply -f -\n  \
    kubectl get deploy shop -o yaml | meshproof inject -f - | kubectl apply -f -",
    after_help = super::ONLY_USAGE
)]
pub(super) struct Args {
    /// A manifest of Kubernetes, with one document or several; `-` reads stdin
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Of its workloads this one only
    #[arg(long, value_name = "WORKLOAD")]
    only: Option<String>,
    /// What the agent is called. Default: as the workload
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    /// The agent's image
    #[arg(long, value_name = "IMAGE", default_value = concat!("meshproof-agent:", env!("CARGO_PKG_VERSION")))]
    image: String,
    /// The Secret with the agent's token, under the key `token`. Default: `meshproof-NAME`
    #[arg(long, value_name = "SECRET")]
    token_secret: Option<String>,
    /// Signaling servers; several are separated by commas. Default: those that the token names
    #[arg(long, value_name = "URLS")]
    signaling: Option<String>,
    /// Where the service listens: `http=127.0.0.1:8080`, by the port's name in plans
    #[arg(long, value_name = "PORTS")]
    service: Option<String>,
    /// Ports on 127.0.0.1 where the service expects stubs, and ports of other services: `payments=9001,ledger.tcp=7070`
    #[arg(long, value_name = "PORTS")]
    listen: Option<String>,
    /// Its log files, on a volume that both mount: `audit=/audit/audit.log`
    #[arg(long, value_name = "FILES")]
    logs: Option<String>,
    /// Labels by which people choose it: `zone=eu,tier=db`
    #[arg(long, value_name = "LABELS")]
    labels: Option<Labels>,
    /// What its token may let it be asked for beside what every agent needs: `exec`, `netem`, `tun`. Default: none of them
    #[arg(long, value_name = "CAPABILITIES", value_delimiter = ',')]
    allow: Vec<Capability>,
}

/// Prints the manifest with the agents, and says how they get their tokens.
pub(super) fn run(args: &Args) -> Exit {
    let text = match read(&args.file) {
        Ok(text) => text,
        Err(error) => return say::failed(&format!("cannot read {}: {error}", args.file.display()), Exit::Usage),
    };
    let injected = match inject(&text, args.only.as_deref(), &args.wishes()) {
        Ok(injected) => injected,
        Err(error) => return say::failed(&format!("{}: {error}", args.file.display()), Exit::Usage),
    };
    let exit = say::result(&injected.text);
    for (agent, secret) in &injected.agents {
        say::note(format_args!(
            "{agent} looks for its token in the Secret {secret}; once for a mesh:\n  \
             meshproof mesh invite {agent} --allow {} --out {agent}.token\n  \
             kubectl create secret generic {secret} --from-file=token={agent}.token",
            args.capabilities()
        ));
    }
    exit
}

impl Args {
    fn wishes(&self) -> Wishes {
        let labels = self.labels.as_ref().map(Labels::to_string);
        let settings = [
            ("MESHPROOF_SIGNALING", &self.signaling),
            ("MESHPROOF_SERVICE", &self.service),
            ("MESHPROOF_LISTEN", &self.listen),
            ("MESHPROOF_LOGS", &self.logs),
            ("MESHPROOF_LABELS", &labels),
        ];
        Wishes {
            name: self.name.clone(),
            image: self.image.clone(),
            secret: self.token_secret.clone(),
            settings: settings.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect(),
            of_one_service: [&self.service, &self.listen, &self.logs].iter().any(|setting| setting.is_some()),
        }
    }

    /// What an agent usually gets, but no `exec` unless it was asked for.
    fn capabilities(&self) -> String {
        let usual = usual(Role::Agent).into_iter().filter(|usual| *usual != Capability::Exec);
        let mut all: Vec<Capability> = usual.chain(self.allow.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

fn read(file: &Path) -> std::io::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        return std::io::stdin().read_to_string(&mut text).map(|_| text);
    }
    std::fs::read_to_string(file)
}
