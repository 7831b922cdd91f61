//! Services start as they were described, and are watched.

use std::collections::BTreeMap;
use std::path::PathBuf;

use meshproof::local::{
    Cause, Collect, Disturbance, EndVerdict, Exit, File, How, LocalError, Notice, PortWish, Stopped, Target, What,
    Wishes,
};

use crate::support::*;

#[tokio::test]
async fn a_service_sees_its_environment_its_files_and_nothing_else() {
    let scene = Scene::new();
    let (environment, mut notices) = scene.start().await;
    let mut shop = shop_of(vec![
        vec!["/usr/bin/env".to_owned()],
        shop("cat etc/greeting; pwd; echo oops >&2").processes.remove(0),
    ]);
    shop.env = BTreeMap::from([("PORT".to_owned(), "1234".to_owned())]);
    shop.files = vec![File { path: "etc/greeting".to_owned(), content: b"hello\n".to_vec() }];
    environment.start_service(shop).await.expect("both programs are there");
    for _ in 0..2 {
        let exited = exited(&mut notices).await;
        assert_eq!((exited.exit, exited.cause), (Exit::Code(0), Cause::Itself), "{}", exited.what);
    }
    let logs = scene.run_folder().join("logs/shop");
    let stdout = std::fs::read_to_string(logs.join("stdout.log")).expect("a log");
    let dir = scene.run_folder().join("services/shop");
    for line in ["hello".to_owned(), dir.display().to_string()] {
        assert!(stdout.lines().any(|printed| printed == line), "{line} in {stdout}");
    }
    assert_eq!(std::fs::read_to_string(logs.join("stderr.log")).expect("a log"), "oops\n");
    let variables: Vec<_> = stdout.lines().filter_map(|line| line.split_once('=')).collect();
    assert!(variables.contains(&("PORT", "1234")), "{variables:?}");
    for (name, _) in variables {
        assert!(["PORT", "PATH", "HOME", "LANG", "TMPDIR", "MESHPROOF_RUN_FOLDER"].contains(&name), "{name}");
    }
    environment.end().await.expect("all is well");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named_and_nothing_of_the_service_stays() {
    let scene = Scene::new();
    let (environment, mut notices) = scene.start().await;
    let sleeper = shop("exec sleep 1000").processes.remove(0);
    let refused = environment.start_service(shop_of(vec![sleeper.clone(), vec!["no-such-shop".to_owned()]])).await;
    let message = refused.expect_err("there is no such program").to_string();
    assert_eq!(message, "service shop: there is no program `no-such-shop` in PATH");
    assert_eq!(exited(&mut notices).await.what, shop_process(0));
    let refused = environment.start_service(shop_of(vec![vec!["./shop".to_owned()]])).await;
    assert!(matches!(refused, Err(LocalError::Refused(text)) if text.contains("cannot start `./shop`")));
    let mut outside = shop("true");
    outside.files = vec![File { path: "../escape".to_owned(), content: Vec::new() }];
    assert!(matches!(environment.start_service(outside).await, Err(LocalError::Refused(_))));

    environment.start_service(shop_of(vec![sleeper])).await.expect("it is free to start");
    let again = environment.start_service(shop("true")).await;
    assert!(matches!(again, Err(LocalError::Refused(text)) if text == "service shop runs already"));
    environment.end().await.expect("all is well");
}

#[tokio::test]
async fn places_are_given_before_anything_starts() {
    let scene = Scene::new();
    let (mut environment, _notices) = scene.start().await;
    let wishes = Wishes {
        ports: BTreeMap::from([("http".to_owned(), PortWish::Dynamic), ("admin".to_owned(), PortWish::Dynamic)]),
        logs: BTreeMap::from([("audit".to_owned(), PathBuf::from("audit.log"))]),
        host: None,
    };
    let places = environment.allot(BTreeMap::from([(name("shop"), wishes)])).await.expect("ports are free");
    let place = &places[&name("shop")];
    assert_ne!(place.service.ports["http"], place.service.ports["admin"]);
    assert!(place.service.ports["http"].starts_with("127.0.0.1:"));
    assert!(is_there(place.service.logs["stdout"].as_ref()), "an agent can watch it from the start");
    assert_eq!(PathBuf::from(&place.service.logs["audit"]), place.dir.join("audit.log"));

    let pipe = scene.pipe();
    let script = format!("echo posted > audit.log; echo up; echo done > {}; exec sleep 1000", pipe.display());
    environment.start_service(shop(&script)).await.expect("a shell is there");
    assert_eq!(told(&pipe).await, "done");
    let endings = environment.stop(Stopped::Services, How::Asking).await.expect("it is asked");
    assert_eq!(endings.len(), 1);
    assert_eq!((endings[0].exit, endings[0].verdict), (Some(TERMINATED), EndVerdict::Clean));
    let out = scene.place.path().join("out");
    environment.collect(&out, Collect::Everything, Default::default()).await.expect("there is room");
    environment.end().await.expect("all is well");
    for (file, content) in
        [("logs/shop/stdout.log", "up\n"), ("logs/shop/audit.log", "posted\n"), ("services/shop/audit.log", "posted\n")]
    {
        assert_eq!(std::fs::read_to_string(out.join(file)).expect(file), content);
    }
    assert!(is_there(&out.join("logs/keeper.log")) && is_there(&out.join("logs/signaling.log")));
}

#[tokio::test]
async fn a_killed_agent_is_told_of_at_once() {
    let scene = Scene::new();
    let (environment, mut notices) = scene.start().await;
    kill(environment.agent_pids()[&name("shop")]);
    let first = exited(&mut notices).await;
    assert_eq!(
        (first.what, first.exit, first.cause),
        (What::Agent { name: name("shop"), number: 1 }, KILLED, Cause::Itself)
    );
    let Some(Notice::AgentStarted { name: who, pid }) = notices.recv().await else { panic!("it is started again") };
    assert_eq!(who, name("shop"));
    assert_ne!(pid, environment.agent_pids()[&who]);
    environment.disturb(Target::Signaling, Disturbance::Kill).await.expect("it runs");
    let second = exited(&mut notices).await;
    assert_eq!((second.what, second.exit, second.cause), (What::Signaling, KILLED, Cause::Ordered));
    environment.end().await.expect("all is well");
}

#[tokio::test]
async fn killed_signaling_is_started_again_where_it_was() {
    let mut scene = Scene::new();
    let (pipe, before) = (scene.pipe(), scene.place.path().join("before"));
    let script = format!(
        "test -e {0} && echo $0 $1 > {1}; touch {0}; echo listening on ws://127.0.0.1:9/mesh; exec sleep 1000",
        before.display(),
        pipe.display()
    );
    scene.spec.programs.signaling = ["/bin/sh", "-c", &script].map(str::to_owned).into();
    let (environment, mut notices) = scene.start().await;
    environment.disturb(Target::Signaling, Disturbance::Kill).await.expect("it runs");
    assert_eq!(exited(&mut notices).await.what, What::Signaling);
    assert_eq!(told(&pipe).await, "--listen 127.0.0.1:9");
    let report = environment.end().await.expect("all is well");
    let signaling: Vec<_> = report.endings.iter().filter(|ending| ending.what == What::Signaling).collect();
    assert_eq!((signaling.len(), signaling[0].verdict), (1, EndVerdict::Clean), "{signaling:?}");
}

#[tokio::test]
async fn a_frozen_service_still_ends_when_asked() {
    let scene = Scene::new();
    let (environment, _notices) = scene.start().await;
    environment.start_service(shop("exec sleep 1000")).await.expect("a shell is there");
    environment
        .disturb(Target::Service(name("shop")), Disturbance::Freeze { lease_ms: 60_000 })
        .await
        .expect("it runs");
    let report = environment.end().await.expect("all is well");
    assert_eq!((report.endings[0].exit, report.endings[0].cause), (Some(TERMINATED), Cause::Asked));
}
