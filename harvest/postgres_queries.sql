-- What PostgreSQL says otherwise; all other queries are the same on both engines.

-- name: rules_standing
SELECT id, name, progress, created FROM rules
WHERE state NOT IN ('EXPIRED', 'CANCELLED') AND CAST(request AS json) ->> 'mode' <> 'once' ORDER BY created LIMIT :limit;

-- name: audit_order
INSERT INTO orders (id, "user", charged, fingerprint, request, target, state, message, created, updated, started, rule,
    priority, lifetime, copies_until)
SELECT :id, "user", charged, '', CAST(CAST(request AS jsonb) || '{"lifetime": null}' AS TEXT), target, 'ACTIVE',
    'repair', :now, :now, :now, rule, priority, NULL, copies_until FROM orders WHERE id = :like;
