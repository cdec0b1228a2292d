//! Vectors as documents and queries write them, and as they are kept.
//!
//! Written as an array of numbers, or as base64 (standard alphabet, padded) of little-endian 32-bit floats.
//! Kept as the elements of the field, little-endian.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{VectorField, half};
use crate::json::{Json, Kind};
use crate::vector::{DIMS_MAX, ELEMENT_MAX, Element};

/// A vector as its field keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vector(Box<[u8]>);

impl Vector {
    /// Reads the vector of a document.
    ///
    /// # Errors
    /// A text that says what does not fit: another number of elements, an element that is no number, too
    /// large for the field, or for a field of bytes no integer.
    pub fn decode(json: Json<'_>, field: &VectorField) -> Result<Self, String> {
        Self::encode(&read(json, field.dims)?, field.element)
    }

    /// A vector of these elements, little-endian.
    pub(crate) fn of_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }

    /// A vector of these elements.
    fn encode(floats: &[f32], element: Element) -> Result<Self, String> {
        let mut bytes = Vec::with_capacity(floats.len() * element.bytes());
        for (index, float) in floats.iter().enumerate() {
            let refuse = |why: &str| Err(format!("element {index} is {float:?}; {why}"));
            match element {
                Element::F32 => bytes.extend_from_slice(&float.to_le_bytes()),
                Element::F16 => {
                    let half = half::from_f32(*float);
                    if half & 0x7FFF == 0x7C00 {
                        return refuse("f16 holds numbers up to 65504");
                    }
                    bytes.extend_from_slice(&half.to_le_bytes());
                }
                Element::I8 => {
                    if float.fract() != 0.0 || !(-128.0..=127.0).contains(float) {
                        return refuse("i8 holds integers from -128 to 127");
                    }
                    #[expect(clippy::cast_possible_truncation, reason = "just checked")]
                    bytes.extend_from_slice(&(*float as i8).to_le_bytes());
                }
            }
        }
        Ok(Self(bytes.into()))
    }

    /// The elements, little-endian: 4, 2 or 1 bytes each.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The elements as floats, exactly.
    pub fn floats(&self, element: Element) -> impl Iterator<Item = f32> {
        self.to_floats(element).into_iter()
    }

    /// The elements as floats, exactly. One loop for each width, so that several are converted at a time.
    pub fn to_floats(&self, element: Element) -> Vec<f32> {
        match element {
            Element::F32 => {
                let (elements, _) = self.0.as_chunks::<4>();
                elements.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            }
            Element::F16 => {
                let (elements, _) = self.0.as_chunks::<2>();
                elements.iter().map(|bytes| half::to_f32(u16::from_le_bytes(*bytes))).collect()
            }
            Element::I8 => self.0.iter().map(|byte| f32::from(byte.cast_signed())).collect(),
        }
    }
}

/// Reads a vector of any number of elements that a field may have, in either form.
pub(crate) fn read_vector(json: Json<'_>) -> Result<Vec<f32>, String> {
    let text = json.string().unwrap_or_default();
    let padding = text.bytes().rev().take(2).filter(|byte| *byte == b'=').count();
    let dims = match json.elements() {
        Some(elements) => elements.take(DIMS_MAX + 1).count(),
        None => (text.len() / 4 * 3).saturating_sub(padding) / 4,
    };
    if json.kind() == Kind::Array && !(1..=DIMS_MAX).contains(&dims) {
        return Err(format!("a vector has 1 to {DIMS_MAX} elements"));
    }
    read(json, dims.clamp(1, DIMS_MAX))
}

/// Reads `dims` floats, in either form.
fn read(json: Json<'_>, dims: usize) -> Result<Vec<f32>, String> {
    let floats = match json.kind() {
        Kind::Array => array(json, dims)?,
        Kind::String => base64(&json.string().unwrap_or_default(), dims)?,
        other @ (Kind::Null | Kind::Bool(_) | Kind::Number | Kind::Object) => {
            let forms = "an array of numbers, or base64 of little-endian 32-bit floats";
            return Err(format!("expected a vector, {forms}; found {}", other.name()));
        }
    };
    match floats.iter().position(|float| float.is_nan() || float.abs() > ELEMENT_MAX) {
        Some(index) => {
            let found = floats.get(index).copied().unwrap_or_default();
            Err(format!("element {index} is {found}; expected a number up to {ELEMENT_MAX:e}"))
        }
        None => Ok(floats),
    }
}

fn array(json: Json<'_>, dims: usize) -> Result<Vec<f32>, String> {
    let mut floats = Vec::with_capacity(dims);
    let elements = json.elements().into_iter().flatten();
    let mut count = 0;
    for (index, element) in elements.enumerate() {
        count += 1;
        if count > dims {
            continue;
        }
        let Some(text) = element.number() else {
            let found = element.kind().name();
            return Err(format!("element {index} is {found}; expected a number"));
        };
        floats.push(text.parse().map_err(|_| format!("element {index} is no number: {text}"))?);
    }
    if count == dims {
        return Ok(floats);
    }
    Err(format!("expected a vector of {dims} elements, found {count}"))
}

fn base64(text: &str, dims: usize) -> Result<Vec<f32>, String> {
    // The length first: nothing is decoded that could not be right.
    let wanted = (dims * 4).div_ceil(3) * 4;
    let found = text.len();
    let bytes = if found == wanted { STANDARD.decode(text).ok() } else { None };
    let Some(bytes) = bytes.filter(|bytes| bytes.len() == dims * 4) else {
        return Err(format!(
            "expected {dims} little-endian 32-bit floats in padded base64, {wanted} characters of the \
             standard alphabet; found {found} characters"
        ));
    };
    let floats = bytes.chunks_exact(4).map(|bytes| match *bytes {
        [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
        _ => 0.0,
    });
    Ok(floats.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::Metric;

    fn decode(text: &str, dims: usize, element: Element) -> Result<Vec<f32>, String> {
        let field = VectorField { dims, element, metric: Metric::Dot, ann: true };
        let vector = Vector::decode(Json::parse(text.as_bytes()).unwrap(), &field)?;
        assert_eq!(vector.as_bytes().len(), dims * element.bytes());
        Ok(vector.to_floats(element))
    }

    #[test]
    fn both_forms_are_the_same_vector() {
        let expect = Ok(vec![0.1_f32, 0.2]);
        assert_eq!(decode("[0.1, 2e-1]", 2, Element::F32), expect);
        assert_eq!(decode(r#""zczMPc3MTD4=""#, 2, Element::F32), expect);
        assert_eq!(decode(r#""zczMPc3MTD4\u003d""#, 2, Element::F32), expect);
        assert_eq!(decode("[-128,127]", 2, Element::I8), Ok(vec![-128.0, 127.0]));
        assert_eq!(decode("[0.1]", 1, Element::F16), Ok(vec![0.099_975_586]));
    }

    #[test]
    fn vectors_that_do_not_fit_are_refused() {
        for (text, dims, element, reason) in [
            ("[1]", 2, Element::F32, "of 2 elements, found 1"),
            ("[1,2,3]", 2, Element::F32, "of 2 elements, found 3"),
            ("[1,null]", 2, Element::F32, "element 1 is null"),
            ("[1,\"2\"]", 2, Element::F32, "element 1 is a string"),
            ("[1,1e39]", 2, Element::F32, "element 1 is inf"),
            ("[1,1e16]", 2, Element::F32, "up to 1e15"),
            ("[70000]", 1, Element::F16, "65504"),
            ("[0.5]", 1, Element::I8, "integers"),
            ("[128]", 1, Element::I8, "-128 to 127"),
            ("{}", 1, Element::F32, "an array of numbers"),
            (r#""zczMPc3MTD4""#, 2, Element::F32, "12 characters"),
            (r#""zczMPc3MTD4=""#, 3, Element::F32, "16 characters"),
            (r#""zczMPc3MTD5=""#, 2, Element::F32, "padded base64"),
            (r#""_czMPc3MTD4=""#, 2, Element::F32, "standard alphabet"),
            (r#""AADAfw==""#, 1, Element::F32, "NaN"),
            (r#""AACAfw==""#, 1, Element::F32, "inf"),
        ] {
            let error = decode(text, dims, element).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
