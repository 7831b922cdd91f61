//! Hosts that a stub stands for as a proxy.

use meshproof_proto::id::Name;
use meshproof_proto::order::{Becomes, Held, Identity, Target, Upstream, Upstreams};

use super::super::code::Code;
use super::super::compiled::Tunnel;
use super::super::diagnostic::Diagnostic;
use super::super::model::{self, Stub};
use super::super::read;
use super::Compiler;

impl Compiler<'_> {
    /// The stub's side of it: an authority of its own, which the run's authority has signed.
    pub(super) fn upstreams(&mut self, stub: &Stub, at: Option<&Name>) -> Option<Upstreams> {
        let given = stub.upstreams.as_ref()?;
        self.authority.get_or_insert_default();
        let ids: Vec<_> = stub.routes.iter().map(|route| &route.id).chain(given.iter().map(|one| &one.id)).collect();
        for (place, upstream) in given.iter().enumerate() {
            let before = &ids[..stub.routes.len() + place];
            if let Some(first) = before.iter().find(|id| id.value == upstream.id.value) {
                let message = format!("two upstreams or routes have the id `{}`", upstream.id.value);
                let problem = Diagnostic::new(Code::DuplicateName, upstream.id.span, message);
                self.cx.report(problem.label(first.span, "first here"));
            }
        }
        let hosts = given.iter().filter_map(|upstream| self.upstream(upstream, at)).collect();
        let name = &stub.name.value;
        let part = |part: &str| Held::named(format!("tls.upstreams.{name}.{part}"));
        Some(Upstreams { authority: Identity { cert: part("cert"), key: part("key") }, subject: subject(name), hosts })
    }

    fn upstream(&mut self, upstream: &model::Upstream, at: Option<&Name>) -> Option<Upstream> {
        let becomes = match &upstream.becomes {
            model::Becomes::Intercepted => Becomes::Intercepted,
            model::Becomes::Refused => Becomes::Refused,
            model::Becomes::Rewritten { to, tls } => {
                let to = self.names.endpoint(to, "http")?;
                let tls = tls.as_ref().map(|tls| self.tls(tls, Some(&to)));
                let label = to.to_string();
                if let Some(at) = at.filter(|at| **at != to.service) {
                    if self.networked.is_some() {
                        self.cx
                            .report(read::not_yet(upstream.id.span, "`rewrite` to another service, with `network`,"));
                    }
                    self.tunnels.insert(Tunnel { at: at.clone(), to });
                }
                Becomes::Rewritten(Box::new(Target { tls, ..Target::plain(label, "") }))
            }
        };
        Some(Upstream { id: upstream.id.value.clone(), host: upstream.host.value.clone(), becomes })
    }
}

/// The common name of the authority of a stub's upstreams.
fn subject(stub: &str) -> String {
    format!("meshproof upstreams of {stub}")
}
