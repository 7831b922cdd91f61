//! What a run would do: who is started, who listens where for whom, and who does which step. Nothing is done for it.

use std::fmt::Write as _;

use super::sanitise::line as clean;
use crate::plan::Plan;
use crate::plan::compiled::{Does, Step};

/// As text, for `run --dry-run`.
#[must_use]
pub fn text(plan: &Plan) -> String {
    let mut text = format!("plan {}\n", plan.name);
    for command in &plan.build {
        let _ = writeln!(text, "build {}", clean(&command.argv.join(" ")));
    }
    for secret in &plan.secret_names {
        let _ = writeln!(text, "secret {secret}");
    }
    for service in &plan.services {
        let needs: Vec<String> = service.needs.iter().map(ToString::to_string).collect();
        let needs = if needs.is_empty() { String::new() } else { format!(", after {}", needs.join(", ")) };
        let what = if service.processes.is_empty() { "an agent beside what runs already" } else { "an agent, and it" };
        let _ = writeln!(text, "service {}: {what}{needs}", service.name);
    }
    for stub in &plan.stubs {
        let _ = writeln!(text, "stub {} at {}", clean(&stub.order.name), stub.at);
    }
    for (service, address) in plan.network.iter().flat_map(|network| &network.addresses) {
        let _ = writeln!(text, "{service} at {address} on the data network");
    }
    for tunnel in plan.tunnels.iter().filter(|_| plan.network.is_none()) {
        let _ = writeln!(text, "tunnel from {} to {}", tunnel.at, tunnel.to);
    }
    for test in &plan.tests {
        let _ = writeln!(text, "test {}", clean(&test.id));
        let parts: [(&str, &[Step]); 5] = [
            ("always", &test.always),
            ("steady", &test.steady),
            ("", &test.steps),
            ("after", &test.after),
            ("steady again", &test.steady_after),
        ];
        for (part, steps) in parts {
            steps.iter().for_each(|step| text += &line(part, step));
        }
        test.settle.iter().for_each(|step| text += &line("", step));
    }
    text
}

fn line(part: &str, step: &Step) -> String {
    let who = match &step.does {
        Does::Ask(ask) => match &step.spread {
            Some(spread) => format!("one of {}", spread.group),
            None => ask.at.to_string(),
        },
        _ => "orchestrator".to_owned(),
    };
    let id = step.id.as_deref().map(|id| format!("{}  ", clean(id))).unwrap_or_default();
    let part = if part.is_empty() { String::new() } else { format!("{part}: ") };
    format!("  {who}: {part}{id}{}\n", clean(&step.title))
}
