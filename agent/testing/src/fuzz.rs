//! Hostile input for what reads something that others wrote: seeds, changed at random, and what behaves in a new way changed again.
//!
//! In `make test` each target gets a few thousand inputs, the same ones each time. `make fuzz` gives each `SECONDS` seconds, from a
//! seed that it prints. What is found is written down whole, and becomes a test.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The variable with the seconds that a target gets.
const SECONDS: &str = "FUZZ_SECONDS";
/// The variable with the seed; without it one is drawn, where seconds are given.
const SEED: &str = "FUZZ_SEED";
/// How many inputs there are without seconds, beside the seeds.
const FEW: u64 = 3_000;
/// The longest input, in bytes.
const LONGEST: usize = 200_000;
/// How many inputs of new behaviour are kept.
const KEPT: usize = 2_000;

/// What many readers have in their grammar, and what they may not expect.
const WORDS: &[&str] = &[
    "\0",
    "\n",
    "\r\n",
    "\t",
    " ",
    "\"",
    "'",
    "\\",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "\u{202e}",
    "\u{1b}[2J",
    "\u{85}",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    ": ",
    "- ",
    "#",
    "&a ",
    "*a",
    "!!binary ",
    "<<: ",
    "---\n",
    "...\n",
    "%TAG ",
    "|",
    ">",
    "? ",
    "~",
    "null",
    "true",
    "false",
    "NaN",
    "-Inf",
    "+Inf",
    "1e999",
    "-0",
    "0x",
    "-1",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775807",
    "-9223372036854775808",
    "4294967295",
    "1e308",
    "0.1",
    "//",
    "://",
    "@",
    "%25",
    "..",
    "/",
    "169.254.169.254",
    "0xa9fea9fe",
    "[::1]",
    "[fd00:ec2::254]",
    "localhost",
    "unix:",
    "http_status:",
    "service",
    "ingress",
    "tunnel",
    "level",
    "error",
    "message",
    "schema",
];

/// A generator of numbers (xorshift64*): the same seed gives the same ones.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// One of `0..end`; 0 if there is none.
    fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next() >> 16) as usize % end }
    }

    fn span(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let most = if self.below(4) == 0 { length } else { 16 };
        start..(start + self.below(most + 1)).min(length)
    }
}

fn changed(input: &[u8], others: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = input.to_vec();
    for _ in 0..=random.below(6) {
        let at = random.below(input.len() + 1);
        match random.below(11) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.next() as u8,
            2 => drop(input.drain(random.span(input.len()))),
            3 => {
                let part = input[random.span(input.len())].to_vec();
                input.splice(at..at, part);
            }
            4 | 5 => {
                let word = WORDS[random.below(WORDS.len())];
                input.splice(at..at, word.bytes());
            }
            6 => {
                let other = &others[random.below(others.len())];
                let part = other[random.span(other.len())].to_vec();
                let span = random.span(input.len());
                input.splice(span, part);
            }
            7 => {
                let many = 1 << random.below(13);
                let word = WORDS[random.below(WORDS.len())];
                input.splice(at..at, word.bytes().cycle().take(word.len() * many));
            }
            8 => {
                let digits = input.iter().enumerate().filter(|(_, byte)| byte.is_ascii_digit()).map(|(at, _)| at);
                let digits: Vec<usize> = digits.collect();
                if !digits.is_empty() {
                    let at = digits[random.below(digits.len())];
                    let word = ["0", "-1", "99999999999999999999", "1e400", "4294967296", "256"][random.below(6)];
                    input.splice(at..=at, word.bytes());
                }
            }
            9 => input.truncate(at),
            _ => {
                let span = random.span(input.len());
                input[span].reverse();
            }
        }
    }
    input.truncate(LONGEST);
    input
}

/// What people who run tunnels had, by the ends of names in `tests/field/`: of a file of lines, each line.
pub fn from_the_field(end: &str) -> Vec<Vec<u8>> {
    let home =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|home| home.join("tests/field").is_dir());
    let folder = home.expect("the sources are there").join("tests/field");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    paths.sort();
    let read = |path: PathBuf| match std::fs::read_to_string(&path).unwrap() {
        text if end == "lines.txt" => text.lines().map(|line| line.as_bytes().to_vec()).collect(),
        text => vec![text.into_bytes()],
    };
    let inputs: Vec<Vec<u8>> = paths.into_iter().flat_map(read).collect();
    assert!(!inputs.is_empty(), "no {end}");
    inputs
}

/// Gives `target` one input after the other. What it returns stands for how it behaved: an input that behaves in a new way is a seed
/// from then on.
///
/// # Panics
/// The target did: the input is in the file that the message names.
// How long it takes is what this is given.
#[allow(clippy::disallowed_methods)]
pub fn fuzz<B: Hash>(name: &str, seeds: impl IntoIterator<Item = Vec<u8>>, target: impl Fn(&[u8]) -> B) {
    let variable = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seconds = variable(SECONDS);
    let drawn = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as u64;
    let seed = variable(SEED).unwrap_or_else(|| if seconds.is_some() { drawn() } else { 1 });
    let (mut random, began) = (Random::new(seed), Instant::now());
    let mut inputs: Vec<Vec<u8>> = seeds.into_iter().collect();
    assert!(!inputs.is_empty(), "{name} has no seed");
    let (seeds, mut seen, mut slowest) = (inputs.len(), BTreeSet::new(), Duration::ZERO);
    let goes_on =
        |done: u64| seconds.map_or(done < FEW + seeds as u64, |seconds| began.elapsed() < Duration::from_secs(seconds));
    let mut done = 0;
    while goes_on(done) {
        let input = match inputs.get(done as usize).filter(|_| done < seeds as u64) {
            Some(seed) => seed.clone(),
            None => changed(&inputs[random.below(inputs.len())], &inputs, &mut random),
        };
        let at = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| target(&input))) {
            Ok(behaviour) => {
                let mut hasher = DefaultHasher::new();
                behaviour.hash(&mut hasher);
                if seen.insert(hasher.finish()) && inputs.len() < seeds + KEPT {
                    inputs.push(input);
                }
            }
            Err(_) => {
                let file = kept(name, &input);
                panic!("{name}: input {done} of seed {seed} is in {}", file.display());
            }
        }
        slowest = slowest.max(at.elapsed());
        done += 1;
    }
    if seconds.is_some() {
        println!(
            "fuzz {name}: {done} inputs in {:.0} s from {seeds} seeds, {} behaviours, the slowest took {slowest:?}, {} MiB at most, seed {seed}",
            began.elapsed().as_secs_f64(),
            seen.len(),
            peak() >> 20,
        );
    }
}

fn kept(name: &str, input: &[u8]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    let file = std::env::temp_dir().join(format!("fuzz-{name}-{:016x}", hasher.finish()));
    std::fs::write(&file, input).unwrap();
    file
}

/// The most memory that this process ever had, in bytes (proc(5), `VmHWM`).
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() << 10
}
