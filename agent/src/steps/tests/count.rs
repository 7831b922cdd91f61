//! An agent's part of looking at the logs of all services.

use meshproof_proto::order::COUNTED;

use super::*;

fn counting(past: Option<u64>) -> StepOrder {
    let action = Action::CountLog { log: "*".to_owned(), past };
    StepOrder { eventually_ms: past.map(|_| LONG_MS), ..order(action, &[("contains", contains("posted"))]) }
}

fn counted(result: &StepResult) -> Option<&str> {
    assert_eq!(result.outcome, Outcome::Ok);
    result.saved.get(COUNTED).map(String::as_str)
}

#[tokio::test]
async fn every_such_line_of_every_log_is_counted_and_shown() {
    let world = World::new().await;
    world.write("audit", "posted 1\nvoided 1\n");
    world.write("stdout", "posted 2\nposted 3\n");
    let result = world.run(&counting(None)).await;
    assert_eq!(counted(&result), Some("3"));
    assert!(result.evidence[0].text.contains("stdout: posted 3"), "{result:?}");
    let none =
        world.run(&order(Action::CountLog { log: "*".to_owned(), past: None }, &[("line", contains("x"))])).await;
    assert_eq!(counted(&none), Some("0"));
}

#[tokio::test]
async fn another_number_than_before_is_told_at_once_and_the_same_one_when_the_time_is_over() {
    let world = World::new().await;
    world.write("audit", "posted 1\n");
    let (told, waiting) = (counting(Some(0)), counting(Some(1)));
    assert_eq!(counted(&world.run(&told).await), Some("1"));
    let mut changes = world.beside.logs.changes();
    let writing = async {
        world.write("stdout", "other\n");
        changes.changed().await.expect("the reader lives");
        world.write("audit", "posted 2\n");
    };
    let (result, ()) = tokio::join!(world.run(&waiting), writing);
    assert_eq!(counted(&result), Some("2"));
    assert!(result.duration_ms < LONG_MS as f64 / 2.0, "{result:?}");
    let over = StepOrder { eventually_ms: Some(50), ..counting(Some(2)) };
    let result = world.run(&over).await;
    assert_eq!(counted(&result), Some("2"));
    assert!(result.duration_ms >= 50.0);
}

#[tokio::test]
async fn what_had_to_go_uncounted_makes_the_number_unknown() {
    let world = World::new().await;
    world.write("stdout", &"noise\n".repeat(limits::LOG_LINES + 1));
    world.beside.logs.read_to_end().await;
    let result = world.run(&counting(None)).await;
    assert!(matches!(result.outcome, Outcome::Unknown { .. }), "{result:?}");
}
