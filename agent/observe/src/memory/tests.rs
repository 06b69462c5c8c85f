use super::*;
use std::fs;
use testing::fake::Dir;

const MIB: u64 = 1024 * 1024;
const PID: u32 = 77;

/// A kernel's files in a directory: those of a connector of 40 MiB in RAM, and these.
fn kernel(dir: &Dir, files: &[(&str, &str)]) -> Kernel {
    let statm = ("proc/77/statm", "318231 10240 6000 4000 0 20000 0\n");
    for (name, text) in files.iter().chain([&statm]) {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    Kernel { proc: dir.join("proc"), cgroup: dir.join("cgroup"), free: || Ok(100 * MIB), page: 4096 }
}

fn measured(files: &[(&str, &str)]) -> Result<(u64, u64), String> {
    let dir = Dir::new();
    let measured = measure(&kernel(&dir, files), PID).map_err(|error| error.to_string())?;
    assert_eq!(measured.connector % 4096, 0);
    Ok((measured.available / MIB, measured.connector / MIB))
}

/// The beginning of procfs of a t3.micro, and of a root group's `memory.stat`, to the mebibyte.
const MEMINFO: &str = "MemTotal:         983040 kB\nMemFree:          102400 kB\nMemAvailable:     512000 kB\nBuffers:           20480 kB\n";
const ROOT_STAT: &str = "anon 314572800\nfile 419430400\ninactive_anon 1\nactive_anon 314572799\ninactive_file 209715200\n\
    active_file 104857600\nunevictable 0\nslab_reclaimable 20971520\nslab_unreclaimable 41943040\n";
const UNIT: &str = "0::/system.slice/cflared-agent.service\n";

#[test]
fn without_a_limit_it_is_what_the_host_has() {
    for (files, available) in [
        (&[("proc/meminfo", MEMINFO)][..], 500),
        // In the sandbox: free, the inactive half of the cache, and half of the rest.
        (&[("cgroup/memory.stat", ROOT_STAT)], 100 + 200 + (100 + 20) / 2),
        // An old kernel, or version 1.
        (&[], 100),
        (&[("proc/self/cgroup", "4:memory:/system.slice/x.service\n1:name=systemd:/\n")], 100),
        (&[("proc/meminfo", MEMINFO), ("proc/self/cgroup", UNIT)], 500),
        (&[("proc/meminfo", MEMINFO), ("proc/self/cgroup", UNIT), ("cgroup/system.slice/memory.max", "max\n")], 500),
    ] {
        assert_eq!(measured(files), Ok((available, 40)), "{files:?}");
    }
}

#[test]
fn the_least_limit_on_the_way_up_counts() {
    let unit = "cgroup/system.slice/cflared-agent.service/";
    let mib = |mib: u64| format!("{}\n", mib * MIB);
    let stat = "anon 1\ninactive_file 10485760\nactive_file 99999999\n";
    let of = |group: &str, max: &str, current: u64| {
        [
            (format!("{group}memory.max"), max.to_owned()),
            (format!("{group}memory.current"), mib(current)),
            (format!("{group}memory.stat"), stat.into()),
        ]
    };
    let limit = |max: u64, current| of(unit, &mib(max), current).to_vec();
    for (files, available) in [
        (limit(576, 76), 500),
        (limit(576, 176), 410),
        (limit(100, 99), 11),
        // Above its limit, and with more cache than is in use.
        (limit(100, 120), 10),
        (limit(100, 1), 100),
        ([limit(400, 100), of("cgroup/system.slice/", &mib(600), 400).to_vec()].concat(), 210),
        ([limit(400, 100), of("cgroup/system.slice/", &mib(600), 100).to_vec()].concat(), 310),
        ([limit(400, 100), of("cgroup/", &mib(150), 145).to_vec()].concat(), 15),
        (of(unit, "max\n", 900).to_vec(), 500),
    ] {
        let base = [("proc/meminfo", MEMINFO), ("proc/self/cgroup", UNIT)];
        let files: Vec<_> =
            base.into_iter().chain(files.iter().map(|(name, text)| (name.as_str(), text.as_str()))).collect();
        assert_eq!(measured(&files), Ok((available, 40)), "{files:?}");
    }
    // A namespace that shows groups above its own root leads nowhere else.
    let files = [("proc/meminfo", MEMINFO), ("proc/self/cgroup", "0::/../../x\n"), ("cgroup/x/memory.max", "max\n")];
    assert_eq!(measured(&files), Ok((500, 40)));
}

#[test]
fn what_the_kernel_does_not_say_is_told() {
    for (files, mentions) in [
        (&[("proc/77/statm", "1")][..], "statm: its second field is no number"),
        (&[("proc/meminfo", "MemFree: 1 kB\n")], "meminfo: it has no MemAvailable"),
        (&[("proc/self/cgroup", "0::/\n"), ("cgroup/memory.max", "lots\n")], "memory.max: it is neither"),
        (&[("proc/self/cgroup", "0::/\n"), ("cgroup/memory.max", "1\n")], "memory.current: it is no number"),
        (&[("proc/meminfo/x", "")], "failed to read"),
    ] {
        let dir = Dir::new();
        let kernel = kernel(&dir, files);
        for (name, text) in files {
            fs::write(dir.join(name), text).unwrap();
        }
        let error = measure(&kernel, PID).unwrap_err().to_string();
        assert!(error.contains(mentions), "{mentions}: {error}");
    }
    let dir = Dir::new();
    let kernel = Kernel { free: || Err(ErrorKind::PermissionDenied.into()), ..kernel(&dir, &[]) };
    assert!(measure(&kernel, PID).unwrap_err().to_string().contains("a sandbox may forbid sysinfo(2)"));
    let gone = measure(&Kernel { free: || Ok(1), ..kernel }, 78).unwrap_err().to_string();
    assert!(gone.contains("78/statm") && gone.contains("may have ended"), "{gone}");
}

#[test]
fn a_file_without_an_end_is_read_so_far_and_no_further() {
    let dir = Dir::new();
    let kernel = kernel(&dir, &[("proc/meminfo", MEMINFO)]);
    fs::write(dir.join("proc/77/statm"), "1 2 ".repeat(1 << 20)).unwrap();
    assert_eq!(measure(&kernel, PID).unwrap().connector, 2 * 4096);
    assert_eq!(read(&dir.join("proc/77/statm")).unwrap().unwrap().len() as u64, MOST);
}

#[test]
fn this_host_says_what_can_be_true() {
    let total = nix::sys::sysinfo::sysinfo().unwrap().ram_total();
    let kernel = Kernel::default();
    let measured = measure(&kernel, std::process::id()).unwrap();
    assert!(measured.connector > MIB && measured.connector < total, "{measured:?}");
    assert!(measured.available > 0 && measured.available <= total, "{measured:?} of {total}");
    // As in the sandbox, which hides meminfo: never more than the kernel's own estimate by what it keeps for itself.
    let hidden = Dir::new();
    fs::create_dir_all(hidden.join("proc/self")).unwrap();
    let sandboxed = Kernel { proc: hidden.join("proc"), ..kernel };
    assert!(sandboxed.host().unwrap() <= total);
}
