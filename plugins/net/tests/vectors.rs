//! The arithmetic that links stand on, against published vectors. Files in `tests/vectors`, each naming its source.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use data_encoding::HEXLOWER;
use dunlin_net::noise::{Noise, Pattern};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use serde_json::Value;
use sha2::Sha256;
use std::path::Path;
use x25519_dalek::x25519;
use zeroize::Zeroizing;

fn load(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn rows<'a>(file: &'a Value, name: &str) -> &'a [Value] {
    let rows = file[name].as_array().unwrap();
    assert!(!rows.is_empty());
    rows
}

fn hex(row: &Value, field: &str) -> Vec<u8> {
    let text = row[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} in {row}"));
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn hex32(row: &Value, field: &str) -> [u8; 32] {
    hex(row, field).try_into().unwrap()
}

fn seal(row: &Value, nonce: &str, plain: &str) -> Vec<u8> {
    let cipher = ChaCha20Poly1305::new(&hex32(row, "key").into());
    let nonce: [u8; 12] = hex(row, nonce).try_into().unwrap();
    let payload = Payload {
        msg: &hex(row, plain),
        aad: &hex(row, "aad"),
    };
    cipher.encrypt(&nonce.into(), payload).unwrap()
}

fn open(row: &Value, nonce: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let cipher = ChaCha20Poly1305::new(&hex32(row, "key").into());
    let nonce: [u8; 12] = hex(row, nonce).try_into().unwrap();
    let payload = Payload {
        msg: sealed,
        aad: &hex(row, "aad"),
    };
    cipher.decrypt(&nonce.into(), payload).ok()
}

#[test]
fn chacha20_poly1305_is_rfc_8439s() {
    for row in rows(&load("rfc8439.json"), "aead") {
        let sealed = [hex(row, "cipher"), hex(row, "tag")].concat();
        assert_eq!(seal(row, "nonce", "plain"), sealed);
        assert_eq!(open(row, "nonce", &sealed), Some(hex(row, "plain")));
    }
}

#[test]
fn chacha20_poly1305_passes_wycheproof() {
    let file = load("wycheproof/chacha20_poly1305.json");
    for row in rows(&file, "tests") {
        let sealed = [hex(row, "ct"), hex(row, "tag")].concat();
        let valid = row["result"] == "valid";
        assert_eq!(
            open(row, "iv", &sealed),
            valid.then(|| hex(row, "msg")),
            "{row}"
        );
        assert_eq!(seal(row, "iv", "msg") == sealed, valid, "{row}");
    }
}

#[test]
fn x25519_is_rfc_7748s() {
    let file = load("rfc7748.json");
    for row in rows(&file, "x25519") {
        assert_eq!(
            x25519(hex32(row, "scalar"), hex32(row, "u")),
            hex32(row, "out")
        );
    }
    for row in rows(&file, "iterated") {
        let (mut scalar, mut u) = (
            x25519_dalek::X25519_BASEPOINT_BYTES,
            x25519_dalek::X25519_BASEPOINT_BYTES,
        );
        for _ in 0..row["times"].as_u64().unwrap() {
            (scalar, u) = (x25519(scalar, u), scalar);
        }
        assert_eq!(scalar, hex32(row, "out"));
    }
}

// PROTOCOL 1.2
#[test]
fn x25519_passes_wycheproof_and_an_all_zero_agreement_ends_a_handshake() {
    let file = load("wycheproof/x25519.json");
    let mut zeros = 0;
    for row in rows(&file, "tests") {
        let (secret, public) = (hex32(row, "private"), hex32(row, "public"));
        let shared = x25519(secret, public);
        assert_eq!(shared, hex32(row, "shared"), "{row}");
        let zero = row["zero"] == true;
        assert_eq!(shared == [0; 32], zero);
        if zero {
            zeros += 1;
            let mut noise = Noise::initiator(
                &dunlin_net::Curve25519,
                Pattern::Ik,
                b"",
                &Zeroizing::new(secret),
                Some(&public),
                &Zeroizing::new([9; 32]),
            )
            .unwrap();
            assert!(noise.write(b"", &mut Vec::new()).is_err(), "{row}");
        }
    }
    assert!(zeros > 10, "{zeros}");
}

#[test]
fn ed25519_is_rfc_8032s() {
    for row in rows(&load("rfc8032.json"), "ed25519") {
        let key = SigningKey::from_bytes(&hex32(row, "seed"));
        let signature: [u8; 64] = hex(row, "signature").try_into().unwrap();
        assert_eq!(key.verifying_key().to_bytes(), hex32(row, "public"));
        assert_eq!(key.sign(&hex(row, "message")).to_bytes(), signature);
    }
}

#[test]
fn ed25519_passes_wycheproof_by_the_strict_rules() {
    for row in rows(&load("wycheproof/ed25519.json"), "tests") {
        let key = VerifyingKey::from_bytes(&hex32(row, "pk")).unwrap();
        let signature = Signature::from_slice(&hex(row, "sig"));
        let verified = signature
            .is_ok_and(|signature| key.verify_strict(&hex(row, "msg"), &signature).is_ok());
        assert_eq!(verified, row["result"] == "valid", "{row}");
    }
}

#[test]
fn hkdf_is_rfc_5869s() {
    for row in rows(&load("rfc5869.json"), "sha256") {
        let salt = hex(row, "salt");
        let (prk, hkdf) = Hkdf::<Sha256>::extract(Some(&salt), &hex(row, "ikm"));
        assert_eq!(prk[..], hex(row, "prk"));
        let mut okm = vec![0; hex(row, "okm").len()];
        hkdf.expand(&hex(row, "info"), &mut okm).unwrap();
        assert_eq!(okm, hex(row, "okm"));
    }
}

#[test]
fn hkdf_passes_wycheproof() {
    for row in rows(&load("wycheproof/hkdf_sha256.json"), "tests") {
        let salt = hex(row, "salt");
        let hkdf = Hkdf::<Sha256>::new(Some(&salt), &hex(row, "ikm"));
        let mut okm = vec![0; row["size"].as_u64().unwrap() as usize];
        hkdf.expand(&hex(row, "info"), &mut okm).unwrap();
        assert_eq!(okm == hex(row, "okm"), row["result"] == "valid", "{row}");
    }
}

// PROTOCOL 2.2
#[test]
fn our_two_noise_patterns_speak_as_others_do() {
    let file = load("noise.json");
    for row in rows(&file, "vectors") {
        let pattern = match row["protocol_name"].as_str().unwrap() {
            "Noise_IK_25519_ChaChaPoly_BLAKE2s" => Pattern::Ik,
            "Noise_XX_25519_ChaChaPoly_BLAKE2s" => Pattern::Xx,
            other => panic!("{other} is not ours"),
        };
        let key = |field| Zeroizing::new(hex32(row, field));
        let remote = (pattern == Pattern::Ik).then(|| hex32(row, "init_remote_static"));
        let mut initiator = Noise::initiator(
            &dunlin_net::Curve25519,
            pattern,
            &hex(row, "init_prologue"),
            &key("init_static"),
            remote.as_ref(),
            &key("init_ephemeral"),
        )
        .unwrap();
        let mut responder = Noise::responder(
            &dunlin_net::Curve25519,
            pattern,
            &hex(row, "resp_prologue"),
            &key("resp_static"),
            &key("resp_ephemeral"),
        )
        .unwrap();
        let count = if pattern == Pattern::Ik { 2 } else { 3 };
        let (handshake, transport) = rows(row, "messages").split_at(count);
        for (place, message) in handshake.iter().enumerate() {
            let (payload, expected) = (hex(message, "payload"), hex(message, "ciphertext"));
            let (from, to) = match place % 2 {
                0 => (&mut initiator, &mut responder),
                _ => (&mut responder, &mut initiator),
            };
            let mut written = Vec::new();
            from.write(&payload, &mut written).unwrap();
            assert_eq!(written, expected, "message {place} of {row}");
            // A forgery first: it must leave the reader able to read the true one.
            let bytes = [0, expected.len() - 1];
            for byte in &bytes[..if place == 2 { 1 } else { 2 }] {
                let mut forged = expected.clone();
                forged[*byte] ^= 1;
                let plain = pattern == Pattern::Xx && place == 0; // Nothing in XX-1 is authenticated yet.
                assert!(plain || to.read(&forged).is_err(), "message {place}");
            }
            assert_eq!(to.read(&expected).unwrap(), payload);
        }
        let (ours, theirs) = (initiator.split().unwrap(), responder.split().unwrap());
        assert_eq!(
            (ours.hash, *ours.forth, *ours.back),
            (theirs.hash, *theirs.forth, *theirs.back)
        );
        if let Some(hash) = row["handshake_hash"].as_str() {
            assert_eq!(HEXLOWER.encode(&ours.hash), hash);
        }
        for (place, message) in transport.iter().enumerate() {
            // Speakers go on in turns.
            let from_initiator = (count + place) % 2 == 0;
            let key = if from_initiator {
                &ours.forth
            } else {
                &ours.back
            };
            let mut nonce = [0; 12];
            nonce[4] = (place / 2) as u8;
            let cipher = ChaCha20Poly1305::new((&**key).into());
            let sealed = cipher
                .encrypt(&nonce.into(), &hex(message, "payload")[..])
                .unwrap();
            assert_eq!(
                sealed,
                hex(message, "ciphertext"),
                "transport message {place}"
            );
        }
    }
}
