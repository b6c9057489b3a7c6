-- oldest code: 0004

-- What a device is like: how often it reports, by how much its register may dip, where that rolls
-- over, and what it can carry.
ALTER TABLE meters
    ADD report_seconds integer CHECK (report_seconds BETWEEN 1 AND 86400),
    ADD register_tolerance double precision CHECK (register_tolerance >= 0),
    ADD register_modulus double precision CHECK (register_modulus > 0);
ALTER TABLE vehicles
    ADD report_seconds integer CHECK (report_seconds BETWEEN 1 AND 86400),
    ADD register_tolerance double precision CHECK (register_tolerance >= 0),
    ADD register_modulus double precision CHECK (register_modulus > 0),
    ADD max_charge_kw double precision CHECK (max_charge_kw > 0);

-- When a device was exchanged for another one under the same id: what the old one's register showed
-- last, and what the new one's showed first, as far as that is known.
CREATE TABLE register_exchanges (
    exchange_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    stream text NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    exchanged_at timestamptz NOT NULL,
    last_of_old double precision CHECK (last_of_old >= 0),
    first_of_new double precision CHECK (first_of_new >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (stream, device_id, exchanged_at)
);
