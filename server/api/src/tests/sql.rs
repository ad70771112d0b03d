//! SQL over HTTP: the formats, the views, and what is refused.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::Server;

async fn server() -> Server {
    let server = Server::new();
    server.write_samples().await;
    server.push_lines().await;
    server
}

/// Each line is a query, answered as CSV on the next lines.
async fn check(queries: &str, expect: Expect) {
    let server = server().await;
    let mut out = String::new();
    for query in queries.lines().map(str::trim).filter(|it| !it.is_empty()) {
        let headers = [("Accept", "text/csv")];
        let answer = server.post("/api/v1/sql", &headers, query.as_bytes().to_vec()).await;
        writeln!(out, "{query}\n  {}", answer.text().replace("\r\n", "\n  ")).unwrap();
    }
    expect.assert_eq(&out);
}

#[tokio::test]
async fn every_table_is_read() {
    check(
        "SELECT name, count(*) AS n, max(value) AS most FROM metrics GROUP BY name ORDER BY name
         SELECT ts, value, labels['core'] AS core FROM metrics WHERE name = 'cpu_seconds_total' AND ts < '2024-06-03T00:00:30Z' ORDER BY core, ts
         SELECT name, labels FROM series ORDER BY name, labels['core']
         SELECT count(*) AS n FROM samples JOIN series USING (series_id) WHERE labels['core'] = '1'
         SELECT ts, line, metadata['pid'] AS pid FROM log_lines WHERE labels['host'] = 'a' AND line LIKE '%bad%'
         SELECT labels['unit'] AS unit, count(*) AS n FROM log_lines GROUP BY 1 ORDER BY 1
         SELECT count(*) AS n FROM logs JOIN streams USING (stream_id)
         SELECT * FROM metrics WHERE name = 'nosuch'
         SELECT date_bin(INTERVAL '5 minutes', ts) AS at, avg(value) AS mean FROM metrics WHERE name ~ '^memory' GROUP BY at ORDER BY at
         SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1
         SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'metrics'",
        expect![[r#"
            SELECT name, count(*) AS n, max(value) AS most FROM metrics GROUP BY name ORDER BY name
              200 name,n,most
              cpu_seconds_total,80,117
              memory_bytes,40,39936
            SELECT ts, value, labels['core'] AS core FROM metrics WHERE name = 'cpu_seconds_total' AND ts < '2024-06-03T00:00:30Z' ORDER BY core, ts
              200 ts,value,core
              2024-06-03T00:00:00Z,0,0
              2024-06-03T00:00:15Z,1.5,0
              2024-06-03T00:00:00Z,0,1
              2024-06-03T00:00:15Z,3,1
            SELECT name, labels FROM series ORDER BY name, labels['core']
              200 name,labels
              cpu_seconds_total,"{""core"":""0"",""host"":""a""}"
              cpu_seconds_total,"{""core"":""1"",""host"":""a""}"
              memory_bytes,"{""host"":""a""}"
            SELECT count(*) AS n FROM samples JOIN series USING (series_id) WHERE labels['core'] = '1'
              200 n
              40
            SELECT ts, line, metadata['pid'] AS pid FROM log_lines WHERE labels['host'] = 'a' AND line LIKE '%bad%'
              200 ts,line,pid
              2024-06-03T00:00:02Z,"level=warn msg=""bad""",7
            SELECT labels['unit'] AS unit, count(*) AS n FROM log_lines GROUP BY 1 ORDER BY 1
              200 unit,n
              cron.service,1
              ssh.service,3
            SELECT count(*) AS n FROM logs JOIN streams USING (stream_id)
              200 n
              4
            SELECT * FROM metrics WHERE name = 'nosuch'
              200 name,labels,ts,value,series_id
            SELECT date_bin(INTERVAL '5 minutes', ts) AS at, avg(value) AS mean FROM metrics WHERE name ~ '^memory' GROUP BY at ORDER BY at
              200 at,mean
              2024-06-03T00:00:00Z,9728
              2024-06-03T00:05:00Z,30208
            SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1
              200 table_name
              log_lines
              logs
              metrics
              samples
              series
              streams
            SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'metrics'
              200 column_name,data_type
              name,Utf8
              labels,"Map(""key_value"": non-null Struct(""key"": non-null Utf8, ""value"": Utf8), unsorted)"
              ts,"Timestamp(ms, ""UTC"")"
              value,Float64
              series_id,Int64
        "#]],
    )
    .await;
}

#[tokio::test]
async fn what_is_wrong_or_refused_is_named() {
    check(
        "SELEC 1
         SELECT nam FROM metrics
         SELECT * FROM up
         SELECT nosuch(value) FROM samples
         SELECT 1; SELECT 2
         SELECT 1/0
         CREATE TABLE t AS SELECT 1
         CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/etc'
         CREATE VIEW v AS SELECT 1
         DROP TABLE samples
         INSERT INTO samples VALUES (1, 2, 3)
         DELETE FROM samples
         UPDATE samples SET value = 1
         COPY (SELECT 1) TO '/tmp/x.csv'
         SET datafusion.execution.batch_size = 1
         EXPLAIN ANALYZE INSERT INTO samples VALUES (1, 2, 3)
         SELECT * FROM '/etc/passwd'",
        expect![[r#"
            SELEC 1
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": Expected: an SQL statement, found: SELEC at Line: 1, Column: 1"}
            SELECT nam FROM metrics
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": No field named nam. Did you mean 'metrics.name'?\nValid fields are metrics.name, metrics.labels, metrics.ts, metrics.value, metrics.series_id."}
            SELECT * FROM up
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": there is no table \"up\"; there are log_lines, logs, metrics, samples, series, streams"}
            SELECT nosuch(value) FROM samples
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": Invalid function 'nosuch'.\nDid you mean 'cosh'?"}
            SELECT 1; SELECT 2
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": The context currently only supports a single SQL statement"}
            SELECT 1/0
              422 {"status":"error","errorType":"execution","error":"Divide by zero error"}
            CREATE TABLE t AS SELECT 1
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": CreateMemoryTable is refused: tables are only read here; write SELECT, EXPLAIN, SHOW TABLES or DESCRIBE"}
            CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/etc'
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": CreateExternalTable is refused: tables are only read here; write SELECT, EXPLAIN, SHOW TABLES or DESCRIBE"}
            CREATE VIEW v AS SELECT 1
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": CreateView is refused: tables are only read here; write SELECT, EXPLAIN, SHOW TABLES or DESCRIBE"}
            DROP TABLE samples
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": DropTable is refused: tables are only read here; write SELECT, EXPLAIN, SHOW TABLES or DESCRIBE"}
            INSERT INTO samples VALUES (1, 2, 3)
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": Insert Into is refused: tables are only read here; write SELECT, EXPLAIN, SHOW TABLES or DESCRIBE"}
            DELETE FROM samples
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": Delete is refused: tables are only read here; write SELECT, EXPLAIN, SHOW TABLES or DESCRIBE"}
            UPDATE samples SET value = 1
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": Update is refused: tables are only read here; write SELECT, EXPLAIN, SHOW TABLES or DESCRIBE"}
            COPY (SELECT 1) TO '/tmp/x.csv'
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": COPY is refused: tables are only read here; write SELECT, EXPLAIN, SHOW TABLES or DESCRIBE"}
            SET datafusion.execution.batch_size = 1
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": SetVariable is refused: tables are only read here; write SELECT, EXPLAIN, SHOW TABLES or DESCRIBE"}
            EXPLAIN ANALYZE INSERT INTO samples VALUES (1, 2, 3)
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": Insert Into is refused: tables are only read here; write SELECT, EXPLAIN, SHOW TABLES or DESCRIBE"}
            SELECT * FROM '/etc/passwd'
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": there is no table \"/etc/passwd\"; there are log_lines, logs, metrics, samples, series, streams"}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn rows_come_in_the_format_that_is_asked_for() {
    let server = server().await;
    let query = "SELECT labels, value, value > 1 AS is_more, CAST(NULL AS INT) AS nothing, \
                 make_array(1, 2) AS list, CAST('NaN' AS DOUBLE) AS nan, ts, 'a \"b\", c' AS quoted \
                 FROM metrics WHERE name = 'cpu_seconds_total' AND labels['core'] = '0' \
                 ORDER BY ts LIMIT 2";
    let mut out = String::new();
    for format in ["json", "ndjson", "csv", "xml"] {
        let body = serde_json::json!({ "query": query, "format": format }).to_string();
        let headers = [("Content-Type", "application/json")];
        let answer = server.post("/api/v1/sql", &headers, body.into_bytes()).await;
        let media = answer.headers["content-type"].to_str().unwrap();
        writeln!(out, "{format}: {media}\n{}", answer.text().replace("\r\n", "\n")).unwrap();
    }
    expect![[r#"
        json: application/json
        200 {"status":"success","data":{"columns":["labels","value","is_more","nothing","list","nan","ts","quoted"],"rows":[{"labels":{"core":"0","host":"a"},"value":0,"is_more":false,"nothing":null,"list":[1,2],"nan":"NaN","ts":"2024-06-03T00:00:00Z","quoted":"a \"b\", c"},
        {"labels":{"core":"0","host":"a"},"value":1.5,"is_more":true,"nothing":null,"list":[1,2],"nan":"NaN","ts":"2024-06-03T00:00:15Z","quoted":"a \"b\", c"}]}}
        ndjson: application/x-ndjson
        200 {"labels":{"core":"0","host":"a"},"value":0,"is_more":false,"nothing":null,"list":[1,2],"nan":"NaN","ts":"2024-06-03T00:00:00Z","quoted":"a \"b\", c"}
        {"labels":{"core":"0","host":"a"},"value":1.5,"is_more":true,"nothing":null,"list":[1,2],"nan":"NaN","ts":"2024-06-03T00:00:15Z","quoted":"a \"b\", c"}
        csv: text/csv; charset=utf-8; header=present
        200 labels,value,is_more,nothing,list,nan,ts,quoted
        "{""core"":""0"",""host"":""a""}",0,false,,"[1,2]",NaN,2024-06-03T00:00:00Z,"a ""b"", c"
        "{""core"":""0"",""host"":""a""}",1.5,true,,"[1,2]",NaN,2024-06-03T00:00:15Z,"a ""b"", c"
        xml: application/json
        400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"format\": there is no format \"xml\"; write json, csv, ndjson or arrow"}
    "#]].assert_eq(&out);
}

#[tokio::test]
async fn arrow_streams_hold_the_same_rows() {
    let server = server().await;
    let headers = [("Accept", "application/vnd.apache.arrow.stream")];
    let query = b"SELECT ts, value FROM metrics WHERE name = 'memory_bytes'".to_vec();
    let bytes = server.post_for_bytes("/api/v1/sql", &headers, query).await;
    let reader = arrow::ipc::reader::StreamReader::try_new(bytes.as_slice(), None).unwrap();
    let n_rows: usize = reader.map(|it| it.unwrap().num_rows()).sum();
    assert_eq!(n_rows, 40);
}

#[tokio::test]
async fn forms_and_urls_ask_too() {
    let server = server().await;
    let form = server.post_form("/api/v1/sql", "query=SELECT+1+AS+a&format=csv").await;
    assert_eq!(form.text(), "200 a\r\n1");
    let url = server.get("/api/v1/sql?query=SELECT%201%20AS%20a&format=ndjson").await;
    assert_eq!(url.text(), "200 {\"a\":1}");
    let late = server.get("/api/v1/sql?query=SELECT%201&timeout=x").await;
    assert_eq!(late.status, 400);
}
