-- oldest code: 0004

-- Keys of the API, eie_<id>_<secret>. Of a secret only the SHA-256 is kept. A rotated key has a new
-- secret; the previous one is good until previous_expires_at.
CREATE TABLE api_keys (
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('gateway', 'analyst', 'operator', 'metrics')),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    device_prefixes text[] NOT NULL DEFAULT '{}' CHECK (role = 'gateway' OR device_prefixes = '{}'),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    rotated_at timestamptz,
    previous_hash bytea,
    previous_expires_at timestamptz
);

-- Who is signed in on the page. The browser has 32 random bytes, this table their SHA-256. key_hash
-- is that of the secret it was begun with: a sign-in is good for as long as that secret.
CREATE TABLE api_sign_ins (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    key_id text COLLATE "C" NOT NULL REFERENCES api_keys ON DELETE CASCADE,
    key_hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);

CREATE INDEX api_sign_ins_of_key ON api_sign_ins (key_id, created_at);
