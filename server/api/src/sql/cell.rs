//! One value of an Arrow column as text or JSON.

use arrow::{
    array::{Array, AsArray as _, RecordBatch},
    datatypes::{DataType, Float32Type, Float64Type},
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};

use crate::{
    json::{ARRAY, OBJECT, push_string},
    number::push_value,
};

/// The columns of a batch, ready to be printed.
pub(super) struct Cells<'a> {
    columns: Vec<(&'a dyn Array, ArrayFormatter<'a>)>,
}

impl<'a> Cells<'a> {
    pub(super) fn new(batch: &'a RecordBatch) -> Result<Self, ArrowError> {
        let columns = batch
            .columns()
            .iter()
            .map(|it| Ok((it.as_ref(), formatter(it.as_ref())?)))
            .collect::<Result<_, ArrowError>>()?;
        Ok(Self { columns })
    }

    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    pub(super) fn push_json(
        &self,
        out: &mut String,
        column: usize,
        row: usize,
    ) -> Result<(), ArrowError> {
        let Some((array, formatter)) = self.columns.get(column) else { return Ok(()) };
        push_json(out, *array, formatter, row)
    }

    /// As JSON has it, but text without quotes and a null as nothing.
    pub(super) fn push_text(
        &self,
        out: &mut String,
        column: usize,
        row: usize,
    ) -> Result<(), ArrowError> {
        let Some((array, formatter)) = self.columns.get(column) else { return Ok(()) };
        if array.is_null(row) {
            return Ok(());
        }
        match array.data_type() {
            DataType::Float64 => push_value(out, array.as_primitive::<Float64Type>().value(row)),
            it if it.is_nested() => push_json(out, *array, formatter, row)?,
            _ => out.push_str(&formatter.value(row).to_string()),
        }
        Ok(())
    }
}

fn formatter(array: &dyn Array) -> Result<ArrayFormatter<'_>, ArrowError> {
    const OPTIONS: FormatOptions<'static> = FormatOptions::new();
    ArrayFormatter::try_new(array, &OPTIONS)
}

fn push_json(
    out: &mut String,
    array: &dyn Array,
    formatter: &ArrayFormatter<'_>,
    row: usize,
) -> Result<(), ArrowError> {
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Null => out.push_str("null"),
        DataType::Boolean => {
            out.push_str(if array.as_boolean().value(row) { "true" } else { "false" });
        }
        DataType::Float64 => push_float(out, array.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => {
            push_float(out, f64::from(array.as_primitive::<Float32Type>().value(row)));
        }
        it if it.is_integer() => out.push_str(&formatter.value(row).to_string()),
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let [keys, values] = entries.columns() else { return Ok(()) };
            let (key_texts, value_texts) = (formatter_of(keys)?, formatter_of(values)?);
            out.push(OBJECT.0);
            for at in 0..entries.len() {
                out.push_str(if at > 0 { "," } else { "" });
                push_string(out, &key_texts.value(at).to_string());
                out.push(':');
                push_json(out, values.as_ref(), &value_texts, at)?;
            }
            out.push(OBJECT.1);
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let texts = formatter_of(&items)?;
            out.push(ARRAY.0);
            for at in 0..items.len() {
                out.push_str(if at > 0 { "," } else { "" });
                push_json(out, items.as_ref(), &texts, at)?;
            }
            out.push(ARRAY.1);
        }
        DataType::Struct(fields) => {
            let structs = array.as_struct();
            out.push(OBJECT.0);
            for (at, (field, column)) in fields.iter().zip(structs.columns()).enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                push_string(out, field.name());
                out.push(':');
                push_json(out, column.as_ref(), &formatter_of(column)?, row)?;
            }
            out.push(OBJECT.1);
        }
        _ => push_string(out, &formatter.value(row).to_string()),
    }
    Ok(())
}

fn formatter_of(array: &arrow::array::ArrayRef) -> Result<ArrayFormatter<'_>, ArrowError> {
    formatter(array.as_ref())
}

/// JSON has no NaN and no infinities: those are strings, as in Prometheus' answers.
fn push_float(out: &mut String, value: f64) {
    if value.is_finite() {
        push_value(out, value);
    } else {
        let mut text = String::new();
        push_value(&mut text, value);
        push_string(out, &text);
    }
}
