//! Whatever happens, nothing stays.

use meshproof::keeper::lines::{self, Lines};
use meshproof::keeper::protocol::{Answer, Call, Line, PROTOCOL, Request};
use meshproof::local::{Cause, EndVerdict, Exit, How, LocalEnvironment, LocalError, Notice, What};
use tokio::net::UnixStream;

use crate::support::*;

#[tokio::test]
async fn an_environment_ends_and_leaves_nothing() {
    let scene = Scene::new();
    let (environment, _notices) = scene.start().await;
    let mesh = std::fs::read_to_string(scene.run_folder().join("mesh.toml")).expect("written");
    assert!(mesh.contains("signaling = [\"ws://127.0.0.1:9/mesh\"]\nagents = [\"shop\"]\n"), "{mesh}");
    assert!(mesh.contains(&format!("root = \"{}\"\n", environment.root())), "{mesh}");
    let mut pids = environment.start_service(shop("exec sleep 1000")).await.expect("a shell is there");
    pids.extend(environment.agent_pids().values());
    pids.push(environment.keeper_pid());
    pids.push(parent_of(environment.keeper_pid()));
    let report = environment.end().await.expect("all is well");
    let ended: Vec<_> = report.endings.iter().map(|ending| (&ending.what, ending.exit, ending.verdict)).collect();
    let clean = |what| (what, Some(TERMINATED), EndVerdict::Clean);
    let (shop, agent) = (shop_process(0), What::Agent { name: name("shop"), number: 1 });
    assert_eq!(ended, [clean(&shop), clean(&agent), clean(&What::Signaling)]);
    assert!(report.strays.is_empty(), "{:?}", report.strays);
    assert!(!is_there(&scene.run_folder()));
    gone(pids).await;
}

#[tokio::test]
async fn a_stubborn_service_is_killed_after_its_grace_and_reported() {
    let scene = Scene::new();
    let (environment, _notices) = scene.start().await;
    let pipe = scene.pipe();
    let script = format!("trap '' TERM; echo ready > {}; while :; do sleep 1000; done", pipe.display());
    let mut stubborn = shop(&script);
    stubborn.stop.grace_ms = 100;
    let pids = environment.start_service(stubborn).await.expect("a shell is there");
    assert_eq!(told(&pipe).await, "ready");
    let report = environment.end().await.expect("all is well");
    let wrong: Vec<_> = report.wrong_services().collect();
    assert_eq!(wrong.len(), 1);
    assert_eq!((wrong[0].exit, wrong[0].cause), (Some(KILLED), Cause::Outlived));
    assert_eq!(wrong[0].to_string(), "service shop outlived its grace and was killed: SIGKILL");
    gone(pids).await;
}

#[tokio::test]
async fn what_a_service_left_in_its_group_is_ended_with_it() {
    let scene = Scene::new();
    let (environment, mut notices) = scene.start().await;
    let pipe = scene.pipe();
    environment.start_service(shop(&format!("sleep 1000 & echo $! > {}", pipe.display()))).await.expect("a shell");
    let child: i32 = told(&pipe).await.parse().expect("a process id");
    let left = exited(&mut notices).await;
    assert_eq!((left.what, left.exit, left.cause), (shop_process(0), Exit::Code(0), Cause::Itself));
    let report = environment.end().await.expect("all is well");
    assert_eq!((report.endings[0].cause, report.endings[0].verdict), (Cause::Asked, EndVerdict::Clean));
    gone([child]).await;
}

#[tokio::test]
async fn what_left_its_group_is_found_killed_and_named() {
    let scene = Scene::new();
    let (environment, _notices) = scene.start().await;
    let stray = start_stray(&scene, &environment).await;
    let report = environment.end().await.expect("all is well");
    assert_eq!(report.strays.len(), 1, "{:?}", report.strays);
    assert!(report.strays[0].ends_with(&format!(" ({stray})")), "{:?}", report.strays);
    gone([stray]).await;
}

#[test]
fn without_its_orchestrator_everything_is_ended_after_the_grace() {
    let mut scene = Scene::new();
    scene.spec.orphan_grace = std::time::Duration::from_millis(200);
    let orchestrator = runtime();
    let pids = orchestrator.block_on(async {
        let (environment, _notices) = scene.start().await;
        let mut pids = environment.start_service(shop("exec sleep 1000")).await.expect("a shell is there");
        pids.push(environment.keeper_pid());
        // Crashed: it says nothing any more, only its connection closes.
        std::mem::forget(environment);
        pids
    });
    orchestrator.shutdown_background();
    runtime().block_on(gone(pids));
    assert!(!is_there(&scene.run_folder()));
}

#[tokio::test]
async fn who_connects_later_takes_over() {
    let scene = Scene::new();
    let (environment, mut notices) = scene.start().await;
    kill(environment.agent_pids()[&name("shop")]);
    exited(&mut notices).await;
    assert!(matches!(notices.recv().await, Some(Notice::AgentStarted { .. })));
    let socket = UnixStream::connect(scene.run_folder().join("keeper.sock")).await.expect("it listens");
    let (reading, mut writing) = socket.into_split();
    let mut answers = Lines::new(reading);
    lines::write(&mut writing, &Call { id: 1, request: Request::Hello { protocol: PROTOCOL, term: 1 } })
        .await
        .expect("it reads");
    let Ok(Some(Line::Answer { id: 1, answer: Answer::Welcome(welcome) })) = answers.next().await else {
        panic!("no welcome")
    };
    assert_eq!(welcome.exits[0].what, What::Agent { name: name("shop"), number: 1 });
    assert_eq!(notices.recv().await, Some(Notice::Replaced), "the first one lost control");
    assert_eq!(notices.recv().await, None);
    assert!(matches!(environment.start_service(shop("true")).await, Err(LocalError::Gone { .. })));

    lines::write(&mut writing, &Call { id: 2, request: Request::End { how: How::Asking } }).await.expect("it reads");
    let mut last = None;
    while let Some(line) = answers.next::<Line>().await.expect("whole lines") {
        last = Some(line);
    }
    assert!(matches!(last, Some(Line::Answer { id: 2, answer: Answer::Ended(_) })), "{last:?}");
    assert!(!is_there(&scene.run_folder()));
}

#[tokio::test]
async fn dropped_it_is_killed_at_once() {
    let scene = Scene::new();
    let (environment, _notices) = scene.start().await;
    let pipe = scene.pipe();
    let script = format!("trap '' TERM; echo ready > {}; while :; do sleep 1000; done", pipe.display());
    let mut stubborn = shop(&script);
    stubborn.stop.grace_ms = 3_600_000;
    let mut pids = environment.start_service(stubborn).await.expect("a shell is there");
    assert_eq!(told(&pipe).await, "ready");
    pids.push(environment.keeper_pid());
    drop(environment);
    gone(pids).await;
    assert!(!is_there(&scene.run_folder()));
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_nothing() {
    let mut scene = Scene::new();
    let pipe = scene.pipe();
    // It says who it is and never where it listens: the keeper is in the middle of opening.
    let script = format!("echo $$ $PPID > {}; exec sleep 1000", pipe.display());
    scene.spec.programs.signaling = ["/bin/sh", "-c", &script].map(str::to_owned).into();
    let pids = tokio::select! {
        _ = LocalEnvironment::start(scene.spec.clone()) => panic!("signaling never listens"),
        pids = told(&pipe) => pids,
    };
    gone(pids.split(' ').map(|pid| pid.parse().expect("a process id"))).await;
    assert!(!is_there(&scene.run_folder()));
}

#[tokio::test]
async fn a_killed_keeper_leaves_nothing() {
    let scene = Scene::new();
    let (environment, mut notices) = scene.start().await;
    let stray = start_stray(&scene, &environment).await;
    let agent = environment.agent_pids()[&name("shop")];
    kill(environment.keeper_pid());
    while notices.recv().await.is_some() {}
    assert!(matches!(environment.end().await, Err(LocalError::Gone { .. })));
    assert!(!is_there(&scene.run_folder()));
    gone([stray, agent]).await;
}

#[tokio::test]
async fn a_killed_guard_has_the_keeper_end_everything() {
    let scene = Scene::new();
    let (environment, _notices) = scene.start().await;
    let pids = environment.start_service(shop("exec sleep 1000")).await.expect("a shell is there");
    let keeper = environment.keeper_pid();
    kill(parent_of(keeper));
    gone(pids.into_iter().chain([keeper])).await;
    assert!(!is_there(&scene.run_folder()));
}

#[tokio::test]
async fn signaling_that_does_not_start_is_said_with_its_last_words() {
    let mut scene = Scene::new();
    scene.spec.programs.signaling = ["/bin/sh", "-c", "echo no port for me >&2; exit 1"].map(str::to_owned).into();
    let error = LocalEnvironment::start(scene.spec.clone()).await.expect_err("there is no signaling");
    assert_eq!(error.to_string(), "signaling ended before it listened; its last words: no port for me");
    assert!(!is_there(&scene.run_folder()));
}

#[tokio::test]
async fn a_keeper_that_does_not_start_leaves_no_folder() {
    let mut scene = Scene::new();
    scene.spec.programs.keeper = vec!["/no/such/keeper".to_owned()];
    let error = LocalEnvironment::start(scene.spec.clone()).await.expect_err("there is no keeper");
    assert!(matches!(error, LocalError::Keeper { .. }));
    assert!(!is_there(&scene.run_folder()));
}

/// A service whose child has left its group and session. Gives the child's process id.
async fn start_stray(scene: &Scene, environment: &LocalEnvironment) -> i32 {
    let pipe = scene.pipe();
    let leave = format!("setsid sh -c 'echo $$ > {}; exec sleep 1000' & wait", pipe.display());
    environment.start_service(shop(&leave)).await.expect("a shell is there");
    told(&pipe).await.parse().expect("a process id")
}
