//! What a text is answered, and what it is told when it is wrong.

use super::*;

#[test]
fn what_is_missing_or_refused_is_named_with_what_there_is() {
    assert_eq!(
        taught("table 'datafusion.public.up' not found"),
        "there is no table \"up\"; there are log_lines, logs, metrics, samples, series, streams"
    );
    assert_eq!(
        taught("DML not supported: COPY"),
        "COPY is refused: tables are only read here; write SELECT, EXPLAIN, SHOW TABLES or DESCRIBE"
    );
    assert_eq!(taught("else"), "else");
}
