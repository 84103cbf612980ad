//! What is sent around the body: header fields, credentials, signatures, and what is hardly HTTP.

/// Media types with the status that a sound JSON body gets under them, where it is certain.
pub const MEDIA_TYPES: &[(&str, Option<u16>)] = &[
    ("", None),
    ("text/plain", Some(415)),
    ("text/json", None),
    ("application/xml", Some(415)),
    ("application/x-www-form-urlencoded", Some(415)),
    ("multipart/form-data; boundary=x", Some(415)),
    ("multipart/form-data", Some(415)),
    ("application/json; charset=utf-16", None),
    ("application/json;;;", None),
    ("json", None),
    ("*/*", None),
    ("application/\u{e9}", None),
    ("application/vnd.aim+json", None),
];

/// Header fields that are wrong or odd on any request.
pub fn headers() -> Vec<(&'static str, String)> {
    let long = "x".repeat(30_000);
    vec![
        ("accept", "application/xml".to_owned()),
        ("accept", ",;q=;;q=nan, */*;q=-1".to_owned()),
        ("accept", "text/csv;q=1e999".to_owned()),
        ("accept", "\u{e9}".to_owned()),
        ("accept-encoding", "gzip;q=5, br, \u{1f4a5}".to_owned()),
        ("content-encoding", "gzip".to_owned()),
        ("content-encoding", "br, deflate, zstd".to_owned()),
        ("content-encoding", "unknown".to_owned()),
        ("if-none-match", "W/\"".to_owned()),
        ("range", "bytes=9-1,-,5-".to_owned()),
        ("cookie", "aim_session=; aim_session=\u{ff}; =; ;;".to_owned()),
        ("cookie", format!("aim_session={long}")),
        ("x-forwarded-for", "999.999.999.999, ::1%lo, \u{ff}".to_owned()),
        ("x-forwarded-proto", "gopher".to_owned()),
        ("x-request-id", "\u{ff}".repeat(50)),
        ("user-agent", long.clone()),
        ("user-agent", "\u{ff}\u{fe}".to_owned()),
        ("origin", "null".to_owned()),
        ("origin", "https://evil.example".to_owned()),
        ("sec-fetch-site", "cross-site".to_owned()),
        ("expect", "100-continue".to_owned()),
        ("x-agent-id", "\u{ff}".to_owned()),
        ("x-signature", "AAAA".to_owned()),
        ("x-timestamp", "NaN".to_owned()),
        ("x-public-key", "====".to_owned()),
        ("x-api-key", "aim_live_".to_owned()),
        ("host", "[::1".to_owned()),
        ("host", "a b".to_owned()),
        ("host", String::new()),
    ]
}

/// Values of `Authorization` that are no credential.
pub fn authorizations() -> Vec<String> {
    vec![
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "bearer  x".to_owned(),
        "Bearer \u{ff}\u{fe}".to_owned(),
        "Basic YTpi".to_owned(),
        "Basic ====".to_owned(),
        "Digest username=\"\"".to_owned(),
        "Negotiate AAAA".to_owned(),
        "Bearer aim_live_".to_owned(),
        format!("Bearer aim_live_{}", "0".repeat(40)),
        format!("Bearer aim_live_{}", "é".repeat(40)),
        format!("Bearer {}", "x".repeat(30_000)),
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.".to_owned(),
        "Bearer null".to_owned(),
        ", ,".to_owned(),
    ]
}

/// `Signature-Input` and `Signature` made of a sound pair, broken in one place each. None of them is good.
pub fn broken_signatures(input: &str, signature: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    let mut with_input = |text: String| all.push((text, signature.to_owned()));
    for text in [
        "",
        " ",
        "=",
        "sig1",
        "sig1=",
        "sig1=()",
        "sig1=(",
        "sig1=(\"@method\"",
        "sig1=\"@method\"",
        "sig1=(@method)",
        "sig1=(\"@method\");keyid",
        "sig1=(\"@method\");created=x",
        "sig1=(\"\")",
        "sig1=(\"@unknown\")",
        "sig1=1",
        "sig1=?1",
        "sig1=:AAAA:",
        "SIG1=(\"@method\")",
        "sig1=(\"@method\" \"@method\");created=1;keyid=\"x\"",
        "sig1=(\"@method\";req);created=1;keyid=\"x\"",
        "sig1=(\"content-digest\";sf;key=\"a\");created=1",
        "sig1=(\"@query-param\";name=\"a\");created=1",
        "sig1=(\"@method\");created=99999999999999999999",
        "sig1=(\"@method\");created=-999999999999999",
        "sig1=(\"@method\");created=1.5",
        "sig1=(\"@method\");expires=0",
        "sig1=(\"@method\");alg=\"none\"",
        "sig1=(\"@method\");alg=\"hmac-sha256\";keyid=\"\"",
        "sig1=(\"@method\");nonce=\"\"",
        "sig1=(\"@method\");nonce=1;created=1;keyid=:AA==:",
        "sig1=(\u{e9})",
        "a,b,c",
        "sig1=(), sig1=()",
    ] {
        with_input(text.to_owned());
    }
    with_input(format!("{input}, {input}"));
    with_input(format!(
        "sig2={}",
        input.split_once('=').map_or("", |(_, rest)| rest)
    ));
    with_input(format!("sig1=({}\"x\")", "\"x\" ".repeat(2_000)));
    with_input(format!("sig1=(\"{}\")", "x".repeat(20_000)));
    for (from, to) in [
        ("\"@method\"", "\"@METHOD\""),
        ("\"@authority\"", "\"@target-uri\""),
        ("alg=\"ed25519\"", "alg=\"rsa-v1_5-sha256\""),
        ("keyid=\"", "keyid=\"\\\""),
        ("keyid=\"", "keyid=\"x"),
        ("nonce=\"", "nonce=\"x"),
        ("created=", "created=9"),
        ("created=", "created=-"),
        ("created=", "CREATED="),
        (";", ";;"),
        ("(", "(("),
        (")", ""),
        ("\"", "'"),
        (" ", "  \t"),
    ] {
        if input.contains(from) {
            with_input(input.replacen(from, to, 1));
        }
    }
    for text in [
        "",
        " ",
        "sig1",
        "sig1=",
        "sig1=::",
        "sig1=:AAAA:",
        "sig1=:!!!!:",
        "sig1=:====:",
        "sig1=AAAA",
        "sig1=\"AAAA\"",
        "sig2=:AAAA:",
        "sig1=:\u{e9}:",
        "sig1=(:AAAA:)",
        "sig1=1",
    ] {
        all.push((input.to_owned(), text.to_owned()));
    }
    all.push((input.to_owned(), format!("sig1=:{}:", "A".repeat(88))));
    all.push((input.to_owned(), format!("sig1=:{}:", "A".repeat(20_000))));
    all.push((input.to_owned(), format!("sig1=:{}:", "/".repeat(86) + "==")));
    all.push((input.to_owned(), signature.replace(':', "")));
    all
}

/// Values of `Content-Digest` under a signature that covers it.
pub const DIGESTS: &[&str] = &[
    "",
    "sha-256",
    "sha-256=",
    "sha-256=::",
    "sha-256=:AAAA:",
    "sha-256=:!!:",
    "md5=:AAAA:",
    "sha-256=AAAA",
    "SHA-256=:AAAA:",
    "sha-512=:AAAA:, sha-256=:AAAA:",
    "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
    "\u{e9}",
];

/// Values of the header fields in which the published SDKs sign.
pub const SDK_HEADERS: &[&str] = &[
    "",
    " ",
    "0",
    "-1",
    "+1",
    "1e9",
    "1.5",
    "NaN",
    "99999999999999999999",
    "9223372036854775807",
    "8210266876799",
    "8210266876800",
    "1970-01-01",
    "00000000-0000-0000-0000-000000000000",
    "not an id",
    "\u{e9}",
    "AAAA",
    "====",
    "!!!!",
    "MCowBQYDK2VwAyEA",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "-----BEGIN PUBLIC KEY-----",
    "{\"kty\":\"OKP\"}",
    "MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
];

/// What is hardly HTTP. The connection is closed or refused; it is never the server's failure.
pub fn wire_bytes() -> Vec<Vec<u8>> {
    let path = "/api/v1/edition";
    let head = |lines: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes();
    let first = |line: &str| format!("{line}\r\nHost: a\r\nConnection: close\r\n\r\n").into_bytes();
    let mut all = vec![
        b"\0\0\0\0".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET /\r\n\r\n".to_vec(),
        first("GET  HTTP/1.1"),
        first("GET api HTTP/1.1"),
        first("GET /\u{e9}\u{fe} HTTP/1.1"),
        first("GET /a b HTTP/1.1"),
        first("GET /\0 HTTP/1.1"),
        first("GET //evil.example/%00 HTTP/1.1"),
        first("GET /api/v1/../../etc/passwd HTTP/1.1"),
        first("GET http://evil.example/api/v1/edition HTTP/1.1"),
        first("GET * HTTP/1.1"),
        first("OPTIONS * HTTP/1.1"),
        first("CONNECT evil.example:443 HTTP/1.1"),
        first("TRACE /api/v1/edition HTTP/1.1"),
        first("HEAD /api/v1/edition HTTP/1.1"),
        first("PROPFIND /api/v1/agents HTTP/1.1"),
        first("get /api/v1/edition HTTP/1.1"),
        first("G\u{e9}T /api/v1/edition HTTP/1.1"),
        first("GET /api/v1/edition HTTP/9.9"),
        first("GET /api/v1/edition HTTP/1.0"),
        first("GET /api/v1/edition#fragment HTTP/1.1"),
        first("PRI * HTTP/2.0"),
        head("No colon here\r\nConnection: close\r\n"),
        head(": empty\r\nConnection: close\r\n"),
        head("X-A: \0\r\nConnection: close\r\n"),
        head("X-A: a\r\n folded\r\nConnection: close\r\n"),
        head("X-A : b\r\nConnection: close\r\n"),
        head("Host: b\r\nConnection: close\r\n"),
        head("Content-Length: -1\r\nConnection: close\r\n"),
        head("Content-Length: 99999999999999999999999\r\nConnection: close\r\n"),
        head("Content-Length: 1, 2\r\nConnection: close\r\n"),
        head("Content-Length: 0\r\nContent-Length: 5\r\nConnection: close\r\n"),
        head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"),
        head("Transfer-Encoding: xchunked\r\nConnection: close\r\n"),
        head("Transfer-Encoding: chunked, chunked\r\nConnection: close\r\n"),
        head("Upgrade: websocket\r\nConnection: Upgrade, close\r\n"),
        head("Upgrade: h2c\r\nHTTP2-Settings: !!\r\nConnection: Upgrade, HTTP2-Settings, close\r\n"),
        head(&format!(
            "X-Long: {}\r\nConnection: close\r\n",
            "x".repeat(200_000)
        )),
        head(&("X-Many: 1\r\n".repeat(300) + "Connection: close\r\n")),
        first(&format!("GET /{} HTTP/1.1", "a".repeat(100_000))),
        first(&format!("GET /api/v1/edition?{} HTTP/1.1", "a=1&".repeat(15_000))),
    ];
    let post = |lines: &str, body: &[u8]| {
        let head = format!(
            "POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n{lines}\r\n"
        );
        [head.as_bytes(), body].concat()
    };
    all.extend([
        post("Transfer-Encoding: chunked\r\n", b"zz\r\nx\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", b"-1\r\nx\r\n0\r\n\r\n"),
        post(
            "Transfer-Encoding: chunked\r\n",
            b"ffffffffffffffff\r\nx\r\n0\r\n\r\n",
        ),
        post("Transfer-Encoding: chunked\r\n", b"1\r\n{\r\n"),
        post(
            "Transfer-Encoding: chunked\r\n",
            b"2;ext=\"\x00\"\r\n{}\r\n0\r\nTrailer: 1\r\n\r\n",
        ),
        post("Content-Length: 50\r\n", b"{\"email\":"),
        post("Content-Length: 2\r\n", b"{}garbage after the body"),
    ]);
    all
}
