//! Records which compiler builds the program, and on which host.

use std::env;
use std::fs;
use std::process::Command;

fn main() {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = Command::new(rustc)
        .arg("--version")
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string())
        .unwrap_or_else(|_| "an unknown rustc".into());
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();

    println!("cargo:rerun-if-changed=/etc/hostname");
    println!("cargo:rustc-env=HELLO_COMPILER={version}");
    println!("cargo:rustc-env=HELLO_BUILD_HOST={}", host.trim());
}
