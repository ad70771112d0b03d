//! Errors of object storage, turned into what somebody can act on.

use std::{error::Error, io};

use super::requests::ObjectRequest;

/// What went wrong with one object, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot {} {url}{hint}", request.verb())]
struct RequestError {
    request: ObjectRequest,
    url: String,
    hint: &'static str,
    source: Cause,
}

/// What the other side said, without the markup around it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Cause(String);

/// Codes of S3's error documents and what they ask for.
const HINTS: &[(&str, &str)] = &[
    ("NoSuchBucket", ": there is no such bucket; create it, or correct object_store.url"),
    (
        "InvalidAccessKeyId",
        ": the access key is not known there; look at object_store.access_key_file",
    ),
    (
        "SignatureDoesNotMatch",
        ": the secret key does not belong to the access key; look at object_store.secret_key_file",
    ),
    (
        "RequestTimeTooSkewed",
        ": this machine's clock is not the storage's; set it, best by NTP, and start again",
    ),
    (
        "AuthorizationHeaderMalformed",
        ": the bucket is in another region; correct object_store.region",
    ),
    (
        "AccessDenied",
        ": the access key may not do this; it needs to list the bucket and to get, put and delete \
         objects",
    ),
    ("QuotaExceeded", ": the bucket is full; make room there or raise its quota"),
];

/// What the HTTP client says where no answer came.
const NO_ANSWER: [&str; 3] =
    ["error trying to connect", "operation timed out", "error sending request"];
const UNREACHABLE: &str =
    ": it cannot be reached; is object_store.endpoint right, and the network up?";
const OTHER_REGION: &str = ": the bucket is in another region; correct object_store.region";
const DENIED: &str = ": the credentials are refused; look at object_store.access_key_file and \
                      secret_key_file, or at the AWS_ variables";

pub(super) fn explain(request: ObjectRequest, url: &str, error: &object_store::Error) -> io::Error {
    let text = error.to_string();
    let code = tag(&text, "Code");
    let hint = HINTS.iter().find(|it| code == Some(it.0)).map(|it| it.1);
    let (kind, default_hint) = match error {
        // A bucket that is missing is not a file that is.
        object_store::Error::NotFound { .. } if code == Some("NoSuchBucket") => {
            (io::ErrorKind::Other, "")
        }
        object_store::Error::NotFound { .. } => (io::ErrorKind::NotFound, ""),
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
            (io::ErrorKind::AlreadyExists, "")
        }
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => (io::ErrorKind::PermissionDenied, DENIED),
        _ if text.contains("redirect") => (io::ErrorKind::Other, OTHER_REGION),
        _ if is_connection(error) => (io::ErrorKind::ConnectionRefused, UNREACHABLE),
        _ => (io::ErrorKind::Other, ""),
    };
    let source = Cause(match (code, tag(&text, "Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => deepest(error),
    });
    let hint = hint.unwrap_or(default_hint);
    io::Error::new(kind, RequestError { request, url: url.to_owned(), hint, source })
}

/// The text between `<name>` and `</name>`.
fn tag<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = text.split_once(&format!("<{name}>"))?;
    Some(after.split_once(&format!("</{name}>"))?.0)
}

fn deepest(error: &object_store::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(it) = cause.source() {
        cause = it;
    }
    cause.to_string()
}

/// Whether no answer came at all.
fn is_connection(error: &object_store::Error) -> bool {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(it) = cause {
        if it.downcast_ref::<io::Error>().is_some() {
            return true;
        }
        let text = it.to_string();
        if NO_ANSWER.iter().any(|it| text.contains(it)) {
            return true;
        }
        cause = it.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(error: &object_store::Error, expected: &Expect) {
        let error = explain(ObjectRequest::Get, "s3://bucket/prefix/x", error);
        let cause = error.get_ref().and_then(Error::source).unwrap();
        expected.assert_eq(&format!("{:?}\n{error}\n{cause}\n", error.kind()));
    }

    fn body(code: &str) -> Box<dyn Error + Send + Sync> {
        format!("403 Forbidden: <?xml?><Error><Code>{code}</Code><Message>No.</Message></Error>")
            .into()
    }

    #[test]
    fn what_the_storage_says_becomes_what_to_do() {
        let path = "x".to_owned();
        check(
            &object_store::Error::NotFound { path: path.clone(), source: body("NoSuchBucket") },
            &expect![[r#"
                Other
                cannot read s3://bucket/prefix/x: there is no such bucket; create it, or correct object_store.url
                NoSuchBucket: No.
            "#]],
        );
        check(
            &object_store::Error::NotFound { path: path.clone(), source: body("NoSuchKey") },
            &expect![[r#"
                NotFound
                cannot read s3://bucket/prefix/x
                NoSuchKey: No.
            "#]],
        );
        check(
            &object_store::Error::PermissionDenied {
                path: path.clone(),
                source: body("RequestTimeTooSkewed"),
            },
            &expect![[r#"
                PermissionDenied
                cannot read s3://bucket/prefix/x: this machine's clock is not the storage's; set it, best by NTP, and start again
                RequestTimeTooSkewed: No.
            "#]],
        );
        check(
            &object_store::Error::PermissionDenied { path, source: body("SomethingNew") },
            &expect![[r#"
                PermissionDenied
                cannot read s3://bucket/prefix/x: the credentials are refused; look at object_store.access_key_file and secret_key_file, or at the AWS_ variables
                SomethingNew: No.
            "#]],
        );
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        check(
            &object_store::Error::Generic { store: "S3", source: Box::new(refused) },
            &expect![[r#"
                ConnectionRefused
                cannot read s3://bucket/prefix/x: it cannot be reached; is object_store.endpoint right, and the network up?
                connection refused
            "#]],
        );
    }
}
