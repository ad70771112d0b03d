//! Names of structured metadata as Loki keeps them: letters, digits and underscores.

use std::borrow::Cow;

use skep_proto::is_label_name;

/// Makes a name one that a query can say; whether it had to be changed.
pub(super) fn sanitize(name: &mut Cow<'_, str>) -> bool {
    if is_label_name(name) {
        return false;
    }
    let is_part = |it: char| it == '_' || it.is_ascii_alphanumeric();
    let mut made: String = name.chars().map(|it| if is_part(it) { it } else { '_' }).collect();
    if made.starts_with(|it: char| it.is_ascii_digit()) {
        made.insert_str(0, "key_");
    }
    *name = Cow::Owned(made);
    true
}
