//! Tokens of a service account: asked for with a signed statement, kept until shortly before they end.
use super::dial::Failure;
use super::route::Route;
use gemini_live::Credential;
use std::path::Path;

/// Where tokens of one account come from.
#[derive(Debug)]
pub struct Tokens;

/// The file is no key of a service account.
#[derive(Debug, thiserror::Error)]
#[error("is no key of a service account")]
pub struct NoAccount;

impl Tokens {
    /// Reads the key file of a service account.
    pub fn from_file(_path: &Path) -> Result<Self, NoAccount> {
        Err(NoAccount)
    }

    /// A token, and whether it was kept from before.
    pub async fn get(&self, _route: &Route) -> Result<(Credential, bool), Failure> {
        Err(Failure::unreachable("no account".to_owned()))
    }

    /// Keeps this token no longer.
    pub async fn forget(&self, _credential: &Credential) {}
}
