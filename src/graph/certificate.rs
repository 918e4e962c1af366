//! What can be said of the application's certificate without asking Entra: whether it belongs to its key, and when it
//! ends.
//!
//! Entra verifies the certificate; nothing here decides anything.

use chrono::{DateTime, NaiveDateTime, Utc};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::auth::private_key;
use crate::domain::credential::Credential;

/// A certificate, as far as it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whether the key signs what the certificate verifies.
    pub fits_key: bool,
    /// When it ends; none if that cannot be read.
    pub not_after: Option<DateTime<Utc>>,
}

/// The facts of a certificate; none for other credentials, and if it cannot be used at all.
#[must_use]
pub fn certificate_facts(credential: &Credential) -> Option<CertificateFacts> {
    let Credential::Certificate {
        certificate_pem,
        key_pem,
    } = credential
    else {
        return None;
    };
    let certificate = CertificateDer::from_pem_slice(certificate_pem).ok()?;
    let key = private_key(key_pem.expose()).ok()?;
    let public = key.public().as_ref();
    Some(CertificateFacts {
        // DER has one encoding: the certificate contains the bytes of its public key.
        fits_key: certificate.windows(public.len()).any(|bytes| bytes == public),
        not_after: not_after(&certificate),
    })
}

/// `notAfter` of RFC 5280, section 4.1.
fn not_after(certificate: &[u8]) -> Option<DateTime<Utc>> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    let (tag, _, after_version) = element(rest)?;
    if tag == EXPLICIT_VERSION {
        rest = after_version;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, rest) = element(validity)?;
    let (tag, text, _) = element(rest)?;
    let text = std::str::from_utf8(text).ok()?;
    let text = match tag {
        // Two digits of the year, from 1950.
        UTC_TIME if text < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        _ => text.to_owned(),
    };
    let time = NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%SZ").ok()?;
    Some(time.and_utc())
}

const EXPLICIT_VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;

/// The first element of some DER: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Secret;

    fn facts(certificate: &[u8], key: &str) -> Option<CertificateFacts> {
        certificate_facts(&Credential::Certificate {
            certificate_pem: certificate.to_vec(),
            key_pem: Secret::new(key.to_owned()),
        })
    }

    #[test]
    fn a_certificate_tells_its_end_and_whether_it_is_of_a_key() {
        const OWN: &str = include_str!("tests/keys/pkcs8.pem");
        const OTHER: &str = include_str!("../simulator/keys/signing-key-1.pem");
        let certificate = include_bytes!("tests/keys/certificate.pem");
        let own = facts(certificate, OWN).unwrap();
        // As `openssl x509 -noout -enddate` prints it, a GeneralizedTime.
        assert_eq!(own.not_after.unwrap().to_rfc3339(), "2126-10-29T16:58:18+00:00");
        assert!(own.fits_key);
        assert!(!facts(certificate, OTHER).unwrap().fits_key);
        // A UTCTime.
        let expired = facts(include_bytes!("tests/keys/tls/expired.pem"), OWN).unwrap();
        assert_eq!(expired.not_after.unwrap().to_rfc3339(), "2001-01-01T00:00:00+00:00");
        assert!(facts(b"no certificate", OWN).is_none() && facts(certificate, "no key").is_none());
        for end in 0..40 {
            assert_eq!(not_after(&[0x30; 40][..end]), None, "cut off or senseless");
        }
    }
}
