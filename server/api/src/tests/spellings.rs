//! A series is one series, however its labels are spelled and whatever was learnt of them before.

use expect_test::expect;
use skep_proto::snappy;

use super::*;

/// A message of remote-write 1.0 with one sample of one series, its labels in this order.
fn spelled(pairs: &[(&str, &str)], ts: i64) -> Vec<u8> {
    fn field(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag, u8::try_from(content.len()).unwrap()];
        out.extend(content);
        out
    }
    let mut series = Vec::new();
    for (name, value) in pairs {
        let label = [field(0x0a, name.as_bytes()), field(0x12, value.as_bytes())].concat();
        series.extend(field(0x0a, &label));
    }
    let mut sample = vec![0x09];
    sample.extend(1.0_f64.to_le_bytes());
    sample.push(0x10);
    let mut rest = ts.cast_unsigned();
    while rest >= 0x80 {
        sample.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    sample.push(rest.to_le_bytes()[0]);
    series.extend(field(0x12, &sample));
    snappy::compress(&field(0x0a, &series))
}

impl Server {
    async fn write_v1(&self, body: Vec<u8>) -> Answer {
        self.post("/api/v1/write", &[("Content-Type", remote_write::CONTENT_TYPE_V1)], body).await
    }

    async fn write_v2(&self, ts: i64) -> Answer {
        let batch = SeriesBatch {
            labels: labels(&[("__name__", "up"), ("host", "a"), ("job", "b")]),
            samples: vec![Sample { ts: TimestampMs(ts), value: 1.0 }],
            kind: MetricKind::Gauge,
            help: "Up.".into(),
        };
        let headers =
            [("Content-Type", remote_write::CONTENT_TYPE_V2), ("Content-Encoding", "snappy")];
        self.post("/api/v1/write", &headers, remote_write::encode_v2(&[batch])).await
    }

    async fn counts(&self) -> String {
        let query = format!(
            "/api/v1/query?query=count_over_time({{__name__!=\"\"}}[30m])&time={}",
            BASE_MS / 1000 + 600
        );
        self.get(&query.replace('"', "%22").replace('{', "%7B").replace('}', "%7D")).await.body
    }
}

#[tokio::test]
async fn every_spelling_of_a_series_reaches_it_the_first_time_and_later() {
    let server = Server::new();
    let spellings: [&[(&str, &str)]; 3] = [
        &[("__name__", "up"), ("host", "a"), ("job", "b")],
        &[("job", "b"), ("host", "a"), ("__name__", "up")],
        &[("__name__", "up"), ("gone", ""), ("host", "a"), ("job", "b")],
    ];
    let mut ts = BASE_MS;
    for _ in 0..3 {
        for spelling in spellings {
            ts += 1000;
            assert_eq!(server.write_v1(spelled(spelling, ts)).await.text(), "204 ");
        }
        ts += 1000;
        assert_eq!(server.write_v2(ts).await.text(), "204 ");
    }
    expect![[r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"host":"a","job":"b"},"value":[1717373400,"12"]}]}}"#]]
        .assert_eq(&server.counts().await);
}

#[tokio::test]
async fn a_refused_label_set_stays_refused_beside_one_that_is_known() {
    let server = Server::new();
    let good = [("__name__", "up"), ("host", "a")];
    let bad = [("__name__", "up"), ("host", "a"), ("host", "a")];
    for round in 0..3 {
        let ts = BASE_MS + 1000 * round;
        assert_eq!(server.write_v1(spelled(&good, ts)).await.text(), "204 ");
        // As in Prometheus; senders of 1.0 do not read answers.
        assert_eq!(server.write_v1(spelled(&bad, ts)).await.text(), "204 ");
    }
    let metrics = server.get("/metrics").await.body;
    let refused = "skep_receive_refused_total{reason=\"duplicate_label_names\"} 3\n";
    assert!(metrics.contains(refused), "{metrics}");
    expect![[r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"host":"a"},"value":[1717373400,"3"]}]}}"#]]
        .assert_eq(&server.counts().await);
}

#[tokio::test]
async fn a_sample_out_of_bounds_is_told_with_the_labels_of_a_known_series() {
    let server = Server::new();
    let pairs = [("__name__", "up"), ("host", "a")];
    assert_eq!(server.write_v1(spelled(&pairs, BASE_MS)).await.text(), "204 ");
    let answer = server.write_v1(spelled(&pairs, BASE_MS + 10 * 86_400_000)).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("up{host=\"a\"}"), "{}", answer.body);
}
