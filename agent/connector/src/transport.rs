//! The transport over which a connector reaches the edge, from its arguments and its configuration.
use cflared_verdict::Transport;
use std::path::Path;

/// The flag's names (the program's public source, `cmd/cloudflared/tunnel/subcommands.go`); a file knows the first.
const NAMES: [&str; 2] = ["protocol", "p"];

/// The transport that a connector is bound to; `None`: it may choose, and fall back. Arguments win over the file, and the last of
/// them over the first. With `auto` it chooses, and at a word that it does not know it exits. It waits for the disk.
pub fn pinned(arguments: &[String], config: &Path) -> Option<Transport> {
    match argument(arguments, &NAMES).or_else(|| bundle::setting(config, NAMES[0]))?.as_str() {
        "quic" => Some(Transport::Quic),
        "http2" | "h2mux" => Some(Transport::Http2),
        _ => None,
    }
}

/// The last value of a flag with these names, in any of the forms that Go takes: one dash or two, and the value after `=` or in the next word.
pub(super) fn argument(arguments: &[String], names: &[&str]) -> Option<String> {
    let mut words = arguments.iter();
    let mut found = None;
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else { continue };
        match flag.split_once('=') {
            Some((name, value)) if names.contains(&name) => found = Some(value.to_owned()),
            None if names.contains(&flag) => found = words.next().cloned(),
            Some(_) | None => {}
        }
    }
    found
}

#[cfg(test)]
mod tests;
