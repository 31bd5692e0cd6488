//! Signalling records, by which a parent may authenticate the first DS of a child (RFC 9615).

use rokko_wire::{Name, NameError};
use rokko_zone::Rrset;

use super::output::KeyRecords;

/// Why a child has no signalling records at a server's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootstrapError {
    /// The server's name lies in the child, whose first DS it cannot vouch for (RFC 9615 §2).
    #[error("the name server {0} lies in the zone itself and cannot vouch for it")]
    InChild(Name),
    /// The signalling name has more than 255 octets.
    #[error("the signalling name below {server} cannot be: {source}")]
    Name {
        /// The server.
        server: Name,
        /// Why not.
        source: NameError,
    },
}

/// The records that a zone which holds `server`'s name has to publish, so that a parent believes the child's CDS and CDNSKEY
/// (RFC 9615 §3): copies of them at `_dsboot.CHILD._signal.SERVER`. None if nothing is asked for.
pub fn bootstrap_records(child: &Name, server: &Name, records: &KeyRecords) -> Result<Vec<Rrset>, BootstrapError> {
    if server.is_in(child) {
        return Err(BootstrapError::InChild(server.clone()));
    }
    let owner =
        signalling_name(child, server).map_err(|source| BootstrapError::Name { server: server.clone(), source })?;
    let copies = [&records.cds, &records.cdnskey].into_iter().flatten();
    Ok(copies.map(|rrset| Rrset { owner: owner.clone(), ..rrset.clone() }).collect())
}

fn signalling_name(child: &Name, server: &Name) -> Result<Name, NameError> {
    let mut labels: Vec<_> = child.labels().collect();
    labels.insert(0, b"_dsboot");
    labels.push(b"_signal");
    labels.into_iter().rev().try_fold(server.clone(), |name, label| name.child(label))
}

#[cfg(test)]
mod tests {
    use rokko_wire::Rtype;
    use rokko_zone::Ttl;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn the_names_of_rfc_9615() {
        let cds = Rrset {
            owner: name("example.co.uk"),
            rtype: Rtype::CDS,
            ttl: Ttl::new(60).unwrap(),
            rdatas: vec![Box::from([0, 0, 0, 0, 0])],
        };
        let records = KeyRecords { cds: Some(cds.clone()), ..KeyRecords::default() };
        let copies = bootstrap_records(&name("example.co.uk"), &name("ns1.example.net"), &records).unwrap();
        let owner = name("_dsboot.example.co.uk._signal.ns1.example.net");
        assert_eq!(copies, [Rrset { owner, ..cds }]);
    }

    #[test]
    fn servers_that_cannot_vouch() {
        let records = KeyRecords::default();
        let in_child = bootstrap_records(&name("example.org"), &name("ns1.example.org"), &records);
        assert_eq!(in_child, Err(BootstrapError::InChild(name("ns1.example.org"))));
        let long = format!("{0}.{0}.{0}.org", "a".repeat(63));
        let too_long =
            bootstrap_records(&name(&long), &name("ns1.a-rather-long-name-of-a-provider-of-names.example"), &records);
        assert!(matches!(too_long, Err(BootstrapError::Name { source: NameError::NameTooLong, .. })));
    }
}
