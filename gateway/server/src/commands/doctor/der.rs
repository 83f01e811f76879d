//! When a certificate is valid: the one field of X.509 that is of interest here (RFC 5280 §4.1.2.5), read from its DER.

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The moments between which a certificate is valid, in seconds since 1970. `None`: it is not understood.
pub(super) fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let (certificate, _) = take(certificate, SEQUENCE)?;
    let (mut body, _) = take(certificate, SEQUENCE)?;
    if body.first() == Some(&VERSION) {
        body = any(body)?.2;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        body = any(body)?.2;
    }
    let (times, _) = take(body, SEQUENCE)?;
    let (tag, from, rest) = any(times)?;
    let from = moment(tag, from)?;
    let (tag, until, _) = any(rest)?;
    Some((from, moment(tag, until)?))
}

/// The content of an element of this tag, and what follows it.
fn take(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = any(bytes)?;
    (found == tag).then_some((content, rest))
}

/// Tag, content, rest.
fn any(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, bytes) = bytes.split_first()?;
    let (first, bytes) = bytes.split_first()?;
    let (len, bytes) = match first {
        0..=0x7f => (usize::from(*first), bytes),
        0x81..=0x84 => {
            let (len, bytes) = bytes.split_at_checked(usize::from(first & 0x7f))?;
            (len.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)), bytes)
        }
        _ => return None,
    };
    let (content, rest) = bytes.split_at_checked(len)?;
    Some((*tag, content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, as RFC 5280 has them.
fn moment(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii())?;
    let full = match tag {
        UTC_TIME => format!("{}{text}", if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| full.get(from..to);
    let (date, time) =
        ((part(0, 4)?, part(4, 6)?, part(6, 8)?), (part(8, 10)?, part(10, 12)?, part(12, 15)?));
    let written = format!("{}-{}-{}T{}:{}:{}", date.0, date.1, date.2, time.0, time.1, time.2);
    crate::logs::time::parse(&written).map(|at| at.secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validity_of_a_made_certificate_is_read_and_a_cut_one_is_none() {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2024, 2, 29);
        params.not_after = rcgen::date_time_ymd(2051, 12, 31);
        let key = rcgen::KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let der = made.der();
        assert_eq!(validity(der), Some((1_709_164_800, 2_587_593_600)));
        for end in 0..der.len() {
            assert_eq!(validity(&der[..end]), None);
        }
    }
}
