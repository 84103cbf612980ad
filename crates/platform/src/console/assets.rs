//! Stylesheet, modules and icons. In a release they are part of the binary and may be kept for ever under
//! their address, which holds a digest of all of them; while developing they are read from the folder.

use std::{
    io::Write,
    sync::{LazyLock, OnceLock},
};

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use aim_core::Error;
use aim_crypto::digest::sha256;
use flate2::{Compression, write::GzEncoder};

use super::PageError;

macro_rules! embedded {
    ($($name:literal)*) => {
        const NAMES: &[&str] = &[$($name),*];
        fn embedded(name: &str) -> Option<&'static [u8]> {
            match name {
                $($name => Some(include_bytes!(concat!("assets/", $name)).as_slice()),)*
                _ => None,
            }
        }
    };
}

// A test holds that every file of the folder stands here.
embedded! {
    "agent-keys.js"
    "console.css"
    "console.js"
    "copy.js"
    "dialogs.js"
    "entrance.js"
    "favicon.svg"
    "feed.js"
    "filters.js"
    "forms.js"
    "icons.svg"
    "select.js"
    "shown-once.js"
    "signing.js"
    "theme.js"
    "time.js"
    "toast.js"
}

/// The modules that every page has, so that a browser asks for them all at once.
pub(super) const COMMON: [&str; 10] = [
    "copy.js",
    "dialogs.js",
    "feed.js",
    "filters.js",
    "forms.js",
    "select.js",
    "theme.js",
    "time.js",
    "toast.js",
    "console.js",
];

/// Where the assets lie while developing.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/console/assets");

fn content(name: &str) -> Option<Vec<u8>> {
    let embedded = embedded(name)?;
    let on_disk = if cfg!(debug_assertions) {
        std::fs::read(format!("{FOLDER}/{name}")).ok()
    } else {
        None
    };
    Some(on_disk.unwrap_or_else(|| embedded.to_vec()))
}

/// A digest of all assets, so that modules can import each other by relative names.
static DIGEST: LazyLock<String> = LazyLock::new(|| {
    let all: Vec<u8> = NAMES.iter().filter_map(|name| content(name)).flatten().collect();
    hexadecimal(&sha256(&all))
});

fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The address of an asset.
pub(super) fn url(name: &str) -> String {
    format!("/assets/{}/{name}", *DIGEST)
}

struct Packed {
    plain: Vec<u8>,
    gzip: Vec<u8>,
    tag: String,
}

fn pack(name: &str) -> Option<Packed> {
    let plain = content(name)?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let gzip = encoder
        .write_all(&plain)
        .and_then(|()| encoder.finish())
        .unwrap_or_default();
    let tag = format!("\"{}\"", hexadecimal(&sha256(&plain)));
    Some(Packed { plain, gzip, tag })
}

/// All assets, packed once.
static PACKED: OnceLock<Vec<(&'static str, Packed)>> = OnceLock::new();

/// Answers an asset.
pub(crate) async fn serve(
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, PageError> {
    let (digest, name) = path.into_inner();
    if cfg!(debug_assertions) {
        let packed = pack(&name).ok_or_else(Error::not_found)?;
        return Ok(answer(&request, &name, &packed, false));
    }
    let all = PACKED.get_or_init(|| {
        NAMES
            .iter()
            .filter_map(|name| Some((*name, pack(name)?)))
            .collect()
    });
    let found = all.iter().find(|(known, _)| *known == name);
    let (_, packed) = found.ok_or_else(Error::not_found)?;
    // Another release's address gets the present content, but not for ever.
    Ok(answer(&request, &name, packed, digest == *DIGEST))
}

/// Answers the icon at the address where browsers look for one by themselves, beside a page that is none of ours.
pub(crate) async fn serve_icon(request: HttpRequest) -> Result<HttpResponse, PageError> {
    serve(
        request,
        web::Path::from((String::new(), "favicon.svg".to_owned())),
    )
    .await
}

fn answer(request: &HttpRequest, name: &str, packed: &Packed, for_ever: bool) -> HttpResponse {
    let text = |name: header::HeaderName| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let caching = if for_ever {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let kind = match name.rsplit_once('.') {
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let mut response = if text(header::IF_NONE_MATCH) == packed.tag {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .content_type(kind)
        .insert_header((header::ETAG, packed.tag.clone()))
        .insert_header((header::VARY, "accept-encoding"))
        .insert_header((header::CACHE_CONTROL, caching));
    if text(header::IF_NONE_MATCH) == packed.tag {
        return response.finish();
    }
    if text(header::ACCEPT_ENCODING).contains("gzip") && !packed.gzip.is_empty() {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
        return response.body(packed.gzip.clone());
    }
    response.body(packed.plain.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_an_asset() {
        let mut files: Vec<String> = std::fs::read_dir(FOLDER)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let mut names: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
        names.sort();
        assert_eq!(files, names);
    }

    #[test]
    fn what_every_page_needs_is_small() {
        let compressed: usize = NAMES.iter().map(|name| pack(name).unwrap().gzip.len()).sum();
        assert!(compressed < 60 * 1024, "{compressed} bytes");
    }
}
