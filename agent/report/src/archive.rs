//! A zip archive in memory (APPNOTE.TXT 6.3, without its 64-bit and encryption parts): it opens with a double click everywhere,
//! a phone included, and a file can be read out of it without the rest. It needs no more than the deflate that the agent has.

use crate::Moment;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use std::io::{self, Write};

/// A file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path, with `/` between its parts.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// General purpose bit 11: names are UTF-8.
const UTF8: u16 = 1 << 11;
const DEFLATED: u16 = 8;
/// Version 2.0 of the format, which has deflate; in the directory with the host system 3, Unix, whose modes follow.
const VERSION: u16 = 20;
const MADE_BY: u16 = (3 << 8) | VERSION;
/// A plain file for its owner alone (the mode is in the upper half).
const ATTRIBUTES: u32 = 0o100_600 << 16;

/// The archive's bytes. All of its files have the time `at`.
///
/// # Errors
/// It would be larger than the format allows (4 GiB, 65,535 files).
pub fn archive(files: &[File], at: Moment) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    for file in files {
        let start = small(bytes.len())?;
        let entry = Entry::of(file, at)?;
        bytes.extend(0x0403_4b50u32.to_le_bytes());
        bytes.extend(&entry.shared);
        bytes.extend(0u16.to_le_bytes());
        bytes.extend(file.name.as_bytes());
        bytes.extend(&entry.deflated);
        directory.extend(0x0201_4b50u32.to_le_bytes());
        directory.extend(MADE_BY.to_le_bytes());
        directory.extend(&entry.shared);
        // No extra field, no comment, disk 0, and nothing said of being text.
        directory.extend([0; 8]);
        directory.extend(ATTRIBUTES.to_le_bytes());
        directory.extend(start.to_le_bytes());
        directory.extend(file.name.as_bytes());
    }
    let count = u16::try_from(files.len()).map_err(io::Error::other)?.to_le_bytes();
    let (start, length) = (small(bytes.len())?, small(directory.len())?);
    bytes.append(&mut directory);
    bytes.extend(0x0605_4b50u32.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend([count, count].concat());
    bytes.extend([length.to_le_bytes(), start.to_le_bytes()].concat());
    bytes.extend(0u16.to_le_bytes());
    Ok(bytes)
}

/// What the local header and the directory say alike, and the content.
struct Entry {
    shared: Vec<u8>,
    deflated: Vec<u8>,
}

impl Entry {
    fn of(file: &File, at: Moment) -> io::Result<Self> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&file.bytes)?;
        let deflated = encoder.finish()?;
        let mut crc = Crc::new();
        crc.update(&file.bytes);
        let (time, day) = dos(at);
        let name = u16::try_from(file.name.len()).map_err(io::Error::other)?;
        let shorts = [VERSION, UTF8, DEFLATED, time, day].map(u16::to_le_bytes).concat();
        let longs = [crc.sum(), small(deflated.len())?, small(file.bytes.len())?].map(u32::to_le_bytes).concat();
        Ok(Self { shared: [shorts, longs, name.to_le_bytes().to_vec()].concat(), deflated })
    }
}

fn small(length: usize) -> io::Result<u32> {
    u32::try_from(length).map_err(io::Error::other)
}

/// The time and the day as MS-DOS has them: from 1980, in steps of two seconds.
fn dos(at: Moment) -> (u16, u16) {
    let text = at.to_string();
    let number = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse::<u16>().ok()).unwrap_or(0);
    let time = (number(11, 13) << 11) | (number(14, 16) << 5) | (number(17, 19) / 2);
    let year = number(0, 4).clamp(1980, 2107) - 1980;
    (time, (year << 9) | (number(5, 7) << 5) | number(8, 10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn file(name: &str, bytes: impl Into<Vec<u8>>) -> File {
        File { name: name.into(), bytes: bytes.into() }
    }

    /// Another program's reading: names, modes, times, and the contents, whose checksums it checks.
    fn read_back(bytes: &[u8]) -> String {
        let script = "import io, sys, zipfile\n\
                      archive = zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read()))\n\
                      assert archive.testzip() is None\n\
                      for one in archive.infolist():\n    \
                      print(one.filename, oct(one.external_attr >> 16), one.date_time, len(archive.read(one)), sum(archive.read(one)))\n";
        let mut python = Command::new("python3");
        python.args(["-c", script]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut python = python.spawn().unwrap();
        python.stdin.take().unwrap().write_all(bytes).unwrap();
        let output = python.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn another_program_reads_what_was_written() {
        let at = Moment::from_ms(1_795_788_645_678);
        let noise: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let sum: u64 = noise.iter().map(|byte| u64::from(*byte)).sum();
        let files = [file("a/report.html", "page"), file("a/é.txt", ""), file("a/noise", noise)];
        let bytes = archive(&files, at).unwrap();
        let when = "(2026, 11, 27, 14, 10, 44)";
        let wanted = format!(
            "a/report.html 0o100600 {when} 4 413\na/é.txt 0o100600 {when} 0 0\na/noise 0o100600 {when} 200000 {sum}\n"
        );
        assert_eq!(read_back(&bytes), wanted);
        assert_eq!(read_back(&archive(&[], Moment::default()).unwrap()), "");
    }
}
