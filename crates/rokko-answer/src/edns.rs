//! The OPT record of a response.

use rokko_wire::Ede;
use rokko_wire::compose::{Composer, Full};
use rokko_wire::edns::{Edns, OPT_LEN, OPTION_HEAD_LEN, option};
use rokko_wire::name::Labels;
use rokko_zone::ZoneRef;

use crate::cookie::{FULL_LEN, Verdict};
use crate::settings::{Client, CookieMode, Settings};
use crate::{CookieSecrets, cookie};

/// The most octets of an NSID that are sent.
const NSID_LEN_MAX: usize = 255;
/// ZONEVERSION's one type: the SOA's serial (RFC 9660 §4).
const SOA_SERIAL: u8 = 0;
const ZONE_VERSION_LEN: usize = 6;

/// What the OPT record of a response says.
#[derive(Clone, Copy, Default)]
pub(crate) struct OptReply {
    pub(crate) dnssec_ok: bool,
    cookie: Option<(Verdict, [u8; FULL_LEN])>,
    nsid_wanted: bool,
    zone_version_wanted: bool,
    zone_version: Option<[u8; ZONE_VERSION_LEN]>,
    error: Option<Ede>,
}

/// An option has no valid form: a FORMERR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadOption;

impl OptReply {
    /// A record without options.
    pub(crate) fn plain(dnssec_ok: bool) -> Self {
        Self { dnssec_ok, ..Self::default() }
    }

    /// Reads the options that the server knows; all others are ignored (RFC 6891 §6.1.2).
    pub(crate) fn new(
        edns: &Edns<'_>,
        settings: &Settings,
        secrets: &CookieSecrets,
        client: &Client,
    ) -> Result<Self, BadOption> {
        let mut reply = Self::plain(edns.dnssec_ok);
        for option in edns.options() {
            match option.map_err(|_| BadOption)? {
                (option::NSID, _) => reply.nsid_wanted = true,
                (option::COOKIE, data) if settings.cookies == CookieMode::Respond && reply.cookie.is_none() => {
                    let checked = secrets.check(data, client.addr, client.now_s());
                    reply.cookie = Some(checked.map_err(|cookie::BadLength| BadOption)?);
                }
                (option::ZONEVERSION, []) => reply.zone_version_wanted = true,
                (option::ZONEVERSION, _) => return Err(BadOption),
                _ => {}
            }
        }
        Ok(reply)
    }

    /// What became of the query's cookie, if it had one.
    pub(crate) fn cookie_verdict(&self) -> Option<Verdict> {
        self.cookie.map(|(verdict, _)| verdict)
    }

    /// Leaves out all but DO and the cookie: what goes to a forged address is to be small.
    pub(crate) fn bare(self) -> Self {
        Self { dnssec_ok: self.dnssec_ok, cookie: self.cookie, ..Self::default() }
    }

    /// Says the version of the zone that answers, if the client wants to know (RFC 9660).
    pub(crate) fn set_zone(&mut self, zone: ZoneRef<'_>) {
        if self.zone_version_wanted {
            let labels = u8::try_from(Labels::of(zone.apex_bytes()).count()).unwrap_or(u8::MAX);
            let [s0, s1, s2, s3] = zone.serial().0.to_be_bytes();
            self.zone_version = Some([labels, SOA_SERIAL, s0, s1, s2, s3]);
        }
    }

    /// Explains the rcode (RFC 8914), if there is room for it.
    pub(crate) fn set_error(&mut self, error: Ede) {
        self.error = Some(error);
    }

    /// The octets that the record takes, without the explanation of an error.
    pub(crate) fn len(&self, settings: &Settings) -> usize {
        let cookie = if self.cookie.is_some() { OPTION_HEAD_LEN + FULL_LEN } else { 0 };
        let nsid = self.nsid(settings).map_or(0, |nsid| OPTION_HEAD_LEN + nsid.len());
        let zone_version = if self.zone_version.is_some() { OPTION_HEAD_LEN + ZONE_VERSION_LEN } else { 0 };
        OPT_LEN + cookie + nsid + zone_version
    }

    /// Writes the record.
    pub(crate) fn write(&self, composer: &mut Composer<'_>, settings: &Settings, rcode_high: u8) -> Result<(), Full> {
        let mut len = self.len(settings);
        let error = self.error.filter(|_| settings.extended_errors && composer.room() >= len + OPTION_HEAD_LEN + 2);
        len += error.map_or(0, |_| OPTION_HEAD_LEN + 2);
        let options_len = u16::try_from(len - OPT_LEN).map_err(|_| Full)?;
        composer.opt_head(settings.udp_payload_max, rcode_high, self.dnssec_ok, options_len)?;
        if let Some(nsid) = self.nsid(settings) {
            composer.option(option::NSID, &[nsid])?;
        }
        if let Some((_, cookie)) = &self.cookie {
            composer.option(option::COOKIE, &[cookie])?;
        }
        if let Some(zone_version) = &self.zone_version {
            composer.option(option::ZONEVERSION, &[zone_version])?;
        }
        if let Some(error) = error {
            composer.option(option::EDE, &[&error.0.to_be_bytes()])?;
        }
        Ok(())
    }

    fn nsid<'s>(&self, settings: &'s Settings) -> Option<&'s [u8]> {
        let nsid = &settings.nsid[..settings.nsid.len().min(NSID_LEN_MAX)];
        (self.nsid_wanted && !nsid.is_empty()).then_some(nsid)
    }
}
