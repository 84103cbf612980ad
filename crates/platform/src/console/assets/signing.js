// Agents' keys in the browser: Ed25519 pairs, the proofs that the API asks for, and RFC 9421 signatures.
// A private key stays in this page: it is never sent, and never stored but by a download of the user's.

const text = new TextEncoder();
/** DER of an Ed25519 SubjectPublicKeyInfo before the 32 key bytes (RFC 8410). */
const SPKI_PREFIX = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/** Standard base64. */
export function base64(bytes) {
  return btoa(String.fromCharCode(...new Uint8Array(bytes)));
}

/** base64url without padding. */
export function base64url(bytes) {
  return base64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function fromBase64(coded) {
  return Uint8Array.from(atob(coded), (character) => character.charCodeAt(0));
}

async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/** Whether this browser, on this page, can make Ed25519 keys. WebCrypto wants https or localhost. */
export async function isSupported() {
  if (!globalThis.isSecureContext || !globalThis.crypto?.subtle) return false;
  try {
    const pair = await crypto.subtle.generateKey({ name: "Ed25519" }, true, ["sign", "verify"]);
    const signature = await crypto.subtle.sign("Ed25519", pair.privateKey, text.encode("AIM"));
    return await crypto.subtle.verify("Ed25519", pair.publicKey, signature, text.encode("AIM"));
  } catch {
    return false;
  }
}

/** A key pair: the private half as a CryptoKey, the public one as 32 bytes. */
export class AgentKey {
  constructor(privateKey, publicBytes, fingerprint) {
    this.privateKey = privateKey;
    this.publicBytes = publicBytes;
    /** RFC 7638 thumbprint: the keyid of a signature. */
    this.fingerprint = fingerprint;
  }

  static async #of(privateKey) {
    const { x } = await crypto.subtle.exportKey("jwk", privateKey);
    const publicBytes = fromBase64(x.replaceAll("-", "+").replaceAll("_", "/"));
    const members = `{"crv":"Ed25519","kty":"OKP","x":"${x}"}`;
    return new AgentKey(privateKey, publicBytes, base64url(await sha256(text.encode(members))));
  }

  /** A new pair from the browser's generator. */
  static async generate() {
    const pair = await crypto.subtle.generateKey({ name: "Ed25519" }, true, ["sign", "verify"]);
    return AgentKey.#of(pair.privateKey);
  }

  /** The pair of a PKCS#8 PEM, or of a key file of `aim agent create`. */
  static async read(contents) {
    let pem = contents;
    try {
      pem = JSON.parse(contents).private_key ?? contents;
    } catch {
      // No key file of ours; then it is PEM.
    }
    const found = /-----BEGIN PRIVATE KEY-----([\sA-Za-z0-9+/=]+)-----END PRIVATE KEY-----/.exec(pem);
    if (!found) throw new Error("this is neither a PKCS#8 PEM (BEGIN PRIVATE KEY) nor a key file of aim");
    try {
      const der = fromBase64(found[1].replaceAll(/\s/g, ""));
      return await AgentKey.#of(await crypto.subtle.importKey("pkcs8", der, { name: "Ed25519" }, true, ["sign"]));
    } catch {
      throw new Error("this is no Ed25519 private key");
    }
  }

  /** Standard base64 of the SPKI DER: how the API takes and shows public keys. */
  spkiBase64() {
    return base64([...SPKI_PREFIX, ...this.publicBytes]);
  }

  /** PKCS#8 PEM. It is the private key. */
  async pem() {
    const der = base64(await crypto.subtle.exportKey("pkcs8", this.privateKey));
    return `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`;
  }

  /** The key file of the command line and the SDKs. It holds the private key. */
  async keyFile(name, agentId) {
    const file = {
      name,
      agent_id: agentId,
      server: location.origin,
      fingerprint: this.fingerprint,
      private_key: await this.pem(),
    };
    return `${JSON.stringify(file, null, 2)}\n`;
  }

  async sign(message) {
    return new Uint8Array(await crypto.subtle.sign("Ed25519", this.privateKey, text.encode(message)));
  }

  /** What this key signs to be registered (`register`) or to take another's place (`rotate`). */
  async proof(purpose, challenge) {
    const lines = ["AIM-PROOF-OF-POSSESSION-V1", purpose, challenge, this.fingerprint];
    return base64(await this.sign(lines.join("\n")));
  }

  /** What the present key signs to let another one take its place. */
  async consent(agentId, challenge, next) {
    const lines = ["AIM-KEY-ROTATION-V1", agentId, challenge, next.fingerprint];
    return base64(await this.sign(lines.join("\n")));
  }

  /** The header fields of a signed request (RFC 9421): method, authority, path and the body's digest. */
  async signedHeaders(method, url, body) {
    const address = new URL(url, location.origin);
    const digest = `sha-256=:${base64(await sha256(text.encode(body)))}:`;
    const covered = [
      ["@method", method],
      ["@authority", address.host],
      ["@path", address.pathname],
      ["content-digest", digest],
    ];
    const nonce = base64url(crypto.getRandomValues(new Uint8Array(16)));
    const names = covered.map(([name]) => `"${name}"`).join(" ");
    const created = Math.floor(Date.now() / 1000);
    const parameters = `(${names});created=${created};nonce="${nonce}";alg="ed25519";keyid="${this.fingerprint}"`;
    const base = [...covered, ["@signature-params", parameters]];
    const lines = base.map(([name, value]) => `"${name}": ${value}`).join("\n");
    return {
      "content-type": "application/json",
      "content-digest": digest,
      "signature-input": `aim=${parameters}`,
      signature: `aim=:${base64(await this.sign(lines))}:`,
    };
  }

  /** Asks, as the agent, whether it may do something; answers `{status, body}`. */
  async verify(action, resource) {
    const path = "/api/v1/verifications";
    const body = JSON.stringify(resource ? { action, resource } : { action });
    const headers = await this.signedHeaders("POST", path, body);
    // Without the session's cookie: the agent stands for itself.
    const response = await fetch(path, { method: "POST", headers, body, credentials: "omit" });
    return { status: response.status, body: await response.json() };
  }
}

/** Lets the user keep a text as a file. */
export function download(name, contents) {
  const address = URL.createObjectURL(new Blob([contents], { type: "application/octet-stream" }));
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** The file's name in ~/.config/aim/agents, as the command line writes it. */
export function keyFileName(name) {
  const plain = (character) => /[A-Za-z0-9_-]/.test(character);
  const coded = (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  const bytes = [...text.encode(name)];
  const written = bytes.map((byte) => (plain(String.fromCharCode(byte)) ? String.fromCharCode(byte) : coded(byte)));
  return `${written.join("")}.json`;
}
