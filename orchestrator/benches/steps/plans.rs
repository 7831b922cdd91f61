//! The plans that are measured, and the file that asks hurl for the same.

use std::fmt::Write as _;

/// Steps that belong together: an order, what it led to, and what is kept of it.
const GROUP: usize = 5;

/// A plan as long as people never write one, of steps as they write them: `steps` in each of `tests`.
pub fn mixed(tests: usize, steps: usize) -> String {
    let mut plan = String::from(HEAD);
    for test in 0..tests {
        let _ = write!(plan, "  - id: test-{test}\n    timeout: 10m\n    steps:\n");
        for group in 0..steps / GROUP {
            let _ = write!(
                plan,
                r#"      - id: order-{group}
        to: shop
        http: {{ post: /orders, json: {{ sku: A{group}, quantity: 2, card: "${{{{ params.card }}}}" }}, headers: {{ X-Trace: t-{group} }} }}
        expect: {{ status: 202, json: {{ $.state: pending }}, duration: "< 5s" }}
        save: {{ order{group}: $.id }}
      - to: shop
        http: {{ get: "/orders/${{{{ order{group} }}}}" }}
        expect: {{ status: 200, json: {{ $.state: {{ in: [pending, settled] }} }} }}
      - expect: {{ log: ledger.audit, contains: "posted ${{{{ order{group} }}}}" }}
        eventually: 30s
      - at: ledger
        exec: {{ argv: [grep, -c, "${{{{ order{group} }}}}", audit.log], env: {{ LANG: C }} }}
        expect: {{ code: 0, stdout: "/^[0-9]+/" }}
      - expect: {{ value: "${{{{ order{group} }}}}", is: {{ matches: /^o-/ }} }}
"#
            );
        }
    }
    plan
}

const HEAD: &str = r#"meshproof: 1
plan: long
params: { card: { type: string, default: "4242" } }
services:
  shop:
    exec: { argv: [./shop] }
    ports: { http: dynamic }
    env: { PORT: "${{ self.http.port }}", LEDGER: "${{ services.ledger.tcp }}" }
    ready: { http: { get: /healthz } }
  ledger:
    exec: { argv: [./ledger] }
    ports: { tcp: dynamic }
    env: { PORT: "${{ self.tcp.port }}" }
    logs: { audit: { file: audit.log } }
tests:
"#;

/// `steps` requests one after the other to a server that runs already, asked by two agents in turns or by one.
pub fn requests(port: u16, steps: usize, agents: Agents) -> String {
    let mut plan = format!(
        "meshproof: 1\nplan: requests\nservices:\n  left: {{ ports: {{ http: {port} }} }}\n  right: {{ ports: {{ http: {port} }} }}\n\
         tests:\n  - id: all\n    steps:\n"
    );
    for step in 0..steps {
        let to = match agents {
            Agents::InTurns if step % 2 == 1 => "right",
            Agents::InTurns | Agents::One => "left",
        };
        let _ = writeln!(
            plan,
            "      - {{ to: {to}, http: {{ get: /items/{step} }}, expect: {{ status: 200, json: {{ $.id: {step}, $.state: good }} }} }}"
        );
    }
    plan
}

/// Who makes the requests of a plan.
#[derive(Clone, Copy, Debug)]
pub enum Agents {
    One,
    InTurns,
}

/// The same requests with the same checks, as hurl reads them.
pub fn hurl(port: u16, steps: usize) -> String {
    let mut file = String::new();
    for step in 0..steps {
        let _ = write!(
            file,
            "GET http://127.0.0.1:{port}/items/{step}\nHTTP 200\n[Asserts]\njsonpath \"$.id\" == {step}\njsonpath \"$.state\" == \"good\"\n\n"
        );
    }
    file
}
