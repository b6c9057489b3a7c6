-- oldest code: 0004

-- What a vehicle's sessions on a charger add up to in an hour: of both sides what belongs to these
-- sessions. The hours of a vehicle are summed together with this, from the same readings, so that the
-- rows of a vehicle's hour are its row in vehicle_hours, but for what lies in no session. `*_again`: of
-- readings whose energy other hours share, the hours before this one on this charger that have them.
CREATE TABLE charger_hours (
    hour timestamptz NOT NULL,
    ac_readings integer NOT NULL,
    dc_readings integer NOT NULL,
    counter_resets integer NOT NULL,
    dips integer NOT NULL,
    spikes integer NOT NULL,
    implausible integer NOT NULL,
    energy_ac numeric NOT NULL,
    energy_dc numeric NOT NULL,
    estimated_ac numeric NOT NULL,
    estimated_dc numeric NOT NULL,
    ac_seconds numeric NOT NULL,
    dc_seconds numeric NOT NULL,
    ac_again timestamptz[],
    dc_again timestamptz[],
    meter_id text COLLATE "C" NOT NULL,
    vehicle_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (hour, vehicle_id, meter_id)
) WITH (fillfactor = 80);
CREATE INDEX charger_hours_of_meter ON charger_hours (meter_id, hour);
CREATE INDEX charger_hours_of_vehicle ON charger_hours (vehicle_id, hour);

-- How many of these hours are not before `since`; null where there are none, as nearly everywhere.
CREATE FUNCTION again_since(again timestamptz[], since timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (SELECT count(*) FROM unnest(again) AS before WHERE before >= since);
