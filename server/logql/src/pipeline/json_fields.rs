//! Where the labels of `| json` come from in a line.

use super::{
    json::{Stop, Value, each_member},
    labels::sanitize_into,
};

/// Bounds the stack a nested line takes, as for the labels themselves.
const DEPTH_MAX: usize = 128;

/// The path of each value of a line that becomes a label, in their order; those before the fault
/// of a malformed line.
pub(crate) fn json_paths(line: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    // What is malformed is no label either.
    drop(walk(line, &mut Vec::new(), &mut paths));
    paths
}

fn walk(object: &str, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> Result<(), Stop> {
    if path.len() > DEPTH_MAX {
        return Err(Stop::Done);
    }
    each_member(object, |key, value| {
        path.push(key.into_owned());
        let walked = match value {
            Value::Object(inner) => walk(inner, path, paths),
            Value::Array(_) | Value::Null => Ok(()),
            Value::Text(_) | Value::Plain(_) => {
                paths.push(path.clone());
                Ok(())
            }
        };
        path.pop();
        walked
    })
}

/// The label a value at this path becomes.
pub(crate) fn sanitized(path: &[String]) -> String {
    let mut name = String::new();
    for (depth, key) in path.iter().enumerate() {
        if depth > 0 {
            name.push('_');
        }
        sanitize_into(&mut name, key, depth == 0);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_a_path_and_a_name() {
        let paths = json_paths(r#"{"a":{"b-c":{"d":1}},"l":[1],"n":null,"1x":"y","e":{}"#);
        let names: Vec<_> = paths.iter().map(|it| sanitized(it)).collect();
        assert_eq!(names, ["a_b_c_d", "_1x"]);
        assert_eq!(paths[0], ["a", "b-c", "d"]);
        assert!(json_paths("[1]").is_empty());
    }
}
