//! TLS: which identities the run's authority has to make, who finds them in its folder, and what a call trusts and shows.

use meshproof_proto::id::Name;
use meshproof_proto::order::{Held, Identity, ServerTls, Tls, Trust};

use super::super::code::Code;
use super::super::compiled::Endpoint;
use super::super::diagnostic::{Diagnostic, quote};
use super::super::model::{self, Own, Service, StubTls};
use super::super::source::Span;
use super::Compiler;
use super::beside::TakenFor;
use super::lookups::Scope;

impl Compiler<'_> {
    /// A call's side of TLS; the texts are put in by the run.
    pub(super) fn tls(&mut self, tls: &model::Tls, target: Option<&Endpoint>) -> Tls {
        let own_authority = tls.ca.is_none() && !tls.skip;
        let trust = match &tls.ca {
            _ if tls.skip => Trust::Anyone,
            Some(ca) => Trust::Authorities(self.held_file(ca, TakenFor::Certificates)),
            None => Trust::Authorities(Held::named("tls.ca")),
        };
        if own_authority {
            self.authority.get_or_insert_default();
        }
        let identity = match &tls.own {
            None => None,
            Some(Own::Named(name)) => {
                self.authority.get_or_insert_default().insert(name.value.clone());
                let part = |part: &str| Held::named(format!("tls.{}.{part}", name.value));
                Some(Identity { cert: part("cert"), key: part("key") })
            }
            Some(Own::Files { cert, key }) => {
                let cert = self.held_file(cert, TakenFor::Certificates);
                Some(Identity { cert, key: self.held_file(key, TakenFor::Key) })
            }
        };
        // The run's authority signs names of services, so that one service's certificate does not pass for another's.
        let service = target.filter(|_| own_authority).map(|target| target.service.to_string());
        Tls { trust, identity, server_name: tls.server_name.as_ref().map(|name| name.value.clone()).or(service) }
    }

    /// A stub's side of TLS: it has its own name's certificate.
    pub(super) fn stub_tls(&mut self, name: &str, clients: StubTls) -> ServerTls {
        self.authority.get_or_insert_default().insert(name.to_owned());
        let part = |part: &str| Held::named(format!("tls.{name}.{part}"));
        let clients = match clients {
            StubTls::Anyone => None,
            StubTls::Known => Some(Held::named("tls.ca")),
        };
        ServerTls { identity: Identity { cert: part("cert"), key: part("key") }, clients }
    }

    /// `tls.ca`, `tls.NAME.cert`, `tls.NAME.key`: paths in the folder of the service that looks.
    pub(super) fn look_tls(&mut self, span: Span, rest: &[&str], scope: &Scope<'_>) {
        let Some(at) = &scope.at else {
            let message = "certificates are files beside a service, and nobody stands beside one here";
            self.cx.report(Diagnostic::new(Code::UnknownName, span, message));
            return;
        };
        match rest {
            ["ca"] => {
                self.authority.get_or_insert_default();
            }
            [name, "cert" | "key"] if *name != "ca" => self.identity_at(at.clone(), name),
            _ => {
                let message = format!("{} is no part of `tls`", quote(&rest.join(".")));
                let problem = Diagnostic::new(Code::UnknownName, span, message);
                self.cx.report(problem.expected("`tls.ca`, `tls.NAME.cert` or `tls.NAME.key`"));
            }
        }
    }

    /// `self.tls.cert`, `self.tls.key`.
    pub(super) fn look_own_tls(&mut self, span: Span, rest: &[&str], service: &Service) {
        if !service.tls {
            let message = format!("the service `{}` has no certificate", service.name.value);
            self.cx.report(Diagnostic::new(Code::UnknownName, span, message).help("give it one: `tls: run`"));
            return;
        }
        if !matches!(rest, ["cert" | "key"]) {
            let message = format!("{} is no part of `self.tls`", quote(&rest.join(".")));
            let problem = Diagnostic::new(Code::UnknownName, span, message);
            self.cx.report(problem.expected("`self.tls.cert` or `self.tls.key`"));
        }
    }

    /// An identity whose files stand in the folder of that service.
    pub(super) fn identity_at(&mut self, at: Name, name: &str) {
        self.authority.get_or_insert_default().insert(name.to_owned());
        self.identities_at.entry(at).or_default().insert(name.to_owned());
    }
}
