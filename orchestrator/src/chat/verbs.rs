//! What agents are asked for in a chat: a tree of commands as the command line's, whose leaves are steps of the plan language.

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

/// `@shop …`
#[derive(Debug, Parser)]
#[command(
    name = "@AGENT",
    no_binary_name = true,
    disable_version_flag = true,
    about = "Ask one agent, several (`@shop*`, `@zone=eu`) or all (`@all`) for something, beside the run",
    max_term_width = 100
)]
pub struct ToAgents {
    #[command(subcommand)]
    pub verb: Verb,
}

/// What they are to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// An HTTP exchange with the service: `@shop http get /healthz`.
    Http(Http),
    /// Send a text over TCP and read the answer: `@ledger tcp "PING\n"`.
    Tcp(Tcp),
    /// Send messages over a WebSocket: `@shop ws --path /feed hello`.
    Ws(Ws),
    /// A gRPC call: `@stock grpc acme.Stock/Get --json '{ sku: A1 }'`.
    Grpc(Grpc),
    /// Run a program beside the service: `@shop exec date +%s`.
    Exec(Exec),
    /// The last lines of the service's logs: `@ledger logs audit --since 1m`.
    Logs(Logs),
    /// How long a message to the agent and back takes.
    Ping,
    /// What the agent holds: its run, steps, faults and stubs.
    State,
}

/// The methods of HTTP, as plans write them.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl Method {
    fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Head => "head",
            Self::Post => "post",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::Options => "options",
        }
    }
}

#[derive(Debug, Args)]
pub struct Http {
    method: Method,
    /// Path and query.
    path: String,
    /// What is sent, as JSON or YAML: `--json '{ sku: A1, quantity: 2 }'`.
    #[arg(long, value_parser = value)]
    json: Option<Value>,
    /// What is sent, as text.
    #[arg(long, conflicts_with = "json")]
    body: Option<String>,
    /// A header: `--header accept=text/plain`. May be given several times.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub struct Tcp {
    /// In double quotes `\n` is a line's end.
    send: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub struct Ws {
    #[arg(required = true)]
    send: Vec<String>,
    /// Path and query.
    #[arg(long, default_value = "/")]
    path: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub struct Grpc {
    /// package.Service/Method
    call: String,
    /// What is sent, as JSON or YAML.
    #[arg(long, value_parser = value)]
    json: Option<Value>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub struct Exec {
    /// The program and its arguments; options for this command stand before it.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    argv: Vec<String>,
    /// The words are a line for a shell.
    #[arg(long)]
    shell: bool,
    #[command(flatten)]
    how: How,
}

/// What is expected, from where, and for how long.
#[derive(Debug, Args)]
pub struct How {
    /// What must hold: `--expect status=202`, `--expect 'duration=< 1s'`, `--expect 'json={ $.state: done }'`. Several times.
    #[arg(long = "expect", value_name = "FIELD=MATCHER", value_parser = expectation)]
    expect: Vec<(String, Value)>,
    /// The agent that calls; the run must have a way from there. Default: the service's own.
    #[arg(long, value_name = "AGENT")]
    from: Option<String>,
    /// Speak TLS, and trust the run's authority.
    #[arg(long)]
    tls: bool,
    /// Speak TLS as this identity of the run: `--as clerk`.
    #[arg(long = "as", value_name = "NAME")]
    identity: Option<String>,
    /// How long one try may take.
    #[arg(long, value_name = "DURATION")]
    within: Option<String>,
    /// Try again until it holds, at most so long.
    #[arg(long, value_name = "DURATION")]
    eventually: Option<String>,
}

#[derive(Debug, Args)]
pub struct Logs {
    /// Its name: stdout, stderr, or one of the plan's. Default: all.
    #[arg(default_value = "*")]
    pub log: String,
    /// Only what was written in so long: `--since 1m`.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub since: Option<std::time::Duration>,
    /// At most so many lines of each log.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub last: u32,
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    crate::plan::duration(text).map_err(|error| error.to_string())
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("`NAME=VALUE` was expected".to_owned()),
    }
}

fn expectation(text: &str) -> Result<(String, Value), String> {
    let (field, matcher) = pair(text).map_err(|_| "`FIELD=MATCHER` was expected, as in `status=200`".to_owned())?;
    let matcher = match matcher.trim_start().starts_with(['{', '[']) {
        true => value(&matcher)?,
        false => scalar(&matcher),
    };
    Ok((field, matcher))
}

/// JSON, or YAML as plans are written in.
fn value(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|error| {
        let error = error.to_string();
        format!("this is neither JSON nor YAML: {}", error.lines().next().unwrap_or_default())
    })
}

fn scalar(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
    }
}

impl Verb {
    /// The step that does it at this agent; none for what is no step.
    #[must_use]
    pub fn step(&self, agent: &str) -> Option<Value> {
        match self {
            Self::Http(http) => Some(http.how.around(agent, json!({ "http": http.verb() }))),
            Self::Tcp(tcp) => Some(tcp.how.around(agent, json!({ "tcp": { "send": tcp.send } }))),
            Self::Ws(ws) => Some(ws.how.around(agent, json!({ "ws": { "path": ws.path, "send": ws.send } }))),
            Self::Grpc(grpc) => {
                let mut verb = json!({ "call": grpc.call });
                put(&mut verb, "json", grpc.json.clone());
                Some(grpc.how.around(agent, json!({ "grpc": verb })))
            }
            Self::Exec(exec) => {
                let verb =
                    if exec.shell { json!({ "shell": exec.argv.join(" ") }) } else { json!({ "argv": exec.argv }) };
                let mut step = exec.how.around(agent, json!({ "exec": verb }));
                // a program runs at an agent, and is no call to a service
                let at = exec.how.from.clone().unwrap_or_else(|| agent.to_owned());
                if let Value::Object(step) = &mut step {
                    step.shift_remove("to");
                    step.shift_remove("at");
                    step.shift_insert(0, "at".to_owned(), Value::from(at));
                }
                Some(step)
            }
            Self::Logs(_) | Self::Ping | Self::State => None,
        }
    }

    /// Whether somebody said what must hold.
    #[must_use]
    pub fn expects(&self) -> bool {
        match self {
            Self::Http(Http { how, .. })
            | Self::Tcp(Tcp { how, .. })
            | Self::Ws(Ws { how, .. })
            | Self::Grpc(Grpc { how, .. })
            | Self::Exec(Exec { how, .. }) => !how.expect.is_empty(),
            Self::Logs(_) | Self::Ping | Self::State => false,
        }
    }
}

impl Http {
    fn verb(&self) -> Value {
        let mut verb = json!({ self.method.word(): self.path });
        put(&mut verb, "json", self.json.clone());
        put(&mut verb, "body", self.body.clone().map(Value::from));
        let headers: Map<String, Value> =
            self.headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        put(&mut verb, "headers", (!headers.is_empty()).then_some(Value::Object(headers)));
        verb
    }
}

impl How {
    /// The step around the verb.
    fn around(&self, agent: &str, mut verb: Value) -> Value {
        // inside of the verb, of which there is one
        if let Some(inside) = verb.as_object_mut().and_then(|verb| verb.values_mut().next()) {
            let own = self.identity.as_ref().map(|name| json!({ "as": name }));
            put(inside, "tls", own.or_else(|| self.tls.then(|| Value::from("run"))));
        }
        let mut step = json!({});
        put(&mut step, "at", self.from.clone().map(Value::from));
        put(&mut step, "to", Some(Value::from(agent)));
        if let (Value::Object(step), Value::Object(verb)) = (&mut step, verb) {
            step.extend(verb);
        }
        let expect: Map<String, Value> = self.expect.iter().cloned().collect();
        put(&mut step, "expect", (!expect.is_empty()).then_some(Value::Object(expect)));
        put(&mut step, "within", self.within.clone().map(Value::from));
        put(&mut step, "eventually", self.eventually.clone().map(Value::from));
        step
    }
}

fn put(entries: &mut Value, key: &str, value: Option<Value>) {
    if let (Value::Object(entries), Some(value)) = (entries, value) {
        entries.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::flow::flow;
    use crate::chat::line::words;

    fn verb(text: &str) -> Result<Verb, clap::Error> {
        Ok(ToAgents::try_parse_from(words(text).expect("words"))?.verb)
    }

    #[test]
    fn what_an_agent_is_asked_for_is_a_step_of_the_plan_language() {
        for (text, step) in [
            ("http get /healthz", "{ to: shop, http: { get: /healthz } }"),
            (
                "http post /orders --json '{ sku: A1, quantity: 2 }' --header x-a=b --expect status=202 --within 2s",
                "{ to: shop, http: { post: /orders, json: { sku: A1, quantity: 2 }, headers: { x-a: b } }, expect: { status: 202 }, within: \"2s\" }",
            ),
            (
                "http get / --from ledger --expect 'duration=< 1s' --expect 'json={ $.a: [1] }' --eventually 3s",
                "{ at: ledger, to: shop, http: { get: / }, expect: { duration: \"< 1s\", json: { \"$.a\": [1] } }, eventually: \"3s\" }",
            ),
            ("http get / --tls", "{ to: shop, http: { get: /, tls: run } }"),
            ("ws a --as clerk", "{ to: shop, ws: { path: /, send: [a], tls: { as: clerk } } }"),
            (r#"tcp "PING\n""#, r#"{ to: shop, tcp: { send: "PING\n" } }"#),
            ("ws a b", "{ to: shop, ws: { path: /, send: [a, b] } }"),
            (
                "grpc acme.Stock/Get --json '{\"sku\":\"A1\"}'",
                "{ to: shop, grpc: { call: acme.Stock/Get, json: { sku: A1 } } }",
            ),
            ("exec date +%s", r#"{ at: shop, exec: { argv: [date, "+%s"] } }"#),
            (
                "exec --shell --expect code=0 ls -l | wc",
                r#"{ at: shop, exec: { shell: "ls -l | wc" }, expect: { code: 0 } }"#,
            ),
        ] {
            let verb = verb(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(flow(&verb.step("shop").expect("a step")), step, "{text}");
        }
        for text in ["ping", "state", "logs", "logs audit --since 1m --last 5"] {
            assert!(verb(text).expect("good").step("shop").is_none());
        }
    }

    #[test]
    fn what_nobody_can_be_asked_for_is_told_with_what_may_have_been_meant() {
        for (text, said) in [
            ("htp get /", "'http'"),
            ("http gett /", "'get'"),
            ("http get", "<PATH>"),
            ("http get / --json '{'", "neither JSON nor YAML"),
            ("http get / --expect 200", "`FIELD=MATCHER` was expected"),
            ("logs --since long", "--since"),
        ] {
            let error = verb(text).expect_err(text).to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
