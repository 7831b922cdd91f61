use meshproof_proto::event::Pipe;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

fn shell(line: &str) -> StepOrder {
    let argv = ["/bin/sh", "-c", line].map(Template::text).to_vec();
    let exec = ExecAction { argv, env: Vec::new(), stdin: None, cwd: None, limits: Bounds::default() };
    order(Action::Exec(exec), &[])
}

async fn printed(world: &mut World) -> (Pipe, String) {
    loop {
        let fact = world.heard.recv().await.expect("the world is there");
        if let Fact::Printed { pipe, text, .. } = fact {
            return (pipe, text);
        }
    }
}

#[tokio::test]
async fn what_a_program_prints_is_told_while_it_runs_and_without_secrets() {
    let mut world = World::new().await;
    world.beside.masker = Arc::new(Masker::new([("key", "hunter2hunter2")]).expect("long enough"));
    let gate = world.dir.path().join("gate");
    mknodat(CWD, &gate, FileType::Fifo, Mode::RWXU, 0).expect("a pipe with a name");
    let order = shell(&format!("echo has hunter2hunter2; cat {}; echo oops >&2", gate.display()));
    let beside = Arc::new(world.beside);
    let running = {
        let beside = Arc::clone(&beside);
        tokio::spawn(async move { run_step(&order, &beside).await })
    };
    let heard = &mut world.heard;
    let Some(Fact::Printed { pipe, text, key }) = heard.recv().await else { panic!("something is printed first") };
    assert_eq!((pipe, text.as_str(), key.step.as_str()), (Pipe::Stdout, "has ***key***\n", "1"));
    assert!(!running.is_finished(), "it waits for the gate");
    std::fs::write(&gate, "through\n").expect("the program reads it");
    assert_eq!(running.await.expect("no panic").outcome, Outcome::Ok);
    let mut rest = Vec::new();
    while let Ok(Fact::Printed { pipe, text, .. }) = heard.try_recv() {
        rest.push((pipe, text));
    }
    rest.sort_by_key(|(pipe, _)| pipe.word());
    assert_eq!(rest, [(Pipe::Stderr, "oops\n".to_owned()), (Pipe::Stdout, "through\n".to_owned())]);
}

#[tokio::test]
async fn of_much_that_is_printed_the_first_part_and_the_last_are_told_and_all_of_it_is_kept() {
    let mut world = World::new().await;
    let mut order = shell("yes | head -c 1000000; echo; echo why; echo y");
    order.checks = vec![Check { field: "stdout".to_owned(), matcher: Matcher::Regex("y$".to_owned()) }];
    let beside = Arc::new(world.beside);
    let running = tokio::spawn(async move { run_step(&order, &beside).await });
    let (mut told, mut last, mut cut) = (0, String::new(), false);
    while let Some(fact) = world.heard.recv().await {
        if let Fact::Printed { text, .. } = fact {
            assert!(text.len() <= meshproof_proto::limits::EVENT_TEXT_BYTES + 64, "{}", text.len());
            told += text.len();
            cut |= text.ends_with("… (no more is told while the step runs)\n");
            last = text;
        }
    }
    assert_eq!(running.await.expect("no panic").outcome, Outcome::Ok);
    let most = limits::PRINTED_BYTES + limits::PRINTED_TAIL_BYTES;
    assert!((most..most + 128).contains(&told) && cut, "{told}");
    assert!(last.starts_with("… (930375 bytes were not told)\n") && last.ends_with("\ny\n\nwhy\ny\n"), "{last}");
}

#[tokio::test]
async fn tries_of_a_repeated_step_share_what_is_told() {
    let mut world = World::new().await;
    let order = StepOrder { eventually_ms: Some(200), ..shell("yes | head -c 40000; exit 1") };
    let step = run_step(&order, &world.beside);
    tokio::pin!(step);
    let mut told = 0;
    let result = loop {
        tokio::select! {
            result = &mut step => break result,
            Some(Fact::Printed { text, .. }) = world.heard.recv() => told += text.len(),
        }
    };
    assert!(result.tries > 1, "{result:?}");
    let tails = limits::PRINTED_TAILS * (limits::PRINTED_TAIL_BYTES + 64);
    assert!(told < limits::PRINTED_BYTES + 64 + tails, "{told}");
}

#[tokio::test]
async fn a_last_line_without_its_end_is_told_when_the_program_ends() {
    let mut world = World::new().await;
    let order = shell("printf 'no end'");
    assert_eq!(world.run(&order).await.outcome, Outcome::Ok);
    assert_eq!(printed(&mut world).await, (Pipe::Stdout, "no end".to_owned()));
}
