use std::fs;

fn greeting(host: &str) -> String {
    format!(
        "Hello from Rust ({}): built on {}, running on {host}",
        env!("HELLO_COMPILER"),
        env!("HELLO_BUILD_HOST"),
    )
}

fn main() {
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    println!("{}", greeting(host.trim()));
}

#[cfg(test)]
mod tests {
    use super::greeting;

    #[test]
    fn greeting_names_language_compiler_and_host() {
        let text = greeting("somewhere");
        assert!(text.starts_with("Hello from Rust (rustc 1."), "{text}");
        assert!(text.ends_with("running on somewhere"), "{text}");
    }
}
