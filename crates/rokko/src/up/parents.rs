//! Who looks at the parents of signed zones.

use rokko_control::dnssec::Parents;
use rokko_dnssec::life::ParentView;
use rokko_parent::Settings;
use rokko_wire::Name;

use crate::config::DnssecConfig;

/// Where a system names its resolvers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Asks the servers of parents, which resolvers find.
pub(crate) struct Looker(rokko_parent::Looker);

impl Looker {
    /// One that goes by the configuration, and by the system's resolvers if it names none.
    pub(crate) fn new(config: &DnssecConfig) -> Self {
        let resolvers = if config.resolvers.is_empty() {
            rokko_parent::resolvers(&std::fs::read_to_string(RESOLV_CONF).unwrap_or_default())
        } else {
            config.resolvers.clone()
        };
        let settings = Settings { resolvers, parents: config.parents.clone(), ..Settings::default() };
        Self(rokko_parent::Looker::new(settings))
    }
}

impl Parents for Looker {
    fn look(&self, zone: &Name) -> Result<ParentView, String> {
        self.0.look(zone).map_err(|error| error.to_string())
    }
}
