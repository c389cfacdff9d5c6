-- Who writes into a tenant's chain stands in a queue: an advisory lock is given to who has waited longest.
-- The head's row lock alone went to whoever was on the processor, often the one who had just written. It
-- stays: it keeps the chain from forking whatever happens to the queue.
create or replace function ohmesh.audit(who text, action text, target text, detail text)
    returns bigint language plpgsql security definer set search_path = '' as
$$
declare
    tenant int := ohmesh.current_tenant();
    head ohmesh.audit_head;
    stamp timestamptz;
    field text;
    body text := '';
    sum bytea;
begin
    perform pg_advisory_xact_lock(hashtext('ohmesh audit'), tenant);
    insert into ohmesh.audit_head values (tenant, 0, '\x') on conflict do nothing;
    select * into head from ohmesh.audit_head h where h.tenant_id = tenant for update;
    stamp := clock_timestamp();
    foreach field in array array[
        tenant::text, (head.seq + 1)::text,
        (extract(epoch from stamp) * 1000000)::bigint::text, who, action, target, detail
    ] loop
        body := body || octet_length(field) || ':' || field;
    end loop;
    sum := sha256(head.hash || convert_to(body, 'UTF8'));
    insert into ohmesh.audit_log values
        (tenant, head.seq + 1, stamp, who, action, target, detail, head.hash, sum);
    update ohmesh.audit_head h set seq = head.seq + 1, hash = sum where h.tenant_id = tenant;
    return head.seq + 1;
end $$;
