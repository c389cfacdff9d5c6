-- The same as with partitions of PostgreSQL's own: chunks come by themselves, and go whole.
create function bulk.tend(at timestamptz) returns int language sql as $$ select 0 $$;

create function bulk.retire(what text, before timestamptz) returns bigint language plpgsql security definer
    set search_path = '' as
$$ declare gone bigint;
begin
    if what not in ('reading', 'interval', 'telegram') then
        raise exception 'there is no retention of %', what;
    end if;
    execute format('select count(*) from bulk.%I where %I < %L', what,
                   case what when 'telegram' then 'received_at' else 'ts' end, before) into gone;
    if gone > 0 then
        perform public.drop_chunks(('bulk.' || quote_ident(what))::regclass, older_than => before);
        execute format('delete from bulk.%I where %I < %L', what,
                       case what when 'telegram' then 'received_at' else 'ts' end, before);
    end if;
    return gone;
end $$;
revoke all on function bulk.tend(timestamptz), bulk.retire(text, timestamptz) from public;
grant execute on function bulk.tend(timestamptz), bulk.retire(text, timestamptz) to ohmesh_worker;
