//! Random ids and fractions, from the kernel.

use std::fs::File;
use std::io::Read;

/// A random (version 4) UUID, RFC 9562 §5.4.
pub(crate) fn uuid() -> String {
    let mut bytes: [u8; 16] = random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A random number in `0.0..1.0`.
pub(crate) fn fraction() -> f64 {
    f64::from(u32::from_ne_bytes(random())) / (f64::from(u32::MAX) + 1.0)
}

/// A random number below `bound`.
pub(crate) fn below(bound: usize) -> usize {
    u32::from_ne_bytes(random()) as usize % bound.max(1)
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    File::open("/dev/urandom")
        .and_then(|mut urandom| urandom.read_exact(&mut bytes))
        .expect("every Linux has /dev/urandom");
    bytes
}
