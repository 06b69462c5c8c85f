//! The header of a program (elf(5)): its processor, and whether it needs an interpreter.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What is known of a program from its headers.
#[derive(Debug, PartialEq, Eq)]
pub struct Elf {
    /// The processor.
    pub machine: &'static str,
    /// The program that would load its libraries. A static program has none.
    pub interpreter: Option<String>,
}

/// More program headers than any linker writes.
const MOST_HEADERS: u16 = 256;
const PT_INTERP: u32 = 3;

/// Reads the headers; `None` if it is no little-endian 64-bit program.
///
/// # Errors
/// It cannot be read, or ends within its headers.
pub fn read(file: &File) -> io::Result<Option<Elf>> {
    let mut header = [0; 64];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Ok(None);
    }
    let machine = match half(&header, 18) {
        62 => "x86_64",
        183 => "aarch64",
        _ => "another processor",
    };
    let (table, size, count) = (long(&header, 32), half(&header, 54), half(&header, 56));
    if size < 56 || count > MOST_HEADERS {
        return Ok(None);
    }
    let mut interpreter = None;
    for number in 0..count {
        let mut entry = [0; 56];
        file.read_exact_at(&mut entry, table.saturating_add(u64::from(number) * u64::from(size)))?;
        if word(&entry, 0) == PT_INTERP {
            interpreter = Some(name(file, long(&entry, 8), long(&entry, 32))?);
        }
    }
    Ok(Some(Elf { machine, interpreter }))
}

fn name(file: &File, at: u64, length: u64) -> io::Result<String> {
    // PATH_MAX
    let mut name = vec![0; usize::try_from(length.min(4096)).unwrap_or_default()];
    file.read_exact_at(&mut name, at)?;
    Ok(String::from_utf8_lossy(&name).trim_end_matches('\0').into())
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from(half(bytes, at)) | u32::from(half(bytes, at + 2)) << 16
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}
