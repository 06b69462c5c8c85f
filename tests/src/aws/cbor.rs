//! CBOR to JSON values and back, as far as CloudWatch needs it. A timestamp (tag 1) becomes seconds since 1970.

use aws_smithy_cbor::data::Type;
use aws_smithy_cbor::decode::DeserializeError;
use aws_smithy_cbor::{Decoder, Encoder};
use serde_json::{Map, Value};

/// Reads one element.
///
/// # Errors
/// The bytes are not CBOR, or of a type that no member of the service has.
pub fn decode(bytes: &[u8]) -> Result<Value, DeserializeError> {
    element(&mut Decoder::new(bytes))
}

fn element(decoder: &mut Decoder) -> Result<Value, DeserializeError> {
    match decoder.datatype()? {
        Type::Bool => decoder.boolean().map(Value::from),
        Type::Null | Type::Undefined => decoder.skip().map(|()| Value::Null),
        Type::F16 | Type::F32 | Type::F64 => decoder.double().map(Value::from),
        Type::String | Type::StringIndef => decoder.string().map(Value::from),
        Type::Array | Type::ArrayIndef => array(decoder),
        Type::Map | Type::MapIndef => map(decoder),
        Type::Tag => decoder.timestamp().map(|time| Value::from(time.as_secs_f64())),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::I8 | Type::I16 | Type::I32 | Type::I64 => {
            decoder.long().map(Value::from)
        }
        other => Err(DeserializeError::custom(format!("no member has the type {other:?}"), decoder.position())),
    }
}

fn array(decoder: &mut Decoder) -> Result<Value, DeserializeError> {
    let length = decoder.list()?;
    let mut items = Vec::new();
    while more(decoder, length, items.len())? {
        items.push(element(decoder)?);
    }
    Ok(Value::Array(items))
}

fn map(decoder: &mut Decoder) -> Result<Value, DeserializeError> {
    let length = decoder.map()?;
    let mut members = Map::new();
    let mut read = 0;
    while more(decoder, length, read)? {
        let name = decoder.string()?;
        members.insert(name, element(decoder)?);
        read += 1;
    }
    Ok(Value::Object(members))
}

/// Whether another item follows; eats the break that ends one of indefinite length.
fn more(decoder: &mut Decoder, length: Option<u64>, read: usize) -> Result<bool, DeserializeError> {
    if let Some(length) = length {
        return Ok((read as u64) < length);
    }
    if decoder.datatype()? == Type::Break {
        decoder.skip()?;
        return Ok(false);
    }
    Ok(true)
}

/// Writes a map of texts; null is no body at all, as of an action without output.
pub fn encode(value: &Value) -> Vec<u8> {
    let Value::Object(members) = value else {
        return Vec::new();
    };
    let mut encoder = Encoder::new(Vec::new());
    encoder.map(members.len());
    for (name, value) in members {
        encoder.str(name).str(value.as_str().unwrap_or_default());
    }
    encoder.into_writer()
}
