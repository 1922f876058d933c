/**
 * Verifies security event tokens (SETs, RFC 8417) against the keys that the service publishes for one customer.
 */
import {
  createRemoteJWKSet,
  customFetch,
  errors,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from 'jose';

export interface VerifierOptions {
  /** URL of the customer's keys, `{BASE_URL}/{CID}/login/jwk`: from your own configuration, never from a token's `jku`. */
  readonly jwksUrl: string;
  /** The `iss` to accept, `{BASE_URL}/{CID}/webhooks`; a list while the service moves to another URL. */
  readonly issuer: string | readonly string[];
  /**
   * The `aud` to accept: your endpoint's URL, exactly as the subscription has it, or the URLs of several endpoints that share
   * this verifier. Without it, a token that was made for another listener of the customer would be accepted here.
   */
  readonly audience: string | readonly string[];
}

/** Claims of a verified token. Every repeat of one event to one subscription has the same `jti`. */
export type Claims = JWTPayload & {
  readonly jti: string;
  /** One member: the type of the event, with the event. */
  readonly events: Readonly<Record<string, unknown>>;
};

/**
 * @returns the claims
 * @throws Refusal if the token is not acceptable
 * @throws KeysUnavailable if the keys could not be fetched, so that nobody knows
 */
export type Verifier = (token: string) => Promise<Claims>;

/**
 * What can be wrong with a token (RFC 8935, section 2.4). A token is refused with one of the first four. The last two are
 * about who sends it: the service sends no credentials, so they are for a program that checks something of its own.
 */
export type RefusalCode =
  | 'invalid_request'
  | 'invalid_key'
  | 'invalid_issuer'
  | 'invalid_audience'
  | 'authentication_failed'
  | 'access_denied';

/** A token or request that is not acceptable. A repeat of it is not acceptable either. `onEvent` may throw one. */
export class Refusal extends Error {
  readonly code: RefusalCode;
  /** HTTP status to answer with. */
  readonly status: number;

  constructor(message: string, code: RefusalCode = 'invalid_request', status = 400) {
    super(message);
    this.name = 'Refusal';
    this.code = code;
    this.status = status;
  }
}

/** The keys could not be fetched, or are not keys: whether the token is acceptable is unknown, so it must come again. */
export class KeysUnavailable extends Error {
  constructor(cause: unknown) {
    super(`the keys cannot be fetched: ${cause instanceof Error ? cause.message : cause}`, { cause });
    this.name = 'KeysUnavailable';
  }
}

/** How long nobody asks for the keys after they could not be fetched: a stranger must not set the pace of requests. */
const PAUSE_AFTER_FAILURE_MS = 3_000;

/** How the service signs (contract 6.2). The published key must be of the same kind: an id alone does not make a key fit. */
const ALGORITHMS = ['RS256', 'EdDSA'];

/**
 * Fetches keys when it first needs them, keeps them for ten minutes, and fetches again for an unknown key, once in 30 s.
 * @throws TypeError without an issuer or an audience
 */
export function createVerifier({ jwksUrl, issuer, audience }: VerifierOptions): Verifier {
  const issuers = [issuer ?? []].flat().filter((url) => url !== '');
  if (issuers.length === 0) throw new TypeError('issuer must be the URL of the customer at the service');
  const audiences = [audience ?? []].flat().filter((url) => url !== '');
  if (audiences.length === 0) throw new TypeError('audience must be the URL of your endpoint');
  const keys = keysAt(new URL(jwksUrl));
  const expected = {
    algorithms: ALGORITHMS,
    typ: 'secevent+jwt',
    requiredClaims: ['jti', 'iat', 'events'], // RFC 8417, section 2.2
    issuer: issuers,
    audience: audiences,
  };
  return async (token) => {
    try {
      const { payload } = await jwtVerify(token, keys, expected);
      if (typeof payload.jti !== 'string' || payload.jti === '') throw new Refusal('"jti" must not be empty');
      const events = payload['events'];
      if (typeof events !== 'object' || events === null || Array.isArray(events)) {
        throw new Refusal('"events" must be an object'); // RFC 8417, section 2.2
      }
      return { ...payload, jti: payload.jti, events: events as Claims['events'] };
    } catch (error) {
      if (error instanceof Refusal || error instanceof KeysUnavailable) throw error;
      throw asRefusal(error) ?? new KeysUnavailable(error); // such as a key that is too short
    }
  };
}

/** The published keys. Rejects with the error of `jose` for an unknown key, else with `KeysUnavailable`. */
function keysAt(url: URL): JWTVerifyGetKey {
  let failure: { readonly error: KeysUnavailable; readonly atMs: number } | undefined;
  const published = createRemoteJWKSet(url, {
    [customFetch]: (...request) => {
      if (failure !== undefined && Date.now() < failure.atMs + PAUSE_AFTER_FAILURE_MS) throw failure.error;
      return fetch(...request);
    },
  });
  return async (header, token) => {
    try {
      return await published(header, token);
    } catch (error) {
      if (error instanceof KeysUnavailable) throw error;
      if (asRefusal(error) !== undefined) throw error;
      failure = { error: new KeysUnavailable(error), atMs: Date.now() };
      throw failure.error;
    }
  };
}

/** The refusal that an error of `jose` stands for; `undefined` if the token is not what caused it. */
function asRefusal(error: unknown): Refusal | undefined {
  if (!(error instanceof errors.JOSEError)) return undefined;
  switch (error.code) {
    case 'ERR_JWT_CLAIM_VALIDATION_FAILED':
      return new Refusal(error.message, codeOfClaim((error as errors.JWTClaimValidationFailed).claim));
    case 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED':
    case 'ERR_JWKS_NO_MATCHING_KEY':
    case 'ERR_JWKS_MULTIPLE_MATCHING_KEYS':
      return new Refusal(error.message, 'invalid_key');
    case 'ERR_JOSE_ALG_NOT_ALLOWED':
    case 'ERR_JOSE_NOT_SUPPORTED':
    case 'ERR_JWS_INVALID':
    case 'ERR_JWT_EXPIRED':
    case 'ERR_JWT_INVALID':
      return new Refusal(error.message);
    default:
      return undefined;
  }
}

function codeOfClaim(claim: string): RefusalCode {
  if (claim === 'iss') return 'invalid_issuer';
  return claim === 'aud' ? 'invalid_audience' : 'invalid_request';
}
