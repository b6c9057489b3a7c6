-- Keys of the API, and who is signed in with one on the page.

-- name: all
-- Every key with its hashes, for the processes that check them.
SELECT id, name, role, hash, device_prefixes, expires_at, revoked_at, previous_hash,
    previous_expires_at
FROM api_keys

-- name: signed_in
-- Every sign-in that has not expired.
SELECT hash, key_id, key_hash, expires_at FROM api_sign_ins WHERE expires_at > now()

-- name: list
-- Every key for people, the newest last; no hash.
SELECT id, name, role, device_prefixes, created_at, expires_at, revoked_at, rotated_at,
    previous_expires_at,
    CASE WHEN revoked_at IS NOT NULL THEN 'revoked'
        WHEN expires_at <= now() THEN 'expired'
        ELSE 'live' END AS state,
    revoked_at IS NULL AND previous_expires_at > now() AS old_secret_live
FROM api_keys
ORDER BY created_at, id

-- name: create
-- One row: the key.
INSERT INTO api_keys (id, name, role, hash, device_prefixes, expires_at)
VALUES (%(id)s, %(name)s, %(role)s, %(hash)s, %(device_prefixes)s, %(expires_at)s)
RETURNING id, name, role, device_prefixes, created_at, expires_at

-- name: delete
DELETE FROM api_keys WHERE id = %(id)s

-- name: revoke
-- One row, where there is such a key; a second time changes nothing.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = %(id)s
RETURNING id

-- name: rotate
-- One row, unless the key is over. Of two rotations within a grace, only the last secrets are good.
UPDATE api_keys
SET hash = %(hash)s, rotated_at = now(), previous_hash = hash,
    previous_expires_at = now() + %(grace)s
WHERE id = %(id)s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
RETURNING id, name, role, device_prefixes, created_at, expires_at, rotated_at, previous_expires_at

-- name: sign_in
-- What is over is forgotten at this occasion, and of one key's sign-ins all but the newest.
WITH forgotten AS (
    DELETE FROM api_sign_ins
    WHERE expires_at <= now()
        OR hash IN (
            SELECT hash FROM api_sign_ins WHERE key_id = %(key_id)s
            ORDER BY created_at DESC OFFSET %(most)s - 1)
)
INSERT INTO api_sign_ins (hash, key_id, key_hash, expires_at)
VALUES (%(hash)s, %(key_id)s, %(key_hash)s, %(expires_at)s)

-- name: sign_out
DELETE FROM api_sign_ins WHERE hash = %(hash)s
