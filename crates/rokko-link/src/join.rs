//! How a node joins: it shows the secret of a token and gets a certificate for its own key.
//!
//! Over TLS whose server is checked against the digest in the token, one message each way. The node's: version (1 octet, 1) · secret
//! (32 octets) · signing request (RFC 2986, in DER, to the end). The answer: 0 · set id (16 octets) · the node's certificate and the
//! authority's, each with its length before it (2 octets, network order); or 1 · code (1 octet), see [`JoinRefusal`].

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rokko_feed::SetId;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::ca::{Authority, AuthorityError, SigningRequest};
use crate::certificate::Identity;
use crate::credentials::{Credentials, CredentialsError, PendingKey};
use crate::dial;
use crate::fleet::{Admission, Fleet, JoinRefusal, SecretHash};
use crate::framing::Framed;
use crate::stream::{Event, Limits, Link, LinkError};
use crate::tls;
use crate::token::Token;

const VERSION: u8 = 1;
const ACCEPTED: u8 = 0;
const REFUSED: u8 = 1;
/// How long a join may take, on either side.
pub(crate) const JOIN_TIME: Duration = Duration::from_secs(10);
/// How long the end of a connection may take.
const CLOSE_TIME: Duration = Duration::from_secs(2);
const LIMITS: Limits = Limits { message_octets_max: 16 << 10, stall: JOIN_TIME, silence: JOIN_TIME };

/// Why a node could not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The control node said no.
    #[error(transparent)]
    Refused(#[from] JoinRefusal),
    /// The control node can't be reached, whoever answers is not the control node of the token's fleet, or the connection broke.
    #[error("the control node can't be reached at {address}")]
    Link {
        /// The last address that was tried.
        address: String,
        /// Why it failed.
        #[source]
        source: LinkError,
    },
    /// The answer can't be read.
    #[error("the control node's answer is malformed")]
    Malformed,
    /// The node's key or certificate is not right, or can't be kept.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// A node that has just joined.
pub struct Joined {
    /// Its key and certificate. They are in the folder already.
    pub credentials: Credentials,
    /// The data set of the control node.
    pub set: SetId,
}

/// Joins with a token. Key and certificate are kept in the folder; a join that was broken off can be tried again with the same token.
pub async fn join(token: &Token, folder: &Path) -> Result<Joined, JoinError> {
    let pending = PendingKey::open(folder)?;
    let request = request(token, &pending)?;
    let (chain, set) = ask_all(token, &request).await?;
    let credentials = pending.complete(chain, token.authority, crate::now_s())?;
    credentials.store(folder)?;
    Ok(Joined { credentials, set })
}

type Answer = (Vec<CertificateDer<'static>>, SetId);

async fn ask_all(token: &Token, request: &[u8]) -> Result<Answer, JoinError> {
    let mut last = JoinError::Malformed;
    for address in &token.addresses {
        let late = || LinkError::Io(std::io::ErrorKind::TimedOut.into());
        match timeout(JOIN_TIME, ask(address, token, request)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(refused @ JoinError::Refused(_))) => return Err(refused),
            Ok(Err(error)) => last = error,
            Err(_) => last = JoinError::Link { address: address.clone(), source: late() },
        }
    }
    Err(last)
}

async fn ask(address: &str, token: &Token, request: &[u8]) -> Result<Answer, JoinError> {
    let failed = |source| JoinError::Link { address: address.to_owned(), source };
    let config = tls::join_client_config(token.authority)
        .map_err(|error| failed(LinkError::Io(std::io::Error::other(error))))?;
    let (stream, _) = dial::connect(address, config).await.map_err(failed)?;
    let mut link = Link::new(stream, LIMITS);
    link.send(Framed::plain(request));
    loop {
        if let Event::Message(answer) = link.event().await.map_err(failed)? {
            link.close(CLOSE_TIME).await;
            return read_answer(&answer);
        }
    }
}

fn request(token: &Token, pending: &PendingKey) -> Result<Vec<u8>, CredentialsError> {
    let mut request = vec![VERSION];
    request.extend_from_slice(&token.secret);
    request.extend_from_slice(&pending.signing_request()?);
    Ok(request)
}

fn read_answer(answer: &[u8]) -> Result<Answer, JoinError> {
    match answer.split_first() {
        Some((&ACCEPTED, rest)) => read_accepted(rest).ok_or(JoinError::Malformed),
        Some((&REFUSED, &[code])) => Err(refusal(code).map_or(JoinError::Malformed, JoinError::Refused)),
        _ => Err(JoinError::Malformed),
    }
}

fn read_accepted(rest: &[u8]) -> Option<Answer> {
    let (set, mut rest) = rest.split_first_chunk::<16>()?;
    let mut chain = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let (certificate, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        chain.push(CertificateDer::from(certificate.to_vec()));
        rest = after;
    }
    rest.is_empty().then_some((chain, SetId(*set)))
}

const CODES: [(u8, JoinRefusal); 4] =
    [(1, JoinRefusal::Unknown), (2, JoinRefusal::Used), (3, JoinRefusal::Expired), (4, JoinRefusal::Unavailable)];

fn refusal(code: u8) -> Option<JoinRefusal> {
    CODES.into_iter().find(|(number, _)| *number == code).map(|(_, refusal)| refusal)
}

fn refused(refusal: JoinRefusal) -> Vec<u8> {
    let code = CODES.into_iter().find(|(_, known)| *known == refusal).map_or(0, |(number, _)| number);
    vec![REFUSED, code]
}

/// The control node's side.
#[derive(Clone)]
pub(crate) struct Doorkeeper {
    pub(crate) authority: Arc<Authority>,
    pub(crate) fleet: Arc<dyn Fleet>,
    pub(crate) set: SetId,
}

impl Doorkeeper {
    /// Answers the one request of a connection. The caller limits the time.
    pub(crate) async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), LinkError> {
        let mut link = Link::new(stream, LIMITS);
        loop {
            let Event::Message(request) = link.event().await? else { continue };
            let answered = tokio::task::spawn_blocking(move || self.answer(&request)).await;
            let answer = answered.unwrap_or_else(|_| Some(refused(JoinRefusal::Unavailable)));
            if let Some(answer) = answer {
                link.send(Framed::plain(&answer));
            }
            link.close(CLOSE_TIME).await;
            return Ok(());
        }
    }

    /// `None` if the request can't be read.
    fn answer(&self, request: &[u8]) -> Option<Vec<u8>> {
        let (&version, rest) = request.split_first()?;
        let (secret, signing) = rest.split_first_chunk::<32>()?;
        if version != VERSION {
            return None;
        }
        let now_s = crate::now_s();
        let signing = SigningRequest::read(signing).ok()?;
        Some(match self.fleet.admit(&SecretHash::of(secret), &signing.key(), now_s) {
            Ok(admission) => self.accept(&admission, &signing, now_s).unwrap_or_else(|error| {
                tracing::error!(%error, name = %admission.name, "no certificate could be issued for a node that joins");
                refused(JoinRefusal::Unavailable)
            }),
            Err(refusal) => {
                tracing::info!(%refusal, "a node was not let in");
                refused(refusal)
            }
        })
    }

    fn accept(&self, admission: &Admission, signing: &SigningRequest, now_s: u64) -> Result<Vec<u8>, AuthorityError> {
        let chain = self.authority.issue(&admission.name, admission.role, signing, now_s)?;
        if let Some(identity) = chain.first().and_then(|leaf| Identity::read(leaf).ok()) {
            tracing::info!(name = %identity.name, role = %identity.role, "a node joined the fleet");
            self.fleet.issued(&identity);
        }
        let mut answer = vec![ACCEPTED];
        answer.extend_from_slice(&self.set.0);
        for certificate in &chain {
            let len = u16::try_from(certificate.len()).expect("certificates of ours have some hundred octets");
            answer.extend_from_slice(&len.to_be_bytes());
            answer.extend_from_slice(certificate);
        }
        Ok(answer)
    }
}
