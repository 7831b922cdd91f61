//! The methods that a stub knows, by the path of their calls.

use std::collections::HashMap;

use meshproof_proto::order::{Held, StubRoute, Takes};
use prost_reflect::MethodDescriptor;

use crate::action::grpc::schema;

#[derive(Debug, Default)]
pub(in crate::stub) struct Methods(HashMap<String, MethodDescriptor>);

impl Methods {
    /// Reads the descriptions. `Err`: they cannot be read, or a route is for a method that is not among them.
    pub fn of(protos: &[Held], routes: &[StubRoute]) -> Result<Self, String> {
        let pool = schema::compiled(protos)?;
        let all = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        let path = |method: &MethodDescriptor| format!("/{}/{}", method.parent_service().full_name(), method.name());
        let methods = Self(all.map(|method| (path(&method), method)).collect());
        let wanted = routes.iter().filter_map(|route| match &route.takes {
            Takes::Request { path: Some(path), .. } if !path.contains('*') => Some((route, path)),
            _ => None,
        });
        for (route, path) in wanted {
            if methods.get(path).is_none() {
                let mut known: Vec<&str> = methods.0.keys().map(|path| path.trim_start_matches('/')).collect();
                known.sort_unstable();
                let call = path.trim_start_matches('/');
                return Err(format!("route `{}`: there is no method {call}; there are {}", route.id, known.join(", ")));
            }
        }
        Ok(methods)
    }

    pub fn get(&self, path: &str) -> Option<&MethodDescriptor> {
        self.0.get(path)
    }
}
