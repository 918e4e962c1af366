//! Derives what nobody should have to remember: a hash of the rules and of how rows follow them, so that a program in
//! which they differ judges everybody again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Whatever shapes a verdict, or a row that follows one.
const SOURCES: [&str; 5] = ["src/rules.rs", "src/rules", "src/plan.rs", "src/plan", "src/domain"];

fn main() -> io::Result<()> {
    // The program contains the migrations, and cargo does not see a new file by itself.
    println!("cargo::rerun-if-changed=migrations");
    let mut files = Vec::new();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
        collect(Path::new(source), &mut files)?;
    }
    files.sort();
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    for file in files {
        hash.add(file.to_string_lossy().as_bytes());
        hash.add(&fs::read(file)?);
    }
    println!("cargo::rustc-env=ROLLCALL_RULES={:016x}", hash.0);
    Ok(())
}

/// The files of a folder, or the one file; tests change no verdict.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.ends_with("tests") || path.ends_with("tests.rs") {
        return Ok(());
    }
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    fs::read_dir(path)?.try_for_each(|entry| collect(&entry?.path(), files))
}

/// FNV-1a: the same in every version of the compiler. It tells versions apart and guards nothing.
struct Fnv(u64);

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
