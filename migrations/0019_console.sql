-- Links into the console, and the sessions that a link, a client or the operator opens (contract 10.15). Codes and cookies are kept as
-- hashes. A link is deleted by the session that it opens, which takes its id: so a code opens one session. Both end at `expires_at`.
CREATE TABLE console_links (
  id TEXT NOT NULL PRIMARY KEY,
  code_hash TEXT NOT NULL
    CONSTRAINT only_a_hash_of_the_code_is_stored CHECK (length(code_hash) = 64 AND code_hash NOT GLOB '*[^0-9a-f]*'),
  customer_id TEXT NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
  read_only INTEGER NOT NULL CONSTRAINT read_only_link_is_a_boolean CHECK (read_only IN (0, 1)),
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
);

CREATE UNIQUE INDEX console_links_by_code ON console_links (code_hash);
CREATE INDEX console_links_of_a_customer ON console_links (customer_id, expires_at);
CREATE INDEX console_links_by_end ON console_links (expires_at);

-- A session of a customer reads its scope from its client, if `secret_id` names a secret of one, and from `read_only` otherwise. One of
-- the operator has a mark of the `OPERATOR_TOKEN` that opened it, and ends with that token.
CREATE TABLE console_sessions (
  id TEXT NOT NULL PRIMARY KEY,
  cookie_hash TEXT NOT NULL
    CONSTRAINT only_a_hash_of_the_cookie_is_stored CHECK (length(cookie_hash) = 64 AND cookie_hash NOT GLOB '*[^0-9a-f]*'),
  kind TEXT NOT NULL CONSTRAINT console_session_kind_is_known CHECK (kind IN ('customer', 'operator')),
  customer_id TEXT REFERENCES customers (id) ON DELETE CASCADE,
  read_only INTEGER NOT NULL CONSTRAINT read_only_session_is_a_boolean CHECK (read_only IN (0, 1)),
  secret_id TEXT REFERENCES client_secrets (id) ON DELETE CASCADE,
  operator_mark TEXT,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  CONSTRAINT a_session_of_a_customer_names_it CHECK ((kind = 'customer') = (customer_id IS NOT NULL)),
  CONSTRAINT a_session_of_the_operator_has_a_mark CHECK ((kind = 'operator') = (operator_mark IS NOT NULL)),
  CONSTRAINT only_a_customer_has_a_secret CHECK (secret_id IS NULL OR kind = 'customer')
);

CREATE UNIQUE INDEX console_sessions_by_cookie ON console_sessions (cookie_hash);
CREATE INDEX console_sessions_of_a_customer ON console_sessions (customer_id, expires_at);
CREATE INDEX console_sessions_of_a_secret ON console_sessions (secret_id) WHERE secret_id IS NOT NULL;
CREATE INDEX console_sessions_by_end ON console_sessions (expires_at);
