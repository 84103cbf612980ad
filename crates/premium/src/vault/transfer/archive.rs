//! Files of an export: the recipient's key pair, and the sealed pages, one a line.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use aim_client::{read_private, write_private};
use aim_crypto::sealing::{self, RecipientKey, Sealed};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::model::ExportPage;

/// The first line of a private key's file.
const PRIVATE_KEY: &str = "AIM-EXPORT-PRIVATE-KEY-V1";

/// Makes a key pair: the private half at `path` (0600), the public one beside it, with `.pub` behind. Answers the latter's
/// path and text.
pub(super) fn make_keys(path: &Path) -> Result<(PathBuf, String), String> {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    let public_path = PathBuf::from(name);
    for taken in [path, &public_path] {
        if taken.exists() {
            return Err(format!(
                "{} is there already; nothing was replaced",
                taken.display()
            ));
        }
    }
    let key = RecipientKey::generate().map_err(|error| error.to_string())?;
    let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(key.private().as_slice()));
    let text = Zeroizing::new(format!("{PRIVATE_KEY}\n{}\n", encoded.as_str()));
    write_private(path, &text).map_err(|error| error.to_string())?;
    let public = key.public_text();
    let said = |error: std::io::Error| format!("{} cannot be written: {error}", public_path.display());
    fs::write(&public_path, format!("{public}\n")).map_err(said)?;
    fs::set_permissions(&public_path, fs::Permissions::from_mode(0o644)).map_err(said)?;
    Ok((public_path, public))
}

/// The public key in a file, checked.
pub(super) fn read_public(path: &Path) -> Result<String, String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    if text.starts_with(PRIVATE_KEY) {
        return Err(format!(
            "{} is the private key; name the public one, which ends in .pub",
            path.display()
        ));
    }
    let key = text.trim();
    sealing::parse_public(key).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(key.to_owned())
}

/// The private key in a file that only its owner may read.
pub(super) fn read_key(path: &Path) -> Result<RecipientKey, String> {
    let text = Zeroizing::new(read_private(path).map_err(|error| error.to_string())?);
    let wrong = || format!("{} holds no private key of `aim vault keygen`", path.display());
    let encoded = text.trim().strip_prefix(PRIVATE_KEY).ok_or_else(wrong)?;
    let private = URL_SAFE_NO_PAD
        .decode(encoded.trim())
        .map(Zeroizing::new)
        .map_err(|_| wrong())?;
    RecipientKey::from_private(&private).map_err(|_| wrong())
}

/// The secrets of each page, once it is certain that none is missing, exchanged or of another export.
pub(super) fn open(text: &str, key: &RecipientKey) -> Result<Vec<Zeroizing<Vec<u8>>>, String> {
    let pages = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).map_err(|_| "this is no export of AIM".to_owned()))
        .collect::<Result<Vec<ExportPage>, String>>()?;
    let first = pages.first().ok_or("the file holds no export")?.export.clone();
    let mut through = String::new();
    for (place, page) in pages.iter().enumerate() {
        let export = &page.export;
        let is_last = place + 1 == pages.len();
        let follows = export.after == through
            && export.export_id == first.export_id
            && export.organization_id == first.organization_id
            && export.prefix == first.prefix;
        if !follows || export.last != is_last {
            return Err(format!(
                "page {} does not follow on the one before, or the last page is missing: the file is cut off or was changed",
                place + 1
            ));
        }
        through.clone_from(&export.through);
    }
    pages
        .iter()
        .enumerate()
        .map(|(place, page)| {
            let sealed = Sealed {
                kem: page.sealed.kem,
                kdf: page.sealed.kdf,
                aead: page.sealed.aead,
                enc: page.sealed.enc.clone(),
                ciphertext: page.sealed.ciphertext.clone(),
            };
            sealing::open(key, &page.export.info(), &sealed)
                .map_err(|error| format!("page {}: {error}", place + 1))
        })
        .collect()
}

/// Writes what must be seen by its owner alone, or to standard output.
pub(super) fn write_out(path: Option<&Path>, bytes: &[u8]) -> Result<(), String> {
    let Some(path) = path else {
        let mut output = std::io::stdout().lock();
        return output
            .write_all(bytes)
            .and_then(|()| output.flush())
            .map_err(|error| format!("standard output: {error}"));
    };
    let said = |error: std::io::Error| format!("{} cannot be written: {error}", path.display());
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(said)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(said)
}
