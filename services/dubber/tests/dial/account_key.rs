//! A key of no account, made anew by every run: nothing in the repository looks like a secret.
use std::process::Command;
use std::sync::OnceLock;

/// An RSA key of 2048 bits, PKCS #8 in PEM.
pub fn key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| {
        let made = Command::new("openssl")
            .args("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048".split(' '))
            .output()
            .expect("openssl, which `make prepare` installs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).expect("PEM is text")
    })
}
