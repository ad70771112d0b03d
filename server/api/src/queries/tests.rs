//! What the lists keep.

use super::*;
use crate::error::ApiError;

fn asker() -> Asker {
    Asker {
        user: Some("ada".into()),
        client_ip: None,
        method: "GET".to_owned(),
        path: "/api/v1/query".to_owned(),
    }
}

fn ask(queries: &Arc<Queries>, at_ms: i64, query: &str) -> Ticket {
    queries.begin(TimestampMs(at_ms), &asker(), (Language::Promql, query), None)
}

/// Texts of the queries of each list.
fn texts(queries: &Queries, now_ms: i64) -> [Vec<String>; 3] {
    let Lists { running, slowest, recent } = queries.lists(TimestampMs(now_ms), usize::MAX);
    let text = |it: &Question| it.query.clone();
    [
        running.iter().map(|it| text(&it.question)).collect(),
        slowest.iter().map(|it| text(&it.question)).collect(),
        recent.iter().map(|it| text(&it.question)).collect(),
    ]
}

#[test]
fn the_newest_and_the_slowest_are_kept_and_no_more() {
    let queries = Queries::new(2);
    let running = ask(&queries, 0, "running");
    let question = Arc::clone(&queries.held().running[&1].question);
    for (id, (query, ms)) in
        (2..).zip([("slow", 900), ("slower", 1_000), ("quick", 1), ("newest", 2)])
    {
        let question = Question { id, query: query.to_owned(), ..(*question).clone() };
        let (took, cost) = (Duration::from_millis(ms), Meter::default().cost(Duration::ZERO));
        let ended = Ended { question: Arc::new(question), cost, end: End::Done };
        queries.held().keep(Arc::new(ended), took, 2);
    }
    let [at_work, slowest, recent] = texts(&queries, 0);
    assert_eq!(at_work, ["running"]);
    assert_eq!(slowest, ["slower", "slow"]);
    assert_eq!(recent, ["newest", "quick"]);
    drop(running);
    // A day later they tell nothing any more.
    let [at_work, slowest, recent] = texts(&queries, SLOW_AGE_MS);
    assert_eq!((at_work.len(), slowest.len()), (0, 0));
    assert_eq!(recent, ["running", "newest"]);
}

#[tokio::test]
async fn a_query_that_is_ended_answers_at_once_and_is_told_as_canceled() {
    let queries = Queries::new(1);
    let mut ticket = ask(&queries, 0, "long");
    assert!(queries.cancel(1) && !queries.cancel(2));
    let ended = ticket.run(std::future::pending::<Result<(), ApiError>>()).await;
    assert_eq!(ended.unwrap_err(), ApiError::ended());
    drop(ticket);
    let ended = serde_json::to_value(queries.lists(TimestampMs(0), 1)).unwrap();
    assert_eq!(ended["recent"][0]["state"], "canceled");
    assert!(!queries.cancel(1));
}

#[test]
fn a_long_text_is_cut_between_letters_and_none_is_kept_where_none_is_wanted() {
    let queries = Queries::new(0);
    let text = format!("{}ä", "a".repeat(TEXT_BYTES_MAX - 1));
    let ticket = ask(&queries, 0, &text);
    let [at_work, ..] = texts(&queries, 0);
    assert_eq!(at_work, ["a".repeat(TEXT_BYTES_MAX - 1)]);
    drop(ticket);
    assert_eq!(texts(&queries, 0), [const { Vec::<String>::new() }; 3]);
}
