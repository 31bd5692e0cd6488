//! What is known of queries before they are answered: their questions, and where the memory for them is.

use std::net::IpAddr;

use rokko_wire::query::{FoldedName, HEADER_LEN, Question};
use rokko_zone::{CatalogReader, Hint};

use crate::rate::{Limiter, Source};

/// The question of a query.
#[derive(Default)]
pub(crate) struct Asked {
    /// The name that is looked for: the question's, in the end that of the last CNAME.
    pub(crate) name: FoldedName,
    /// `None` if what follows the header is no question.
    pub(crate) question: Option<Question>,
    pub(crate) hint: Hint,
    /// The client, if responses to it may be limited.
    pub(crate) source: Option<Source>,
}

impl Asked {
    /// Reads the question of a query, whatever its header says.
    pub(crate) fn read(&mut self, query: &[u8], catalog: &CatalogReader) {
        let read = (query.len() > HEADER_LEN).then(|| Question::parse(query, &mut self.name));
        self.question = read.and_then(Result::ok);
        self.hint = if self.question.is_some() { catalog.hint(&self.name) } else { Hint::default() };
    }

    /// Works out what the limits of a client go by.
    pub(crate) fn read_source(&mut self, addr: IpAddr, limiter: Option<&Limiter>) {
        self.source = limiter.map(|limiter| limiter.source(addr));
    }
}
