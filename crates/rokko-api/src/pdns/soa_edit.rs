//! `soa_edit_api` and `soa_edit` as policies for the serial.

use rokko_model::{SoaEdit, ZoneMeta};

use super::failure::Failure;
use super::zone_meta::SOA_EDIT;

/// What a zone gets when the client does not say.
pub(super) const DEFAULT: &str = "DEFAULT";

/// Takes a client's `soa_edit_api` and `soa_edit`, as far as it gave them.
pub(super) fn set(meta: &mut ZoneMeta, soa_edit_api: Option<&str>, soa_edit: Option<&str>) -> Result<(), Failure> {
    if soa_edit_api.is_none() && soa_edit.is_none() {
        return Ok(());
    }
    let api = soa_edit_api.unwrap_or(shown(meta)).to_owned();
    match soa_edit {
        Some("") => drop(meta.extra.remove(SOA_EDIT)),
        Some(edit) => drop(meta.extra.insert(SOA_EDIT.to_owned(), vec![edit.to_owned()])),
        None => {}
    }
    let Some(policy) = policy(&api, self::soa_edit(meta)) else {
        let message = format!(
            "soa_edit_api '{api}' is unknown: use DEFAULT, INCREASE, EPOCH, SOA-EDIT, SOA-EDIT-INCREASE, OFF or nothing"
        );
        return Err(Failure::unprocessable(message));
    };
    (meta.soa_edit, meta.soa_edit_api) = (policy, api);
    Ok(())
}

/// What the client gave, as long as it still says how the serial moves; otherwise what does.
pub(super) fn shown(meta: &ZoneMeta) -> &str {
    if policy(&meta.soa_edit_api, soa_edit(meta)) == Some(meta.soa_edit) {
        return &meta.soa_edit_api;
    }
    match meta.soa_edit {
        SoaEdit::Default => DEFAULT,
        SoaEdit::Increase => "INCREASE",
        SoaEdit::Epoch => "EPOCH",
        SoaEdit::Off => "",
    }
}

/// The zone's `soa_edit`.
pub(super) fn soa_edit(meta: &ZoneMeta) -> &str {
    meta.extra.get(SOA_EDIT).and_then(|values| values.first()).map_or("", String::as_str)
}

fn policy(soa_edit_api: &str, soa_edit: &str) -> Option<SoaEdit> {
    Some(match soa_edit_api.to_ascii_uppercase().as_str() {
        "DEFAULT" | "INCEPTION-INCREMENT" => SoaEdit::Default,
        "INCREASE" => SoaEdit::Increase,
        "EPOCH" | "INCEPTION-EPOCH" => SoaEdit::Epoch,
        "OFF" | "" => SoaEdit::Off,
        "SOA-EDIT" | "SOA-EDIT-INCREASE" => match soa_edit.to_ascii_uppercase().as_str() {
            "INCEPTION-INCREMENT" => SoaEdit::Default,
            "EPOCH" | "INCEPTION-EPOCH" => SoaEdit::Epoch,
            _ => SoaEdit::Increase,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_say_is_kept_and_means_a_policy() {
        for (api, edit, expected) in [
            ("DEFAULT", "", SoaEdit::Default),
            ("default", "", SoaEdit::Default),
            ("INCREASE", "", SoaEdit::Increase),
            ("EPOCH", "", SoaEdit::Epoch),
            ("INCEPTION-INCREMENT", "", SoaEdit::Default),
            ("OFF", "", SoaEdit::Off),
            ("", "", SoaEdit::Off),
            ("SOA-EDIT", "", SoaEdit::Increase),
            ("SOA-EDIT", "INCEPTION-EPOCH", SoaEdit::Epoch),
            ("SOA-EDIT-INCREASE", "INCEPTION-INCREMENT", SoaEdit::Default),
        ] {
            let mut meta = ZoneMeta::default();
            set(&mut meta, Some(api), Some(edit)).unwrap();
            assert_eq!((meta.soa_edit, shown(&meta)), (expected, api), "{api} {edit}");
        }
        assert!(set(&mut ZoneMeta::default(), Some("SOMETIMES"), None).is_err());
    }

    #[test]
    fn what_was_set_elsewhere_is_shown() {
        let native = ZoneMeta::default();
        assert_eq!(shown(&native), DEFAULT);
        let mut native = native;
        set(&mut native, None, Some("EPOCH")).unwrap();
        assert_eq!((shown(&native), native.soa_edit), (DEFAULT, SoaEdit::Default));
        let changed = ZoneMeta { soa_edit: SoaEdit::Epoch, soa_edit_api: "DEFAULT".to_owned(), ..ZoneMeta::default() };
        assert_eq!(shown(&changed), "EPOCH");
    }
}
