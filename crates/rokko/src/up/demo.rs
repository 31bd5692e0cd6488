//! The sample zone of `rokko up --demo`.

use rokko_control::{Control, Identity};
use rokko_model::{Request, Signing, ZoneMeta};
use rokko_zone::file;

use crate::failure::Failure;

/// The sample zone's name.
pub(crate) const ZONE: &str = "demo.example.";

const ZONE_FILE: &str = r#"$ORIGIN demo.example.
$TTL 300
@     SOA   ns1 hostmaster 1 7200 3600 1209600 300
@     NS    ns1
@     NS    ns2
@     A     192.0.2.10
@     AAAA  2001:db8::10
@     MX    10 mail
@     TXT   "Hello from Rokko"
@     CAA   0 issue "letsencrypt.org"
ns1   A     192.0.2.1
ns2   A     192.0.2.2
mail  A     192.0.2.25
www   CNAME @
*.any TXT   "a wildcard answers for all names below any.demo.example"
"#;

/// Makes the sample zone if there is no zone at all; says whether it did.
pub(crate) fn make(control: &Control) -> Result<bool, Failure> {
    let failed = |error: rokko_control::ControlError| {
        Failure::failed(format!("the sample zone could not be made: {}", super::chain(&error)))
    };
    if control.zone_count().map_err(failed)? > 0 {
        return Ok(false);
    }
    let loaded = file::load(ZONE_FILE.as_bytes(), file::Options::default());
    let Some(zone) = loaded.apex else { return Ok(false) };
    let request = Request::Create { zone, meta: ZoneMeta::default(), contents: loaded.rrsets, signing: Signing::Off };
    control.submit_wait(&Identity::local(), "rokko up --demo", vec![request]).map_err(failed)?;
    Ok(true)
}

/// Whether the sample zone is there.
pub(crate) fn exists(control: &Control) -> bool {
    ZONE.parse().is_ok_and(|name| control.zone(&Identity::local(), &name).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_zone_is_without_fault() {
        let loaded = file::load(ZONE_FILE.as_bytes(), file::Options::default());
        assert_eq!(loaded.diagnostics, []);
        assert_eq!(loaded.apex.unwrap().to_string(), ZONE);
    }
}
