//! Root keys that a key management service encrypts: AWS against `moto` as a server (`AIM_TEST_MOTO` names it), the others
//! against servers that answer in the shapes of their documented interfaces.
//!
//! Credentials come from the environment, so what uses the service runs in a process of its own: this test, started again.

use std::{
    env,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use aim_core::{Code, Role};
use aim_crypto::secret::SecretString;
use aim_platform::VaultProvider;
use aim_premium::vault::VaultService;
use aim_violations::VerificationService;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::bed::{Bed, at, refused, wish};

/// Tells the process that is started again what to use: provider, key, endpoint, and where the service can be stopped.
const USE: &str = "AIM_TEST_KMS";
const PASSPHRASE: &str = "six words that nobody else has";

/// Starts this test again with these variables, and waits for its end.
async fn with_environment(kms: &Value, variables: Vec<(&'static str, String)>) {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "kms::in_a_process_of_its_own",
            "--ignored",
            "--nocapture",
        ])
        .env(USE, kms.to_string())
        .env("HOME", "/nonexistent")
        .envs(variables);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn node(bed: &Bed, kms: &Value, first: VaultProvider) -> VaultService {
    let text = |name: &str| kms[name].as_str().unwrap_or_default().to_owned();
    let mut kernel = bed.kernel.clone();
    let config = Arc::make_mut(&mut kernel.config);
    config.vault.provider = first;
    config.vault.kms_key = text("key");
    config.vault.kms_region = text("region");
    config.vault.kms_endpoint = text("endpoint");
    VaultService::new(&kernel, VerificationService::new(&kernel))
}

async fn value(bed: &Bed, vault: &VaultService) -> Result<String, aim_core::Error> {
    let read = bed.read_by(vault, &bed.as_agent(), "payments/key", None).await;
    read.map(|read| read.value().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "is started by the other tests, with the environment that it needs"]
async fn in_a_process_of_its_own() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kms: Value = serde_json::from_str(&env::var(USE).unwrap()).unwrap();
    let provider = VaultProvider::parse(kms["provider"].as_str().unwrap()).unwrap();
    let other: Value = json!({"key": "", "endpoint": ""});
    for bed in Bed::all().await {
        let ctx = bed.as_role(Role::Admin);
        // Before there is a root key: the service makes it, and a node that starts later has it decrypted.
        let first = node(&bed, &kms, provider);
        assert_eq!(first.status(&ctx).await.unwrap().state, "unused");
        first.put(&ctx, at("payments/key"), wish("v")).await.unwrap();
        assert!(!bed.key_file().exists());
        let status = first.status(&ctx).await.unwrap();
        assert_eq!(
            (status.state.as_str(), status.provider.as_str()),
            ("open", provider.as_str())
        );
        let second = node(&bed, &kms, VaultProvider::KeyFile);
        assert_eq!(value(&bed, &second).await.unwrap(), "v");
        assert_eq!(second.status(&ctx).await.unwrap().root_key_id, status.root_key_id);
        assert_eq!(refused(second.unseal(&ctx, None).await).0, Code::StateConflict);

        // A node whose settings do not name the key is sealed and says so.
        let lost = node(&bed, &other, VaultProvider::KeyFile);
        let error = value(&bed, &lost).await.unwrap_err();
        assert_eq!(error.code, Code::VaultSealed);
        assert!(error.detail.contains("vault.kms_key"), "{error}");

        // Sealed, it opens by the service again; and it can move to a passphrase and back, and be replaced in place.
        second.seal(&ctx).await.unwrap();
        assert_eq!(value(&bed, &second).await.unwrap_err().code, Code::VaultSealed);
        assert_eq!(second.unseal(&ctx, None).await.unwrap().state, "open");
        assert_eq!(value(&bed, &second).await.unwrap(), "v");
        let again = second.rekey(&ctx, None, None).await.unwrap();
        assert_ne!(again.root_key_id, status.root_key_id);
        assert_eq!(again.provider, provider.as_str());
        assert_eq!(value(&bed, &node(&bed, &kms, provider)).await.unwrap(), "v");
        let passphrase = Some(SecretString::from(PASSPHRASE));
        second
            .rekey(&ctx, Some(VaultProvider::Passphrase), passphrase)
            .await
            .unwrap();
        let waiting = node(&bed, &kms, provider);
        assert_eq!(value(&bed, &waiting).await.unwrap_err().code, Code::VaultSealed);
        waiting
            .unseal(&ctx, SecretString::from(PASSPHRASE))
            .await
            .unwrap();
        waiting.rekey(&ctx, Some(provider), None).await.unwrap();
        assert_eq!(value(&bed, &node(&bed, &kms, provider)).await.unwrap(), "v");

        // What the database holds is a ciphertext: exchanged, it opens nothing.
        let kept = "SELECT count(*) FROM vault_roots WHERE parameters IS NOT NULL";
        assert_eq!(bed.database.count(kept).await, 1);

        // The service away: what holds the key goes on, a start is sealed with the reason, and later it works by itself.
        if let Some(switch) = kms["switch"].as_str() {
            let turn = async |on: bool| {
                let url = format!("{switch}?on={on}");
                assert!(reqwest::get(&url).await.unwrap().status().is_success());
            };
            turn(false).await;
            assert_eq!(value(&bed, &waiting).await.unwrap(), "v");
            let later = node(&bed, &kms, provider);
            let error = value(&bed, &later).await.unwrap_err();
            assert_eq!(error.code, Code::VaultSealed);
            assert!(error.detail.contains("it answered 503"), "{error}");
            let status = later.status(&ctx).await.unwrap();
            assert!(status.state == "sealed" && status.reason.unwrap().contains("503"));
            turn(true).await;
            let error = value(&bed, &later).await.unwrap_err();
            assert_eq!(error.code, Code::VaultSealed, "it is not asked again at once");
            bed.clock.advance(TimeDelta::seconds(3));
            assert_eq!(value(&bed, &later).await.unwrap(), "v");
        }
    }
}

/// What a service was asked: paths, and what authorised it.
type Asked = Arc<Mutex<Vec<(String, String)>>>;

#[derive(Clone)]
struct Stub {
    on: Arc<AtomicBool>,
    asked: Asked,
}

impl Stub {
    /// A server that "encrypts" by turning the bytes around: what it is asked and answers is of the documented shape.
    async fn start() -> (Self, String) {
        let stub = Self {
            on: Arc::new(AtomicBool::new(true)),
            asked: Asked::default(),
        };
        let state = stub.clone();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(state.clone()))
                .default_service(web::to(answer))
        })
        .workers(1)
        .bind("127.0.0.1:0")
        .unwrap();
        let address = format!("http://{}", server.addrs()[0]);
        tokio::spawn(server.run());
        (stub, address)
    }

    fn assert_asked(&self, path: &str, authorisation: &str) {
        let asked = self.asked.lock().unwrap();
        let found = asked.iter().find(|(asked, _)| asked.contains(path));
        let (_, by) = found.unwrap_or_else(|| panic!("{path} was not asked for: {asked:?}"));
        assert_eq!(by, authorisation, "{path}");
    }
}

fn turned(text: &str, url_safe: bool) -> String {
    let engine = |text: &str| match url_safe {
        true => URL_SAFE_NO_PAD.decode(text).unwrap(),
        false => STANDARD.decode(text).unwrap(),
    };
    let mut bytes = engine(text);
    bytes.reverse();
    match url_safe {
        true => URL_SAFE_NO_PAD.encode(bytes),
        false => STANDARD.encode(bytes),
    }
}

async fn answer(request: HttpRequest, body: web::Bytes, stub: web::Data<Stub>) -> HttpResponse {
    let path = request.path().to_owned();
    if path == "/switch" {
        stub.on
            .store(request.query_string() == "on=true", Ordering::SeqCst);
        return HttpResponse::Ok().finish();
    }
    let header = |name: &str| {
        let value = request.headers().get(name);
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    let by = header("authorization")
        .or(header("x-vault-token"))
        .unwrap_or_default();
    stub.asked
        .lock()
        .unwrap()
        .push((format!("{path}?{}", request.query_string()), by.clone()));
    if path.ends_with("/oauth2/v2.0/token") {
        let form = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            form.contains("grant_type=client_credentials")
                && form.contains("client_secret=not%20so%20secret")
                && form.contains("scope=https%3A%2F%2Fvault.azure.net%2F.default"),
            "{form}"
        );
        return HttpResponse::Ok()
            .json(json!({"token_type": "Bearer", "expires_in": 3599, "access_token": "azure-token"}));
    }
    if path == "/token" {
        let form = String::from_utf8(body.to_vec()).unwrap();
        assert!(form.contains("assertion="), "{form}");
        return HttpResponse::Ok()
            .json(json!({"access_token": "gcp-token", "expires_in": 3599, "token_type": "Bearer"}));
    }
    if !stub.on.load(Ordering::SeqCst) {
        return HttpResponse::ServiceUnavailable().finish();
    }
    if by.is_empty() {
        return HttpResponse::Unauthorized().finish();
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    let key = "projects/p/locations/l/keyRings/r/cryptoKeys/k";
    HttpResponse::Ok().json(if path == format!("/v1/{key}:encrypt") {
        assert!(!text("additionalAuthenticatedData").is_empty());
        json!({"name": format!("{key}/cryptoKeyVersions/1"), "ciphertext": turned(&text("plaintext"), false),
            "ciphertextCrc32c": "1", "protectionLevel": "SOFTWARE"})
    } else if path == format!("/v1/{key}:decrypt") {
        assert!(!text("additionalAuthenticatedData").is_empty());
        json!({"plaintext": turned(&text("ciphertext"), false), "plaintextCrc32c": "1", "usedPrimary": true})
    } else if path == "/keys/root//wrapkey" || path == "/keys/root/7f3a/unwrapkey" {
        assert_eq!(
            (text("alg").as_str(), request.query_string()),
            ("RSA-OAEP-256", "api-version=7.4")
        );
        let kid = format!("http://{}/keys/root/7f3a", header("host").unwrap());
        json!({"kid": kid, "value": turned(&text("value"), true)})
    } else if path == "/v1/transit/encrypt/aim" {
        let ciphertext = format!("vault:v1:{}", turned(&text("plaintext"), false));
        json!({"request_id": "1", "lease_id": "", "data": {"ciphertext": ciphertext, "key_version": 1}})
    } else if path == "/v1/transit/decrypt/aim" {
        let ciphertext = text("ciphertext");
        let plaintext = turned(ciphertext.strip_prefix("vault:v1:").unwrap(), false);
        json!({"request_id": "2", "data": {"plaintext": plaintext}})
    } else {
        return HttpResponse::NotFound().finish();
    })
}

#[actix_web::test]
async fn a_transit_engine_keeps_the_root_key() {
    let (stub, address) = Stub::start().await;
    let kms = json!({"provider": "vault_transit", "key": "transit/aim", "endpoint": address,
        "switch": format!("{address}/switch")});
    with_environment(&kms, vec![("VAULT_TOKEN", "transit-token".to_owned())]).await;
    stub.assert_asked("/v1/transit/encrypt/aim", "transit-token");
    stub.assert_asked("/v1/transit/decrypt/aim", "transit-token");
}

#[actix_web::test]
async fn azure_key_vault_keeps_the_root_key() {
    let (stub, address) = Stub::start().await;
    let kms = json!({"provider": "azure_key_vault", "key": format!("{address}/keys/root"),
        "switch": format!("{address}/switch")});
    let variables = vec![
        ("AZURE_TENANT_ID", "a-tenant".to_owned()),
        ("AZURE_CLIENT_ID", "a-client".to_owned()),
        ("AZURE_CLIENT_SECRET", "not so secret".to_owned()),
        ("AZURE_AUTHORITY_HOST", address.clone()),
    ];
    with_environment(&kms, variables).await;
    stub.assert_asked("/a-tenant/oauth2/v2.0/token", "");
    stub.assert_asked("/keys/root//wrapkey", "Bearer azure-token");
    stub.assert_asked("/keys/root/7f3a/unwrapkey", "Bearer azure-token");
}

#[actix_web::test]
async fn google_cloud_kms_keeps_the_root_key() {
    let (stub, address) = Stub::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("account.json");
    let account = json!({"type": "service_account", "project_id": "p", "private_key_id": "1",
        "private_key": service_account_key(), "client_email": "aim@p.iam.gserviceaccount.com", "client_id": "1",
        "auth_uri": format!("{address}/auth"), "token_uri": format!("{address}/token"),
        "auth_provider_x509_cert_url": "", "client_x509_cert_url": ""});
    std::fs::write(&file, account.to_string()).unwrap();
    let kms = json!({"provider": "gcp_kms", "key": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
        "endpoint": address, "switch": format!("{address}/switch")});
    let variables = vec![("GOOGLE_APPLICATION_CREDENTIALS", file.display().to_string())];
    with_environment(&kms, variables).await;
    stub.assert_asked("/token", "");
    stub.assert_asked(":encrypt", "Bearer gcp-token");
    stub.assert_asked(":decrypt", "Bearer gcp-token");
}

/// A fresh RSA key in PEM, made by the machine's openssl: no key stands in the sources.
fn service_account_key() -> String {
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output()
        .expect("openssl, to make a key for the test");
    assert!(made.status.success());
    String::from_utf8(made.stdout).unwrap()
}

#[actix_web::test]
async fn aws_kms_keeps_the_root_key() {
    let server = match env::var("AIM_TEST_MOTO").as_deref() {
        Ok("skip") => return,
        Ok(server) => server.to_owned(),
        Err(_) => panic!(
            "start moto_server (tests/kms/run.sh does) and name it in AIM_TEST_MOTO, or set that to skip"
        ),
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let made: Value = {
        let body = json!({"Description": "aim"}).to_string();
        let request = reqwest::Client::new()
            .post(&server)
            .header("x-amz-target", "TrentService.CreateKey")
            .header("content-type", "application/x-amz-json-1.1")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=test/20261124/eu-central-1/kms/aws4_request, SignedHeaders=host, Signature=0",
            );
        let answer = request.body(body).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    };
    let key = made["KeyMetadata"]["Arn"].as_str().expect("a key").to_owned();
    let kms = json!({"provider": "aws_kms", "key": key, "region": "eu-central-1", "endpoint": server});
    let variables = vec![
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ];
    with_environment(&kms, variables.clone()).await;
}
