-- Up to when each utility has billed: what retention may never delete beyond.
create table ohmesh.billing_mark (
    tenant_id   int primary key references ohmesh.tenant,
    billed_to   timestamptz not null,
    set_by      text not null,
    set_at      timestamptz not null
);
alter table ohmesh.billing_mark enable row level security;
alter table ohmesh.billing_mark force row level security;
create policy one_tenant on ohmesh.billing_mark to ohmesh_api
    using (tenant_id = ohmesh.current_tenant()) with check (tenant_id = ohmesh.current_tenant());
create policy all_tenants on ohmesh.billing_mark to ohmesh_owner, ohmesh_worker using (true) with check (true);
grant select on ohmesh.billing_mark to ohmesh_worker;
grant select, insert, update on ohmesh.billing_mark to ohmesh_api;

-- The first instant that billing still needs: of every utility with meters its mark (none: all of
-- it), and what prepaid accounts have not been charged for.
create function bulk.billing_needs() returns timestamptz language sql stable security definer
    set search_path = '' as
$$ select least(
       (select min(coalesce(b.billed_to, '1900-01-01Z')) from (select distinct tenant_id from ohmesh.meter) m
        left join ohmesh.billing_mark b on b.tenant_id = m.tenant_id),
       (select min(coalesce(r.rated_to, '1900-01-01Z')) from ohmesh.rating_state r)) $$;

-- The views that read a table, to be made again when another takes its place.
create function bulk.views_on(t regclass) returns table (name text, options text, definition text)
    language sql as
$$ select distinct c.oid::regclass::text,
          coalesce('with (' || array_to_string(c.reloptions, ', ') || ')', ''),
          pg_get_viewdef(c.oid)
   from pg_depend d
   join pg_rewrite w on w.oid = d.objid and d.classid = 'pg_rewrite'::regclass
   join pg_class c on c.oid = w.ev_class and c.relkind = 'v'
   where d.refobjid = t and d.refclassid = 'pg_class'::regclass $$;

-- Puts an empty table in the place of another, with its rights and its views; the old one stays
-- under the name that is given.
create procedure bulk.take_place(old regclass, kept text, clause text) language plpgsql as
$$ declare
    place text := old::text;
    bare text := (select relname from pg_class where oid = old);
    views text[] := array(select format('create or replace view %s %s as %s', v.name, v.options, v.definition)
                          from bulk.views_on(old) v);
    rights text[] := array(
        select format('grant %s on %s to %I', a.privilege_type, old::text, a.grantee::regrole)
        from pg_class c, aclexplode(c.relacl) a where c.oid = old and a.grantee <> c.relowner);
    statement text;
begin
    execute format('alter table %s rename to %I', place, kept);
    execute format('create table bulk.%I (like bulk.%I including all) %s', bare, kept, clause);
    foreach statement in array rights || views loop
        execute statement;
    end loop;
end $$;
revoke all on function bulk.views_on(regclass), bulk.billing_needs() from public;
revoke all on procedure bulk.take_place(regclass, text, text) from public;
grant execute on function bulk.billing_needs() to ohmesh_worker;
