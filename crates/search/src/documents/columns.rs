//! Columns of Arrow: which a schema has, and values to and from them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int64Type, TimestampNanosecondType, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeBinaryArray, FixedSizeListArray, Float64Array,
    Int64Array, ListArray, PrimitiveArray, StringArray, TimestampNanosecondArray, UInt64Array,
};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, FieldRef, Schema as ArrowSchema, TimeUnit};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use uuid::Uuid;

use super::error::{Result, damaged, writing};
use crate::schema::{FieldKind, FieldNo, Schema, Vector, VectorField};
use crate::value::{DateTime, Scalar, Value, ValueType};
use crate::vector::Element;

/// The columns before those of the schema. No attribute is called `id`, nor anything with a dollar.
pub(super) const ID: &str = "id";
pub(super) const ID_TYPE: &str = "$id_type";
pub(super) const LSN: &str = "$lsn";
/// How many they are.
pub(super) const OWN: usize = 3;

const UTC: &str = "UTC";
const UUID_BYTES: i32 = 16;

/// The columns of a file under a schema: ours, then the fields in the order of paths.
pub(super) fn arrow_schema(schema: &Schema) -> ArrowSchema {
    let mut fields = vec![
        Field::new(ID, DataType::Utf8, false),
        Field::new(ID_TYPE, DataType::Utf8, false),
        Field::new(LSN, DataType::UInt64, false),
    ];
    for (path, field) in schema.fields() {
        let data_type = match &field.kind {
            FieldKind::Attribute(attribute) => value_type(attribute.value_type),
            FieldKind::Vector(vector) => vector_type(vector),
        };
        let number = (PARQUET_FIELD_ID_META_KEY.to_owned(), field.number.0.to_string());
        let arrow = Field::new(path.to_string(), data_type, true);
        fields.push(arrow.with_metadata(HashMap::from([number])));
    }
    ArrowSchema::new(fields)
}

fn item(data_type: DataType) -> FieldRef {
    Arc::new(Field::new("item", data_type, false))
}

fn scalar_type(scalar: Scalar) -> DataType {
    match scalar {
        Scalar::String => DataType::Utf8,
        Scalar::Int => DataType::Int64,
        Scalar::Uint => DataType::UInt64,
        Scalar::Float => DataType::Float64,
        Scalar::Bool => DataType::Boolean,
        Scalar::Uuid => DataType::FixedSizeBinary(UUID_BYTES),
        Scalar::DateTime => DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into())),
    }
}

fn value_type(kind: ValueType) -> DataType {
    let scalar = scalar_type(kind.scalar);
    if kind.is_array { DataType::List(item(scalar)) } else { scalar }
}

fn element_type(element: Element) -> DataType {
    match element {
        Element::F32 => DataType::Float32,
        Element::F16 => DataType::Float16,
        Element::I8 => DataType::Int8,
    }
}

fn vector_type(field: &VectorField) -> DataType {
    DataType::FixedSizeList(item(element_type(field.element)), dims(field))
}

fn dims(field: &VectorField) -> i32 {
    i32::try_from(field.dims).expect("a vector has at most 10,752 elements")
}

/// The text of an id, and the name of its type.
pub(super) fn id_text(id: &Value) -> Result<(String, &'static str)> {
    match id {
        Value::Uint(number) => Ok((number.to_string(), "uint")),
        Value::Uuid(uuid) => Ok((uuid.to_string(), "uuid")),
        Value::String(text) => Ok((text.to_string(), "string")),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::DateTime(_) | Value::Array(_) => {
            Err(damaged("an id is none"))
        }
    }
}

/// The id of a text of this type.
pub(super) fn id_of(text: &str, kind: &str) -> Result<Value> {
    let id = match kind {
        "uint" => text.parse().ok().map(Value::Uint),
        "uuid" => Uuid::try_parse(text).ok().map(Value::Uuid),
        "string" => Some(Value::String(text.into())),
        _ => None,
    };
    id.ok_or(damaged("an id is none"))
}

/// Values of one type as a column; none are null.
pub(super) fn values(kind: ValueType, values: &[Option<&Value>]) -> Result<ArrayRef> {
    if !kind.is_array {
        return scalars(kind.scalar, values);
    }
    let elements: Vec<Option<&Value>> = values
        .iter()
        .flat_map(|value| value.map(Value::elements).unwrap_or_default().iter().map(Some))
        .collect();
    let lens = values.iter().map(|value| value.map_or(0, |value| value.elements().len()));
    let offsets = OffsetBuffer::from_lengths(lens);
    let present: NullBuffer = values.iter().map(Option::is_some).collect::<Vec<_>>().into();
    let elements = scalars(kind.scalar, &elements)?;
    let list = ListArray::try_new(item(scalar_type(kind.scalar)), offsets, elements, Some(present));
    Ok(Arc::new(list.map_err(writing)?))
}

fn scalars(scalar: Scalar, values: &[Option<&Value>]) -> Result<ArrayRef> {
    macro_rules! array {
        ($array:ty, $kind:pat => $value:expr) => {
            values
                .iter()
                .map(|value| match value {
                    Some($kind) => Some($value),
                    _ => None,
                })
                .collect::<$array>()
        };
    }
    let array: ArrayRef = match scalar {
        Scalar::String => Arc::new(array!(StringArray, Value::String(text) => &**text)),
        Scalar::Int => Arc::new(array!(Int64Array, Value::Int(int) => *int)),
        Scalar::Uint => Arc::new(array!(UInt64Array, Value::Uint(uint) => *uint)),
        Scalar::Float => Arc::new(array!(Float64Array, Value::Float(float) => *float)),
        Scalar::Bool => Arc::new(array!(BooleanArray, Value::Bool(bool) => *bool)),
        Scalar::DateTime => Arc::new(
            array!(TimestampNanosecondArray, Value::DateTime(moment) => moment.nanos())
                .with_timezone(UTC),
        ),
        Scalar::Uuid => {
            let bytes = values.iter().map(|value| match value {
                Some(Value::Uuid(uuid)) => Some(uuid.as_bytes()),
                _ => None,
            });
            let array = FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes, UUID_BYTES);
            Arc::new(array.map_err(writing)?)
        }
    };
    Ok(array)
}

/// Vectors of one field as a column; none are null.
pub(super) fn vectors(field: &VectorField, vectors: &[Option<&Vector>]) -> Result<ArrayRef> {
    let zeros = vec![0; field.dims * field.element.bytes()];
    let bytes: Vec<u8> = vectors
        .iter()
        .flat_map(|vector| vector.map_or(zeros.as_slice(), Vector::as_bytes))
        .copied()
        .collect();
    let elements: ArrayRef = match field.element {
        Element::F32 => {
            let floats = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            Arc::new(PrimitiveArray::<Float32Type>::from_iter_values(floats))
        }
        Element::F16 => {
            let halves = bytes.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes));
            let buffer = Buffer::from_vec(halves.collect::<Vec<u16>>());
            let len = bytes.len() / Element::F16.bytes();
            Arc::new(PrimitiveArray::<Float16Type>::new(ScalarBuffer::new(buffer, 0, len), None))
        }
        Element::I8 => {
            let bytes = bytes.iter().map(|byte| byte.cast_signed());
            Arc::new(PrimitiveArray::<Int8Type>::from_iter_values(bytes))
        }
    };
    let present: NullBuffer = vectors.iter().map(Option::is_some).collect::<Vec<_>>().into();
    let item = item(element_type(field.element));
    let list = FixedSizeListArray::try_new(item, dims(field), elements, Some(present));
    Ok(Arc::new(list.map_err(writing)?))
}

/// The value of a row of a column; none is null.
pub(super) fn value(array: &dyn Array, kind: ValueType, row: usize) -> Result<Option<Value>> {
    if row >= array.len() || array.is_null(row) {
        return Ok(None);
    }
    if !kind.is_array {
        return scalar(array, kind.scalar, row).map(Some);
    }
    let list = array.as_list_opt::<i32>().ok_or(damaged("a column has another type"))?;
    let elements = list.value(row);
    let elements = (0..elements.len()).map(|at| scalar(elements.as_ref(), kind.scalar, at));
    elements.collect::<Result<_>>().map(|elements| Some(Value::Array(elements)))
}

fn scalar(array: &dyn Array, scalar: Scalar, row: usize) -> Result<Value> {
    let value = match scalar {
        Scalar::String => {
            array.as_string_opt::<i32>().map(|array| Value::String(array.value(row).into()))
        }
        Scalar::Int => {
            array.as_primitive_opt::<Int64Type>().map(|array| Value::Int(array.value(row)))
        }
        Scalar::Uint => {
            array.as_primitive_opt::<UInt64Type>().map(|array| Value::Uint(array.value(row)))
        }
        Scalar::Float => {
            array.as_primitive_opt::<Float64Type>().map(|array| Value::Float(array.value(row)))
        }
        Scalar::Bool => array.as_boolean_opt().map(|array| Value::Bool(array.value(row))),
        Scalar::DateTime => array
            .as_primitive_opt::<TimestampNanosecondType>()
            .map(|array| Value::DateTime(DateTime::from_nanos(array.value(row)))),
        Scalar::Uuid => array
            .as_fixed_size_binary_opt()
            .and_then(|array| Uuid::from_slice(array.value(row)).ok())
            .map(Value::Uuid),
    };
    value.ok_or(damaged("a column has another type"))
}

/// The vector of a row of a column; none is null.
pub(super) fn vector(array: &dyn Array, field: &VectorField, row: usize) -> Result<Option<Vector>> {
    if row >= array.len() || array.is_null(row) {
        return Ok(None);
    }
    let list = array.as_fixed_size_list_opt().ok_or(damaged("a column has another type"))?;
    let elements = list.value(row);
    let bytes: Option<Vec<u8>> = match field.element {
        Element::F32 => elements
            .as_primitive_opt::<Float32Type>()
            .map(|array| array.values().iter().flat_map(|float| float.to_le_bytes()).collect()),
        Element::F16 => elements
            .as_primitive_opt::<Float16Type>()
            .map(|array| array.values().iter().flat_map(|half| half.to_le_bytes()).collect()),
        Element::I8 => elements
            .as_primitive_opt::<Int8Type>()
            .map(|array| array.values().iter().map(|byte| byte.cast_unsigned()).collect()),
    };
    let bytes = bytes.filter(|bytes| bytes.len() == field.dims * field.element.bytes());
    bytes.map(|bytes| Some(Vector::of_bytes(bytes))).ok_or(damaged("a column has another type"))
}

/// What a row of a file has, besides ours.
pub(super) type Fields = (Vec<(FieldNo, Value)>, Vec<(FieldNo, Vector)>);

/// The values and vectors of a row; `columns` are those of the fields, in the order of paths.
pub(super) fn fields(schema: &Schema, columns: &[ArrayRef], row: usize) -> Result<Fields> {
    let (mut values, mut vectors) = (Vec::new(), Vec::new());
    for ((_, field), column) in schema.fields().zip(columns) {
        match &field.kind {
            FieldKind::Attribute(attribute) => {
                if let Some(value) = value(column.as_ref(), attribute.value_type, row)? {
                    values.push((field.number, value));
                }
            }
            FieldKind::Vector(of) => {
                if let Some(vector) = vector(column.as_ref(), of, row)? {
                    vectors.push((field.number, vector));
                }
            }
        }
    }
    Ok((values, vectors))
}
