/**
 * What the platform gives the Worker: bindings and variables, under the names of wrangler.toml. The variables are not
 * checked yet; `config.ts` turns them into a `Config`.
 */
export interface Env {
  ASSETS: Fetcher;
  DB: D1Database;
  EVENT_STORE: DurableObjectNamespace;
  HOST_LIMIT: DurableObjectNamespace;
  EVENTS: Queue<unknown>;
  SLICES: Queue<unknown>;
  DELIVERIES: Queue<unknown>;
  UNHEALTHY: Queue<unknown>;
  DEAD_LETTERS: Queue<unknown>;
  FAILED_AUTH_BY_CLIENT: RateLimit;
  FAILED_AUTH_BY_ADDRESS: RateLimit;
  MANAGEMENT_CALLS: RateLimit;
  COSTLY_WORK: RateLimit;
  PUBLIC_LOOK_UPS: RateLimit;
  TESTS: RateLimit;

  NAME_PREFIX?: string;
  JURISDICTION?: string;
  LOCATION_HINT?: string;
  BASE_URL?: string;
  CAPTURE_DOMAIN?: string;
  USER_AGENT?: string;
  RETRY_DELAYS_SECONDS?: string;
  ATTEMPT_TIMEOUT_SECONDS?: string;
  REDELIVER_INTERVAL_SECONDS?: string;
  EXPORT_INTERVAL_SECONDS?: string;
  RETENTION_DAYS?: string;
  KEY_ROTATION_DAYS?: string;
  MAX_SUBSCRIPTIONS?: string;
  ALLOW_PRIVATE_ENDPOINTS?: string;
  VERIFY_ENDPOINTS?: string;
  LOG_LEVEL?: string;
  TRACE_REQUESTS?: string;
  SECURITY_CONTACT?: string;
  CONSOLE_FRAME_ANCESTORS?: string;

  OPERATOR_TOKEN?: string;
  KEY_ENCRYPTION_KEY?: string;
  KEY_ENCRYPTION_KEY_PREVIOUS?: string;
  TOKEN_SIGNING_KEY?: string;
}
