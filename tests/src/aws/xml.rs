//! XML of the query protocol: an object is elements, an array `member` elements, anything else text.

use serde_json::Value;
use std::fmt::Write;

const NAMESPACE: &str = "http://autoscaling.amazonaws.com/doc/2011-01-01/";

/// The document that answers `action`; null is the answer of an action without output.
pub fn response(action: &str, output: &Value) -> String {
    let mut result = String::new();
    if !output.is_null() {
        element(&mut result, &format!("{action}Result"), output);
    }
    format!(r#"<{action}Response xmlns="{NAMESPACE}">{result}{}</{action}Response>"#, metadata())
}

/// The document of an error; `fault` is `Sender` or `Receiver`.
pub fn error_response(fault: &str, code: &str, message: &str) -> String {
    let error = serde_json::json!({"Type": fault, "Code": code, "Message": message});
    let mut body = String::new();
    element(&mut body, "Error", &error);
    format!(r#"<ErrorResponse xmlns="{NAMESPACE}">{body}<RequestId>stand-in</RequestId></ErrorResponse>"#)
}

fn metadata() -> &'static str {
    "<ResponseMetadata><RequestId>stand-in</RequestId></ResponseMetadata>"
}

fn element(out: &mut String, name: &str, value: &Value) {
    if value.is_null() {
        return;
    }
    // Writing to a String cannot fail.
    let _ = write!(out, "<{name}>");
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| element(out, name, value)),
        Value::Array(items) => items.iter().for_each(|item| element(out, "member", item)),
        Value::String(text) => escape(out, text),
        other => escape(out, &other.to_string()),
    }
    let _ = write!(out, "</{name}>");
}

fn escape(out: &mut String, text: &str) {
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            other => out.push(other),
        }
    }
}
