/**
 * Verifies security event tokens (SETs, RFC 8417) against the keys that the service publishes for one customer.
 */
import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify } from 'jose';

export interface VerifierOptions {
  /** URL of the customer's keys, `{BASE_URL}/{CID}/login/jwk`: from your own configuration, never from a token's `jku`. */
  readonly jwksUrl: string;
  /** The `iss` to accept, `{BASE_URL}/{CID}/webhooks`. Unset: any. */
  readonly issuer?: string;
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
 * @throws Refusal if the token is not acceptable; any other error if the keys could not be fetched
 */
export type Verifier = (token: string) => Promise<Claims>;

/** What can be wrong with a token (RFC 8935, section 2.4). */
export type RefusalCode = 'invalid_request' | 'invalid_key' | 'invalid_issuer' | 'invalid_audience';

/** A token or request that is not acceptable. A repeat of it is not acceptable either. */
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

/**
 * Fetches keys when it first needs them, keeps them for ten minutes, and fetches again for an unknown key.
 * @throws TypeError without an audience
 */
export function createVerifier({ jwksUrl, issuer, audience }: VerifierOptions): Verifier {
  const audiences = [audience ?? []].flat().filter((url) => url !== '');
  if (audiences.length === 0) throw new TypeError('audience must be the URL of your endpoint');
  const keys = createRemoteJWKSet(new URL(jwksUrl));
  const expected = {
    algorithms: ['RS256'],
    typ: 'secevent+jwt',
    requiredClaims: ['jti', 'iat', 'events'], // RFC 8417, section 2.2
    ...(issuer === undefined ? {} : { issuer }),
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
      throw asRefusal(error) ?? error;
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
