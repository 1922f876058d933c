-- What people configure. What happens (deliveries, history) lives in the event stores.
-- Times are milliseconds since 1970.

CREATE TABLE customers (
  id TEXT NOT NULL PRIMARY KEY
    CONSTRAINT customer_id_is_a_uuid CHECK (length(id) = 36 AND id NOT GLOB '*[^0-9a-f-]*'),
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL
);

CREATE TABLE clients (
  customer_id TEXT NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
  client_id TEXT NOT NULL,
  name TEXT NOT NULL,
  scope TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (customer_id, client_id)
);

-- A client has one secret, or two while the old one is kept for a while after a rotation. An access token names
-- the secret it was given for, so that it ends with it.
CREATE TABLE client_secrets (
  id TEXT NOT NULL PRIMARY KEY,
  customer_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  secret_hash TEXT NOT NULL
    CONSTRAINT only_a_hash_is_stored CHECK (length(secret_hash) = 64 AND secret_hash NOT GLOB '*[^0-9a-f]*'),
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  FOREIGN KEY (customer_id, client_id) REFERENCES clients (customer_id, client_id) ON DELETE CASCADE
);

CREATE INDEX client_secrets_of_a_client ON client_secrets (customer_id, client_id);

CREATE TABLE signing_keys (
  kid TEXT NOT NULL PRIMARY KEY
    CONSTRAINT kid_is_40_hex CHECK (length(kid) = 40 AND kid NOT GLOB '*[^0-9a-f]*'),
  customer_id TEXT NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
  role TEXT NOT NULL CONSTRAINT role_is_known CHECK (role IN ('current', 'next', 'reserve', 'retired')),
  public_jwk TEXT NOT NULL CONSTRAINT public_jwk_is_json CHECK (json_valid(public_jwk)),
  sealed_private_key TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  retired_at INTEGER,
  CONSTRAINT retired_exactly_when_it_has_a_time CHECK ((role = 'retired') = (retired_at IS NOT NULL))
);

CREATE UNIQUE INDEX one_current_signing_key_per_customer ON signing_keys (customer_id) WHERE role = 'current';
CREATE UNIQUE INDEX one_next_signing_key_per_customer ON signing_keys (customer_id) WHERE role = 'next';
CREATE INDEX signing_keys_of_a_customer ON signing_keys (customer_id);
