-- Without TimescaleDB: time partitions of PostgreSQL's own, by month, for what grows without end.
-- What came before the first month stands in one partition, what lies beyond the last in another:
-- nothing is refused for its time. `bulk.tend` makes months as they come near.
do $$
declare
    one record;
    month timestamptz := date_trunc('month', now(), 'UTC');
    begun timestamptz;
begin
    for one in select * from (values ('reading', 'ts'), ('interval', 'ts'), ('telegram', 'received_at'))
            as v(name, at) loop
        call bulk.take_place(('bulk.' || quote_ident(one.name))::regclass, one.name || '_past',
                             format('partition by range (%I)', one.at));
        execute format('select max(%I) from bulk.%I', one.at, one.name || '_past') into begun;
        begun := case when begun < month or begun is null then month
                      else date_trunc('month', begun, 'UTC') + interval '1 month' end;
        execute format('alter table bulk.%I attach partition bulk.%I for values from (minvalue) to (%L)',
                       one.name, one.name || '_past', begun);
        execute format('create table bulk.%I partition of bulk.%I for values from (%L) to (maxvalue)',
                       one.name || '_beyond', one.name, begun);
    end loop;
end $$;

-- Months up to the next one, out of what lies beyond. Returns how many were made.
create function bulk.tend(at timestamptz) returns int language plpgsql security definer
    set search_path = '' set lock_timeout = '5s' as
$$ declare
    one record;
    month timestamptz;
    part text;
    made int := 0;
begin
    for one in select c.relname as name, a.attname as at
               from pg_catalog.pg_partitioned_table p
               join pg_catalog.pg_class c on c.oid = p.partrelid
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = 'bulk'
               join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = p.partattrs[0]
               order by c.relname loop
        loop
            select (regexp_match(pg_catalog.pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)'''))[1]
            into month from pg_catalog.pg_class c
            where c.oid = ('bulk.' || one.name || '_beyond')::regclass;
            exit when month > at + interval '1 month';
            part := one.name || to_char(month at time zone 'UTC', '_YYYY_MM');
            execute format('alter table bulk.%I detach partition bulk.%I', one.name, one.name || '_beyond');
            execute format('create table bulk.%I partition of bulk.%I for values from (%L) to (%L)',
                           part, one.name, month, month + interval '1 month');
            execute format('with gone as (delete from bulk.%I where %I < %L returning *)'
                           ' insert into bulk.%I select * from gone',
                           one.name || '_beyond', one.at, month + interval '1 month', one.name);
            execute format('alter table bulk.%I attach partition bulk.%I for values from (%L) to (maxvalue)',
                           one.name, one.name || '_beyond', month + interval '1 month');
            made := made + 1;
        end loop;
    end loop;
    return made;
end $$;

-- Deletes what ended before an instant: whole partitions at once, the rest of the past row by row.
create function bulk.retire(what text, before timestamptz) returns bigint language plpgsql security definer
    set search_path = '' set lock_timeout = '5s' as
$$ declare
    part record;
    gone bigint := 0;
    rows_gone bigint;
    at text;
begin
    if what not in ('reading', 'interval', 'telegram') then
        raise exception 'there is no retention of %', what;
    end if;
    at := case what when 'telegram' then 'received_at' else 'ts' end;
    for part in select c.oid::regclass::text as name,
                       (regexp_match(pg_catalog.pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)'''))[1]::timestamptz as ends
                from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
                where i.inhparent = ('bulk.' || quote_ident(what))::regclass loop
        if part.ends <= before and part.name not like '%\_past' then
            execute format('select count(*) from %s', part.name) into rows_gone;
            execute format('drop table %s', part.name);
        elsif part.name like '%\_past' then
            execute format('delete from %s where %I < %L', part.name, at, before);
            get diagnostics rows_gone = row_count;
        else
            rows_gone := 0;
        end if;
        gone := gone + rows_gone;
    end loop;
    return gone;
end $$;
revoke all on function bulk.tend(timestamptz), bulk.retire(text, timestamptz) from public;
grant execute on function bulk.tend(timestamptz), bulk.retire(text, timestamptz) to ohmesh_worker;
