//! CBOR to JSON values and back, as far as CloudWatch needs it. A timestamp (tag 1) becomes seconds since 1970.

use aws_smithy_cbor::data::Type;
use aws_smithy_cbor::decode::DeserializeError;
use aws_smithy_cbor::{Decoder, Encoder};
use aws_smithy_types::DateTime;
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

/// The members whose numbers are times, in seconds since 1970.
const TIMES: &str = "Timestamps";

/// Writes an output; null is no body at all, as of an action without output. Members that are null are left out.
pub fn encode(value: &Value) -> Vec<u8> {
    if value.is_null() {
        return Vec::new();
    }
    let mut encoder = Encoder::new(Vec::new());
    write(&mut encoder, "", value);
    encoder.into_writer()
}

fn write(encoder: &mut Encoder, member: &str, value: &Value) {
    match value {
        Value::Object(members) => {
            let members: Vec<_> = members.iter().filter(|(_, value)| !value.is_null()).collect();
            encoder.map(members.len());
            for (name, value) in members {
                encoder.str(name);
                write(encoder, name, value);
            }
        }
        Value::Array(items) => {
            encoder.array(items.len());
            items.iter().for_each(|item| write(encoder, member, item));
        }
        Value::String(text) => drop(encoder.str(text)),
        Value::Bool(truth) => drop(encoder.boolean(*truth)),
        Value::Null => drop(encoder.null()),
        Value::Number(number) => match number.as_i64() {
            Some(seconds) if member == TIMES => drop(encoder.timestamp(&DateTime::from_secs(seconds))),
            Some(whole) => drop(encoder.long(whole)),
            None => drop(encoder.double(number.as_f64().unwrap_or_default())),
        },
    }
}
