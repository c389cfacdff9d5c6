-- A database that began without TimescaleDB has partitions of PostgreSQL's own: they become plain
-- tables again, so that hypertables can be made of them.
do $$
declare name text;
begin
    foreach name in array array['reading', 'interval', 'telegram'] loop
        if exists (select from pg_partitioned_table where partrelid = ('bulk.' || quote_ident(name))::regclass) then
            call bulk.take_place(('bulk.' || quote_ident(name))::regclass, name || '_parts', '');
            execute format('insert into bulk.%I select * from bulk.%I', name, name || '_parts');
            execute format('drop table bulk.%I', name || '_parts');
        end if;
    end loop;
end $$;
drop function if exists bulk.tend(timestamptz);
drop function if exists bulk.retire(text, timestamptz);
