-- Rights of roles that do not own the tables.

-- fragment: ours
-- The schema of our tables and whose they are.
SELECT relnamespace AS space, relowner AS owner FROM pg_class WHERE oid = 'ingest_offsets'::regclass

-- name: role
-- What speaks against giving a role rights of its own; no row when there is no such role.
SELECT rolsuper, pg_has_role(role.oid, ours.owner, 'MEMBER'), (
    SELECT setting
    FROM pg_db_role_setting, unnest(setconfig) AS setting
    WHERE setrole = role.oid AND setting LIKE 'role=%%'
    LIMIT 1)
FROM pg_roles AS role, (
    -- include: ours
) AS ours
WHERE rolname = %(role)s

-- name: can_remember
-- One row, unless the schema is older than rights are.
SELECT FROM pg_class WHERE oid = to_regclass('granted_roles')

-- name: remember
INSERT INTO granted_roles (kind, role) VALUES (%(kind)s, %(role)s) ON CONFLICT DO NOTHING

-- name: forget_dropped
DELETE FROM granted_roles WHERE role NOT IN (SELECT rolname FROM pg_roles)

-- name: remembered
-- Every role that was granted rights, and as what.
SELECT role, array_agg(kind ORDER BY kind) FROM granted_roles GROUP BY role ORDER BY role

-- name: unpinned
-- Functions that run with the owner's rights, of which one does not find its tables, or only in
-- another schema than the one they have been moved to; and that schema.
SELECT pg_proc.oid::regprocedure::text, quote_ident(nspname)
FROM pg_proc
JOIN (
    -- include: ours
) AS ours ON space = pronamespace
JOIN pg_namespace ON pg_namespace.oid = space
WHERE proname = ANY (%(functions)s) AND pg_has_role(proowner, 'USAGE')
    AND NOT coalesce(format('search_path=%%I, pg_temp', nspname) = ANY (proconfig) AND prosecdef, false)

-- name: public
-- What everybody may do that only some should: as `changes`.
SELECT 'REVOKE', 'CREATE', 'SCHEMA', quote_ident(nspname), pg_has_role(nspowner, 'USAGE')
FROM pg_namespace
JOIN (
    -- include: ours
) AS ours ON space = pg_namespace.oid
WHERE has_schema_privilege('public', pg_namespace.oid, 'CREATE')
UNION ALL
SELECT 'REVOKE', 'EXECUTE', 'FUNCTION', pg_proc.oid::regprocedure::text, pg_has_role(owner, 'USAGE')
FROM pg_proc
JOIN (
    -- include: ours
) AS ours ON space = pronamespace
WHERE proname = ANY (%(functions)s) AND has_function_privilege('public', pg_proc.oid, 'EXECUTE')

-- name: changes
-- By what statements a role's own rights on what is ours become the ones that are wanted: GRANT or
-- REVOKE, the privilege, on what kind of object, its name, and whether that is for us to do.
-- What is on a history table is on the tables of its days, too, also on those beside it. `tables` and
-- `privileges` go together; a privilege may name its columns, as in UPDATE (a, b).
WITH ours AS MATERIALIZED (
    -- include: ours
),
relation AS (
    SELECT pg_class.oid, coalesce(root.oid, pg_class.oid) AS root,
        CASE pg_class.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
        pg_class.oid::regclass::text AS name, pg_class.relacl AS acl,
        pg_has_role(pg_class.relowner, 'USAGE') AS ours
    FROM ours
    JOIN pg_class ON relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    LEFT JOIN pg_class AS root ON root.relnamespace = ours.space AND root.relkind = 'p'
        AND CASE WHEN pg_class.relispartition THEN root.oid = pg_partition_root(pg_class.oid)
            ELSE pg_class.relnamespace = ours.space
                AND day_in_name(root.relname, pg_class.relname) IS NOT NULL END
    WHERE root.oid IS NOT NULL
        OR (pg_class.relnamespace = ours.space AND pg_class.relowner = ours.owner)
),
wanted AS (
    SELECT relation.kind, relation.name, trim(split_part(privilege, '(', 1)) AS privilege,
        coalesce(quote_ident(trim(named_column)), '') AS named_column, relation.ours
    FROM unnest(%(tables)s::text[], %(privileges)s::text[]) AS asked (table_name, privilege)
    CROSS JOIN ours
    JOIN pg_class AS root ON root.relname = table_name AND root.relnamespace = ours.space
    JOIN relation ON relation.root = root.oid
    LEFT JOIN LATERAL string_to_table(substring(privilege FROM '\((.*)\)'), ',')
        AS given (named_column) ON true
    WHERE privilege <> 'MAINTAIN' OR current_setting('server_version_num')::int >= 170000
    UNION ALL
    SELECT 'FUNCTION', pg_proc.oid::regprocedure::text, 'EXECUTE', '',
        pg_has_role(proowner, 'USAGE')
    FROM ours JOIN pg_proc ON pronamespace = space
    WHERE proname = ANY (%(functions)s)
    UNION ALL
    SELECT 'SCHEMA', quote_ident(nspname), 'USAGE', '', pg_has_role(nspowner, 'USAGE')
    FROM ours JOIN pg_namespace ON pg_namespace.oid = space
    UNION ALL
    SELECT 'DATABASE', quote_ident(datname), privilege, '', pg_has_role(datdba, 'USAGE')
    FROM pg_database, unnest(%(on_database)s::text[]) AS asked (privilege)
    WHERE datname = current_database()
),
held AS (
    SELECT kind, name, privilege_type AS privilege, '' AS named_column, ours, grantee
    FROM relation CROSS JOIN aclexplode(acl)
    UNION ALL
    SELECT kind, name, privilege_type, quote_ident(attname), ours, grantee
    FROM relation JOIN pg_attribute ON attrelid = relation.oid CROSS JOIN aclexplode(attacl)
    UNION ALL
    SELECT 'FUNCTION', pg_proc.oid::regprocedure::text, privilege_type, '',
        pg_has_role(proowner, 'USAGE'), grantee
    FROM ours JOIN pg_proc ON pronamespace = space AND proowner = owner
    CROSS JOIN aclexplode(proacl)
    UNION ALL
    SELECT 'SCHEMA', quote_ident(nspname), privilege_type, '', pg_has_role(nspowner, 'USAGE'),
        grantee
    FROM ours JOIN pg_namespace ON pg_namespace.oid = space CROSS JOIN aclexplode(nspacl)
    UNION ALL
    SELECT 'DATABASE', quote_ident(datname), privilege_type, '', pg_has_role(datdba, 'USAGE'),
        grantee
    FROM pg_database CROSS JOIN aclexplode(datacl)
    WHERE datname = current_database()
),
its_own AS (
    SELECT kind, name, privilege, named_column, held.ours
    FROM held JOIN pg_roles ON pg_roles.oid = grantee AND rolname = %(role)s
)
SELECT action, privilege || CASE WHEN named_column <> '' THEN format(' (%%s)', named_column) ELSE '' END,
    kind, name, ours
FROM (
    SELECT 'REVOKE' AS action, * FROM (SELECT * FROM its_own EXCEPT SELECT * FROM wanted) AS excess
    UNION ALL
    SELECT 'GRANT', * FROM (SELECT * FROM wanted EXCEPT SELECT * FROM its_own) AS missing
) AS change
ORDER BY action DESC, kind, name, privilege, named_column
